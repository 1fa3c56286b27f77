//! What the provider refuses for more than one message: the template or the account is held, and nobody's message is burned
//! on it. Not what webhooks tell of a number: that is the edge's test.

use crate::house::{Ask, House, Plan, calm};
use kabar_actors::view::{CampaignState, WaitReason};
use kabar_engine::campaign::Verb;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::health::{Health, TemplateName};
use kabar_engine::id::CampaignId;
use kabar_engine::schedule::Hours;
use kabar_sandbox::Behaviour;
use kabar_schema::records::{Campaign, Timing};
use kabar_tests::wait;
use serde_json::json;

const PEOPLE: u64 = 2_000;

/// A campaign of a template of this name, launched.
async fn launch(house: &House, ask: Ask, template: &str) -> CampaignId {
    let id = CampaignId::random(house.now(), rand::random());
    let message = json!({"type": "template", "template": {"name": template, "language": {"code": "id"}}});
    let timing =
        Timing { start_at: None, valid_for_ms: ask.valid_for_ms, hours: Hours::default(), recurrence: None };
    let record = Campaign {
        id,
        tenant: house.tenant,
        name: "Held".into(),
        content: Content::from_json(&message).unwrap(),
        spintax: false,
        senders: ask.senders,
        audience: kabar_engine::audience::Audience::Contacts { list: Some(ask.list), filter: None },
        timing,
        weight: Campaign::WEIGHT,
        purpose: ask.purpose,
        origin: None,
        body_hash: String::new(),
        created: house.now(),
    };
    house.node.store().nouns.create(&record).await.unwrap();
    house.desk().launch(house.tenant, id, None).await.unwrap();
    id
}

async fn health(house: &House) -> Health {
    house.node.health(house.tenant, house.sessions[0]).await.unwrap()
}

/// Cancels it; every recipient then ends as cancelled and none was burned.
async fn ends_unburned(house: &House, campaign: CampaignId) {
    house.desk().move_campaign(house.tenant, campaign, Verb::Cancel, None).await.unwrap();
    house.state(campaign, CampaignState::Cancelled).await;
    let totals = house.totals(campaign, "every recipient has ended", |t| t.failed == PEOPLE).await;
    assert_eq!(totals.causes.get(&Cause::CANCELLED), Some(&PEOPLE), "{totals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_template_holds_its_campaign_after_a_few_refusals_and_burns_nobody() {
    let house = House::new(Plan::default()).await;
    let ask = house.ask(0, PEOPLE).await;
    // The simulated WhatsApp refuses templates of such names with 132015.
    let campaign = launch(&house, ask, "paused_promo").await;
    let name = TemplateName::new("paused_promo", "id");
    wait::so("the template is held", async || health(&house).await.holds(&name, house.now()).is_some()).await;
    let waits = async || {
        let view = house.view(campaign).await;
        view.waits.iter().any(|wait| wait.reason == WaitReason::Template).then_some(view)
    };
    let view = wait::until("the campaign says that it waits for the template", waits).await;
    assert_eq!((view.totals.failed, view.totals.sent), (0, 0), "{:?}", view.totals);
    let error = health(&house).await.last_error.unwrap().value;
    assert_eq!(error.cause, Cause::TEMPLATE_PAUSED);
    assert!(error.detail.contains("paused"), "the provider's words: {}", error.detail);
    let refused = house.sandbox.stats().rejected.get(&132_015).copied().unwrap_or(0);
    assert!((1..PEOPLE / 2).contains(&refused), "{refused} of {PEOPLE} were asked for");
    // Other templates go on.
    house.send(9_000, 1).await;
    wait::so("another template is sent", async || house.sandbox.stats().accepted == 1).await;
    ends_unburned(&house, campaign).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_cannot_pay_is_held_and_burns_nobody() {
    let behaviour = Behaviour { fail_in_answer: 1.0, fail_in_answer_codes: vec![131_042], ..calm() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let ask = house.ask(0, PEOPLE).await;
    let campaign = launch(&house, ask, "promo").await;
    let view = async || {
        let session = house.desk().session(house.tenant, house.sessions[0]).await.ok()??;
        (session.state == "restricted").then_some(session)
    };
    let session = wait::until("the session says that it is held", view).await;
    assert!(session.paused_until.is_some_and(|until| until > house.now().plus_ms(200_000)), "{session:?}");
    let waits = async || {
        let view = house.view(campaign).await;
        view.waits.iter().any(|wait| wait.reason == WaitReason::Restricted).then_some(view)
    };
    let view = wait::until("the campaign says that it waits for the account", waits).await;
    assert_eq!((view.totals.failed, view.totals.sent), (0, 0), "{:?}", view.totals);
    let told =
        async || health(&house).await.last_error.is_some_and(|told| told.value.cause == Cause(131_042));
    wait::so("its health has the error", told).await;
    let refused = house.sandbox.stats().rejected.get(&131_042).copied().unwrap_or(0);
    assert!((1..PEOPLE / 2).contains(&refused), "{refused} of {PEOPLE} were asked for");
    ends_unburned(&house, campaign).await;
}
