//! A message's way: accepted, sent, delivered, read; cancelled; refused to who does not want it.

use super::house::{House, sandbox, template};
use serde_json::{Value, json};

#[tokio::test]
async fn a_message_tells_its_whole_way() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let sent = tenant.call("POST /v1/messages", template(&session, "+62 812-3456-7890")).await;
    assert_eq!((sent.status, sent.json()["status"].as_str()), (202, Some("queued")), "{sent:?}");
    let url = sent.json()["status_url"].as_str().unwrap().to_owned();
    let read = tenant.until(&url, |message| message["status"] == "read").await;
    let steps: Vec<_> =
        read["timeline"].as_array().unwrap().iter().map(|s| s["status"].as_str().unwrap()).collect();
    assert_eq!(steps, ["queued", "sent", "delivered", "read"]);
    assert!(read["timeline"][0]["at"].as_str().unwrap().ends_with('Z'));
    assert_eq!((read["address"].as_str(), read["direction"].as_str()), (Some("+6281234567890"), Some("out")));
    assert_eq!(read["message"]["template"]["name"], "halo");
    assert!(read["provider_id"].as_str().unwrap().starts_with("wamid."));
    assert_eq!(sandbox.recipients().len(), 1);
    // 131026 comes later and is explained.
    let lost = tenant.call("POST /v1/messages", template(&session, "9991131026")).await;
    let url = lost.json()["status_url"].as_str().unwrap().to_owned();
    let failed = tenant.until(&url, |message| message["status"] == "failed").await;
    assert_eq!(
        (failed["error"]["code"].as_str(), failed["error"]["number"].as_u64()),
        (Some("undeliverable"), Some(131_026))
    );
    assert!(failed["error"]["remedy"].as_str().unwrap().len() > 5);
    // A quoted message may be named by our id.
    let mut quoting = template(&session, "6281234567890");
    quoting["context"] = json!({"message_id": sent.id()});
    let quoting = tenant.call("POST /v1/messages", quoting).await.id();
    let shown = tenant.get(&format!("/v1/messages/{quoting}")).await.json();
    assert_eq!(shown["context"], read["provider_id"]);
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_that_waits_can_be_cancelled_and_one_that_went_cannot() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let mut later = template(&session, "6281234567890");
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
        + 3_600_000;
    later["options"] = json!({"send_at": kabar_engine::time::Timestamp(at).to_rfc3339()});
    let waits = tenant.call("POST /v1/messages", later).await.id();
    let cancelled = tenant.call(&format!("DELETE /v1/messages/{waits}"), Value::Null).await.json();
    assert_eq!(
        (cancelled["status"].as_str(), cancelled["error"]["code"].as_str()),
        (Some("failed"), Some("cancelled"))
    );
    let gone = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    tenant.until(&format!("/v1/messages/{gone}"), |message| message["status"] == "read").await;
    let refused = tenant.call(&format!("DELETE /v1/messages/{gone}"), Value::Null).await;
    assert_eq!(refused.problem(), (409, "wrong_phase".into()));
    assert_eq!(sandbox.stats().accepted, 1);
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_received_message_is_marked_as_read_and_no_other() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let said = json!({"phone_number_id": sandbox.config().numbers[0].phone_number_id, "from": "6281234567890", "text": "Halo"});
    sandbox.inbound(&serde_json::from_value(said).unwrap()).unwrap();
    let heard = |page: &Value| page["data"].as_array().is_some_and(|all| !all.is_empty());
    let events = tenant.until("/v1/events?types=message.received", heard).await;
    let received = events["data"][0]["data"]["message"].as_str().unwrap().to_owned();
    let mark = |id: &str| format!("POST /v1/messages/{id}/read");
    for body in [json!({}), json!({"typing": true})] {
        assert_eq!(tenant.call(&mark(&received), body).await.status, 204);
    }
    assert_eq!(sandbox.stats().receipts, 2);
    let sent = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    assert_eq!(tenant.call(&mark(&sent), json!({})).await.problem(), (422, "invalid_value".into()));
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn who_opted_out_gets_nothing_until_they_opt_in() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let wish = json!({"address": "+62 812-3456-7890", "session": session});
    let out = tenant.call("POST /v1/optouts", wish.clone()).await.json();
    assert_eq!(out, json!({"address": "+6281234567890", "opted_out": true}));
    let refused = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await;
    assert_eq!(refused.problem(), (422, "opted_out".into()));
    let back = tenant.call("DELETE /v1/optouts", wish).await.json();
    assert_eq!(back["opted_out"], false);
    assert_eq!(tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.status, 202);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_bad_row_of_a_batch_is_named_and_the_others_go() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut strange = template(&session, "6281234567892");
    strange["pirority"] = json!(1);
    let rows = json!([
        template(&session, "6281234567890"),
        template(&session, "0812345678"),
        strange,
        7,
        template(&session, "6281234567891"),
    ]);
    let answer = tenant.call("POST /v1/messages/batch", json!({"messages": rows})).await;
    let body = answer.json();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((body["accepted"].as_u64(), body["refused"].as_u64()), (Some(2), Some(3)));
    let ends: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["index"].as_u64(), row["status"].as_u64(), row["problem"]["code"].as_str()))
        .collect();
    let end = |index, status, code| (Some(index), Some(status), code);
    assert_eq!(
        ends,
        [
            end(0, 202, None),
            end(1, 422, Some("invalid_address")),
            end(2, 422, Some("unknown_field")),
            end(3, 422, Some("invalid_value")),
            end(4, 202, None),
        ]
    );
    assert_eq!(body["data"][1]["problem"]["trace_id"].as_str(), answer.headers["trace-id"].to_str().ok());
    for row in [0, 4] {
        let url = body["data"][row]["message"]["status_url"].as_str().unwrap();
        assert_eq!(tenant.get(url).await.json()["id"], body["data"][row]["message"]["id"]);
    }
    for messages in [json!([]), Value::Array(vec![template(&session, "6281234567890"); 1_001])] {
        let refused = tenant.call("POST /v1/messages/batch", json!({"messages": messages})).await;
        assert_eq!(refused.problem(), (422, "invalid_value".into()));
        assert_eq!(refused.json()["path"], "messages");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_batch_that_is_repeated_with_its_key_sends_nothing_twice() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let mut rows: Vec<Value> = (0..9).map(|n| template(&session, &format!("628123456789{n}"))).collect();
    let mut own = template(&session, "6281234567800");
    own["options"] = json!({"idempotency_key": "order-7"});
    rows.push(own.clone());
    let batch = json!({"messages": rows});
    let key = [("idempotency-key", "run-1")];
    let first = tenant.with("POST /v1/messages/batch", &key, batch.clone()).await.json();
    let second = tenant.with("POST /v1/messages/batch", &key, batch).await.json();
    let told = |answer: &Value, replayed: bool| -> Vec<String> {
        let row = |row: &Value| {
            assert_eq!(row["message"]["replayed"].as_bool(), Some(replayed), "{row}");
            row["message"]["id"].as_str().unwrap().to_owned()
        };
        answer["data"].as_array().unwrap().iter().map(row).collect()
    };
    assert_eq!(told(&first, false), told(&second, true));
    // A row's own key is the row's, wherever it comes again.
    let alone = tenant.call("POST /v1/messages/batch", json!({"messages": [own.clone()]})).await.json();
    assert_eq!(told(&alone, true), told(&first, false)[9..]);
    assert_eq!(told(&alone, true), [tenant.call("POST /v1/messages", own.clone()).await.id()]);
    own["options"] = json!({"idempotency_key": ""});
    let refused = tenant.call("POST /v1/messages", own).await;
    assert_eq!(refused.problem(), (400, "idempotency_key".into()));
    for row in first["data"].as_array().unwrap() {
        let url = row["message"]["status_url"].as_str().unwrap();
        tenant.until(url, |message| message["status"] == "read").await;
    }
    assert_eq!(sandbox.stats().accepted, 10);
    house.running.shutdown().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_message_for_later_says_what_it_waits_for_and_until_when() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut later = template(&session, "6281234567890");
    later["options"] = json!({"send_at": "2099-01-01T00:00:00Z"});
    assert_eq!(tenant.call("POST /v1/messages", later.clone()).await.problem().0, 422);
    let tomorrow = (house.running.node.clock().now_ms() / 1_000 + 86_400) * 1_000;
    let tomorrow = kabar_engine::time::Timestamp(tomorrow).to_rfc3339();
    later["options"] = json!({"send_at": tomorrow});
    let id = tenant.call("POST /v1/messages", later).await.id();
    let shown = tenant.get(&format!("/v1/messages/{id}")).await.json();
    assert_eq!(shown["wait"], json!({"reason": "start", "until": tomorrow}), "{shown}");
    house.running.shutdown().await;
}
