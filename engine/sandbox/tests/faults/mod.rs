//! What breaks on the way, who is magic, and that a seed decides all of it.

use std::collections::BTreeMap;

use kabar_sandbox::{Behaviour, Delay, FaultKind, Faults, LedgerRow, Outcome, Sandbox};
use serde_json::Value;

use crate::harness::{Client, Receiver, items, sandbox, seeded, swift, text, until};

fn broken(faults: Faults) -> Behaviour {
    Behaviour { faults, ..swift() }
}

#[tokio::test]
async fn a_bare_502_is_accepted_or_not_by_the_seeded_coin_and_the_ledger_tells() {
    let faults = Faults { rate_bare_502: 1.0, accepted_share: 0.5, ..Faults::default() };
    let sandbox = sandbox(broken(faults)).await;
    let mut client = Client::to(&sandbox);
    for n in 0..200 {
        let heard = client.send(&text(&format!("6281200{n:04}"), &n.to_string())).await;
        assert_eq!(heard.status, 502);
        assert_eq!(heard.json(), Value::Null, "no Graph body");
    }
    let rows = sandbox.ledger();
    let accepted = rows.iter().filter(|row| row.outcome == Outcome::Accepted).count();
    assert!((70..=130).contains(&accepted), "{accepted}");
    assert!(rows.iter().all(|row| row.fault == Some(FaultKind::Bare502)));
    assert!(rows.iter().all(|row| row.wamid.is_some() == (row.outcome == Outcome::Accepted)));
    let stats = until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    assert_eq!((stats.accepted, stats.lost), (accepted as u64, 200 - accepted as u64));
    assert_eq!(stats.messages.read, stats.accepted, "behind a 502 the phone rings all the same");
    assert_eq!(stats.faults[&FaultKind::Bare502], 200);
}

#[tokio::test]
async fn a_dropped_connection_was_accepted_and_a_reset_one_was_not() {
    let drops = Faults { rate_drop_after_accept: 1.0, ..Faults::default() };
    let sandbox = sandbox(broken(drops)).await;
    let mut client = Client::to(&sandbox);
    let broken_off = client.try_send(&text("15550100001", "a")).await.unwrap_err();
    assert!(broken_off.is_incomplete_message(), "{broken_off:?}");

    let resets = Faults { rate_reset_before_accept: 1.0, ..Faults::default() };
    sandbox.set_behaviour(broken(resets)).unwrap();
    let reset = client.try_send(&text("15550100001", "b")).await.unwrap_err();
    let cause = std::error::Error::source(&reset).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::ConnectionReset), "{reset:?}");

    let rows = sandbox.ledger();
    assert_eq!((rows[0].outcome, rows[0].fault), (Outcome::Accepted, Some(FaultKind::DroppedAfterAccept)));
    assert_eq!((rows[1].outcome, rows[1].fault), (Outcome::Lost, Some(FaultKind::ResetBeforeAccept)));
    sandbox.set_behaviour(swift()).unwrap();
    assert_eq!(client.send(&text("15550100001", "a")).await.status, 200);
    assert_eq!(sandbox.stats().repeated, 1, "who resends what was accepted is seen");
}

#[tokio::test]
async fn refusals_and_server_errors_are_not_accepted_and_slow_answers_are() {
    let sandbox = sandbox(broken(Faults { rate_429: 1.0, ..Faults::default() })).await;
    let mut client = Client::to(&sandbox);
    let heard = client.send(&text("15550100001", "a")).await;
    assert_eq!((heard.status, heard.code()), (429, 130_429));
    sandbox.set_behaviour(broken(Faults { rate_500_graph: 1.0, ..Faults::default() })).unwrap();
    let heard = client.send(&text("15550100001", "b")).await;
    assert_eq!((heard.status, heard.code()), (500, 131_016));
    sandbox.set_behaviour(Behaviour { fail_in_answer: 1.0, ..swift() }).unwrap();
    let heard = client.send(&text("15550100001", "c")).await;
    assert!(heard.status == 400 && [131_026, 131_009].contains(&heard.code()), "{heard:?}");
    assert_eq!(sandbox.stats().accepted, 0);

    sandbox.set_behaviour(broken(Faults { rate_slow: 1.0, slow_ms: 50, ..Faults::default() })).unwrap();
    let asked = std::time::Instant::now();
    assert_eq!(client.send(&text("15550100001", "d")).await.status, 200);
    assert!(asked.elapsed().as_millis() >= 50);
    let stats = sandbox.stats();
    assert_eq!(stats.accepted, 1);
    assert_eq!(stats.faults.values().copied().collect::<Vec<_>>(), [1, 1, 1, 1]);
}

#[tokio::test]
async fn magic_numbers_do_what_they_say() {
    let sandbox = sandbox(swift()).await;
    let receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    assert_eq!(client.send(&text("9995130429", "throttled")).await.code(), 130_429);
    assert_eq!(client.send(&text("9995131056", "paced")).await.code(), 131_056);
    for to in [
        "9995131026",
        "9995131049",
        "99955550000",
        "99955550001",
        "99955550002",
        "99955550003",
        "99955550004",
    ] {
        assert_eq!(client.send(&text(to, to)).await.status, 200);
    }
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    let rows: BTreeMap<String, LedgerRow> =
        sandbox.ledger().into_iter().map(|row| (row.to.clone(), row)).collect();
    assert_eq!(rows["9995131026"].failed, Some(131_026));
    assert_eq!(rows["9995131049"].failed, Some(131_049));
    assert!(rows["99955550000"].sent && !rows["99955550000"].delivered);
    assert!(rows["99955550001"].delivered && !rows["99955550001"].read);
    let said = |to: &str| {
        let messages = receiver.items("messages");
        let own = messages.iter().find(|message| message["from"] == to).cloned();
        own.map(|message| message["text"]["body"].as_str().unwrap().to_owned())
    };
    assert_eq!(said("99955550002").as_deref(), Some("STOP"));
    assert_eq!(said("99955550003").as_deref(), Some("BERHENTI"));
    assert_eq!(said("99955550004").as_deref(), Some("Halo"));
    assert_eq!(said("99955550001"), None);
    let statuses = receiver.items("statuses");
    let failed =
        statuses.iter().find(|s| s["recipient_id"] == "9995131049" && s["status"] == "failed").unwrap();
    assert_eq!(failed["errors"][0]["code"], 131_049);
    assert!(failed["errors"][0]["error_data"]["details"].is_string() && failed.get("pricing").is_none());
}

/// Everything that may go wrong, at rates that make it likely.
fn wild() -> Behaviour {
    Behaviour {
        undeliverable: 0.1,
        fail_in_answer: 0.1,
        missing_delivered: 0.2,
        no_read: 0.2,
        read_rate: 0.7,
        out_of_order: 0.3,
        duplicate: 0.3,
        status_before_answer: 0.1,
        reply_rate: 0.3,
        stop_rate: 0.5,
        delivered_ms: Delay::spread(2, 10, 20),
        faults: Faults {
            rate_429: 0.05,
            rate_500_graph: 0.05,
            rate_bare_502: 0.05,
            rate_drop_after_accept: 0.05,
            rate_reset_before_accept: 0.05,
            ..Faults::default()
        },
        ..swift()
    }
}

type Fate = (Option<String>, Outcome, Option<FaultKind>, Option<u32>, [bool; 4], Option<u32>);

async fn fates(sandbox: &Sandbox, callers: usize) -> (BTreeMap<String, Fate>, kabar_sandbox::Stats) {
    let tasks = (0..callers).map(|caller| {
        let mut client = Client::to(sandbox);
        tokio::spawn(async move {
            for n in (0..300).filter(|n| n % callers == caller) {
                // a cut connection is part of the fate, not of the test
                let _ = client.try_send(&text(&format!("628120{n:04}"), &n.to_string())).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no caller panics");
    }
    let stats = until(sandbox, kabar_sandbox::Stats::is_settled).await;
    let fate = |row: LedgerRow| {
        let marks = [row.sent, row.delivered, row.read, row.replied];
        (row.to, (row.wamid, row.outcome, row.fault, row.code, marks, row.failed))
    };
    (sandbox.ledger().into_iter().map(fate).collect(), stats)
}

#[tokio::test]
async fn the_same_seed_is_the_same_fate_however_requests_interleave_and_another_seed_is_not() {
    let (one, two, other) = (seeded(7, wild()).await, seeded(7, wild()).await, seeded(8, wild()).await);
    let ((first, stats), (second, _)) = (fates(&one, 1).await, fates(&two, 6).await);
    assert_eq!(first.len(), 300);
    assert_eq!(first, second);
    assert_ne!(first, fates(&other, 1).await.0);
    for kind in ["sent", "delivered", "read", "failed"] {
        assert!(stats.statuses[kind] > 0);
    }
    assert!(stats.replies > 0 && stats.faults.len() == 6, "{stats:?}");
}

#[tokio::test]
async fn statuses_come_twice_and_swapped_when_told_to() {
    let behaviour = Behaviour { duplicate: 1.0, out_of_order: 1.0, webhook_concurrency: 1, ..swift() };
    let sandbox = sandbox(behaviour).await;
    let receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    Client::to(&sandbox).send(&text("15550100001", "a")).await;
    let stats = until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    assert_eq!(stats.statuses.values().sum::<u64>(), 6);
    assert_eq!((stats.messages.sent, stats.messages.delivered, stats.messages.read), (1, 1, 1));
    let names: Vec<String> =
        items(&receiver.posts(), "statuses").iter().map(|status| status["status"].to_string()).collect();
    assert_eq!(names.len(), 6);
    assert_ne!(names[..3], ["\"sent\"", "\"delivered\"", "\"read\""]);
}

#[tokio::test]
async fn a_status_may_come_before_the_sends_own_answer() {
    let sandbox = sandbox(Behaviour { status_before_answer: 1.0, ..swift() }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    let body = text("15550100001", "a");
    let sending = client.send(&body);
    tokio::pin!(sending);
    tokio::select! {
        heard = &mut sending => panic!("answered first: {heard:?}"),
        posts = receiver.until(|posts| !posts.is_empty()) => {
            assert_eq!(items(&posts, "statuses")[0]["status"], "sent");
        }
    }
    assert_eq!(sending.await.status, 200);
}

#[tokio::test]
async fn outside_the_window_only_templates_arrive() {
    let sandbox = sandbox(Behaviour { enforce_window: true, ..swift() }).await;
    let mut client = Client::to(&sandbox);
    client.send(&text("15550100001", "cold")).await;
    let order = kabar_sandbox::Inbound {
        phone_number_id: crate::harness::NUMBER.into(),
        from: "15550100001".into(),
        text: Some("Hi".into()),
        ..Default::default()
    };
    sandbox.inbound(&order).unwrap();
    client.send(&text("15550100001", "warm")).await;
    sandbox.advance(24 * 3_600 * 1_000);
    client.send(&text("15550100001", "cold again")).await;
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    let failed: Vec<_> = sandbox.ledger().into_iter().map(|row| row.failed).collect();
    assert_eq!(failed, [Some(131_047), None, Some(131_047)]);
}
