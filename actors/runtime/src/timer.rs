//! A message to oneself, later.
//!
//! Not a schedule: nothing here survives the actor; what must happen is due work in the store.

use ractor::ActorId;
use tokio::task::AbortHandle;

use crate::handle::Handle;

/// A pending message of an actor to itself; dropping it cancels it.
#[derive(Debug)]
#[must_use = "dropping the timer cancels it"]
pub struct Timer {
    task: AbortHandle,
}

impl Timer {
    pub(crate) fn start<M: Send + 'static>(
        handle: Handle<M>,
        incarnation: ActorId,
        ms: u64,
        message: M,
    ) -> Self {
        let clock = handle.clock().clone();
        // The deadline counts from this call, not from the task's first turn.
        let due = clock.uptime_us().saturating_add(ms.saturating_mul(1_000)).div_ceil(1_000);
        let task = tokio::spawn(async move {
            clock.sleep_until_uptime(due).await;
            // A timer that outlived its actor must not reach the next incarnation.
            let _ended = handle.force_to(incarnation, message);
        });
        Self { task: task.abort_handle() }
    }

    /// Whether the message has been sent (or its actor was gone).
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
