//! Time: starts, hours and recurrences on a virtual clock, with the sandbox answering in its own.

use crate::house::{Ask, House, Plan, person};
use kabar_actors::view::{CampaignState, Wait, WaitReason};
use kabar_engine::address::Address;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId};
use kabar_engine::schedule::{Hours, Recurrence, zone_of};
use kabar_engine::time::{DAY_MS, HOUR_MS, MARK_STEP_MS, Timestamp};
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::{Campaign, Timing};
use kabar_schema::store::Store;
use std::collections::BTreeMap;

/// Numbers of four countries, and their zones.
const PLACES: [(&str, &str); 4] = [
    ("1212555", "America/New_York"),
    ("6281234", "Asia/Jakarta"),
    ("4477009", "Europe/London"),
    ("6141234", "Australia/Sydney"),
];
/// People in each.
const EACH: u64 = 3;
const LIST: ImportId = ImportId(4);

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).unwrap()
}

async fn house_at(begins: &str) -> House {
    House::new(Plan { begins: Some(at(begins)), ..Plan::default() }).await
}

async fn people_everywhere(house: &House) {
    let rows = PLACES.iter().flat_map(|(digits, _)| {
        (0..EACH).map(move |nth| {
            let input = format!("{digits}{nth:04}");
            let address = Address::phone_digits(&input).unwrap();
            ContactDraft { address, input, name: None, zone: None, fields: BTreeMap::new() }
        })
    });
    let contacts = &house.node.store().contacts;
    contacts.upsert(house.tenant, Some(LIST), rows.collect(), house.now()).await.unwrap();
}

async fn campaign_in(house: &House, hours: serde_json::Value) -> CampaignId {
    people_everywhere(house).await;
    let hours: Hours = serde_json::from_value(hours).unwrap();
    hours.validate().unwrap();
    let (senders, purpose) = (house.sessions.clone(), Purpose::default());
    let ask = Ask { list: LIST, senders, valid_for_ms: 5 * DAY_MS, purpose };
    let timing = Timing { start_at: None, valid_for_ms: ask.valid_for_ms, hours, recurrence: None };
    house.launch_at(ask, timing).await
}

/// Follows what the campaign says it waits for, wait by wait, and holds it to it: nothing goes a second before, all
/// that waited goes then. Gives where and when each went.
async fn walk(house: &House, campaign: CampaignId) -> BTreeMap<String, Timestamp> {
    loop {
        let all = EACH * PLACES.len() as u64;
        // Either all has gone, or all that is left says until when.
        let told =
            |waits: &[Wait]| waits.iter().filter(|w| w.until.is_some()).map(|w| w.recipients).sum::<u64>();
        let view = kabar_tests::wait::until("the campaign waits or has ended", async || {
            let view = house.desk().campaign(house.tenant, campaign).await.ok()??;
            let quiet = view.totals.on_wire == 0 && view.totals.recipients == all;
            (quiet && view.totals.waiting == told(&view.waits)).then_some(view)
        })
        .await;
        house.settled().await;
        let Some(next) = view.waits.first() else { break };
        let (until, waiting) = (next.until.unwrap(), view.totals.waiting);
        assert_eq!(waits_of_messages(house, campaign).await, waiting, "each message says what it waits for");
        house.jump_to(until.plus_ms(-1_000)).await;
        let before = house.view(campaign).await;
        assert_eq!(before.totals.waiting, waiting, "nothing goes before {}", until.to_rfc3339());
        house.jump_to(until).await;
        let gone = next.recipients;
        house.totals(campaign, "those who waited have gone", |t| t.waiting == waiting - gone).await;
    }
    house.state(campaign, CampaignState::Finished).await;
    let recipients = house.desk().recipients(house.tenant, campaign).await.unwrap().unwrap();
    let mut sent = BTreeMap::new();
    for standing in recipients.some(0, 0, 1_000, |_| true).await.unwrap() {
        let zone = zone_of(&standing.recipient.address, None).name.into_owned();
        let step = standing.mark.sent().begin(standing.launched).unwrap();
        let first: &mut Timestamp = sent.entry(zone).or_insert(step);
        // Two that go in one second may fall in two steps.
        assert!(first.since_ms(step).abs() <= MARK_STEP_MS, "all of one place go at once");
    }
    sent
}

/// How many of the campaign's messages say a reason and an end.
async fn waits_of_messages(house: &House, campaign: CampaignId) -> u64 {
    let recipients = house.desk().recipients(house.tenant, campaign).await.unwrap().unwrap();
    let mut told = 0;
    for standing in recipients.some(0, 0, 1_000, |mark| mark.waits()).await.unwrap() {
        let message = house.desk().message(house.tenant, standing.message.unwrap()).await.unwrap().unwrap();
        let wait = message.wait.expect("it waits");
        let hours = [WaitReason::Blackout, WaitReason::QuietHours, WaitReason::SendWindow];
        told +=
            u64::from(hours.contains(&wait.reason) && wait.until.is_some_and(|until| until > house.now()));
    }
    told
}

fn assert_sent(sent: &BTreeMap<String, Timestamp>, expected: [(&str, &str); 4]) {
    for (zone, moment) in expected {
        let late = sent[zone].since_ms(at(moment));
        // Marks are whole steps of sixteen seconds.
        assert!((-MARK_STEP_MS..=MARK_STEP_MS).contains(&late), "{zone}: {}", sent[zone].to_rfc3339());
    }
}

#[tokio::test]
async fn a_campaign_arrives_in_its_window_in_four_zones_over_a_clock_change() {
    // Saturday evening in New York, the night its clocks go forward.
    let house = house_at("2027-03-13T22:30:00Z").await;
    let week = [true; 7];
    let hours = serde_json::json!({"send_window": {"from_minute": 540, "until_minute": 1020, "days": week}});
    let campaign = campaign_in(&house, hours).await;
    let sent = walk(&house, campaign).await;
    assert_sent(
        &sent,
        [
            ("Australia/Sydney", "2027-03-13T22:30:00Z"),
            ("Asia/Jakarta", "2027-03-14T02:00:00Z"),
            ("Europe/London", "2027-03-14T09:00:00Z"),
            // Nine o'clock there, an hour earlier than the day before.
            ("America/New_York", "2027-03-14T13:00:00Z"),
        ],
    );
    house.audit(campaign).await;
}

#[tokio::test]
async fn a_blackout_day_ends_at_midnight_of_each_zone_also_on_a_day_of_23_hours_and_then_it_is_quiet() {
    let house = house_at("2027-03-14T05:30:00Z").await;
    let hours = serde_json::json!({"blackout": ["2027-03-14"], "quiet_hours": {"from_minute": 1380, "until_minute": 30}});
    let campaign = campaign_in(&house, hours).await;
    let first = kabar_tests::wait::until("it says why", async || {
        house.desk().campaign(house.tenant, campaign).await.ok()??.waits.first().copied()
    })
    .await;
    assert_eq!(first.reason, WaitReason::Blackout);
    let sent = walk(&house, campaign).await;
    assert_sent(
        &sent,
        [
            ("Australia/Sydney", "2027-03-14T13:30:00Z"),
            ("Asia/Jakarta", "2027-03-14T17:30:00Z"),
            ("Europe/London", "2027-03-15T00:30:00Z"),
            ("America/New_York", "2027-03-15T04:30:00Z"),
        ],
    );
    house.audit(campaign).await;
}

#[tokio::test]
async fn a_campaign_waits_for_its_start_over_a_restart_and_says_so() {
    let store = Store::memory();
    let begins = at("2026-12-01T00:00:00Z");
    let mut house = House::on(store.clone(), Plan { begins: Some(begins), ..Plan::default() }).await;
    let start = begins.plus_ms(3 * DAY_MS);
    let ask = house.ask(0, 5).await;
    let hours = Hours::default();
    let timing = Timing { start_at: Some(start), valid_for_ms: HOUR_MS, hours, recurrence: None };
    let campaign = house.launch_at(ask, timing).await;
    let view = house.state(campaign, CampaignState::Scheduled).await;
    assert_eq!(view.waits, [Wait { reason: WaitReason::Start, until: Some(start), recipients: 0 }]);
    house.restart(async || store.clone()).await;
    house.jump_to(start.plus_ms(-1_000)).await;
    assert_eq!(house.view(campaign).await.state, CampaignState::Scheduled);
    house.jump_to(start).await;
    let view = house.state(campaign, CampaignState::Finished).await;
    assert_eq!((view.totals.sent, view.totals.expired, view.begins), (5, 0, start));
    house.audit(campaign).await;
}

#[tokio::test]
async fn each_time_of_a_recurring_campaign_is_a_campaign_of_its_own_made_once() {
    let store = Store::memory();
    let start = at("2026-12-01T02:00:00Z");
    let begins = start.plus_ms(-HOUR_MS);
    let mut house = House::on(store.clone(), Plan { begins: Some(begins), ..Plan::default() }).await;
    let ask = house.ask(0, 4).await;
    let rule = Recurrence { rule: "FREQ=DAILY;COUNT=3".into(), zone: "Asia/Jakarta".into() };
    let hours = Hours::default();
    let timing = Timing { start_at: Some(start), valid_for_ms: HOUR_MS, hours, recurrence: Some(rule) };
    let series = house.launch_at(ask, timing).await;
    for day in 0..3 {
        let view = house.state(series, CampaignState::Scheduled).await;
        let next = start.plus_ms(day * DAY_MS);
        assert_eq!(view.waits, [Wait { reason: WaitReason::Recurrence, until: Some(next), recipients: 0 }]);
        house.jump_to(next).await;
        let made = kabar_tests::wait::until("its time is made", async || {
            let made = of(&house, series).await;
            (made.len() == usize::try_from(day).unwrap() + 1).then_some(made)
        })
        .await;
        let newest = made.iter().find(|c| c.timing.start_at == Some(next)).unwrap();
        let done = house.state(newest.id, CampaignState::Finished).await;
        assert_eq!(done.totals.sent, 4);
        house.settled().await;
        // A new life meets the time that was made, within its validity.
        house.restart(async || store.clone()).await;
    }
    house.state(series, CampaignState::Finished).await;
    assert_eq!((of(&house, series).await.len(), house.sandbox.stats().accepted), (3, 12));
    assert!(house.sandbox.ledger().len() >= 12 && person(0).is_phone());
}

async fn of(house: &House, series: CampaignId) -> Vec<Campaign> {
    let origin = series.to_string();
    let index = Some((Campaign::ORIGIN, origin.as_str()));
    let found = house.node.store().nouns.page::<Campaign>(house.tenant, index, None, 10).await.unwrap();
    found.into_iter().map(|found| found.noun).collect()
}
