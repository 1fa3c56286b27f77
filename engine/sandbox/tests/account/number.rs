//! Numbers, accounts, tokens, subscriptions, blocks: what is read, changed, refused and told.

use hmac::{Hmac, Mac};
use hyper::Method;
use kabar_sandbox::{Behaviour, Inbound, NumberConfig, Sandbox, SandboxConfig, VERIFICATION_CODE};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{ACCOUNT, news, told};
use crate::harness::{Client, NUMBER, Receiver, items, sandbox, swift, text, until};

#[tokio::test]
async fn a_number_is_registered_with_its_pin_and_sends_nothing_when_it_is_not() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    let number = format!("/v26.0/{NUMBER}");
    assert_eq!(client.post(&number, &json!({"pin": "123456"})).await.json(), json!({"success": true}));
    assert_eq!(told(&mut receiver, "security", 1).await[0]["event"], "PIN_CHANGED");
    assert_eq!(client.post(&format!("{number}/deregister"), &json!({})).await.status, 200);
    assert_eq!(client.send(&text("15550100001", "a")).await.code(), 133_010);
    let fields = client
        .get(&format!("{number}?fields=status,health_status{{can_send_message}},platform_type"))
        .await
        .json();
    assert_eq!(fields["status"], "DISCONNECTED");
    assert_eq!(fields["health_status"], json!({"can_send_message": "BLOCKED"}));
    let register = |pin: &str| json!({"messaging_product": "whatsapp", "pin": pin});
    let path = format!("{number}/register");
    assert_eq!(client.post(&path, &register("12")).await.code(), 100);
    for code in [133_005, 133_005, 133_005, 133_005, 133_005, 133_008] {
        assert_eq!(client.post(&path, &register("000000")).await.code(), code);
    }
    assert_eq!(
        client.post(&path, &register("123456")).await.code(),
        133_008,
        "too many guesses bar the right one too"
    );
    sandbox.advance(3_600_000);
    assert_eq!(client.post(&path, &register("123456")).await.status, 200);
    assert_eq!(client.send(&text("15550100001", "b")).await.status, 200);
    for _ in 0..9 {
        assert_eq!(client.post(&path, &register("123456")).await.status, 200);
    }
    assert_eq!(client.post(&path, &register("123456")).await.code(), 133_016, "ten times in 72 hours");
}

#[tokio::test]
async fn a_number_is_verified_with_the_code_that_was_asked_for() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let number = format!("/{NUMBER}");
    let ask = json!({"code_method": "SMS", "language": "en"});
    assert_eq!(
        client.post(&format!("{number}/request_code"), &ask).await.code(),
        136_024,
        "verified and registered"
    );
    client.post(&format!("{number}/deregister"), &json!({})).await;
    assert_eq!(
        client
            .post(&format!("{number}/request_code"), &json!({"code_method": "PIGEON", "language": "en"}))
            .await
            .code(),
        100
    );
    assert_eq!(client.post(&format!("{number}/request_code"), &ask).await.status, 200);
    let register = json!({"messaging_product": "whatsapp", "pin": "123456"});
    assert_eq!(client.post(&format!("{number}/register"), &register).await.code(), 133_006);
    assert_eq!(
        client.post(&format!("{number}/verify_code"), &json!({"code": "000000"})).await.code(),
        136_025
    );
    assert_eq!(
        client.post(&format!("{number}/verify_code"), &json!({"code": VERIFICATION_CODE})).await.json()["success"],
        true
    );
    assert_eq!(client.post(&format!("{number}/register"), &register).await.status, 200);
}

#[tokio::test]
async fn every_field_that_is_polled_is_there_and_orders_change_it() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    let polled = "display_phone_number,verified_name,name_status,code_verification_status,quality_rating,status,platform_type,\
        throughput,account_mode,whatsapp_business_manager_messaging_limit,is_official_business_account,health_status,\
        webhook_configuration,is_pin_enabled";
    let whole = client.get(&format!("/{NUMBER}?fields={polled}")).await.json();
    for field in polled.split(',') {
        assert!(whole.get(field.trim()).is_some(), "{field}");
    }
    assert_eq!(whole["webhook_configuration"]["application"], receiver.url.as_str());
    let order = json!({"phone_number_id": NUMBER, "quality_rating": "YELLOW", "status": "FLAGGED", "restriction": 131_031});
    assert_eq!(control.post("/_sim/number", &order).await.json()["quality_rating"], "YELLOW");
    assert_eq!(told(&mut receiver, "phone_number_quality_update", 1).await[0]["event"], "FLAGGED");
    let refused = client.send(&text("15550100001", "a")).await;
    assert_eq!((refused.status, refused.code()), (403, 131_031));
    let faster = json!({"phone_number_id": NUMBER, "restriction": 0, "messages_per_second": 1000});
    assert_eq!(control.post("/_sim/number", &faster).await.status, 200);
    assert_eq!(client.send(&text("15550100001", "b")).await.code(), 131_057, "a minute of maintenance");
    sandbox.advance(60_000);
    assert_eq!(told(&mut receiver, "phone_number_quality_update", 2).await[1]["event"], "THROUGHPUT_UPGRADE");
    assert_eq!(client.send(&text("15550100001", "c")).await.status, 200);
    assert_eq!(client.get(&format!("/{NUMBER}")).await.json()["throughput"]["level"], "HIGH");
    let name = json!({"new_display_name": "Toko Ana"});
    assert_eq!(client.post(&format!("/{NUMBER}"), &name).await.status, 200);
    sandbox.advance(2_000);
    assert_eq!(told(&mut receiver, "phone_number_name_update", 1).await[0]["decision"], "APPROVED");
    assert_eq!(
        client.get(&format!("/{NUMBER}?fields=verified_name")).await.json()["verified_name"],
        "Toko Ana"
    );
}

#[tokio::test]
async fn profile_and_settings_keep_what_they_were_given_within_metas_bounds() {
    let sandbox = sandbox(swift()).await;
    let mut client = Client::to(&sandbox);
    let path = format!("/{NUMBER}/whatsapp_business_profile");
    let whole = json!({"messaging_product": "whatsapp", "about": "Lamps", "email": "a@shop.example",
        "websites": ["https://shop.example"], "vertical": "RETAIL"});
    assert_eq!(client.post(&path, &whole).await.json(), json!({"success": true}));
    let shown = client.get(&format!("{path}?fields=about,email,websites,vertical")).await.json();
    assert_eq!(shown["data"][0], whole);
    for wrong in [
        json!({"about": "x".repeat(140)}),
        json!({"email": "nobody"}),
        json!({"websites": ["https://a", "https://b", "https://c"]}),
        json!({"vertical": "POETRY"}),
        json!({"profile_picture_handle": "4::none"}),
    ] {
        let mut body = wrong.clone();
        body["messaging_product"] = "whatsapp".into();
        assert_eq!(client.post(&path, &body).await.code(), 100, "{wrong}");
    }
    let path = format!("/{NUMBER}/settings");
    let check = json!({"user_identity_change": {"enable_identity_key_check": true}});
    assert_eq!(client.post(&path, &check).await.status, 200);
    assert_eq!(client.get(&path).await.json()["user_identity_change"], check["user_identity_change"]);
    assert_eq!(client.post(&path, &json!({"poem": {}})).await.code(), 100);
    let account =
        client.get(&format!("/{ACCOUNT}?fields=name,currency,is_enabled_for_insights")).await.json();
    assert_eq!(
        (account["currency"].as_str(), account["is_enabled_for_insights"].as_bool()),
        (Some("USD"), Some(false))
    );
    assert_eq!(
        client.post(&format!("/{ACCOUNT}?is_enabled_for_insights=true"), &json!(null)).await.status,
        200
    );
    let account = client.get(&format!("/{ACCOUNT}?fields=is_enabled_for_insights")).await.json();
    assert_eq!(account["is_enabled_for_insights"], true);
}

#[tokio::test]
async fn only_users_who_wrote_within_a_day_can_be_blocked_and_each_fails_alone() {
    let sandbox = sandbox(swift()).await;
    let (mut client, mut receiver) = (Client::to(&sandbox), Receiver::start().await);
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let write = |from: &str| Inbound {
        phone_number_id: NUMBER.into(),
        from: from.into(),
        text: Some("Hi".into()),
        ..Inbound::default()
    };
    sandbox.inbound(&write("15550100001")).unwrap();
    let path = format!("/{NUMBER}/block_users");
    let users = json!({"messaging_product": "whatsapp", "block_users": [{"user": "+15550100001"}, {"user": "15550100002"}]});
    let heard = client.post(&path, &users).await;
    assert_eq!((heard.status, heard.code()), (400, 139_100));
    let parts = &heard.json()["block_users"];
    assert_eq!(parts["added_users"], json!([{"input": "+15550100001", "wa_id": "15550100001"}]));
    assert_eq!(
        (parts["failed_users"][0]["input"].as_str(), parts["failed_users"][0]["errors"][0]["code"].as_u64()),
        (Some("15550100002"), Some(131_047))
    );
    assert_eq!(
        client.get(&path).await.json()["data"],
        json!([{"messaging_product": "whatsapp", "wa_id": "15550100001"}])
    );
    assert_eq!(client.send(&text("15550100001", "a")).await.code(), 130_403);
    assert!(sandbox.inbound(&write("15550100001")).is_err(), "nothing is heard of a blocked user");
    let one = json!({"messaging_product": "whatsapp", "block_users": [{"user": "15550100001"}]});
    let freed = client.try_call(Method::DELETE, &path, one.to_string().as_bytes()).await.unwrap();
    assert_eq!(freed.json()["block_users"]["removed_users"][0]["wa_id"], "15550100001");
    assert_eq!(client.send(&text("15550100001", "b")).await.status, 200);
    receiver.until(|posts| items(posts, "messages").len() == 1).await;
}

#[tokio::test]
async fn tokens_end_lack_permissions_and_must_prove_the_secret_when_they_try() {
    let sandbox = sandbox(swift()).await;
    let mut control = Client::control(&sandbox);
    let mut fresh = Client::with_token(&sandbox, "fresh-token");
    assert_eq!(fresh.send(&text("15550100001", "a")).await.code(), 190);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let order =
        json!({"token": "fresh-token", "expires_at": now + 600, "scopes": ["whatsapp_business_messaging"]});
    assert_eq!(control.post("/_sim/token", &order).await.status, 200);
    assert_eq!(fresh.send(&text("15550100001", "b")).await.status, 200);
    let refused = fresh.get(&format!("/{ACCOUNT}/message_templates")).await;
    assert_eq!((refused.status, refused.code()), (403, 200));
    let about = fresh.get("/debug_token?input_token=fresh-token").await.json();
    assert_eq!(
        (about["data"]["is_valid"].as_bool(), about["data"]["expires_at"].as_u64()),
        (Some(true), Some(now + 600))
    );
    assert_eq!(about["data"]["scopes"], json!(["whatsapp_business_messaging"]));
    sandbox.advance(600_000);
    let expired = fresh.send(&text("15550100001", "c")).await;
    assert_eq!((expired.status, expired.code()), (401, 190));
    assert_eq!(expired.json()["error"]["error_subcode"], 463);
    let mut client = Client::to(&sandbox);
    assert_eq!(client.get("/debug_token?input_token=fresh-token").await.json()["data"]["is_valid"], false);
    assert_eq!(client.get("/debug_token?input_token=x").await.json()["data"]["is_valid"], false);

    let mut mac = Hmac::<Sha256>::new_from_slice(b"sandbox-app-secret").unwrap();
    mac.update(b"sandbox-access-token");
    let proof: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let path = |proof: &str| format!("/{NUMBER}/messages?appsecret_proof={proof}");
    assert_eq!(client.post(&path(&proof), &text("15550100001", "d")).await.status, 200);
    assert_eq!(client.post(&path("0".repeat(64).as_str()), &text("15550100001", "e")).await.code(), 100);
    sandbox.set_behaviour(Behaviour { require_appsecret_proof: true, ..swift() }).unwrap();
    assert_eq!(client.send(&text("15550100001", "f")).await.code(), 100);
    assert_eq!(client.post(&path(&proof), &text("15550100001", "g")).await.status, 200);
}

#[tokio::test]
async fn management_calls_of_an_hour_are_counted_and_limited_and_sends_are_not() {
    let sandbox = sandbox(Behaviour { management_limit_per_hour: 4, ..swift() }).await;
    let mut client = Client::to(&sandbox);
    let path = format!("/{ACCOUNT}/phone_numbers");
    for percent in [25, 50, 75, 100] {
        let heard = client.get(&path).await;
        let usage: Value =
            serde_json::from_str(heard.headers["x-business-use-case-usage"].to_str().unwrap()).unwrap();
        assert_eq!((heard.status, usage[ACCOUNT][0]["call_count"].as_u64()), (200, Some(percent)));
    }
    let over = client.get(&path).await;
    assert_eq!(over.code(), 80_007);
    let usage: Value =
        serde_json::from_str(over.headers["x-business-use-case-usage"].to_str().unwrap()).unwrap();
    assert_eq!(usage[ACCOUNT][0]["estimated_time_to_regain_access"], 60);
    assert_eq!(client.send(&text("15550100001", "a")).await.status, 200);
    sandbox.advance(3_600_000);
    assert_eq!(client.get(&path).await.status, 200);
}

#[tokio::test]
async fn the_nearest_receiver_hears_number_before_account_before_app() {
    let second = NumberConfig {
        phone_number_id: "106000000000002".into(),
        display_phone_number: "15550200001".into(),
        ..NumberConfig::default()
    };
    let config = SandboxConfig {
        numbers: vec![NumberConfig::default(), second],
        behaviour: swift(),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await.unwrap();
    let (app, account, number) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    sandbox.set_webhook(&app.url).await.unwrap();
    let mut client = Client::to(&sandbox);
    let path = format!("/{ACCOUNT}/subscribed_apps");
    let wrong = json!({"override_callback_uri": account.url, "verify_token": "wrong"});
    assert_eq!(client.post(&path, &wrong).await.code(), 2200, "the receiver must know the token");
    let right = json!({"override_callback_uri": account.url, "verify_token": "sandbox-verify-token"});
    assert_eq!(client.post(&path, &right).await.json(), json!({"success": true}));
    assert_eq!(client.get(&path).await.json()["data"][0]["override_callback_uri"], account.url.as_str());
    let own = json!({"webhook_configuration": {"override_callback_uri": number.url, "verify_token": "sandbox-verify-token"}});
    assert_eq!(client.post(&format!("/{NUMBER}"), &own).await.status, 200);
    let shown = client.get(&format!("/{NUMBER}?fields=webhook_configuration")).await.json();
    assert_eq!(
        shown["webhook_configuration"],
        json!({"phone_number": number.url, "whatsapp_business_account": account.url, "application": app.url})
    );

    client.post(&format!("/{NUMBER}/messages"), &text("15550100001", "first")).await;
    client.post("/106000000000002/messages", &text("15550100002", "second")).await;
    client.post(&format!("/{NUMBER}"), &json!({"pin": "123456"})).await;
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    let to = |receiver: &Receiver| {
        receiver
            .items("statuses")
            .iter()
            .map(|s| s["biz_opaque_callback_data"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(to(&number), ["first".to_owned()].into());
    assert_eq!(to(&account), ["second".to_owned()].into());
    assert_eq!(
        (to(&app).len(), news(&account.posts(), "security").len()),
        (0, 1),
        "news of an account pass its numbers by"
    );

    client.post(&path, &json!({})).await;
    client
        .post(&format!("/{NUMBER}"), &json!({"webhook_configuration": {"override_callback_uri": ""}}))
        .await;
    client.post(&format!("/{NUMBER}/messages"), &text("15550100001", "third")).await;
    until(&sandbox, kabar_sandbox::Stats::is_settled).await;
    assert_eq!(to(&app), ["third".to_owned()].into());
    client.try_call(Method::DELETE, &path, b"").await.unwrap();
    assert_eq!(client.get(&path).await.json()["data"], json!([]));
    client.post(&format!("/{NUMBER}/messages"), &text("15550100001", "fourth")).await;
    let stats = until(&sandbox, |stats| stats.scheduled_events == 0).await;
    assert_eq!(stats.webhooks.unsubscribed, 3);
}

#[tokio::test]
async fn news_of_an_account_are_told_as_ordered_and_a_ban_closes_its_numbers() {
    let sandbox = sandbox(swift()).await;
    let mut receiver = Receiver::start().await;
    sandbox.set_webhook(&receiver.url).await.unwrap();
    let (mut client, mut control) = (Client::to(&sandbox), Client::control(&sandbox));
    let alert = json!({"field": "account_alerts", "value": {"entity_type": "BUSINESS", "entity_id": "1", "alert_info": {"alert_type": "OBA_APPROVED"}}});
    assert_eq!(control.post("/_sim/event", &alert).await.json(), json!({"told": true}));
    assert_eq!(told(&mut receiver, "account_alerts", 1).await[0], alert["value"]);
    let ban = |state: &str| json!({"field": "account_update", "value": {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}}});
    control.post("/_sim/event", &ban("DISABLE")).await;
    assert_eq!(client.send(&text("15550100001", "a")).await.code(), 131_031);
    control.post("/_sim/event", &ban("REINSTATE")).await;
    assert_eq!(client.send(&text("15550100001", "b")).await.status, 200);
    assert_eq!(told(&mut receiver, "account_update", 2).await.len(), 2);
    assert_eq!(control.post("/_sim/event", &json!({"field": "messages", "value": {}})).await.status, 400);
}
