//! The ractor actor that owns the compute pool: starts it, replaces it when a worker died, ends it.
//!
//! The one supervision model reaches actix through this file: actix itself restarts nothing after a panic.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::arbiter::Engine;
use super::{Desk, State};

/// How long the end of the pool waits for running jobs.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Wait before a pool that could not be started is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// What the keeper is told.
pub(crate) enum Order {
    /// A worker of this generation ended.
    Lost { generation: u64 },
    /// Try again to start workers.
    Retry,
}

/// What the keeper is given at its start.
pub(crate) struct Duty {
    pub(crate) desk: Arc<Desk>,
    pub(crate) workers: usize,
}

pub(crate) struct Keeper;

pub(crate) struct Keeping {
    desk: Arc<Desk>,
    workers: usize,
    engine: Option<Engine>,
    generation: u64,
}

impl Keeping {
    async fn replace(&mut self, myself: &ActorRef<Order>) {
        if self.engine.as_ref().is_some_and(|engine| !engine.is_running()) {
            self.engine = None;
        }
        if self.engine.is_none() {
            match Engine::start().await {
                Ok(engine) => self.engine = Some(engine),
                Err(error) => tracing::error!(%error, "the compute pool does not start"),
            }
        }
        let pool = match &self.engine {
            Some(engine) => engine.workers(self.workers, &self.desk, myself).await,
            None => None,
        };
        match pool {
            Some(pool) => {
                self.generation = pool.generation();
                self.desk.state.send_replace(State::Ready(pool));
            }
            None => {
                myself.send_after(RETRY, || Order::Retry);
            }
        }
    }
}

impl ractor::Actor for Keeper {
    type Msg = Order;
    type State = Keeping;
    type Arguments = Duty;

    async fn pre_start(&self, myself: ActorRef<Order>, duty: Duty) -> Result<Keeping, ActorProcessingErr> {
        let mut keeping = Keeping { desk: duty.desk, workers: duty.workers, engine: None, generation: 0 };
        keeping.replace(&myself).await;
        Ok(keeping)
    }

    async fn handle(
        &self,
        myself: ActorRef<Order>,
        order: Order,
        keeping: &mut Keeping,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            // Workers of an older generation end because they were replaced.
            Order::Lost { generation } if generation != keeping.generation => {}
            Order::Lost { generation } => {
                tracing::error!(generation, "a compute worker died, the pool is replaced");
                keeping.replace(&myself).await;
            }
            Order::Retry => keeping.replace(&myself).await,
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _myself: ActorRef<Order>,
        keeping: &mut Keeping,
    ) -> Result<(), ActorProcessingErr> {
        // With the address gone the workers finish what is queued and end.
        keeping.desk.state.send_replace(State::Closed);
        let mut live = keeping.desk.live_workers.subscribe();
        if tokio::time::timeout(STOP_GRACE, live.wait_for(|live| *live == 0)).await.is_err() {
            tracing::error!("compute jobs still run at the end of the pool");
        }
        if let Some(engine) = keeping.engine.take() {
            engine.stop().await;
        }
        Ok(())
    }
}
