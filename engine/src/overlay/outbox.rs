//! What waits in one session's outbox: small lines, ordered by when and how urgently; the bodies are message
//! rows and may be forgotten meanwhile. Not a queue of its own truth: rebuilt from the outbox view and kept by
//! the fold.

use crate::hash::HashMap;
use crate::id::{MessageId, TenantId};
use crate::message::{MessageRow, Stage};
use crate::pacing::Lane;
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Of those that waited for a moment and are due, so many are put in order at a time.
const DUE_LOOKED_AT: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    stage: Stage,
    lane: Lane,
    due: Timestamp,
    since: Timestamp,
    valid_until: Timestamp,
}

/// One session's open messages.
#[derive(Debug, Default)]
pub struct Outbox {
    tenant: Option<TenantId>,
    lines: HashMap<MessageId, Line>,
    /// Waiting, by lane, then age.
    ready: BTreeSet<(Lane, MessageId)>,
    /// Waiting for a later moment.
    later: BTreeSet<(Timestamp, MessageId)>,
    /// On the wire.
    claimed: BTreeSet<MessageId>,
    /// Outcome not known, by the moment that was learned.
    parked: BTreeSet<(Timestamp, MessageId)>,
    /// Waiting ones by the end of their validity.
    expiry: BTreeSet<(Timestamp, MessageId)>,
}

impl Outbox {
    /// Files a message as it stands now; a settled one leaves.
    pub(super) fn file(&mut self, message: &MessageRow) {
        self.remove(message.id);
        if !message.is_open() {
            return;
        }
        self.tenant = Some(message.tenant);
        self.insert(
            message.id,
            Line {
                stage: message.stage,
                lane: message.lane,
                due: message.due,
                since: message.times.parked.unwrap_or(message.times.accepted),
                valid_until: message.valid_until,
            },
        );
    }

    /// Files a line read from the outbox view, unless the message is known already.
    pub(super) fn learn(
        &mut self,
        (tenant, key): (TenantId, super::OutboxKey),
        stage: Stage,
        valid_until: Timestamp,
        now: Timestamp,
    ) {
        if self.lines.contains_key(&key.message) {
            return;
        }
        self.tenant = Some(tenant);
        let due = Timestamp(i64::from(key.minute) * crate::time::MINUTE_MS);
        self.insert(key.message, Line { stage, lane: key.lane, due, since: now, valid_until });
    }

    /// What a message is doing, as far as it is filed here.
    pub(super) fn stage(&self, id: MessageId) -> Option<Stage> {
        self.lines.get(&id).map(|line| line.stage)
    }

    /// Forgets a message that does not exist.
    pub(super) fn drop_line(&mut self, id: MessageId) {
        self.remove(id);
    }

    fn insert(&mut self, id: MessageId, line: Line) {
        match line.stage {
            Stage::Waiting if line.due <= id.at() => _ = self.ready.insert((line.lane, id)),
            Stage::Waiting => _ = self.later.insert((line.due, id)),
            Stage::Claimed => _ = self.claimed.insert(id),
            Stage::Parked => _ = self.parked.insert((line.since, id)),
            Stage::Done => return,
        }
        if line.stage == Stage::Waiting {
            self.expiry.insert((line.valid_until, id));
        }
        self.lines.insert(id, line);
    }

    fn remove(&mut self, id: MessageId) {
        let Some(line) = self.lines.remove(&id) else { return };
        self.ready.remove(&(line.lane, id));
        self.later.remove(&(line.due, id));
        self.claimed.remove(&id);
        self.parked.remove(&(line.since, id));
        self.expiry.remove(&(line.valid_until, id));
    }

    /// The next messages to put on the wire at `now`: by lane, then age; at most `max`.
    #[must_use]
    pub fn next(&self, now: Timestamp, max: usize) -> Vec<MessageId> {
        let due = self.later.range(..=(now, MessageId(u64::MAX))).map(|(_, id)| *id);
        let mut due: Vec<(Lane, MessageId)> =
            due.filter_map(|id| self.lines.get(&id).map(|l| (l.lane, id))).take(DUE_LOOKED_AT).collect();
        due.extend(self.ready.iter().take(max));
        due.sort_unstable();
        due.truncate(max);
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Whose outbox it is, once something was in it.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// Whether something is on the wire or parked: somebody must see to its end.
    #[must_use]
    pub fn holds_undecided(&self) -> bool {
        !self.claimed.is_empty() || !self.parked.is_empty()
    }

    /// Messages on the wire.
    #[must_use]
    pub fn claimed(&self, max: usize) -> Vec<MessageId> {
        self.claimed.iter().take(max).copied().collect()
    }

    /// Waiting messages, those that expire first before the others.
    #[must_use]
    pub fn waiting(&self, max: usize) -> Vec<MessageId> {
        self.expiry.iter().take(max).map(|(_, id)| *id).collect()
    }

    /// Waiting messages whose validity has passed at `now`.
    #[must_use]
    pub fn overdue(&self, now: Timestamp, max: usize) -> Vec<MessageId> {
        self.expiry.iter().take_while(|(until, _)| *until < now).map(|(_, id)| *id).take(max).collect()
    }

    /// Parked messages that waited for proof since `before` or longer.
    #[must_use]
    pub fn unproven(&self, before: Timestamp, max: usize) -> Vec<MessageId> {
        self.parked.iter().take_while(|(since, _)| *since <= before).map(|(_, id)| *id).take(max).collect()
    }

    /// When something happens here by itself: the next due, expiry or end of waiting for proof.
    #[must_use]
    pub fn wake(&self, proof_ms: i64) -> Option<Timestamp> {
        let due = self.later.first().map(|(at, _)| *at);
        [due, self.wake_settling(proof_ms)].into_iter().flatten().min()
    }

    /// When something here ends by itself: the next expiry or end of waiting for proof.
    #[must_use]
    pub fn wake_settling(&self, proof_ms: i64) -> Option<Timestamp> {
        let expiry = self.expiry.first().map(|(at, _)| at.plus_ms(1));
        let proof = self.parked.first().map(|(since, _)| since.plus_ms(proof_ms));
        [expiry, proof].into_iter().flatten().min()
    }

    /// How urgent the most urgent is of what could go on the wire at `now`.
    #[must_use]
    pub fn urgency(&self, now: Timestamp) -> Option<Lane> {
        let due = self.later.range(..=(now, MessageId(u64::MAX))).take(DUE_LOOKED_AT);
        let due = due.filter_map(|(_, id)| self.lines.get(id).map(|line| line.lane));
        due.chain(self.ready.first().map(|(lane, _)| *lane)).min()
    }

    /// How many of the most urgent lane could go on the wire at `now`, at most `max`.
    #[must_use]
    pub fn replies(&self, now: Timestamp, max: usize) -> usize {
        let lane = |id: &MessageId| self.lines.get(id).is_some_and(|line| line.lane == Lane::Reply);
        self.next(now, max).iter().filter(|id| lane(id)).count()
    }

    /// Whether something could go on the wire at `now`.
    #[must_use]
    pub fn has_ready(&self, now: Timestamp) -> bool {
        !self.ready.is_empty() || self.later.first().is_some_and(|(at, _)| *at <= now)
    }

    /// Open messages.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}
