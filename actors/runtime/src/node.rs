//! One node: its clock, directory, bounds, supervisors and compute pool. The root of everything in this package.
//!
//! Nothing is shared between two nodes of one process.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::admission::{Label, NodeGauge};
use crate::clock::Clock;
use crate::compute::{Compute, ComputeOptions};
use crate::directory::{Directory, Key};
use crate::passivation::Residents;
use crate::restart::RestartPolicy;
use crate::supervisor::Supervisor;

/// The bounds of one actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that may wait or be in hand; more are refused.
    pub mailbox: u32,
    /// Stop after this many milliseconds without a message; such actors also leave when their label has too many
    /// residents. `None`: the actor lives until it stops itself.
    pub idle_ms: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { mailbox: 64, idle_ms: None }
    }
}

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The node's clock.
    pub clock: Clock,
    /// Messages admitted and not yet handled, over all actors.
    pub in_flight: NonZeroU32,
    /// Passivable actors per label; one more makes the longest quiet one leave.
    pub max_resident: usize,
    /// Exceptions to `max_resident`.
    pub max_resident_by_label: HashMap<&'static str, usize>,
    /// How failing actors come back.
    pub restarts: RestartPolicy,
    /// The compute pool.
    pub compute: ComputeOptions,
}

impl NodeOptions {
    /// Defaults (50,000 messages in flight, 20,000 residents per label) with the given clock.
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            in_flight: NonZeroU32::new(50_000).expect("invariant: the default is not zero"),
            max_resident: 20_000,
            max_resident_by_label: HashMap::new(),
            restarts: RestartPolicy::default(),
            compute: ComputeOptions::default(),
        }
    }
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self::with_clock(Clock::system())
    }
}

/// Counters of one label on one node, since the node began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Actors that live or are being restarted.
    pub alive: usize,
    /// Messages handled, or lost with their actor; those of timers among them.
    pub handled: u64,
    /// Actors made again after a failure.
    pub restarts: u64,
    /// Offers and activations refused.
    pub refusals: u64,
    /// Keys put aside for a cool-down.
    pub broken: u64,
}

/// What supervisors need of their node; they do not keep the node itself alive.
pub(crate) struct Shared<K> {
    pub(crate) clock: Clock,
    pub(crate) directory: Arc<Directory<K>>,
    pub(crate) gauge: Arc<NodeGauge>,
    pub(crate) residents: Residents,
    pub(crate) restarts: RestartPolicy,
    pub(crate) panics: AtomicU64,
    pub(crate) closed: AtomicBool,
    labels: DashMap<&'static str, Arc<Label>, RandomState>,
}

impl<K> Shared<K> {
    pub(crate) fn label(&self, text: &'static str) -> Arc<Label> {
        if let Some(label) = self.labels.get(text) {
            return Arc::clone(&label);
        }
        let fresh = || Arc::new(Label::new(text, self.clock.clone(), Arc::clone(&self.gauge)));
        Arc::clone(&self.labels.entry(text).or_insert_with(fresh))
    }
}

struct Inner<K: Key> {
    shared: Arc<Shared<K>>,
    supervisors: Mutex<HashMap<u16, Supervisor<K>>>,
    compute: Compute,
}

impl<K: Key> Drop for Inner<K> {
    fn drop(&mut self) {
        // A node that was not shut down: its actors end without `stopped`.
        self.shared.closed.store(true, Ordering::Release);
        for supervisor in self.supervisors.lock().values() {
            supervisor.abandon();
        }
    }
}

/// One node. Cheap to clone; when the last clone is dropped its actors are killed, see [`Node::shutdown`].
pub struct Node<K: Key> {
    inner: Arc<Inner<K>>,
}

impl<K: Key> Clone for Node<K> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K: Key> Node<K> {
    /// A node without actors; starts no thread and no task yet.
    #[must_use]
    pub fn new(options: NodeOptions) -> Self {
        let NodeOptions { clock, in_flight, max_resident, max_resident_by_label, restarts, compute } =
            options;
        let shared = Shared {
            directory: Arc::new(Directory::new()),
            gauge: Arc::new(NodeGauge::new(in_flight.get())),
            residents: Residents::new(max_resident, max_resident_by_label),
            restarts,
            panics: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            labels: DashMap::default(),
            clock: clock.clone(),
        };
        let compute = Compute::new(&clock, compute);
        let supervisors = Mutex::new(HashMap::new());
        Self { inner: Arc::new(Inner { shared: Arc::new(shared), supervisors, compute }) }
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.shared.clock
    }

    /// The node's actors by key.
    #[must_use]
    pub fn directory(&self) -> &Arc<Directory<K>> {
        &self.inner.shared.directory
    }

    /// The supervisor of `shard`, started at its first use. Needs a tokio runtime.
    #[must_use]
    pub fn supervisor(&self, shard: u16) -> Supervisor<K> {
        let mut supervisors = self.inner.supervisors.lock();
        supervisors.entry(shard).or_insert_with(|| Supervisor::spawn(&self.inner.shared, shard)).clone()
    }

    /// The compute pool.
    #[must_use]
    pub fn compute(&self) -> &Compute {
        &self.inner.compute
    }

    /// Panics of actors so far. A test that expects none compares with 0 at its end. Panics of compute jobs are
    /// told to their callers and counted in `Compute::panics`.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.inner.shared.panics.load(Ordering::Acquire)
    }

    /// Messages admitted and not yet handled, over all actors.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.inner.shared.gauge.in_flight()
    }

    /// The counters of `label`; zeros if no such actor was ever started.
    #[must_use]
    pub fn tally(&self, label: &str) -> Tally {
        self.inner.shared.labels.get(label).map_or_else(Tally::default, |label| Tally {
            alive: label.alive.load(Ordering::Relaxed),
            handled: label.handled.load(Ordering::Relaxed),
            restarts: label.restarts.load(Ordering::Relaxed),
            refusals: label.refusals.load(Ordering::Relaxed),
            broken: label.broken.load(Ordering::Relaxed),
        })
    }

    /// Ends every actor and supervisor at once, as when the process is killed: no actor finishes what it has in hand, none
    /// is told.
    pub fn kill(&self) {
        self.inner.shared.closed.store(true, Ordering::Release);
        let mut supervisors: Vec<_> = self.inner.supervisors.lock().drain().map(|(_, each)| each).collect();
        supervisors.sort_unstable_by_key(Supervisor::shard);
        supervisors.iter().for_each(Supervisor::abandon);
    }

    /// Refuses new activations, stops every actor (see [`Supervisor::stop_all`]) and every supervisor, then the
    /// compute pool. May be called twice.
    pub async fn shutdown(&self) {
        self.inner.shared.closed.store(true, Ordering::Release);
        let mut supervisors: Vec<_> = self.inner.supervisors.lock().drain().map(|(_, each)| each).collect();
        // In the same order every time: a simulation goes the same way twice.
        supervisors.sort_unstable_by_key(Supervisor::shard);
        futures::future::join_all(supervisors.iter().map(Supervisor::retire)).await;
        self.inner.compute.shutdown().await;
    }
}
