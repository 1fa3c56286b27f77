//! What became of a send, read from the call's outcome: the rule of "sending once". Not ambiguous is what
//! carries a Graph error body (its code decides, 5xx included), a 4xx, and what was never written. Everything
//! else without a message id is ambiguous.

use super::classify::{Class, Shape, UNKNOWN_OBJECT, classify};
use super::wire::{Number, Text};
use crate::client::{Answer, CallError, NotSent};
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::outgoing::{Accepted, Reason, SendError, Words};
use kabar_engine::pacing::Throttle;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

/// Most characters of a provider's own words.
const DETAIL_MAX: usize = 512;
/// Meta's code for an unavailable service: the nearest word for a host that could not be reached.
const UNAVAILABLE: Cause = Cause(131_016);
const THROUGHPUT: Cause = Cause(130_429);
/// Carries how long a request limit lasts, per account.
const USAGE: &str = "x-business-use-case-usage";
const MINUTE_MS: u64 = 60_000;
/// No wait is longer than a day, whatever a header says.
const WAIT_MAX_MS: u64 = 24 * 60 * MINUTE_MS;

#[derive(Deserialize)]
struct Taken<'a> {
    #[serde(borrow)]
    messages: Vec<TakenMessage<'a>>,
}

#[derive(Deserialize)]
struct TakenMessage<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    message_status: Option<Text<'a>>,
}

/// Reads the outcome of a call to `/messages`.
pub(super) fn read(outcome: &Result<Answer, CallError>) -> Result<Accepted, SendError> {
    match outcome {
        Ok(answer) if answer.status.is_success() => taken(answer).map_or_else(|| Err(refused(answer)), Ok),
        Ok(answer) => Err(refused(answer)),
        Err(CallError::NotSent(why)) => {
            // A connection that closed under one request, or a URL that is none, says nothing of the provider.
            let throttle = match why {
                NotSent::Closed | NotSent::Request => Throttle::Transient,
                NotSent::Dns | NotSent::Blocked | NotSent::Refused | NotSent::Tls | NotSent::Timeout => {
                    Throttle::Unreachable
                }
            };
            Err(SendError::RetryAfter { throttle, after_ms: 0, cause: UNAVAILABLE, words: None })
        }
        // The answer's head had arrived, and its body broke off: a status can still settle it.
        Err(CallError::Unclear { status: Some(status), .. }) => Err(without_body(*status, &HeaderMap::new())),
        Err(CallError::Unclear { status: None, .. }) => Err(SendError::Ambiguous),
    }
}

/// Whether what is not there is media of this message, and not the number: then only this message is refused.
pub(super) fn media_missing(outcome: &Result<Answer, CallError>, content: &Content) -> Option<Reason> {
    let error = GraphError::read(&outcome.as_ref().ok()?.body)?;
    let missing = error.code == 100 && error.subcode == Some(UNKNOWN_OBJECT);
    let named = missing && content.has_media_id(|id| error.detail.contains(id));
    named.then_some(Reason { cause: Cause(error.code), detail: error.detail, trace: error.trace })
}

fn taken(answer: &Answer) -> Option<Accepted> {
    let taken: Taken<'_> = serde_json::from_slice(&answer.body).ok()?;
    let first = taken.messages.into_iter().next().filter(|message| !message.id.is_empty())?;
    let held = first.message_status.is_some_and(|word| &*word != "accepted");
    Some(Accepted { provider_id: first.id.to_arc(), held })
}

fn refused(answer: &Answer) -> SendError {
    let Some(error) = GraphError::read(&answer.body) else {
        return without_body(answer.status, &answer.headers);
    };
    tracing::debug!(code = error.code, trace = error.trace.as_deref(), "Graph error");
    let cause = Cause::of_provider(error.code);
    let reason = || Reason { cause, detail: error.detail.clone(), trace: error.trace.clone() };
    match classify(error.code, error.shape(answer.status)) {
        Class::Retry(throttle) => {
            let mut after_ms = retry_after_ms(&answer.headers);
            if throttle == Throttle::RequestLimit {
                after_ms = after_ms.max(regain_ms(&answer.headers));
            }
            let words = Words { detail: error.detail, trace: error.trace };
            SendError::RetryAfter { throttle, after_ms, cause, words: Some(Box::new(words)) }
        }
        Class::Held(throttle) => {
            SendError::Held { throttle, after_ms: retry_after_ms(&answer.headers), reason: reason() }
        }
        Class::LinkLost => SendError::LinkLost(reason()),
        Class::Rejected => SendError::Rejected(reason()),
    }
}

/// The rule for answers that are not Graph's own: a proxy's page, an empty body.
fn without_body(status: StatusCode, headers: &HeaderMap) -> SendError {
    if status == StatusCode::TOO_MANY_REQUESTS {
        let after_ms = retry_after_ms(headers);
        return SendError::RetryAfter {
            throttle: Throttle::Throughput,
            after_ms,
            cause: THROUGHPUT,
            words: None,
        };
    }
    if status.is_client_error() {
        return SendError::Rejected(Reason { cause: Cause::UNREADABLE, detail: String::new(), trace: None });
    }
    SendError::Ambiguous
}

/// Graph's error object: it has a numeric `code`, and that is what makes it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphError {
    pub(super) code: u32,
    pub(super) subcode: Option<u32>,
    /// Meta says itself that it passes.
    pub(super) transient: bool,
    pub(super) detail: String,
    /// Words for the person in front of the screen: title and text.
    pub(super) user: Option<(String, String)>,
    pub(super) trace: Option<String>,
}

impl GraphError {
    pub(super) fn shape(&self, status: StatusCode) -> Shape {
        Shape { status, subcode: self.subcode, transient: self.transient }
    }

    /// Failures are rare, so the whole value is built and odd kinds of the lesser fields cost nothing.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let error = value.get("error")?;
        let number = |key: &str| Number::deserialize(error.get(key)?).ok()?.to_u32();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(|text| cut(text).to_owned());
        let details = error.get("error_data").and_then(|data| data.get("details"));
        Some(Self {
            code: number("code")?,
            subcode: number("error_subcode"),
            transient: error.get("is_transient").and_then(Value::as_bool).unwrap_or(false),
            detail: text(details).or_else(|| text(error.get("message"))).unwrap_or_default(),
            user: text(error.get("error_user_title")).zip(text(error.get("error_user_msg"))),
            trace: text(error.get("fbtrace_id")),
        })
    }
}

/// At most 512 characters.
pub(super) fn cut(text: &str) -> &str {
    text.char_indices().nth(DETAIL_MAX).map_or(text, |(at, _)| &text[..at])
}

/// `Retry-After` in its form of seconds; the form of a date is not used by Meta and reads as 0.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> u64 {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    seconds.map_or(0, |seconds| seconds.saturating_mul(1_000).min(WAIT_MAX_MS))
}

/// The longest `estimated_time_to_regain_access` of `X-Business-Use-Case-Usage`, which counts minutes.
pub(super) fn regain_ms(headers: &HeaderMap) -> u64 {
    #[derive(Deserialize)]
    struct Usage {
        #[serde(default)]
        estimated_time_to_regain_access: f64,
    }
    let usage = headers
        .get(USAGE)
        .and_then(|value| serde_json::from_slice::<HashMap<String, Vec<Usage>>>(value.as_bytes()).ok());
    let minutes = usage.iter().flat_map(HashMap::values).flatten().map(|u| u.estimated_time_to_regain_access);
    let longest = minutes.fold(0.0, f64::max).min((WAIT_MAX_MS / MINUTE_MS) as f64);
    (longest * MINUTE_MS as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{NotSent, Unclear};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Accepted, SendError> {
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        read(&Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
        }))
    }

    fn graph(code: u32) -> String {
        format!(
            r#"{{"error":{{"message":"(#{code}) m","type":"OAuthException","code":{code},"error_data":{{"messaging_product":"whatsapp","details":"d"}},"fbtrace_id":"AbC"}}}}"#
        )
    }

    /// What Graph's own body came to, whose words are kept.
    fn retry(throttle: Throttle, after_ms: u64, code: u32) -> Result<Accepted, SendError> {
        let words = Some(Box::new(Words { detail: "d".into(), trace: Some("AbC".into()) }));
        Err(SendError::RetryAfter { throttle, after_ms, cause: Cause(code), words })
    }

    fn silent(throttle: Throttle, after_ms: u64, code: u32) -> Result<Accepted, SendError> {
        Err(SendError::RetryAfter { throttle, after_ms, cause: Cause(code), words: None })
    }

    fn reason(code: u32, detail: &str, trace: Option<&str>) -> Reason {
        Reason { cause: Cause(code), detail: detail.into(), trace: trace.map(str::to_owned) }
    }

    #[test]
    fn an_id_is_what_makes_a_message_accepted() {
        let id = |status: &str| {
            format!(
                r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"+15550100001","wa_id":"15550100001"}}],"messages":[{{"id":"wamid.A\u0041"{status}}}]}}"#
            )
        };
        let accepted = |held| Ok(Accepted { provider_id: "wamid.AA".into(), held });
        assert_eq!(answer(200, &[], &id("")), accepted(false));
        assert_eq!(answer(200, &[], &id(r#","message_status":"accepted""#)), accepted(false));
        assert_eq!(
            answer(200, &[], &id(r#","message_status":"held_for_quality_assessment""#)),
            accepted(true)
        );
        for body in
            ["", "{}", "<html>", r#"{"messages":[]}"#, r#"{"messages":[{"id":""}]}"#, r#"{"success":true}"#]
        {
            assert_eq!(answer(200, &[], body), Err(SendError::Ambiguous), "{body}");
        }
    }

    #[test]
    fn a_graph_body_decides_whatever_the_status() {
        for status in [400, 429, 500, 502, 503] {
            assert_eq!(answer(status, &[], &graph(131_056)), retry(Throttle::Pair, 0, 131_056));
            assert_eq!(answer(status, &[], &graph(131_016)), retry(Throttle::Transient, 0, 131_016));
            let lost = reason(190, "d", Some("AbC"));
            assert_eq!(answer(status, &[], &graph(190)), Err(SendError::LinkLost(lost)));
            let refused = reason(131_026, "d", Some("AbC"));
            assert_eq!(answer(status, &[], &graph(131_026)), Err(SendError::Rejected(refused)));
        }
    }

    #[test]
    fn without_a_graph_body_the_status_decides() {
        for body in
            ["", "<html>Bad Gateway</html>", "{}", r#"{"error":"no"}"#, r#"{"error":{"message":"m"}}"#]
        {
            let throttled = silent(Throttle::Throughput, 7_000, 130_429);
            assert_eq!(answer(429, &[("retry-after", "7")], body), throttled, "{body}");
            let reason = Reason { cause: Cause::UNREADABLE, detail: String::new(), trace: None };
            assert_eq!(answer(404, &[], body), Err(SendError::Rejected(reason)), "{body}");
            for status in [200, 204, 302, 500, 502, 503, 504] {
                assert_eq!(answer(status, &[], body), Err(SendError::Ambiguous), "{status} {body}");
            }
        }
    }

    #[test]
    fn how_long_to_wait_is_taken_from_the_provider() {
        let usage = r#"{"102":[{"type":"whatsapp_business_management","call_count":100,"estimated_time_to_regain_access":3},{"estimated_time_to_regain_access":1}]}"#;
        let headers = [(USAGE, usage), ("retry-after", "5")];
        assert_eq!(answer(400, &headers, &graph(80_007)), retry(Throttle::RequestLimit, 180_000, 80_007));
        assert_eq!(answer(400, &headers, &graph(130_429)), retry(Throttle::Throughput, 5_000, 130_429));
        let odd = [(USAGE, "nonsense"), ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")];
        assert_eq!(answer(400, &odd, &graph(4)), retry(Throttle::RequestLimit, 0, 10_000_004));
    }

    #[test]
    fn a_code_nobody_knows_keeps_its_number_and_metas_words() {
        let reason = reason(131_998, "d", Some("AbC"));
        assert_eq!(answer(400, &[], &graph(131_998)), Err(SendError::Rejected(reason)));
        let passing = r#"{"error":{"code":987654,"message":"m","is_transient":true}}"#;
        let Err(SendError::RetryAfter { throttle, cause, words, .. }) = answer(400, &[], passing) else {
            panic!("not put back");
        };
        assert_eq!((throttle, cause), (Throttle::Transient, Cause(987_654)));
        assert_eq!(words, Some(Box::new(Words { detail: "m".into(), trace: None })));
        // Kabar's own 1 to 8 mean something else.
        assert_eq!(answer(400, &[], &graph(1)), retry(Throttle::Transient, 0, 10_000_001));
    }

    #[test]
    fn what_holds_the_account_keeps_metas_words() {
        let reason = reason(131_042, "d", Some("AbC"));
        let held = SendError::Held { throttle: Throttle::Account, after_ms: 9_000, reason };
        assert_eq!(answer(400, &[("retry-after", "9")], &graph(131_042)), Err(held));
    }

    #[test]
    fn media_that_is_not_there_refuses_its_message_and_not_the_number() {
        let body = |id| {
            format!(
                r#"{{"error":{{"code":100,"error_subcode":33,"message":"Object with ID '{id}' does not exist"}}}}"#
            )
        };
        let answer = |id| {
            let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
            Ok(Answer { status, headers, body: Bytes::from(body(id)) })
        };
        let image = serde_json::json!({"type": "image", "image": {"id": "900100"}});
        let image = Content::from_json(&image).unwrap();
        assert_eq!(media_missing(&answer("900100"), &image).unwrap().cause, Cause(100));
        assert_eq!(media_missing(&answer("106000"), &image), None, "the number itself");
        assert_eq!(media_missing(&answer("900100"), &Content::plain("900100")), None);
    }

    #[test]
    fn odd_graph_bodies_are_still_read() {
        let body = r#"{"error":{"message":"m","code":"190","error_data":"text","error_subcode":"463"}}"#;
        let reason = reason(190, "m", None);
        assert_eq!(answer(401, &[], body), Err(SendError::LinkLost(reason)));
        let long = format!(r#"{{"error":{{"code":100,"message":"{}"}}}}"#, "é".repeat(900));
        let Err(SendError::Rejected(reason)) = answer(400, &[], &long) else { panic!("not rejected") };
        assert_eq!(reason.detail.chars().count(), DETAIL_MAX);
    }

    #[test]
    fn only_what_may_have_been_written_is_ambiguous() {
        let unavailable = |throttle| silent(throttle, 0, UNAVAILABLE.0);
        for not_sent in [NotSent::Dns, NotSent::Refused, NotSent::Tls, NotSent::Timeout, NotSent::Blocked] {
            assert_eq!(read(&Err(CallError::NotSent(not_sent))), unavailable(Throttle::Unreachable));
        }
        for not_sent in [NotSent::Closed, NotSent::Request] {
            assert_eq!(read(&Err(CallError::NotSent(not_sent))), unavailable(Throttle::Transient));
        }
        for why in [Unclear::Deadline, Unclear::Closed, Unclear::Malformed, Unclear::TooLong] {
            assert_eq!(read(&Err(CallError::Unclear { why, status: None })), Err(SendError::Ambiguous));
            let status = |s| Some(StatusCode::from_u16(s).unwrap());
            let half = |s| read(&Err(CallError::Unclear { why, status: status(s) }));
            assert_eq!(half(200), Err(SendError::Ambiguous));
            assert_eq!(half(502), Err(SendError::Ambiguous));
            assert!(matches!(half(400), Err(SendError::Rejected(_))));
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(status in 100..600_u16, body in "\\PC*", usage in "[ -~]*") {
            let _ = answer(status, &[(USAGE, &usage), ("retry-after", &usage)], &body);
        }
    }
}
