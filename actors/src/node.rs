//! One node: its shards, its actors, what it knows of records for a few seconds. Several nodes can run in one
//! process; nothing here is global.

mod activation;
mod links;
mod stats;
mod subscription;

pub use links::{Connectors, Link, Policy};
pub use stats::NodeStats;

use crate::dice::Dice;
use crate::dispatcher::Dispatcher;
use crate::lease::{self, Terms};
use crate::media::Shelf;
use crate::name::Name;
use crate::open;
use crate::plant::Plant;
use crate::projector::Projector;
use crate::shard::{Shard, ShardParts};
use crate::subscription::Served;
use crate::tide::Tide;
use crate::turn::{self, Turns};
use dashmap::DashMap;
use kabar_connectors::client::{Client, Guard};
use kabar_connectors::cloud::Proofs;
use kabar_engine::hash::Hashing;
use kabar_engine::id::{CampaignId, SHARDS, SessionId, ShardId, TenantId};
use kabar_runtime::{Clock, Compute, ComputeOptions};
use kabar_schema::error::StoreError;
use kabar_schema::journal::Cursor;
use kabar_schema::records::MetaApp;
use kabar_schema::store::Store;
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Records are trusted this long (ms) before they are read again.
const TRUST_MS: i64 = 5_000;
/// A stop waits this long for calls in flight.
const DRAIN_MS: u64 = 5_000;
const DRAIN_LOOK_MS: u64 = 10;
/// And then so long for those begun while its actors ended, where whoever stops it gives it no other time.
const LAST_MS: u64 = 2_000;
/// How long proof of an ambiguous send is waited for when the tenant says nothing.
const PROOF_MS: i64 = 900_000;
/// What a caller waits when the tenant's data key cannot be read now.
const KEY_RETRY_MS: u64 = 1_000;

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// How long proof of an ambiguous send is waited for, over every tenant's own setting (ms).
    pub proof_ms: Option<i64>,
    /// A call to a provider is given up after this (ms) and then ambiguous.
    pub call_deadline_ms: u64,
    /// The projector's turn (ms).
    pub flush_ms: u64,
    /// Calls in flight of one session.
    pub connections_per_session: usize,
    /// Threads of the compute pool.
    pub compute_workers: usize,
    /// Largest webhook body.
    pub webhook_max_bytes: usize,
    /// Which addresses URLs of tenants may lead to.
    pub guard: Guard,
    /// Who speaks for a session.
    pub connectors: Connectors,
    /// Where its randomness comes from.
    pub dice: Dice,
    /// A bug planted by a test.
    pub plant: Plant,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            proof_ms: None,
            call_deadline_ms: 30_000,
            flush_ms: 1_000,
            connections_per_session: 512,
            compute_workers: 1,
            webhook_max_bytes: 3 * 1024 * 1024,
            guard: Guard::PublicOnly,
            connectors: Connectors::default(),
            dice: Dice::default(),
            plant: Plant::None,
        }
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read.
    #[error("the store could not be read: {0}")]
    Store(#[from] StoreError),
    /// The views tell of entries the journal does not have: one of the two was replaced or damaged.
    #[error(
        "shard {shard}: the views stand at {views}, the journal only at {journal}; restore both from the same backup"
    )]
    ViewsAhead {
        /// Which shard.
        shard: u8,
        /// The views' position.
        views: u64,
        /// The journal's position.
        journal: u64,
    },
    /// Between what the views tell and what the journal still has, entries are missing: views of an earlier day.
    #[error(
        "shard {shard}: the views stand at {views}, the journal begins after {journal}; restore both from the same backup"
    )]
    JournalGap {
        /// Which shard.
        shard: u8,
        /// The views' position.
        views: u64,
        /// Up to where the journal's entries are gone.
        journal: u64,
    },
}

/// Read of a record, and when.
type Cached<T> = (Option<Arc<T>>, i64);

/// One node.
pub struct Node {
    options: NodeOptions,
    store: Store,
    clock: Clock,
    runtime: kabar_runtime::Node<Name>,
    shards: Vec<RwLock<Arc<Shard>>>,
    parts: Arc<ShardParts>,
    client: Client,
    links: DashMap<SessionId, Arc<Link>, Hashing>,
    /// Proofs of tokens, with a hash of what they were made of.
    proofs: DashMap<SessionId, (u64, Arc<Proofs>), Hashing>,
    numbers: DashMap<String, Cached<Link>, Hashing>,
    apps: DashMap<u64, Cached<MetaApp>, Hashing>,
    policies: DashMap<TenantId, (Policy, i64), Hashing>,
    on_wire: DashMap<SessionId, Arc<AtomicUsize>, Hashing>,
    part_on_wire: DashMap<(CampaignId, u32), Arc<AtomicUsize>, Hashing>,
    turns: Arc<Turns>,
    /// Marketing to one person is counted and accepted by one at a time.
    marketing: Vec<tokio::sync::Mutex<()>>,
    projector: Projector,
    served: Served,
    pub(crate) accounts: crate::account::Accounts,
    pub(crate) rests: crate::rest::Rests,
    media: Shelf,
    unsigned: crate::webhook::Unsigned,
    draining: AtomicBool,
    ready: AtomicBool,
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    /// Takes every shard, replays what the views do not hold, and goes on where the last process stopped.
    ///
    /// # Errors
    /// [`StartError`]; nothing was changed then.
    pub async fn start(options: NodeOptions, store: Store, clock: Clock) -> Result<Arc<Self>, StartError> {
        let me: Arc<OnceLock<Weak<Self>>> = Arc::new(OnceLock::new());
        let waker = Arc::clone(&me);
        let terms = Terms::new(Arc::clone(&store.leases), clock.clone());
        let parts = Arc::new(ShardParts {
            store: store.clone(),
            clock: clock.clone(),
            terms: Arc::clone(&terms),
            wake: Arc::new(move |wake| {
                if let Some(node) = waker.get().and_then(Weak::upgrade) {
                    node.wake(wake);
                }
            }),
            hurry: Arc::new(Notify::new()),
            tide: Arc::default(),
            plant: options.plant,
        });
        let opened = match open::all(&parts).await {
            Ok(opened) => opened,
            Err(error) => {
                terms.release().await;
                return Err(error);
            }
        };
        let mut runtime = kabar_runtime::NodeOptions::with_clock(clock.clone());
        runtime.compute =
            ComputeOptions { workers: options.compute_workers.max(1), ..ComputeOptions::default() };
        let node = Arc::new(Self {
            runtime: kabar_runtime::Node::new(runtime),
            shards: opened.into_iter().map(|s| RwLock::new(Arc::new(s))).collect(),
            parts,
            client: Client::for_providers(),
            links: DashMap::default(),
            proofs: DashMap::default(),
            numbers: DashMap::default(),
            apps: DashMap::default(),
            policies: DashMap::default(),
            on_wire: DashMap::default(),
            part_on_wire: DashMap::default(),
            turns: Arc::default(),
            marketing: (0..SHARDS).map(|_| tokio::sync::Mutex::default()).collect(),
            projector: Projector::new(),
            served: Served::default(),
            accounts: crate::account::Accounts::default(),
            rests: crate::rest::Rests::default(),
            media: Shelf::new(options.guard.clone()),
            unsigned: crate::webhook::Unsigned::default(),
            draining: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            tasks: Mutex::new(Vec::new()),
            options,
            store,
            clock,
        });
        debug_assert_eq!(node.shards.len(), SHARDS);
        let _first = me.set(Arc::downgrade(&node));
        let mut tasks = vec![
            tokio::spawn(crate::projector::run(Arc::downgrade(&node))),
            tokio::spawn(open::keep(Arc::downgrade(&node))),
            tokio::spawn(crate::media::received::run(Arc::downgrade(&node))),
            tokio::spawn(turn::watch(Arc::downgrade(&node.turns))),
            tokio::spawn(crate::provider_template::keep(Arc::downgrade(&node))),
        ];
        if !node.store.leases.exclusive() {
            tasks.push(tokio::spawn(lease::watch(Arc::downgrade(&node))));
        }
        *node.tasks.lock() = tasks;
        node.ready.store(true, Ordering::Release);
        Ok(node)
    }

    /// The front door.
    #[must_use]
    pub fn dispatcher(self: &Arc<Self>) -> Dispatcher {
        Dispatcher::new(Arc::clone(self))
    }

    /// Makes no new call to a provider and lets those in flight finish, for a while. It still answers.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.calls_end(DRAIN_MS).await;
    }

    /// Drains unless that was done, stops the actors, flushes, gives the leases back, closes the store.
    pub async fn shutdown(&self) {
        self.shutdown_within(LAST_MS).await;
    }

    /// The same, where the drained node's actors and calls have so many ms together before what they did is written.
    pub async fn shutdown_within(&self, limit_ms: u64) {
        if !self.is_draining() {
            self.drain().await;
        }
        let end = self.clock.uptime_ms().saturating_add(limit_ms);
        self.ready.store(false, Ordering::Release);
        self.tasks.lock().drain(..).for_each(|task| task.abort());
        self.runtime.shutdown().await;
        // A claim that was on its way to the disk at the first look has gone out since: its actor finished the
        // message in hand. No actor lives now that could make another one.
        self.calls_end(end.saturating_sub(self.clock.uptime_ms())).await;
        self.flush().await;
        self.terms().release().await;
        self.store.close().await;
    }

    /// Ends as a killed process does, for tests that go on in this one: nothing is finished, nothing is flushed and no lease
    /// is given back. What its actors had begun beside themselves, a call or an append, is held up by nobody but the
    /// store and the connectors it was given.
    pub fn kill(&self) {
        self.draining.store(true, Ordering::Release);
        self.ready.store(false, Ordering::Release);
        self.tasks.lock().drain(..).for_each(|task| task.abort());
        self.runtime.kill();
    }

    /// Returns when no call is in flight, or after so many ms.
    async fn calls_end(&self, limit_ms: u64) {
        // By the clock: a sleep takes longer than it says.
        let end = self.clock.uptime_ms().saturating_add(limit_ms);
        while self.calls() > 0 && self.clock.uptime_ms() < end {
            self.clock.sleep_ms(DRAIN_LOOK_MS).await;
        }
    }

    fn calls(&self) -> usize {
        let sessions: usize = self.on_wire.iter().map(|c| c.load(Ordering::Acquire)).sum();
        sessions + self.part_on_wire.iter().map(|c| c.load(Ordering::Acquire)).sum::<usize>()
    }

    /// Where it remembers.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its compute pool.
    #[must_use]
    pub fn compute(&self) -> &Compute {
        self.runtime.compute()
    }

    /// How it was set up.
    #[must_use]
    pub fn options(&self) -> &NodeOptions {
        &self.options
    }

    /// Whether it answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether it takes no new claims.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Panics of actors so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.runtime.panics()
    }

    /// A shard by number.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> Arc<Shard> {
        Arc::clone(&self.shards[usize::from(id.0)].read())
    }

    /// Every shard.
    pub fn all_shards(&self) -> impl Iterator<Item = Arc<Shard>> + '_ {
        self.shards.iter().map(|s| Arc::clone(&s.read()))
    }

    /// The shard of a session.
    #[must_use]
    pub fn shard_of_session(&self, tenant: TenantId, session: SessionId) -> Arc<Shard> {
        self.shard(ShardId::of_session(tenant, session))
    }

    /// The shard of a campaign.
    #[must_use]
    pub fn shard_of_campaign(&self, tenant: TenantId, campaign: CampaignId) -> Arc<Shard> {
        self.shard(ShardId::of_campaign(tenant, campaign))
    }

    /// Where every shard stands durably.
    pub(crate) fn tips(&self) -> Cursor {
        self.all_shards().map(|shard| (shard.id(), shard.durable_position())).collect()
    }

    /// What it has in hand of media.
    pub(crate) fn media(&self) -> &Shelf {
        &self.media
    }

    /// Webhooks that nobody signed.
    pub(crate) fn unsigned(&self) -> &crate::webhook::Unsigned {
        &self.unsigned
    }

    /// Whose messages go next.
    pub(crate) fn turns(&self) -> &Arc<Turns> {
        &self.turns
    }

    pub(crate) fn tide(&self) -> &Arc<Tide> {
        &self.parts.tide
    }

    pub(crate) fn terms(&self) -> &Arc<Terms> {
        &self.parts.terms
    }

    pub(crate) fn shard_parts(&self) -> &Arc<ShardParts> {
        &self.parts
    }

    pub(crate) fn replace_shard(&self, shard: Shard) {
        let place = usize::from(shard.id().0);
        // Entries whose answer was lost are in it; and before anybody sees where it stands.
        self.parts.tide.flood(shard.id(), shard.durable_position());
        *self.shards[place].write() = Arc::new(shard);
    }

    pub(crate) async fn stop_actors(&self, shard: ShardId) {
        self.runtime.supervisor(u16::from(shard.0)).stop_all().await;
    }

    /// Calls of a session that are on the wire, also those of an earlier actor.
    #[must_use]
    pub fn on_wire(&self, session: SessionId) -> Arc<AtomicUsize> {
        Arc::clone(&self.on_wire.entry(session).or_default())
    }

    /// Calls of a part that are on the wire, also those of an earlier actor.
    #[must_use]
    pub fn part_on_wire(&self, campaign: CampaignId, part: u32) -> Arc<AtomicUsize> {
        Arc::clone(&self.part_on_wire.entry((campaign, part)).or_default())
    }

    /// Returns when everything that was folded before the call is in the views.
    pub async fn flush(&self) {
        self.projector.flush(self).await;
    }

    /// Forgets what nobody wants any more where nothing changes.
    pub(crate) async fn rest(&self) {
        self.projector.rest(self).await;
    }
}
