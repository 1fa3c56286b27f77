//! Why a message is where it is: every step is told, in the order of time, however it went.

use super::house::{House, OPERATOR, Tenant, sandbox, template};
use super::killed::Server;
use super::receiver::Receiver;
use kabar_engine::time::Timestamp;
use kabar_sandbox::{Behaviour, Delay, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;

/// The steps' words, in order.
fn words(why: &Value) -> Vec<&str> {
    why["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

fn step<'v>(why: &'v Value, word: &str) -> &'v Value {
    let found = why["steps"].as_array().unwrap().iter().find(|step| step["step"] == word);
    found.unwrap_or_else(|| panic!("no step {word}: {why:#}"))
}

/// What every list keeps: it is whole, begins with the begin, is in the order of time, and its steps name themselves.
fn sound(why: &Value) {
    assert_eq!((&why["complete"], &why["reason"]), (&json!(true), &Value::Null), "{why:#}");
    let steps = why["steps"].as_array().unwrap();
    let begin = if why["direction"] == "in" { "received" } else { "accepted" };
    assert_eq!(steps[0]["step"], begin, "{why:#}");
    let times: Vec<_> = steps.iter().map(|step| step["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{why:#}");
    let queued = why["status"] == "queued";
    assert_eq!(words(why).last() == Some(&"waiting"), queued, "{why:#}");
}

async fn why(tenant: &Tenant<'_>, id: &str) -> Value {
    let why = tenant.get(&format!("/v1/messages/{id}/why")).await;
    assert_eq!(why.status, 200, "{why:?}");
    sound(&why.json());
    why.json()
}

async fn send(tenant: &Tenant<'_>, session: &str, to: &str, options: Value) -> String {
    let mut body = template(session, to);
    if !options.is_null() {
        body["options"] = options;
    }
    tenant.call("POST /v1/messages", body).await.id()
}

async fn until(tenant: &Tenant<'_>, id: &str, status: &str) {
    tenant.until(&format!("/v1/messages/{id}"), |message| message["status"] == status).await;
}

fn in_a(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    Timestamp(i64::try_from(now).unwrap() + seconds * 1_000).to_rfc3339()
}

#[tokio::test]
async fn a_message_that_was_read_tells_the_key_the_call_the_statuses_and_each_attempt_of_a_webhook() {
    let private = |config: &mut kabar_api::config::Config| {
        config.outbound.allow_networks = "127.0.0.0/8".parse().unwrap();
    };
    let (house, sandbox) = (House::with(private).await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let receiver = Receiver::open(|_, before| if before.is_empty() { 500 } else { 200 }).await;
    let wanted = json!({"url": receiver.url(), "types": ["message.accepted", "message.read"]});
    let webhook = tenant.call("POST /v1/webhooks", wanted).await.id();
    let id = send(&tenant, &session, "6281234567890", Value::Null).await;
    until(&tenant, &id, "read").await;
    let path = format!("/v1/messages/{id}/why");
    // Three attempts: one refused, its repeat, and the reading.
    let attempts = |why: &Value| words(why).iter().filter(|word| **word == "webhook").count();
    let told = tenant.until(&path, |why| attempts(why) == 3).await;
    sound(&told);
    let own: Vec<_> = words(&told).into_iter().filter(|w| !["webhook", "waited"].contains(w)).collect();
    // That it was sent may be told by the answer alone.
    assert_eq!(own[..6], ["accepted", "claimed", "called", "taken", "status", "status"], "{told:#}");
    let accepted = step(&told, "accepted");
    assert_eq!((&accepted["by"], &accepted["key"]), (&json!("key"), &json!(tenant.key_id)), "{accepted}");
    assert_eq!((&accepted["session"], &accepted["chosen"]), (&json!(session), &json!("named")));
    assert_eq!(
        (&step(&told, "called")["connector"], &step(&told, "claimed")["attempt"]),
        (&json!("cloud"), &json!(1))
    );
    let message = tenant.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(step(&told, "taken")["provider_id"], message["provider_id"]);
    let steps = told["steps"].as_array().unwrap();
    let statuses: Vec<_> = steps.iter().filter(|s| s["step"] == "status").map(|s| &s["status"]).collect();
    assert_eq!(statuses[statuses.len() - 2..], ["delivered", "read"]);
    // Each attempt names the event of a step, and the subscription.
    let tries: Vec<_> = steps.iter().filter(|s| s["step"] == "webhook").collect();
    let refused = tries.iter().find(|t| t["status"] == 500).unwrap();
    assert_eq!((&refused["outcome"], &refused["webhook"]), (&json!("again"), &json!(webhook)));
    assert!(refused["next_attempt"].is_string() && refused["took_ms"].is_u64());
    assert_eq!(refused["event"], accepted["event"]);
    let read = steps.iter().find(|s| s["status"] == "read").unwrap();
    assert!(tries.iter().any(|t| t["event"] == read["event"] && t["outcome"] == "delivered"), "{told:#}");
    // Nothing of it is another tenant's, and no number nor body stands in it.
    let other = house.tenant("B").await;
    assert_eq!(other.get(&path).await.problem(), (404, "not_found".into()));
    let text = told.to_string();
    assert!(!text.contains("6281234567890") && !text.contains("halo"), "{text}");
    // By the operator, in the tenant's name.
    let operator = format!("Bearer {OPERATOR}");
    let headers = [("authorization", operator.as_str()), ("kabar-tenant", tenant.id.as_str())];
    let id =
        house.call("POST /v1/messages", &headers, template(&session, "6281234567891").to_string()).await.id();
    assert_eq!(step(&why(&tenant, &id).await, "accepted")["by"], "operator");
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refusal_says_whose_fault_it_is_and_what_to_do() {
    let behaviour =
        Behaviour { fail_in_answer: 1.0, fail_in_answer_codes: vec![131_026], ..Behaviour::default() };
    let refusing = Sandbox::start(SandboxConfig { behaviour, ..SandboxConfig::default() }).await.unwrap();
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.link(&refusing).await;
    let id = send(&tenant, &session, "6281234567890", Value::Null).await;
    until(&tenant, &id, "failed").await;
    let told = why(&tenant, &id).await;
    let own: Vec<_> = words(&told).into_iter().filter(|w| *w != "waited").collect();
    assert_eq!(own, ["accepted", "claimed", "called", "rejected"], "{told:#}");
    let cause = &step(&told, "rejected")["cause"];
    assert_eq!((&cause["code"], &cause["fault"]), (&json!("undeliverable"), &json!("recipient")));
    assert!(cause["remedy"].as_str().unwrap().len() > 5);
    house.running.shutdown().await;
    refusing.stop().await;
    // The same code, told later.
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let id = send(&tenant, &session, "9991131026", Value::Null).await;
    until(&tenant, &id, "failed").await;
    let told = why(&tenant, &id).await;
    let failed = told["steps"].as_array().unwrap().iter().find(|s| s["status"] == "failed").unwrap();
    assert_eq!((&failed["step"], &failed["cause"]["number"]), (&json!("status"), &json!(131_026)));
    assert!(failed["reported_at"].is_string() && failed["event"].is_string());
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_throttled_message_tells_the_limit_and_how_long_it_waited_for_it() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let id = send(&tenant, &session, "9995130429", Value::Null).await;
    let path = format!("/v1/messages/{id}/why");
    let told = tenant.until(&path, |why| words(why).iter().filter(|w| **w == "claimed").count() >= 2).await;
    sound(&told);
    let back = step(&told, "put_back");
    assert_eq!((&back["cause"]["code"], &back["cause"]["fault"]), (&json!("throughput"), &json!("provider")));
    for word in ["detail", "trace"] {
        assert!(
            back["said"][word].as_str().is_some_and(|said| !said.is_empty()),
            "WhatsApp's own words: {back}"
        );
    }
    let steps = told["steps"].as_array().unwrap();
    let waited = steps.iter().find(|s| s["step"] == "waited" && s["reason"] == "retry").unwrap();
    assert_eq!((&waited["at"], &waited["until"]), (&back["at"], &back["due"]), "{told:#}");
    assert_eq!(waited["cause"]["code"], "throughput");
    let attempts: Vec<_> = steps.iter().filter(|s| s["step"] == "claimed").map(|s| &s["attempt"]).collect();
    assert_eq!(attempts[..2], [1, 2], "{told:#}");
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_was_never_sent_tells_why_not() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    // Cancelled while it waited for its moment.
    let at = in_a(3_600);
    let id = send(&tenant, &session, "6281234567890", json!({"send_at": at})).await;
    let told = why(&tenant, &id).await;
    assert_eq!(words(&told), ["accepted", "waiting"], "{told:#}");
    let waiting = step(&told, "waiting");
    assert_eq!(
        (&waiting["reason"], &waiting["until"], &waiting["source"]),
        (&json!("start"), &json!(at), &json!("now"))
    );
    assert_eq!(tenant.call(&format!("DELETE /v1/messages/{id}"), Value::Null).await.status, 200);
    let told = why(&tenant, &id).await;
    assert_eq!(words(&told), ["accepted", "waited", "cancelled"], "{told:#}");
    assert_eq!(step(&told, "waited")["reason"], "start");
    // The number cannot be reached, and then the validity is over.
    let id = send(&tenant, &session, "6281234567891", json!({"valid_for_seconds": 1})).await;
    until(&tenant, &id, "expired").await;
    let told = why(&tenant, &id).await;
    assert_eq!(words(&told).last(), Some(&"expired"), "{told:#}");
    // Opted out between acceptance and its turn.
    let soon = in_a(2);
    let id = send(&tenant, &session, "6281234567892", json!({"send_at": soon})).await;
    let wish = json!({"address": "6281234567892", "session": session});
    assert_eq!(tenant.call("POST /v1/optouts", wish).await.status, 200);
    until(&tenant, &id, "failed").await;
    let told = why(&tenant, &id).await;
    let last = told["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["step"], &last["cause"]["code"]), (&json!("failed"), &json!("opted_out")), "{told:#}");
    assert_eq!(last["cause"]["fault"], "recipient");
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_a_person_wrote_tells_when_it_was_written_and_when_it_came() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    send(&tenant, &session, "9995550004", Value::Null).await;
    let events = "/v1/events?types=message.received";
    let page = tenant.until(events, |page| page["data"][0].is_object()).await;
    let event = &page["data"][0];
    let told = why(&tenant, event["data"]["message"].as_str().unwrap()).await;
    assert_eq!((words(&told), &told["direction"]), (vec!["received"], &json!("in")), "{told:#}");
    let received = step(&told, "received");
    assert_eq!((&received["event"], &received["sent_at"]), (&event["id"], &event["data"]["reported_at"]));
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_campaigns_message_tells_its_row_its_part_and_the_hours_it_waits_for() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let list = tenant.import("name,phone\nAna,081234567890\nBudi,081234567891\n").await["id"].clone();
    let spec = |options: Value| {
        json!({"name": "c", "senders": [session], "audience": {"list": list}, "options": options,
            "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"}}}})
    };
    let campaign = tenant.call("POST /v1/campaigns", spec(json!({}))).await.id();
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{campaign}/launch"), json!({})).await.status, 200);
    let path = format!("/v1/campaigns/{campaign}");
    tenant.until(&path, |c| c["state"] == "finished" && c["totals"]["read"] == 2).await;
    let people = tenant.get(&format!("{path}/recipients")).await.json();
    let id = people["data"][1]["message"].as_str().unwrap();
    let told = why(&tenant, id).await;
    let own: Vec<_> = words(&told).into_iter().filter(|w| *w != "waited").collect();
    // That it was sent may be told by the answer alone.
    let all = ["accepted", "frozen", "started", "claimed", "called", "taken", "status", "status"];
    assert_eq!(own[..all.len()], all, "{told:#}");
    let accepted = step(&told, "accepted");
    assert_eq!((&accepted["by"], &accepted["campaign"]), (&json!("campaign"), &json!(campaign)));
    assert_eq!((&accepted["index"], &accepted["chosen"]), (&json!(1), &json!("split")));
    assert_eq!(step(&told, "frozen")["recipients"], 2);
    // Closed the whole day but for one minute of the night.
    let quiet = json!({"quiet_hours": {"from_minute": 0, "until_minute": 1_439}});
    let quiet = tenant.call("POST /v1/campaigns", spec(quiet)).await.id();
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{quiet}/launch"), json!({})).await.status, 200);
    let path = format!("/v1/campaigns/{quiet}");
    tenant.until(&path, |c| c["waits"][0]["reason"] == "quiet_hours").await;
    let people = tenant.get(&format!("{path}/recipients")).await.json();
    let told = why(&tenant, people["data"][0]["message"].as_str().unwrap()).await;
    assert_eq!(words(&told).last(), Some(&"waiting"), "{told:#}");
    let waiting = step(&told, "waiting");
    assert!(waiting["reason"] == "quiet_hours" && waiting["until"].is_string(), "{told:#}");
    // And then it is cancelled.
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{quiet}/cancel"), json!({})).await.status, 200);
    tenant.until(&path, |c| c["totals"]["failed"] == 2).await;
    let told = why(&tenant, people["data"][0]["message"].as_str().unwrap()).await;
    assert_eq!(words(&told).last(), Some(&"cancelled"), "{told:#}");
    let waits: Vec<_> = told["steps"].as_array().unwrap().iter().filter(|s| s["step"] == "waited").collect();
    assert!(waits.iter().any(|wait| wait["reason"] == "quiet_hours"), "{told:#}");
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_between_claim_and_answer_is_told_with_the_restart_the_doubt_and_its_end() {
    let behaviour = Behaviour { answer_ms: Delay::fixed(25_000), statuses: false, ..Behaviour::quiet() };
    let slow = Sandbox::start(SandboxConfig { behaviour, ..SandboxConfig::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let more = [("KABAR__ENGINE__PROOF_MS", "1000")];
    let mut server = Server::with(folder.path(), &more, Stdio::null()).await;
    let operator = format!("Bearer {OPERATOR}");
    let (_, made) =
        server.call("POST /v1/tenants", &[("authorization", &operator)], r#"{"name":"Toko"}"#).await;
    let tenant = made["id"].as_str().unwrap().to_owned();
    let headers = [("authorization", operator.as_str()), ("kabar-tenant", tenant.as_str())];
    let app = json!({"app_secrets": ["secret"], "verify_token": "token"}).to_string();
    let (_, app) = server.call("POST /v1/apps", &headers, app).await;
    let number = &slow.config().numbers[0];
    let session = json!({
        "name": "slow", "app": app["id"], "phone_number_id": number.phone_number_id,
        "display_phone_number": number.display_phone_number, "access_token": slow.config().access_tokens[0],
        "messages_per_second": 10, "base_url": slow.base_url(),
    });
    let (_, session) = server.call("POST /v1/sessions", &headers, session.to_string()).await;
    let body = template(session["id"].as_str().unwrap(), "6281234567890").to_string();
    let (_, sent) = server.call("POST /v1/messages", &headers, body).await;
    let path = format!("GET /v1/messages/{}/why", sent["id"].as_str().unwrap());
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    loop {
        turn.tick().await;
        let (_, told) = server.call(&path, &headers, "").await;
        sound(&told);
        if words(&told).contains(&"claimed") {
            assert_eq!(step(&told, "waiting")["reason"], "answer", "{told:#}");
            break;
        }
    }
    server.child.kill().await.unwrap();
    let server = Server::with(folder.path(), &more, Stdio::null()).await;
    let told = loop {
        turn.tick().await;
        let (_, told) = server.call(&path, &headers, "").await;
        sound(&told);
        if told["status"] == "unknown" {
            break told;
        }
    };
    let own: Vec<_> = words(&told).into_iter().filter(|w| *w != "waited").collect();
    assert_eq!(own, ["accepted", "claimed", "restarted", "parked", "resolved"], "{told:#}");
    assert_eq!(step(&told, "resolved")["outcome"], "unknown");
    server.end().await;
    slow.stop().await;
}
