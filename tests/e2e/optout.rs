//! STOP during a campaign: in the session that heard it at once, in the tenant's other sessions within two seconds.

use crate::house::{House, Plan, number_id};
use kabar_actors::view::CampaignState;
use kabar_actors::{DispatchError, Told};
use kabar_engine::cause::Cause;
use kabar_engine::overlay::Refusal;
use kabar_engine::overlay::decide::Draft;
use kabar_sandbox::{Inbound, Outcome};
use kabar_tests::people;
use std::time::{SystemTime, UNIX_EPOCH};

const PEOPLE: u64 = 500;
/// The last ones in the order in which a campaign goes.
const LEAVING: std::ops::Range<u64> = 50..PEOPLE;
/// Calls that were on the wire when the word was heard.
const ON_THE_WIRE_MS: i64 = 150;
/// What the product promises for other sessions.
const ELSEWHERE_MS: i64 = 2_000;

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// When the last message left from a number to one of those who left.
fn last_to_leaving(house: &House, nth: usize) -> Option<i64> {
    let leaving: std::collections::BTreeSet<_> = LEAVING.map(people::digits).collect();
    let from = number_id(nth);
    let rows = house.sandbox.ledger().into_iter();
    let theirs = rows.filter(|r| r.outcome == Outcome::Accepted && r.phone_number_id == from);
    theirs.filter(|r| leaving.contains(&r.to)).map(|r| r.at_ms).max()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_ends_the_campaign_for_that_person_at_once_here_and_within_two_seconds_elsewhere() {
    // A hundred a second: a campaign takes five seconds, so most people's turn comes after they left.
    let house = House::new(Plan { rate: 100, sessions: 2, ..Plan::default() }).await;
    let here = house.ask(0, PEOPLE).await;
    let elsewhere = crate::house::Ask { senders: vec![house.sessions[1]], ..here.clone() };
    let (here, elsewhere) = (house.launch(here).await, house.launch(elsewhere).await);
    house.totals(here, "the campaign runs", |t| t.sent > 0).await;
    house.totals(elsewhere, "the other campaign runs", |t| t.sent > 0).await;
    for (nth, word) in LEAVING.zip(["STOP", "berhenti"].into_iter().cycle()) {
        let (phone_number_id, from) = (number_id(0), people::digits(nth));
        let order = Inbound { phone_number_id, from, text: Some(word.into()), ..Inbound::default() };
        house.sandbox.inbound(&order).unwrap();
    }
    kabar_tests::wait::so("every STOP is acknowledged", async || {
        let webhooks = house.sandbox.stats().webhooks;
        webhooks.updates - webhooks.pending >= LEAVING.end - LEAVING.start && webhooks.pending < 20
    })
    .await;
    let heard = now_ms();
    let first = house.state(here, CampaignState::Finished).await.totals;
    let second = house.state(elsewhere, CampaignState::Finished).await.totals;
    house.audit(here).await;
    house.audit(elsewhere).await;

    let stopped = |totals: &kabar_engine::part::Totals| totals.causes.get(&Cause::OPTED_OUT).copied();
    assert!(stopped(&first) > Some(100), "the report counts them: {first:?}");
    assert!(stopped(&second) > Some(50), "the report counts them: {second:?}");
    assert_eq!((first.recipients, second.recipients), (PEOPLE, PEOPLE));
    if let Some(last) = last_to_leaving(&house, 0) {
        assert!(last - heard < ON_THE_WIRE_MS, "the same session wrote {} ms after STOP", last - heard);
    }
    if let Some(last) = last_to_leaving(&house, 1) {
        assert!(last - heard < ELSEWHERE_MS, "another session wrote {} ms after STOP", last - heard);
    }
    let refused = house.desk().send(house.draft(PEOPLE - 1, 1)).await;
    assert!(refused.is_err(), "single messages stop as well: {refused:?}");
}

/// What other shards said is remembered for a while: a session that wrote to the person just before must hear of it
/// all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_ends_single_messages_of_another_session_within_two_seconds() {
    let house = House::new(Plan { sessions: 2, ..Plan::default() }).await;
    let from_elsewhere = |key| Draft { session: house.sessions[1], ..house.draft(3, key) };
    house.desk().send(from_elsewhere(1)).await.unwrap();
    let (phone_number_id, from) = (number_id(0), people::digits(3));
    let order = Inbound { phone_number_id, from, text: Some("Stop".into()), ..Inbound::default() };
    house.sandbox.inbound(&order).unwrap();
    house.settled().await;
    let (heard, mut key) = (now_ms(), 1);
    kabar_tests::wait::so("the other session refuses", async || {
        key += 1;
        let sent = house.desk().send(from_elsewhere(key)).await;
        sent == Err(DispatchError::Refused(Refusal::OptedOut))
    })
    .await;
    let after = now_ms() - heard;
    assert!(after < ELSEWHERE_MS, "another session wrote for {after} ms after STOP");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_opted_out_before_the_launch_is_no_recipient() {
    let house = House::new(Plan::default()).await;
    for nth in 0..7 {
        let address = crate::house::person(nth);
        let wish = kabar_engine::optout::Wish::OptOut;
        let told = Told { session: None, address, wish };
        house.desk().consent(house.tenant, told, None).await.unwrap();
    }
    house.node.flush().await;
    let campaign = house.launch(house.ask(0, 50).await).await;
    let view = house.state(campaign, CampaignState::Finished).await;
    assert_eq!((view.audience, view.opted_out, view.totals.recipients), (50, 7, 43));
    assert_eq!(house.audit(campaign).await.sent, 43);
    assert!(!house.sandbox.recipients().contains_key(&people::digits(3)));
}
