//! What to do about an input: state, time and randomness in, effects out. Nothing is changed here; the entries
//! among the effects are, once they have positions, folded by [`Overlay::fold`]. In every list of effects
//! `Append` stands before `Reply` and `Wake`.

mod campaign;
mod inbound;
mod input;
mod message;
mod once;
mod part;

pub use input::{Draft, Input, PartClaim, PartOrder, Received};

use super::Overlay;
use crate::address::Address;
use crate::cause::Cause;
use crate::chunk::{Chunk, ChunkKey};
use crate::entry::{ConsentSource, Entry, Outcome, Quoted, What};
use crate::id::{CampaignId, CommandId, EventId, MessageId, SessionId, TenantId};
use crate::notice::Notice;
use crate::optout::Wish;
use crate::outgoing::{Accepted, Outgoing, SendError};
use crate::pacing::{Throttle, backoff};
use crate::part::PartRow;
use crate::time::Timestamp;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Open messages one session may hold; above it a send is refused until some have left.
pub const OUTBOX_LIMIT: usize = 1_000_000;
/// A message whose session's link is lost is tried again after this (ms).
const LINK_LOST_WAIT_MS: i64 = 60_000;
/// People who have had enough marketing are tried again within so long after their rest (ms).
const REST_JITTER_MS: u64 = 2 * 60 * 60_000;

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
    /// A notice stands in the journal.
    Noticed {
        /// Its event.
        event: EventId,
        /// Whether it was told for the first time.
        new: bool,
    },
    /// The campaign's command.
    Commanded(CommandId),
    /// An idempotency key met its earlier action: nothing was done now.
    Replayed,
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
    /// The person has had enough marketing lately.
    #[error("the recipient has had enough marketing lately")]
    FrequencyCap,
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
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

impl Refusal {
    /// Its stable name, for counting.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::OptedOut => "opted_out",
            Self::WindowClosed => "window_closed",
            Self::FrequencyCap => "frequency_cap",
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::OutboxFull => "outbox_full",
            Self::NotFound => "not_found",
            Self::WrongPhase => "wrong_phase",
        }
    }
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

    /// The provider said that these people stopped marketing.
    fn stop(&mut self, people: Vec<Address>) {
        for address in people {
            let source = ConsentSource::Provider;
            self.append(What::Consent { address, wish: Wish::OptOut, source, once: None });
        }
    }

    /// The provider's own words, before what came of them.
    fn quote(&mut self, list: Vec<Quoted>) {
        list.into_iter().for_each(|quoted| self.append(What::Quoted(Box::new(quoted))));
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
        let once = self.once(input);
        match input {
            Input::Send(draft) => self.send(draft, now),
            Input::Claim { tenant, session, max, held } => {
                self.claim(*tenant, *session, ((*max).min(256), *held), now)
            }
            Input::Release { tenant, session, messages } => self.release(*tenant, *session, messages, now),
            Input::Adopt { tenant, session } => self.adopt(*tenant, *session, now),
            Input::Answers { tenant, session, results, random } => {
                self.answers((*tenant, *session), results, *random, now)
            }
            Input::Due { tenant, session, proof_ms, resend } => {
                self.due((*tenant, *session), *proof_ms, *resend, now)
            }
            Input::Clear { tenant, session } => self.clear(*tenant, *session, now),
            Input::CancelMessage { tenant, message, .. } => self.cancel_message(*tenant, *message, once, now),
            Input::Statuses { tenant, session, reports } => self.statuses(*tenant, *session, reports, now),
            Input::Receive { tenant, session, messages } => self.receive(*tenant, *session, messages, now),
            Input::Media { tenant, session, provider_id, fetched } => {
                self.fetched((*tenant, *session), provider_id, *fetched, now)
            }
            Input::Consent { tenant, session, address, wish, source, .. } => {
                self.consent((*tenant, *session), (address, *wish, *source), once, now)
            }
            Input::DisableWebhook { tenant, webhook, since } => {
                let mut effects = Effects::new(*tenant, now);
                effects.append(What::WebhookDisabled { webhook: *webhook, since: *since });
                effects.done()
            }
            Input::Notice { tenant, notice } => self.notice(*tenant, notice, now),
            Input::Launch { tenant, campaign, .. } => self.launch(*tenant, *campaign, once, now),
            Input::Freeze { tenant, frozen } => self.freeze(*tenant, frozen, now),
            Input::Move { tenant, campaign, verb, .. } => {
                self.move_campaign((*tenant, *campaign), *verb, once, now)
            }
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

impl Overlay {
    /// Whether what is known here says that the session is another tenant's. The front door compares sessions
    /// with their records; this is the second lock.
    fn is_foreign(&self, tenant: TenantId, session: SessionId) -> bool {
        let outbox = self.outbox.get(&session).and_then(super::Outbox::tenant);
        let parts = self.session_parts.get(&session).and_then(super::parts::Briefs::tenant);
        [outbox, parts].into_iter().flatten().any(|owner| owner != tenant)
    }

    /// A notice the provider gave before is journaled no second time.
    fn notice(&self, tenant: TenantId, notice: &Notice, now: Timestamp) -> Vec<Effect> {
        let seen = self.seen.get(&(notice.session.unwrap_or_default(), notice.hash()));
        let mut effects = Effects::new(tenant, now);
        let (position, new) = match seen {
            // Of a notice the row names its place in the journal.
            Some(row) => (row.message.0, false),
            None => {
                effects.append(What::Notice(Box::new(notice.clone())));
                (self.position.plus(1).0, true)
            }
        };
        effects.reply(Ok(Answer::Noticed { event: EventId::of(self.shard, position, 0), new }))
    }

    /// Whether the address leads to a conversation of another tenant.
    fn leads_abroad(&self, tenant: TenantId, session: SessionId, address: &Address) -> bool {
        self.addresses.get(&(session, address.clone())).is_some_and(|row| row.tenant != tenant)
    }
}

/// What an answer comes to, for a message tried `attempts` times.
fn outcome(
    result: &Result<Accepted, SendError>,
    (attempts, valid_until): (u32, Timestamp),
    random: u64,
    now: Timestamp,
) -> Outcome {
    // Not tried: the account of the pair names the moment, and a wait that grows with the tries would come after it.
    if let Some(wait) = result.as_ref().err().and_then(SendError::own_wait) {
        let due = now.plus_ms(i64::try_from(wait).unwrap_or(i64::MAX));
        return Outcome::Retry { due, cause: Cause::PAIR_RATE };
    }
    let (throttle, after_ms, cause) = match result {
        Ok(accepted) => return Outcome::Accepted(Arc::clone(&accepted.provider_id)),
        Err(SendError::Rejected(reason)) => return Outcome::Failed(reason.cause),
        Err(SendError::Ambiguous) => return Outcome::Ambiguous,
        Err(SendError::LinkLost(reason)) => {
            return Outcome::Retry { due: now.plus_ms(LINK_LOST_WAIT_MS), cause: reason.cause };
        }
        Err(SendError::RetryAfter { throttle: Throttle::Person, after_ms, cause, .. }) => {
            return rest(*after_ms, *cause, (valid_until, random), now);
        }
        Err(SendError::RetryAfter { throttle, after_ms, cause, .. }) => (*throttle, *after_ms, *cause),
        Err(SendError::Held { throttle, after_ms, reason }) => (*throttle, *after_ms, reason.cause),
    };
    let wait = backoff(throttle, attempts.saturating_sub(1), random);
    match wait.filter(|_| cause.most_tries().is_none_or(|most| attempts < most)) {
        Some(wait) => {
            let due = now.plus_ms(i64::try_from(wait.max(after_ms)).unwrap_or(i64::MAX));
            // A person who has had enough for longer than the message is good for: it says more than that it expired.
            if throttle == Throttle::Person && due > valid_until {
                return Outcome::Failed(cause);
            }
            Outcome::Retry { due, cause }
        }
        None => Outcome::Failed(if throttle == Throttle::Person { cause } else { Cause::GAVE_UP }),
    }
}

/// A message was not tried, because its person has had enough for so long still. A try after that is none too soon; up to two
/// hours later, so that not all who rest are tried at the same moment.
fn rest(after_ms: u64, cause: Cause, (valid_until, random): (Timestamp, u64), now: Timestamp) -> Outcome {
    let due = now.plus_ms(i64::try_from(after_ms).unwrap_or(i64::MAX));
    if due > valid_until {
        return Outcome::Failed(cause);
    }
    let jitter = i64::try_from(random % REST_JITTER_MS).unwrap_or(0);
    Outcome::Retry { due: due.plus_ms(jitter).min(valid_until), cause }
}

/// Whether the cause says that a person stopped marketing.
pub(super) fn says_stop(cause: Cause) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn due(error: SendError, attempts: u32) -> i64 {
        match outcome(&Err(error), (attempts, Timestamp(i64::MAX)), 7, NOW) {
            Outcome::Retry { due, .. } => due.since_ms(NOW),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_came_too_early_by_our_own_account_goes_at_its_moment_however_often_it_was_looked_at() {
        for attempts in [1, 2, 6, 40] {
            assert_eq!(due(SendError::too_early(6_000), attempts), 6_000, "{attempts}");
        }
        let cause = Cause::PAIR_RATE;
        let said = SendError::RetryAfter { throttle: Throttle::Pair, after_ms: 0, cause, words: None };
        assert!(due(said, 4) > 57_000, "what the provider throttles waits longer each time");
    }
}
