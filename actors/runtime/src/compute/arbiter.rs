//! actix's side of the pool: the `System` on its thread and the `SyncArbiter` of workers in it.
//!
//! Decides nothing: when to start and to end is the keeper's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext, System};
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::keeper::Order;
use super::{Desk, State};

/// One job for a worker; it must not panic.
pub(crate) struct Job(Box<dyn FnOnce() + Send>);

impl Job {
    pub(crate) fn new(run: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(run))
    }

    /// A job that panics outside any guard.
    #[cfg(test)]
    pub(crate) fn deadly() -> Self {
        Self::new(|| panic!("a worker dies on purpose"))
    }
}

impl Message for Job {
    type Result = ();
}

/// One worker thread's actor. Its drop is the only sign actix gives that the thread ends.
pub(crate) struct Worker {
    generation: u64,
    desk: Arc<Desk>,
    keeper: ActorRef<Order>,
}

impl Worker {
    fn new(generation: u64, desk: &Arc<Desk>, keeper: &ActorRef<Order>) -> Self {
        desk.live_workers.send_modify(|live| *live += 1);
        Self { generation, desk: Arc::clone(desk), keeper: keeper.clone() }
    }
}

impl Actor for Worker {
    type Context = SyncContext<Self>;
}

impl Handler<Job> for Worker {
    type Result = ();

    fn handle(&mut self, job: Job, _context: &mut SyncContext<Self>) {
        (job.0)();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // First for the callers, so that the next job waits for new workers.
        self.desk.state.send_if_modified(|state| {
            let mine = matches!(state, State::Ready(pool) if pool.generation == self.generation);
            if mine {
                *state = State::Starting;
            }
            mine
        });
        let _keeper_ended = self.keeper.send_message(Order::Lost { generation: self.generation });
        self.desk.live_workers.send_modify(|live| *live -= 1);
    }
}

/// The workers of one generation. Cheap to clone; they end when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Pool {
    generation: u64,
    workers: Addr<Worker>,
}

impl Pool {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Queues a job. If the workers are dead it is dropped, which its caller notices.
    pub(crate) fn give(&self, job: Job) {
        self.workers.do_send(job);
    }
}

/// The actix `System` on its own thread.
pub(crate) struct Engine {
    system: System,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Also when the runtime is dropped without a shutdown: the thread must not outlive its node.
        self.system.stop();
    }
}

impl Engine {
    /// Starts the thread and waits until its system runs.
    pub(crate) async fn start() -> io::Result<Self> {
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::Builder::new().name("compute".to_owned()).spawn(move || {
            let runner = System::new();
            let _starter_left = sender.send(System::current());
            if let Err(error) = runner.run() {
                tracing::error!(%error, "the compute system ended");
            }
        })?;
        let system =
            receiver.await.map_err(|_died| io::Error::other("the compute thread died at its start"))?;
        Ok(Self { system, thread: Some(thread) })
    }

    /// Starts a set of workers. `None` if the system is dead.
    pub(crate) async fn workers(
        &self,
        count: usize,
        desk: &Arc<Desk>,
        keeper: &ActorRef<Order>,
    ) -> Option<Pool> {
        let generation = desk.started.fetch_add(1, Ordering::AcqRel) + 1;
        let (sender, receiver) = oneshot::channel();
        let (desk, keeper) = (Arc::clone(desk), keeper.clone());
        // `SyncArbiter::start` needs a current system, so it is called on the system's thread.
        self.system.arbiter().spawn_fn(move || {
            let worker = move || Worker::new(generation, &desk, &keeper);
            let builder = || std::thread::Builder::new().name("compute-worker".to_owned());
            let _starter_left = sender.send(SyncArbiter::start_with_thread_builder(count, builder, worker));
        });
        receiver.await.ok().map(|workers| Pool { generation, workers })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Ends the system and joins its thread.
    pub(crate) async fn stop(mut self) {
        self.system.stop();
        let Some(thread) = self.thread.take() else { return };
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the compute thread panicked");
        }
    }
}
