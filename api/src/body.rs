//! Bodies, queries and idempotency keys of requests, read into shapes that refuse what they do not know. Not the
//! shapes themselves: those stand in the routes.

use crate::edge::flow::Broken;
use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// The header with the idempotency key.
static KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Longest idempotency key, characters.
const KEY_MAX: usize = 255;

/// A JSON body.
pub(crate) struct Json<T> {
    pub(crate) value: T,
    /// The bytes as they came; a repeat of a request is recognised by them.
    pub(crate) bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<ApiState> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        Self::within(request, state.config.server.body_max_bytes).await
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// A body of at most so many bytes.
    pub(crate) async fn within(request: Request, max: usize) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Code::UnsupportedMediaType, "Send the body as `application/json`."));
        }
        let bytes = collect(request, max).await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| refusal(&error))?;
        // Every body is an object; a list of its fields in their order would be read as one.
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::new(Code::InvalidValue, "The body must be a JSON object."));
        }
        Ok(Self { value, bytes })
    }
}

impl<T> Json<T> {
    /// SHA-256 of the body, in hex.
    pub(crate) fn hash(&self) -> String {
        secret::digest_hex(&self.bytes)
    }
}

/// No content type is taken for JSON; `application/json` and `…+json` are, with any parameter.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

/// The whole body, at most `max` bytes.
pub(crate) async fn collect(request: Request, max: usize) -> Result<Bytes, Problem> {
    check_length(request.headers(), max as u64)?;
    let limited = Limited::new(request.into_body(), max);
    limited.collect().await.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            too_large(max as u64)
        } else {
            broken(&*error)
        }
    })
}

/// Refuses a body that says it is too large before a byte of it is read.
pub(crate) fn check_length(headers: &HeaderMap, max: u64) -> Result<(), Problem> {
    let said: Option<u64> = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if said.is_some_and(|length| length > max) { Err(too_large(max)) } else { Ok(()) }
}

fn too_large(max: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("The body is larger than {max} bytes."))
}

/// Why a body ended early.
fn broken(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let detail = match causes.find_map(|cause| cause.downcast_ref()) {
        // What it was is told at the gate, where the room is counted.
        Some(Broken::NoRoom) => "There was no room for the rest of the body.",
        Some(Broken::Stalled) => "The body stood still for too long.",
        Some(Broken::Slow) => "The body came slower than 1 KiB a second.",
        Some(Broken::Ended(_)) | None => "The connection ended before the body did.",
    };
    Problem::new(Code::BodyUnreadable, detail)
}

/// What serde says, as a problem. Its sentences name fields and kinds, and quote no value but ids and words of
/// closed sets.
pub(crate) fn refusal(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let detail = format!("{}{}.", text[..1].to_uppercase(), &text[1..]);
    let field = text.split('`').nth(1).unwrap_or_default();
    match error.classify() {
        Category::Data if text.starts_with("unknown field") => {
            Problem::new(Code::UnknownField, detail).at(field)
        }
        Category::Data if text.starts_with("missing field") => {
            Problem::new(Code::MissingField, detail).at(field)
        }
        Category::Data => Problem::new(Code::InvalidValue, detail),
        _ => Problem::new(Code::InvalidJson, detail),
    }
}

/// The query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<ApiState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(value)| Self(value)).map_err(
            |rejection| {
                let text = rejection.body_text();
                let reason = text.rsplit("query string: ").next().unwrap_or_default();
                Problem::new(Code::InvalidQuery, format!("{reason}."))
            },
        )
    }
}

/// An id in the path. What is no id of this kind cannot exist, so it is answered like an unknown one.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: std::str::FromStr + Send> FromRequestParts<ApiState> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let gone = || Problem::new(Code::NotFound, "This is no id of the kind that stands here.");
        let axum::extract::Path(text) =
            axum::extract::Path::<String>::from_request_parts(parts, state).await.map_err(|_| gone())?;
        text.parse().map(Self).map_err(|_| gone())
    }
}

/// The `Idempotency-Key`, when there is one.
pub(crate) struct Idempotent(pub(crate) Option<String>);

impl FromRequestParts<ApiState> for Idempotent {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        let Some(header) = parts.headers.get(&KEY) else { return Ok(Self(None)) };
        Self::check(header.as_bytes()).map(|key| Self(Some(key)))
    }
}

/// Refuses a write whose key cannot be used, also where a repeat comes to the same by itself.
pub(crate) fn check_key(request: &Request) -> Result<(), Problem> {
    match request.headers().get(&KEY) {
        Some(key) if request.method() != Method::GET => Idempotent::check(key.as_bytes()).map(drop),
        _ => Ok(()),
    }
}

impl Idempotent {
    /// A key as a caller gave it.
    pub(crate) fn check(given: &[u8]) -> Result<String, Problem> {
        let text = std::str::from_utf8(given).ok().filter(|t| t.bytes().all(|b| (b' '..=b'~').contains(&b)));
        let key = text.filter(|k| (1..=KEY_MAX).contains(&k.len()));
        let refused = format!("An idempotency key must be 1 to {KEY_MAX} printable ASCII characters.");
        key.map(str::to_owned).ok_or_else(|| Problem::new(Code::IdempotencyKey, refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[expect(dead_code, reason = "only its reading is of interest")]
        name: String,
    }

    #[test]
    fn a_wrong_body_is_named_by_kind_and_field() {
        for (body, status, words) in [
            (r#"{"nmae": "a"}"#, 422, "Unknown field `nmae`, expected `name`"),
            (r#"{}"#, 422, "Missing field `name`"),
            (r#"{"name": 3}"#, 422, "Invalid type: integer `3`, expected a string"),
            (r#"{"name": "#, 400, "EOF"),
            ("", 400, "EOF"),
        ] {
            let error = serde_json::from_str::<Shape>(body).unwrap_err();
            let problem = refusal(&error);
            assert!(format!("{problem:?}").contains(words), "{problem:?}");
            assert_eq!(problem.into_response().status().as_u16(), status, "{body}");
        }
    }
}
