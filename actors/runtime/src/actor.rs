//! What an actor is to those who write one: the trait, its context and its name.
//!
//! Not how it is run: ractor's side is in `host`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use ractor::ActorId;

use crate::clock::Clock;
use crate::handle::Handle;
use crate::timer::Timer;

/// Something with an identity that handles one message at a time.
///
/// A panic in any method ends this incarnation: waiting messages are lost, and the supervisor makes a fresh actor
/// from the factory after a backoff.
pub trait Actor: Send + 'static {
    /// What it is told.
    type Message: Send + 'static;

    /// Called once before the first message, also after a restart.
    fn started(&mut self, _ctx: &mut Context<Self::Message>) -> impl Future<Output = Next> + Send {
        async { Next::Continue }
    }

    /// Handles one message; the next one waits until this future ends.
    fn handle(
        &mut self,
        message: Self::Message,
        ctx: &mut Context<Self::Message>,
    ) -> impl Future<Output = Next> + Send;

    /// Called once after the last message of a normal end (`Next::Stop`, `Handle::stop`, passivation, stop of the
    /// shard); neither after a panic nor after `Handle::kill`.
    fn stopped(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What an actor does after a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the next message.
    Continue,
    /// Done: refuse new messages, handle those already accepted, end. Not restarted.
    Stop,
}

/// An actor's name in logs: its label and its key. Displayed as `label/key`.
#[derive(Clone)]
pub struct Name {
    label: &'static str,
    key: Arc<dyn fmt::Debug + Send + Sync>,
}

impl Name {
    pub(crate) fn new<K: fmt::Debug + Send + Sync + 'static>(label: &'static str, key: K) -> Self {
        Self { label, key: Arc::new(key) }
    }

    /// The kind of actor, as in the metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        self.label
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:?}", self.label, self.key)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an actor can reach while it runs. Belongs to one incarnation.
pub struct Context<M> {
    handle: Handle<M>,
    incarnation: ActorId,
}

impl<M: Send + 'static> Context<M> {
    pub(crate) fn new(handle: Handle<M>, incarnation: ActorId) -> Self {
        Self { handle, incarnation }
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.handle.clock()
    }

    /// The handle others use.
    #[must_use]
    pub fn handle(&self) -> &Handle<M> {
        &self.handle
    }

    /// Sends `message` to this actor after `ms` milliseconds, past admission. Cancelled when the [`Timer`] is
    /// dropped or this incarnation ends.
    #[must_use = "dropping the timer cancels it"]
    pub fn after_ms(&self, ms: u64, message: M) -> Timer {
        Timer::start(self.handle.clone(), self.incarnation, ms, message)
    }

    /// Puts `message` at the end of this actor's own mailbox, past admission. Dropped if the actor is ending.
    pub fn tell_self(&self, message: M) {
        let _ending = self.handle.force_to(self.incarnation, message);
    }

    /// The actor's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.handle.name()
    }

    /// Messages waiting or being handled, the present one included.
    #[must_use]
    pub fn mailbox_len(&self) -> usize {
        self.handle.mailbox_len()
    }
}
