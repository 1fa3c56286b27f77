//! The ractor actor that supervises one shard's actors: starts them, hears of their ends, brings them back.
//!
//! It handles one event at a time, which is what makes activation single flight. It never runs an actor's code.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ractor::{ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use super::agenda::{Agenda, Deed};
use crate::cell::{AnyCell, Phase};
use crate::directory::Key;
use crate::handle::Refused;
use crate::host::Seed;
use crate::metrics;
use crate::node::Shared;
use crate::restart::{History, Verdict};

/// How long `stop_all` waits for an actor before it is killed.
const STOP_GRACE_MS: u64 = 10_000;
/// A panic message is logged up to this many characters.
const MAX_PANIC_TEXT: usize = 300;

type Activated = Result<Arc<dyn AnyCell>, Refused>;
type Waiter = (Arc<dyn Seed>, oneshot::Sender<Activated>);

/// What a supervisor is told.
pub(super) enum Order<K> {
    Start { key: K, seed: Arc<dyn Seed>, reply: oneshot::Sender<Activated> },
    StopAll { done: oneshot::Sender<()> },
    Alarm,
}

/// What a supervisor is given at its start.
pub(super) struct Duty<K> {
    pub(super) shared: Arc<Shared<K>>,
    pub(super) children: Arc<AtomicUsize>,
}

pub(super) struct Agent<K>(PhantomData<fn() -> K>);

impl<K> Agent<K> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

/// One key: at most one running incarnation.
struct Child {
    seed: Arc<dyn Seed>,
    cell: Arc<dyn AnyCell>,
    running: Option<ActorId>,
    history: History,
    broken_until: Option<u64>,
    /// Activations that wait for the present actor to end.
    waiters: Vec<Waiter>,
}

pub(super) struct Ward<K: Key> {
    shared: Arc<Shared<K>>,
    count: Arc<AtomicUsize>,
    children: HashMap<K, Child>,
    keys: HashMap<ActorId, K>,
    agenda: Agenda<K>,
    /// Keys whose end `stop_all` waits for, and who waits.
    stopping: HashSet<K>,
    stop_waiters: Vec<oneshot::Sender<()>>,
    /// Keys to start as soon as the event in hand is done.
    births: VecDeque<(K, Vec<Waiter>)>,
}

impl<K: Key> Ward<K> {
    fn now(&self) -> u64 {
        self.shared.clock.uptime_ms()
    }

    fn start(&mut self, key: K, waiter: Waiter) {
        let now = self.now();
        let Some(child) = self.children.get_mut(&key) else {
            self.births.push_back((key, vec![waiter]));
            return;
        };
        if let Some(until) = child.broken_until {
            if now < until {
                let refused = child.cell.meter().label.refuse("broken", until - now);
                let _asker_left = waiter.1.send(Err(refused));
                return;
            }
        } else if matches!(child.cell.phase(), Phase::Live | Phase::Starting) {
            let _asker_left = waiter.1.send(Ok(Arc::clone(&child.cell)));
            return;
        } else if child.running.is_some() {
            child.waiters.push(waiter);
            return;
        }
        self.finish(&key);
        self.births.push_back((key, vec![waiter]));
    }

    /// Starts what waits to be born. Apart from `finish`, which may be what a failed birth leads to.
    async fn deliver_births(&mut self, myself: &ActorCell) {
        while let Some((key, waiters)) = self.births.pop_front() {
            self.birth(key, waiters, myself).await;
        }
    }

    async fn birth(&mut self, key: K, waiters: Vec<Waiter>, myself: &ActorCell) {
        let Some((seed, _)) = waiters.first() else { return };
        if let Some(child) = self.children.get(&key) {
            // Two activations of one event; the first has started it.
            let cell = Arc::clone(&child.cell);
            answer(waiters, &Ok(cell));
            return;
        }
        let (seed, cell) = (Arc::clone(seed), seed.cell());
        if let Err(refused) = self.shared.residents.admit(&cell) {
            answer(waiters, &Err(refused));
            return;
        }
        cell.meter().label.born();
        let child = Child {
            seed,
            cell: Arc::clone(&cell),
            running: None,
            history: History::default(),
            broken_until: None,
            waiters: Vec::new(),
        };
        self.children.insert(key.clone(), child);
        self.spawn(&key, myself).await;
        // Listed only now: a caller that finds it must not be refused because it has not started yet.
        if self.children.get(&key).is_some_and(|child| child.broken_until.is_none()) {
            self.shared.directory.insert(key, Arc::clone(&cell));
        }
        answer(waiters, &Ok(cell));
    }

    async fn spawn(&mut self, key: &K, myself: &ActorCell) {
        let Some(child) = self.children.get_mut(key) else { return };
        match child.seed.spawn(myself.clone()).await {
            Ok(id) => {
                child.running = Some(id);
                let idle_ms = child.cell.meter().idle_ms;
                self.keys.insert(id, key.clone());
                if let Some(idle_ms) = idle_ms {
                    let at = self.now().saturating_add(idle_ms);
                    self.agenda.add(at, Deed::Idle(id), Some(key.clone()));
                }
            }
            Err(_) if child.cell.phase() == Phase::Closing => self.finish(key),
            Err(error) => self.failed(key, &error.to_string()),
        }
    }

    /// An incarnation panicked, or the factory did.
    fn failed(&mut self, key: &K, text: &str) {
        let now = self.now();
        self.shared.panics.fetch_add(1, Ordering::AcqRel);
        let Some(child) = self.children.get_mut(key) else { return };
        child.running = None;
        let cell = Arc::clone(&child.cell);
        let (name, label) = (cell.name(), &cell.meter().label);
        let text: String = text.chars().take(MAX_PANIC_TEXT).collect();
        let verdict = child.history.failed(&self.shared.restarts, now, hash(key));
        match verdict {
            Verdict::Restart { at } if cell.fall(at) => {
                tracing::error!(actor = %name, panic = text, restart_in_ms = at - now, "actor failed");
                self.agenda.add(at, Deed::Respawn, Some(key.clone()));
            }
            Verdict::Broken { until } if cell.give_up(until) => {
                tracing::error!(actor = %name, panic = text, cool_down_ms = until - now, "actor keeps failing, broken");
                child.broken_until = Some(until);
                label.broken.fetch_add(1, Ordering::Relaxed);
                metrics::broken(label.text);
                label.died();
                self.shared.directory.remove(key, &cell);
                self.shared.residents.remove(&cell);
                self.agenda.add(until, Deed::Mend, Some(key.clone()));
            }
            Verdict::Restart { .. } | Verdict::Broken { .. } => {
                tracing::error!(actor = %name, panic = text, "actor failed while ending");
                self.finish(key);
            }
        }
    }

    /// The key is free again.
    fn finish(&mut self, key: &K) {
        if let Some(child) = self.children.remove(key) {
            child.cell.end();
            if child.broken_until.is_none() {
                child.cell.meter().label.died();
                self.shared.directory.remove(key, &child.cell);
                self.shared.residents.remove(&child.cell);
            }
            if !child.waiters.is_empty() {
                self.births.push_back((key.clone(), child.waiters));
            }
        }
        self.stopping.remove(key);
        self.tell_stopped();
    }

    fn tell_stopped(&mut self) {
        if self.stopping.is_empty() {
            for done in self.stop_waiters.drain(..) {
                let _nobody_waits = done.send(());
            }
        }
    }

    fn stop_all(&mut self, done: oneshot::Sender<()>) {
        // In the same order every time, whatever the map's: a simulation goes the same way twice.
        let mut keys: Vec<K> = self.children.keys().cloned().collect();
        keys.sort_by_key(hash);
        for key in keys {
            let Some(child) = self.children.get_mut(&key) else { continue };
            let waiters = std::mem::take(&mut child.waiters);
            answer(waiters, &Err(Refused::Gone));
            if child.running.is_some() {
                child.cell.halt();
                self.stopping.insert(key);
            } else {
                self.finish(&key);
            }
        }
        self.stop_waiters.push(done);
        self.agenda.add(self.now().saturating_add(STOP_GRACE_MS), Deed::Overdue, None);
        self.tell_stopped();
    }

    async fn alarm(&mut self, myself: &ActorCell) {
        self.agenda.rang();
        let now = self.now();
        while let Some((deed, key)) = self.agenda.next_due(now) {
            match (deed, key) {
                (Deed::Idle(id), Some(key)) => self.look_idle(&key, id, now),
                (Deed::Respawn, Some(key)) => self.respawn(&key, myself).await,
                (Deed::Mend, Some(key)) => {
                    if self
                        .children
                        .get(&key)
                        .and_then(|child| child.broken_until)
                        .is_some_and(|at| at <= now)
                    {
                        self.finish(&key);
                    }
                }
                (Deed::Overdue, _) => {
                    for child in self.stopping.iter().filter_map(|key| self.children.get(key)) {
                        tracing::error!(actor = %child.cell.name(), "actor did not stop in time, killed");
                        child.cell.kill();
                    }
                }
                (Deed::Idle(_) | Deed::Respawn | Deed::Mend, None) => {}
            }
        }
    }

    fn look_idle(&mut self, key: &K, id: ActorId, now: u64) {
        let Some(child) = self.children.get(key).filter(|child| child.running == Some(id)) else { return };
        let meter = child.cell.meter();
        let Some(idle_ms) = meter.idle_ms else { return };
        let due = (meter.last_active_us() / 1_000).saturating_add(idle_ms);
        let leaves = due <= now && child.cell.passivate();
        if !leaves && child.cell.phase() == Phase::Live {
            // Busy just now: its end is not known, look again after a whole idle time.
            let again = if due > now { due } else { now.saturating_add(idle_ms.max(1)) };
            self.agenda.add(again, Deed::Idle(id), Some(key.clone()));
        }
    }

    async fn respawn(&mut self, key: &K, myself: &ActorCell) {
        let Some(child) = self.children.get(key) else { return };
        if child.running.is_some() || child.broken_until.is_some() {
            return;
        }
        if child.cell.phase() == Phase::Starting {
            let label = &child.cell.meter().label;
            label.restarts.fetch_add(1, Ordering::Relaxed);
            metrics::restarted(label.text);
            self.spawn(key, myself).await;
        } else {
            self.finish(key);
        }
    }

    /// An incarnation ended; `panic` is what it said if it failed.
    fn ended(&mut self, id: ActorId, panic: Option<&str>) {
        let Some(key) = self.keys.remove(&id) else { return };
        match panic {
            Some(text) => self.failed(&key, text),
            None => self.finish(&key),
        }
    }

    /// After every event: births, the alarm, the figure others read.
    async fn settle(&mut self, myself: &ActorRef<Order<K>>) {
        self.deliver_births(&myself.get_cell()).await;
        let (clock, agent) = (self.shared.clock.clone(), myself.clone());
        self.agenda.rearm(|at| {
            let task = tokio::spawn(async move {
                clock.sleep_until_uptime(at).await;
                let _ended = agent.send_message(Order::Alarm);
            });
            task.abort_handle()
        });
        self.count.store(self.children.len(), Ordering::Release);
    }
}

impl<K: Key> Drop for Ward<K> {
    fn drop(&mut self) {
        // Only a supervisor that was abandoned still has children; their handles must not promise a restart.
        let mut children: Vec<_> = self.children.drain().collect();
        children.sort_by_key(|(key, _)| hash(key));
        for (key, child) in children {
            child.cell.kill();
            child.cell.end();
            if child.broken_until.is_none() {
                child.cell.meter().label.died();
            }
            self.shared.directory.remove(&key, &child.cell);
        }
    }
}

impl<K: Key> ractor::Actor for Agent<K> {
    type Msg = Order<K>;
    type State = Ward<K>;
    type Arguments = Duty<K>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Order<K>>,
        duty: Duty<K>,
    ) -> Result<Ward<K>, ActorProcessingErr> {
        Ok(Ward {
            shared: duty.shared,
            count: duty.children,
            children: HashMap::new(),
            keys: HashMap::new(),
            agenda: Agenda::new(),
            stopping: HashSet::new(),
            stop_waiters: Vec::new(),
            births: VecDeque::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Order<K>>,
        order: Order<K>,
        ward: &mut Ward<K>,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            Order::Start { key, seed, reply } => ward.start(key, (seed, reply)),
            Order::StopAll { done } => ward.stop_all(done),
            Order::Alarm => ward.alarm(&myself.get_cell()).await,
        }
        ward.settle(&myself).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Order<K>>,
        event: SupervisionEvent,
        ward: &mut Ward<K>,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, _state, _reason) => ward.ended(actor.get_id(), None),
            SupervisionEvent::ActorFailed(actor, error) => {
                ward.ended(actor.get_id(), Some(&error.to_string()));
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        }
        ward.settle(&myself).await;
        Ok(())
    }
}

fn answer(waiters: Vec<Waiter>, activated: &Activated) {
    for (_seed, reply) in waiters {
        let _asker_left = reply.send(activated.clone());
    }
}

/// The same in every process, so that a key's jitter is reproducible.
fn hash<K: Hash>(key: &K) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
