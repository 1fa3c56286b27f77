//! How an actor is reached: handles, questions and refusals.
//!
//! A handle names an actor over all its incarnations; once the actor has ended for good (stopped, passivated,
//! broken) it answers [`Refused::Gone`] and the caller activates the key again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ractor::ActorId;
use tokio::sync::oneshot;

use crate::actor::Name;
use crate::cell::{AnyCell, Cell, Phase};
use crate::clock::Clock;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No room (the actor's or the node's bound), or the actor is being restarted or is broken. Nothing happened.
    #[error("overloaded, retry after {retry_after_ms} ms")]
    Overloaded {
        /// When a retry may succeed, in milliseconds, at least 1.
        retry_after_ms: u64,
    },
    /// The actor has ended. From `offer` and `force`: nothing happened. From `ask`: the actor may have handled the
    /// message in part.
    #[error("the actor is gone")]
    Gone,
}

/// Where the answer to a question goes. Dropping it answers [`Refused::Gone`].
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// A reply and the answer it gives, for a question put through `Supervisor::deliver`.
    pub fn channel() -> (Self, Answer<R>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), Answer(receiver))
    }

    /// Answers. An asker that stopped waiting is ignored.
    pub fn send(self, answer: R) {
        let _nobody_waits = self.0.send(answer);
    }

    /// Whether the asker stopped waiting.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// The future answer to a question: `Ok` what the actor sent, or `Gone` if the actor ended without answering.
#[derive(Debug)]
#[must_use = "an answer does nothing unless awaited"]
pub struct Answer<R>(oneshot::Receiver<R>);

impl<R> Future for Answer<R> {
    type Output = Result<R, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_dropped| Refused::Gone)
    }
}

/// Reaches one actor. Cheap to clone.
pub struct Handle<M> {
    cell: Arc<Cell<M>>,
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell) }
    }
}

impl<M: Send + 'static> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(self.name()).finish()
    }
}

impl<M: Send + 'static> Handle<M> {
    pub(crate) fn new(cell: Arc<Cell<M>>) -> Self {
        Self { cell }
    }

    /// The handle behind an erased cell; `None` if that actor takes other messages.
    pub(crate) fn from_any(cell: Arc<dyn AnyCell>) -> Option<Self> {
        let any: Arc<dyn std::any::Any + Send + Sync> = cell;
        any.downcast().ok().map(Self::new)
    }

    /// Puts `message` into the mailbox if there is room (per actor and per node).
    ///
    /// # Errors
    /// `Overloaded` if not, or while the actor is being restarted; `Gone` if it has ended. The message is dropped.
    pub fn offer(&self, message: M) -> Result<(), Refused> {
        self.try_offer(message).map_err(|(refused, _message)| refused)
    }

    /// As [`Handle::offer`], and hands the message back when it is refused.
    ///
    /// # Errors
    /// As [`Handle::offer`].
    pub fn try_offer(&self, message: M) -> Result<(), (Refused, M)> {
        self.cell.push(message, true, None)
    }

    /// Offers a question and waits for its answer. No deadline of its own.
    ///
    /// # Errors
    /// As [`Handle::offer`]; also `Gone` if the actor ends, or drops the [`Reply`], before it answers.
    pub async fn ask<R>(&self, make: impl FnOnce(Reply<R>) -> M) -> Result<R, Refused> {
        let (reply, answer) = Reply::channel();
        self.offer(make(reply))?;
        answer.await
    }

    /// Puts a control message into the mailbox past the bounds (it still waits its turn).
    ///
    /// # Errors
    /// `Overloaded` while the actor is being restarted, `Gone` if it has ended.
    pub fn force(&self, message: M) -> Result<(), Refused> {
        self.cell.push(message, false, None).map_err(|(refused, _message)| refused)
    }

    /// As `force`, but only to one incarnation.
    pub(crate) fn force_to(&self, incarnation: ActorId, message: M) -> Result<(), Refused> {
        self.cell.push(message, false, Some(incarnation)).map_err(|(refused, _message)| refused)
    }

    /// Whether the actor takes messages now.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.cell.phase() == Phase::Live
    }

    /// Ends the actor in good order: new messages are refused at once, accepted ones are handled, then `stopped`
    /// runs. Not restarted.
    pub fn stop(&self) {
        self.cell.close();
    }

    /// Ends the actor at once, in the middle of a message if need be; waiting messages are lost, `stopped` does
    /// not run. Not restarted.
    pub fn kill(&self) {
        self.cell.kill();
    }

    /// Stops the actor if nothing waits for it and nothing is being handled, as passivation does. Says whether it
    /// did.
    pub fn passivate(&self) -> bool {
        self.cell.passivate()
    }

    /// Messages waiting or being handled.
    #[must_use]
    pub fn mailbox_len(&self) -> usize {
        usize::try_from(self.cell.meter().pending()).unwrap_or(usize::MAX)
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.cell.name()
    }

    /// The clock of the actor's node.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.cell.meter().label.clock
    }
}
