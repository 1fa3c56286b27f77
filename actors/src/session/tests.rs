//! When a session looks again: at once for what became due behind its back, and not a thousand times a second for what cannot
//! go. On the virtual clock.

use super::{LABEL, STORE_WAIT_MS};
use crate::NodeOptions;
use crate::house::{BEGINS, Fate, House, PROOF_MS, person};
use kabar_engine::message::Stage;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use kabar_schema::memory::fault::{FaultJournal, FaultViews, Faults};
use std::sync::Arc;

const BEGIN: Timestamp = Timestamp(BEGINS);
const MINUTE_MS: u64 = 60_000;
/// Looks in a minute in which nothing can go and nothing has failed: wakes, and the longest sleep's end.
const QUIET: u64 = 5;
/// Looks in a minute of a store that does not answer.
const PATIENT: u64 = MINUTE_MS / STORE_WAIT_MS + QUIET;

/// How often the session's actor was told something within a minute.
async fn minute(house: &House) -> u64 {
    let before = house.handled(LABEL);
    house.pass(MINUTE_MS).await;
    house.handled(LABEL) - before
}

#[tokio::test(start_paused = true)]
async fn what_became_due_while_the_session_looked_is_settled_at_once() {
    let (mut store, faults) = (House::store().await, Faults::none());
    store.journal = Arc::new(FaultJournal::new(store.journal, Arc::clone(&faults)));
    let house = House::on(store, BEGIN, NodeOptions::default()).await;
    house.provider.next(Fate::Ambiguous);
    house.provider.next(Fate::Silent);
    let first = house.send(1, 0).await;
    let second = house.send(2, PROOF_MS - 100).await;
    house.pass(100).await;
    assert_eq!(house.row(first).stage, Stage::Parked);
    // The second's claim is on its way to the disk when the first has waited for its proof long enough; and once it has
    // gone out nothing is heard of it, so that nothing else wakes the session.
    faults.hold();
    house.pass(PROOF_MS as u64 + 1_000).await;
    assert_eq!(house.row(second).stage, Stage::Claimed);
    assert_eq!(house.provider.called.lock().as_slice(), [person(1)]);
    faults.release();
    house.pass(50).await;
    assert_eq!(house.provider.called.lock().as_slice(), [person(1), person(2)]);
    assert_eq!(house.row(first).status, Status::Unknown);
}

#[tokio::test(start_paused = true)]
async fn without_a_free_place_a_session_waits_for_a_call_and_not_for_the_clock() {
    let options = NodeOptions { connections_per_session: 1, ..NodeOptions::default() };
    let house = House::on(House::store().await, BEGIN, options).await;
    house.provider.next(Fate::Silent);
    house.send(1, 0).await;
    let waits = house.send(2, 0).await;
    house.pass(100).await;
    let looks = minute(&house).await;
    assert_eq!(house.row(waits).stage, Stage::Waiting);
    assert!(looks <= QUIET, "{looks} looks in a minute");
}

#[tokio::test(start_paused = true)]
async fn on_a_drained_node_a_session_does_not_look_for_what_may_not_go() {
    let house = House::on(House::store().await, BEGIN, NodeOptions::default()).await;
    house.provider.next(Fate::Later);
    let waits = house.send(1, 0).await;
    house.pass(10).await;
    house.node.drain().await;
    let looks = minute(&house).await;
    assert_eq!(house.row(waits).stage, Stage::Waiting);
    assert!(looks <= QUIET, "{looks} looks in a minute");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_asked_now_and_then_for_what_waits_and_for_what_is_parked() {
    for fate in [None, Some(Fate::Ambiguous)] {
        let (mut store, faults) = (House::store().await, Faults::none());
        store.views = Arc::new(FaultViews::new(store.views, Arc::clone(&faults)));
        let house = House::on(store.clone(), BEGIN, NodeOptions::default()).await;
        fate.into_iter().for_each(|fate| house.provider.next(fate));
        let message = house.send(1, if fate.is_some() { 0 } else { 1_500 }).await;
        house.pass(100).await;
        house.node.shutdown().await;
        // The next life knows that there is a message, and not which: that is to be read.
        let house = House::on(store, house.now(), NodeOptions::default()).await;
        faults.fail_reads(u32::MAX);
        house.pass(PROOF_MS as u64).await;
        let looks = minute(&house).await;
        assert!((2..=PATIENT).contains(&looks), "{fate:?}: {looks} looks in a minute");
        faults.fail_reads(0);
        house.pass(STORE_WAIT_MS + 50).await;
        let ends = if fate.is_some() { Status::Unknown } else { Status::Sent };
        assert_eq!(house.row(message).status, ends, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_from_before_the_clock_was_put_back_waits_for_its_moment_and_stops_nobody() {
    const BACK_MS: i64 = 20_000;
    let options = NodeOptions { connections_per_session: 1, ..NodeOptions::default() };
    let (store, begin) = (House::store().await, BEGIN.plus_ms(BACK_MS));
    let house = House::on(store.clone(), begin, options.clone()).await;
    house.provider.next(Fate::Silent);
    house.send(1, 0).await;
    let waits = house.send(2, 0).await;
    house.node.shutdown().await;
    let house = House::on(store, BEGIN, options).await;
    house.pass(BACK_MS as u64 - 100).await;
    assert_eq!(house.row(waits).stage, Stage::Waiting);
    let looks = house.handled(LABEL);
    assert!(looks <= PATIENT, "{looks} looks");
    house.pass(100 + STORE_WAIT_MS + 50).await;
    assert_eq!(house.row(waits).status, Status::Sent);
}
