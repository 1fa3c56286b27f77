//! What Meta calls: signed or refused, and answered only when it is kept.

use super::house::{Answer, House, sandbox};
use hmac::Mac;
use serde_json::json;

#[tokio::test]
async fn a_webhook_without_the_right_signature_is_refused() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let app =
        tenant.call("POST /v1/apps", json!({"app_secrets": ["secret"], "verify_token": "token"})).await.id();
    let path = format!("POST /connectors/cloud/{app}");
    let body = json!({"object": "whatsapp_business_account", "entry": []}).to_string();
    let wrong = format!("sha256={}", "0".repeat(64));
    for headers in
        [vec![], vec![("x-hub-signature-256", wrong.as_str())], vec![("x-hub-signature-256", "sha256=zz")]]
    {
        assert_eq!(house.call(&path, &headers, body.clone()).await.problem(), (401, "bad_signature".into()));
    }
    let unknown = house.call("POST /connectors/cloud/app_0000000000001", &[], body.clone()).await;
    assert_eq!(unknown.problem(), (404, "not_found".into()));
    assert_eq!(house.call("POST /connectors/cloud/nothing", &[], body).await.status, 404);
    house.running.shutdown().await;
}

/// What an answer says, without what no two of them share.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let own = answer.headers.get("trace-id").expect("every answer has one").to_str().unwrap();
    let shared = |name: &str| !matches!(name, "date" | "trace-id");
    let headers = answer.headers.iter().filter(|(name, _)| shared(name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort();
    (answer.status, headers, answer.text.replace(own, "its trace id"))
}

/// A plain address leads straight to the route, one that must be decoded first through the router.
#[tokio::test]
async fn the_straight_way_of_a_webhook_answers_as_the_router_does() {
    let house = House::with(|config| config.engine.webhook_max_bytes = 64 << 10).await;
    let tenant = house.tenant("A").await;
    let app =
        tenant.call("POST /v1/apps", json!({"app_secrets": ["secret"], "verify_token": "token"})).await.id();
    let sign = |body: &str| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"secret").unwrap();
        mac.update(body.as_bytes());
        mac.finalize()
            .into_bytes()
            .iter()
            .fold("sha256=".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    };
    let empty = json!({"object": "whatsapp_business_account", "entry": []}).to_string();
    let large = " ".repeat(65 << 10);
    let coded = [("content-encoding", "gzip")];
    let (none, unsigned) = (&[] as &[_], [("x-hub-signature-256", "sha256=00")]);
    let asked = [
        ("", empty.as_str(), none, 200),
        ("?with=a+query", &empty, none, 200),
        ("", "{", none, 400),
        ("", &empty, &coded, 415),
        ("", &large, none, 413),
        ("", &empty, &unsigned, 401),
    ];
    for (query, body, headers, status) in asked {
        let signed = sign(body);
        let own = headers.iter().any(|(name, _)| *name == "x-hub-signature-256");
        let signature = (!own).then_some(("x-hub-signature-256", signed.as_str()));
        let headers: Vec<_> = headers.iter().copied().chain(signature).collect();
        let ways = [app.clone(), app.replacen("app", "%61pp", 1)];
        let ways = ways.map(|app| format!("POST /connectors/cloud/{app}{query}"));
        let straight = house.call(&ways[0], &headers, body.to_owned()).await;
        let routed = house.call(&ways[1], &headers, body.to_owned()).await;
        assert_eq!(straight.status, status, "{straight:?}");
        assert_eq!(said(&straight), said(&routed));
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_webhook_that_is_too_large_is_refused_before_it_is_read() {
    let house = House::with(|config| config.engine.webhook_max_bytes = 64 << 10).await;
    let tenant = house.tenant("A").await;
    let app =
        tenant.call("POST /v1/apps", json!({"app_secrets": ["secret"], "verify_token": "token"})).await.id();
    let large = house.call(&format!("POST /connectors/cloud/{app}"), &[], vec![b' '; 65 << 10]).await;
    assert_eq!(large.problem(), (413, "body_too_large".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn metas_question_is_answered_with_its_challenge_and_only_for_the_right_token() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let app =
        tenant.call("POST /v1/apps", json!({"app_secrets": ["secret"], "verify_token": "to ken"})).await.id();
    let ask = |token: &str| {
        format!(
            "GET /connectors/cloud/{app}?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444"
        )
    };
    let right = house.call(&ask("to%20ken"), &[], "").await;
    assert_eq!((right.status, right.text.as_str()), (200, "1158201444"));
    assert_eq!(house.call(&ask("token"), &[], "").await.problem(), (403, "challenge_refused".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_a_person_writes_opens_the_window_and_stop_closes_every_door() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let say = |text: &str| kabar_sandbox::Inbound {
        phone_number_id: sandbox.config().numbers[0].phone_number_id.clone(),
        from: "6281234567890".into(),
        text: Some(text.into()),
        ..kabar_sandbox::Inbound::default()
    };
    let answer = json!({"session": session, "to": "6281234567890", "text": {"body": "Halo juga"}});
    assert_eq!(tenant.call("POST /v1/messages", answer.clone()).await.problem().1, "window_closed");
    sandbox.inbound(&say("Halo")).unwrap();
    settle(&sandbox).await;
    assert_eq!(tenant.call("POST /v1/messages", answer.clone()).await.status, 202);
    sandbox.inbound(&say("BERHENTI")).unwrap();
    settle(&sandbox).await;
    assert_eq!(tenant.call("POST /v1/messages", answer).await.problem(), (422, "opted_out".into()));
    house.running.shutdown().await;
    sandbox.stop().await;
}

/// Until every webhook was answered with 200.
async fn settle(sandbox: &kabar_sandbox::Sandbox) {
    let mut turn = tokio::time::interval(std::time::Duration::from_millis(10));
    let begin = std::time::Instant::now();
    while sandbox.stats().webhooks.pending > 0 {
        turn.tick().await;
        assert!(begin.elapsed().as_secs() < 30, "{:?}", sandbox.stats());
    }
}
