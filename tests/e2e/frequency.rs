//! One person gets no more marketing than the tenant's cap allows: over its campaigns, its numbers and single messages.

use crate::house::{Ask, House, Plan};
use kabar_actors::DispatchError;
use kabar_actors::view::{CampaignState, CampaignView};
use kabar_engine::frequency::{FrequencyCap, Purpose};
use kabar_engine::overlay::Refusal;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::pacing::Lane;
use kabar_engine::time::{DAY_MS, Timestamp};
use kabar_schema::records::Tenant;
use kabar_schema::store::Store;

const PEOPLE: u64 = 20;
/// So many that freezing them takes a while.
const MANY: u64 = 1_500;
const CAPPED: DispatchError = DispatchError::Refused(Refusal::FrequencyCap);

/// Two numbers, and a tenant that caps its marketing from the beginning.
async fn house(messages: u16, begins: Option<Timestamp>) -> House {
    let store = Store::memory();
    let house = House::on(store, Plan { sessions: 2, begins, ..Plan::default() }).await;
    let nouns = &house.node.store().nouns;
    let found = nouns.get::<Tenant>(house.tenant, house.tenant.0).await.unwrap().unwrap();
    let frequency_cap = Some(FrequencyCap { messages, days: 7 });
    nouns.update(&Tenant { frequency_cap, ..found.noun }, found.version).await.unwrap();
    house
}

async fn campaign(house: &House, ask: Ask) -> CampaignView {
    let id = house.launch(ask).await;
    let view = house.state(id, CampaignState::Finished).await;
    house.audit(id).await;
    view
}

fn figures(view: &CampaignView) -> (u64, u64, u64) {
    (view.audience, view.frequency_capped, view.totals.recipients)
}

fn promo(house: &House, nth: u64, key: u128, sender: usize) -> Draft {
    Draft { lane: Lane::Broadcast, session: house.sessions[sender], ..house.draft(nth, key) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_more_marketing_than_the_cap_over_campaigns_numbers_and_single_messages() {
    let house = house(2, None).await;
    let first = campaign(&house, house.ask(0, PEOPLE).await).await;
    assert_eq!(figures(&first), (PEOPLE, 0, PEOPLE));
    // Another number counts as well.
    let elsewhere = Ask { senders: vec![house.sessions[1]], ..house.ask(5, PEOPLE).await };
    assert_eq!(figures(&campaign(&house, elsewhere).await), (PEOPLE, 0, PEOPLE));
    // One of those who had one campaign gets a single message, and has had enough.
    house.desk().send(promo(&house, 2, 1, 1)).await.unwrap();
    for (nth, sender) in [(2, 0), (2, 1), (7, 0), (7, 1)] {
        let refused = house.desk().send(promo(&house, nth, 100 + u128::from(nth), sender)).await;
        assert_eq!(refused, Err(CAPPED), "{nth} {sender}");
    }
    // The same request again is the same answer, cap or not.
    let repeated = house.desk().send(promo(&house, 2, 1, 1)).await.unwrap();
    assert!(repeated.replayed);
    let both = Ask { senders: house.sessions.clone(), ..house.ask(0, PEOPLE + 10).await };
    let capped = PEOPLE - 5 + 1;
    assert_eq!(figures(&campaign(&house, both).await), (PEOPLE + 10, capped, PEOPLE + 10 - capped));
    // What people asked for goes.
    let asked = Draft { lane: Lane::Transactional, ..promo(&house, 2, 9, 0) };
    house.desk().send(asked).await.unwrap();
    let bills = Ask { purpose: Purpose::Utility, ..house.ask(0, PEOPLE).await };
    // The list is the one that was sent to before.
    assert_eq!(figures(&campaign(&house, bills).await), (PEOPLE + 10, 0, PEOPLE + 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_campaigns_launched_at_once_and_ten_single_messages_at_once_keep_the_cap_together() {
    let house = house(1, None).await;
    let ask = house.ask(0, MANY).await;
    let other = Ask { senders: vec![house.sessions[1]], ..ask.clone() };
    let (one, two) = (house.launch(ask).await, house.launch(other).await);
    let (one, two) =
        (house.state(one, CampaignState::Finished).await, house.state(two, CampaignState::Finished).await);
    let (recipients, capped) =
        (one.totals.recipients + two.totals.recipients, one.frequency_capped + two.frequency_capped);
    assert_eq!((recipients, capped), (MANY, MANY), "{one:?} {two:?}");
    let desk = house.desk();
    let sends = (0..10).map(|nth| desk.send(promo(&house, 7_000, 200 + nth, nth as usize % 2)));
    let sent = futures::future::join_all(sends).await;
    assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 1, "{sent:?}");
    assert_eq!(sent.iter().filter(|sent| **sent == Err(CAPPED)).count(), 9);
}

#[tokio::test]
async fn what_was_sent_longer_ago_than_the_cap_looks_counts_no_more() {
    let begins = Timestamp::from_rfc3339("2026-12-01T03:00:00Z").unwrap();
    let house = house(1, Some(begins)).await;
    campaign(&house, house.ask(0, PEOPLE).await).await;
    house.desk().send(promo(&house, 50, 1, 0)).await.unwrap();
    house.settled().await;
    let again = async |key| house.desk().send(promo(&house, 50, key, 1)).await;
    house.jump_to(begins.plus_ms(7 * DAY_MS - 60_000)).await;
    assert_eq!(again(2).await, Err(CAPPED));
    assert_eq!(figures(&campaign(&house, house.ask(0, PEOPLE).await).await), (PEOPLE, PEOPLE, 0));
    house.jump_to(begins.plus_ms(7 * DAY_MS + 60_000)).await;
    again(3).await.unwrap();
    assert_eq!(figures(&campaign(&house, house.ask(0, PEOPLE).await).await), (PEOPLE, 0, PEOPLE));
}
