//! What a supervisor will do later, in order of time, behind one alarm.
//!
//! Not the actors' timers: those are theirs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ractor::ActorId;
use tokio::task::AbortHandle;

/// A thing to do with one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// See whether this incarnation has been idle for long enough.
    Idle(ActorId),
    /// Start the next incarnation.
    Respawn,
    /// Forget that the key is broken.
    Mend,
    /// Kill what was told to stop and has not.
    Overdue,
}

struct Entry<K> {
    at: u64,
    turn: u64,
    deed: Deed,
    key: Option<K>,
}

impl<K> PartialEq for Entry<K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K> Eq for Entry<K> {}

impl<K> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Entry<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.turn).cmp(&(other.at, other.turn))
    }
}

/// Deeds by uptime (ms).
pub(super) struct Agenda<K> {
    entries: BinaryHeap<Reverse<Entry<K>>>,
    turn: u64,
    alarm: Option<(u64, AbortHandle)>,
}

impl<K> Agenda<K> {
    pub(super) fn new() -> Self {
        Self { entries: BinaryHeap::new(), turn: 0, alarm: None }
    }

    pub(super) fn add(&mut self, at: u64, deed: Deed, key: Option<K>) {
        self.turn += 1;
        self.entries.push(Reverse(Entry { at, turn: self.turn, deed, key }));
    }

    /// The next deed whose time has come.
    pub(super) fn next_due(&mut self, now: u64) -> Option<(Deed, Option<K>)> {
        if self.entries.peek()?.0.at > now {
            return None;
        }
        self.entries.pop().map(|Reverse(entry)| (entry.deed, entry.key))
    }

    /// Sets the alarm for the earliest deed; `ring` makes the task that waits for it.
    pub(super) fn rearm(&mut self, ring: impl FnOnce(u64) -> AbortHandle) {
        let Some(Reverse(first)) = self.entries.peek() else { return };
        if let Some((at, task)) = &self.alarm {
            if *at <= first.at && !task.is_finished() {
                return;
            }
            task.abort();
        }
        self.alarm = Some((first.at, ring(first.at)));
    }

    /// The alarm has rung.
    pub(super) fn rang(&mut self) {
        self.alarm = None;
    }
}

impl<K> Drop for Agenda<K> {
    fn drop(&mut self) {
        if let Some((_, task)) = self.alarm.take() {
            task.abort();
        }
    }
}
