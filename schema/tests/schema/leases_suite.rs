//! The table of leases on every backend: each change happens whole, and only on the row it stands on. The protocol
//! that uses it is simulated in `kabar-tests`.

use crate::backend::Backend;
use crate::keyspace::Keyspace;
use kabar_engine::id::{SHARDS, ShardId};
use kabar_engine::lease::{LeaseRow, Owner};
use kabar_schema::error::StoreError;
use kabar_schema::journal::ShardSet;
use kabar_schema::leases::{Leases, Outcome};
use kabar_schema::scylla::CqlLeases;
use kabar_schema::store::Store;
use std::sync::Arc;

/// Who race for one row.
const RACERS: u64 = 6;

/// Takes every shard of a fresh or released table; tells the epoch, which is the same for all.
pub async fn take_all(store: &Store) -> u64 {
    let seen = store.leases.read(&ShardSet::all()).await.unwrap();
    let taken = store.leases.take(&owner("test", 1), &seen).await;
    assert!(taken.into_iter().all(|outcome| outcome == Ok(Outcome::Done)));
    seen[0].epoch + 1
}

fn owner(name: &str, random: u64) -> Owner {
    Owner::new(name, random)
}

async fn row(leases: &dyn Leases, shard: u8) -> LeaseRow {
    leases.read(&ShardSet::one(ShardId(shard))).await.unwrap().remove(0)
}

async fn take(leases: &dyn Leases, me: &Owner, seen: &LeaseRow) -> Result<Outcome, StoreError> {
    leases.take(me, std::slice::from_ref(seen)).await.remove(0)
}

async fn a_fresh_table_has_a_free_row_for_every_shard(leases: &dyn Leases) {
    let rows = leases.read(&ShardSet::all()).await.unwrap();
    assert_eq!(rows, ShardId::all().map(LeaseRow::fresh).collect::<Vec<_>>());
    let some = ShardSet::one(ShardId(9)).with(ShardId(200));
    let rows = leases.read(&some).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.shard.0).collect::<Vec<_>>(), [9, 200]);
}

async fn a_take_stands_on_owner_epoch_and_counter_as_they_were_seen(leases: &dyn Leases) {
    let (a, b) = (owner("a", 1), owner("a", 2));
    let fresh = row(leases, 1).await;
    assert_eq!(take(leases, &a, &fresh).await, Ok(Outcome::Done));
    let held = fresh.taken_by(&a);
    assert_eq!((row(leases, 1).await, held.epoch, held.ctr), (held.clone(), 1, 0));
    // The same name, but another process.
    assert_eq!(take(leases, &b, &fresh).await, Ok(Outcome::Refused(held.clone())));
    let other_owner = LeaseRow { owner: None, ..held.clone() };
    let other_epoch = LeaseRow { epoch: 2, ..held.clone() };
    let other_ctr = LeaseRow { ctr: 1, ..held.clone() };
    for wrong in [other_owner, other_epoch, other_ctr] {
        assert_eq!(take(leases, &b, &wrong).await, Ok(Outcome::Refused(held.clone())), "{wrong:?}");
    }
    assert_eq!(take(leases, &b, &held).await, Ok(Outcome::Done));
    assert_eq!(row(leases, 1).await, held.taken_by(&b));
}

async fn only_the_owner_renews_and_releases_and_only_under_its_epoch(leases: &dyn Leases) {
    let (a, b, shard) = (owner("a", 1), owner("b", 1), ShardId(2));
    let seen = row(leases, 2).await;
    assert_eq!(take(leases, &a, &seen).await, Ok(Outcome::Done));
    assert_eq!(leases.renew(shard, &a, 1, 0).await, Ok(Outcome::Done));
    let held = LeaseRow { shard, owner: Some(a.clone()), epoch: 1, ctr: 1 };
    let refused = Ok(Outcome::Refused(held.clone()));
    assert_eq!(leases.renew(shard, &a, 1, 0).await, refused, "an old counter");
    assert_eq!(leases.renew(shard, &b, 1, 1).await, refused, "another owner");
    assert_eq!(leases.renew(shard, &a, 2, 1).await, refused, "another epoch");
    assert_eq!(leases.release(shard, &b, 1).await, refused);
    assert_eq!(leases.release(shard, &a, 2).await, refused);
    assert_eq!(row(leases, 2).await, held);
    assert_eq!(leases.release(shard, &a, 1).await, Ok(Outcome::Done));
    let free = LeaseRow { owner: None, ..held };
    assert_eq!(leases.release(shard, &a, 1).await, Ok(Outcome::Refused(free.clone())));
    assert_eq!(leases.renew(shard, &a, 1, 1).await, Ok(Outcome::Refused(free.clone())));
    // Who was released is taken under the next epoch.
    assert_eq!(take(leases, &b, &free).await, Ok(Outcome::Done));
    assert_eq!(row(leases, 2).await, free.taken_by(&b));
}

async fn of_many_who_take_one_row_one_gets_it(leases: &dyn Leases) {
    let owners: Vec<Owner> = (0..RACERS).map(|n| owner("racer", n)).collect();
    let seen = row(leases, 3).await;
    let outcomes = futures::future::join_all(owners.iter().map(|me| take(leases, me, &seen))).await;
    let won = row(leases, 3).await;
    let winner = won.owner.clone().expect("somebody got it");
    assert_eq!(won, seen.taken_by(&winner));
    for (me, outcome) in owners.iter().zip(outcomes) {
        match outcome {
            Ok(Outcome::Done) => assert_eq!(*me, winner),
            Ok(Outcome::Refused(_)) => assert_ne!(*me, winner),
            // Contention alone can do this to a cluster; whoever hears it has to read.
            Err(error) => assert_eq!(error, StoreError::Unknown),
        }
    }
}

async fn many_rows_are_taken_and_renewed_each_for_itself(leases: &dyn Leases) {
    let me = owner("a", 7);
    let shards = (10..=255).map(ShardId).fold(ShardSet::none(), ShardSet::with);
    let mut seen = leases.read(&shards).await.unwrap();
    seen[5].ctr = 99;
    let wrong = seen[5].shard;
    for (row, outcome) in seen.iter().zip(leases.take(&me, &seen).await) {
        let expected =
            if row.shard == wrong { Outcome::Refused(LeaseRow::fresh(wrong)) } else { Outcome::Done };
        assert_eq!(outcome, Ok(expected), "{row:?}");
    }
    let renewed = shards.iter().filter(|shard| *shard != wrong).map(|shard| leases.renew(shard, &me, 1, 0));
    let renewed = futures::future::join_all(renewed).await;
    assert!(renewed.into_iter().all(|outcome| outcome == Ok(Outcome::Done)));
    let rows = leases.read(&shards).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.is_held(&me, 1) && row.ctr == 1).count(), SHARDS - 11);
}

/// In this order on one table; each has shards of its own.
async fn suite(leases: &dyn Leases) {
    a_fresh_table_has_a_free_row_for_every_shard(leases).await;
    a_take_stands_on_owner_epoch_and_counter_as_they_were_seen(leases).await;
    only_the_owner_renews_and_releases_and_only_under_its_epoch(leases).await;
    of_many_who_take_one_row_one_gets_it(leases).await;
    many_rows_are_taken_and_renewed_each_for_itself(leases).await;
}

#[tokio::test]
async fn the_table_keeps_its_promises_in_memory() {
    let opened = Backend::Memory.open().await;
    assert!(opened.store.leases.exclusive());
    suite(opened.store.leases.as_ref()).await;
}

#[tokio::test]
async fn the_table_keeps_its_promises_in_a_folder_and_survives_closing() {
    let opened = Backend::Embedded.open().await;
    assert!(opened.store.leases.exclusive());
    suite(opened.store.leases.as_ref()).await;
    let before = opened.store.leases.read(&ShardSet::all()).await.unwrap();
    let again = opened.reopen().await;
    assert_eq!(again.store.leases.read(&ShardSet::all()).await, Ok(before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_keeps_its_promises_on_a_cluster_and_its_rows_are_made_once() {
    let keyspace = Keyspace::empty().await;
    let cluster = kabar_schema::scylla::connect(&keyspace.options()).await.unwrap();
    // Two nodes that start at once.
    let (one, two) =
        tokio::join!(CqlLeases::open(Arc::clone(&cluster)), CqlLeases::open(Arc::clone(&cluster)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(!one.exclusive());
    suite(&one).await;
    let before = one.read(&ShardSet::all()).await.unwrap();
    assert_eq!(two.read(&ShardSet::all()).await.as_ref(), Ok(&before));
    let later = CqlLeases::open(cluster).await.unwrap();
    assert_eq!(later.read(&ShardSet::all()).await, Ok(before), "opening makes no row anew");
}
