//! What is different about a request in Meta's dialect before anybody reads it: the version in its path, the token in the
//! query, in a form or under another provider's header, and forms instead of JSON. And what every answer carries.

use crate::body::collect;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// Where a token may stand beside the header: Graph's parameter.
const TOKEN: &str = "access_token";
/// The header other providers of the same dialect take the token in.
const KEYED: &str = "d360-api-key";
const FORM: &str = "application/x-www-form-urlencoded";

/// Whether an address is one of this dialect: it begins with a version such as `v23.0`.
pub(crate) fn is_spoken(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    first
        .strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// Makes a request one that the gate and the handlers can read.
pub(super) async fn listen(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    if !is_spoken(request.uri().path()) {
        return Problem::new(Code::NotFound, "Nothing is at this address.").into_response();
    }
    let version =
        request.uri().path().split('/').nth(1).and_then(|version| HeaderValue::from_str(version).ok());
    if is_form(request.headers()) {
        let (mut parts, body) = request.into_parts();
        let whole = Request::from_parts(parts.clone(), body);
        let bytes = match collect(whole, state.config.server.body_max_bytes).await {
            Ok(bytes) => bytes,
            Err(problem) => return problem.into_response(),
        };
        let (fields, token) = form(&bytes);
        if let Some(token) = token {
            authorize(&mut parts.headers, &token);
        }
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        parts.headers.remove(CONTENT_LENGTH);
        request = Request::from_parts(parts, Body::from(Value::Object(fields).to_string()));
    }
    if let Some(token) = query_token(request.uri()) {
        authorize(request.headers_mut(), &token);
    }
    if let Some(token) = request.headers().get(KEYED).and_then(|value| value.to_str().ok()).map(str::to_owned)
    {
        authorize(request.headers_mut(), &token);
    }
    oauth(request.headers_mut());
    let mut response = next.run(request).await;
    if let Some(version) = version {
        response.headers_mut().insert("facebook-api-version", version);
    }
    response
}

/// A token beside the header counts where there is none in it.
fn authorize(headers: &mut HeaderMap, token: &str) {
    if !headers.contains_key(AUTHORIZATION)
        && let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}"))
    {
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
}

/// `OAuth <token>` is the same as `Bearer <token>`.
fn oauth(headers: &mut HeaderMap) {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("oauth").then(|| token.to_owned())
    });
    if let Some(token) = token {
        headers.remove(AUTHORIZATION);
        authorize(headers, &token);
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM)
}

/// A form as the JSON it stands for: values that are objects or lists are JSON in text, all others are texts.
fn form(bytes: &[u8]) -> (Map<String, Value>, Option<String>) {
    let (mut fields, mut token) = (Map::new(), None);
    for (name, text) in form_urlencoded::parse(bytes) {
        if name == TOKEN {
            token = Some(text.into_owned());
            continue;
        }
        let value = match text.trim_start().as_bytes().first() {
            Some(b'{' | b'[') => {
                serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
            }
            _ => Value::String(text.into_owned()),
        };
        fields.insert(name.into_owned(), value);
    }
    (fields, token)
}

fn query_token(uri: &Uri) -> Option<String> {
    let query = uri.query()?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == TOKEN)
        .map(|(_, token)| token.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_version_tells_the_dialect() {
        for path in ["/v23.0/106/messages", "/v1.0/106", "/v23.0", "/v100.12/x"] {
            assert!(is_spoken(path), "{path}");
        }
        for path in ["/v1/messages", "/v1", "/", "/vx.0/1", "/v23./1", "/23.0/1", "/v23.0.1/1", "/metrics"] {
            assert!(!is_spoken(path), "{path}");
        }
    }

    #[test]
    fn a_form_is_the_json_it_stands_for() {
        let (fields, token) = form(
            b"messaging_product=whatsapp&to=62812&type=text&text=%7B%22body%22%3A%22a%20%26%20b%22%7D&access_token=kbr_x",
        );
        assert_eq!(token.as_deref(), Some("kbr_x"));
        assert_eq!(
            Value::Object(fields),
            json!({"messaging_product": "whatsapp", "to": "62812", "type": "text", "text": {"body": "a & b"}})
        );
        assert_eq!(form(b"text={broken").0["text"], "{broken");
    }

    #[test]
    fn a_token_counts_wherever_it_stands_and_the_header_first() {
        let mut headers = HeaderMap::new();
        authorize(&mut headers, "kbr_query");
        authorize(&mut headers, "kbr_later");
        assert_eq!(headers[AUTHORIZATION], "Bearer kbr_query");
        headers.insert(AUTHORIZATION, HeaderValue::from_static("OAuth kbr_o"));
        oauth(&mut headers);
        assert_eq!(headers[AUTHORIZATION], "Bearer kbr_o");
        let uri: Uri = "/v23.0/1?fields=id&access_token=kbr%5Fx".parse().unwrap();
        assert_eq!(query_token(&uri).as_deref(), Some("kbr_x"));
    }
}
