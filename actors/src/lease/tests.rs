//! One node over a table of leases that it shares, on the virtual clock: the journal and the views stay in memory, the
//! table can be robbed and can fall silent.

use super::*;
use crate::{DispatchError, NodeOptions, StartError, Told};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kabar_engine::address::Address;
use kabar_engine::id::{SHARDS, TenantId};
use kabar_engine::lease::{ACT_MS, CHALLENGE_MS, LOOK_MS, RENEW_MS};
use kabar_engine::optout::Wish;
use kabar_schema::Answer;
use kabar_schema::memory::MemoryLeases;
use kabar_schema::store::Store;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const TENANT: TenantId = TenantId(5);

/// The memory backend's table, as if other processes had it too.
#[derive(Default)]
struct Shared {
    table: MemoryLeases,
    silent: AtomicBool,
    renewals: AtomicUsize,
}

impl Shared {
    fn answers(&self) -> Result<(), StoreError> {
        if self.silent.load(Ordering::SeqCst) { Err(StoreError::Unknown) } else { Ok(()) }
    }

    async fn rows(&self) -> Vec<LeaseRow> {
        self.table.read(&ShardSet::all()).await.unwrap()
    }

    /// Another process that takes the row and dies.
    async fn rob(&self, shard: u8) {
        let seen = self.rows().await.remove(usize::from(shard));
        let taken = self.table.take(&Owner::new("thief", 1), &[seen]).await.remove(0);
        assert_eq!(taken, Ok(Outcome::Done));
    }
}

impl Leases for Shared {
    fn exclusive(&self) -> bool {
        false
    }

    fn read<'a>(&'a self, shards: &'a ShardSet) -> Answer<'a, Vec<LeaseRow>> {
        match self.answers() {
            Ok(()) => self.table.read(shards),
            Err(_) => ready(Err(StoreError::Unavailable)).boxed(),
        }
    }

    fn take<'a>(
        &'a self,
        owner: &'a Owner,
        seen: &'a [LeaseRow],
    ) -> BoxFuture<'a, Vec<Result<Outcome, StoreError>>> {
        match self.answers() {
            Ok(()) => self.table.take(owner, seen),
            Err(error) => ready(vec![Err(error); seen.len()]).boxed(),
        }
    }

    fn renew<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64, ctr: u64) -> Answer<'a, Outcome> {
        self.renewals.fetch_add(1, Ordering::SeqCst);
        match self.answers() {
            Ok(()) => self.table.renew(shard, owner, epoch, ctr),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn release<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64) -> Answer<'a, Outcome> {
        match self.answers() {
            Ok(()) => self.table.release(shard, owner, epoch),
            Err(error) => ready(Err(error)).boxed(),
        }
    }
}

struct House {
    table: Arc<Shared>,
    store: Store,
    clock: Clock,
}

impl House {
    fn new() -> Self {
        let table = Arc::new(Shared::default());
        let mut store = Store::memory();
        store.leases = Arc::<Shared>::clone(&table);
        Self { table, store, clock: Clock::virtual_at(1_790_000_000_000) }
    }

    async fn start(&self) -> Result<Arc<Node>, StartError> {
        Node::start(NodeOptions::default(), self.store.clone(), self.clock.clone()).await
    }

    async fn pass(&self, ms: u64) {
        self.clock.sleep_ms(ms).await;
    }

    /// Lets time go by until it is so, and tells how long (ms) it took.
    async fn until(&self, what: &str, so: impl Fn() -> bool) -> u64 {
        let begun = self.clock.uptime_ms();
        while !so() {
            assert!(self.clock.uptime_ms() - begun < 120_000, "not within two minutes: {what}");
            self.pass(50).await;
        }
        self.clock.uptime_ms() - begun
    }
}

fn broken(node: &Node) -> Vec<u8> {
    node.all_shards().filter(|shard| shard.is_broken()).map(|shard| shard.id().0).collect()
}

fn person(nth: u32) -> Address {
    Address::phone_digits(&format!("62812{nth:06}")).unwrap()
}

async fn opt_out(node: &Arc<Node>, nth: u32) -> Result<(), DispatchError> {
    let told = Told { session: None, address: person(nth), wish: Wish::OptOut };
    node.dispatcher().consent(TENANT, told, None).await.map(|_| ())
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_every_shard_and_renews_what_it_holds() {
    let house = House::new();
    let node = house.start().await.unwrap();
    assert!(house.clock.uptime_ms() < TURN_MS, "nobody is waited for");
    house.pass(60_000).await;
    let rows = house.table.rows().await;
    assert_eq!(rows.len(), SHARDS);
    for row in &rows {
        assert_eq!((row.owner.as_ref(), row.epoch), (Some(&node.terms().me), 1));
        assert!((60_000 / (RENEW_MS + TURN_MS)..=60_000 / RENEW_MS).contains(&row.ctr), "{}", row.ctr);
    }
    assert!(broken(&node).is_empty() && node.all_shards().all(|shard| shard.holds_lease()));
}

#[tokio::test(start_paused = true)]
async fn a_store_of_ones_own_is_asked_once_and_never_renewed() {
    let node = Node::start(NodeOptions::default(), Store::memory(), Clock::virtual_at(0)).await.unwrap();
    node.clock().sleep_ms(60_000).await;
    let rows = node.store().leases.read(&ShardSet::all()).await.unwrap();
    assert!(rows.iter().all(|row| (row.epoch, row.ctr) == (1, 0)));
    assert!(node.all_shards().all(|shard| shard.holds_lease()));
}

#[tokio::test(start_paused = true)]
async fn a_stolen_lease_stops_its_shard_alone_and_it_comes_back_when_the_thief_is_silent() {
    let house = House::new();
    let node = house.start().await.unwrap();
    let mine = ShardId::of_address(TENANT, &person(1));
    let other = (2..).find(|nth| ShardId::of_address(TENANT, &person(*nth)) != mine).unwrap();
    opt_out(&node, 1).await.unwrap();
    house.table.rob(mine.0).await;
    let noticed = house.until("the shard stops", || broken(&node) == [mine.0]).await;
    assert!(noticed <= RENEW_MS + TURN_MS + 50, "{noticed}");
    assert!(matches!(opt_out(&node, 1).await, Err(DispatchError::Unavailable { .. })));
    opt_out(&node, other).await.unwrap();
    let waited = house.until("the shard is taken again", || broken(&node).is_empty()).await;
    // The thief is not robbed of what it may still hold.
    assert!((CHALLENGE_MS - 50..CHALLENGE_MS + 2 * LOOK_MS).contains(&waited), "{waited}");
    let epochs: Vec<u64> = node.all_shards().map(|shard| shard.epoch()).collect();
    assert_eq!(epochs[usize::from(mine.0)], 3);
    assert_eq!(epochs.iter().filter(|epoch| **epoch == 1).count(), SHARDS - 1);
    assert_eq!(node.dispatcher().opted_out(TENANT, &person(1)).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn when_nothing_can_be_renewed_every_shard_stops_in_time_and_goes_on_by_itself_afterwards() {
    let house = House::new();
    let node = house.start().await.unwrap();
    opt_out(&node, 1).await.unwrap();
    house.pass(10_000).await;
    house.table.silent.store(true, Ordering::SeqCst);
    let lapsed = house.until("all stop", || broken(&node).len() == SHARDS).await;
    assert!((ACT_MS - RENEW_MS - TURN_MS..=ACT_MS).contains(&lapsed), "{lapsed}");
    assert!(matches!(opt_out(&node, 2).await, Err(DispatchError::Unavailable { .. })));
    house.pass(20_000).await;
    assert_eq!(broken(&node).len(), SHARDS);
    house.table.silent.store(false, Ordering::SeqCst);
    let back = house.until("all come back", || broken(&node).is_empty()).await;
    assert!(back < 3_000, "nobody else wanted them: {back}");
    assert!(node.all_shards().all(|shard| shard.epoch() >= 2 && shard.holds_lease()));
    assert_eq!(node.dispatcher().opted_out(TENANT, &person(1)).await, Ok(true));
    opt_out(&node, 2).await.unwrap();
    assert_eq!(node.dispatcher().opted_out(TENANT, &person(2)).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_gives_the_leases_back_and_the_next_start_waits_for_nothing() {
    let house = House::new();
    let node = house.start().await.unwrap();
    opt_out(&node, 1).await.unwrap();
    house.pass(5_000).await;
    node.shutdown().await;
    assert!(house.table.rows().await.iter().all(|row| row.owner.is_none() && row.epoch == 1));
    let renewals = house.table.renewals.load(Ordering::SeqCst);
    let before = house.clock.uptime_ms();
    let next = house.start().await.unwrap();
    assert!(house.clock.uptime_ms() - before < TURN_MS);
    house.pass(2_000).await;
    assert_eq!(house.table.renewals.load(Ordering::SeqCst), renewals, "the one that ended renews nothing");
    assert_eq!(next.dispatcher().opted_out(TENANT, &person(1)).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_the_next_start_waits_out_the_lease_and_not_longer() {
    let house = House::new();
    let node = house.start().await.unwrap();
    opt_out(&node, 1).await.unwrap();
    house.pass(5_000).await;
    // As a kill does: nothing is given back.
    let tasks: Vec<_> = node.tasks.lock().drain(..).collect();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    drop((node, tasks));
    let before = house.clock.uptime_ms();
    let next = house.start().await.unwrap();
    let waited = house.clock.uptime_ms() - before;
    assert!((CHALLENGE_MS..CHALLENGE_MS + LOOK_MS).contains(&waited), "{waited}");
    assert!(next.all_shards().all(|shard| shard.epoch() == 2));
    assert_eq!(next.dispatcher().opted_out(TENANT, &person(1)).await, Ok(true));
}
