//! The leases of this node: takes all shards', renews them on the node's clock, knows until when each may be acted on, and
//! gives them back at the end. A store that belongs to this process alone is asked once at the start, and costs
//! nothing afterwards.
//!
//! Not the protocol: `kabar_engine::lease` decides; and not the fence, which stands in every append.

use crate::metrics;
use crate::node::Node;
use kabar_engine::id::ShardId;
use kabar_engine::lease::{Call, Heard, Lease, LeaseRow, Order, Owner};
use kabar_runtime::Clock;
use kabar_schema::error::StoreError;
use kabar_schema::journal::ShardSet;
use kabar_schema::leases::{Leases, Outcome};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Between two looks at what is due: far below the margins of the protocol.
const TURN_MS: u64 = 250;
/// Looks between two lines of the log that say what is waited for.
const SAY_TURNS: u64 = 1_000 / TURN_MS;
/// A broken shard's lease is waited for this long before other things are done.
const PATIENCE: Duration = Duration::from_millis(500);
/// An orderly end waits this long for the leases to be given back.
const LEAVE: Duration = Duration::from_secs(5);
/// Before the random part of this process's name as an owner.
const NAME: &str = "kabar";

/// What this node holds.
pub struct Terms {
    table: Arc<dyn Leases>,
    clock: Clock,
    me: Owner,
    leases: Mutex<Vec<Lease>>,
    changed: watch::Sender<()>,
}

/// The questions of one look, by kind: what is asked together is one call of the table.
#[derive(Default)]
struct Questions {
    read: ShardSet,
    take: Vec<LeaseRow>,
    each: Vec<(ShardId, Call)>,
}

impl Terms {
    /// Nothing held yet. A table that is shared is driven from now on, as long as this lives.
    #[must_use]
    pub fn new(table: Arc<dyn Leases>, clock: Clock) -> Arc<Self> {
        let me = Owner::new(NAME, rand::random());
        let alone = table.exclusive();
        let leases = ShardId::all().map(|shard| Lease::new(shard, me.clone(), alone)).collect();
        let changed = watch::Sender::new(());
        let terms = Arc::new(Self { table, clock, me, leases: Mutex::new(leases), changed });
        if !alone {
            tokio::spawn(run(Arc::downgrade(&terms)));
        }
        terms
    }

    /// Takes every shard's lease; another owner's are waited for, with a line in the log every second. Gives the epochs.
    ///
    /// # Errors
    /// The table does not answer at all.
    pub async fn all(self: &Arc<Self>) -> Result<BTreeMap<ShardId, u64>, StoreError> {
        self.table.read(&ShardSet::one(ShardId(0))).await?;
        let every: Vec<ShardId> = ShardId::all().collect();
        loop {
            let held = self.ready(&every).await;
            if held.len() == every.len() {
                return Ok(held);
            }
            if self.table.exclusive() {
                return Err(StoreError::Unavailable);
            }
            self.clock.sleep_ms(TURN_MS).await;
        }
    }

    /// Whether the shard is ours under `epoch` now.
    #[must_use]
    pub fn holds(&self, shard: ShardId, epoch: u64) -> bool {
        let now = self.clock.uptime_ms();
        let term = self.leases.lock()[usize::from(shard.0)].term();
        term.is_some_and(|term| term.epoch == epoch && term.holds_for(0, now))
    }

    /// New epochs for broken shards, given with the ones they broke under; without those that cannot be had now.
    pub async fn again(self: &Arc<Self>, broken: &[(ShardId, u64)]) -> BTreeMap<ShardId, u64> {
        for (shard, epoch) in broken {
            self.renounce(*shard, *epoch);
        }
        let shards: Vec<ShardId> = broken.iter().map(|(shard, _)| *shard).collect();
        self.ready(&shards).await
    }

    /// What was begun under `epoch` is void: the next owner, this node again, gets a higher one.
    pub fn renounce(&self, shard: ShardId, epoch: u64) {
        let now = self.clock.uptime_ms();
        let lease = &mut self.leases.lock()[usize::from(shard.0)];
        if lease.term().is_some_and(|term| term.epoch <= epoch) {
            lease.renounce(now);
        }
    }

    /// Gives everything back, so that the next owner need not wait.
    pub async fn release(self: &Arc<Self>) {
        self.leases.lock().iter_mut().for_each(Lease::leave);
        let mut changed = self.changed.subscribe();
        self.drive();
        let left = async {
            while !self.leases.lock().iter().all(Lease::has_left) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LEAVE, left).await.is_err() {
            tracing::warn!("some leases were not given back: the next start waits for them, up to 10 s");
        }
    }

    /// Drives until each of these is held, or waits for something that is not an answer; gives those that are held.
    async fn ready(self: &Arc<Self>, shards: &[ShardId]) -> BTreeMap<ShardId, u64> {
        let mut changed = self.changed.subscribe();
        self.drive();
        let answered = async {
            loop {
                let asking = {
                    let leases = self.leases.lock();
                    shards.iter().any(|shard| leases[usize::from(shard.0)].is_asking())
                };
                if !asking || changed.changed().await.is_err() {
                    return;
                }
            }
        };
        if self.table.exclusive() {
            answered.await;
        } else {
            // A table that does not answer is asked again at the next turn.
            let _later = tokio::time::timeout(PATIENCE, answered).await;
        }
        let (now, leases) = (self.clock.uptime_ms(), self.leases.lock());
        let held = shards.iter().filter_map(|shard| {
            let term = leases[usize::from(shard.0)].term()?;
            term.holds_for(0, now).then_some((*shard, term.epoch))
        });
        held.collect()
    }

    /// Asks what is due. The answers are heard by tasks of their own: one that is slow holds up no other shard.
    fn drive(self: &Arc<Self>) {
        let Questions { read, take, each } = self.due();
        if !read.is_empty() {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.read(read).await });
        }
        if !take.is_empty() {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.take(take).await });
        }
        for (shard, call) in each {
            let me = Arc::clone(self);
            tokio::spawn(async move { me.ask(shard, call).await });
        }
    }

    fn due(&self) -> Questions {
        let now = self.clock.uptime_ms();
        let mut due = Questions::default();
        let mut lost = 0_u64;
        for lease in self.leases.lock().iter_mut() {
            while let Some(order) = lease.poll(now) {
                match order {
                    Order::Stop => lost += 1,
                    Order::Ask(Call::Read) => due.read.insert(lease.shard()),
                    Order::Ask(Call::Take(seen)) => due.take.push(seen),
                    Order::Ask(call) => due.each.push((lease.shard(), call)),
                }
            }
        }
        if lost > 0 {
            metrics::lease_lost(lost);
            tracing::error!(shards = lost, "leases were lost or could not be renewed; their shards stop");
            self.changed.send_replace(());
        }
        due
    }

    async fn read(self: Arc<Self>, shards: ShardSet) {
        match self.table.read(&shards).await {
            Ok(rows) => rows.into_iter().for_each(|row| self.hear(row.shard, Heard::Row(row))),
            Err(error) => {
                tracing::debug!(%error, "leases could not be read");
                shards.iter().for_each(|shard| self.hear(shard, Heard::Unavailable));
            }
        }
        self.drive();
        self.changed.send_replace(());
    }

    async fn take(self: Arc<Self>, seen: Vec<LeaseRow>) {
        let outcomes = self.table.take(&self.me, &seen).await;
        for (row, outcome) in seen.iter().zip(outcomes) {
            self.hear(row.shard, heard(outcome));
        }
        self.drive();
        self.changed.send_replace(());
    }

    async fn ask(self: Arc<Self>, shard: ShardId, call: Call) {
        let outcome = match call {
            Call::Renew { epoch, ctr } => self.table.renew(shard, &self.me, epoch, ctr).await,
            Call::Release { epoch } => self.table.release(shard, &self.me, epoch).await,
            Call::Read | Call::Take(_) => return, // asked together
        };
        self.hear(shard, heard(outcome));
        self.changed.send_replace(());
    }

    fn hear(&self, shard: ShardId, heard: Heard) {
        let now = self.clock.uptime_ms();
        self.leases.lock()[usize::from(shard.0)].hear(heard, now);
    }

    /// Says what is waited for, if anything is.
    fn say(&self) {
        let (now, leases) = (self.clock.uptime_ms(), self.leases.lock());
        let missing = leases.iter().filter(|lease| lease.term().is_none() && !lease.has_left()).count();
        metrics::leases_held(leases.len() - missing);
        if missing == 0 {
            return;
        }
        match leases.iter().filter_map(|lease| lease.waits_for(now)).max_by_key(|(_, left)| *left) {
            Some((owner, left_ms)) => tracing::info!(
                shards = missing,
                owner = owner.as_str(),
                left_ms,
                "waiting for leases of another process, or of one that was killed"
            ),
            None => tracing::info!(shards = missing, "waiting for the table of leases to answer"),
        }
    }
}

fn heard(outcome: Result<Outcome, StoreError>) -> Heard {
    match outcome {
        Ok(Outcome::Done) => Heard::Applied,
        Ok(Outcome::Refused(row)) => Heard::Refused(row),
        Err(StoreError::Unavailable | StoreError::Overloaded | StoreError::Conflict) => Heard::Unavailable,
        Err(StoreError::Unknown | StoreError::Fenced { .. }) => Heard::Unknown,
    }
}

/// Drives a shared table until everything was given back or nobody needs it any more.
async fn run(terms: Weak<Terms>) {
    for turn in 0_u64.. {
        let Some(terms) = terms.upgrade() else { return };
        if terms.leases.lock().iter().all(Lease::has_left) {
            return;
        }
        terms.drive();
        if turn % SAY_TURNS == SAY_TURNS - 1 {
            terms.say();
        }
        let clock = terms.clock.clone();
        drop(terms);
        clock.sleep_ms(TURN_MS).await;
    }
}

/// Stops the shards whose lease is gone, as long as the node lives. Their actors are stopped and the shards taken again by
/// the keeper (`open::keep`), as after a failed append.
pub async fn watch(node: Weak<Node>) {
    let Some(mut changed) = node.upgrade().map(|node| node.terms().changed.subscribe()) else { return };
    loop {
        let Some(node) = node.upgrade() else { return };
        node.all_shards().filter(|shard| !shard.holds_lease()).for_each(|shard| shard.lapse());
        let clock = node.clock().clone();
        drop(node);
        tokio::select! {
            () = clock.sleep_ms(TURN_MS) => {}
            told = changed.changed() => if told.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests;
