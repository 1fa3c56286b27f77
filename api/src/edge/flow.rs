//! Bodies on their way: a request's that must not stand still, an answer's that says when it is over. Not what is in
//! them.

use super::pulse::Pulse;
use crate::config::Edge;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The connection ended.
    #[error("the connection ended before the body did")]
    Ended(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("the body stood still for too long")]
    Stalled,
    /// It came in drops.
    #[error("the body came slower than 1 KiB a second")]
    Slow,
    /// Too much of other bodies is held.
    #[error("there is no room for the rest of the body")]
    NoRoom,
}

/// The least a body brings while it is waited for, bytes a second.
const LEAST: u64 = 1_024;

/// How long a body is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the next of it.
    stall: Duration,
    /// For all of it, while it comes in drops.
    slow: Duration,
}

impl Patience {
    pub(super) fn of(edge: &Edge) -> Self {
        let (stall, slow) =
            (Duration::from_millis(edge.body_stall_ms), Duration::from_millis(edge.body_slow_ms));
        Self { stall, slow }
    }
}

/// How fast a body comes. Only the time counts in which we waited for it: who reads slowly is not its sender's fault.
#[derive(Debug, Default)]
struct Pace {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Nothing is there.
    fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So much came; whether that is fast enough.
    fn came(&mut self, bytes: usize, slow: Duration) -> bool {
        self.bytes += bytes as u64;
        // Most bodies are never waited for, and pay for no clock.
        let Some(since) = self.since.take() else { return true };
        self.waited += since.elapsed();
        if self.waited < slow {
            return true;
        }
        let least = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX).saturating_mul(LEAST) / 1_000;
        let fast = self.bytes >= least;
        *self = Self::default();
        fast
    }
}

/// A request's body.
pub(super) struct Arriving {
    body: Incoming,
    patience: Patience,
    pace: Pace,
    /// Made at the first wait: most bodies are here with their head.
    timer: Option<Pin<Box<Sleep>>>,
    pulse: Arc<Pulse>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, patience: Patience, pulse: Arc<Pulse>) -> Self {
        Self { body, patience, pace: Pace::default(), timer: None, pulse }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.pulse.left_unread();
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.timer = None;
            let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            let slow = self.patience.slow;
            if !self.pace.came(came, slow) && !self.body.is_end_stream() {
                return Poll::Ready(Some(Err(Broken::Slow)));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Broken::Ended)));
        }
        let now = Instant::now();
        self.pace.wait(now);
        let until = now + self.patience.stall;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        ready!(timer.as_mut().poll(context));
        Poll::Ready(Some(Err(Broken::Stalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Requests whose answers are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Busy {
    count: AtomicUsize,
    changed: Notify,
}

impl Busy {
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Returns when there is none.
    pub(super) async fn none(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// One request from its head to the end of its answer.
pub(super) struct Held {
    pulse: Arc<Pulse>,
    busy: Arc<Busy>,
}

impl Held {
    pub(super) fn new(pulse: Arc<Pulse>, busy: Arc<Busy>) -> Self {
        pulse.asked();
        busy.count.fetch_add(1, Ordering::AcqRel);
        Self { pulse, busy }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pulse.answered();
        if self.busy.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.busy.changed.notify_waiters();
        }
    }
}

/// An answer's body.
pub(super) struct Leaving {
    body: axum::body::Body,
    /// Ends a stream that has no end of its own.
    end: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _held: Held,
}

impl Leaving {
    pub(super) fn new(
        body: axum::body::Body,
        end: Option<WaitForCancellationFutureOwned>,
        held: Held,
    ) -> Self {
        Self { body, end: end.map(Box::pin), _held: held }
    }
}

impl Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready()) {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_secs(30);

    async fn after(pace: &mut Pace, ms: u64, bytes: usize) -> bool {
        pace.wait(Instant::now());
        tokio::time::advance(Duration::from_millis(ms)).await;
        pace.came(bytes, SLOW)
    }

    #[tokio::test(start_paused = true)]
    async fn drops_end_a_body_and_a_slow_sender_or_a_slow_reader_does_not() {
        let mut drops = Pace::default();
        for _ in 0..4 {
            assert!(after(&mut drops, 6_000, 1).await);
        }
        assert!(!after(&mut drops, 6_000, 1).await);
        let mut slow = Pace::default();
        for _ in 0..100 {
            assert!(after(&mut slow, 6_000, 6_144).await);
        }
        // A fast begin is no right to be slow for ever.
        let mut tired = Pace::default();
        assert!(after(&mut tired, 1, 1 << 20).await && after(&mut tired, 30_000, 1).await);
        assert!(!after(&mut tired, 30_000, 1).await);
        // We take a minute for each piece, and wait for none of them.
        let mut ours = Pace::default();
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(ours.came(1, SLOW));
        }
    }
}
