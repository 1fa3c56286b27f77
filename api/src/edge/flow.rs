//! Bodies on their way: a request's that must not stand still, an answer's that says when it is over. Not what is in
//! them.

use super::pulse::Pulse;
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
}

/// A request's body.
pub(super) struct Arriving {
    body: Incoming,
    stall: Duration,
    /// Made at the first wait: most bodies are here with their head.
    timer: Option<Pin<Box<Sleep>>>,
    pulse: Arc<Pulse>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, stall: Duration, pulse: Arc<Pulse>) -> Self {
        Self { body, stall, timer: None, pulse }
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
            return Poll::Ready(frame.map(|frame| frame.map_err(Broken::Ended)));
        }
        let until = Instant::now() + self.stall;
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
