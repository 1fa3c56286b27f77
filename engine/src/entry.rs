//! The vocabulary of what happened: every line of the journal is one [`Entry`]. A new field is a new kind; no
//! kind ever changes its meaning. Bytes belong to the schema's codec, meaning to [`crate::overlay`]'s fold.

mod quoted;
mod range;
mod report;
mod weight;

pub use quoted::Quoted;
pub use range::Range;
pub use report::{Outcome, StatusReport, StatusRest};

use crate::address::Address;
use crate::beside::Beside;
use crate::campaign::Verb;
use crate::cause::Cause;
use crate::content::Content;
use crate::id::{
    CampaignId, CommandId, ConversationId, KeyId, MediaId, MessageId, SessionId, TenantId, WebhookId,
};
use crate::notice::Notice;
use crate::once::Once;
use crate::optout::Wish;
use crate::pacing::{Held, Lane};
use crate::part::PartStart;
use crate::time::Timestamp;
use std::sync::Arc;

/// The entry's number in its shard, from 1; the same on every backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The one `count` places later.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose it is.
    pub tenant: TenantId,
    /// When Kabar learned it.
    pub at: Timestamp,
    /// What it was.
    pub what: What,
}

/// What can happen. Numbers of recipients in lists are bounded so that an entry stays below 32 KiB.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A node took the shard under this epoch.
    Opened {
        /// The new epoch.
        epoch: u64,
    },
    /// A conversation came to be; its first address stands beside.
    Conversation(Box<ConversationOpened>),
    /// A further address of a conversation became known (a user id beside the phone).
    Alias {
        /// The session.
        session: SessionId,
        /// The conversation.
        conversation: ConversationId,
        /// The further address.
        address: Address,
    },
    /// An outbound message was accepted from the API, a bot or a person.
    Intent(Box<Intent>),
    /// These messages go on the wire now.
    Claim {
        /// The sending session.
        session: SessionId,
        /// At most 256.
        messages: Vec<MessageId>,
        /// What had held the session's waiting messages up until now.
        held: Option<Held>,
    },
    /// These claims were taken back before a byte was written.
    Released {
        /// The session.
        session: SessionId,
        /// At most 256.
        messages: Vec<MessageId>,
    },
    /// These claims have no result and none will come: their outcome is not known.
    Parked {
        /// The session.
        session: SessionId,
        /// At most 256.
        messages: Vec<MessageId>,
    },
    /// The provider answered.
    Results(Vec<(MessageId, Outcome)>),
    /// The provider reported.
    Statuses(Vec<StatusReport<MessageId>>),
    /// Waiting for proof ended: as `again` says, unknown or sent once more.
    Resolved {
        /// Sent once more instead of becoming unknown.
        again: bool,
        /// At most 256.
        messages: Vec<MessageId>,
    },
    /// Ended before they were sent.
    Ended {
        /// `None`: their validity passed; otherwise failed with this cause.
        cause: Option<Cause>,
        /// At most 256.
        messages: Vec<MessageId>,
        /// The idempotency key under which one was cancelled.
        once: Option<Box<Once>>,
    },
    /// A person wrote.
    Inbound(Box<Inbound>),
    /// A person, or the tenant for a person, changed consent.
    Consent {
        /// The person.
        address: Address,
        /// In or out.
        wish: Wish,
        /// Where it was said.
        source: ConsentSource,
        /// The idempotency key under which it was said.
        once: Option<Box<Once>>,
    },
    /// The campaign's recipients are fixed.
    Frozen(Box<Frozen>),
    /// The tenant wants the campaign in another phase.
    Moved {
        /// The campaign.
        campaign: CampaignId,
        /// What is wanted.
        verb: Verb,
        /// Names this want to the parts.
        command: CommandId,
        /// The idempotency key under which it was wanted.
        once: Option<Box<Once>>,
    },
    /// Parts have taken the command over.
    Obeyed {
        /// The campaign.
        campaign: CampaignId,
        /// The command.
        command: CommandId,
        /// Which parts.
        parts: Vec<u32>,
    },
    /// Every recipient of the campaign has ended.
    Finished {
        /// The campaign.
        campaign: CampaignId,
    },
    /// A part came to its session's shard.
    PartStarted(Box<PartStart>),
    /// A command reached a part.
    PartMoved {
        /// The campaign.
        campaign: CampaignId,
        /// The part.
        part: u32,
        /// What is wanted.
        verb: Verb,
        /// The command's name; an older one than the last is ignored.
        command: CommandId,
    },
    /// These recipients go on the wire now.
    PartClaim {
        /// The campaign.
        campaign: CampaignId,
        /// Ranges of indexes.
        ranges: Vec<Range>,
        /// What had held the part up until now.
        held: Option<Held>,
    },
    /// Claims taken back before a byte was written.
    PartReleased {
        /// The campaign.
        campaign: CampaignId,
        /// Ranges of indexes.
        ranges: Vec<Range>,
    },
    /// Claims whose outcome is not known.
    PartParked {
        /// The campaign.
        campaign: CampaignId,
        /// Ranges of indexes.
        ranges: Vec<Range>,
    },
    /// The provider answered for recipients.
    PartResults {
        /// The campaign.
        campaign: CampaignId,
        /// At most 256.
        results: Vec<(u32, Outcome)>,
    },
    /// The provider reported on recipients.
    PartStatuses {
        /// The campaign.
        campaign: CampaignId,
        /// At most 512.
        statuses: Vec<StatusReport<u32>>,
    },
    /// Waiting for proof ended.
    PartResolved {
        /// The campaign.
        campaign: CampaignId,
        /// Sent once more instead of becoming unknown.
        again: bool,
        /// Ranges of indexes.
        ranges: Vec<Range>,
    },
    /// Recipients ended before they were sent.
    PartEnded {
        /// The campaign.
        campaign: CampaignId,
        /// `None`: the validity passed; otherwise failed with this cause.
        cause: Option<Cause>,
        /// Ranges of indexes.
        ranges: Vec<Range>,
    },
    /// Recipients wait for their send window.
    PartDeferred {
        /// The campaign.
        campaign: CampaignId,
        /// Not before.
        due: Timestamp,
        /// Ranges of indexes.
        ranges: Vec<Range>,
    },
    /// Every recipient of a part has ended.
    PartFinished {
        /// The campaign.
        campaign: CampaignId,
        /// The part.
        part: u32,
    },
    /// A recipient answered: its message joins the conversation's history for good.
    Touched {
        /// The campaign.
        campaign: CampaignId,
        /// The recipient.
        index: u32,
        /// The session it was sent from.
        session: SessionId,
        /// The conversation.
        conversation: ConversationId,
        /// The recipient's message id (chunk base + offset).
        message: MessageId,
    },
    /// What a person sent is kept here now.
    MediaStored {
        /// The message it came with.
        message: MessageId,
        /// The file.
        media: MediaId,
    },
    /// What a person sent could not be fetched, and will not be.
    MediaFailed {
        /// The message it came with.
        message: MessageId,
        /// Why not.
        cause: Cause,
    },
    /// A webhook subscription failed for too long and is served no more.
    WebhookDisabled {
        /// Which.
        webhook: WebhookId,
        /// Since when no delivery has succeeded.
        since: Timestamp,
    },
    /// The provider told something of a number or an account.
    Notice(Box<Notice>),
    /// What the provider said of calls it refused; it stands before their results.
    Quoted(Box<Quoted>),
}

/// A conversation's begin.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationOpened {
    /// Its id, allocated by the shard.
    pub id: ConversationId,
    /// The number it belongs to.
    pub session: SessionId,
    /// The person.
    pub address: Address,
}

/// An accepted outbound message.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// Its id.
    pub id: MessageId,
    /// The sending session.
    pub session: SessionId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The recipient.
    pub to: Address,
    /// The body.
    pub content: Arc<Content>,
    /// Its lane.
    pub lane: Lane,
    /// Not before this moment.
    pub due: Timestamp,
    /// `expired` when not sent by then.
    pub valid_until: Timestamp,
    /// The quoted message's provider id.
    pub context: Option<Arc<str>>,
    /// Hashes of the idempotency key and of the request's body.
    pub idempotency: Option<Idempotency>,
    /// The API key it was asked with; `None`: the operator's.
    pub by: Option<KeyId>,
    /// What the caller wants to see again in everything that is told of it.
    pub tag: Option<Arc<str>>,
    /// The provider's hash of who the recipient must still be.
    pub identity: Option<Arc<str>>,
}

/// What makes a repeat of a request recognisable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// 128-bit hash of the key.
    pub key: u128,
    /// 128-bit hash of the body.
    pub body: u128,
}

/// A received message.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbound {
    /// Its id.
    pub id: MessageId,
    /// The number it came to.
    pub session: SessionId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Who wrote.
    pub from: Address,
    /// The name the person shows.
    pub name: Option<String>,
    /// The provider's id: repeats are recognised by it.
    pub provider_id: Arc<str>,
    /// The provider's time.
    pub sent_at: Timestamp,
    /// The body.
    pub content: Arc<Content>,
    /// The quoted message's provider id.
    pub context: Option<Arc<str>>,
    /// What stands beside the body.
    pub beside: Option<Box<Beside>>,
}

/// Where a consent was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ConsentSource {
    /// A word like STOP or BERHENTI in a message.
    Word = 1,
    /// WhatsApp's own switch, or its code 131050.
    Provider = 2,
    /// The tenant by API.
    Api = 3,
}

impl ConsentSource {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Word, Self::Provider, Self::Api].into_iter().find(|s| *s as u8 == byte)
    }
}

/// The frozen audience, counted in the order of design: imported − opted out − missing variable −
/// had enough marketing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The campaign.
    pub campaign: CampaignId,
    /// Which attempt to freeze is the valid one; others are garbage in the ledger.
    pub attempt: u32,
    /// Contacts in the audience.
    pub audience: u64,
    /// Of them opted out.
    pub opted_out: u64,
    /// Of the rest, those that miss a variable without a default.
    pub missing_variable: u64,
    /// Of the rest, those that have had enough marketing.
    pub frequency_capped: u64,
    /// One line a part, in order of the part's number.
    pub parts: Vec<PartLine>,
    /// SHA-256 over all chunks.
    pub digest: [u8; 32],
}

/// A part in the campaign's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartLine {
    /// The session it is sent from; its shard holds the part.
    pub session: SessionId,
    /// How many recipients.
    pub recipients: u32,
}

impl What {
    /// The kind's stable name, for logs, events and golden files.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Conversation(_) => "conversation",
            Self::Alias { .. } => "alias",
            Self::Intent(_) => "intent",
            Self::Claim { .. } => "claim",
            Self::Released { .. } => "released",
            Self::Parked { .. } => "parked",
            Self::Results(_) => "results",
            Self::Statuses(_) => "statuses",
            Self::Resolved { .. } => "resolved",
            Self::Ended { .. } => "ended",
            Self::Inbound(_) => "inbound",
            Self::Consent { .. } => "consent",
            Self::Frozen(_) => "frozen",
            Self::Moved { .. } => "moved",
            Self::Obeyed { .. } => "obeyed",
            Self::Finished { .. } => "finished",
            Self::PartStarted(_) => "part_started",
            Self::PartMoved { .. } => "part_moved",
            Self::PartClaim { .. } => "part_claim",
            Self::PartReleased { .. } => "part_released",
            Self::PartParked { .. } => "part_parked",
            Self::PartResults { .. } => "part_results",
            Self::PartStatuses { .. } => "part_statuses",
            Self::PartResolved { .. } => "part_resolved",
            Self::PartEnded { .. } => "part_ended",
            Self::PartDeferred { .. } => "part_deferred",
            Self::PartFinished { .. } => "part_finished",
            Self::Touched { .. } => "touched",
            Self::MediaStored { .. } => "media_stored",
            Self::MediaFailed { .. } => "media_failed",
            Self::WebhookDisabled { .. } => "webhook_disabled",
            Self::Notice(_) => "notice",
            Self::Quoted(_) => "quoted",
        }
    }
}
