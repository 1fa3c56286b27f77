//! The Graph API face: Meta's paths, bodies, errors and webhooks over the network of phones, and
//! the control API beside them. Decides nothing about a message's fate.

mod content;
pub(crate) mod control;
pub(crate) mod delivery;
mod draft;
mod envelope;
mod refusal;
pub(crate) mod server;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::{NumberConfig, SandboxConfig};
use crate::network::dice::{Dice, Stream};
use crate::network::message::{Category, Kind, Outgoing};
use crate::network::{End, Network, wamid};
use delivery::Delivery;
use draft::{Draft, Request as Wanted};
use refusal::Refusal;

/// Meta's own bound is lower; this one only keeps the sandbox's memory.
const BODY_LIMIT: usize = 1 << 20;
const API_VERSION: &str = "v25.0";

pub(crate) type Answer = Response<Full<Bytes>>;

/// A request that gets no answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Cut {
    /// The connection is closed.
    #[error("closed without an answer")]
    Close,
    /// The connection is reset.
    #[error("reset")]
    Reset,
}

/// One Graph API server.
pub(crate) struct Graph {
    pub(crate) network: Arc<Network>,
    pub(crate) delivery: Arc<Delivery>,
    tokens: HashSet<String>,
    control_token: String,
    seed: u64,
    traces: AtomicU64,
}

impl Graph {
    pub(crate) fn new(config: &SandboxConfig, network: Arc<Network>, delivery: Arc<Delivery>) -> Self {
        Self {
            network,
            delivery,
            tokens: config.access_tokens.iter().cloned().collect(),
            control_token: config.control_token.clone(),
            seed: config.seed,
            traces: AtomicU64::new(0),
        }
    }

    /// Answers one request, or cuts it.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Cut> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        if let Some(call) = path.strip_prefix("/_sim/") {
            return Ok(self.control(call, &head, body).await);
        }
        let (nodes, count) = nodes(path);
        match (&head.method, &nodes[..count]) {
            (&Method::POST, [number, "messages"]) => self.messages(number, &head, body).await,
            (&Method::GET, nodes @ ([_] | [_, _])) => Ok(self.get(nodes, &head)),
            _ => Ok(self.refused(&Refusal::unknown_path(path))),
        }
    }

    async fn messages(&self, number: &str, head: &Parts, body: Incoming) -> Result<Answer, Cut> {
        if !self.knows_token(head) {
            return Ok(self.stranger(&Refusal::token()));
        }
        let Some(number) = self.network.number(number) else {
            return Ok(self.stranger(&Refusal::unknown_object("post", number)));
        };
        let Some(raw) = collect(body).await else {
            return Ok(self.refused(&Refusal::parameter("The request body could not be read.")));
        };
        let Ok(body) = serde_json::from_slice::<Value>(&raw) else {
            return Ok(self.refused(&Refusal::parameter("The request body is not valid JSON.")));
        };
        match draft::read(&body, &self.network.numbers[number], &self.network.phones) {
            Ok(Wanted::Receipt) => {
                self.network.receipt(number);
                Ok(answer_json(StatusCode::OK, r#"{"success":true}"#.to_owned()))
            }
            Ok(Wanted::Message(draft)) => self.send(number, &draft).await,
            Err(refusal) => {
                self.write_refusal(number, &body, &refusal);
                Ok(self.refused(&refusal))
            }
        }
    }

    async fn send(&self, number: usize, draft: &Draft<'_>) -> Result<Answer, Cut> {
        let message = Outgoing {
            number,
            to: &draft.to,
            kind: draft.kind,
            category: draft.category,
            reference: draft.reference,
        };
        let (end, latency_ms) = self.network.accept(&message);
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
        match end {
            End::Accepted(id) => {
                Ok(answer_json(StatusCode::OK, draft.accepted(&wamid::outbound(&draft.to, id))))
            }
            End::Throttled(code) => Ok(self.throttled(code, self.network.behaviour.get().throttle_status)),
            End::TooMany(code) => Ok(self.throttled(code, 429)),
            End::Refused(code) => Ok(self.refused(&Refusal::of(code))),
            End::ServerError(code) => Ok(self.refused(&Refusal::of(code).at(500))),
            End::Bare => Ok(bare_502()),
            End::Dropped => Err(Cut::Close),
            End::Reset => Err(Cut::Reset),
        }
    }

    fn throttled(&self, code: u32, status: u16) -> Answer {
        let behaviour = self.network.behaviour.get();
        let mut answer = self.refused(&Refusal::of(code).at(status));
        if behaviour.throttle_retry_after_s > 0 {
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(behaviour.throttle_retry_after_s));
        }
        answer
    }

    /// Refused requests stand in the ledger with what could be told of them.
    fn write_refusal(&self, number: usize, body: &Value, refusal: &Refusal) {
        let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| text.len() <= 512);
        let message = Outgoing {
            number,
            to: text("to").or_else(|| text("recipient")).unwrap_or_default(),
            kind: text("type").and_then(Kind::named).unwrap_or(Kind::Unknown),
            category: Category::Service,
            reference: text("biz_opaque_callback_data"),
        };
        self.network.refuse(&message, refusal.code);
    }

    fn get(&self, nodes: &[&str], head: &Parts) -> Answer {
        if !self.knows_token(head) {
            return self.stranger(&Refusal::token());
        }
        let fields = query(head, "fields");
        let numbers = &self.network.numbers;
        match nodes {
            ["debug_token"] => self.debug_token(head),
            [id] => match self.network.number(id) {
                Some(number) => {
                    answer_json(StatusCode::OK, select(describe(&numbers[number]), fields).to_string())
                }
                None => self.stranger(&Refusal::unknown_object("get", id)),
            },
            [waba, "phone_numbers"] if numbers.iter().any(|number| number.waba_id == *waba) => {
                let of_waba = numbers.iter().filter(|number| number.waba_id == *waba);
                let data: Vec<Value> = of_waba.map(|number| select(describe(number), fields)).collect();
                answer_json(StatusCode::OK, json!({"data": data}).to_string())
            }
            [id, _] if !numbers.iter().any(|number| number.waba_id == *id) => {
                self.stranger(&Refusal::unknown_object("get", id))
            }
            _ => self.refused(&Refusal::unknown_path(head.uri.path())),
        }
    }

    fn debug_token(&self, head: &Parts) -> Answer {
        let valid = query(head, "input_token").is_some_and(|token| self.tokens.contains(token));
        let scopes: &[&str] =
            if valid { &["whatsapp_business_messaging", "whatsapp_business_management"] } else { &[] };
        let data = json!({"app_id": "100000000000001", "type": "SYSTEM_USER", "is_valid": valid, "expires_at": 0,
            "data_access_expires_at": 0, "scopes": scopes, "granular_scopes": []});
        answer_json(StatusCode::OK, json!({"data": data}).to_string())
    }

    fn knows_token(&self, head: &Parts) -> bool {
        bearer(&head.headers).or_else(|| query(head, "access_token")).is_some_and(|t| self.tokens.contains(t))
    }

    fn stranger(&self, refusal: &Refusal) -> Answer {
        self.network.stranger(refusal.code);
        self.refused(refusal)
    }

    fn refused(&self, refusal: &Refusal) -> Answer {
        let trace = self.trace();
        let status = StatusCode::from_u16(refusal.http).unwrap_or(StatusCode::BAD_REQUEST);
        let mut answer = answer_json(status, refusal.body(&trace));
        if refusal.code == 190 {
            let challenge = r#"OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token""#;
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Ok(trace) = HeaderValue::from_str(&trace) {
            answer.headers_mut().insert("x-fb-trace-id", trace);
        }
        answer
    }

    fn trace(&self) -> String {
        let nth = self.traces.fetch_add(1, Ordering::Relaxed);
        let mut dice = Dice::new(self.seed, 0, nth, Stream::Trace);
        let bytes = [dice.id(), dice.id()].concat();
        format!("A{}", &URL_SAFE_NO_PAD.encode(bytes)[..22])
    }
}

/// The path without its version, at most three nodes of it.
fn nodes(path: &str) -> ([&str; 3], usize) {
    let mut nodes = [""; 3];
    let mut count = 0;
    let parts = path.split('/').filter(|part| !part.is_empty());
    for part in parts.skip_while({
        let mut first = true;
        move |part| std::mem::take(&mut first) && is_version(part)
    }) {
        if count == nodes.len() {
            return (nodes, 0);
        }
        nodes[count] = part;
        count += 1;
    }
    (nodes, count)
}

fn is_version(part: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    part.strip_prefix('v')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

fn describe(number: &NumberConfig) -> Value {
    let level = if number.messages_per_second >= 1_000 { "HIGH" } else { "STANDARD" };
    json!({
        "verified_name": "Kabar Sandbox",
        "display_phone_number": number.display_phone_number,
        "quality_rating": "GREEN",
        "platform_type": "CLOUD_API",
        "code_verification_status": "VERIFIED",
        "throughput": {"level": level},
        "id": number.phone_number_id,
    })
}

/// `?fields=a,b`: only those, and always the id.
fn select(object: Value, fields: Option<&str>) -> Value {
    let (Value::Object(all), Some(fields)) = (&object, fields) else { return object };
    let wanted: Vec<&str> = fields.split(',').chain(["id"]).collect();
    let kept = all.iter().filter(|(key, _)| wanted.contains(&key.as_str()));
    Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<_, _>>())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A query parameter as it stands; tokens, ids and numbers need no decoding.
fn query<'a>(head: &'a Parts, key: &str) -> Option<&'a str> {
    let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

async fn collect(body: Incoming) -> Option<Bytes> {
    Limited::new(body, BODY_LIMIT).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

fn answer_json(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.insert("facebook-api-version", HeaderValue::from_static(API_VERSION));
    answer
}

fn bare_502() -> Answer {
    let page =
        "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>";
    let mut answer = Response::new(Full::new(Bytes::from_static(page.as_bytes())));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_work_with_and_without_a_version() {
        for path in ["/v25.0/106/messages", "/v1.2/106/messages/", "/106/messages"] {
            let (found, count) = nodes(path);
            assert_eq!(&found[..count], ["106", "messages"], "{path}");
        }
        assert_eq!(nodes("/v25/106/messages").1, 3);
        assert_eq!(nodes("/a/b/c/d").1, 0);
    }

    #[test]
    fn fields_select_and_keep_the_id() {
        let number = NumberConfig { messages_per_second: 1_000, ..NumberConfig::default() };
        let some = select(describe(&number), Some("throughput,verified_name"));
        assert_eq!(some["throughput"]["level"], "HIGH");
        assert_eq!(some["id"], number.phone_number_id.as_str());
        assert!(some.get("quality_rating").is_none());
    }
}
