//! How the simulated WhatsApp behaves: delays, rates, limits and faults, all drawn from the seed.
//! Not the drawing itself: that is `network::fate`.

mod integrity;
mod preset;

pub use integrity::{Integrity, OverLimit};

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// Every knob. Rates are shares from 0 to 1, times are milliseconds.
///
/// The default is the plain happy path at a fast pace: every message is sent, delivered and read
/// within a fifth of a second, nobody answers, nothing breaks, both limits hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Behaviour {
    /// Latency of the send call.
    pub answer_ms: Delay,
    /// Whether status webhooks are produced at all.
    pub statuses: bool,
    /// From the answer to `sent`.
    pub sent_ms: Delay,
    /// From `sent` to `delivered` (or to a late `failed`).
    pub delivered_ms: Delay,
    /// From `delivered` to `read`.
    pub read_ms: Delay,
    /// Share of phones that cannot be reached: every message to them fails later with 131026.
    pub undeliverable: f64,
    /// Share of sends refused in the answer.
    pub fail_in_answer: f64,
    /// Codes such a refusal draws from.
    pub fail_in_answer_codes: Vec<u32>,
    /// Share of read messages whose `delivered` never comes (the chat was open).
    pub missing_delivered: f64,
    /// Share of phones with read receipts switched off.
    pub no_read: f64,
    /// Share of delivered messages the other phones read.
    pub read_rate: f64,
    /// Share of messages of which two neighbouring statuses arrive swapped.
    pub out_of_order: f64,
    /// Share of statuses that arrive twice.
    pub duplicate: f64,
    /// Share of messages whose `sent` leaves before the send's own answer.
    pub status_before_answer: f64,
    /// Share of delivered messages that are answered.
    pub reply_rate: f64,
    /// From delivery to the reply.
    pub reply_delay: Delay,
    /// Share of the replies that say STOP or BERHENTI.
    pub stop_rate: f64,
    /// Most updates in one webhook POST (1 to 1000).
    pub webhook_batch_max: usize,
    /// How long an update may wait for company.
    pub webhook_linger_ms: u64,
    /// POSTs in flight at once.
    pub webhook_concurrency: usize,
    /// How long one POST may take before it counts as failed.
    pub webhook_timeout_ms: u64,
    /// Pauses before the repetitions of a POST; the last one repeats, for 7 days.
    pub retry_schedule_ms: Vec<u64>,
    /// How webhook bodies are escaped.
    pub escape: Escape,
    /// HTTP status of 130429 and 131056: 400 or 429 (both are seen in the field).
    pub throttle_status: u16,
    /// `Retry-After` of a throttled answer in seconds; 0 leaves the header out.
    pub throttle_retry_after_s: u32,
    /// One message per 6 s and pair, burst 45, else 131056.
    pub pair_limit: bool,
    /// The number's messages per second, else 130429.
    pub throughput_limit: bool,
    /// How much of its rate an idle number may send at once.
    pub burst_ms: u64,
    /// Whether inbound messages use up the number's throughput, as Meta says.
    pub inbound_counts: bool,
    /// Whether free-form messages outside the 24-hour window fail with 131047.
    pub enforce_window: bool,
    /// Which identifiers of a user webhooks show.
    pub user_ids: UserIds,
    /// Whether sent, delivered and read webhooks carry `contacts`.
    pub status_contacts: bool,
    /// Whether a template name an account never had is refused with 132001; otherwise it is let through unchecked.
    pub strict_templates: bool,
    /// From the creation or change of a template (or a number's new name) to the decision about it.
    pub review_ms: u64,
    /// Sends after which a template called `pause_…` pauses.
    pub pause_after_sends: u32,
    /// Management calls per account and hour, else 80007; 0: without a limit.
    pub management_limit_per_hour: u32,
    /// Whether every call must prove that it knows the app's secret.
    pub require_appsecret_proof: bool,
    /// Limits over many messages, quality, pacing, prices.
    pub integrity: Integrity,
    /// What breaks on the way.
    pub faults: Faults,
}

/// What breaks on the way; at most one fault meets a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// HTTP 429 with code 130429; not accepted.
    pub rate_429: f64,
    /// HTTP 500 with a Graph error body; not accepted.
    pub rate_500_graph: f64,
    /// Code of that body.
    pub graph_500_code: u32,
    /// HTTP 502 with an HTML body.
    pub rate_bare_502: f64,
    /// Share of the bare 502s behind which the message was accepted all the same.
    pub accepted_share: f64,
    /// Accepted, answered `slow_ms` late.
    pub rate_slow: f64,
    /// How late.
    pub slow_ms: u64,
    /// Accepted, then the connection closes without an answer.
    pub rate_drop_after_accept: f64,
    /// The connection is reset before anything was accepted.
    pub rate_reset_before_accept: f64,
}

/// A log-normal delay in milliseconds; `p50_ms` 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delay {
    /// Never shorter.
    pub min_ms: u64,
    /// The median.
    pub p50_ms: u64,
    /// The 99th percentile; not above `p50_ms` means always `p50_ms`.
    pub p99_ms: u64,
    /// Never longer; 0 is no bound.
    pub max_ms: u64,
}

impl Delay {
    /// No delay.
    pub const NONE: Self = Self { min_ms: 0, p50_ms: 0, p99_ms: 0, max_ms: 0 };

    /// Always the same delay.
    pub const fn fixed(ms: u64) -> Self {
        Self { min_ms: 0, p50_ms: ms, p99_ms: ms, max_ms: 0 }
    }

    /// Spread between two bounds, both in milliseconds.
    pub const fn spread(p50_ms: u64, p99_ms: u64, max_ms: u64) -> Self {
        Self { min_ms: 0, p50_ms, p99_ms, max_ms }
    }
}

/// How webhook bodies are escaped before they are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Escape {
    /// Non-ASCII as lower-case `\uXXXX`, as Meta does.
    #[default]
    Unicode,
    /// The same, and `/` as `\/`, `<`, `>`, `&`, `%`, `@` as `\uXXXX`.
    UnicodeAndSigns,
    /// Plain UTF-8.
    None,
}

/// Which identifiers of a user webhooks show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserIds {
    /// The phone number alone, as before 2026.
    Phone,
    /// Phone number and business-scoped user id.
    #[default]
    Both,
    /// The user id alone, as of users who hide their number.
    UserId,
}

/// A behaviour that cannot be.
#[derive(Debug, Error, PartialEq)]
pub enum BehaviourError {
    /// A value outside its range.
    #[error("{field} = {value} is outside {allowed}")]
    OutOfRange {
        /// The knob.
        field: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// Not the shape of a behaviour: wrong knob or wrong kind of value.
    #[error("{0}")]
    Shape(String),
}

impl Behaviour {
    /// The portfolio's limit as numbers show it.
    pub(crate) fn messaging_tier(&self) -> &'static str {
        self.integrity.tier()
    }

    /// This behaviour with the knobs of `part` turned; objects merge, everything else replaces.
    /// A wrong knob or value leaves everything as it was.
    pub fn merged(&self, part: &Value) -> Result<Self, BehaviourError> {
        let shape = |wrong: serde_json::Error| BehaviourError::Shape(wrong.to_string());
        let mut whole = serde_json::to_value(self).map_err(shape)?;
        merge(&mut whole, part);
        let turned: Self = serde_json::from_value(whole).map_err(shape)?;
        turned.check()?;
        Ok(turned)
    }

    /// Whether every value lies in its range.
    pub fn check(&self) -> Result<(), BehaviourError> {
        let f = &self.faults;
        let together = [
            f.rate_429,
            f.rate_500_graph,
            f.rate_bare_502,
            f.rate_slow,
            f.rate_drop_after_accept,
            f.rate_reset_before_accept,
        ];
        for (field, value) in self.rates().into_iter().chain(self.integrity.rates()).chain([
            ("faults.accepted_share", f.accepted_share),
            ("the sum of the rates in faults", together.iter().sum()),
            ("the smallest rate in faults", together.iter().copied().fold(1.0, f64::min)),
        ]) {
            if !(0.0..=1.0).contains(&value) {
                return Err(out_of_range(field, value, "0 to 1"));
            }
        }
        if !(1..=1_000).contains(&self.webhook_batch_max) {
            return Err(out_of_range("webhook_batch_max", self.webhook_batch_max, "1 to 1000"));
        }
        if !(1..=1_024).contains(&self.webhook_concurrency) {
            return Err(out_of_range("webhook_concurrency", self.webhook_concurrency, "1 to 1024"));
        }
        if self.webhook_timeout_ms == 0 {
            return Err(out_of_range("webhook_timeout_ms", 0, "1 and more"));
        }
        if self.retry_schedule_ms.is_empty() {
            return Err(out_of_range("retry_schedule_ms", "[]", "one pause and more"));
        }
        if ![400, 429].contains(&self.throttle_status) {
            return Err(out_of_range("throttle_status", self.throttle_status, "400 or 429"));
        }
        if self.fail_in_answer > 0.0 && self.fail_in_answer_codes.is_empty() {
            return Err(out_of_range("fail_in_answer_codes", "[]", "one code and more"));
        }
        Ok(())
    }

    fn rates(&self) -> [(&'static str, f64); 10] {
        [
            ("undeliverable", self.undeliverable),
            ("fail_in_answer", self.fail_in_answer),
            ("missing_delivered", self.missing_delivered),
            ("no_read", self.no_read),
            ("read_rate", self.read_rate),
            ("out_of_order", self.out_of_order),
            ("duplicate", self.duplicate),
            ("status_before_answer", self.status_before_answer),
            ("reply_rate", self.reply_rate),
            ("stop_rate", self.stop_rate),
        ]
    }
}

/// The behaviour in force; replaced as a whole, read by every request.
#[derive(Debug)]
pub(crate) struct BehaviourCell(RwLock<Arc<Behaviour>>);

impl BehaviourCell {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        Self(RwLock::new(Arc::new(behaviour)))
    }

    pub(crate) fn get(&self) -> Arc<Behaviour> {
        Arc::clone(&self.0.read())
    }

    pub(crate) fn set(&self, behaviour: Behaviour) {
        *self.0.write() = Arc::new(behaviour);
    }
}

fn out_of_range(field: &'static str, value: impl ToString, allowed: &'static str) -> BehaviourError {
    BehaviourError::OutOfRange { field, value: value.to_string(), allowed }
}

fn merge(whole: &mut Value, part: &Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (key, value) in part {
                merge(whole.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (whole, part) => *whole = part.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_preset_is_within_its_ranges() {
        for preset in [Behaviour::default(), Behaviour::demo(), Behaviour::quiet(), Behaviour::realistic()] {
            assert_eq!(preset.check(), Ok(()));
        }
    }

    #[test]
    fn a_part_turns_only_its_own_knobs() {
        let turned = Behaviour::demo()
            .merged(&json!({"reply_rate": 1, "faults": {"rate_429": 0.25}, "escape": "none"}))
            .unwrap();
        assert_eq!(turned.reply_rate, 1.0);
        assert_eq!(turned.faults.rate_429, 0.25);
        assert_eq!(turned.faults.accepted_share, Faults::default().accepted_share);
        assert_eq!(turned.escape, Escape::None);
        assert_eq!(turned.stop_rate, Behaviour::demo().stop_rate);
    }

    #[test]
    fn a_wrong_knob_or_value_is_named() {
        let plain = Behaviour::default();
        assert!(plain.merged(&json!({"repli_rate": 1})).unwrap_err().to_string().contains("repli_rate"));
        assert!(plain.merged(&json!({"duplicate": 1.5})).unwrap_err().to_string().contains("duplicate"));
        assert!(plain.merged(&json!({"faults": {"rate_429": 0.7, "rate_slow": 0.7}})).is_err());
        assert!(plain.merged(&json!({"faults": {"rate_429": -0.1}})).is_err());
        assert!(plain.merged(&json!({"throttle_status": 500})).is_err());
    }
}
