//! What the journal answers to a shard's frames, heard in their order by one task while any is on its way: one wake for
//! all frames of a sync. A caller that goes away takes nothing with it, neither that a position is durable nor that the
//! shard is broken.

use super::{DoorError, Shard};
use crate::tide::Touched;
use futures::future::BoxFuture;
use kabar_engine::entry::Position;
use kabar_schema::error::StoreError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// A frame on its way to the disk.
pub(super) struct Frame {
    pub(super) base: u64,
    pub(super) last: u64,
    /// Whom its entries concern.
    pub(super) touched: Touched,
    pub(super) answer: BoxFuture<'static, Result<(), StoreError>>,
}

#[derive(Default)]
pub(super) struct Pump(Mutex<State>);

#[derive(Default)]
struct State {
    frames: VecDeque<Frame>,
    /// Whether a task hears them.
    runs: bool,
    /// The first frame that failed, by its first position.
    failed: Option<(u64, StoreError)>,
}

impl Pump {
    /// Takes the next frame of the shard.
    pub(super) fn push(shard: &Arc<Shard>, frame: Frame) {
        let mut state = shard.pump.0.lock();
        state.frames.push_back(frame);
        if !std::mem::replace(&mut state.runs, true) {
            tokio::spawn(hear(Running { shard: Arc::clone(shard), ended: false }));
        }
    }

    /// Why what was decided from `base` on is not durable, once its shard is broken.
    pub(super) fn failure(&self, base: Position) -> DoorError {
        match &self.0.lock().failed {
            Some((first, error)) if *first <= base.0 => (*error).into(),
            _ => DoorError::Unknown,
        }
    }

    /// The next frame; `None` ends the task.
    fn next(&self) -> Option<Frame> {
        let mut state = self.0.lock();
        let next = state.frames.pop_front();
        state.runs = next.is_some();
        next
    }
}

/// A task that ends before its time leaves frames that nobody hears.
struct Running {
    shard: Arc<Shard>,
    ended: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            self.shard.shatter();
        }
    }
}

async fn hear(mut running: Running) {
    let shard = Arc::clone(&running.shard);
    while let Some(frame) = shard.pump.next() {
        match frame.answer.await {
            Ok(()) => {
                // In this order: who sees that a position is durable has been told what lies before it.
                shard.parts.tide.rise(shard.id, &frame.touched);
                shard.durable.hear(frame.base, frame.last);
            }
            Err(error) => {
                shard.pump.0.lock().failed.get_or_insert((frame.base, error));
                shard.fail(&error);
            }
        }
    }
    running.ended = true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_it_failed_is_told_from_the_frame_that_did_and_before_it_nothing_is_known() {
        let pump = Pump::default();
        assert_eq!(pump.failure(Position(7)), DoorError::Unknown, "the lease was lost");
        pump.0.lock().failed = Some((7, StoreError::Unavailable));
        assert_eq!(pump.failure(Position(6)), DoorError::Unknown);
        assert_eq!(pump.failure(Position(7)), DoorError::Unavailable);
        assert_eq!(pump.failure(Position(9)), DoorError::Unavailable);
    }
}
