//! The lease of one shard: who may act on it, decided by one node out of what a table of rows answers. A machine that is
//! told the time (its own monotonic milliseconds) and the answers, and says what to ask next.
//!
//! A row is `(owner, epoch, ctr)`, and every change compares what it stands on:
//!
//! ```text
//! take     SET owner=me, epoch=e+1, ctr=0   IF owner=o AND epoch=e AND ctr=c
//! renew    SET ctr=c+1                      IF owner=me AND epoch=e AND ctr=c     every 3 s
//! release  SET owner=null                   IF owner=me AND epoch=e
//! ```
//!
//! The owner stops acting 7 s after the moment it *sent* the last renewal that went well. A challenger takes a row it
//! saw unchanged for 9.9 s on its own clock, so no clock is ever compared with another. A released row is taken at
//! once. An owner is one process and never its successor: after an orderly end the next one starts at once, after a
//! kill it waits 9.9 s at most, also on one machine and under the same name. An unknown outcome is read back.
//!
//! Not the fence: that is the journal's, which compares the epoch inside the write. A lease alone protects nothing from
//! a process that was paused between looking at its lease and writing.

use crate::id::ShardId;
use std::sync::Arc;

/// A lease is renewed this long (ms) after the renewal before was sent.
pub const RENEW_MS: u64 = 3_000;
/// An owner acts this long (ms) after it sent its last renewal that went well.
pub const ACT_MS: u64 = 7_000;
/// A challenger takes what it saw unchanged for this long (ms). The margin over [`ACT_MS`] is for clocks that run
/// differently: it would hold for a sixth.
pub const CHALLENGE_MS: u64 = 9_900;
/// A foreign row is looked at this often (ms).
pub const LOOK_MS: u64 = 1_000;
/// A call that was certainly not done is made again after this (ms).
pub const RETRY_MS: u64 = 500;

/// One process: a name people know with something random behind it, never used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner(Arc<str>);

impl Owner {
    /// An incarnation of the node `name`; `random` tells it from every other one.
    #[must_use]
    pub fn new(name: &str, random: u64) -> Self {
        Self(format!("{name}-{random:016x}").into())
    }

    /// As it was stored.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands in the table for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The shard.
    pub shard: ShardId,
    /// Who has it; `None`: it was released, or never taken.
    pub owner: Option<Owner>,
    /// Rises with every taking, never falls.
    pub epoch: u64,
    /// Rises with every renewal of one epoch.
    pub ctr: u64,
}

impl LeaseRow {
    /// The row of a shard nobody ever had.
    #[must_use]
    pub fn fresh(shard: ShardId) -> Self {
        Self { shard, owner: None, epoch: 0, ctr: 0 }
    }

    /// The row after `owner` took it as it stands here.
    #[must_use]
    pub fn taken_by(&self, owner: &Owner) -> Self {
        Self { shard: self.shard, owner: Some(owner.clone()), epoch: self.epoch + 1, ctr: 0 }
    }

    /// Whether `owner` has it under `epoch`.
    #[must_use]
    pub fn is_held(&self, owner: &Owner, epoch: u64) -> bool {
        self.owner.as_ref() == Some(owner) && self.epoch == epoch
    }
}

/// What the table is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The row, in the order of all finished changes.
    Read,
    /// To take the row as it was seen.
    Take(LeaseRow),
    /// To renew.
    Renew {
        /// Our epoch.
        epoch: u64,
        /// The counter as we know it.
        ctr: u64,
    },
    /// To give it back.
    Release {
        /// Our epoch.
        epoch: u64,
    },
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The lease is lost or has lapsed: stop acting on the shard.
    Stop,
    /// Ask this, and tell the answer to [`Lease::hear`]. Nothing else is asked before.
    Ask(Call),
}

/// What the table answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It was done.
    Applied,
    /// The condition did not hold; this stands there.
    Refused(LeaseRow),
    /// It may have been done, or may be done later.
    Unknown,
    /// Certainly not done.
    Unavailable,
    /// The row that was read.
    Row(LeaseRow),
}

/// A lease that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// Under which epoch.
    pub epoch: u64,
    /// Until when (own monotonic ms) its owner may act.
    pub until: u64,
}

impl Term {
    /// Whether it holds from `now` for `ms` more.
    #[must_use]
    pub fn holds_for(&self, ms: u64, now: u64) -> bool {
        now.saturating_add(ms) < self.until
    }
}

#[derive(Debug)]
enum State {
    /// The row is not known.
    Nothing,
    /// Another's, or nobody's.
    Watching { seen: LeaseRow, since: u64, looked: u64 },
    /// Ours. `sent` is when the last renewal that went well was sent; `tried` when the oldest one was whose outcome is
    /// still open.
    Held { epoch: u64, ctr: u64, sent: u64, tried: Option<u64> },
    /// Given back.
    Left,
}

/// The lease of one shard as one process sees it.
#[derive(Debug)]
pub struct Lease {
    shard: ShardId,
    me: Owner,
    /// No other process can have the table: a take needs no waiting, what is held never lapses.
    alone: bool,
    state: State,
    /// On the wire, and since when.
    asked: Option<(Call, u64)>,
    /// The epoch of a take whose outcome is open, and when the oldest such take was sent.
    took: Option<(u64, u64)>,
    /// Something has to be read back before anything else is asked.
    doubt: bool,
    stop: bool,
    leaving: bool,
    not_before: u64,
}

impl Lease {
    /// The lease of `shard` before anything is known of it. `alone`: the table belongs to this process.
    #[must_use]
    pub fn new(shard: ShardId, me: Owner, alone: bool) -> Self {
        let state = State::Nothing;
        let (asked, took) = (None, None);
        let (doubt, stop, leaving) = (false, false, false);
        Self { shard, me, alone, state, asked, took, doubt, stop, leaving, not_before: 0 }
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// What is held. It may have run out: `until` says.
    #[must_use]
    pub fn term(&self) -> Option<Term> {
        match &self.state {
            State::Held { epoch, sent, .. } if !self.leaving => {
                let until = if self.alone { u64::MAX } else { sent + ACT_MS };
                Some(Term { epoch: *epoch, until })
            }
            _ => None,
        }
    }

    /// Until when (own monotonic ms) its owner may act; `None`: it may not.
    #[must_use]
    pub fn may_act_until(&self) -> Option<u64> {
        self.term().map(|term| term.until)
    }

    /// Whether what begins `now` and takes `ms` ends while the lease holds.
    #[must_use]
    pub fn holds_for(&self, ms: u64, now: u64) -> bool {
        self.term().is_some_and(|term| term.holds_for(ms, now))
    }

    /// Whether a question is on the wire.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether it was given back, or there was nothing to give back.
    #[must_use]
    pub fn has_left(&self) -> bool {
        matches!(self.state, State::Left)
    }

    /// Who is waited for, and how long it still takes at most (ms) if that one is dead.
    #[must_use]
    pub fn waits_for(&self, now: u64) -> Option<(&Owner, u64)> {
        let State::Watching { seen, since, .. } = &self.state else { return None };
        let left = (since + CHALLENGE_MS).saturating_sub(now);
        seen.owner.as_ref().filter(|owner| **owner != self.me).map(|owner| (owner, left))
    }

    /// The shard is taken anew under a higher epoch, though the lease may still be ours: what was decided under the
    /// old one is void. Nobody acts under the old one any more when this is called.
    pub fn renounce(&mut self, now: u64) {
        if let State::Held { epoch, ctr, .. } = self.state {
            let seen = LeaseRow { shard: self.shard, owner: Some(self.me.clone()), epoch, ctr };
            self.state = State::Watching { seen, since: now, looked: now };
        }
    }

    /// Gives the lease back as soon as nothing is on the wire; nothing is taken any more.
    pub fn leave(&mut self) {
        self.leaving = true;
        self.not_before = 0;
        if self.alone {
            self.state = State::Left;
        }
    }

    /// What is to be done now; ask again until there is nothing.
    pub fn poll(&mut self, now: u64) -> Option<Order> {
        if let State::Held { sent, .. } = self.state
            && !self.alone
            && !self.leaving
            && now >= sent + ACT_MS
        {
            self.state = State::Nothing;
            self.stop = true;
        }
        if std::mem::take(&mut self.stop) {
            return Some(Order::Stop);
        }
        if self.asked.is_some() || now < self.not_before {
            return None;
        }
        let call = self.next(now)?;
        self.asked = Some((call.clone(), now));
        Some(Order::Ask(call))
    }

    fn next(&mut self, now: u64) -> Option<Call> {
        if self.leaving && !matches!(self.state, State::Held { .. }) {
            self.state = State::Left;
        }
        match &self.state {
            State::Left => None,
            State::Nothing => Some(Call::Read),
            _ if self.doubt => Some(Call::Read),
            State::Watching { seen, since, looked } => {
                let free = self.alone
                    || seen.owner.as_ref().is_none_or(|owner| *owner == self.me)
                    || now >= since + CHALLENGE_MS;
                if free {
                    return Some(Call::Take(seen.clone()));
                }
                (now >= looked + LOOK_MS).then_some(Call::Read)
            }
            State::Held { epoch, .. } if self.leaving => Some(Call::Release { epoch: *epoch }),
            State::Held { epoch, ctr, sent, .. } => {
                let due = !self.alone && now >= sent + RENEW_MS;
                due.then_some(Call::Renew { epoch: *epoch, ctr: *ctr })
            }
        }
    }

    /// Hears the answer to what was asked.
    pub fn hear(&mut self, heard: Heard, now: u64) {
        let Some((call, sent_at)) = self.asked.take() else { return };
        match (call, heard) {
            (_, Heard::Unavailable) => self.not_before = now + RETRY_MS,
            (_, Heard::Row(row) | Heard::Refused(row)) => {
                self.doubt = false;
                self.see(row, now);
            }
            (Call::Take(seen), Heard::Applied) => {
                self.took = None;
                let (epoch, ctr) = (seen.epoch + 1, 0);
                self.state = State::Held { epoch, ctr, sent: sent_at, tried: None };
            }
            (Call::Take(seen), Heard::Unknown) => {
                self.took.get_or_insert((seen.epoch + 1, sent_at));
                self.doubt = true;
            }
            (Call::Renew { epoch: of, .. }, Heard::Applied) => {
                // A renewal that comes back after the lease lapsed brings nothing back.
                if let State::Held { epoch, ctr, sent, tried } = &mut self.state
                    && *epoch == of
                {
                    (*ctr, *sent, *tried) = (*ctr + 1, sent_at, None);
                }
            }
            (Call::Renew { epoch: of, .. }, Heard::Unknown) => {
                if let State::Held { epoch, tried, .. } = &mut self.state
                    && *epoch == of
                {
                    tried.get_or_insert(sent_at);
                }
                self.doubt = true;
            }
            (Call::Release { .. }, Heard::Applied) => self.state = State::Left,
            (Call::Release { .. } | Call::Read, Heard::Unknown) => self.doubt = true,
            (Call::Read, Heard::Applied) => self.not_before = now + RETRY_MS,
        }
    }

    /// What stands there, whichever way it was learned.
    fn see(&mut self, row: LeaseRow, now: u64) {
        if let State::Held { epoch, ctr, sent, tried } = &mut self.state {
            let ours = row.is_held(&self.me, *epoch);
            if ours && row.ctr == *ctr {
                // Not done yet; it may still be, so the moment of the oldest try is kept.
                return;
            }
            if ours
                && row.ctr == *ctr + 1
                && let Some(oldest) = tried.take()
            {
                // One of the tries did it, which one nobody can say: the oldest is the safe answer.
                (*ctr, *sent) = (row.ctr, oldest);
                return;
            }
            self.stop = true;
        }
        let took = self.took.take_if(|(epoch, _)| row.epoch >= *epoch);
        if let Some((epoch, oldest)) = took
            && row.is_held(&self.me, epoch)
        {
            self.state = State::Held { epoch, ctr: row.ctr, sent: oldest, tried: None };
            return;
        }
        match &mut self.state {
            State::Watching { seen, looked, .. } if *seen == row => *looked = now,
            State::Left => {}
            state => *state = State::Watching { seen: row, since: now, looked: now },
        }
    }
}

#[cfg(test)]
mod tests;
