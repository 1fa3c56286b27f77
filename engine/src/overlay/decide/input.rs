//! What can be asked of a shard, and what the askers bring. Not what is answered, and not how it is decided.

use crate::address::Address;
use crate::beside::Beside;
use crate::campaign::Verb;
use crate::cause::Cause;
use crate::content::Content;
use crate::entry::{ConsentSource, Frozen, Idempotency, StatusReport};
use crate::id::{CampaignId, CommandId, KeyId, MediaId, MessageId, SessionId, TenantId, WebhookId};
use crate::notice::Notice;
use crate::optout::Wish;
use crate::outgoing::{Accepted, Reference, SendError};
use crate::pacing::{Held, Lane};
use crate::schedule::Hours;
use crate::time::Timestamp;
use std::sync::Arc;

/// What can be asked of a shard.
#[derive(Debug, Clone)]
pub enum Input {
    /// Send one message.
    Send(Box<Draft>),
    /// Give me the next messages for the wire: at most `max`.
    Claim {
        /// Whose.
        tenant: TenantId,
        /// Which number.
        session: SessionId,
        /// At most, and never above 256.
        max: usize,
        /// What had held the waiting ones up until now.
        held: Option<Held>,
    },
    /// These claims were not used.
    Release {
        /// Whose.
        tenant: TenantId,
        /// Which number.
        session: SessionId,
        /// The claims.
        messages: Vec<MessageId>,
    },
    /// A new session actor begins: whatever is claimed has lost its caller. At most 256 at a time.
    Adopt {
        /// Whose.
        tenant: TenantId,
        /// Which number.
        session: SessionId,
    },
    /// The provider answered, or did not.
    Answers {
        /// Whose.
        tenant: TenantId,
        /// Which number.
        session: SessionId,
        /// At most 256.
        results: Vec<(MessageId, Result<Accepted, SendError>)>,
        /// For the jitter of retries.
        random: u64,
    },
    /// Time has passed: expire what is overdue, resolve what found no proof.
    Due {
        /// Whose.
        tenant: TenantId,
        /// Which number.
        session: SessionId,
        /// How long proof is waited for.
        proof_ms: i64,
        /// Send once more instead of `unknown`.
        resend: bool,
    },
    /// The number is gone: what waits there ends. At most 256 at a time.
    Clear {
        /// Whose.
        tenant: TenantId,
        /// Which number.
        session: SessionId,
    },
    /// Do not send it.
    CancelMessage {
        /// Whose.
        tenant: TenantId,
        /// Which.
        message: MessageId,
        /// What makes a repeat recognisable.
        idempotency: Option<Idempotency>,
    },
    /// The provider reported.
    Statuses {
        /// Whose.
        tenant: TenantId,
        /// The number they are for.
        session: SessionId,
        /// The reports in order.
        reports: Vec<StatusReport<Reference>>,
    },
    /// People wrote.
    Receive {
        /// Whose.
        tenant: TenantId,
        /// The number they wrote to.
        session: SessionId,
        /// The messages in order.
        messages: Vec<Received>,
    },
    /// What a person sent was fetched, or could not be.
    Media {
        /// Whose.
        tenant: TenantId,
        /// The number it was sent to.
        session: SessionId,
        /// The provider's id of the message.
        provider_id: Arc<str>,
        /// The file, or why there is none.
        fetched: Result<MediaId, Cause>,
    },
    /// Consent changed, not by a message.
    Consent {
        /// Whose.
        tenant: TenantId,
        /// Through which number it was heard, if one is named.
        session: Option<SessionId>,
        /// The person.
        address: Address,
        /// In or out.
        wish: Wish,
        /// Where it was said.
        source: ConsentSource,
        /// What makes a repeat recognisable.
        idempotency: Option<Idempotency>,
    },
    /// A subscription is served no more (its own shard).
    DisableWebhook {
        /// Whose.
        tenant: TenantId,
        /// Which.
        webhook: WebhookId,
        /// Since when no delivery has succeeded.
        since: Timestamp,
    },
    /// The provider told something of a number (its shard) or an account (a shard by its name).
    Notice {
        /// Whose.
        tenant: TenantId,
        /// What.
        notice: Box<Notice>,
    },
    /// Start a campaign (its own shard).
    Launch {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: CampaignId,
        /// What makes a repeat recognisable.
        idempotency: Option<Idempotency>,
    },
    /// Its audience is frozen.
    Freeze {
        /// Whose.
        tenant: TenantId,
        /// The frozen audience.
        frozen: Frozen,
    },
    /// Pause, resume or cancel it.
    Move {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: CampaignId,
        /// What is wanted.
        verb: Verb,
        /// What makes a repeat recognisable.
        idempotency: Option<Idempotency>,
    },
    /// Parts obeyed.
    Obey {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: CampaignId,
        /// The command.
        command: CommandId,
        /// The parts.
        parts: Vec<u32>,
    },
    /// Every part is finished.
    Finish {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: CampaignId,
    },
    /// A campaign's command to one of its parts (the session's shard); begins the part when it is new.
    Order(Box<PartOrder>),
    /// Give me the next recipients for the wire.
    PartClaim(PartClaim),
    /// These claims were not used.
    PartRelease {
        /// Whose.
        tenant: TenantId,
        /// Which campaign.
        campaign: CampaignId,
        /// Which part.
        part: u32,
        /// The indexes, sorted.
        indexes: Vec<u32>,
    },
    /// A new part actor begins: whatever is claimed has lost its caller.
    PartAdopt {
        /// Whose.
        tenant: TenantId,
        /// Which campaign.
        campaign: CampaignId,
        /// Which part.
        part: u32,
    },
    /// The provider answered, or did not.
    PartAnswers {
        /// Whose.
        tenant: TenantId,
        /// Which campaign.
        campaign: CampaignId,
        /// Which part.
        part: u32,
        /// At most 256.
        results: Vec<(u32, Result<Accepted, SendError>)>,
        /// For the jitter of retries.
        random: u64,
    },
    /// Time has passed for a part.
    PartDue {
        /// Whose.
        tenant: TenantId,
        /// Which campaign.
        campaign: CampaignId,
        /// Which part.
        part: u32,
        /// How long proof is waited for.
        proof_ms: i64,
        /// Send once more instead of `unknown`.
        resend: bool,
    },
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whose.
    pub tenant: TenantId,
    /// From which number.
    pub session: SessionId,
    /// To whom.
    pub to: Address,
    /// What; validated by the caller.
    pub content: Arc<Content>,
    /// How urgent.
    pub lane: Lane,
    /// Not before.
    pub due: Timestamp,
    /// `expired` when not sent by then.
    pub valid_until: Timestamp,
    /// The quoted message's provider id.
    pub context: Option<Arc<str>>,
    /// What makes a repeat recognisable.
    pub idempotency: Option<Idempotency>,
    /// The API key it is asked with; `None`: the operator's.
    pub by: Option<KeyId>,
    /// What the caller wants to see again in everything that is told of it.
    pub tag: Option<Arc<str>>,
    /// The provider's hash of who the recipient must still be.
    pub identity: Option<Arc<str>>,
    /// The person has had enough marketing from this tenant lately, and this would be more.
    pub had_enough: bool,
}

/// A message a person wrote.
#[derive(Debug, Clone)]
pub struct Received {
    /// The provider's id.
    pub provider_id: Arc<str>,
    /// Who wrote.
    pub from: Address,
    /// Another address of the same person.
    pub alias: Option<Address>,
    /// Further ones: of the person's organisation, or the new ones after a change of number.
    pub others: Vec<Address>,
    /// The name shown.
    pub name: Option<String>,
    /// The provider's time.
    pub sent_at: Timestamp,
    /// What.
    pub content: Arc<Content>,
    /// The quoted message's provider id.
    pub context: Option<Arc<str>>,
    /// What stands beside it.
    pub beside: Option<Box<Beside>>,
}

impl Received {
    /// Every address of the person, the sender's first.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.from).chain(&self.alias).chain(&self.others)
    }
}

/// A campaign's command to a part; carries the part's begin, so that it can be repeated alone.
#[derive(Debug, Clone)]
pub struct PartOrder {
    /// Whose.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The part.
    pub part: u32,
    /// The valid attempt to freeze.
    pub attempt: u32,
    /// The sending session.
    pub session: SessionId,
    /// The launch.
    pub launched: Timestamp,
    /// The end of validity.
    pub valid_until: Timestamp,
    /// First address and count of each chunk.
    pub chunks: Vec<(Address, u32)>,
    /// What is wanted.
    pub verb: Verb,
    /// The command's name.
    pub command: CommandId,
}

/// A wish for recipients to send to.
#[derive(Debug, Clone)]
pub struct PartClaim {
    /// Whose.
    pub tenant: TenantId,
    /// The campaign.
    pub campaign: CampaignId,
    /// The part.
    pub part: u32,
    /// At most, and never above 256.
    pub max: usize,
    /// Whether the content needs an open window.
    pub free_form: bool,
    /// The hours in the recipient's zone in which it may be sent.
    pub hours: Hours,
    /// What had held the part up until now.
    pub held: Option<Held>,
}
