//! The control API under `/_sim/`: for tests and `demo` alone. Orders things to happen and shows
//! what did; no part of Meta's contract.

mod inbound;
mod operation;
mod order;

use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::envelope::{self, List, StatusLine, Update};
use super::media::UPLOAD_LIMIT;
use super::script::Rule;
use super::state;
use super::{Answer, Graph, answer_json, bearer, collect, query};
use crate::network::fate::Act;
use crate::network::message::Status;
use crate::network::stats::Stats;
use crate::network::wamid;

pub use inbound::{Inbound, InboundMedia};
pub use operation::openapi;
pub use order::{AccountEvent, NumberOrder, TemplateOrder};

use operation::Call;

const PAGE_DEFAULT: usize = 1_000;
const PAGE_LIMIT: usize = 10_000;

/// A status webhook of any kind, at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusOrder {
    /// Message id; one of the ledger brings recipient and reference with it, any other is taken as it is.
    #[serde(default)]
    pub wamid: Option<String>,
    /// `sent`, `delivered`, `read`, `played`, `failed`, or whatever a test wants to see tolerated.
    #[serde(default)]
    pub status: String,
    /// Error code of a `failed`.
    #[serde(default)]
    pub code: Option<u32>,
    /// Needed for `raw` and for ids the ledger does not know.
    #[serde(default)]
    pub phone_number_id: Option<String>,
    /// Recipient, instead of the ledger's.
    #[serde(default)]
    pub to: Option<String>,
    /// `biz_opaque_callback_data`, instead of the ledger's.
    #[serde(default)]
    pub reference: Option<String>,
    /// Unix seconds; otherwise now.
    #[serde(default)]
    pub timestamp: Option<i64>,
    /// A raw element of `statuses`, told as it is.
    #[serde(default)]
    pub raw: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receiver {
    url: Option<String>,
    #[serde(default = "yes")]
    verify: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Jump {
    advance_ms: u64,
}

impl Graph {
    pub(super) async fn control(&self, call: &str, head: &Parts, body: Incoming) -> Answer {
        if bearer(&head.headers) != Some(self.control_token.as_str()) {
            return wrong(StatusCode::UNAUTHORIZED, "the control API needs its own bearer token");
        }
        let Some(raw) = collect(body, UPLOAD_LIMIT * 2).await else {
            return wrong(StatusCode::BAD_REQUEST, "the body could not be read");
        };
        let operation = match operation::find(head.method.as_str(), call) {
            Ok(operation) => operation,
            Err(true) => {
                return wrong(StatusCode::METHOD_NOT_ALLOWED, "this control call has another method");
            }
            Err(false) => return wrong(StatusCode::NOT_FOUND, "no such control call"),
        };
        let outcome = self.perform_call(operation.call, head, &raw).await;
        match outcome {
            Ok(value) => answer_json(StatusCode::OK, value.to_string()),
            Err(sentence) => wrong(StatusCode::BAD_REQUEST, &sentence),
        }
    }

    async fn perform_call(&self, call: Call, head: &Parts, raw: &[u8]) -> Result<Value, String> {
        match call {
            Call::OpenApi => Ok(openapi()),
            Call::Stats => to_value(&self.stats()),
            Call::Ledger => self.page(head),
            Call::Recipients => to_value(&self.network.recipients()),
            Call::Behaviour => to_value(&*self.network.behaviour.get()),
            Call::Turn => from(raw).and_then(|part| self.turn(&part)),
            Call::Inbound => from(raw).and_then(|order| self.inbound(&order)).map(|id| json!({"id": id})),
            Call::Status => from(raw).and_then(|order| self.order(&order)),
            Call::Webhook => self.receiver(raw).await,
            Call::Pause => self.hold(true),
            Call::Resume => self.hold(false),
            Call::Clock => Ok(json!({"unix_ms": self.now_ms()})),
            Call::Advance => from(raw).map(|jump: Jump| self.advance(jump.advance_ms)),
            Call::Reset => {
                self.reset();
                Ok(json!({"reset": true}))
            }
            Call::Numbers => Ok(self.numbers_shown()),
            Call::Number => from(raw).and_then(|order| self.order_number(&order)),
            Call::Templates => Ok(json!({"templates": self.templates.shown()})),
            Call::Template => from(raw).and_then(|order| self.order_template(&order)),
            Call::Token => from(raw).and_then(|order| self.order_token(order)),
            Call::Phones => to_value(&self.network.set_phones()).map(|phones| json!({"phones": phones})),
            Call::Phone => from(raw).and_then(|order| self.order_phone(&order)),
            Call::Scripts => to_value(&self.scripts.rules()).map(|rules| json!({"rules": rules})),
            Call::SetScripts => from(raw).and_then(|given: Given| self.order_scripts(given.rules)),
            Call::Event => from(raw).and_then(|event| self.order_event(&event)),
            Call::State => self.save().await,
            Call::Load => {
                let saved: Value = from(raw)?;
                self.load(state::read(&saved)?)?;
                Ok(json!({"loaded": true}))
            }
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let errands = self.agenda.open();
        let stats = self.network.stats();
        let scheduled_events = stats.scheduled_events + errands;
        Stats { scheduled_events, webhooks: self.delivery.stats(), media: self.media.stats(), ..stats }
    }

    fn page(&self, head: &Parts) -> Result<Value, String> {
        let number = |key: &str| match query(head, key).map(str::parse::<u64>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(format!("`{key}` must be a number")),
        };
        let after = number("after")?.unwrap_or(0);
        let limit =
            number("limit")?.map_or(PAGE_DEFAULT, |limit| usize::try_from(limit).unwrap_or(PAGE_LIMIT));
        let (rows, total) = self.network.rows(after, limit.min(PAGE_LIMIT));
        let next = rows.last().map_or(after, |row| row.seq);
        Ok(json!({"rows": to_value(&rows)?, "next": next, "total": total}))
    }

    /// Tells a status; returns what it was told about.
    pub(crate) fn order(&self, order: &StatusOrder) -> Result<Value, String> {
        if let Some(raw) = &order.raw {
            let number = self.known(order.phone_number_id.as_deref().unwrap_or_default())?;
            let json = raw.to_string();
            self.delivery.offer(Update { number, list: List::Statuses, json, contact: None });
            return Ok(json!({"told": true}));
        }
        let wamid = order.wamid.as_deref().ok_or("`wamid` or `raw` is needed")?;
        if order.status.is_empty() {
            return Err("`status` is needed".into());
        }
        let code = order.code.unwrap_or(if order.status == "failed" { 131_000 } else { 0 });
        let known = serde_json::from_value::<Status>(Value::from(order.status.as_str())).ok();
        let told = wamid::random_part(wamid)
            .zip(known)
            .and_then(|(id, status)| self.network.ordered(id, Act::Status { status, code, priced: false }));
        let number = match (&told, &order.phone_number_id) {
            (_, Some(id)) => self.known(id)?,
            (Some(told), None) => told.number,
            (None, None) => {
                return Err("the ledger does not know this id: `phone_number_id` is needed".into());
            }
        };
        let now = self.network.clock.unix_ms(self.network.clock.now_ns()) / 1_000;
        let of_ledger =
            |pick: fn(&crate::network::ledger::Told) -> Option<&str>| told.as_ref().and_then(pick);
        let line = StatusLine {
            wamid,
            to: order.to.as_deref().or(of_ledger(|told| Some(&told.to))).unwrap_or_default(),
            reference: order.reference.as_deref().or(of_ledger(|told| told.reference.as_deref())),
            status: &order.status,
            code,
            price: None,
            sent_ms: now * 1_000,
            unix_s: order.timestamp.unwrap_or(now),
        };
        let behaviour = self.network.behaviour.get();
        self.delivery.offer(envelope::status(number, &line, &self.network.phones, &behaviour));
        Ok(json!({"told": true, "known": told.is_some()}))
    }

    fn known(&self, phone_number_id: &str) -> Result<usize, String> {
        self.network
            .number(phone_number_id)
            .ok_or_else(|| "`phone_number_id` is not a number of this sandbox".into())
    }

    fn turn(&self, part: &Value) -> Result<Value, String> {
        let whole = self.network.behaviour.get().merged(part).map_err(|refused| refused.to_string())?;
        let shown = to_value(&whole)?;
        self.network.behaviour.set(whole);
        self.delivery.wake();
        Ok(shown)
    }

    async fn receiver(&self, raw: &[u8]) -> Result<Value, String> {
        let wanted: Receiver = from(raw)?;
        let url = wanted.url.as_deref();
        if let Some(url) = url.filter(|_| wanted.verify) {
            self.delivery
                .verify(url, self.delivery.verify_token())
                .await
                .map_err(|refused| refused.to_string())?;
        }
        self.delivery.subscribe(url).map_err(|refused| refused.to_string())?;
        Ok(json!({"url": url, "verified": wanted.verify && url.is_some()}))
    }

    fn hold(&self, paused: bool) -> Result<Value, String> {
        self.delivery.hold(paused);
        Ok(json!({"paused": paused}))
    }

    /// Puts the clock ahead.
    pub(crate) fn advance(&self, ms: u64) -> Value {
        self.network.advance(ms);
        self.perform_due();
        self.delivery.wake();
        json!({"advanced_ms": ms})
    }

    /// Forgets everything but configuration, behaviour and receiver.
    pub(crate) fn reset(&self) {
        self.network.reset();
        self.agenda.clear();
        self.scripts.clear();
        self.numbers.clear(&self.network.numbers);
        self.media.clear();
        self.uploads.clear();
        self.templates.clear();
        self.blocks.clear();
        self.usage.clear();
        self.insights.lock().clear();
        self.delivery.reset();
    }
}

fn from<T: for<'de> Deserialize<'de>>(raw: &[u8]) -> Result<T, String> {
    serde_json::from_slice(raw).map_err(|wrong| wrong.to_string())
}

fn to_value<T: Serialize>(value: &T) -> Result<Value, String> {
    serde_json::to_value(value).map_err(|wrong| wrong.to_string())
}

fn wrong(status: StatusCode, sentence: &str) -> Answer {
    answer_json(status, json!({"error": sentence}).to_string())
}
