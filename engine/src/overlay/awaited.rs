//! Messages of which more is awaited: one that was sent is delivered a moment later, and then read. Each of these would be a
//! row more for the views; so the row waits some turns of the projector and is written once, as it is then. Until then the
//! views stand, as far as a restart is concerned, before the first change that they lack.

use super::{Changes, Overlay};
use crate::entry::Position;
use crate::id::MessageId;
use crate::message::MessageRow;
use std::collections::VecDeque;

/// Turns of the projector that a row waits: four seconds, when it comes every second.
const TURNS: u32 = 4;
/// No more rows wait than this; the oldest go first.
const ROWS_MAX: usize = 50_000;

/// Rows that began to wait in the same turn.
#[derive(Debug)]
struct Batch {
    turn: u32,
    /// Where the shard stood before any of their changes.
    before: Position,
    messages: Vec<MessageId>,
}

/// What waits, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    turn: u32,
    /// Where the shard stood at the last drain: whatever became dirty since did so later.
    drained: Position,
    batches: VecDeque<Batch>,
}

impl Awaited {
    pub(super) fn from(position: Position) -> Self {
        Self { drained: position, ..Self::default() }
    }

    /// Takes those in that begin to wait, and gives those out that have waited for long enough: all of them, unless `turns`
    /// says how many turns have passed.
    fn pass(&mut self, now: Position, turns: Option<u32>, fresh: Vec<MessageId>) -> Vec<MessageId> {
        let before = std::mem::replace(&mut self.drained, now);
        self.turn += turns.unwrap_or(0);
        if !fresh.is_empty() {
            self.batches.push_back(Batch { turn: self.turn, before, messages: fresh });
        }
        let mut rows: usize = self.batches.iter().map(|batch| batch.messages.len()).sum();
        let mut due = Vec::new();
        while let Some(batch) = self.batches.front_mut()
            && (turns.is_none() || rows > ROWS_MAX || self.turn - batch.turn >= TURNS)
        {
            rows -= batch.messages.len();
            due.append(&mut batch.messages);
            self.batches.pop_front();
        }
        due
    }
}

impl Overlay {
    /// What is to be written when so many turns of the projector have passed since the last drain: everything that changed,
    /// but for messages that were sent and of which more is awaited. Like [`Overlay::drain`] otherwise.
    pub fn drain_turn(&mut self, turns: u32) -> Changes {
        let (mut messages, fresh) = self.messages.drain_but(MessageRow::awaits_reports);
        let due = self.awaited.pass(self.position, Some(turns), fresh);
        messages.extend(self.messages.take(&due));
        self.changes(messages)
    }

    /// Everything that changed since the last drain. The rows stay here, and count as clean; when the views
    /// hold them [`Overlay::flushed`] is to be called, and before the next drain.
    pub fn drain(&mut self) -> Changes {
        let mut messages = self.messages.drain();
        let due = self.awaited.pass(self.position, None, Vec::new());
        messages.extend(self.messages.take(&due));
        self.changes(messages)
    }

    /// Where the views stand once what was drained is in them: every entry until there is in them whole. Many of their rows
    /// will know later entries as well, which a restart folds once more without effect.
    #[must_use]
    pub fn drained_to(&self) -> Position {
        self.awaited.batches.front().map_or(self.awaited.drained, |batch| batch.before)
    }

    /// Rows that are to be written at the next turn, or sooner.
    #[must_use]
    pub fn pressing(&self) -> usize {
        self.dirty() - self.messages.waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(from: u64, to: u64) -> Vec<MessageId> {
        (from..to).map(MessageId).collect()
    }

    #[test]
    fn what_waits_leaves_after_its_turns_and_the_views_stand_before_it_until_then() {
        let mut awaited = Awaited::from(Position(10));
        let stands = |awaited: &Awaited| awaited.batches.front().map(|batch| batch.before.0);
        assert!(awaited.pass(Position(20), Some(1), ids(0, 2)).is_empty());
        assert!(awaited.pass(Position(30), Some(1), ids(2, 3)).is_empty());
        assert!(awaited.pass(Position(31), Some(0), ids(3, 4)).is_empty(), "between turns");
        assert_eq!(stands(&awaited), Some(10));
        assert!(awaited.pass(Position(40), Some(1), Vec::new()).is_empty());
        assert!(awaited.pass(Position(50), Some(1), Vec::new()).is_empty());
        assert_eq!(awaited.pass(Position(60), Some(1), Vec::new()), ids(0, 2));
        assert_eq!(stands(&awaited), Some(20));
        assert_eq!(awaited.pass(Position(70), Some(1), ids(5, 6)), ids(2, 4));
        assert_eq!(stands(&awaited), Some(60));
        assert_eq!(awaited.pass(Position(80), None, Vec::new()), ids(5, 6), "when everything is asked for");
        assert_eq!(stands(&awaited), None);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let (mut awaited, most) = (Awaited::default(), ROWS_MAX as u64);
        assert!(awaited.pass(Position(1), Some(0), ids(0, most)).is_empty());
        assert_eq!(awaited.pass(Position(2), Some(0), ids(most, most + 1)), ids(0, most));
    }
}
