//! A node that is ended and started again on the same folder goes on by itself. The kill without an order is
//! `prove`'s.

use crate::house::{House, Plan, calm};
use kabar_actors::view::CampaignState;
use kabar_engine::overlay::Input;
use kabar_engine::status::Status;
use kabar_sandbox::Behaviour;
use kabar_schema::journal::OnFailure;
use kabar_schema::memory::fault::{FaultJournal, Faults};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_tests::wait;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const PEOPLE: u64 = 3_000;

async fn open(folder: &Path, master: &MasterKey) -> Store {
    let options = EmbeddedOptions { fail: OnFailure::Poison, ..EmbeddedOptions::new(folder, master.clone()) };
    Store::embedded(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarted_on_the_same_folder_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::random();
    let mut house = House::on(open(folder.path(), &master).await, Plan::default()).await;
    let campaign = house.launch(house.ask(0, PEOPLE).await).await;
    let single = house.send(PEOPLE + 1, 1).await;
    for part in 1..=2 {
        house.totals(campaign, "the campaign runs", |t| t.sent >= part * 500).await;
        house.restart(async || open(folder.path(), &master).await).await;
        let accepted = house.sandbox.stats().accepted;
        assert!(accepted < PEOPLE, "it was in the middle: {accepted} accepted");
    }
    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    assert_eq!((totals.sent, totals.unknown), (PEOPLE, 0), "an orderly end leaves no doubt");
    assert_eq!(house.send(PEOPLE + 1, 1).await, single, "the idempotency key outlives the node");
    wait::so("nothing is open", async || house.node.stats().open_claims == 0).await;
    house.receiver.close();
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_on_its_way_to_the_disk_when_the_node_is_ended_is_sent_and_its_answer_kept() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::random();
    let journal = Faults::none();
    let mut store = open(folder.path(), &master).await;
    store.journal = Arc::new(FaultJournal::new(store.journal, Arc::clone(&journal)));
    // The provider takes its time: who does not wait for the answer has closed the store when it comes.
    let slow = kabar_sandbox::Faults { rate_slow: 1.0, slow_ms: 300, ..kabar_sandbox::Faults::default() };
    let behaviour = Behaviour { faults: slow, statuses: false, ..calm() };
    let mut house = House::on(store, Plan { behaviour, ..Plan::default() }).await;
    let mut draft = house.draft(1, 1);
    draft.due = house.now().plus_ms(500);
    let message = house.desk().send(draft).await.unwrap().message;
    journal.hold();
    wait::so("the claim waits for the disk", async || house.node.stats().open_claims == 1).await;
    let node = Arc::clone(&house.node);
    let disk = async {
        wait::so("the node is being ended", async || !node.is_ready()).await;
        journal.release();
    };
    tokio::join!(house.restart(async || open(folder.path(), &master).await), disk);
    let row = house.desk().message(house.tenant, message).await.unwrap().unwrap().row;
    assert_eq!((row.status, house.sandbox.stats().accepted), (Status::Sent, 1));
    house.receiver.close();
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_goes_away_before_the_answer_stops_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::random();
    let house = House::on(open(folder.path(), &master).await, Plan::default()).await;
    let draft = house.draft(1, 7);
    let (tenant, session) = (draft.tenant, draft.session);
    let shard = house.node.shard_of_session(tenant, session);
    let asked = shard.ask_in_order(Input::Send(Box::new(draft))).await;
    // Nobody waits for the disk: the position must become durable all the same.
    drop(asked);
    let flushed = tokio::time::timeout(Duration::from_secs(10), house.node.flush()).await;
    assert!(flushed.is_ok(), "the projector waits for a position nobody noted");
    let position = shard.peek(|o| o.position().0);
    shard.durable(position).await.unwrap();
    let id = house.send(1, 7).await;
    assert_eq!(house.desk().message(tenant, id).await.unwrap().unwrap().row.session, session);
    house.receiver.close();
    house.node.shutdown().await;
}
