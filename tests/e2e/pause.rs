//! Pause, resume and cancel: what is said takes hold, and the totals stay exact through all of it.

use crate::house::{House, Plan};
use kabar_actors::DispatchError;
use kabar_actors::view::CampaignState;
use kabar_engine::campaign::Verb;
use kabar_engine::cause::Cause;
use std::time::Duration;

const PEOPLE: u64 = 3_000;

/// How many more are accepted while half a second passes.
async fn accepted_meanwhile(house: &House) -> u64 {
    let before = house.sandbox.stats().accepted;
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..=10 {
        turn.tick().await;
    }
    house.sandbox.stats().accepted - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_campaign_sends_nothing_resumes_and_ends_exactly_when_cancelled() {
    let house = House::new(Plan { rate: 600, sessions: 2, ..Plan::default() }).await;
    let mut ask = house.ask(0, PEOPLE).await;
    ask.senders = house.sessions.clone();
    let campaign = house.launch(ask).await;
    house.totals(campaign, "it runs", |t| t.sent >= 300).await;
    assert!(accepted_meanwhile(&house).await > 100, "half a second is long enough to see it send");

    let desk = house.desk();
    desk.move_campaign(house.tenant, campaign, Verb::Pause, None).await.unwrap();
    let view = house.state(campaign, CampaignState::Paused).await;
    assert!(view.totals.waiting > 0, "it was in the middle");
    house.totals(campaign, "the calls in flight end", |t| t.on_wire == 0).await;
    let quiet = house.totals(campaign, "it is quiet", |t| t.on_wire == 0 && t.parked == 0).await;
    assert_eq!(accepted_meanwhile(&house).await, 0, "a paused campaign sends nothing");
    assert_eq!(house.view(campaign).await.totals.waiting, quiet.waiting);

    desk.move_campaign(house.tenant, campaign, Verb::Resume, None).await.unwrap();
    house.totals(campaign, "it goes on", |t| t.sent >= quiet.sent + 300).await;
    desk.move_campaign(house.tenant, campaign, Verb::Cancel, None).await.unwrap();
    house.state(campaign, CampaignState::Cancelled).await;
    let totals = house
        .totals(campaign, "every recipient has ended", |t| t.sent + t.failed + t.unknown == PEOPLE)
        .await;
    assert_eq!(accepted_meanwhile(&house).await, 0, "a cancelled campaign sends nothing");
    let audited = house.audit(campaign).await;
    assert_eq!(audited.causes.get(&Cause::CANCELLED).copied(), Some(totals.failed));
    assert!(totals.failed > 0 && totals.sent >= 600, "{totals:?}");
    assert_eq!(house.sandbox.stats().accepted, audited.sent);
    let again = desk.move_campaign(house.tenant, campaign, Verb::Resume, None).await;
    assert!(matches!(again, Err(DispatchError::Refused(_))), "cancelled is for good: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_has_not_left_can_be_cancelled_and_one_that_has_cannot() {
    let house = House::new(Plan::default()).await;
    let later =
        kabar_engine::overlay::decide::Draft { due: house.now().plus_ms(60_000), ..house.draft(1, 1) };
    let waiting = house.desk().send(later).await.unwrap().message;
    let gone = house.send(2, 2).await;
    house.desk().cancel_message(house.tenant, waiting, None).await.unwrap();
    let row = house.desk().message(house.tenant, waiting).await.unwrap().unwrap().row;
    assert_eq!((row.status, row.cause), (kabar_engine::status::Status::Failed, Some(Cause::CANCELLED)));
    kabar_tests::wait::so("the other one left", async || house.sandbox.stats().accepted == 1).await;
    house.settled().await;
    let refused = house.desk().cancel_message(house.tenant, gone, None).await;
    assert!(matches!(refused, Err(DispatchError::Refused(_))), "{refused:?}");
}
