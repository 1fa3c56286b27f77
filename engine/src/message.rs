//! The message as a row, and what each entry does to it. Not the campaign's recipients, which are marks until
//! they answer ([`crate::mark`]).

use crate::address::Address;
use crate::beside::Beside;
use crate::cause::Cause;
use crate::content::Content;
use crate::entry::{Inbound, Intent, Outcome, Position, StatusReport};
use crate::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use crate::pacing::Lane;
use crate::pricing::Pricing;
use crate::status::Status;
use crate::time::Timestamp;
use std::sync::Arc;

/// What a queued message is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// In the outbox until it is due.
    Waiting = 0,
    /// On the wire.
    Claimed = 1,
    /// Its outcome is not known; a status may tell.
    Parked = 2,
    /// Settled.
    Done = 3,
}

impl Stage {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Waiting, Self::Claimed, Self::Parked, Self::Done].into_iter().find(|s| *s as u8 == byte)
    }
}

/// When what happened to a message, by the best clock known; `None` means not (yet).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Accepted by Kabar, or received.
    pub accepted: Timestamp,
    /// Last put on the wire.
    pub claimed: Option<Timestamp>,
    /// Its outcome became ambiguous.
    pub parked: Option<Timestamp>,
    /// The provider took it.
    pub sent: Option<Timestamp>,
    /// On the phone.
    pub delivered: Option<Timestamp>,
    /// Opened.
    pub read: Option<Timestamp>,
    /// Failed, expired or became unknown.
    pub ended: Option<Timestamp>,
}

/// One message as everybody sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRow {
    /// Its id.
    pub id: MessageId,
    /// Whose.
    pub tenant: TenantId,
    /// The number.
    pub session: SessionId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The person on the other side.
    pub address: Address,
    /// The body; `None` for a campaign's message, which is rendered when looked at.
    pub content: Option<Arc<Content>>,
    /// Its lane (outbound).
    pub lane: Lane,
    /// Its status.
    pub status: Status,
    /// What it is doing.
    pub stage: Stage,
    /// How often it was put on the wire.
    pub attempts: u16,
    /// Not before.
    pub due: Timestamp,
    /// Expires then.
    pub valid_until: Timestamp,
    /// Its timeline.
    pub times: Times,
    /// The provider's id.
    pub provider_id: Option<Arc<str>>,
    /// Why it failed, or why it waits again.
    pub cause: Option<Cause>,
    /// The quoted message's provider id.
    pub context: Option<Arc<str>>,
    /// What the caller wants to see again in everything that is told of it.
    pub tag: Option<Arc<str>>,
    /// What stands beside the body.
    pub beside: Option<Arc<Beside>>,
    /// What it costs, by the last status that said so.
    pub pricing: Option<Arc<Pricing>>,
    /// Whether the provider said more with `sent` than that, which it says once.
    pub detailed: bool,
    /// The campaign and index it is the message of.
    pub campaign: Option<(CampaignId, u32)>,
    /// The message before it in its conversation.
    pub prev: Option<MessageId>,
    /// The how manieth of its conversation it is, from 1; 0: not known.
    pub number: u64,
    /// The last entry that changed this row.
    pub upto: Position,
}

fn beside(intent: &Intent) -> Option<Arc<Beside>> {
    let recipient_identity_key_hash = Some(intent.identity.clone()?);
    Some(Arc::new(Beside { recipient_identity_key_hash, ..Beside::default() }))
}

impl MessageRow {
    /// The row of a fresh intent.
    #[must_use]
    pub fn accepted(tenant: TenantId, at: Timestamp, intent: &Intent) -> Self {
        Self {
            id: intent.id,
            tenant,
            session: intent.session,
            conversation: intent.conversation,
            address: intent.to.clone(),
            content: Some(Arc::clone(&intent.content)),
            lane: intent.lane,
            status: Status::Queued,
            stage: Stage::Waiting,
            attempts: 0,
            due: intent.due,
            valid_until: intent.valid_until,
            times: Times { accepted: at, ..Times::default() },
            provider_id: None,
            cause: None,
            context: intent.context.clone(),
            tag: intent.tag.clone(),
            beside: beside(intent),
            pricing: None,
            detailed: false,
            campaign: None,
            prev: None,
            number: 0,
            upto: Position::default(),
        }
    }

    /// The row of a received message.
    #[must_use]
    pub fn received(tenant: TenantId, at: Timestamp, inbound: &Inbound) -> Self {
        Self {
            id: inbound.id,
            tenant,
            session: inbound.session,
            conversation: inbound.conversation,
            address: inbound.from.clone(),
            content: Some(Arc::clone(&inbound.content)),
            lane: Lane::Reply,
            status: Status::Received,
            stage: Stage::Done,
            attempts: 0,
            due: at,
            valid_until: at,
            times: Times { accepted: at, sent: Some(inbound.sent_at), ..Times::default() },
            provider_id: Some(Arc::clone(&inbound.provider_id)),
            cause: None,
            context: inbound.context.clone(),
            tag: None,
            beside: inbound.beside.as_deref().cloned().map(Arc::new),
            pricing: None,
            detailed: false,
            campaign: None,
            prev: None,
            number: 0,
            upto: Position::default(),
        }
    }

    /// Whether it still waits for something Kabar does.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Done
    }

    /// Put on the wire.
    pub fn claimed(&mut self, at: Timestamp) {
        if self.stage == Stage::Waiting {
            self.stage = Stage::Claimed;
            self.attempts = self.attempts.saturating_add(1);
            self.times.claimed = Some(at);
        }
    }

    /// Taken back unsent.
    pub fn released(&mut self) {
        if self.stage == Stage::Claimed {
            self.stage = Stage::Waiting;
            self.attempts = self.attempts.saturating_sub(1);
        }
    }

    /// Its outcome is not known.
    pub fn parked(&mut self, at: Timestamp) {
        if self.stage == Stage::Claimed {
            self.stage = Stage::Parked;
            self.times.parked = Some(at);
        }
    }

    /// The provider answered a claim. A status that overtook the answer stands.
    pub fn answered(&mut self, at: Timestamp, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted(provider_id) => {
                self.provider_id.get_or_insert_with(|| Arc::clone(provider_id));
                self.heard(Status::Sent, at, None);
            }
            Outcome::Failed(cause) => self.heard(Status::Failed, at, Some(*cause)),
            Outcome::Retry { due, cause } if matches!(self.stage, Stage::Claimed | Stage::Parked) => {
                self.stage = Stage::Waiting;
                self.due = *due;
                self.cause = Some(*cause);
            }
            Outcome::Ambiguous => self.parked(at),
            Outcome::Retry { .. } => {}
        }
    }

    /// A status was heard; repeats and late ones change nothing but a missing time.
    pub fn heard(&mut self, status: Status, at: Timestamp, cause: Option<Cause>) {
        let slot = match status {
            Status::Sent => Some(&mut self.times.sent),
            Status::Delivered => Some(&mut self.times.delivered),
            Status::Read | Status::Played => Some(&mut self.times.read),
            _ => None,
        };
        if let Some(slot) = slot {
            slot.get_or_insert(at);
        }
        if self.status.may_become(status) {
            self.status = status;
            self.cause = if status == Status::Failed { cause } else { None };
            self.times.ended = status.ends().then_some(at);
        }
        if self.status.is_settled() {
            self.stage = Stage::Done;
        }
    }

    /// The provider reported on it.
    pub fn reported(&mut self, report: &StatusReport<MessageId>) {
        if let Some(id) = &report.provider_id {
            self.provider_id.get_or_insert_with(|| Arc::clone(id));
        }
        if report.pricing.is_some() {
            self.pricing.clone_from(&report.pricing);
        }
        self.detailed |= report.details_sent();
        self.heard(report.status, report.at, report.cause);
    }

    /// Waiting for proof ended.
    pub fn resolved(&mut self, at: Timestamp, again: bool) {
        if self.stage != Stage::Parked {
            return;
        }
        if again {
            self.stage = Stage::Waiting;
            self.due = at;
        } else {
            self.heard(Status::Unknown, at, None);
        }
    }
}

impl Status {
    /// Whether this status ends a message without proof of delivery.
    #[must_use]
    pub fn ends(self) -> bool {
        matches!(self, Self::Failed | Self::Expired | Self::Unknown)
    }
}
