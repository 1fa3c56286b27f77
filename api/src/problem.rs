//! The one place where refusals and failures become HTTP: problem+json (RFC 9457) with a stable code, a remedy and
//! whether a repeat can help. Handlers return a [`Problem`]; [`render`] writes it with the request's trace id.

mod catalogue;
mod provider;

pub(crate) use catalogue::{Code, page};

use crate::dialect;
use crate::telemetry::REQUEST;
use crate::telemetry::trace::Trace;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kabar_actors::DispatchError;
use kabar_actors::webhook::WebhookError;
use kabar_engine::address::AddressError;
use kabar_engine::content::ContentError;
use kabar_engine::overlay::decide::Refusal;
use kabar_engine::template::PatternError;
use kabar_schema::StoreError;
use serde_json::{Map, Value, json};
use std::time::Instant;
use tracing::Instrument;

/// A request's name in answers and logs: the 32 hex digits of its trace, the caller's when it sent a `traceparent`.
pub(crate) static TRACE_ID: HeaderName = HeaderName::from_static("trace-id");
/// How long a client is asked to wait when nothing better is known.
const RETRY_AFTER_MS: u64 = 1_000;

/// The request's name, for handlers that write problems into an answer of their own.
#[derive(Debug, Clone)]
pub(crate) struct TraceId(pub(crate) String);

/// A refusal on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    retry_after_ms: Option<u64>,
    place: Map<String, Value>,
    /// Whether a program that speaks Meta's dialect is told 400 where it would be 429.
    plain: bool,
}

impl Problem {
    /// A problem; the detail is one sentence without numbers of people and without secrets.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let entry = code.entry();
        let busy = matches!(entry.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        let retry_after_ms = busy.then_some(RETRY_AFTER_MS);
        Self { code, detail: detail.into(), retry_after_ms, place: Map::new(), plain: false }
    }

    /// The thing of this kind does not exist here, or belongs to somebody else; the answer is the same.
    pub(crate) fn no_such(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}."))
    }

    /// A field names something that is not there.
    pub(crate) fn unknown_reference(field: &str, what: &str) -> Self {
        Self::new(Code::UnknownReference, format!("`{field}`: there is no such {what}."))
    }

    /// A field's value is not allowed.
    pub(crate) fn invalid(field: &str, allowed: impl std::fmt::Display) -> Self {
        Self::new(Code::InvalidValue, format!("`{field}` must be {allowed}.")).at(field)
    }

    /// Names the place in the body.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.place.insert("path".into(), path.into());
        self
    }

    /// Says a word more, in a field of its own.
    pub(crate) fn with(mut self, field: &str, word: &str) -> Self {
        self.place.insert(field.into(), word.into());
        self
    }

    /// Says more than a word, in a field of its own.
    pub(crate) fn told_more(mut self, field: &str, value: Value) -> Self {
        self.place.insert(field.into(), value);
        self
    }

    /// Says when to come back.
    pub(crate) fn after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// In Meta's dialect it is told with 400 where it would be 429.
    pub(crate) fn told_plainly(&mut self) {
        self.plain = true;
    }

    /// Whether it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whole seconds, at least one.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1))
    }

    /// What the problem looks like outside, for the description.
    pub(crate) fn example(code: Code) -> Value {
        Self::new(code, code.entry().title).json("4bf92f3577b34da6a3ce929d0e0e4736")
    }

    /// Which it is.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// What it says of this case.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What Meta said, where it was Meta that refused.
    pub(crate) fn provider(&self) -> Option<&Map<String, Value>> {
        self.place.get("provider").and_then(Value::as_object)
    }

    /// What Meta said of the template it is about, where one is there and may not be sent now.
    pub(crate) fn template_status(&self) -> Option<&str> {
        self.place.get("template")?.get("status")?.as_str()
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> &'static str {
        self.code.entry().remedy
    }

    /// Its code and detail, for where it stands inside an answer.
    pub(crate) fn words(self) -> (&'static str, String) {
        (self.code.entry().code, self.detail)
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.code.entry().status
    }

    /// Writes it down for the operator and gives its JSON.
    pub(crate) fn told(&self, trace_id: &str) -> Value {
        self.tell(trace_id);
        self.json(trace_id)
    }

    /// Writes it down for the operator.
    fn tell(&self, trace_id: &str) {
        let entry = self.code.entry();
        if entry.status.is_server_error() {
            tracing::warn!(trace_id, code = entry.code, detail = self.detail, "request failed");
        } else {
            tracing::debug!(trace_id, code = entry.code, "request refused");
        }
    }

    fn json(&self, trace_id: &str) -> Value {
        let entry = self.code.entry();
        let mut body = json!({
            "type": format!("/docs/errors#{}", entry.code),
            "title": entry.title,
            "status": entry.status.as_u16(),
            "code": entry.code,
            "fault": self.code.fault(),
            "detail": self.detail,
            "remedy": entry.remedy,
            "retryable": entry.retryable,
            "trace_id": trace_id,
        });
        if let Some(fields) = body.as_object_mut() {
            fields.extend(self.place.clone());
            fields.extend(self.retry_after().map(|s| ("retry_after".to_owned(), s.into())));
        }
        body
    }
}

impl IntoResponse for Problem {
    /// The body is written by [`render`], which knows the trace id.
    fn into_response(self) -> Response {
        let mut response = self.code.entry().status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every answer its trace id, and problems their body. Bare errors of the framework become problems too.
pub(crate) async fn render<F: Future<Output = Response>>(
    route: &str,
    trace: Trace,
    request: Request,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    let began = Instant::now();
    let trace_id = trace.id();
    let method = request.method().clone();
    let Trace { span: own, parent, sampled, .. } = trace;
    // The address as it was asked may hold a number: the route does not.
    let span = tracing::info_span!(target: REQUEST, "request", trace_id, span_id = own, %method, route);
    let dialect = dialect::is_spoken(request.uri().path());
    let mut response = inner(request).instrument(span).await;
    let (status, took_us) =
        (response.status().as_u16(), u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
    tracing::debug!(target: REQUEST, trace_id, span_id = own, parent_id = parent, sampled, %method, route, status, took_us, "request");
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| bare(&response));
    if let Some(problem) = problem.as_ref().filter(|_| dialect) {
        problem.tell(&trace_id);
        response = dialect::error::answer(problem, &trace_id, kept(response.headers_mut()));
    } else if let Some(problem) = problem {
        let entry = problem.code.entry();
        let body = problem.told(&trace_id).to_string();
        let mut headers = kept(response.headers_mut());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = problem.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if entry.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response = (entry.status, body).into_response();
        *response.headers_mut() = headers;
    }
    if let Ok(value) = HeaderValue::from_str(&trace_id) {
        response.headers_mut().insert(&TRACE_ID, value);
    }
    response
}

/// The headers of an answer whose body is written anew.
fn kept(headers: &mut HeaderMap) -> HeaderMap {
    let mut headers = std::mem::take(headers);
    headers.remove(header::CONTENT_LENGTH);
    headers
}

/// What a layer or the router answered without a problem.
fn bare(response: &Response) -> Option<Problem> {
    let plain = response.headers().get(header::CONTENT_TYPE).is_none();
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            Some(Problem::new(Code::MethodNotAllowed, "See the Allow header for the methods it takes."))
        }
        StatusCode::GATEWAY_TIMEOUT => Some(Problem::new(Code::Deadline, "The request's time is over.")),
        StatusCode::NOT_FOUND if plain => Some(Problem::new(Code::NotFound, "Nothing is at this address.")),
        _ => None,
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict => Self::new(Code::Conflict, "Another request was faster."),
            StoreError::Overloaded => Self::new(Code::Overloaded, "The store has too much waiting."),
            StoreError::Fenced { .. } | StoreError::Unavailable => {
                Self::new(Code::Unavailable, "The store does not answer; nothing was written.")
            }
            StoreError::Unknown => Self::new(Code::OutcomeUnknown, "The store did not say whether it wrote."),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::OptedOut => {
                Self::new(Code::OptedOut, "The recipient does not want messages of this tenant.")
            }
            Refusal::WindowClosed => Self::new(
                Code::WindowClosed,
                "The recipient has not written to this session within 24 hours.",
            ),
            Refusal::FrequencyCap => Self::new(
                Code::FrequencyCap,
                "The recipient has had as much marketing lately as the tenant's frequency cap allows.",
            ),
            Refusal::IdempotencyMismatch => {
                Self::new(Code::IdempotencyMismatch, "The key belongs to another request.")
            }
            Refusal::OutboxFull => Self::new(Code::OutboxFull, "The session's outbox is full."),
            Refusal::NotFound => Self::new(Code::NotFound, "There is no such thing here."),
            Refusal::WrongPhase => {
                Self::new(Code::WrongPhase, "It has gone too far for this, or not far enough.")
            }
        }
    }
}

impl From<DispatchError> for Problem {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Refused(refusal) => refusal.into(),
            DispatchError::NotFound => Self::new(Code::NotFound, "There is no such thing here."),
            DispatchError::Overloaded { retry_after_ms } => {
                Self::new(Code::Overloaded, "Too many requests are waiting.").after(retry_after_ms)
            }
            DispatchError::Unavailable { retry_after_ms } => {
                Self::new(Code::Unavailable, "The owner of this data does not answer now.")
                    .after(retry_after_ms)
            }
            DispatchError::Unknown => Self::new(Code::OutcomeUnknown, "The answer was lost on the way."),
            DispatchError::Template(barrier) => (*barrier).into(),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::UnknownApp => Self::no_such("app"),
            WebhookError::BadSignature => {
                Self::new(Code::BadSignature, "X-Hub-Signature-256 does not fit the body.")
            }
            WebhookError::Unreadable => {
                Self::new(Code::BodyUnreadable, "The body is no webhook of the Cloud API.")
            }
            WebhookError::TooLarge => Self::new(Code::BodyTooLarge, "The webhook is larger than allowed."),
            WebhookError::Unavailable { retry_after_ms } => {
                Self::new(Code::Unavailable, "Not everything in it could be stored.").after(retry_after_ms)
            }
        }
    }
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        let path = error.path().to_owned();
        Self::new(Code::InvalidContent, format!("{error}.")).at(&path)
    }
}

impl From<PatternError> for Problem {
    fn from(error: PatternError) -> Self {
        let mut problem = Self::new(Code::InvalidPattern, format!("{error}.")).at(&error.path);
        problem.place.insert("line".into(), error.line.into());
        problem.place.insert("column".into(), error.column.into());
        problem
    }
}

impl From<AddressError> for Problem {
    fn from(error: AddressError) -> Self {
        Self::new(Code::InvalidAddress, format!("{error}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_what_to_do_and_when_to_come_back() {
        let problem = Problem::from(DispatchError::Overloaded { retry_after_ms: 1_200 });
        let body = problem.json("00ff");
        assert_eq!((body["status"].as_u64(), body["retry_after"].as_u64()), (Some(429), Some(2)));
        assert_eq!((body["code"].as_str(), body["trace_id"].as_str()), (Some("overloaded"), Some("00ff")));
        assert_eq!(body["retryable"], true);
        let plain = Problem::no_such("message").json("1");
        assert!(plain.get("retry_after").is_none() && plain["detail"] == "There is no such message.");
    }

    #[test]
    fn a_full_outbox_is_answered_as_one() {
        let body = Problem::from(DispatchError::Refused(Refusal::OutboxFull)).json("1");
        assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(429), Some("outbox_full")));
        assert!(body["retryable"] == true && body["retry_after"].as_u64() == Some(1), "{body}");
    }

    #[test]
    fn a_wrong_pattern_names_path_line_and_column() {
        let error = PatternError { path: "text.body".into(), line: 2, column: 7, message: "no end".into() };
        let body = Problem::from(error).json("1");
        assert_eq!(
            (body["path"].as_str(), body["line"].as_u64(), body["column"].as_u64()),
            (Some("text.body"), Some(2), Some(7))
        );
    }
}
