//! Webhook subscriptions: what happens is brought, signed, in the order of each conversation, again when it failed, and
//! to nobody's cost but the subscriber's.

use super::house::{House, OPERATOR, Tenant, template};
use super::package::installed;
use super::receiver::{Call, Receiver};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use kabar_schema::store::Store;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tokio::process::Command;

async fn house() -> House {
    on(Store::memory()).await
}

async fn on(store: Store) -> House {
    House::on(store, |config| config.outbound.allow_networks = "127.0.0.0/8".parse().unwrap()).await
}

fn tomorrow() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    Timestamp(i64::try_from(now).unwrap() + 86_400_000).to_rfc3339()
}

async fn send_to(tenant: &Tenant<'_>, session: &str, to: &str) -> String {
    let mut later = template(session, to);
    later["options"] = json!({"send_at": tomorrow(), "valid_for_seconds": 600});
    tenant.call("POST /v1/messages", later).await.id()
}

async fn subscribe(tenant: &Tenant<'_>, receiver: &Receiver, more: Value) -> (String, String) {
    let mut wanted = json!({"url": receiver.url()});
    wanted.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = tenant.call("POST /v1/webhooks", wanted).await;
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    (made.id(), secret)
}

fn word<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap()
}

/// The events that were taken, in their order, each once.
fn taken(calls: &[Call]) -> Vec<Value> {
    let good = calls.iter().filter(|call| call.status == 200);
    good.map(Call::event).collect()
}

#[tokio::test]
async fn an_endpoint_that_answers_500_three_times_and_then_200_gets_every_event_in_order() {
    let house = house().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let receiver = Receiver::open(|_, before| if before.len() < 3 { 500 } else { 200 }).await;
    let (webhook, _) = subscribe(&tenant, &receiver, json!({"sessions": [session]})).await;
    let people = ["6281234567890", "6281234567891", "6281234567892"];
    for turn in 0..30 {
        send_to(&tenant, &session, people[turn % 3]).await;
    }
    // 30 messages and 3 conversations that were opened.
    let calls = receiver.until(|calls| taken(calls).len() >= 33).await;
    let listed = tenant.get("/v1/events?limit=200").await.json()["data"].clone();
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let lane = |event: &Value| word(&event["data"], "conversation").to_owned();
    for event in listed.as_array().unwrap() {
        expected.entry(lane(event)).or_default().push(word(event, "id").to_owned());
    }
    let mut brought: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in taken(&calls) {
        brought.entry(lane(&event)).or_default().push(word(&event, "id").to_owned());
    }
    assert_eq!((brought.len(), brought), (3, expected));
    // The log tells it: three refusals, each tried again under the same name, and one success of every event.
    let path = format!("/v1/webhooks/{webhook}/deliveries?limit=200");
    let log = tenant.until(&path, |page| page["data"].as_array().unwrap().len() == 36).await;
    let lines = log["data"].as_array().unwrap();
    let of =
        |outcome: &str| -> Vec<&Value> { lines.iter().filter(|line| line["outcome"] == outcome).collect() };
    let (refused, good) = (of("again"), of("delivered"));
    assert_eq!((refused.len(), good.len()), (3, 33));
    for line in &refused {
        assert_eq!((line["status"].as_u64(), line["next_attempt"].is_string()), (Some(500), true), "{line}");
        let tries = calls.iter().filter(|call| call.id == word(line, "event")).count();
        let attempts = lines.iter().filter(|other| other["event"] == line["event"]);
        let numbers: BTreeSet<_> = attempts.map(|other| other["attempt"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=tries as u64).collect());
    }
    assert!(good.iter().all(|line| line["status"] == 200 && line["took_ms"].is_u64()));
    house.running.shutdown().await;
    receiver.stop();
}

#[tokio::test]
async fn a_subscription_gets_what_it_asked_for_and_nobody_elses() {
    let house = house().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let sessions =
        [tenant.idle_session("106000000000001").await, tenant.idle_session("106000000000002").await];
    let strange = other.idle_session("106000000000003").await;
    let before = send_to(&tenant, &sessions[0], "6281234567890").await;
    let receiver = Receiver::open(|_, _| 200).await;
    let all = Receiver::open(|_, _| 204).await;
    let wanted = json!({"types": ["message.accepted"], "sessions": [sessions[0]]});
    let (webhook, _) = subscribe(&tenant, &receiver, wanted).await;
    subscribe(&tenant, &all, json!({})).await;
    send_to(&other, &strange, "6281234567890").await;
    let mut sent = Vec::new();
    for turn in 0..6 {
        sent.push(send_to(&tenant, &sessions[turn % 2], "6281234567891").await);
    }
    let calls = all.until(|calls| calls.len() >= 8).await;
    assert!(calls.iter().all(|call| call.event()["tenant"] == tenant.id.as_str()));
    let calls = receiver.until(|calls| calls.len() >= 3).await;
    let seen: Vec<_> = calls.iter().map(|call| word(&call.event()["data"], "message").to_owned()).collect();
    assert_eq!(seen, [&sent[0], &sent[2], &sent[4]].map(Clone::clone), "and not {before}");
    for call in &calls {
        let event = call.event();
        assert_eq!((call.id.as_str(), &event["type"]), (word(&event, "id"), &json!("message.accepted")));
        let listed = tenant.get("/v1/events?types=message.accepted&limit=200").await.json();
        assert!(listed["data"].as_array().unwrap().contains(&event), "the same as in the list");
    }
    // Another tenant's key finds nothing.
    for what in ["GET ", "DELETE ", "POST /enable", "POST /test", "POST /rotate-secret", "GET /deliveries"] {
        let (method, rest) = what.split_once(' ').unwrap();
        let answer = other.call(&format!("{method} /v1/webhooks/{webhook}{rest}"), Value::Null).await;
        assert_eq!(answer.problem(), (404, "not_found".into()), "{what}");
    }
    let missed = json!({"missed": true});
    let answer = other.call(&format!("POST /v1/webhooks/{webhook}/replay"), missed).await;
    assert_eq!(answer.problem().0, 404);
    assert_eq!(other.get("/v1/webhooks").await.json()["data"], json!([]));
    assert_eq!(tenant.get("/v1/webhooks").await.json()["data"].as_array().unwrap().len(), 2);
    house.running.shutdown().await;
    receiver.stop();
    all.stop();
}

#[tokio::test]
async fn a_subscription_is_changed_switched_off_and_on_and_ended() {
    let house = house().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let (first, second) = (Receiver::open(|_, _| 200).await, Receiver::open(|_, _| 200).await);
    let (webhook, _) = subscribe(&tenant, &first, json!({"types": ["message.accepted"]})).await;
    let path = format!("/v1/webhooks/{webhook}");
    send_to(&tenant, &session, "6281234567890").await;
    first.until(|calls| calls.len() == 1).await;
    let changed =
        tenant.call(&format!("PATCH /v1/webhooks/{webhook}"), json!({"url": second.url()})).await.json();
    assert_eq!((word(&changed, "url"), &changed["enabled"]), (second.url().as_str(), &json!(true)));
    let sent = send_to(&tenant, &session, "6281234567890").await;
    let calls = second.until(|calls| calls.len() == 1).await;
    assert_eq!(word(&calls[0].event()["data"], "message"), sent);
    // What happens while it is off is brought when it is on again.
    let off = tenant.call(&format!("PATCH /v1/webhooks/{webhook}"), json!({"enabled": false})).await.json();
    assert_eq!((&off["enabled"], &off["disabled"]), (&json!(false), &json!("asked")));
    let replay = tenant.call(&format!("POST /v1/webhooks/{webhook}/replay"), json!({"missed": true})).await;
    assert_eq!(replay.problem(), (409, "wrong_phase".into()));
    let sent = send_to(&tenant, &session, "6281234567890").await;
    let on = tenant.call(&format!("POST /v1/webhooks/{webhook}/enable"), Value::Null).await.json();
    assert_eq!((&on["enabled"], &on["disabled"]), (&json!(true), &Value::Null));
    let calls = second.until(|calls| calls.len() == 2).await;
    assert_eq!(word(&calls[1].event()["data"], "message"), sent);
    let stands = tenant.until(&path, |seen| seen["waiting"] == 0).await;
    assert_eq!((&stands["failing_since"], &stands["full"]), (&Value::Null, &json!(false)));
    assert_eq!(tenant.call(&format!("DELETE /v1/webhooks/{webhook}"), Value::Null).await.status, 204);
    assert_eq!(tenant.get(&path).await.status, 404);
    send_to(&tenant, &session, "6281234567890").await;
    for (body, code) in [
        (json!({"url": "ftp://example.com"}), 422),
        (json!({"url": first.url(), "types": []}), 422),
        (json!({"url": first.url(), "types": ["dance"]}), 422),
        (json!({"url": first.url(), "sessions": ["ses_0000000000000"]}), 404),
        (json!({"uri": first.url()}), 422),
    ] {
        assert_eq!(tenant.call("POST /v1/webhooks", body.clone()).await.problem().0, code, "{body}");
    }
    assert_eq!((first.calls().len(), second.calls().len()), (1, 2));
    house.running.shutdown().await;
    first.stop();
    second.stop();
}

#[tokio::test]
async fn what_was_brought_is_brought_again_under_the_same_name_when_it_is_asked_for() {
    let house = house().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let receiver = Receiver::open(|_, _| 200).await;
    let (webhook, _) = subscribe(&tenant, &receiver, json!({"types": ["message.accepted"]})).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(send_to(&tenant, &session, "6281234567890").await);
    }
    let first = receiver.until(|calls| calls.len() == 3).await;
    let again = json!({"event": first[1].id});
    let replayed = tenant.call(&format!("POST /v1/webhooks/{webhook}/replay"), again).await;
    assert_eq!((replayed.status, replayed.json()), (202, json!({"events": 1, "more": false})));
    let calls = receiver.until(|calls| calls.len() == 4).await;
    assert_eq!((&calls[3].id, &calls[3].body), (&first[1].id, &first[1].body));
    let since = json!({"since": word(&first[1].event(), "occurred_at")});
    let replayed = tenant.call(&format!("POST /v1/webhooks/{webhook}/replay"), since).await;
    assert_eq!(replayed.json()["events"], Value::Null);
    let calls = receiver
        .until(|calls| calls.last().is_some_and(|call| call.id == first[2].id) && calls.len() > 5)
        .await;
    let ids: Vec<_> = calls[4..].iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids[ids.len() - 2..], [first[1].id.as_str(), first[2].id.as_str()]);
    let none = tenant.call(&format!("POST /v1/webhooks/{webhook}/replay"), json!({"missed": true})).await;
    assert_eq!(none.json()["events"], 0);
    for (body, status) in [
        (json!({}), 422),
        (json!([]), 422),
        (json!({"since": "2026-12-24T11:00:00Z", "missed": null}), 422),
        (json!({"missed": false}), 422),
        (json!({"since": "soon"}), 422),
        (json!({"event": "evt_0000000000000"}), 404),
    ] {
        let refused = tenant.call(&format!("POST /v1/webhooks/{webhook}/replay"), body.clone()).await;
        assert_eq!(refused.status, status, "{body}");
    }
    // The log has every attempt, the newest first, page by page.
    let path = format!("/v1/webhooks/{webhook}/deliveries");
    let whole = tenant.until(&path, |page| page["data"].as_array().unwrap().len() == calls.len()).await;
    let (mut pages, mut after) = (Vec::new(), String::new());
    loop {
        let page = tenant.get(&format!("{path}?limit=2&after={after}")).await.json();
        pages.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(json!(pages), whole["data"]);
    assert_eq!(word(&whole["data"][0], "event"), first[2].id);
    house.running.shutdown().await;
    receiver.stop();
}

#[tokio::test]
async fn what_was_not_written_down_when_it_ended_is_brought_again_and_nothing_is_lost() {
    let store = Store::memory();
    let first = on(store.clone()).await;
    let receiver = Receiver::open(|call, before| {
        // The first event of everybody is refused once.
        let seen = before.iter().any(|earlier| earlier.id == call.id);
        if seen || before.len() > 6 { 200 } else { 500 }
    })
    .await;
    let tenant = first.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    subscribe(&tenant, &receiver, json!({"types": ["message.accepted"]})).await;
    let mut sent = BTreeSet::new();
    for nth in 0..5 {
        sent.insert(send_to(&tenant, &session, &format!("628123456789{nth}")).await);
    }
    receiver.until(|calls| !calls.is_empty()).await;
    let names = (tenant.id.clone(), tenant.key.clone(), tenant.key_id.clone());
    first.running.shutdown().await;
    let second = on(store).await;
    let tenant = second.again(names);
    for nth in 5..9 {
        sent.insert(send_to(&tenant, &session, &format!("628123456789{nth}")).await);
    }
    let brought = |calls: &[Call]| -> BTreeSet<String> {
        taken(calls).iter().map(|event| word(&event["data"], "message").to_owned()).collect()
    };
    receiver.until(|calls| brought(calls) == sent).await;
    second.running.shutdown().await;
    receiver.stop();
}

#[tokio::test]
async fn a_subscription_that_was_off_for_longer_than_events_are_kept_is_told_so_and_goes_on() {
    let store = Store::memory();
    let house = on(store.clone()).await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let receiver = Receiver::open(|_, _| 200).await;
    let (webhook, _) = subscribe(&tenant, &receiver, json!({"types": ["message.accepted"]})).await;
    let path = format!("/v1/webhooks/{webhook}");
    send_to(&tenant, &session, "6281234567890").await;
    receiver.until(|calls| calls.len() == 1).await;
    let stands = tenant.until(&path, |seen| seen["waiting"] == 0).await;
    assert_eq!(stands["missed_before"], Value::Null);
    tenant.call(&format!("PATCH {path}"), json!({"enabled": false})).await;
    let missed = send_to(&tenant, &session, "6281234567890").await;
    house.running.node.flush().await;
    let everything: Vec<_> = ShardId::all().map(|shard| (shard, Position(u64::MAX))).collect();
    store.journal.retire(&everything, Timestamp(i64::MAX)).await.unwrap();
    tenant.call(&format!("POST {path}/enable"), Value::Null).await;
    let stands = tenant.until(&path, |seen| seen["missed_before"].is_string()).await;
    assert_eq!((&stands["enabled"], &stands["full"]), (&json!(true), &json!(false)));
    let next = send_to(&tenant, &session, "6281234567890").await;
    let calls = receiver.until(|calls| calls.len() == 2).await;
    assert_eq!(word(&calls[1].event()["data"], "message"), next, "and {missed} is gone");
    house.running.shutdown().await;
    receiver.stop();
}

#[tokio::test]
async fn a_private_address_is_refused_by_its_text_and_not_called_when_it_was_allowed_once() {
    let (store, receiver) = (Store::memory(), Receiver::open(|_, _| 200).await);
    let first = on(store.clone()).await;
    let tenant = first.tenant("A").await;
    let (webhook, _) = subscribe(&tenant, &receiver, json!({})).await;
    let names = (tenant.id.clone(), tenant.key.clone(), tenant.key_id.clone());
    first.running.shutdown().await;
    // The operator allows it no longer.
    let house = House::on(store, |_| {}).await;
    let tenant = house.again(names);
    let tested = tenant.call(&format!("POST /v1/webhooks/{webhook}/test"), Value::Null).await.json();
    assert_eq!((&tested["delivered"], &tested["error"]), (&json!(false), &json!("blocked")));
    for url in
        [receiver.url().as_str(), "http://0177.0.0.1/", "https://[::ffff:10.0.0.1]/x", "http://localhost:80/"]
    {
        for what in ["POST /v1/webhooks".to_owned(), format!("PATCH /v1/webhooks/{webhook}")] {
            let refused = tenant.call(&what, json!({"url": url})).await;
            assert_eq!(refused.problem(), (422, "invalid_value".into()), "{what} {url}");
            let told = refused.json();
            assert_eq!(told["path"], "url");
            assert!(
                word(&told, "detail").contains("public internet") && !word(&told, "detail").contains(url),
                "{told}"
            );
        }
    }
    assert!(receiver.calls().is_empty());
    house.running.shutdown().await;
    receiver.stop();
}

async fn verify(program: &Path, arguments: &[&str], folder: &Path, input: &Value) -> Value {
    let ran = Command::new(program).args(arguments).arg(input.to_string()).current_dir(folder).output();
    let ran = ran.await.unwrap();
    let error = String::from_utf8_lossy(&ran.stderr).into_owned();
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{program:?}: {error}"))
}

const PYTHON: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
answers = []
for case in json.loads(sys.argv[1]):
    try:
        Webhook(case["secret"]).verify(case["body"], case["headers"])
        answers.append(True)
    except WebhookVerificationError:
        answers.append(False)
print(json.dumps(answers))
"#;
const JAVASCRIPT: &str = r#"
const { Webhook, WebhookVerificationError } = require("standardwebhooks");
const answers = JSON.parse(process.argv[1]).map(({ secret, body, headers }) => {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
});
console.log(JSON.stringify(answers));
"#;

#[tokio::test]
async fn the_unmodified_packages_of_python_and_npm_verify_every_delivery() {
    let house = house().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let receiver = Receiver::open(|_, _| 200).await;
    let (webhook, old) = subscribe(&tenant, &receiver, json!({})).await;
    let tested = tenant.call(&format!("POST /v1/webhooks/{webhook}/test"), Value::Null).await.json();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)));
    send_to(&tenant, &session, "6281234567890").await;
    receiver.until(|calls| calls.len() == 3).await;
    let what = format!("POST /v1/webhooks/{webhook}/rotate-secret");
    let rotated = tenant.with(&what, &[("idempotency-key", "r1")], Value::Null).await.json();
    let new = word(&rotated, "secret").to_owned();
    let repeated = tenant.with(&what, &[("idempotency-key", "r1")], Value::Null).await;
    assert!(repeated.json().get("secret").is_none() && repeated.headers["idempotency-replayed"] == "true");
    assert!(rotated["old_secrets_until"].is_string() && old != new, "{rotated}");
    send_to(&tenant, &session, "6281234567890").await;
    let calls = receiver.until(|calls| calls.len() == 4).await;
    let case = |call: &Call, secret: &str, body: &str| {
        json!({"secret": secret, "body": body, "headers": {"webhook-id": call.id,
            "webhook-timestamp": call.timestamp, "webhook-signature": call.signature}})
    };
    let text = |call: &Call| String::from_utf8(call.body.to_vec()).unwrap();
    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    for (nth, call) in calls.iter().enumerate() {
        let body = text(call);
        // With the old secret all, with the new one what came after it was made, and nothing that was touched.
        let touched = body.replacen('1', "2", 1);
        cases.extend([case(call, &old, &body), case(call, &new, &body), case(call, &old, &touched)]);
        expected.extend([true, nth == 3, false]);
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("standardwebhooks");
    let (python, npm) = (folder.join("python"), folder.join("npm"));
    let pip: &[&str] =
        &["bin/pip", "install", "--quiet", "--disable-pip-version-check", "standardwebhooks==1.0.1"];
    installed(&python, "bin/pip", &[&["python3", "-m", "venv", "."], pip]).await;
    let add: &[&str] =
        &["npm", "install", "--silent", "--no-save", "--prefix", ".", "standardwebhooks@1.0.0"];
    installed(&npm, "node_modules/standardwebhooks", &[add]).await;
    let said = verify(&python.join("bin/python"), &["-c", PYTHON], &python, &json!(cases)).await;
    assert_eq!(said, json!(expected), "Python");
    let said = verify(Path::new("node"), &["-e", JAVASCRIPT], &npm, &json!(cases)).await;
    assert_eq!(said, json!(expected), "npm");
    let operator = format!("Bearer {OPERATOR}");
    let headers = [("authorization", operator.as_str()), ("kabar-tenant", tenant.id.as_str())];
    let shown = house.call("GET /v1/webhooks", &headers, "").await.text;
    assert!(!shown.contains("whsec_"), "a secret is shown once");
    house.running.shutdown().await;
    receiver.stop();
}

#[tokio::test]
async fn a_tenant_has_no_more_subscriptions_than_it_may_and_others_have_theirs() {
    let house = House::with(|c| {
        c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap();
        c.server.webhooks_max = 3;
    })
    .await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let dead = json!({"url": "http://127.0.0.1:9/x"});
    // Many at once do not pass together.
    let asked = (0..8).map(|_| tenant.call("POST /v1/webhooks", dead.clone()));
    let answers = futures::future::join_all(asked).await;
    let made: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 3);
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(refused.problem(), (409, "webhook_limit".into()));
    }
    assert_eq!(other.call("POST /v1/webhooks", dead.clone()).await.status, 201);
    // A place that is given up is there again, and a repeat needs none.
    let path = format!("DELETE /v1/webhooks/{}", made[0].json()["id"].as_str().unwrap());
    assert_eq!(tenant.call(&path, Value::Null).await.status, 204);
    for status in [201, 201] {
        let again = tenant.with("POST /v1/webhooks", &[("idempotency-key", "w")], dead.clone()).await;
        assert_eq!(again.status, status, "{again:?}");
    }
    assert_eq!(tenant.call("POST /v1/webhooks", dead).await.problem().1, "webhook_limit");
    house.running.shutdown().await;
}
