//! Statuses as they come in the field: before the answer, twice, in the wrong order, with steps missing, and
//! failures that come later. The totals are the ledger's all the same.

use crate::house::{House, Plan, calm};
use kabar_actors::view::CampaignState;
use kabar_engine::cause::Cause;
use kabar_sandbox::{Behaviour, Delay};

const PEOPLE: u64 = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_that_overtake_repeat_and_swap_come_to_the_ledgers_totals() {
    let behaviour = Behaviour {
        undeliverable: 0.1,
        missing_delivered: 0.2,
        no_read: 0.2,
        read_rate: 0.7,
        out_of_order: 0.5,
        duplicate: 0.5,
        status_before_answer: 0.5,
        reply_rate: 0.1,
        reply_delay: Delay::fixed(20),
        webhook_batch_max: 7,
        ..calm()
    };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let campaign = house.launch(house.ask(0, PEOPLE).await).await;
    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    let ledger = house.sandbox.stats();
    assert_eq!(totals.failed, ledger.messages.failed);
    assert_eq!(totals.causes.get(&Cause(131_026)), ledger.failed.get(&131_026));
    assert_eq!(totals.sent, PEOPLE - totals.failed);
    assert_eq!(totals.replied, ledger.messages.replied);
    assert_eq!(totals.read, ledger.messages.read);
    // WhatsApp says the price with the delivery or, where that never comes, with the reading; some come twice.
    assert_eq!(totals.charged.values().sum::<u64>(), totals.delivered, "{:?}", totals.charged);
    assert!(totals.failed > 0 && totals.replied > 0 && totals.read < totals.sent, "{totals:?}");
    let statuses: u64 = ledger.statuses.values().sum();
    assert!(
        statuses > ledger.messages.sent + ledger.messages.delivered + ledger.messages.read,
        "some came twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_in_the_answer_are_failures_with_the_providers_code() {
    let behaviour = Behaviour { fail_in_answer: 0.2, fail_in_answer_codes: vec![131_026, 131_009], ..calm() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let campaign = house.launch(house.ask(0, 500).await).await;
    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    let ledger = house.sandbox.stats();
    for code in [131_026, 131_009] {
        assert_eq!(totals.causes.get(&Cause(code)), ledger.rejected.get(&code), "{code}");
    }
    assert_eq!(totals.sent, ledger.accepted);
    assert!(totals.failed > 50, "{totals:?}");
}

/// A message and its answer, each once, in one history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_joins_the_campaigns_message_in_the_history_once() {
    let behaviour = Behaviour { reply_rate: 1.0, duplicate: 1.0, reply_delay: Delay::fixed(5), ..calm() };
    let house = House::new(Plan { behaviour, ..Plan::default() }).await;
    let campaign = house.launch(house.ask(0, 20).await).await;
    house.state(campaign, CampaignState::Finished).await;
    let totals = house.audit(campaign).await;
    assert_eq!(totals.replied, 20);
    let whom = (house.tenant, house.sessions[0]);
    let address = crate::house::person(3);
    let history = house.desk().conversation_history(whom, &address, None, 10).await.unwrap();
    let statuses: Vec<_> = history.iter().map(|m| m.row.status).collect();
    use kabar_engine::status::Status::{Read, Received};
    assert_eq!(statuses, [Received, Read], "newest first");
    assert_eq!(history[1].row.campaign.map(|(id, _)| id), Some(campaign));
    assert!(history[1].row.content.is_some(), "the campaign's message is rendered");
}
