//! Numbers at Meta: profile, block list, registration, two-step PIN, subscribed apps. Against the simulated WhatsApp; codes
//! and PINs are found in no answer and no log.

use super::house::{House, sandbox};
use serde_json::{Value, json};

const ANA: &str = "+6281234567890";

#[tokio::test]
async fn a_profile_is_read_changed_in_part_and_refused_by_its_limits() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let path = format!("/v1/sessions/{session}/profile");
    let put = format!("PUT /v1/sessions/{session}/profile");
    let full = json!({"about": "We answer from 9 to 5.", "address": "Jalan 1", "description": "A shop",
        "email": "a@shop.example", "websites": ["https://shop.example"], "vertical": "RETAIL"});
    let shown = tenant.call(&put, full).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let shown = tenant.call(&put, json!({"about": "Closed."})).await.json();
    assert_eq!((&shown["about"], &shown["email"]), (&json!("Closed."), &json!("a@shop.example")));
    assert_eq!(tenant.get(&format!("/v1/sessions/{session}/profile")).await.json(), shown);
    for (wrong, at) in [
        (json!({"about": ""}), "about"),
        (json!({"about": "x".repeat(140)}), "about"),
        (json!({"address": "x".repeat(257)}), "address"),
        (json!({"description": "x".repeat(513)}), "description"),
        (json!({"email": "x".repeat(129)}), "email"),
        (json!({"websites": ["a.example"]}), "websites"),
        (json!({"websites": ["https://a", "https://b", "https://c"]}), "websites"),
        (json!({"vertical": "SHOP"}), "vertical"),
    ] {
        let refused = tenant.call(&put, wrong.clone()).await;
        assert_eq!(
            (refused.problem().1.as_str(), &refused.json()["path"]),
            ("invalid_value", &json!(at)),
            "{wrong}"
        );
    }
    assert_eq!(tenant.get(&path).await.json(), shown, "what is refused changes nothing");
    // A picture of the tenant's own media is uploaded to the app of the token.
    let picture = tenant.call("POST /v1/media", json!({"base64": PIXEL, "filename": "shop.png"})).await.id();
    let with_picture = tenant.call(&put, json!({"picture": picture})).await;
    assert!(
        with_picture.status == 200 && with_picture.json()["profile_picture_url"].is_string(),
        "{with_picture:?}"
    );
    let nobodys = tenant.call(&put, json!({"picture": "med_0000000000001"})).await;
    assert_eq!(nobodys.problem(), (404, "unknown_reference".into()));
    house.running.shutdown().await;
}

/// A picture of one point.
pub(super) const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[tokio::test]
async fn of_a_block_list_every_person_is_answered_for() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let path = format!("/v1/sessions/{session}/blocks");
    let (block, unblock) =
        (format!("POST /v1/sessions/{session}/blocks"), format!("DELETE /v1/sessions/{session}/blocks"));
    let inbound = kabar_sandbox::Inbound {
        phone_number_id: sandbox.config().numbers[0].phone_number_id.clone(),
        from: ANA.trim_start_matches('+').into(),
        text: Some("Halo".into()),
        ..kabar_sandbox::Inbound::default()
    };
    sandbox.inbound(&inbound).unwrap();
    let answer = tenant.call(&block, json!({"users": [ANA, "+6281299990000"]})).await;
    let told = answer.json();
    assert_eq!((answer.status, &told["done"]), (200, &json!([ANA])), "{told}");
    let failed = &told["failed"][0];
    assert_eq!((&failed["user"], &failed["code"]), (&json!("+6281299990000"), &json!(131_047)), "{told}");
    assert_eq!(
        tenant.get(&format!("/v1/sessions/{session}/blocks")).await.json()["data"],
        json!([{"address": ANA}])
    );
    for (wrong, code) in
        [(json!({"users": []}), "invalid_value"), (json!({"users": ["0812"]}), "invalid_address")]
    {
        assert_eq!(tenant.call(&block, wrong.clone()).await.problem(), (422, code.into()), "{wrong}");
    }
    assert_eq!(tenant.call(&unblock, json!({"users": [ANA]})).await.json()["done"], json!([ANA]));
    assert_eq!(tenant.get(&path).await.json()["data"], json!([]));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_number_is_proved_registered_and_taken_from_the_api_and_its_pin_is_told_to_nobody() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let call = |what: &str, rest: &str| format!("{what} /v1/sessions/{session}/{rest}");
    let pin = json!({"pin": "246813"});
    assert_eq!(tenant.call(&format!("PUT /v1/sessions/{session}/two-step"), pin.clone()).await.status, 204);
    let deregister = format!("DELETE /v1/sessions/{session}/registration");
    assert_eq!(tenant.call(&deregister, Value::Null).await.status, 204);
    let again = tenant.call(&deregister, Value::Null).await;
    assert_eq!(
        (again.problem().1.as_str(), &again.json()["provider"]["code"]),
        ("provider_refused", &json!(133_010))
    );
    let code = json!({"method": "sms", "language": "id_ID"});
    let asked = tenant.call(&format!("POST /v1/sessions/{session}/registration/code"), code).await;
    assert_eq!(asked.status, 204, "{asked:?}");
    let verify = format!("POST /v1/sessions/{session}/registration/verify");
    let wrong = tenant.call(&verify, json!({"code": "000000"})).await;
    assert!(
        wrong.problem() == (422, "provider_refused".into()) && !wrong.text.contains("000000"),
        "{wrong:?}"
    );
    assert_eq!(tenant.call(&verify, json!({"code": kabar_sandbox::VERIFICATION_CODE})).await.status, 204);
    let register = format!("POST /v1/sessions/{session}/registration");
    let wrong = tenant.call(&register, json!({"pin": "111111"})).await;
    assert!(
        wrong.problem() == (422, "provider_refused".into()) && !wrong.text.contains("111111"),
        "{wrong:?}"
    );
    assert_eq!(tenant.call(&register, pin).await.status, 204);
    for (what, body, at) in [
        (call("PUT", "two-step"), json!({"pin": "12345"}), "pin"),
        (call("POST", "registration"), json!({"pin": "12345x"}), "pin"),
        (
            call("POST", "registration"),
            json!({"pin": "123456", "data_localization_region": "Indonesia"}),
            "data_localization_region",
        ),
        (call("POST", "registration/verify"), json!({"code": "1234567"}), "code"),
        (call("POST", "registration/code"), json!({"method": "mail", "language": "en_US"}), "method"),
        (call("POST", "registration/code"), json!({"method": "sms", "language": "english"}), "language"),
    ] {
        let refused = tenant.call(&what, body.clone()).await;
        assert_eq!(
            (refused.problem().1.as_str(), &refused.json()["path"]),
            ("invalid_value", &json!(at)),
            "{what}"
        );
        let secret = body["pin"].as_str().or(body["code"].as_str()).unwrap_or("nothing");
        assert!(!refused.text.contains(secret), "{refused:?}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_accounts_webhooks_are_subscribed_sent_elsewhere_and_stopped() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let path = format!("/v1/sessions/{session}/subscribed-apps");
    let subscribe = format!("POST /v1/sessions/{session}/subscribed-apps");
    assert_eq!(tenant.call(&subscribe, json!({})).await.status, 204);
    let apps = tenant.get(&format!("/v1/sessions/{session}/subscribed-apps")).await.json();
    assert_eq!(apps["apps"].as_array().map(Vec::len), Some(1), "{apps}");
    for wrong in [
        json!({"override_callback_uri": "https://a.example"}),
        json!({"verify_token": "v"}),
        json!({"override_callback_uri": "http://a.example", "verify_token": "v"}),
    ] {
        assert_eq!(
            tenant.call(&subscribe, wrong.clone()).await.problem(),
            (422, "invalid_value".into()),
            "{wrong}"
        );
    }
    let stop = format!("DELETE /v1/sessions/{session}/subscribed-apps");
    assert_eq!(tenant.call(&stop, Value::Null).await.status, 204);
    assert_eq!(tenant.get(&path).await.json()["apps"], json!([]));
    // An account that nobody told of.
    let idle = tenant.idle_session("106000000000777").await;
    let unknown = tenant.get(&format!("/v1/sessions/{idle}/subscribed-apps")).await;
    assert_eq!(unknown.problem(), (409, "account_unknown".into()));
    house.running.shutdown().await;
}
