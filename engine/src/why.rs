//! Why a message is where it is: the entries that concern it, in the words of an ordered list of steps. Fed with
//! entries by who reads the journal; reads nothing itself, and keeps nothing that the journal does not have.

mod act;
mod list;
mod step;
mod stretch;
#[cfg(test)]
mod tests;

use crate::campaign::Verb;
use crate::cause::Cause;
use crate::entry::{Entry, Inbound, Intent, Outcome, Position, Quoted, StatusRest, What};
use crate::id::{CampaignId, EventId, MessageId, SessionId, ShardId, TenantId};
use crate::mark::{Mark, step};
use crate::message::{MessageRow, Stage, Times};
use crate::outgoing::Words;
use crate::pacing::Lane;
use crate::part::{PartStart, part_of};
use crate::status::Status;
use crate::time::Timestamp;
use act::{Act, acts, events};
use std::collections::BTreeSet;
pub use step::{By, Line, Reason, Source, Step};
use stretch::Waits;

/// What Kabar answers by itself, in the place of a call.
const OWN: [Cause; 6] = [
    Cause::PAIR_RATE,
    Cause::INTERNAL,
    Cause::RENDER,
    Cause::OPTED_OUT,
    Cause::TEMPLATE_PAUSED,
    Cause::ENOUGH_MARKETING,
];

/// Steps of one list.
const LINES_MAX: usize = 1_000;

/// Whose steps are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Message(MessageId),
    Recipient { campaign: CampaignId, index: u32 },
}

/// What the entries read so far make of the message: what its row or mark must show if nothing was left out.
#[derive(Debug, Clone, PartialEq)]
enum Shadow {
    Row(Option<Box<MessageRow>>),
    Mark(Mark, Timestamp),
}

/// The list while it grows.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    tenant: TenantId,
    shard: ShardId,
    subject: Subject,
    session: Option<SessionId>,
    shadow: Shadow,
    waits: Waits,
    attempts: u16,
    /// What the provider said of the call whose result comes next.
    words: Option<Words>,
    /// Reports that were told.
    told: BTreeSet<Status>,
    events: Vec<EventId>,
    lines: Vec<Line>,
    /// Entries were left out before it had ended: other steps may be missing than the row can show.
    skipped: bool,
}

impl Why {
    /// Of a message that has an entry of its own.
    #[must_use]
    pub fn of_message(tenant: TenantId, id: MessageId) -> Self {
        Self::new(tenant, id.shard(), Subject::Message(id), Shadow::Row(None))
    }

    /// Of a campaign's recipient; `launched` is the launch, the part's own moment is the campaign's begin.
    #[must_use]
    pub fn of_recipient(tenant: TenantId, start: &PartStart, index: u32, launched: Timestamp) -> Self {
        let (campaign, session, begins) = (start.campaign, start.session, start.launched);
        let subject = Subject::Recipient { campaign, index };
        let shard = ShardId::of_session(tenant, session);
        let mut why = Self::new(tenant, shard, subject, Shadow::Mark(Mark::default(), begins));
        why.session = Some(session);
        let (by, lane) = (Some(By::Campaign(campaign, index)), Lane::Broadcast);
        let (conversation, due, valid_until) = (None, begins, start.valid_until);
        why.tell(launched, Step::Accepted { by, session, conversation, lane, due, valid_until }, None);
        if begins > launched {
            let (reason, cause) = (Reason::Start, None);
            why.tell(launched, Step::Waited { until: begins, reason, cause }, None);
        }
        why
    }

    fn new(tenant: TenantId, shard: ShardId, subject: Subject, shadow: Shadow) -> Self {
        Self {
            tenant,
            shard,
            subject,
            session: None,
            shadow,
            waits: Waits::default(),
            attempts: 0,
            words: None,
            told: BTreeSet::new(),
            events: Vec::new(),
            lines: Vec::new(),
            skipped: false,
        }
    }

    /// Reads one entry of the message's shard, in the order of positions.
    pub fn read(&mut self, position: Position, entry: &Entry) {
        if let What::Opened { epoch } = &entry.what {
            if self.has_begun() && !self.is_settled() {
                self.tell(entry.at, Step::Restarted { epoch: *epoch }, None);
            }
            return;
        }
        if entry.tenant != self.tenant {
            return;
        }
        self.hear_of_others(entry);
        if let What::Quoted(quoted) = &entry.what {
            self.words = self.quote(quoted).or(self.words.take());
        }
        let found = acts(self.subject, &entry.what);
        if found.is_empty() {
            return;
        }
        let public = events(self.subject, entry);
        for (index, act) in found {
            let event = public.contains(&index).then(|| EventId::of(self.shard, position.0, index));
            self.events.extend(event);
            self.apply(entry.at, act, event);
        }
    }

    /// The campaign's own shard: when the audience was fixed. `true` when this was it.
    pub fn read_campaign(&mut self, entry: &Entry) -> bool {
        match (&self.subject, &entry.what) {
            (Subject::Recipient { campaign, .. }, What::Frozen(frozen))
                if frozen.campaign == *campaign && entry.tenant == self.tenant =>
            {
                let recipients = frozen.parts.iter().map(|line| u64::from(line.recipients)).sum();
                self.tell(entry.at, Step::Frozen { recipients }, None);
                true
            }
            _ => false,
        }
    }

    /// Entries were left out here.
    pub fn skip(&mut self) {
        self.waits.skip();
        self.skipped |= !self.is_settled();
    }

    /// Whether its begin was read.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let begun = |line: &Line| matches!(line.step, Step::Started { .. });
        match &self.shadow {
            Shadow::Row(row) => row.is_some(),
            Shadow::Mark(..) => self.lines.iter().any(begun),
        }
    }

    /// Whether only statuses can follow what was read.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        match &self.shadow {
            Shadow::Row(row) => row.as_ref().is_some_and(|row| row.stage == Stage::Done),
            Shadow::Mark(mark, _) => mark.state().status().is_settled(),
        }
    }

    /// Whether the report of this status was read.
    #[must_use]
    pub fn has_told(&self, status: Status) -> bool {
        self.told.contains(&status)
    }

    /// The public events of the message that were read.
    #[must_use]
    pub fn events(&self) -> &[EventId] {
        &self.events
    }

    /// Whether what was read accounts for the message as it stands: its row, or its recipient's mark.
    #[must_use]
    pub fn accounts_for(&self, row: &MessageRow, mark: Option<Mark>) -> bool {
        let same = match &self.shadow {
            Shadow::Row(None) => false,
            Shadow::Row(Some(own)) => {
                let key = |r: &MessageRow| (r.status, r.stage, r.attempts, r.due, r.times, r.cause);
                key(own) == key(row) && own.provider_id == row.provider_id
            }
            Shadow::Mark(own, _) => mark.is_some_and(|mark| {
                let key = |m: Mark| (m.state(), m.sent(), m.delivered(), m.read(), m.cause());
                key(*own) == key(mark)
            }),
        };
        same && !self.skipped && self.has_begun() && self.lines.len() < LINES_MAX
    }

    /// What the provider said of this message's call.
    fn quote(&self, quoted: &Quoted) -> Option<Words> {
        let (campaign, call) = match self.subject {
            Subject::Message(id) => (None, id.0),
            Subject::Recipient { campaign, index } => (Some(campaign), u64::from(index)),
        };
        let own = quoted.calls.iter().filter(|_| quoted.campaign == campaign);
        own.rev().find(|(of, _)| *of == call).map(|(_, words)| words.clone())
    }

    /// What holds up those the message waits among, and what its part is told.
    fn hear_of_others(&mut self, entry: &Entry) {
        let part = match self.subject {
            Subject::Recipient { campaign, index } => Some((campaign, part_of(index))),
            Subject::Message(_) => None,
        };
        match &entry.what {
            What::Claim { session, held: Some(held), .. }
                if part.is_none() && self.session == Some(*session) =>
            {
                self.waits.held(*held, entry.at);
            }
            What::PartClaim { campaign, ranges, held: Some(held) } => {
                let of = ranges.first().map(|range| (*campaign, part_of(range.first)));
                if part.is_some() && of == part {
                    self.waits.held(*held, entry.at);
                }
            }
            What::PartMoved { campaign, part: number, verb, .. } if part == Some((*campaign, *number)) => {
                match verb {
                    Verb::Pause => self.waits.pause(entry.at),
                    Verb::Launch | Verb::Resume | Verb::Cancel => self.waits.resume(entry.at),
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, at: Timestamp, step: Step, event: Option<EventId>) {
        if self.lines.len() < LINES_MAX {
            self.lines.push(Line { at, step, source: Source::Journal, event });
        }
    }

    /// Its waiting is over.
    fn waited(&mut self, at: Timestamp) {
        for (from, step) in self.waits.end(at, true).0 {
            self.tell(from, step, None);
        }
    }

    fn apply(&mut self, at: Timestamp, act: Act<'_>, event: Option<EventId>) {
        let own = self.called(&act);
        self.shadow.apply(at, &act, self.tenant);
        match act {
            Act::Intent(intent) => self.accepted(at, intent, event),
            Act::Inbound(inbound) => self.received(at, inbound, event),
            Act::Started(start) => {
                self.tell(at, Step::Started { part: start.part }, event);
                self.waits.begin(at, at, (Reason::Start, None));
            }
            Act::Claimed => {
                self.waited(at);
                self.attempts = self.attempts.saturating_add(1);
                self.tell(at, Step::Claimed { attempt: self.attempts }, event);
            }
            Act::Released => {
                self.attempts = self.attempts.saturating_sub(1);
                self.tell(at, Step::Released, event);
                self.waits.begin(at, at, (Reason::Queue, None));
            }
            Act::Parked => self.tell(at, Step::Parked, event),
            Act::Answered(outcome) => self.answered(at, outcome, (own, event)),
            Act::Reported(report) => self.reported(at, report, event),
            Act::Resolved { again } => {
                self.tell(at, Step::Resolved { again }, event);
                if again {
                    self.waits.begin(at, at, (Reason::Queue, None));
                }
            }
            Act::Ended(cause) => {
                self.waited(at);
                let step = match cause {
                    None => Step::Expired,
                    Some(Cause::CANCELLED) => Step::Cancelled,
                    Some(cause) => Step::Failed { cause },
                };
                self.tell(at, step, event);
            }
            Act::Deferred { due } => {
                self.waited(at);
                self.waits.begin(at, due, (Reason::Hours, None));
            }
            Act::Touched => self.tell(at, Step::Replied, event),
        }
    }

    fn accepted(&mut self, at: Timestamp, intent: &Intent, event: Option<EventId>) {
        self.session = Some(intent.session);
        let by = Some(intent.by.map_or(By::Operator, By::Key));
        let (session, conversation, lane) = (intent.session, Some(intent.conversation), intent.lane);
        let (due, valid_until) = (intent.due, intent.valid_until);
        self.tell(at, Step::Accepted { by, session, conversation, lane, due, valid_until }, event);
        self.waits.begin(at, due, (Reason::Start, None));
    }

    fn received(&mut self, at: Timestamp, inbound: &Inbound, event: Option<EventId>) {
        let (session, conversation, sent_at) = (inbound.session, inbound.conversation, inbound.sent_at);
        self.session = Some(session);
        self.tell(at, Step::Received { session, conversation, sent_at }, event);
    }

    /// When the claim was whose call this answers. Kabar's own limits answer without a call, and without the provider's words.
    fn called(&self, act: &Act<'_>) -> Option<Timestamp> {
        let Act::Answered(outcome) = act else { return None };
        let silent = self.words.is_none();
        match outcome {
            Outcome::Retry { cause, .. } | Outcome::Failed(cause) if silent && OWN.contains(cause) => None,
            _ => match self.lines.iter().rev().find(|line| !matches!(line.step, Step::Restarted { .. })) {
                Some(Line { at, step: Step::Claimed { .. }, .. }) => Some(*at),
                _ => None,
            },
        }
    }

    fn answered(
        &mut self,
        at: Timestamp,
        outcome: &Outcome,
        (called, event): (Option<Timestamp>, Option<EventId>),
    ) {
        if let Some(called) = called {
            self.tell(called, Step::Called, None);
        }
        let words = self.words.take();
        let step = match outcome {
            Outcome::Accepted(provider_id) => Step::Taken { provider_id: provider_id.to_string() },
            Outcome::Failed(cause) => Step::Rejected { cause: *cause, words },
            Outcome::Retry { due, cause } => Step::PutBack { cause: *cause, due: *due, words },
            Outcome::Ambiguous => Step::Ambiguous,
        };
        self.tell(at, step, event);
        if let Outcome::Retry { due, cause } = outcome
            && !self.is_settled()
        {
            self.waits.begin(at, *due, (Reason::Retry, Some(*cause)));
        }
    }

    fn reported(&mut self, at: Timestamp, report: Report<'_>, event: Option<EventId>) {
        // Repeats are events, but no steps.
        if self.told.insert(report.status) {
            self.waited(at);
            let Report { status, at: reported_at, cause, rest } = report;
            let words = cause.and(rest).and_then(StatusRest::words);
            self.tell(at, Step::Status { status, reported_at, cause, words }, event);
        }
    }
}

/// A status as a recipient and a message hear it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report<'a> {
    status: Status,
    at: Timestamp,
    cause: Option<Cause>,
    rest: Option<&'a StatusRest>,
}

impl Report<'_> {
    /// As of [`StatusReport`](crate::entry::StatusReport).
    fn details_sent(&self) -> bool {
        self.status == Status::Sent && self.rest.is_some()
    }
}
