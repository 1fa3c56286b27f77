//! Why, over time: hours on a virtual clock, what is no longer kept, and a message whose reading came long after.

use crate::house::{Ask, House, Plan, calm};
use futures::StreamExt;
use kabar_actors::dispatcher::{Explanation, Missing};
use kabar_engine::id::MessageId;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::schedule::Hours;
use kabar_engine::status::Status;
use kabar_engine::time::{DAY_MS, HOUR_MS, Timestamp};
use kabar_engine::why::{Reason, Source, Step};
use kabar_sandbox::{Behaviour, Delay};
use kabar_schema::records::Timing;
use kabar_tests::wait;

async fn why(house: &House, id: MessageId) -> Explanation {
    house.desk().why(house.tenant, id).await.unwrap().unwrap()
}

async fn until(house: &House, id: MessageId, status: Status) {
    wait::until("the message has its status", async || {
        let view = house.desk().message(house.tenant, id).await.ok()??;
        (view.row.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_recipient_that_waited_for_the_end_of_quiet_hours_tells_them_to_the_minute() {
    let begins = Timestamp::from_rfc3339("2026-11-30T15:00:00Z").unwrap();
    let house = House::new(Plan { begins: Some(begins), ..Plan::default() }).await;
    let ask = house.ask(0, 4).await;
    // In Jakarta it is ten in the evening.
    let hours: Hours = serde_json::from_value(
        serde_json::json!({"quiet_hours": {"from_minute": 1260, "until_minute": 360}}),
    )
    .unwrap();
    let timing = Timing { start_at: None, valid_for_ms: 2 * DAY_MS, hours, recurrence: None };
    let campaign = house.launch_at(Ask { valid_for_ms: 2 * DAY_MS, ..ask }, timing).await;
    house.totals(campaign, "all wait", |t| t.waiting == 4).await;
    house.settled().await;
    let morning = Timestamp::from_rfc3339("2026-11-30T23:00:00Z").unwrap();
    house.jump_to(morning).await;
    house.totals(campaign, "all have gone", |t| t.sent == 4).await;
    let people = house.desk().recipients(house.tenant, campaign).await.unwrap().unwrap();
    for person in people.some(0, 0, 10, |_| true).await.unwrap() {
        let told = why(&house, person.message.unwrap()).await;
        assert_eq!(told.missing, None, "{told:#?}");
        let wait = told
            .lines
            .iter()
            .find(|line| matches!(line.step, Step::Waited { reason: Reason::QuietHours, .. }));
        let wait = wait.unwrap_or_else(|| panic!("{told:#?}"));
        let Step::Waited { until, .. } = wait.step else { unreachable!() };
        assert!((until, wait.at.since_ms(begins)) >= (morning, 0) && until == morning, "{told:#?}");
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_told_as_far_as_the_message_remembers_it_and_said_to_be_missing() {
    let house = House::new(Plan::default()).await;
    let id = house.send(1, 1).await;
    until(&house, id, Status::Read).await;
    let whole = why(&house, id).await;
    assert_eq!(whole.missing, None, "{whole:#?}");
    house.node.flush().await;
    let journal = &house.node.store().journal;
    let shard = id.shard();
    let mark =
        house.node.store().views.marks().await.unwrap().into_iter().find(|m| m.shard == shard).unwrap();
    let later = house.now().plus_ms(HOUR_MS);
    assert!(journal.retire(&[(shard, mark.position)], later).await.unwrap() > 0);
    let told = why(&house, id).await;
    assert_eq!(told.missing, Some(Missing::Retention), "{told:#?}");
    assert!(told.lines.iter().all(|line| line.source == Source::Message), "{told:#?}");
    assert!(matches!(told.lines[0].step, Step::Accepted { by: None, .. }), "{told:#?}");
    let statuses: Vec<_> = told
        .lines
        .iter()
        .filter_map(|line| match line.step {
            Step::Status { status, .. } => Some(status),
            _ => None,
        })
        .collect();
    assert_eq!(statuses, [Status::Sent, Status::Delivered, Status::Read], "{told:#?}");
}

#[tokio::test]
async fn a_reading_long_after_is_found_without_reading_what_lies_between() {
    let behaviour = Behaviour { read_ms: Delay::fixed(8_000), ..calm() };
    let house = House::new(Plan { behaviour, rate: 4_000, ..Plan::default() }).await;
    let id = house.send(1, 1).await;
    until(&house, id, Status::Delivered).await;
    // Much else happens in the same shard meanwhile: more than is read whole.
    let tomorrow = house.now().plus_ms(DAY_MS);
    let others = (2..12_002_u64).map(|nth| {
        let draft =
            Draft { due: tomorrow, valid_until: tomorrow.plus_ms(1), ..house.draft(nth, u128::from(nth)) };
        let desk = house.desk();
        async move { desk.send(draft).await.unwrap() }
    });
    let sent: Vec<_> = futures::stream::iter(others).buffer_unordered(64).collect().await;
    assert_eq!(sent.len(), 12_000);
    until(&house, id, Status::Read).await;
    let told = why(&house, id).await;
    assert!(told.row.upto.0 > 12_000 && told.missing.is_none(), "{told:#?}");
    let last = told.lines.last().unwrap();
    assert!(matches!(last.step, Step::Status { status: Status::Read, .. }) && last.source == Source::Journal);
    // One that still waits has read them all and tells what for.
    let waits = why(&house, sent[0].message).await;
    let last = waits.lines.last().unwrap();
    let until = Some(tomorrow);
    assert_eq!((waits.missing, &last.step), (None, &Step::Waiting { reason: Reason::Start, until }));
}
