//! What WhatsApp weighs over many messages: limits, quality, pacing, prices, lives; and how long webhooks are repeated.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use kabar_sandbox::{Behaviour, Delay, Inbound, Integrity, OverLimit, Sandbox, SandboxConfig, Stats};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::account::{create, news, told};
use crate::harness::{Client, NUMBER, Receiver, sandbox, swift, text, until};

const HOUR_MS: u64 = 3_600 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// 25 September and 1 October 2026, both at noon.
const SEPTEMBER_MS: i64 = 1_790_337_600_000;
const OCTOBER_MS: i64 = 1_790_856_000_000;

fn with(integrity: Integrity) -> Behaviour {
    Behaviour { integrity, ..swift() }
}

fn template(to: &str, name: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": {"name": name, "language": {"code": "en_US"}}})
}

fn wrote(from: &str) -> Inbound {
    Inbound {
        phone_number_id: NUMBER.into(),
        from: from.into(),
        text: Some("Hi".into()),
        ..Inbound::default()
    }
}

/// The code each message of the ledger failed with.
async fn failures(sandbox: &Sandbox) -> Vec<Option<u32>> {
    until(sandbox, Stats::is_settled).await;
    sandbox.ledger().iter().map(|row| row.failed).collect()
}

#[tokio::test]
async fn beyond_the_portfolios_limit_new_users_are_dropped_failed_or_refused_as_chosen() {
    for (over, code, failed) in [
        (OverLimit::Drop, 0, None),
        (OverLimit::SpamRateLimit, 0, Some(131_048)),
        (OverLimit::MessagingLimit, 131_064, None),
    ] {
        let sandbox =
            sandbox(with(Integrity { portfolio_limit: 2, portfolio_over: over, ..Integrity::default() }))
                .await;
        let mut client = Client::to(&sandbox);
        assert_eq!(
            client.get(&format!("/{NUMBER}?fields=whatsapp_business_manager_messaging_limit")).await.json()["whatsapp_business_manager_messaging_limit"],
            "TIER_250"
        );
        sandbox.inbound(&wrote("15550100009")).unwrap();
        for to in ["15550100001", "15550100002", "15550100001", "15550100009"] {
            assert_eq!(
                client.send(&template(to, "news")).await.code(),
                0,
                "two users, one again, one in an open window"
            );
        }
        assert_eq!(client.send(&template("15550100003", "news")).await.code(), code, "{over:?}");
        until(&sandbox, Stats::is_settled).await;
        let last = sandbox.ledger().pop().unwrap();
        assert_eq!((last.failed, last.delivered), (failed, false), "{over:?}");
        assert!(!last.sent || over == OverLimit::SpamRateLimit, "nothing is heard of what was dropped");
        sandbox.advance(DAY_MS);
        assert_eq!(client.send(&template("15550100003", "news")).await.code(), 0);
        until(&sandbox, Stats::is_settled).await;
        assert!(sandbox.ledger().pop().unwrap().delivered, "the limit rolls on");
    }
}

#[tokio::test]
async fn one_user_gets_so_much_marketing_a_day_and_no_more() {
    let sandbox =
        sandbox(with(Integrity { marketing_cap: 2, marketing_to_us_paused: true, ..Integrity::default() }))
            .await;
    let mut client = Client::to(&sandbox);
    for _ in 0..3 {
        client.send(&template("6281234567890", "promo")).await;
    }
    client.send(&template("6281234567890", "order_update")).await;
    client.send(&template("6281234567891", "promo")).await;
    for _ in 0..3 {
        client.send(&template("4915112345678", "promo")).await;
    }
    client.send(&template("15550100001", "promo")).await;
    sandbox.inbound(&wrote("6281234567890")).unwrap();
    client.send(&template("6281234567890", "promo")).await;
    let cap = Some(131_049);
    assert_eq!(
        failures(&sandbox).await,
        [None, None, cap, None, None, None, None, None, cap, None],
        "the fourth is no marketing, Germany is exempt, America paused, the last one stands in a window"
    );
    sandbox.advance(2 * DAY_MS);
    client.send(&template("6281234567890", "promo")).await;
    assert_eq!(failures(&sandbox).await.pop(), Some(None));
}

#[tokio::test]
async fn blocks_turn_a_number_and_a_template_yellow_and_red_and_pause_the_template() {
    let integrity =
        Integrity { quality_sample: 10, quality_yellow: 0.1, quality_red: 0.2, ..Integrity::default() };
    let sandbox = sandbox(Behaviour { review_ms: 0, ..with(integrity) }).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    create(&mut client, "offer", "MARKETING", json!([{"type": "BODY", "text": "Buy our lamps today!"}]))
        .await;
    told(&mut receiver, "message_template_status_update", 1).await;
    let rules: Vec<Value> = (1..=4)
        .map(|n| json!({"when": {"to": format!("1555010000{n}")}, "then": [{"block": true, "after_ms": 50}]}))
        .collect();
    assert_eq!(control.post("/_sim/scripts", &json!({"rules": rules})).await.status, 200);
    for n in 10..20 {
        client.send(&template(&format!("155501000{n}"), "offer")).await;
    }
    until(&sandbox, Stats::is_settled).await;
    for (n, quality) in [(1, "GREEN"), (2, "YELLOW"), (3, "RED")] {
        client.send(&template(&format!("1555010000{n}"), "offer")).await;
        until(&sandbox, Stats::is_settled).await;
        assert_eq!(
            client.get(&format!("/{NUMBER}")).await.json()["quality_rating"],
            quality,
            "after {n} blocks"
        );
    }
    let quality = told(&mut receiver, "message_template_quality_update", 2).await;
    let mut scores: Vec<&str> =
        quality.iter().map(|value| value["new_quality_score"].as_str().unwrap()).collect();
    scores.sort_unstable();
    assert_eq!(scores, ["RED", "YELLOW"]);
    assert_eq!(news(&receiver.posts(), "phone_number_quality_update").len(), 2);
    assert_eq!(client.send(&template("15550100050", "offer")).await.code(), 132_015, "red pauses");
    assert_eq!(sandbox.stats().blocks, 3);
    client.send(&text("15550100001", "blocked")).await;
    until(&sandbox, Stats::is_settled).await;
    let last = sandbox.ledger().pop().unwrap();
    assert!(
        last.sent && !last.delivered && last.failed.is_none(),
        "a phone that blocks gives no sign: {last:?}"
    );
}

#[tokio::test]
async fn held_templates_say_so_and_are_released_or_dropped_later() {
    for (drops, failed) in [(false, None), (true, Some(132_015))] {
        let sandbox =
            sandbox(with(Integrity { hold_rate: 1.0, hold_drops: drops, ..Integrity::default() })).await;
        let mut client = Client::to(&sandbox);
        let heard = client.send(&template("15550100001", "news")).await.json();
        assert_eq!(heard["messages"][0]["message_status"], "held_for_quality_assessment");
        assert_eq!(
            client.send(&text("15550100001", "a")).await.json()["messages"][0].get("message_status"),
            None
        );
        until(&sandbox, |stats| stats.messages.read == 1).await;
        assert!(!sandbox.ledger()[0].sent, "held for an hour");
        sandbox.advance(HOUR_MS);
        until(&sandbox, Stats::is_settled).await;
        let row = &sandbox.ledger()[0];
        assert_eq!((row.failed, row.delivered), (failed, !drops));
    }
}

#[tokio::test]
async fn a_template_that_arrives_after_its_life_does_not_arrive() {
    let sandbox = sandbox(Behaviour { review_ms: 0, delivered_ms: Delay::fixed(700_000), ..swift() }).await;
    let mut client = Client::to(&sandbox);
    let code = json!([{"type": "BODY", "add_security_recommendation": true}, {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE"}]}]);
    create(&mut client, "login", "AUTHENTICATION", code).await;
    create(&mut client, "parcel", "UTILITY", json!([{"type": "BODY", "text": "Your parcel left our shop."}]))
        .await;
    sandbox.advance(1);
    let mut login = template("15550100001", "login");
    login["template"]["components"] =
        json!([{"type": "body", "parameters": [{"type": "text", "text": "123456"}]}]);
    assert_eq!(client.send(&login).await.status, 200);
    assert_eq!(client.send(&template("15550100001", "parcel")).await.status, 200);
    sandbox.advance(HOUR_MS);
    until(&sandbox, Stats::is_settled).await;
    let rows = sandbox.ledger();
    assert!(rows[0].sent && !rows[0].delivered && rows[0].failed.is_none(), "ten minutes: no final status");
    assert!(rows[1].delivered);
}

async fn prices(starts_at_ms: i64, integrity: Integrity) -> (Vec<(String, String)>, Vec<Option<u32>>) {
    let config = SandboxConfig {
        starts_at_ms: Some(starts_at_ms),
        behaviour: with(integrity),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    sandbox.inbound(&wrote("15550100001")).unwrap();
    let entry =
        json!({"type": "text", "text": {"body": "Hi"}, "referral": {"source_type": "ad", "source_id": "1"}});
    sandbox.inbound(&Inbound { text: None, message: Some(entry), ..wrote("15550100002") }).unwrap();
    for (to, message) in [
        ("15550100001", None),
        ("15550100001", None),
        ("15550100001", Some("order")),
        ("15550100003", Some("order")),
        ("15550100001", Some("promo")),
        ("15550100002", Some("promo")),
    ] {
        client.send(&message.map_or_else(|| text(to, "a"), |name| template(to, name))).await;
    }
    let failures = failures(&sandbox).await;
    let sent = receiver.items("statuses").into_iter().filter(|status| status["status"] == "sent");
    let mut found: Vec<_> = sent
        .map(|status| {
            let price = &status["pricing"];
            assert_eq!(price["billable"].as_bool(), Some(price["type"] == "regular"));
            (
                status["id"].to_string(),
                (price["category"].as_str().unwrap().to_owned(), price["type"].as_str().unwrap().to_owned()),
            )
        })
        .collect();
    let order: Vec<String> =
        sandbox.ledger().iter().map(|row| format!("\"{}\"", row.wamid.as_deref().unwrap())).collect();
    found.sort_by_key(|(id, _)| order.iter().position(|other| other == id));
    (found.into_iter().map(|(_, price)| price).collect(), failures)
}

#[tokio::test]
async fn the_price_follows_the_day_the_window_and_the_free_messages() {
    let named = |list: &[(&str, &str)]| {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    let (free, charged, entry) = ("free_customer_service", "regular", "free_entry_point");
    let (september, _) = prices(SEPTEMBER_MS, Integrity::default()).await;
    assert_eq!(
        september,
        named(&[
            ("service", free),
            ("service", free),
            ("utility", free),
            ("utility", charged),
            ("marketing", charged),
            ("marketing", entry)
        ])
    );
    let one_free = Integrity { free_service_messages: 1, ..Integrity::default() };
    let (october, failed) = prices(OCTOBER_MS, one_free.clone()).await;
    assert_eq!(
        october,
        named(&[
            ("service", free),
            ("service", charged),
            ("utility", charged),
            ("utility", charged),
            ("marketing", charged),
            ("marketing", entry)
        ])
    );
    assert_eq!(failed, [None; 6]);
    let (_, failed) = prices(OCTOBER_MS, Integrity { payment_method: false, ..one_free }).await;
    assert_eq!(
        failed,
        [None, Some(131_042), None, None, None, None],
        "who cannot pay has the free ones only"
    );
}

#[tokio::test]
async fn older_webhooks_carry_the_conversation_and_newer_ones_do_not() {
    for (version, carries) in [(23, true), (25, false)] {
        let sandbox = sandbox(with(Integrity { webhook_version: version, ..Integrity::default() })).await;
        let receiver = Receiver::start().await;
        sandbox.set_webhook(&receiver.url).await.unwrap();
        Client::to(&sandbox).send(&template("15550100001", "order")).await;
        until(&sandbox, Stats::is_settled).await;
        let sent = receiver.items("statuses").into_iter().find(|status| status["status"] == "sent").unwrap();
        assert_eq!(sent.get("conversation").is_some(), carries);
        assert!(
            !carries
                || sent["conversation"]["expiration_timestamp"].is_string()
                    && sent["conversation"]["origin"]["type"] == "utility"
        );
    }
}

#[tokio::test]
async fn a_phone_is_set_by_order_and_what_it_thinks_of_marketing_is_told() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    for order in [
        json!({"wa_id": "15550100001", "unreachable": true}),
        json!({"wa_id": "15550100002", "no_read": true}),
        json!({"wa_id": "15550100003", "marketing_stopped": true}),
        json!({"wa_id": "15550100004", "experiment": true}),
        json!({"wa_id": "15550100005", "blocks": NUMBER}),
    ] {
        assert_eq!(control.post("/_sim/phone", &order).await.status, 200, "{order}");
    }
    assert_eq!(control.post("/_sim/phone", &json!({"wa_id": "me"})).await.status, 400);
    for n in 1..=5 {
        client.send(&template(&format!("1555010000{n}"), "promo")).await;
    }
    client.send(&template("15550100003", "order")).await;
    assert_eq!(failures(&sandbox).await, [Some(131_026), None, Some(131_050), Some(130_472), None, None]);
    let rows = sandbox.ledger();
    assert!(rows[1].delivered && !rows[1].read && rows[4].sent && !rows[4].delivered && rows[5].read);
    let stop = &told(&mut receiver, "user_preferences", 1).await[0]["user_preferences"][0];
    assert_eq!(
        (stop["wa_id"].as_str(), stop["value"].as_str(), stop["category"].as_str()),
        (Some("15550100003"), Some("stop"), Some("marketing_messages"))
    );
    assert_eq!(control.get("/_sim/phones").await.json()["phones"].as_array().unwrap().len(), 5);
    sandbox.inbound(&wrote("15550100005")).unwrap();
    client.send(&text("15550100005", "again")).await;
    until(&sandbox, Stats::is_settled).await;
    assert!(sandbox.ledger().pop().unwrap().delivered, "who writes no longer blocks");
}

#[tokio::test]
async fn a_message_for_another_person_than_the_phones_is_refused_and_one_for_nobody_in_particular_is_not() {
    let sandbox = sandbox(swift()).await;
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    let with = |identity: &str| {
        let mut body = template("15550100001", "order");
        body["recipient_identity_key_hash"] = json!(identity);
        body
    };
    assert_eq!(client.send(&with("any")).await.status, 200, "nothing is known of it yet");
    control.post("/_sim/phone", &json!({"wa_id": "15550100001", "identity_key_hash": "this"})).await;
    assert_eq!(client.send(&with("this")).await.status, 200);
    assert_eq!(client.send(&template("15550100001", "order")).await.status, 200);
    assert_eq!(client.send(&with("another")).await.json()["error"]["code"], 137_000);
    control.post("/_sim/phone", &json!({"wa_id": "15550100001", "identity_key_hash": ""})).await;
    assert_eq!(client.send(&with("another")).await.status, 200, "forgotten");
}

#[tokio::test]
async fn a_webhook_is_repeated_for_seven_days_of_the_sandboxs_clock_and_then_given_up() {
    let behaviour = Behaviour { retry_schedule_ms: vec![0, 60_000, HOUR_MS, 6 * HOUR_MS], ..swift() };
    let sandbox = sandbox(behaviour).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    drop(listener);
    let mut control = Client::control(&sandbox);
    control.post("/_sim/webhook", &json!({"url": url, "verify": false})).await;
    sandbox.inbound(&wrote("15550100001")).unwrap();
    let retried = |count: u64| move |stats: &Stats| stats.webhooks.retried == count;
    until(&sandbox, retried(1)).await;
    for (count, wait) in [(2, 60_000), (3, HOUR_MS), (4, 6 * HOUR_MS)] {
        sandbox.advance(wait);
        until(&sandbox, retried(count)).await;
    }
    sandbox.advance(7 * DAY_MS);
    let stats = until(&sandbox, |stats| stats.webhooks.abandoned == 1).await;
    assert_eq!((stats.webhooks.pending, stats.webhooks.acked, stats.webhooks.offered), (0, 0, 1));
}

#[tokio::test]
async fn some_countries_answer_with_another_number_than_was_dialled() {
    let sandbox = sandbox(with(Integrity { rewrite_wa_ids: true, ..Integrity::default() })).await;
    let heard = Client::to(&sandbox).send(&text("525512345678", "a")).await.json();
    assert_eq!(heard["contacts"][0], json!({"input": "525512345678", "wa_id": "5215512345678"}));
    assert_eq!(sandbox.ledger()[0].to, "5215512345678");
}
