//! The supervisor of one shard: activates actors by key, one at a time, and brings failed ones back.
//!
//! This is the face others use; `agent` is the ractor actor behind it, `agenda` what it will do later.

mod agenda;
mod agent;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ractor::{ActorRef, ActorRuntime};
use tokio::sync::oneshot;

use crate::actor::{Actor, Name};
use crate::admission::Meter;
use crate::cell::Cell;
use crate::directory::Key;
use crate::handle::{Handle, Refused};
use crate::host::{ActorSeed, Make, Seed};
use crate::node::{Limits, Node, Shared};
use agent::{Agent, Duty, Order};

/// Activations tried for one message before it is refused; each failed try means that the actor ended in between.
const MAX_TRIES: usize = 16;
/// Wait suggested after that.
const TRIES_RETRY_MS: u64 = 50;

/// Starts and supervises the actors of one shard. Cheap to clone.
pub struct Supervisor<K: Key> {
    shard: u16,
    shared: Arc<Shared<K>>,
    agent: ActorRef<Order<K>>,
    children: Arc<AtomicUsize>,
}

impl<K: Key> Clone for Supervisor<K> {
    fn clone(&self) -> Self {
        Self {
            shard: self.shard,
            shared: Arc::clone(&self.shared),
            agent: self.agent.clone(),
            children: Arc::clone(&self.children),
        }
    }
}

impl<K: Key> Supervisor<K> {
    /// The supervisor of `shard` on `node`, started at its first use. The same as [`Node::supervisor`].
    #[must_use]
    pub fn start(node: &Node<K>, shard: u16) -> Self {
        node.supervisor(shard)
    }

    pub(crate) fn spawn(shared: &Arc<Shared<K>>, shard: u16) -> Self {
        let children = Arc::new(AtomicUsize::new(0));
        let duty = Duty { shared: Arc::clone(shared), children: Arc::clone(&children) };
        let (agent, _task) = ActorRuntime::spawn_instant(None, Agent::new(), duty)
            .expect("invariant: an actor without a name cannot clash with another");
        Self { shard, shared: Arc::clone(shared), agent, children }
    }

    /// The shard it supervises.
    #[must_use]
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// Keys it keeps: actors that live, are being restarted or are ending, and broken ones until their cool-down.
    #[must_use]
    pub fn children(&self) -> usize {
        self.children.load(Ordering::Acquire)
    }

    /// The handle of the actor of `key`, started with `make` if it does not live. Single flight: callers at the
    /// same time get one actor. An actor that is just ending is waited for. `make` is kept for restarts.
    ///
    /// # Errors
    /// `Overloaded` if the key is broken (with the rest of its cool-down), if all residents of the label are busy,
    /// or if the node is full; `Gone` if the node or the shard is shutting down, or if `key` names an actor with
    /// other messages.
    pub async fn activate<A: Actor>(
        &self,
        key: K,
        label: &'static str,
        limits: Limits,
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> Result<Handle<A::Message>, Refused> {
        match self.shared.directory.get(&key) {
            Some(handle) => Ok(handle),
            None => self.start_actor::<A>(key, label, limits, Arc::new(make)).await,
        }
    }

    /// Offers `message` to the actor of `key`, activating it if need be, and again if it ended in between: the
    /// message is in a live mailbox or refused, never lost to passivation.
    ///
    /// # Errors
    /// As [`Supervisor::activate`] and [`Handle::offer`].
    #[expect(
        clippy::too_many_arguments,
        reason = "an activation and the message it is for; the receiver counts"
    )]
    pub async fn deliver<A: Actor>(
        &self,
        key: K,
        label: &'static str,
        limits: Limits,
        make: impl Fn() -> A + Send + Sync + 'static,
        message: A::Message,
    ) -> Result<(), Refused> {
        let mut message = message;
        if let Some(handle) = self.shared.directory.get(&key) {
            match handle.try_offer(message) {
                Err((Refused::Gone, back)) => message = back,
                other => return other.map_err(|(refused, _message)| refused),
            }
        }
        let make: Make<A> = Arc::new(make);
        for _ in 0..MAX_TRIES {
            let handle = match self.shared.directory.get(&key) {
                Some(handle) => handle,
                None => self.start_actor::<A>(key.clone(), label, limits, Arc::clone(&make)).await?,
            };
            match handle.try_offer(message) {
                Err((Refused::Gone, back)) => message = back,
                other => return other.map_err(|(refused, _message)| refused),
            }
        }
        Err(self.shared.label(label).refuse("gone", TRIES_RETRY_MS))
    }

    async fn start_actor<A: Actor>(
        &self,
        key: K,
        label: &'static str,
        limits: Limits,
        make: Make<A>,
    ) -> Result<Handle<A::Message>, Refused> {
        let label = self.shared.label(label);
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(label.refuse_gone());
        }
        let _ticket = label.admit_activation()?;
        let name = Name::new(label.text, key.clone());
        let cell = Cell::new(name, Meter::new(limits.mailbox.max(1), limits.idle_ms, label));
        let seed: Arc<dyn Seed> = Arc::new(ActorSeed::<A> { cell, make });
        let (reply, answer) = oneshot::channel();
        self.agent.send_message(Order::Start { key, seed, reply }).map_err(|_ended| Refused::Gone)?;
        let cell = answer.await.map_err(|_ended| Refused::Gone)??;
        Handle::from_any(cell).ok_or(Refused::Gone)
    }

    /// Stops every actor of the shard and waits until they have ended: doors close at once, messages in hand are
    /// finished, waiting ones are lost (askers get `Gone`), `stopped` runs. An actor that does not end within 10 s
    /// is killed. The supervisor stays usable; who owns the shard must not activate meanwhile.
    pub async fn stop_all(&self) {
        let (done, ended) = oneshot::channel();
        if self.agent.send_message(Order::StopAll { done }).is_ok() {
            let _supervisor_ended = ended.await;
        }
    }

    /// Stops all actors and then the supervisor.
    pub(crate) async fn retire(&self) {
        self.stop_all().await;
        let _ended_already = self.agent.stop_and_wait(None, None).await;
    }

    /// Ends the supervisor without waiting; its actors are killed.
    pub(crate) fn abandon(&self) {
        self.agent.stop(None);
    }
}
