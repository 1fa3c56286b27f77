//! A node that is ended and started again on the same folder goes on by itself. The kill without an order is
//! `prove`'s.

use crate::house::{House, Plan};
use kabar_actors::view::CampaignState;
use kabar_engine::overlay::Input;
use kabar_schema::journal::OnFailure;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_tests::wait;
use std::path::Path;
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
