//! What a sandbox has counted: the shape of `GET /_sim/stats`. Not the counting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::FaultKind;

/// Counters since the start or the last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Messages WhatsApp has, whatever the caller heard.
    pub accepted: u64,
    /// Distinct `biz_opaque_callback_data` among them.
    pub unique_references: u64,
    /// Distinct recipients among them.
    pub unique_recipients: u64,
    /// Accepted messages beyond the first of their reference.
    pub repeated: u64,
    /// Accepted messages beyond the first of their pair (business number, recipient).
    pub repeated_recipients: u64,
    /// Requests refused with a Graph error, per code.
    pub rejected: BTreeMap<u32, u64>,
    /// Requests neither accepted nor answered with a Graph error.
    pub lost: u64,
    /// Read receipts and typing indicators.
    pub receipts: u64,
    /// Status webhooks produced per status, repetitions included.
    pub statuses: BTreeMap<String, u64>,
    /// Distinct messages per status and answer.
    pub messages: Settled,
    /// Distinct messages that failed later, per code.
    pub failed: BTreeMap<u32, u64>,
    /// Phones that blocked a number.
    #[serde(default)]
    pub blocks: u64,
    /// Replies of users to messages.
    pub replies: u64,
    /// All messages of users, replies and ordered ones.
    pub inbound: u64,
    /// Faults injected per kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Statuses and replies still to come.
    pub scheduled_events: u64,
    /// Webhooks on their way.
    pub webhooks: WebhookStats,
    /// Media.
    #[serde(default)]
    pub media: MediaStats,
}

/// Media since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaStats {
    /// Files a business uploaded.
    pub uploads: u64,
    /// Downloads of bytes, whoever sent the file.
    pub downloads: u64,
    /// Files a business deleted.
    pub deleted: u64,
    /// Files there are, users' files included.
    pub kept: u64,
}

/// Webhooks since the start or the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookStats {
    /// Statuses and messages produced while somebody was subscribed.
    pub updates: u64,
    /// Statuses and messages produced while nobody was: gone.
    pub unsubscribed: u64,
    /// Updates not acknowledged yet: waiting, in flight or to be repeated.
    pub pending: u64,
    /// Distinct POST bodies offered.
    pub offered: u64,
    /// POST bodies answered with 2xx.
    pub acked: u64,
    /// POSTs beyond the first of their body.
    pub retried: u64,
    /// POST bodies given up after seven days.
    pub abandoned: u64,
}

/// Distinct messages that got a status or an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Messages with a `sent`.
    pub sent: u64,
    /// Messages with a `delivered`.
    pub delivered: u64,
    /// Messages with a `read`.
    pub read: u64,
    /// Messages with a `failed`.
    pub failed: u64,
    /// Messages a user answered.
    pub replied: u64,
}

impl Stats {
    /// Whether nothing more will happen by itself and every webhook has been acknowledged.
    pub fn is_settled(&self) -> bool {
        self.scheduled_events == 0 && self.webhooks.pending == 0
    }
}
