//! The compute pool: CPU-bound jobs off the tokio threads, on workers owned by actix.
//!
//! Not for blocking I/O with a long wait, and not for anything with an identity: that is an actor. One actix
//! `System` on a thread of its own per node, a `SyncArbiter` of n workers in it, and a ractor actor (`keeper`) that
//! owns both and starts them again if they die. Under a virtual clock jobs run inline, so that a test is
//! deterministic.

mod arbiter;
mod keeper;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use ractor::{ActorRef, ActorRuntime};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::clock::Clock;
use crate::metrics;
use arbiter::{Job, Pool};
use keeper::{Keeper, Order};

/// How the compute pool is set up.
#[derive(Clone, Debug)]
pub struct ComputeOptions {
    /// Worker threads.
    pub workers: usize,
    /// Jobs handed to the workers beyond those running.
    pub queue: usize,
    /// Callers that may wait for a place in the queue; more are refused `Busy`.
    pub waiting: usize,
}

impl Default for ComputeOptions {
    /// Half the cores (at least one), 64 jobs queued, 1,024 callers waiting.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { workers: (cores / 2).max(1), queue: 64, waiting: 1_024 }
    }
}

/// Why a job has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The job panicked; the pool goes on.
    #[error("the job panicked")]
    Panicked,
    /// The worker or the pool died under the job; it may have run in part.
    #[error("the worker died")]
    Lost,
    /// Too many callers wait already; the job did not run.
    #[error("the compute pool is busy")]
    Busy,
    /// The node is shutting down; the job did not run.
    #[error("the compute pool is closed")]
    Closed,
}

/// Where the pool stands, as callers and the keeper see it.
pub(crate) enum State {
    /// No workers yet, or dead ones are being replaced.
    Starting,
    Ready(Pool),
    Closed,
}

/// What callers, workers and the keeper share.
pub(crate) struct Desk {
    pub(crate) state: watch::Sender<State>,
    /// Worker threads that have not ended, over all generations.
    pub(crate) live_workers: watch::Sender<usize>,
    pub(crate) started: AtomicU64,
}

struct Inner {
    inline: bool,
    options: ComputeOptions,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    panics: AtomicU64,
    closed: AtomicBool,
    desk: Arc<Desk>,
    keeper: Mutex<Option<ActorRef<Order>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.lock().take() {
            keeper.stop(None);
        }
    }
}

/// The compute pool of one node. Cheap to clone. Threads start with the first job.
#[derive(Clone)]
pub struct Compute {
    inner: Arc<Inner>,
}

/// Counts a caller from its call to the end of its wait.
struct Waiting<'a>(&'a Inner);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts a job until it has run or is lost.
struct Queued;

impl Queued {
    fn new() -> Self {
        metrics::compute_queue(1.0);
        Self
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        metrics::compute_queue(-1.0);
    }
}

impl Compute {
    pub(crate) fn new(clock: &Clock, options: ComputeOptions) -> Self {
        let options = ComputeOptions { workers: options.workers.max(1), ..options };
        let desk = Desk {
            state: watch::Sender::new(State::Starting),
            live_workers: watch::Sender::new(0),
            started: AtomicU64::new(0),
        };
        let inner = Inner {
            inline: clock.is_virtual(),
            places: Arc::new(Semaphore::new(options.workers + options.queue)),
            waiting: AtomicUsize::new(0),
            panics: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            desk: Arc::new(desk),
            keeper: Mutex::new(None),
            options,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Runs `job` on a worker and waits for its result; waits for a place when the queue is full. A job whose
    /// caller stopped waiting still runs if it was already queued. `label` names the kind of job in metrics and
    /// logs.
    ///
    /// # Errors
    /// `Panicked`, `Lost`, `Busy` or `Closed`.
    pub async fn run<T: Send + 'static>(
        &self,
        label: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let result = self.attempt(label, job).await;
        let outcome = match &result {
            Ok(_) => "done",
            Err(ComputeError::Panicked) => "panicked",
            Err(ComputeError::Lost) => "lost",
            Err(ComputeError::Busy | ComputeError::Closed) => "busy",
        };
        metrics::job(label, outcome);
        result
    }

    async fn attempt<T: Send + 'static>(
        &self,
        label: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ComputeError> {
        let inner = &self.inner;
        if inner.closed.load(Ordering::Acquire) {
            return Err(ComputeError::Closed);
        }
        let queued = Queued::new();
        if inner.inline {
            return self.seen(label, catch_unwind(AssertUnwindSafe(job)).map_err(drop));
        }
        let place = {
            let _waiting = self.wait_in_line()?;
            let places = Arc::clone(&inner.places);
            places.acquire_owned().await.map_err(|_closed| ComputeError::Closed)?
        };
        let pool = self.pool().await?;
        let (sender, receiver) = oneshot::channel();
        pool.give(Job::new(move || {
            let result = catch_unwind(AssertUnwindSafe(job)).map_err(drop);
            // The place belongs to the job, not to the caller: a caller that leaves must not let another in early.
            drop((place, queued));
            let _caller_left = sender.send(result);
        }));
        match receiver.await {
            Ok(result) => self.seen(label, result),
            Err(_dropped) => Err(ComputeError::Lost),
        }
    }

    fn seen<T>(&self, label: &'static str, result: Result<T, ()>) -> Result<T, ComputeError> {
        result.map_err(|()| {
            self.inner.panics.fetch_add(1, Ordering::AcqRel);
            tracing::error!(job = label, "compute job panicked");
            ComputeError::Panicked
        })
    }

    fn wait_in_line(&self) -> Result<Waiting<'_>, ComputeError> {
        let inner = &*self.inner;
        let before = inner.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting(inner);
        // Without a wait there is no line to be refused from.
        if before >= inner.options.waiting && inner.places.available_permits() == 0 {
            return Err(ComputeError::Busy);
        }
        Ok(waiting)
    }

    /// The workers, started if need be.
    async fn pool(&self) -> Result<Pool, ComputeError> {
        self.wake_keeper();
        let mut state = self.inner.desk.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Starting)).await;
        match state.as_deref() {
            Ok(State::Ready(pool)) => Ok(pool.clone()),
            Ok(State::Starting | State::Closed) | Err(_) => Err(ComputeError::Closed),
        }
    }

    fn wake_keeper(&self) {
        let mut keeper = self.inner.keeper.lock();
        if keeper.is_none() && !self.inner.closed.load(Ordering::Acquire) {
            let duty =
                keeper::Duty { desk: Arc::clone(&self.inner.desk), workers: self.inner.options.workers };
            let (actor, _task) = ActorRuntime::spawn_instant(None, Keeper, duty)
                .expect("invariant: an actor without a name cannot clash with another");
            *keeper = Some(actor);
        }
    }

    /// Jobs that panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.inner.panics.load(Ordering::Acquire)
    }

    /// How often a set of workers was started; 1 after the first job, more after a worker died.
    #[must_use]
    pub fn generations(&self) -> u64 {
        self.inner.desk.started.load(Ordering::Acquire)
    }

    /// Refuses new jobs, lets running ones finish (at most 5 s), ends the workers and joins the pool's thread.
    pub async fn shutdown(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.places.close();
        let keeper = self.inner.keeper.lock().take();
        if let Some(keeper) = keeper {
            let _ended_already = keeper.stop_and_wait(None, None).await;
        }
        self.inner.desk.state.send_replace(State::Closed);
    }

    /// Kills one worker from within, as a fault outside any job would.
    #[cfg(test)]
    async fn kill_worker(&self) {
        let pool = self.pool().await.expect("the pool is up");
        pool.give(Job::deadly());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::task::JoinHandle;

    use super::*;

    fn pool(workers: usize, queue: usize) -> Compute {
        let options = ComputeOptions { workers, queue, waiting: 4 };
        Compute::new(&Clock::system(), options)
    }

    async fn generation(compute: &Compute, wanted: u64) {
        let mut state = compute.inner.desk.state.subscribe();
        let ready =
            state.wait_for(|state| matches!(state, State::Ready(pool) if pool.generation() >= wanted));
        tokio::time::timeout(Duration::from_secs(20), ready)
            .await
            .expect("new workers within the deadline")
            .expect("the desk lives");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_killed_worker_is_replaced_and_jobs_run_again() {
        for workers in [1, 2] {
            let compute = pool(workers, 8);
            assert_eq!(compute.run("test", || 1).await, Ok(1));
            compute.kill_worker().await;
            generation(&compute, 2).await;
            assert_eq!(compute.run("test", || 2).await, Ok(2));
            assert_eq!(compute.generations(), 2);
            compute.shutdown().await;
            assert_eq!(*compute.inner.desk.live_workers.borrow(), 0);
        }
    }

    /// A job that has begun and goes on until it is released.
    async fn blocker(compute: &Compute) -> (JoinHandle<Result<bool, ComputeError>>, mpsc::Sender<()>) {
        let (begun, begins) = oneshot::channel();
        let (release, gate) = mpsc::channel();
        let compute = compute.clone();
        let job = move || begun.send(()).is_ok() && gate.recv().is_ok();
        let blocked = tokio::spawn(async move { compute.run("test", job).await });
        begins.await.expect("the job begins");
        (blocked, release)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_job_whose_worker_dies_is_lost_and_gives_its_place_back() {
        let compute = pool(1, 1);
        let (blocked, release) = blocker(&compute).await;
        compute.kill_worker().await;
        let mut behind = pin!(compute.run("test", || ()));
        assert!(futures::poll!(&mut behind).is_pending(), "it is queued behind the deadly one");
        release.send(()).expect("the job waits");
        assert_eq!(blocked.await.expect("no panic"), Ok(true));
        assert_eq!(behind.await, Err(ComputeError::Lost));
        generation(&compute, 2).await;
        assert_eq!(compute.run("test", || 3).await, Ok(3));
        assert_eq!(compute.inner.places.available_permits(), 2);
        compute.shutdown().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn callers_wait_for_a_place_and_too_many_are_refused() {
        let compute = pool(1, 1);
        let (blocked, release) = blocker(&compute).await;
        let mut jobs: Vec<_> = (0..5).map(|_| Box::pin(compute.run("test", || true))).collect();
        for job in &mut jobs {
            assert!(futures::poll!(job).is_pending(), "one is queued, four wait");
        }
        assert_eq!(compute.run("test", || true).await, Err(ComputeError::Busy));
        release.send(()).expect("the job waits");
        assert!(futures::future::join_all(jobs).await.into_iter().all(|ran| ran == Ok(true)));
        assert_eq!(blocked.await.expect("no panic"), Ok(true));
        compute.shutdown().await;
        assert_eq!(compute.run("test", || true).await, Err(ComputeError::Closed));
    }
}
