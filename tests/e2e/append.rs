//! Failing appends: the shard is dropped and comes back, and neither what was applied nor what was lost is told
//! wrongly.

use crate::house::{House, Plan};
use kabar_actors::view::CampaignState;
use kabar_engine::entry::What;
use kabar_engine::status::Status;
use kabar_schema::journal::{Cursor, ShardSet};
use kabar_schema::memory::fault::{Fault, FaultJournal, Faults};
use kabar_schema::store::Store;
use kabar_tests::oracle::{Fate, Oracle};
use kabar_tests::wait;
use std::sync::Arc;

const PEOPLE: u64 = 1_000;

async fn house() -> (House, Arc<Faults>) {
    let faults = Faults::none();
    let mut store = Store::memory();
    store.journal = Arc::new(FaultJournal::new(store.journal, Arc::clone(&faults)));
    (House::on(store, Plan::default()).await, faults)
}

/// How often a shard with a history was taken: every one of them is a dropped shard that came back.
async fn reopened(house: &House) -> usize {
    let journal = &house.node.store().journal;
    let (mut cursor, mut count) = (Cursor::default(), 0);
    loop {
        let page = journal.read(&ShardSet::all(), &cursor, 10_000).await.unwrap();
        count += page.entries.iter().filter(|(_, _, e)| matches!(e.what, What::Opened { .. })).count();
        cursor = page.cursor;
        if page.end {
            return count;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_append_drops_the_shard_and_it_comes_back_with_nothing_lost_or_doubled() {
    let (house, faults) = house().await;
    let campaign = house.launch(house.ask(0, PEOPLE).await).await;
    let mut sent = Vec::new();
    let plan = [Fault::Unavailable, Fault::UnknownLost, Fault::UnknownApplied, Fault::Fenced { current: 99 }];
    for (turn, fault) in (1..).zip(plan.into_iter().cycle().take(8)) {
        faults.after(2 + turn as usize % 5, fault);
        for key in 0..5 {
            let key = turn * 100 + key;
            sent.push((key, house.send(10_000 + key as u64, key).await));
        }
    }
    house.state(campaign, CampaignState::Finished).await;
    assert!(reopened(&house).await >= 4, "shards were dropped and came back");
    // A claim whose append failed unseen was never transmitted: it ends unknown, which is true of it.
    let totals = house.audit_excusing(campaign, &|_| true).await;
    assert!(totals.sent > PEOPLE / 2, "{totals:?}");
    let oracle = Oracle::read(&house.sandbox.ledger());
    for (key, message) in sent {
        assert_eq!(house.send(10_000 + key as u64, key).await, message, "a repeated key is the same message");
        let row = wait::until("the message ends", async || {
            let view = house.desk().message(house.tenant, message).await.ok()??;
            (view.row.status != Status::Queued).then_some(view.row)
        })
        .await;
        let seen = oracle.accepted().find(|(name, _)| name.ends_with(&message.to_string()));
        let fate = seen.and_then(|(_, seen)| seen.fate);
        let expected = if fate == Some(Fate::Read) { Status::Read } else { Status::Unknown };
        assert_eq!(row.status, expected, "{message}: {fate:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_not_durable_is_not_transmitted() {
    let (house, faults) = house().await;
    // The intent is written, its claim is not, whatever the caller of the journal is told.
    faults.after(1, Fault::UnknownLost);
    let message = house.send(1, 1).await;
    wait::so("the shard comes back and sends it", async || house.sandbox.stats().accepted == 1).await;
    house.settled().await;
    wait::so("its status is read", async || {
        let view = house.desk().message(house.tenant, message).await.ok().flatten();
        view.is_some_and(|v| v.row.status == Status::Read)
    })
    .await;
    assert_eq!(house.sandbox.stats().repeated, 0);
    assert_eq!(reopened(&house).await, 1);
}
