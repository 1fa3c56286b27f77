//! Validity: what could not be sent in time ends `expired`, and is never sent late.

use crate::house::{Ask, House, Plan};
use kabar_actors::view::CampaignState;
use kabar_engine::id::SessionId;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::status::Status;
use kabar_tests::wait;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_whose_turn_comes_too_late_expire() {
    let house = House::new(Plan { rate: 100, ..Plan::default() }).await;
    let ask = Ask { valid_for_ms: 1_500, ..house.ask(0, 1_000).await };
    let campaign = house.launch(ask).await;
    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    assert_eq!(totals.sent + totals.expired, 1_000, "{totals:?}");
    assert!(totals.sent >= 50 && totals.expired >= 500, "{totals:?}");
    assert_eq!(house.sandbox.stats().accepted, totals.sent, "nothing went out late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_cannot_send_lets_its_messages_expire() {
    let house = House::new(Plan::default()).await;
    let broken = SessionId(4_711);
    let record = kabar_schema::records::Session {
        access_token: "expired".into(),
        phone_number_id: "106000000009999".into(),
        ..crate::house::session(house.tenant, house.app, broken, (&house.sandbox.base_url(), 0, 100))
    };
    house.node.store().nouns.create(&record).await.unwrap();
    let draft = Draft { session: broken, valid_until: house.now().plus_ms(1_500), ..house.draft(1, 1) };
    let message = house.desk().send(draft).await.unwrap().message;
    let row = wait::until("it ends", async || {
        let view = house.desk().message(house.tenant, message).await.unwrap()?;
        (view.row.status != Status::Queued).then_some(view.row)
    })
    .await;
    assert_eq!(row.status, Status::Expired, "{:?}", row.cause);
    let view = house.desk().session(house.tenant, broken).await.unwrap().unwrap();
    assert_eq!((view.state, view.outbox), ("link_lost", 0));
    assert_eq!(house.sandbox.stats().accepted, 0);
}
