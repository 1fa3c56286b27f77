//! The Graph API face: Meta's paths, bodies, errors and webhooks over the network of phones, and
//! the control API beside them. Decides nothing about a message's fate.

pub(crate) mod agenda;
mod argument;
mod block;
mod content;
pub(crate) mod control;
pub(crate) mod delivery;
mod draft;
mod edge;
mod envelope;
mod media;
mod multipart;
pub(crate) mod number;
mod profile;
mod refusal;
pub(crate) mod script;
pub(crate) mod server;
pub(crate) mod state;
mod subscription;
mod template;
pub(crate) mod token;
mod upload;

use std::collections::BTreeSet;
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
use parking_lot::Mutex;
use serde_json::Value;
use thiserror::Error;

use crate::behaviour::Behaviour;
use crate::config::SandboxConfig;
use crate::network::clock::ms;
use crate::network::dice::{Dice, Stream};
use crate::network::message::{Category, Kind, Outgoing};
use crate::network::{End, Network, Taken, wamid};
use agenda::Agenda;
use argument::BODY_LIMIT;
use block::Blocks;
use delivery::Delivery;
use draft::{Draft, Request as Wanted};
use edge::Usage;
use media::Media;
use number::Numbers;
use refusal::Refusal;
use script::Scripts;
use template::{Known, Templates};
use token::{MESSAGING, Tokens};
use upload::Uploads;

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
    pub(crate) agenda: Arc<Agenda>,
    scripts: Scripts,
    tokens: Tokens,
    numbers: Numbers,
    media: Media,
    uploads: Uploads,
    templates: Templates,
    blocks: Blocks,
    usage: Usage,
    /// Accounts whose insights were switched on.
    insights: Mutex<BTreeSet<String>>,
    app_secret: Vec<u8>,
    control_token: String,
    /// Where it is reached: as configured, else as it listens.
    public_url: (bool, String),
    seed: u64,
    traces: AtomicU64,
}

/// What a send was found to be besides its words.
#[derive(Debug, Default)]
struct Found {
    template: Option<Known>,
    /// The code it will fail with.
    doom: Option<u32>,
}

impl Graph {
    pub(crate) fn new(
        config: &SandboxConfig,
        network: Arc<Network>,
        delivery: Arc<Delivery>,
        agenda: Arc<Agenda>,
        address: std::net::SocketAddr,
    ) -> Self {
        Self {
            agenda,
            scripts: Scripts::default(),
            tokens: Tokens::new(&config.access_tokens),
            numbers: Numbers::new(&config.numbers),
            media: Media::default(),
            uploads: Uploads::default(),
            templates: Templates::default(),
            blocks: Blocks::new(config.numbers.len()),
            usage: Usage::default(),
            insights: Mutex::default(),
            app_secret: config.app_secret.clone().into_bytes(),
            control_token: config.control_token.clone(),
            public_url: match &config.public_url {
                Some(url) => (true, url.trim_end_matches('/').to_owned()),
                None => (false, format!("http://{address}")),
            },
            seed: config.seed,
            traces: AtomicU64::new(0),
            network,
            delivery,
        }
    }

    /// Unix milliseconds of the sandbox's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        self.network.clock.unix_ms(self.network.clock.now_ns())
    }

    /// The instant that many milliseconds from now.
    fn due_in(&self, wait_ms: u64) -> u64 {
        self.network.clock.now_ns().saturating_add(ms(wait_ms))
    }

    fn public_url(&self) -> String {
        self.public_url.1.clone()
    }

    fn has_public_url(&self) -> bool {
        self.public_url.0
    }

    /// Tells everybody who listens to an account of something, in a webhook field of its own.
    pub(crate) fn announce(&self, account: &str, field: &str, value: &Value) {
        if let Some(number) = self.network.numbers.iter().position(|number| number.waba_id == account) {
            self.delivery.offer(envelope::Update::account(number, field, value));
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
            (_, nodes) => Ok(self.edge(nodes, &head, body).await),
        }
    }

    async fn messages(&self, number: &str, head: &Parts, body: Incoming) -> Result<Answer, Cut> {
        let behaviour = self.network.behaviour.get();
        if let Err(refusal) = self.authorise(head, MESSAGING, &behaviour) {
            return Ok(self.stranger(&refusal));
        }
        let Some(number) = self.network.number(number) else {
            return Ok(self.stranger(&Refusal::unknown_object("post", number)));
        };
        let Some(raw) = collect(body, BODY_LIMIT).await else {
            return Ok(self.refused(&Refusal::parameter("The request body could not be read.")));
        };
        let Ok(body) = serde_json::from_slice::<Value>(&raw) else {
            return Ok(self.refused(&Refusal::parameter("The request body is not valid JSON.")));
        };
        let rewrites = behaviour.integrity.rewrite_wa_ids;
        match draft::read(&body, &self.network.numbers[number], &self.network.phones, rewrites) {
            Ok(Wanted::Receipt(id)) => {
                if !self.network.has_heard(number, id, self.now_ms()) {
                    let refusal = Refusal::invalid(
                        "message_id is not the id of a message this number received in 30 days",
                    );
                    self.write_refusal(number, &body, &refusal);
                    return Ok(self.refused(&refusal));
                }
                self.network.receipt(number);
                Ok(answer_json(StatusCode::OK, r#"{"success":true}"#.to_owned()))
            }
            Ok(Wanted::Message(draft)) => match self.inspect(number, &draft, &behaviour) {
                Ok(found) => self.send(number, &draft, &found).await,
                Err(refusal) => {
                    self.write_refusal(number, &body, &refusal);
                    Ok(self.refused(&refusal))
                }
            },
            Err(refusal) => {
                self.write_refusal(number, &body, &refusal);
                Ok(self.refused(&refusal))
            }
        }
    }

    /// What must be known of more than the words: the number's state, its blocks, its media, its templates.
    fn inspect(&self, number: usize, draft: &Draft<'_>, behaviour: &Behaviour) -> Result<Found, Refusal> {
        if let Some(code) = self.numbers.gate(number) {
            return Err(Refusal::of(code));
        }
        if self.blocks.has(number, &draft.to) {
            return Err(Refusal::of(130_403));
        }
        if draft.identity.is_some_and(|identity| self.network.is_another(&draft.to, identity)) {
            return Err(Refusal::of(137_000));
        }
        let mut found = Found::default();
        match draft.kind {
            Kind::Template => {
                let account = &self.network.numbers[number].waba_id;
                found.template = self.inspect_template(account, draft, behaviour.strict_templates)?;
                found.doom = self.inspect_media(number, draft.kind, draft.object)?;
            }
            Kind::Image | Kind::Video | Kind::Audio | Kind::Document | Kind::Sticker | Kind::Interactive => {
                found.doom = self.inspect_media(number, draft.kind, draft.object)?;
            }
            _ => {}
        }
        Ok(found)
    }

    async fn send(&self, number: usize, draft: &Draft<'_>, found: &Found) -> Result<Answer, Cut> {
        let known = found.template.as_ref();
        let script = self.script(number, draft, known);
        let message = Outgoing {
            number,
            to: &draft.to,
            kind: draft.kind,
            category: known.map_or(draft.category, |known| known.category),
            reference: draft.reference,
            doom: found.doom,
            template: known.map_or(0, |known| known.id),
            ttl_s: known.and_then(|known| known.ttl_s),
            scripted: script.is_some(),
        };
        let Taken { end, latency_ms, held, arrives_ms } = self.network.accept(&message);
        if let (Some(known), End::Accepted(_)) = (known, end)
            && known.counts
        {
            self.template_sent(known.id);
        }
        if let (Some(steps), Some(arrives_ms), Some(id)) = (&script, arrives_ms, end.accepted()) {
            self.play(number, draft, known, (steps, arrives_ms, &wamid::outbound(&draft.to, id)));
        }
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
        match end {
            End::Accepted(id) => {
                Ok(answer_json(StatusCode::OK, draft.accepted(&wamid::outbound(&draft.to, id), held)))
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
            doom: None,
            template: 0,
            ttl_s: None,
            scripted: false,
        };
        self.network.refuse(&message, refusal.code);
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

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth")).then(|| token.trim())
}

/// A query parameter as it stands; tokens, ids and numbers need no decoding.
fn query<'a>(head: &'a Parts, key: &str) -> Option<&'a str> {
    let pairs = head.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

async fn collect(body: Incoming, limit: usize) -> Option<Bytes> {
    Limited::new(body, limit).collect().await.ok().map(http_body_util::Collected::to_bytes)
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
}
