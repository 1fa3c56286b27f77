//! ractor's side of an actor: runs an [`Actor`] inside a ractor actor.
//!
//! Not supervision: what happens after an end is decided by the supervisor.

use std::marker::PhantomData;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr};

use crate::actor::{Actor, Context, Next};
use crate::cell::{AnyCell, Cell, Envelope};
use crate::handle::Handle;

/// A key's actor as its supervisor keeps it: the cell, and the way to make an incarnation.
pub(crate) trait Seed: Send + Sync {
    fn cell(&self) -> Arc<dyn AnyCell>;
    /// Starts an incarnation under `supervisor`. An error is the factory's panic.
    fn spawn(&self, supervisor: ActorCell) -> BoxFuture<'static, Result<ActorId, SpawnErr>>;
}

/// The factory of an actor, kept for restarts.
pub(crate) type Make<A> = Arc<dyn Fn() -> A + Send + Sync>;

pub(crate) struct ActorSeed<A: Actor> {
    pub(crate) cell: Arc<Cell<A::Message>>,
    pub(crate) make: Make<A>,
}

impl<A: Actor> Seed for ActorSeed<A> {
    fn cell(&self) -> Arc<dyn AnyCell> {
        Arc::clone(&self.cell) as Arc<dyn AnyCell>
    }

    fn spawn(&self, supervisor: ActorCell) -> BoxFuture<'static, Result<ActorId, SpawnErr>> {
        let birth = Birth { cell: Arc::clone(&self.cell), make: Arc::clone(&self.make) };
        async move {
            // No name: ractor's names are global to the process.
            let (actor, _task) = supervisor.spawn_linked(None, Host::<A>(PhantomData), birth).await?;
            Ok(actor.get_id())
        }
        .boxed()
    }
}

struct Host<A>(PhantomData<fn() -> A>);

struct Birth<A: Actor> {
    cell: Arc<Cell<A::Message>>,
    make: Make<A>,
}

struct Resident<A: Actor> {
    /// `None` after the end, so that the actor is dropped in its own task and not in its supervisor's.
    actor: Option<A>,
    cell: Arc<Cell<A::Message>>,
    context: Context<A::Message>,
}

impl<A: Actor> Resident<A> {
    fn after(&self, next: Next) {
        if next == Next::Stop {
            self.cell.close();
        }
    }
}

impl<A: Actor> ractor::Actor for Host<A> {
    type Msg = Envelope<A::Message>;
    type State = Resident<A>;
    type Arguments = Birth<A>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        birth: Birth<A>,
    ) -> Result<Resident<A>, ActorProcessingErr> {
        let actor = (birth.make)();
        let incarnation = myself.get_id();
        // Opened here and not after the spawn, so that `started` may already send to itself.
        if !birth.cell.open(myself) {
            return Err("told to end before it started".into());
        }
        let context = Context::new(Handle::new(Arc::clone(&birth.cell)), incarnation);
        Ok(Resident { actor: Some(actor), cell: birth.cell, context })
    }

    async fn post_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Resident<A>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(actor) = &mut state.actor {
            let next = actor.started(&mut state.context).await;
            state.after(next);
        }
        Ok(())
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        envelope: Self::Msg,
        state: &mut Resident<A>,
    ) -> Result<(), ActorProcessingErr> {
        let Envelope { message, ticket } = envelope;
        if let Some(actor) = &mut state.actor {
            let next = actor.handle(message, &mut state.context).await;
            state.cell.meter().touch();
            state.after(next);
        }
        // Held until here: an actor with a message in hand is not passivated.
        drop(ticket);
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Self::Msg>,
        state: &mut Resident<A>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(mut actor) = state.actor.take() {
            actor.stopped().await;
        }
        Ok(())
    }
}
