//! A panic in each kind of actor, in the middle of work: it comes back, and nothing is lost or doubled.

use crate::house::{House, Plan, calm, person};
use kabar_actors::view::CampaignState;
use kabar_actors::{Name, conversation};
use kabar_engine::id::MessageId;
use kabar_engine::status::Status;
use kabar_sandbox::{Behaviour, Delay};
use kabar_tests::{people, wait};

const PEOPLE: u64 = 2_000;

/// Makes the actor panic as soon as it lives, and waits until it was restarted.
async fn hit(house: &House, name: Name) {
    let before = house.restarts(name.label());
    wait::so("the actor lives", async || house.node.plant_panic(name)).await;
    wait::so("the actor is restarted", async || house.restarts(name.label()) > before).await;
}

/// Sends single messages; when this returns all of them are on the wire and none is answered.
async fn send_singles(house: &House) -> Vec<MessageId> {
    let mut singles = Vec::new();
    for nth in 0..10 {
        singles.push(house.send(PEOPLE + 100 + nth, 100 + u128::from(nth)).await);
    }
    wait::so("the last one is on the wire", async || {
        house.sandbox.recipients().contains_key(&people::digits(PEOPLE + 109))
    })
    .await;
    singles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_each_kind_of_actor_loses_nothing() {
    // Answers take longer than a restart: at every panic there are calls whose actor is gone when they come back.
    let behaviour = Behaviour { answer_ms: Delay::fixed(600), ..calm() };
    let house = House::new(Plan { rate: 500, behaviour, ..Plan::default() }).await;
    let session = house.sessions[0];
    let campaign = house.launch(house.ask(0, PEOPLE).await).await;
    house.totals(campaign, "the campaign runs", |t| t.sent >= 100 && t.on_wire > 0).await;
    hit(&house, Name::Part(campaign, 0)).await;
    let sent = house.view(campaign).await.totals.sent;
    house.totals(campaign, "the part goes on", |t| t.sent > sent + 100).await;
    let singles = send_singles(&house).await;
    hit(&house, Name::Session(session)).await;
    let sent = house.view(campaign).await.totals.sent;
    house.totals(campaign, "the session goes on", |t| t.sent > sent + 100).await;
    hit(&house, Name::Campaign(campaign)).await;
    assert!(house.view(campaign).await.totals.waiting > 0, "all of it was in the middle of work");

    let (friend, mut messages) = (PEOPLE + 7, Vec::new());
    messages.push(house.send(friend, 1).await);
    let talk = Name::Conversation(session, conversation::hash(&person(friend)));
    let before = house.restarts(talk.label());
    // The panic stands in the mailbox behind one message and before the next: both are answered or repeated.
    let (planted, second, third) =
        tokio::join!(async { house.node.plant_panic(talk) }, house.send(friend, 2), house.send(friend, 3));
    messages.extend([second, third]);
    assert!(planted, "the conversation lived");
    wait::so("the conversation is restarted", async || house.restarts(talk.label()) > before).await;
    messages.push(house.send(friend, 4).await);

    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    assert_eq!((totals.sent, totals.unknown), (PEOPLE, 0));
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), 4, "four keys, four messages");
    assert_eq!(house.sandbox.recipients()[person(friend).value()], 4, "each went out once");
    assert_eq!(house.node.panics(), 4);
    for message in singles {
        let row = house.desk().message(house.tenant, message).await.unwrap().unwrap().row;
        assert_eq!(row.status, Status::Read);
    }
    wait::so("nothing is open", async || house.node.stats().open_claims == 0).await;
}
