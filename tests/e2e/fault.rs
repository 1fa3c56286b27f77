//! Everything that breaks on the way to WhatsApp: what was certainly not taken is tried again, what may have been
//! taken is never sent twice, and a later status tells the truth.

use crate::house::{House, Plan, calm, options};
use kabar_actors::NodeOptions;
use kabar_actors::view::CampaignState;
use kabar_engine::status::Status;
use kabar_sandbox::{Behaviour, Faults, StatusOrder};
use kabar_tests::wait;
use std::time::{Duration, Instant};

const PEOPLE: u64 = 600;
/// How long the provider is away.
const OUTAGE: Duration = Duration::from_secs(4);

fn impatient() -> NodeOptions {
    NodeOptions { call_deadline_ms: 500, ..options() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recipients_end_as_the_ledger_says_whatever_breaks_on_the_way() {
    let faults = Faults {
        rate_429: 0.02,
        rate_500_graph: 0.03,
        rate_bare_502: 0.06,
        accepted_share: 0.5,
        rate_slow: 0.03,
        slow_ms: 1_200,
        rate_drop_after_accept: 0.03,
        rate_reset_before_accept: 0.03,
        ..Faults::default()
    };
    let behaviour = Behaviour { faults, ..calm() };
    let house = House::new(Plan { behaviour, options: impatient(), ..Plan::default() }).await;
    let campaign = house.launch(house.ask(0, PEOPLE).await).await;
    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    let ledger = house.sandbox.stats();
    assert_eq!(totals.sent, ledger.accepted, "what was taken is told, also what nobody answered");
    assert_eq!(totals.sent + totals.failed + totals.unknown, PEOPLE);
    assert!(totals.unknown > 0, "a bare 502 that was not taken stays unknown: {totals:?}");
    assert!(ledger.faults.len() >= 5, "{:?}", ledger.faults);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_status_moves_what_was_unknown() {
    let faults = Faults { rate_drop_after_accept: 1.0, ..Faults::default() };
    let behaviour = Behaviour { statuses: false, faults, ..calm() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let campaign = house.launch(house.ask(0, 10).await).await;
    let single = house.send(50, 1).await;
    let totals = house.state(campaign, CampaignState::Finished).await.totals;
    assert_eq!((totals.unknown, totals.sent), (10, 0), "nobody told");
    let status = async || house.desk().message(house.tenant, single).await.unwrap().unwrap().row.status;
    wait::so("the single message is unknown", async || status().await == Status::Unknown).await;
    for row in house.sandbox.ledger() {
        let order = StatusOrder { wamid: row.wamid, status: "delivered".into(), ..StatusOrder::default() };
        house.sandbox.status(&order).unwrap();
    }
    house.totals(campaign, "the statuses arrive", |t| t.unknown == 0 && t.delivered == 10).await;
    wait::so("the single message is delivered", async || status().await == Status::Delivered).await;
    house.audit(campaign).await;
    assert_eq!(house.sandbox.stats().accepted, 11, "nothing was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_for_a_provider_that_was_away_leaves_within_seconds_of_its_return() {
    let house = House::new(Plan { gated: true, rate: 300, ..Plan::default() }).await;
    let gate = house.gate.as_ref().unwrap();
    let campaign = house.launch(house.ask(0, PEOPLE).await).await;
    house.totals(campaign, "it runs", |t| t.sent >= 100).await;
    gate.shut().await.unwrap();
    house.send(PEOPLE + 1, 1).await;
    let mut outage = tokio::time::interval(OUTAGE);
    outage.tick().await;
    outage.tick().await;
    let before = house.sandbox.stats().accepted;
    gate.unshut();
    let back = Instant::now();
    let totals = house.totals(campaign, "nothing waits", |t| t.waiting == 0).await;
    let took = back.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(totals.failed, 0, "no try cost anybody anything: {totals:?}");
    house.state(campaign, CampaignState::Finished).await;
    let cut = gate.cut();
    let totals = house.audit_excusing(campaign, &|reference| cut.contains(reference)).await;
    assert!(totals.unknown <= cut.len() as u64, "{totals:?}");
    assert!(house.sandbox.stats().accepted >= before + 100, "it was in the middle");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_who_wants_it_has_the_unknown_sent_once_more_and_no_more() {
    let faults = Faults { rate_bare_502: 1.0, accepted_share: 0.0, ..Faults::default() };
    let behaviour = Behaviour { faults, ..calm() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let nouns = &house.node.store().nouns;
    let tenant =
        nouns.get::<kabar_schema::records::Tenant>(house.tenant, house.tenant.0).await.unwrap().unwrap();
    let wish = kabar_schema::records::Tenant { resend_unknown: true, ..tenant.noun };
    nouns.update(&wish, tenant.version).await.unwrap();
    let single = house.send(1, 1).await;
    wait::so("it ends", async || {
        let view = house.desk().message(house.tenant, single).await.unwrap().unwrap();
        view.row.status == Status::Unknown
    })
    .await;
    assert_eq!(house.sandbox.stats().lost, 2, "once, and once more");
}
