//! Problems in Graph's words: the code, subcode and status that Meta answers with in the same case (Cloud API, error codes).
//! What kinds of problems there are stands in `problem/catalogue.rs`.

use crate::problem::{Code, Problem};
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// One case in Graph's words.
struct Words {
    status: u16,
    code: u32,
    subcode: Option<u32>,
    title: &'static str,
    /// A later try may succeed.
    passing: bool,
}

const fn words(status: u16, code: u32, title: &'static str) -> Words {
    Words { status, code, subcode: None, title, passing: false }
}

const fn with(status: u16, code: u32, subcode: u32, title: &'static str) -> Words {
    Words { status, code, subcode: Some(subcode), title, passing: false }
}

const fn passing(status: u16, code: u32, title: &'static str) -> Words {
    Words { status, code, subcode: None, title, passing: true }
}

/// How Meta says it.
const fn of(code: Code) -> Words {
    match code {
        Code::MissingKey => words(401, 190, "An active access token must be used."),
        Code::InvalidKey => words(401, 190, "Invalid OAuth access token."),
        Code::KeyExpired => with(401, 190, 463, "Error validating access token: Session has expired."),
        Code::OperatorOnly
        | Code::ScopeMissing
        | Code::SessionNotAllowed
        | Code::AddressNotAllowed
        | Code::ExceedsKey => words(403, 200, "Permissions error."),
        Code::NotFound => with(400, 100, 33, "Unsupported request."),
        Code::TokenRefused | Code::TokenLacksPermission => words(403, 131_005, "Access denied."),
        Code::ProviderUnreachable => passing(503, 2, "Service temporarily unavailable."),
        Code::TemplateUnusable => words(404, 132_001, "Template name does not exist in the translation."),
        Code::TemplateMismatch => {
            words(400, 132_000, "Number of parameters does not match the expected number of params.")
        }
        Code::MediaRefused => words(400, 131_053, "Media upload error."),
        Code::MissingField => words(400, 131_008, "Required parameter is missing."),
        Code::InvalidValue | Code::InvalidAddress | Code::InvalidContent | Code::UnknownReference => {
            words(400, 131_009, "Parameter value is not valid.")
        }
        Code::OptedOut => words(400, 131_050, "The user has stopped messages of this business."),
        Code::WindowClosed => words(400, 131_047, "Re-engagement message."),
        Code::FrequencyCap => {
            words(400, 131_049, "This message was not delivered to maintain healthy ecosystem engagement.")
        }
        Code::OutboxFull | Code::RateLimited | Code::Overloaded => passing(429, 130_429, "Rate limit hit."),
        Code::Unavailable | Code::OutcomeUnknown | Code::Deadline => {
            passing(503, 2, "Service temporarily unavailable.")
        }
        Code::Internal => passing(500, 131_000, "Something went wrong."),
        _ => words(400, 100, "Invalid parameter."),
    }
}

/// How Meta says this case. A template that is there and may not be sent now is another case than one that is not there:
/// programs wait for a paused one.
fn words_of(problem: &Problem) -> Words {
    match problem.template_status() {
        Some("PAUSED") => return words(400, 132_015, "Template is paused."),
        Some("DISABLED") => return words(400, 132_016, "Template is disabled."),
        _ => {}
    }
    let words = of(problem.code());
    let said = problem.provider().filter(|_| problem.code() == Code::ProviderRefused);
    match said.and_then(|said| said.get("code")).and_then(Value::as_u64) {
        Some(132_001) => Words { status: 404, ..words },
        Some(130_497 | 131_005 | 131_031) => Words { status: 403, ..words },
        _ if words.status == 429 && problem.is_plain() => Words { status: 400, ..words },
        _ => words,
    }
}

/// Whether it says that there is too much, which some programs know by 429 and others by 400.
pub(super) fn is_throttle(problem: &Problem) -> bool {
    of(problem.code()).status == 429
}

/// Meta's own words, without the number it puts before them: it is put there once more.
fn unnumbered(title: &str) -> &str {
    title.strip_prefix("(#").and_then(|rest| rest.split_once(") ")).map_or(title, |(_, rest)| rest)
}

/// `A` and 22 characters, as Meta writes them: the request's trace in another alphabet.
fn fbtrace(trace_id: &str) -> String {
    let trace = u128::from_str_radix(trace_id, 16).unwrap_or_default();
    format!("A{}", URL_SAFE_NO_PAD.encode(trace.to_be_bytes()))
}

/// The body of an error. What Meta itself refused is told in Meta's words, but for what is wrong with our own token there:
/// the caller's is good.
fn body(problem: &Problem, trace: &str) -> Value {
    let words = words_of(problem);
    let ours = matches!(problem.code(), Code::TokenRefused | Code::TokenLacksPermission);
    let said = problem.provider().filter(|_| !ours);
    let number = |field: &str| said.and_then(|said| said.get(field)).and_then(Value::as_u64);
    let code = number("code").filter(|code| *code > 0).unwrap_or_else(|| words.code.into());
    let title = said.and_then(|said| said.get("message")).and_then(Value::as_str).unwrap_or(words.title);
    let title = unnumbered(title);
    let mut error = Map::new();
    error.insert("message".into(), format!("(#{code}) {title}").into());
    error.insert("type".into(), "OAuthException".into());
    error.insert("code".into(), code.into());
    let subcode = if said.is_some() { number("subcode") } else { words.subcode.map(u64::from) };
    if let Some(subcode) = subcode {
        error.insert("error_subcode".into(), subcode.into());
    }
    if words.passing {
        error.insert("is_transient".into(), true.into());
    }
    let details = format!("{} {}", problem.detail(), problem.remedy());
    error
        .insert("error_data".into(), json!({"messaging_product": "whatsapp", "details": details.trim_end()}));
    if let Some(title) = said.and_then(|said| said.get("title")) {
        error.insert("error_user_title".into(), title.clone());
        error.insert("error_user_msg".into(), problem.detail().into());
    }
    error.insert("fbtrace_id".into(), trace.into());
    json!({ "error": error })
}

/// The answer to a request in Meta's dialect that was refused.
pub(crate) fn answer(problem: &Problem, trace_id: &str, mut headers: HeaderMap) -> Response {
    let (words, trace) = (words_of(problem), fbtrace(trace_id));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    if let Some(seconds) = problem.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if words.status == 401 {
        let challenge = r#"OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token.""#;
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Ok(value) = HeaderValue::from_str(&trace) {
        headers.insert("x-fb-trace-id", value);
    }
    let status = StatusCode::from_u16(words.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = (status, body(problem, &trace).to_string()).into_response();
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_one_of_graphs_errors_and_says_what_to_do() {
        for code in Code::ALL {
            let problem = Problem::new(code, "A detail.");
            let answer = body(&problem, "Atrace");
            let error = &answer["error"];
            assert!(error["code"].as_u64().is_some_and(|code| code > 0), "{code:?}");
            assert!(error["error_data"]["details"].as_str().unwrap().starts_with("A detail."));
            assert_eq!((&error["type"], &error["fbtrace_id"]), (&json!("OAuthException"), &json!("Atrace")));
            let passing = matches!(of(code).status, 429 | 500 | 503);
            assert_eq!(error["is_transient"] == json!(true), passing, "{code:?}");
        }
    }

    #[test]
    fn what_meta_said_carries_its_number_once() {
        assert_eq!(unnumbered("(#100) Param about is too long"), "Param about is too long");
        for plain in ["Rate limit hit", "(#100)", "(100) a", ""] {
            assert_eq!(unnumbered(plain), plain);
        }
    }

    #[test]
    fn a_trace_looks_as_metas_and_leads_back() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let trace = fbtrace(id);
        assert_eq!((trace.len(), &trace[..1]), (23, "A"));
        let back = URL_SAFE_NO_PAD.decode(&trace[1..]).unwrap();
        assert_eq!(back.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), id);
    }
}
