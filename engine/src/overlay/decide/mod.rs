//! What to do about an input: state, time and randomness in, effects out. Nothing is changed here; the entries
//! among the effects are, once they have positions, folded by [`Overlay::fold`]. In every list of effects
//! `Append` stands before `Reply` and `Wake`.

mod campaign;
mod inbound;
mod message;
mod part;

use super::Overlay;
use crate::address::Address;
use crate::campaign::Verb;
use crate::cause::Cause;
use crate::chunk::{Chunk, ChunkKey};
use crate::content::Content;
use crate::entry::{ConsentSource, Entry, Frozen, Idempotency, Outcome, StatusReport, What};
use crate::id::{CampaignId, CommandId, MessageId, SessionId, TenantId};
use crate::optout::Wish;
use crate::outgoing::{Accepted, Outgoing, Reference, SendError};
use crate::pacing::{Lane, backoff};
use crate::part::PartRow;
use crate::schedule::SendWindow;
use crate::time::Timestamp;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Open messages one session may hold; above it a send is refused until some have left.
pub const OUTBOX_LIMIT: usize = 1_000_000;
/// A retry that comes due later than this after the validity ends is not waited for.
const LINK_LOST_WAIT_MS: i64 = 60_000;

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
    /// Do not send it.
    CancelMessage {
        /// Whose.
        tenant: TenantId,
        /// Which.
        message: MessageId,
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
    /// Consent changed, not by a message.
    Consent {
        /// Whose.
        tenant: TenantId,
        /// The person.
        address: Address,
        /// In or out.
        wish: Wish,
        /// Where it was said.
        source: ConsentSource,
    },
    /// Start a campaign (its own shard).
    Launch {
        /// Whose.
        tenant: TenantId,
        /// Which.
        campaign: CampaignId,
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
    /// The name shown.
    pub name: Option<String>,
    /// The provider's time.
    pub sent_at: Timestamp,
    /// What.
    pub content: Arc<Content>,
    /// The quoted message's provider id.
    pub context: Option<Arc<str>>,
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
    pub window: Option<SendWindow>,
}

/// A claimed recipient.
#[derive(Debug, Clone)]
pub struct Picked {
    /// Its index.
    pub index: u32,
    /// The chunk it stands in.
    pub chunk: Arc<Chunk>,
    /// Its place there.
    pub offset: u32,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// It happened: journal it.
    Append(Entry),
    /// Answer the asker, once everything appended is durable.
    Reply(Result<Answer, Refusal>),
    /// Somebody has something to do.
    Wake(Wake),
}

/// Who has something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wake {
    /// The session's actor: its outbox changed.
    Session(TenantId, SessionId),
    /// The campaign's actor.
    Campaign(TenantId, CampaignId),
    /// The part's actor.
    Part(TenantId, CampaignId, u32, SessionId),
}

/// What an asker gets.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Done.
    Done,
    /// The message is accepted; `replayed` when this request was seen before.
    Accepted {
        /// Its id.
        message: MessageId,
        /// Whether an idempotency key met its earlier request.
        replayed: bool,
    },
    /// On the wire with these.
    Transmit(Vec<Outgoing>),
    /// On the wire with these recipients.
    Picked(Vec<Picked>),
    /// So many were new, so many repeats or of no use.
    Counted {
        /// Journaled.
        new: usize,
        /// Known already, or about nothing of ours.
        known: usize,
    },
    /// The campaign's command.
    Commanded(CommandId),
}

/// Why not. The api maps each to a problem with a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The person opted out.
    #[error("the recipient has opted out")]
    OptedOut,
    /// Free-form content outside the window.
    #[error("the 24-hour window is closed")]
    WindowClosed,
    /// The key was used with another body.
    #[error("the idempotency key was used with another body")]
    IdempotencyMismatch,
    /// The session's outbox is full.
    #[error("the session's outbox is full")]
    OutboxFull,
    /// There is no such thing here.
    #[error("not found")]
    NotFound,
    /// Not possible where it stands.
    #[error("not possible in this phase")]
    WrongPhase,
}

/// When a session or part has something to do by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DueAt {
    /// Something could go on the wire now.
    pub ready: bool,
    /// The next moment something happens by itself.
    pub next: Option<Timestamp>,
    /// Nothing waits, is on the wire or parked.
    pub finished: bool,
}

/// Collects effects with the appends in front.
struct Effects {
    tenant: TenantId,
    now: Timestamp,
    list: Vec<Effect>,
}

impl Effects {
    fn new(tenant: TenantId, now: Timestamp) -> Self {
        Self { tenant, now, list: Vec::new() }
    }

    fn append(&mut self, what: What) {
        self.list.push(Effect::Append(Entry { tenant: self.tenant, at: self.now, what }));
    }

    fn done(self) -> Vec<Effect> {
        self.reply(Ok(Answer::Done))
    }

    fn reply(mut self, answer: Result<Answer, Refusal>) -> Vec<Effect> {
        self.list.push(Effect::Reply(answer));
        self.list
    }

    fn reply_and_wake(self, answer: Answer, wake: Wake) -> Vec<Effect> {
        let mut list = self.reply(Ok(answer));
        list.push(Effect::Wake(wake));
        list
    }
}

fn refuse(refusal: Refusal) -> Vec<Effect> {
    vec![Effect::Reply(Err(refusal))]
}

impl Overlay {
    /// What to do about `input`. Whatever [`Overlay::needs`] named must have been told before.
    #[must_use]
    pub fn decide(&self, input: &Input, now: Timestamp) -> Vec<Effect> {
        match input {
            Input::Send(draft) => self.send(draft, now),
            Input::Claim { tenant, session, max } => self.claim(*tenant, *session, (*max).min(256), now),
            Input::Release { tenant, session, messages } => self.release(*tenant, *session, messages, now),
            Input::Adopt { tenant, session } => self.adopt(*tenant, *session, now),
            Input::Answers { tenant, session, results, random } => {
                self.answers((*tenant, *session), results, *random, now)
            }
            Input::Due { tenant, session, proof_ms, resend } => {
                self.due((*tenant, *session), *proof_ms, *resend, now)
            }
            Input::CancelMessage { tenant, message } => self.cancel_message(*tenant, *message, now),
            Input::Statuses { tenant, session, reports } => self.statuses(*tenant, *session, reports, now),
            Input::Receive { tenant, session, messages } => self.receive(*tenant, *session, messages, now),
            Input::Consent { tenant, address, wish, source } => {
                let mut effects = Effects::new(*tenant, now);
                effects.append(What::Consent { address: address.clone(), wish: *wish, source: *source });
                effects.done()
            }
            Input::Launch { tenant, campaign } => self.launch(*tenant, *campaign, now),
            Input::Freeze { tenant, frozen } => self.freeze(*tenant, frozen, now),
            Input::Move { tenant, campaign, verb } => self.move_campaign(*tenant, *campaign, *verb, now),
            Input::Obey { tenant, campaign, command, parts } => {
                self.obey((*tenant, *campaign), *command, parts, now)
            }
            Input::Finish { tenant, campaign } => self.finish(*tenant, *campaign, now),
            Input::Order(order) => self.order(order, now),
            Input::PartClaim(claim) => self.part_claim(claim, now),
            Input::PartRelease { tenant, campaign, part, indexes } => {
                self.part_release((*tenant, *campaign, *part), indexes, now)
            }
            Input::PartAdopt { tenant, campaign, part } => self.part_adopt((*tenant, *campaign, *part), now),
            Input::PartAnswers { tenant, campaign, part, results, random } => {
                self.part_answers((*tenant, *campaign, *part), results, *random, now)
            }
            Input::PartDue { tenant, campaign, part, proof_ms, resend } => {
                self.part_due_now((*tenant, *campaign, *part), *proof_ms, *resend, now)
            }
        }
    }
}

/// What an answer comes to, for a message tried `attempts` times.
fn outcome(result: &Result<Accepted, SendError>, attempts: u32, random: u64, now: Timestamp) -> Outcome {
    match result {
        Ok(accepted) => Outcome::Accepted(Arc::clone(&accepted.provider_id)),
        Err(SendError::Rejected(reason)) => Outcome::Failed(reason.cause),
        Err(SendError::Ambiguous) => Outcome::Ambiguous,
        Err(SendError::LinkLost) => {
            Outcome::Retry { due: now.plus_ms(LINK_LOST_WAIT_MS), cause: Cause::LINK_LOST }
        }
        Err(SendError::RetryAfter { throttle, after_ms, cause }) => {
            match backoff(*throttle, attempts.saturating_sub(1), random) {
                Some(wait) => {
                    let wait = i64::try_from(wait.max(*after_ms)).unwrap_or(i64::MAX);
                    Outcome::Retry { due: now.plus_ms(wait), cause: *cause }
                }
                None => Outcome::Failed(Cause::GAVE_UP),
            }
        }
    }
}

/// Codes by which the provider says that a person stopped marketing.
fn says_stop(cause: Cause) -> bool {
    cause == Cause(131_050)
}

/// The 63-bit hash under which an inbound provider id is looked up.
#[must_use]
pub fn seen_hash(provider_id: &str) -> u64 {
    xxh3_64(provider_id.as_bytes()) >> 1
}

/// Where a part's chunk (number in the campaign) lies in the ledger.
#[must_use]
pub fn chunk_key(part: &PartRow, chunk: u32) -> ChunkKey {
    ChunkKey { tenant: part.tenant, campaign: part.start.campaign, attempt: part.start.attempt, chunk }
}
