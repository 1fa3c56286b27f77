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
