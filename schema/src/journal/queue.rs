//! Admission to the journal: one lock under which the fence is compared, the position checked and the batch put
//! in line, so that the order of calls is the order on disk. Writes nothing itself.

use super::Fence;
use super::admission::{Admission, refusal};
use super::header::Tips;
use crate::codec::frame::FrameError;
use crate::error::StoreError;
use kabar_engine::entry::Position;
use kabar_engine::id::{SHARDS, ShardId};
use kabar_engine::time::Timestamp;
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Bytes that may wait for the disk; more answers `Overloaded`.
const WAITING_MAX: usize = 64 * 1024 * 1024;

/// The answer to a ticket.
pub(super) type Done = oneshot::Receiver<Result<(), StoreError>>;

/// One append in line; an empty frame waits for those before it.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) frame: Vec<u8>,
    pub(super) fence: Fence,
    pub(super) base: Position,
    pub(super) last: Position,
    /// The newest time of its entries.
    pub(super) newest: Timestamp,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

/// What an append brings.
pub(super) struct Batch {
    pub(super) frame: Result<Vec<u8>, FrameError>,
    pub(super) fence: Fence,
    pub(super) base: Position,
    pub(super) count: u64,
    pub(super) newest: Timestamp,
}

struct Line {
    shards: Box<[Admission; SHARDS]>,
    waiting: Vec<Ticket>,
    bytes: usize,
    closed: bool,
    dead: bool,
}

/// When the writer synced last, and for how many.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) gap: Duration,
    pub(super) synced: Option<Instant>,
    pub(super) group: usize,
}

/// The line before the writer.
pub(super) struct Queue {
    line: Mutex<Line>,
    wake: Condvar,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    /// Shards that stand at `tips`, taken by nobody.
    pub(super) fn new(tips: &Tips) -> Self {
        let mut shards = Box::new([Admission::default(); SHARDS]);
        for id in ShardId::all() {
            shards[usize::from(id.0)] = Admission::new(tips.position(id), tips.get(id).epoch);
        }
        let line = Line { shards, waiting: Vec::new(), bytes: 0, closed: false, dead: false };
        Self { line: Mutex::new(line), wake: Condvar::new() }
    }

    /// Puts a batch in line, or refuses it.
    pub(super) fn push(&self, batch: Batch) -> Result<Done, StoreError> {
        let mut line = self.line.lock();
        if line.dead || line.closed {
            return Err(StoreError::Unavailable);
        }
        let Batch { frame, fence, base, count, newest } = batch;
        let full = frame.as_ref().is_ok_and(|frame| line.bytes + frame.len() > WAITING_MAX);
        let refused = match &frame {
            Err(error) => Some(refusal(fence, *error)),
            Ok(_) => full.then_some(StoreError::Overloaded),
        };
        line.shards[usize::from(fence.shard.0)].admit(fence, base, count, refused)?;
        let frame = frame.expect("invariant: a batch without a frame was refused just now");
        line.bytes += frame.len();
        let (done, wait) = oneshot::channel();
        let last = Position(base.0 + count - 1);
        line.waiting.push(Ticket { frame, fence, base, last, newest, done });
        if line.waiting.len() == 1 {
            self.wake.notify_one();
        }
        Ok(wait)
    }

    /// Gives the shard to a new owner: its tip, and when everything up to it is durable.
    pub(super) fn take_over(&self, fence: Fence) -> Result<(Position, Done), StoreError> {
        let mut line = self.line.lock();
        if line.dead || line.closed {
            return Err(StoreError::Unavailable);
        }
        let tip = line.shards[usize::from(fence.shard.0)].take(fence.epoch)?;
        let (done, wait) = oneshot::channel();
        let newest = Timestamp(i64::MIN);
        line.waiting.push(Ticket { frame: Vec::new(), fence, base: tip, last: tip, newest, done });
        self.wake.notify_one();
        Ok((tip, wait))
    }

    /// Waits for the next group; `None` once closed and empty. A group waits until `gap` has passed since the
    /// last sync, so that one sync serves many; a writer that waits alone gets its sync at once.
    pub(super) fn next_group(&self, pace: &Pace) -> Option<Vec<Ticket>> {
        let mut line = self.line.lock();
        while line.waiting.is_empty() {
            if line.closed {
                return None;
            }
            self.wake.wait(&mut line);
        }
        let alone = line.waiting.len() == 1 && pace.group <= 1;
        let due = pace.synced.map(|synced| synced + pace.gap).filter(|_| !alone);
        // Nobody wakes this wait but the close: the line is not empty, so a push does not.
        while !line.closed
            && let Some(due) = due
            && !self.wake.wait_until(&mut line, due).timed_out()
        {}
        line.bytes = 0;
        Some(std::mem::take(&mut line.waiting))
    }

    /// No more appends; what waits is still written.
    pub(super) fn close(&self) {
        self.line.lock().closed = true;
        self.wake.notify_one();
    }

    /// The disk failed: what waits was certainly not applied, and nothing more will be.
    pub(super) fn kill(&self) {
        let mut line = self.line.lock();
        line.dead = true;
        for ticket in line.waiting.drain(..) {
            // The caller may have gone; then nobody needs the answer.
            let _ = ticket.done.send(Err(StoreError::Unavailable));
        }
    }
}
