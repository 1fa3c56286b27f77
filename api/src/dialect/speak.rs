//! What is different about a request in Meta's dialect before anybody reads it: the version in its path, the token in the
//! query, in a form or under another provider's header, and forms instead of JSON. And what every answer carries.

use super::error::is_throttle;
use crate::auth::gate;
use crate::body::{Json, collect};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Where a token may stand beside the header: Graph's parameter.
const TOKEN: &str = "access_token";
/// What proves to Meta that a caller knows the app's secret; a key of ours needs no such proof.
const PROOF: &str = "appsecret_proof";
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

/// An address is the same with a slash behind it.
pub(crate) fn tidy(request: &mut Request) {
    let uri = request.uri();
    let path = uri.path();
    if path.len() < 2 || !path.ends_with('/') || !is_spoken(path) {
        return;
    }
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let plain = format!("{}{query}", path.trim_end_matches('/'));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = plain.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Where the caller reached us, e.g. `https://kabar.example`.
pub(super) fn origin(state: &ApiState, uri: &Uri, headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    let own = state.config.server.listen.to_string();
    let host = text(HOST.as_str()).or_else(|| uri.authority().map(|host| host.as_str())).unwrap_or(&own);
    format!("{scheme}://{host}")
}

/// Makes a request one that the gate and the handlers can read.
pub(super) async fn listen(State(state): State<ApiState>, mut request: Request, next: Next) -> Response {
    if !is_spoken(request.uri().path()) {
        return Problem::new(Code::NotFound, "Nothing is at this address.").into_response();
    }
    let version =
        request.uri().path().split('/').nth(1).and_then(|version| HeaderValue::from_str(version).ok());
    if let Some(token) = query_token(request.uri()) {
        authorize(request.headers_mut(), &token);
    }
    if let Some(token) = request.headers().get(KEYED).and_then(|value| value.to_str().ok()).map(str::to_owned)
    {
        authorize(request.headers_mut(), &token);
    }
    let mut request = match written(request, state.config.server.body_max_bytes).await {
        Ok(request) => request,
        Err(problem) => return problem.into_response(),
    };
    oauth(request.headers_mut());
    let key = request.headers().get(AUTHORIZATION).cloned();
    let mut response = next.run(request).await;
    plainly(&state, key, &mut response).await;
    if let Some(version) = version {
        response.headers_mut().insert("facebook-api-version", version);
    }
    response
}

/// "Too much" is told with the status that the tenant's programs know it by.
async fn plainly(state: &ApiState, key: Option<HeaderValue>, response: &mut Response) {
    let Some(key) = key.filter(|_| response.extensions().get::<Problem>().is_some_and(is_throttle)) else {
        return;
    };
    let Some(tenant) = gate::tenant(state, &HeaderMap::from_iter([(AUTHORIZATION, key)])).await else {
        return;
    };
    if state.node.policy(tenant).await.meta.throttle == 400
        && let Some(problem) = response.extensions_mut().get_mut::<Problem>()
    {
        problem.told_plainly();
    }
}

/// A request whose parameters are a JSON body, however they came: as a form, or all of them in the query. A token among
/// them counts where there is none elsewhere: only then is a JSON body read before the gate.
async fn written(request: Request, max: usize) -> Result<Request, Problem> {
    let (headers, posted) = (request.headers(), request.method() == Method::POST);
    let empty = posted && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    let queried = empty && !headers.contains_key(TRANSFER_ENCODING) && request.uri().query().is_some();
    let (formed, json) =
        (is_form(headers), posted && !headers.contains_key(AUTHORIZATION) && is_json(headers));
    if !formed && !queried && !json {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let bytes = collect(Request::from_parts(parts.clone(), body), max).await?;
    if json && !formed && !queried {
        if let Some(token) = json_token(&bytes) {
            authorize(&mut parts.headers, &token);
        }
        return Ok(Request::from_parts(parts, Body::from(bytes)));
    }
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let fields = form(if queried { query } else { &bytes });
    if let Some(token) = fields.get(TOKEN).and_then(Value::as_str) {
        authorize(&mut parts.headers, token);
    }
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Request::from_parts(parts, Body::from(Value::Object(fields).to_string())))
}

/// The parameters of a call, without those that are of every call.
pub(super) struct Fields {
    pub(super) value: Map<String, Value>,
    /// The bytes as they came; a repeat of a request is recognised by them.
    pub(super) bytes: Bytes,
}

impl FromRequest<ApiState> for Fields {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &ApiState) -> Result<Self, Problem> {
        let Json { mut value, bytes } = Json::<Map<String, Value>>::from_request(request, state).await?;
        for every in [TOKEN, PROOF] {
            value.remove(every);
        }
        Ok(Self { value, bytes })
    }
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

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_none_or(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"))
}

fn json_token(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Keyed {
        access_token: String,
    }
    serde_json::from_slice(bytes).ok().map(|keyed: Keyed| keyed.access_token)
}

/// A form as the JSON it stands for: values that are objects or lists are JSON in text, all others are texts.
fn form(bytes: &[u8]) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, text) in form_urlencoded::parse(bytes) {
        let value = match text.trim_start().as_bytes().first() {
            Some(b'{' | b'[') => {
                serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()))
            }
            _ => Value::String(text.into_owned()),
        };
        fields.insert(name.into_owned(), value);
    }
    fields
}

/// A number or a yes or no that came as a text, as in a form.
pub(super) fn typed(value: &mut Value) {
    let read = value.as_str().and_then(|text| match text.trim() {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        text => text.parse::<i64>().ok().map(Value::from),
    });
    if let Some(read) = read {
        *value = read;
    }
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
        let fields =
            form(b"messaging_product=whatsapp&to=62812&type=text&text=%7B%22body%22%3A%22a%20%26%20b%22%7D");
        assert_eq!(
            Value::Object(fields),
            json!({"messaging_product": "whatsapp", "to": "62812", "type": "text", "text": {"body": "a & b"}})
        );
        assert_eq!(form(b"text={broken")["text"], "{broken");
    }

    #[test]
    fn an_address_of_the_dialect_is_the_same_with_a_slash_behind_it() {
        for (given, taken) in [
            ("/v23.0/106/messages/", "/v23.0/106/messages"),
            ("/v23.0/106//?fields=id", "/v23.0/106?fields=id"),
            ("/v23.0/106", "/v23.0/106"),
            ("/v1/messages/", "/v1/messages/"),
            ("/", "/"),
        ] {
            let mut request = Request::builder().uri(given).body(Body::empty()).unwrap();
            tidy(&mut request);
            assert_eq!(request.uri().to_string(), taken);
        }
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
