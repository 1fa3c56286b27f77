//! The vocabulary of a message's steps. Not their JSON, which is the edge's.

use crate::cause::Cause;
use crate::id::{CampaignId, ConversationId, EventId, KeyId, SessionId};
use crate::outgoing::Words;
use crate::pacing::Lane;
use crate::status::Status;
use crate::time::Timestamp;
use serde::Serialize;

/// Where a step is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the journal: exact.
    Journal,
    /// From what the message itself remembers; a campaign's to 16 seconds.
    Message,
    /// From the log of webhook attempts.
    WebhookLog,
    /// From the live state, at the moment of the question.
    Now,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When Kabar learned it, or when a wait began.
    pub at: Timestamp,
    /// What it was.
    pub step: Step,
    /// Where it is known from.
    pub source: Source,
    /// The public event it is.
    pub event: Option<EventId>,
}

/// By whom a message was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// With this API key.
    Key(KeyId),
    /// With the operator's key.
    Operator,
    /// By a campaign, for the recipient of this index.
    Campaign(CampaignId, u32),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The moment it was scheduled for.
    Start,
    /// Another try, after a refusal that passes.
    Retry,
    /// The hours of the campaign where the recipient is; which of them, who knows the campaign tells.
    Hours,
    /// The end of a blackout day there.
    Blackout,
    /// The end of quiet hours there.
    QuietHours,
    /// The opening of the send window there.
    SendWindow,
    /// A resume of the campaign.
    Paused,
    /// The number's pace.
    Pace,
    /// The provider asked the number to slow down.
    Throttled,
    /// The number's link was lost.
    LinkLost,
    /// A free place among the number's calls.
    Room,
    /// Messages of a more urgent lane.
    Lane,
    /// Another campaign's, or tenant's, turn.
    Turn,
    /// Those before it in the number's outbox.
    Queue,
    /// The provider's answer to the call.
    Answer,
    /// A status that proves what became of it.
    Proof,
    /// The next time of a recurring campaign.
    Recurrence,
    /// The end of a restriction of the account.
    Restricted,
    /// The end of what holds the template.
    Template,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 19] = [
        Self::Start,
        Self::Retry,
        Self::Hours,
        Self::Blackout,
        Self::QuietHours,
        Self::SendWindow,
        Self::Paused,
        Self::Pace,
        Self::Throttled,
        Self::LinkLost,
        Self::Room,
        Self::Lane,
        Self::Turn,
        Self::Queue,
        Self::Answer,
        Self::Proof,
        Self::Recurrence,
        Self::Restricted,
        Self::Template,
    ];
}

/// What can happen to a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Accepted for sending.
    Accepted {
        /// By whom it was asked; `None` when that is no longer known.
        by: Option<By>,
        /// The sending number.
        session: SessionId,
        /// The conversation, where there is one.
        conversation: Option<ConversationId>,
        /// Its lane.
        lane: Lane,
        /// Not before.
        due: Timestamp,
        /// It expires then.
        valid_until: Timestamp,
    },
    /// A person wrote it.
    Received {
        /// The number it came to.
        session: SessionId,
        /// Its conversation.
        conversation: ConversationId,
        /// When, by the provider's clock.
        sent_at: Timestamp,
    },
    /// Its campaign's audience was fixed.
    Frozen {
        /// The recipients.
        recipients: u64,
    },
    /// Its part of the campaign began in the number's shard.
    Started {
        /// Which part.
        part: u32,
    },
    /// It waited, from the step's time on.
    Waited {
        /// Until then.
        until: Timestamp,
        /// What for.
        reason: Reason,
        /// What the provider had said, after a refusal.
        cause: Option<Cause>,
    },
    /// Put on the wire: durable before the call.
    Claimed {
        /// The how manieth time.
        attempt: u16,
    },
    /// The provider was called, at once after the claim.
    Called,
    /// The claim was taken back before a byte was written.
    Released,
    /// The provider took it.
    Taken {
        /// Its id there.
        provider_id: String,
    },
    /// The provider refused it for good, or it could not be built.
    Rejected {
        /// Why.
        cause: Cause,
        /// What the provider said.
        words: Option<Words>,
    },
    /// Refused for now.
    PutBack {
        /// Why.
        cause: Cause,
        /// Tried again then.
        due: Timestamp,
        /// What the provider said.
        words: Option<Words>,
    },
    /// The call ended without an answer that tells.
    Ambiguous,
    /// A node took the shard anew: a restart, or a takeover.
    Restarted {
        /// Under this epoch.
        epoch: u64,
    },
    /// Claimed, and nobody is left who could hear the answer.
    Parked,
    /// The wait for proof ended.
    Resolved {
        /// Sent once more instead of becoming unknown.
        again: bool,
    },
    /// A status.
    Status {
        /// Which.
        status: Status,
        /// When, by the provider's clock.
        reported_at: Timestamp,
        /// Why, when failed.
        cause: Option<Cause>,
        /// What the provider said of that, if it did.
        words: Option<Words>,
    },
    /// Its validity passed before it was sent.
    Expired,
    /// Cancelled before it was sent.
    Cancelled,
    /// Failed before it was sent.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// Its person answered it.
    Replied,
    /// It waits now, since the step's time.
    Waiting {
        /// What for.
        reason: Reason,
        /// Until when, where that is known.
        until: Option<Timestamp>,
    },
}
