//! Names of rows, the rows themselves and the set of changes a flush carries: the engine's half of the views
//! seam. Not SQL, not CQL.

use crate::address::Address;
use crate::campaign::CampaignRow;
use crate::chunk::{Chunk, ChunkKey};
use crate::consent::SuppressedRow;
use crate::conversation::ConversationRow;
use crate::entry::Position;
use crate::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use crate::mark::MarksRow;
use crate::message::{MessageRow, Stage};
use crate::pacing::Lane;
use crate::part::PartRow;
use crate::time::Timestamp;
use std::sync::Arc;

/// What the overlay can lack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A message by id.
    Message(MessageId),
    /// A conversation by id.
    Conversation(ConversationId),
    /// The conversation of an address.
    Address(SessionId, Address),
    /// Whether an inbound provider id (by its 63-bit hash) was seen.
    Seen(SessionId, u64),
    /// Whether an idempotency key (by its 128-bit hash) was used.
    Idempotency(SessionId, u128),
    /// A campaign's phase, in the campaign's own shard.
    Campaign(CampaignId),
    /// A part, with all its marks.
    Part(CampaignId, u32),
    /// The marks of one chunk (number in the campaign).
    Marks(CampaignId, u32),
    /// All parts a session has had.
    SessionParts(SessionId),
    /// Which chunk a message id without a row belongs to: the run at or before it in its shard.
    Run(MessageId),
    /// Every shard's row of a person's consent.
    Consent(TenantId, Address),
    /// A chunk of a frozen audience: from the ledger, not from the views.
    Chunk(ChunkKey),
}

/// What the views (or, for chunks, the ledger) hold under a [`Key`].
#[derive(Debug, Clone)]
pub enum Row {
    /// Nothing.
    Absent,
    /// A message.
    Message(Arc<MessageRow>),
    /// A conversation.
    Conversation(Arc<ConversationRow>),
    /// An address.
    Address(Arc<AddressRow>),
    /// A seen provider id.
    Seen(Arc<SeenRow>),
    /// A used idempotency key.
    Idempotency(Arc<IdempotencyRow>),
    /// A campaign.
    Campaign(Arc<CampaignRow>),
    /// A part and the marks of its chunks.
    Part(Arc<PartRow>, Vec<Arc<MarksRow>>),
    /// One chunk's marks.
    Marks(Arc<MarksRow>),
    /// A session's parts (without their marks), newest launch first.
    SessionParts(Vec<Arc<PartRow>>),
    /// A run.
    Run(Arc<RunRow>),
    /// Consents of all shards.
    Consent(Vec<SuppressedRow>),
    /// A chunk.
    Chunk(Arc<Chunk>),
}

/// Address → conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRow {
    /// Whose.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// The address.
    pub address: Address,
    /// The conversation it leads to.
    pub conversation: ConversationId,
    /// The last entry that changed it.
    pub upto: Position,
}

/// An inbound provider id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRow {
    /// The session.
    pub session: SessionId,
    /// 63-bit hash of the provider's id; the full id stands in the message.
    pub hash: u64,
    /// The message it became.
    pub message: MessageId,
    /// When.
    pub at: Timestamp,
    /// The last entry that changed it.
    pub upto: Position,
}

/// A used idempotency key; kept 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// The session: the scope is (tenant, session, key). For an action it is the number of what [`crate::once::Once`]
    /// names.
    pub session: SessionId,
    /// Hash of the key.
    pub key: u128,
    /// Hash of the body.
    pub body: u128,
    /// The message it made; 0 for an action, which makes none.
    pub message: MessageId,
    /// When.
    pub at: Timestamp,
    /// The last entry that changed it.
    pub upto: Position,
}

/// A reserved run of message ids: one chunk's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Whose.
    pub tenant: TenantId,
    /// The first id.
    pub base: MessageId,
    /// How many.
    pub count: u32,
    /// The campaign.
    pub campaign: CampaignId,
    /// The part.
    pub part: u32,
    /// The chunk's number in the campaign.
    pub chunk: u32,
    /// The last entry that changed it.
    pub upto: Position,
}

/// An unknown sender; contact reads merge it, saving it writes the contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredRow {
    /// Whose.
    pub tenant: TenantId,
    /// The person.
    pub address: Address,
    /// The name shown.
    pub name: Option<String>,
    /// Where it first wrote.
    pub session: SessionId,
    /// When.
    pub at: Timestamp,
    /// The last entry that changed it.
    pub upto: Position,
}

/// Where an open message lies in the outbox view: due work is found without a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxKey {
    /// Minute of the due time, from the Unix epoch.
    pub minute: u32,
    /// The lane.
    pub lane: Lane,
    /// The message; its shard is the outbox's.
    pub message: MessageId,
}

impl OutboxKey {
    /// The key of an open message.
    #[must_use]
    pub fn of(message: &MessageRow) -> Self {
        Self { minute: message.due.minute(), lane: message.lane, message: message.id }
    }
}

/// One change of the outbox view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxLine {
    /// The message waits, is on the wire or is parked.
    Open {
        /// Whose.
        tenant: TenantId,
        /// Where.
        key: OutboxKey,
        /// The sending session.
        session: SessionId,
        /// What it is doing.
        stage: Stage,
        /// Expires then.
        valid_until: Timestamp,
    },
    /// It moved or ended.
    Gone(OutboxKey),
}

/// What one flush of one shard carries to the views.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Outbox lines; gone ones first per message.
    pub outbox: Vec<OutboxLine>,
    /// Before this minute nothing is open once the lines are written; `None`: nothing is open at all.
    pub outbox_floor: Option<u32>,
    /// Messages.
    pub messages: Vec<Arc<MessageRow>>,
    /// Conversations.
    pub conversations: Vec<Arc<ConversationRow>>,
    /// Addresses.
    pub addresses: Vec<Arc<AddressRow>>,
    /// Seen provider ids.
    pub seen: Vec<Arc<SeenRow>>,
    /// Used idempotency keys.
    pub idempotency: Vec<Arc<IdempotencyRow>>,
    /// Campaigns.
    pub campaigns: Vec<Arc<CampaignRow>>,
    /// Parts.
    pub parts: Vec<Arc<PartRow>>,
    /// Marks.
    pub marks: Vec<Arc<MarksRow>>,
    /// Runs of ids.
    pub runs: Vec<Arc<RunRow>>,
    /// Consents this shard heard.
    pub suppressed: Vec<Arc<SuppressedRow>>,
    /// Unknown senders.
    pub discovered: Vec<Arc<DiscoveredRow>>,
}

impl Changes {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows to write.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outbox.len()
            + self.messages.len()
            + self.conversations.len()
            + self.addresses.len()
            + self.seen.len()
            + self.idempotency.len()
            + self.campaigns.len()
            + self.parts.len()
            + self.marks.len()
            + self.runs.len()
            + self.suppressed.len()
            + self.discovered.len()
    }
}
