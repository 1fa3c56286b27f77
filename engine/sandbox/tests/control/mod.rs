//! The control API keeps to its own document, and a sandbox that was saved goes on where it was.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::collections::BTreeSet;

use hyper::Method;
use kabar_sandbox::{Behaviour, Delay, Inbound, NumberConfig, Sandbox, SandboxConfig, Stats};
use serde_json::{Value, json};

use crate::account::media::upload;
use crate::account::{ACCOUNT, create};
use crate::harness::{Client, Heard, NUMBER, Receiver, sandbox, seeded, swift, text, until};

/// What of an answer its schema does not allow, by the place it stands.
fn violations(schema: &Value, value: &Value, place: &str) -> Vec<String> {
    let kind = match value {
        Value::Null => return Vec::new(),
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let wanted = schema["type"].as_str();
    if wanted.is_some_and(|wanted| wanted != kind && !(wanted == "number" && kind == "integer")) {
        return vec![format!("{place} is {kind}, not {wanted:?}")];
    }
    let mut found = Vec::new();
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    found.extend(
        required.filter(|key| value.get(key).is_none()).map(|key| format!("{place}.{key} is missing")),
    );
    for (key, own) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(key) {
            found.extend(violations(own, value, &format!("{place}.{key}")));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        found.extend(violations(&schema["items"], item, &format!("{place}[]")));
    }
    // a shape that lists its keys lists all of them
    if let (Some(known), Some(given), "object") = (schema["properties"].as_object(), value.as_object(), kind)
        && schema["additionalProperties"] != true
        && !known.is_empty()
    {
        let strange: BTreeSet<&String> = given.keys().filter(|key| !known.contains_key(*key)).collect();
        found.extend(strange.into_iter().map(|key| format!("{place}.{key} is not in the document")));
    }
    found
}

#[tokio::test]
async fn every_documented_operation_answers_in_the_documented_shape() {
    let sandbox = sandbox(Behaviour { review_ms: 0, ..swift() }).await;
    let receiver = Receiver::start().await;
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    create(&mut client, "order_update", "UTILITY", json!([{"type": "BODY", "text": "Your parcel left."}]))
        .await;
    client.send(&text("15550100001", "a")).await;
    let document = control.get("/_sim/openapi.json").await.json();
    assert_eq!(document, kabar_sandbox::openapi());
    let state = control.get("/_sim/state").await.json();
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
            match path.as_str() {
                "/_sim/webhook" => body["url"] = receiver.url.as_str().into(),
                "/_sim/state" => body = state.clone(),
                "/_sim/scripts" if method == "post" => body["rules"][0]["then"][0]["media"] = Value::Null,
                _ => {}
            }
            let verb: Method = method.to_uppercase().parse().unwrap();
            let body = if verb == Method::GET { Vec::new() } else { body.to_string().into_bytes() };
            let heard = control.try_call(verb, path, &body).await.unwrap();
            assert_eq!(heard.status, 200, "{method} {path}: {:?}", heard.json());
            let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            assert_eq!(violations(schema, &heard.json(), "answer"), [""; 0], "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked >= 25, "{asked}");
    assert_eq!(control.try_call(Method::DELETE, "/_sim/stats", b"").await.unwrap().status, 405);
    assert_eq!(control.get("/_sim/nowhere").await.status, 404);
}

fn lively() -> Behaviour {
    Behaviour {
        delivered_ms: Delay::spread(20, 200, 400),
        read_rate: 0.5,
        undeliverable: 0.2,
        reply_rate: 0.3,
        ..swift()
    }
}

/// The first forty once more, which are other messages: as many ids and codes.
async fn answers(client: &mut Client) -> Vec<(u16, u64, String)> {
    let mut heard = Vec::new();
    for n in 0..40 {
        let answer: Heard = client.send(&text(&format!("62812000{n:04}"), &format!("first {n}"))).await;
        heard.push((answer.status, answer.code(), answer.wamid()));
    }
    heard
}

/// Gives a sandbox a medium, a template, a block, a script, a quality, a token and forty messages; hands out the medium
/// and a message it received.
async fn lived_in(first: &Sandbox, client: &mut Client, control: &mut Client) -> (String, String) {
    let medium =
        upload(client, NUMBER, "image/png", b"a photo").await.json()["id"].as_str().unwrap().to_owned();
    create(client, "pause_later", "MARKETING", json!([{"type": "BODY", "text": "Buy our lamps today!"}]))
        .await;
    let written = Inbound {
        phone_number_id: NUMBER.into(),
        from: "15550100001".into(),
        text: Some("Hi".into()),
        ..Inbound::default()
    };
    let wamid = first.inbound(&written).unwrap();
    let block = json!({"messaging_product": "whatsapp", "block_users": [{"user": "15550100001"}]});
    assert_eq!(client.post(&format!("/{NUMBER}/block_users"), &block).await.status, 200);
    control.post("/_sim/scripts", &json!({"rules": [{"when": {"to": "15550100007"}, "then": [{"text": "Scripted", "after_ms": 86_400_000}]}]})).await;
    control.post("/_sim/number", &json!({"phone_number_id": NUMBER, "quality_rating": "YELLOW"})).await;
    control.post("/_sim/token", &json!({"token": "second-token", "expires_at": 1})).await;
    for n in 0..40 {
        client.send(&text(&format!("62812000{n:04}"), &format!("first {n}"))).await;
    }
    client.send(&text("15550100007", "script")).await;
    first.advance(3_600_000);
    (medium, wamid)
}

#[tokio::test]
async fn a_saved_sandbox_goes_on_as_if_nothing_had_happened() {
    let first = seeded(9, lively()).await;
    let (mut client, mut control) = (Client::to(&first), Client::control(&first));
    let (medium, wamid) = lived_in(&first, &mut client, &mut control).await;
    let state = control.get("/_sim/state").await.json();

    let config = SandboxConfig { behaviour: Behaviour::default(), ..SandboxConfig::default() };
    let second = Sandbox::start_from(config, &state).await.unwrap();
    let mut other = Client::to(&second);
    let receiver = Receiver::start().await;
    second.set_webhook(&receiver.url).await.unwrap();
    assert_eq!(quiet_rows(&second).await, quiet_rows(&first).await);
    let clocks =
        [control.get("/_sim/clock").await.json(), Client::control(&second).get("/_sim/clock").await.json()];
    let apart = clocks[0]["unix_ms"].as_i64().unwrap() - clocks[1]["unix_ms"].as_i64().unwrap();
    assert!(apart.abs() < 60_000, "{apart}");
    assert_eq!(answers(&mut client).await, answers(&mut other).await, "the same answers follow");
    for path in [
        format!("/{medium}?fields=sha256,file_size,mime_type"),
        format!("/{NUMBER}?fields=quality_rating,status,throughput"),
        format!("/{ACCOUNT}/message_templates"),
        format!("/{NUMBER}/block_users"),
    ] {
        assert_eq!(client.get(&path).await.json(), other.get(&path).await.json(), "{path}");
    }
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    assert_eq!(other.send(&read).await.status, 200);
    assert_eq!(other.send(&text("15550100001", "blocked")).await.code(), 130_403);
    assert_eq!(Client::with_token(&second, "second-token").send(&text("15550100002", "x")).await.code(), 190);
    for sandbox in [&first, &second] {
        sandbox.advance(86_400_000);
    }
    let stats = until(&second, Stats::is_settled).await;
    assert!(
        receiver.items("messages").iter().any(|message| message["text"]["body"] == "Scripted"),
        "what a script had planned happens"
    );
    let fate = |row: kabar_sandbox::LedgerRow| {
        (row.seq, row.wamid, row.outcome, row.sent, row.delivered, row.read, row.failed, row.replied)
    };
    let of_first: Vec<_> = {
        until(&first, |stats| stats.scheduled_events == 0).await;
        first.ledger()
    }
    .into_iter()
    .take(81)
    .map(fate)
    .collect();
    let of_second: Vec<_> = second.ledger().into_iter().take(81).map(fate).collect();
    assert_eq!(of_first, of_second);
    assert!(stats.messages.failed > 0 && stats.replies > 0, "{stats:?}");
}

/// The ledger once nothing but the script of tomorrow is to come.
async fn quiet_rows(sandbox: &Sandbox) -> Vec<kabar_sandbox::LedgerRow> {
    until(sandbox, |stats| stats.scheduled_events <= 1).await;
    sandbox.ledger()
}

#[tokio::test]
async fn webhooks_that_waited_when_it_was_saved_are_posted_by_the_next() {
    let first = sandbox(swift()).await;
    let receiver = Receiver::start().await;
    first.set_webhook(&receiver.url).await.unwrap();
    first.pause_webhooks();
    Client::to(&first).send(&text("15550100001", "a")).await;
    until(&first, |stats| stats.webhooks.pending == 3).await;
    let state = first.state().await.unwrap();
    first.stop().await;
    assert_eq!(receiver.posts().len(), 0);
    let second = Sandbox::start_from(SandboxConfig::default(), &state).await.unwrap();
    second.resume_webhooks();
    until(&second, Stats::is_settled).await;
    assert_eq!(receiver.items("statuses").len(), 3);
    assert!(receiver.posts().iter().all(|post| post.verifies("sandbox-app-secret")));
}

#[tokio::test]
async fn a_state_that_does_not_fit_changes_nothing() {
    let one = seeded(1, swift()).await;
    Client::to(&one).send(&text("15550100001", "a")).await;
    let state = one.state().await.unwrap();
    let other = seeded(2, swift()).await;
    assert!(other.load(&state).unwrap_err().contains("seed"));
    let config = SandboxConfig {
        numbers: vec![NumberConfig { phone_number_id: "7".into(), ..NumberConfig::default() }],
        ..SandboxConfig::default()
    };
    let strange = Sandbox::start(config).await.unwrap();
    assert!(strange.load(&state).unwrap_err().contains("numbers"));
    let mut newer = state.clone();
    newer["version"] = 99.into();
    assert!(one.load(&newer).unwrap_err().contains("version"));
    newer = state.clone();
    newer["colour"] = "blue".into();
    assert!(one.load(&newer).unwrap_err().contains("colour"));
    assert_eq!((one.ledger().len(), other.ledger().len()), (1, 0));
    assert_eq!(one.load(&state), Ok(()));
}
