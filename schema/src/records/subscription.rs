//! The webhook subscription, where its deliveries stand, and the log of its attempts: three nouns, because the first is
//! the tenant's and the others are written by whoever delivers. Not the events: those are the journal.

use super::Noun;
use kabar_engine::id::{EventId, SessionId, TenantId, WebhookId, hash64};
use kabar_engine::subscription::Envelope;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a subscription is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyDisabled {
    /// The tenant said so.
    Asked,
    /// Nothing was delivered for too long.
    Failing,
}

/// A secret that was replaced and still signs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The secret.
    pub secret: String,
    /// Until then.
    pub until: Timestamp,
}

/// A subscription. Sealed: it holds the secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: WebhookId,
    /// Whose.
    pub tenant: TenantId,
    /// Where to.
    pub url: String,
    /// In whose words it is told.
    #[serde(default)]
    pub envelope: Envelope,
    /// The words of the types that are wanted; all when not said.
    #[serde(default)]
    pub types: Option<Vec<String>>,
    /// The numbers whose events are wanted; all events when not said.
    #[serde(default)]
    pub sessions: Option<Vec<SessionId>>,
    /// What signs.
    pub secret: String,
    /// What signs besides, for a while.
    #[serde(default)]
    pub old_secrets: Vec<OldSecret>,
    /// The idempotency key the secret was last replaced under, as a hash.
    #[serde(default)]
    pub rotation: Option<String>,
    /// Why it is not served; `None`: it is.
    #[serde(default)]
    pub disabled: Option<WhyDisabled>,
    /// When that was last changed.
    pub switched: Timestamp,
    /// The body it was created with, as a hash.
    pub body_hash: String,
    /// When it was created.
    pub created: Timestamp,
}

impl Subscription {
    /// The secrets that sign at this moment, the newest first.
    #[must_use]
    pub fn secrets(&self, now: Timestamp) -> Vec<&str> {
        let old = self.old_secrets.iter().filter(|old| old.until > now).map(|old| old.secret.as_str());
        std::iter::once(self.secret.as_str()).chain(old).collect()
    }
}

impl std::fmt::Debug for Subscription {
    /// Without secrets, and without the address, which may hold one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

impl Noun for Subscription {
    const KIND: &'static str = "webhook";
    /// 2: with the envelope, which an older binary would get wrong.
    const VERSION: u32 = 2;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

/// An event that was read and is not delivered yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Which.
    pub event: EventId,
    /// What it keeps its order in.
    pub lane: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before.
    pub due: Timestamp,
}

/// Where a subscription's deliveries stand: what was read of the journal, and what of that still waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The subscription.
    pub id: WebhookId,
    /// Whose.
    pub tenant: TenantId,
    /// When it began.
    pub created: Timestamp,
    /// Entries that were read, per shard.
    pub cursor: Vec<(u8, u64)>,
    /// How many places of the entry behind were passed, per shard.
    #[serde(default)]
    pub inside: Vec<(u8, u32)>,
    /// Events from before this moment are passed.
    #[serde(default)]
    pub since: Option<Timestamp>,
    /// What waits, in order.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
    /// Since when nothing succeeds, and the last failure.
    #[serde(default)]
    pub failing: Option<(Timestamp, Timestamp)>,
    /// Pages of the log that were deleted, from the first on.
    #[serde(default)]
    pub log_begin: u64,
    /// The page of the log that is being written.
    #[serde(default)]
    pub log_end: u64,
    /// Events between its place and what was still kept when it came back were lost to it; the last time.
    #[serde(default)]
    pub missed: Option<Timestamp>,
}

impl Standing {
    /// One that has read everything up to `cursor` and has nothing to do.
    #[must_use]
    pub fn begin(tenant: TenantId, id: WebhookId, cursor: Vec<(u8, u64)>, created: Timestamp) -> Self {
        let (inside, waiting) = (Vec::new(), Vec::new());
        Self {
            id,
            tenant,
            created,
            cursor,
            inside,
            since: None,
            waiting,
            failing: None,
            log_begin: 0,
            log_end: 0,
            missed: None,
        }
    }
}

impl Noun for Standing {
    const KIND: &'static str = "webhook_standing";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// The other side has it.
    Delivered,
    /// It is tried again.
    Again,
    /// It is not tried again.
    Failed,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLine {
    /// The event.
    pub event: EventId,
    /// The word of its type.
    pub kind: String,
    /// The how manieth of this event, from 1.
    pub attempt: u32,
    /// When it began.
    pub at: Timestamp,
    /// Milliseconds until its outcome.
    pub took_ms: u32,
    /// The answer's status, when there was one.
    #[serde(default)]
    pub status: Option<u16>,
    /// Why there was no answer that counts.
    #[serde(default)]
    pub error: Option<String>,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// When it is tried again.
    #[serde(default)]
    pub next: Option<Timestamp>,
}

/// A page of the log of attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLog {
    /// The subscription.
    pub webhook: WebhookId,
    /// Whose.
    pub tenant: TenantId,
    /// Its number; the first is 0.
    pub page: u64,
    /// When it was begun.
    pub created: Timestamp,
    /// Its lines, in the order of their outcomes.
    pub lines: Vec<AttemptLine>,
}

impl AttemptLog {
    /// Lines of a full page.
    pub const LINES: usize = 128;

    /// The id of a page: the subscription and the number, hashed.
    #[must_use]
    pub fn id_of(webhook: WebhookId, page: u64) -> u64 {
        hash64(&[webhook.0.to_be_bytes(), page.to_be_bytes()].concat()) >> 1
    }
}

impl Noun for AttemptLog {
    const KIND: &'static str = "webhook_log";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        Self::id_of(self.webhook, self.page)
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
