//! One shard's line before the cluster: who may append, what waits, and that only one writer works on it. Asks
//! nothing of the cluster.

use super::protocol::{COUNT_MAX, Owner};
use crate::codec::frame::{FRAME_MAX, HEAD};
use crate::error::StoreError;
use crate::journal::Fence;
use crate::journal::admission::Admission;
use kabar_engine::entry::Position;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Bytes of one shard that may wait; more answers `Overloaded`.
const WAITING_MAX: usize = 8 * 1024 * 1024;

/// One append in line.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) frame: Vec<u8>,
    pub(super) base: Position,
    pub(super) count: u64,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

#[derive(Debug, Default)]
struct State {
    admission: Admission,
    owner: Option<Owner>,
    waiting: VecDeque<Batch>,
    bytes: usize,
    working: bool,
    /// The last position that is certainly in.
    durable: u64,
}

/// A shard's line.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<State>);

impl Line {
    /// Puts a batch in line; whether a writer must be started.
    pub(super) fn push(
        &self,
        fence: Fence,
        frame: Result<Vec<u8>, StoreError>,
        mut batch: Batch,
    ) -> Result<bool, StoreError> {
        let mut state = self.0.lock();
        let full = frame.as_ref().is_ok_and(|f| state.bytes + f.len() > WAITING_MAX);
        let refused = match &frame {
            Err(error) => Some(*error),
            Ok(_) => full.then_some(StoreError::Overloaded),
        };
        state.admission.admit(fence, batch.base, batch.count, refused)?;
        batch.frame = frame.expect("invariant: a batch without a frame was refused just now");
        state.bytes += batch.frame.len();
        state.waiting.push_back(batch);
        Ok(!std::mem::replace(&mut state.working, true))
    }

    /// What goes into the next frame; `None` ends the writer.
    pub(super) fn next(&self) -> Option<(Owner, Vec<Batch>)> {
        let mut state = self.0.lock();
        let Some(owner) = state.owner.filter(|_| !state.waiting.is_empty()) else {
            state.working = false;
            return None;
        };
        let (mut room, mut entries) = (FRAME_MAX - HEAD, 0);
        let mut batches = Vec::new();
        while let Some(first) = state.waiting.front() {
            let len = first.frame.len() - HEAD;
            if !batches.is_empty() && (len > room || entries + first.count > COUNT_MAX) {
                break;
            }
            room = room.saturating_sub(len);
            entries += first.count;
            state.bytes -= first.frame.len();
            batches.extend(state.waiting.pop_front());
        }
        Some((owner, batches))
    }

    /// What became of a frame. After a failure nothing that waited behind it is applied: it was decided on top.
    pub(super) fn done(&self, epoch: u64, answer: Result<Owner, StoreError>, batches: Vec<Batch>) {
        let mut state = self.0.lock();
        let ours = state.owner.is_some_and(|o| o.epoch() == epoch);
        let told = answer.as_ref().map(|_| ()).map_err(|error| *error);
        match answer {
            Ok(owner) if ours => {
                state.owner = Some(owner);
                let last = batches.last().map_or(0, |b| b.base.0 + b.count - 1);
                state.durable = state.durable.max(last);
            }
            Err(_) if ours => state.fail(),
            _ => {}
        }
        drop(state);
        for batch in batches {
            // The caller may have gone; then nobody needs the answer.
            let _ = batch.done.send(told);
        }
    }

    /// Somebody takes the shard: what waits was certainly not applied, and nothing more is taken in.
    pub(super) fn stop(&self) {
        self.0.lock().fail();
    }

    /// The shard is owned and ends at `tip`.
    pub(super) fn begin(&self, epoch: u64, tip: u64, owner: Owner) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        state.admission.take_at(epoch, Position(tip))?;
        state.owner = Some(owner);
        state.durable = tip;
        Ok(())
    }

    /// The last position that is certainly in, when this process owns the shard.
    pub(super) fn durable(&self) -> Option<u64> {
        let state = self.0.lock();
        state.owner.map(|_| state.durable)
    }
}

impl State {
    fn fail(&mut self) {
        self.admission.fail();
        self.owner = None;
        self.bytes = 0;
        for batch in self.waiting.drain(..) {
            let _ = batch.done.send(Err(StoreError::Unavailable));
        }
    }
}
