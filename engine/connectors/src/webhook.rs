//! Delivering to tenants' webhooks: one signed POST, once, and what came of it. Not when it is tried again.
//!
//! Source: the Standard Webhooks specification, 1.0.0: `webhook-id`, `webhook-timestamp` (seconds) and
//! `webhook-signature` = `v1,` + base64 of HMAC-SHA-256 over `id.timestamp.body`; with several secrets in force there
//! are several signatures, a space between.

use crate::Secret;
use crate::client::escape;
use crate::client::{CallError, Client, NotSent, Unclear};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use kabar_engine::subscription::Envelope;
use kabar_engine::time::Timestamp;
use sha2::Sha256;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// What a secret begins with; behind it stands base64.
pub const SECRET_PREFIX: &str = "whsec_";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const AGENT: HeaderValue = HeaderValue::from_static(concat!("kabar/", env!("CARGO_PKG_VERSION")));

/// One attempt.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where to.
    pub url: String,
    /// The event's name; the same at every attempt.
    pub id: String,
    /// When the attempt is made.
    pub at: Timestamp,
    /// The event.
    pub body: Bytes,
    /// The secrets in force, the newest first; each of them signs, but in Meta's envelope the newest alone.
    pub secrets: Vec<Secret>,
    /// In whose words the body is, and how it is signed.
    pub envelope: Envelope,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered {
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// Why there was none that counts; a word of a closed set.
    pub error: Option<&'static str>,
    /// From the call to its outcome, milliseconds.
    pub took_ms: u32,
}

impl Delivered {
    /// Whether the other side has it.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// The value of `webhook-signature`; `None` when no secret can be read.
#[must_use]
pub fn signature(secrets: &[Secret], id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let signed: Vec<String> =
        secrets.iter().filter_map(|secret| sign(secret.expose(), id, seconds, body)).collect();
    (!signed.is_empty()).then(|| signed.join(" "))
}

fn sign(secret: &str, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Makes one attempt.
pub async fn deliver(client: &Client, delivery: Delivery, deadline: Duration) -> Delivered {
    let begin = Instant::now();
    let (status, error) = match request(delivery) {
        Some(request) => heard(client.call(request, deadline).await),
        None => (None, Some("url")),
    };
    let took_ms = u32::try_from(begin.elapsed().as_millis()).unwrap_or(u32::MAX);
    Delivered { status: status.map(|status| status.as_u16()), error, took_ms }
}

fn request(delivery: Delivery) -> Option<Request<Full<Bytes>>> {
    let Delivery { url, id, at, body, secrets, envelope } = delivery;
    let seconds = at.0.div_euclid(1_000);
    let request = Request::builder()
        .method(Method::POST)
        .uri(url.parse::<Uri>().ok()?)
        .header(CONTENT_TYPE, JSON)
        .header(USER_AGENT, AGENT);
    let request = match envelope {
        Envelope::Kabar => request
            .header("webhook-signature", signature(&secrets, &id, seconds, &body)?)
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds),
        Envelope::Meta => request.header("x-hub-signature-256", hub_signature(secrets.first()?, &body)?),
    };
    request.body(Full::new(body)).ok()
}

/// As Meta signs: HMAC-SHA-256 of the body's bytes under the app's secret, in hex.
fn hub_signature(secret: &Secret, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(body);
    let hex = mac.finalize().into_bytes().iter().fold(String::with_capacity(71), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("invariant: writing to a String does not fail");
        hex
    });
    Some(format!("sha256={hex}"))
}

/// Meta's handshake: whether the address answers with the challenge when it is told its token.
pub async fn handshake(client: &Client, url: &str, token: &str, challenge: &str, deadline: Duration) -> bool {
    let joint = if url.contains('?') { '&' } else { '?' };
    let mut asked = format!("{url}{joint}hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token=");
    escape(&mut asked, token);
    let Ok(uri) = asked.parse::<Uri>() else { return false };
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(USER_AGENT, AGENT);
    match client.call(request, deadline).await {
        Ok(answer) => answer.status == StatusCode::OK && answer.body.trim_ascii() == challenge.as_bytes(),
        Err(_) => false,
    }
}

fn heard(answer: Result<crate::client::Answer, CallError>) -> (Option<StatusCode>, Option<&'static str>) {
    match answer {
        Ok(answer) => (Some(answer.status), None),
        // What it says beyond its status is of no interest.
        Err(CallError::Unclear { why: Unclear::TooLong, status: Some(status) }) => (Some(status), None),
        Err(CallError::Unclear { why, status }) => {
            let word = match why {
                Unclear::Deadline => "timeout",
                Unclear::Closed => "closed",
                Unclear::Malformed | Unclear::TooLong => "malformed",
            };
            (status, Some(word))
        }
        Err(CallError::NotSent(why)) => {
            let word = match why {
                NotSent::Dns => "dns",
                NotSent::Blocked => "blocked",
                NotSent::Refused => "refused",
                NotSent::Tls => "tls",
                NotSent::Timeout => "timeout",
                NotSent::Closed => "closed",
                NotSent::Request => "url",
            };
            (None, Some(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_the_one_of_the_standards_example() {
        let secrets = [Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())];
        let signed =
            signature(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn every_secret_in_force_signs_and_what_is_none_does_not() {
        let of = |texts: &[&str]| {
            let secrets: Vec<_> = texts.iter().map(|text| Secret::new((*text).to_owned())).collect();
            signature(&secrets, "evt_1", 1, b"{}")
        };
        let (new, old) = (of(&["whsec_AAAA"]).unwrap(), of(&["whsec_BBBB"]).unwrap());
        assert_eq!(of(&["whsec_AAAA", "whsec_BBBB"]), Some(format!("{new} {old}")));
        assert_eq!((of(&["AAAA"]), of(&["whsec_?"]), of(&[])), (None, None, None));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn a_hub_signature_is_the_hmac_of_the_bytes() {
        let told = hub_signature(&Secret::new("Jefe".to_owned()), b"what do ya want for nothing?");
        let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(told, Some(format!("sha256={hex}")));
    }

    #[test]
    fn only_a_whole_answer_of_success_counts() {
        let of = |status, error| Delivered { status, error, took_ms: 1 }.is_good();
        assert!(of(Some(200), None) && of(Some(204), None));
        assert!(!of(Some(301), None) && !of(Some(500), None) && !of(None, Some("dns")));
        assert!(!of(Some(200), Some("closed")));
    }
}
