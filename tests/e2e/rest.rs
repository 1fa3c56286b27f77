//! People of whom WhatsApp says that they have had enough marketing of everybody: their message has failed, and no other
//! marketing is tried before a day has passed, whatever asks for it and however often the node is started again.

use crate::house::{Ask, House, Plan, person};
use kabar_actors::view::WaitReason;
use kabar_engine::address::Address;
use kabar_engine::campaign::Verb;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, MessageId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::part::Totals;
use kabar_engine::schedule::Hours;
use kabar_engine::status::Status;
use kabar_engine::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::{Number, ProviderTemplate, Timing};
use kabar_schema::store::Store;
use kabar_tests::wait;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const LIST: ImportId = ImportId(9);

/// The simulated WhatsApp takes what goes to this number and tells later that it failed with 131049.
fn tired() -> Address {
    Address::phone_digits("9995131049").unwrap()
}

fn template(name: &str) -> Content {
    let message = json!({"type": "template", "template": {"name": name, "language": {"code": "id"}}});
    Content::from_json(&message).unwrap()
}

/// The clock begins where the sandbox's is, whose statuses carry their time.
fn now() -> Timestamp {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    Timestamp(i64::try_from(ms).unwrap())
}

async fn send(house: &House, key: u128, to: Address, name: &str) -> MessageId {
    let draft = house.draft(0, key);
    let valid_until = house.now().plus_ms(20 * DAY_MS);
    let draft = Draft { to, content: Arc::new(template(name)), valid_until, ..draft };
    house.desk().send(draft).await.unwrap().message
}

async fn row(house: &House, id: MessageId) -> MessageRow {
    house.desk().message(house.tenant, id).await.unwrap().unwrap().row
}

async fn fails(house: &House, id: MessageId) {
    let failed = async || {
        let row = row(house, id).await;
        (row.status == Status::Failed).then_some(row)
    };
    assert_eq!(wait::until("the message failed", failed).await.cause, Some(Cause(131_049)));
    // Its webhook was answered: what follows from it is durable.
    house.settled().await;
}

/// Until when a message waits because it was put back.
async fn rests(house: &House, id: MessageId) -> Timestamp {
    let waits = async || {
        let wait = house.desk().message(house.tenant, id).await.unwrap().unwrap().wait?;
        wait.until.filter(|until| wait.reason == WaitReason::Retry && *until > house.now().plus_ms(HOUR_MS))
    };
    wait::until("the message waits for the end of the rest", waits).await
}

fn accepted(house: &House) -> u64 {
    house.sandbox.stats().accepted
}

async fn goes(house: &House, count: u64) {
    wait::so("what may go goes", async || accepted(house) == count).await;
}

#[tokio::test]
async fn who_has_had_enough_by_status_gets_no_marketing_for_a_day() {
    let store = Store::memory();
    let plan = Plan { begins: Some(now()), ..Plan::default() };
    let mut house = House::on(store.clone(), plan).await;
    let first = send(&house, 1, tired(), "promo").await;
    fails(&house, first).await;
    let began = house.now();
    let second = send(&house, 2, tired(), "promo").await;
    let until = rests(&house, second).await;
    let day = until.since_ms(began);
    assert!((DAY_MS - 2 * MINUTE_MS..DAY_MS + 2 * HOUR_MS).contains(&day), "{day}");
    assert_eq!(row(&house, second).await.cause, Some(Cause(131_049)), "it says why");
    // What is not known to be marketing goes, and so does everything to others.
    send(&house, 3, tired(), "shipped").await;
    send(&house, 4, person(4), "promo").await;
    goes(&house, 3).await;
    house.restart(async || store.clone()).await;
    let third = send(&house, 5, tired(), "promo").await;
    rests(&house, third).await;
    assert_eq!(accepted(&house), 3, "a new process knows it as well");
    house.jump_to(until.plus_ms(2 * HOUR_MS)).await;
    goes(&house, 5).await;
    fails(&house, second).await;
    house.node.shutdown().await;
}

async fn campaign(house: &House, purpose: Purpose, name: &str) -> CampaignId {
    let (senders, valid_for_ms) = (house.sessions.clone(), 5 * DAY_MS);
    let ask = Ask { list: LIST, senders, valid_for_ms, purpose };
    let timing = Timing { start_at: None, valid_for_ms, hours: Hours::default(), recurrence: None };
    house.launch_saying(ask, timing, template(name)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marketing_campaign_waits_for_who_has_had_enough_and_one_that_is_none_does_not() {
    let house = House::new(Plan { begins: Some(now()), ..Plan::default() }).await;
    let input = tired().value().to_owned();
    let draft = ContactDraft { address: tired(), input, name: None, zone: None, fields: BTreeMap::new() };
    house.node.store().contacts.upsert(house.tenant, Some(LIST), vec![draft], house.now()).await.unwrap();
    let first = campaign(&house, Purpose::Marketing, "promo").await;
    let capped = |t: &Totals| t.causes.get(&Cause(131_049)) == Some(&1);
    house.totals(first, "the recipient has had enough", capped).await;
    house.settled().await;
    let marketing = campaign(&house, Purpose::Marketing, "another_promo").await;
    let waits =
        async || house.view(marketing).await.waits.iter().find(|w| w.reason == WaitReason::Retry).copied();
    let wait = wait::until("the campaign waits", waits).await;
    assert!(wait.until.is_some_and(|until| until > house.now().plus_ms(DAY_MS - HOUR_MS)), "{wait:?}");
    assert_eq!(accepted(&house), 1);
    let bills = campaign(&house, Purpose::Utility, "bill").await;
    goes(&house, 2).await;
    for id in [marketing, bills] {
        let _gone = house.desk().move_campaign(house.tenant, id, Verb::Cancel, None).await;
    }
    house.node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_meta_says_a_template_is_for_decides_whether_it_waits() {
    let house = House::new(Plan { begins: Some(now()), ..Plan::default() }).await;
    let (nouns, waba, created) = (&house.node.store().nouns, "102", house.now());
    let number = Number::unknown(house.tenant, house.sessions[0], created);
    nouns.create(&Number { waba_id: Some(waba.into()), ..number }).await.unwrap();
    for (name, category) in [("sale", "MARKETING"), ("code", "AUTHENTICATION")] {
        let record = json!({"id": ProviderTemplate::id_of(house.tenant, waba, name, "id"), "tenant": house.tenant,
            "waba_id": waba, "name": name, "language": "id", "status": "APPROVED", "category": category,
            "seen": created, "evidence": "sync", "created": created});
        let record: ProviderTemplate = serde_json::from_value(record).unwrap();
        nouns.create(&record).await.unwrap();
    }
    let first = send(&house, 1, tired(), "promo").await;
    fails(&house, first).await;
    send(&house, 2, tired(), "code").await;
    goes(&house, 2).await;
    let sale = send(&house, 3, tired(), "sale").await;
    rests(&house, sale).await;
    assert_eq!(accepted(&house), 2);
    house.node.shutdown().await;
}
