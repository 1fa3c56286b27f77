//! Sessions: tried at Meta before they are kept, changed, looked at again, removed. Against the simulated WhatsApp, whose
//! tokens and numbers are spoilt through its control API.

use super::house::{House, Tenant, sandbox, template};
use kabar_api::client::Client;
use kabar_sandbox::Sandbox;
use serde_json::{Value, json};

/// The body that links the sandbox's first number.
async fn body(tenant: &Tenant<'_>, sandbox: &Sandbox) -> Value {
    let config = sandbox.config();
    let app = json!({"app_secrets": [config.app_secret], "verify_token": config.verify_token});
    let app = tenant.call("POST /v1/apps", app).await.id();
    json!({"name": "s", "app": app, "phone_number_id": config.numbers[0].phone_number_id,
        "display_phone_number": config.numbers[0].display_phone_number,
        "access_token": config.access_tokens[0], "base_url": sandbox.base_url()})
}

async fn linked(house: &House, tenant: &Tenant<'_>, body: &Value) -> super::house::Answer {
    house.operator("POST /v1/sessions", &[("kabar-tenant", &tenant.id)], body.clone()).await
}

/// Gives the sandbox's token another standing.
async fn spoil(sandbox: &Sandbox, mut order: Value) {
    order["token"] = json!(sandbox.config().access_tokens[0]);
    control(sandbox).post("/_sim/token", &order).await.unwrap();
}

pub(super) fn control(sandbox: &Sandbox) -> Client {
    Client::new(&sandbox.base_url(), &sandbox.config().control_token)
}

#[tokio::test]
async fn a_token_is_tried_before_its_session_is_kept_and_what_meta_says_is_shown() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let good = body(&tenant, &sandbox).await;
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let wrong = linked(&house, &tenant, &with("access_token", json!("nobodys"))).await;
    assert_eq!(wrong.problem(), (422, "token_refused".into()));
    let told = wrong.json();
    assert_eq!((&told["provider"]["code"], &told["path"]), (&json!(190), &json!("access_token")), "{told}");
    assert!(
        told["provider"]["trace"].is_string() && told["detail"].as_str().unwrap().starts_with("Meta says")
    );
    let other = linked(&house, &tenant, &with("phone_number_id", json!("106000000000009"))).await;
    assert_eq!(other.problem(), (422, "number_unknown".into()));
    let elsewhere = linked(&house, &tenant, &with("waba_id", json!("102000000000009"))).await;
    assert_eq!(elsewhere.status, 201, "an account the token may not look into is believed: {elsewhere:?}");
    let gone = format!("DELETE /v1/sessions/{}", elsewhere.id());
    assert_eq!(tenant.call(&gone, Value::Null).await.status, 200);
    spoil(&sandbox, json!({"scopes": ["whatsapp_business_management"]})).await;
    let unable = linked(&house, &tenant, &good).await;
    assert_eq!(unable.problem(), (422, "token_lacks_permission".into()));
    assert_eq!(unable.json()["scope"], "whatsapp_business_messaging");
    spoil(&sandbox, json!({"scopes": ["whatsapp_business_messaging"]})).await;
    let blind = linked(&house, &tenant, &good).await;
    assert_eq!(
        (blind.problem().1.as_str(), &blind.json()["provider"]["code"]),
        ("token_lacks_permission", &json!(200))
    );
    let away = linked(&house, &tenant, &with("base_url", json!("http://127.0.0.1:9"))).await;
    assert_eq!(away.problem(), (503, "provider_unreachable".into()));
    assert_eq!(tenant.get("/v1/sessions").await.json()["data"], json!([]), "nothing was kept of all that");
    spoil(&sandbox, json!({"expires_at": 4_000_000_000_i64})).await;
    let made = linked(&house, &tenant, &good).await;
    let shown = made.json();
    assert_eq!(made.status, 201, "{shown}");
    for (field, value) in [
        ("verified_name", "Kabar Sandbox"),
        ("quality", "GREEN"),
        ("throughput", "STANDARD"),
        ("number_status", "CONNECTED"),
        ("waba_id", "102000000000001"),
    ] {
        assert_eq!(shown[field], value, "{shown}");
    }
    assert!(shown["validated"].is_string() && shown["tier"].is_string(), "{shown}");
    assert_eq!((&shown["messages_per_second"], &shown["failed"]), (&json!(80), &Value::Null));
    assert_eq!(shown["token_expires"], "2096-10-02T07:06:40.000Z");
    assert_eq!(
        tenant.get(&format!("/v1/sessions/{}", made.id())).await.json()["validated"],
        shown["validated"]
    );
    house.running.shutdown().await;
}

#[tokio::test]
async fn without_a_try_nothing_is_asked_and_a_repeat_is_answered_whatever_became_of_the_token() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let mut wanted = body(&tenant, &sandbox).await;
    wanted["validate"] = json!(false);
    wanted["base_url"] = json!("http://127.0.0.1:9");
    let made = linked(&house, &tenant, &wanted).await;
    let shown = made.json();
    assert_eq!((made.status, &shown["validated"], &shown["waba_id"]), (201, &Value::Null, &Value::Null));
    let check = format!("POST /v1/sessions/{}/check", made.id());
    assert_eq!(tenant.call(&check, Value::Null).await.problem(), (503, "provider_unreachable".into()));
    let read = tenant.get(&format!("/v1/sessions/{}", made.id())).await.json();
    assert_eq!(read["failed"]["why"], "provider_unreachable");
    assert_eq!(tenant.call(&format!("DELETE /v1/sessions/{}", made.id()), Value::Null).await.status, 200);
    // The same request again, when its token works no longer.
    let good = body(&tenant, &sandbox).await;
    let under =
        |key: &'static str| [("kabar-tenant", tenant.id.clone()), ("idempotency-key", key.to_owned())];
    let asked = async |body: &Value| {
        let headers = under("link-1");
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        house.operator("POST /v1/sessions", &headers, body.clone()).await
    };
    let first = asked(&good).await;
    spoil(&sandbox, json!({"valid": false})).await;
    let again = asked(&good).await;
    assert_eq!((again.status, again.id()), (201, first.id()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let mut other = good.clone();
    (other["name"], other["validate"]) = (json!("t"), json!(false));
    assert_eq!(asked(&other).await.problem(), (422, "idempotency_mismatch".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_new_token_is_tried_before_it_replaces_the_old_one_and_then_used_at_once() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let patch = format!("PATCH /v1/sessions/{session}");
    let before = tenant.get(&format!("/v1/sessions/{session}")).await.json();
    let refused = tenant.call(&patch, json!({"access_token": "nobodys", "name": "x"})).await;
    assert_eq!(refused.problem(), (422, "token_refused".into()));
    assert_eq!(tenant.get(&format!("/v1/sessions/{session}")).await.json()["name"], before["name"]);
    for (wrong, code) in [
        (json!({"messages_per_second": 0}), "invalid_value"),
        (json!({"api_version": "23"}), "invalid_value"),
        (json!({"waba_id": "x"}), "invalid_value"),
        (json!({"name": " "}), "invalid_value"),
        (json!({"base_url": "http://x"}), "unknown_field"),
    ] {
        assert_eq!(tenant.call(&patch, wrong.clone()).await.problem(), (422, code.into()), "{wrong}");
    }
    let other = tenant.call(&patch, json!({"waba_id": "102000000000009"})).await.json();
    assert_eq!(other["waba_id"], "102000000000009");
    let told = tenant.call(&patch, json!({"waba_id": null})).await.json();
    assert_eq!(told["waba_id"], "102000000000001", "what Meta tells");
    let changed =
        json!({"name": " Orders ", "messages_per_second": 500, "pair_limit": false, "api_version": "v24.0"});
    let shown = tenant.call(&patch, changed).await.json();
    assert_eq!((&shown["name"], &shown["messages_per_second"]), (&json!("Orders"), &json!(500)));
    assert_eq!((&shown["pair_limit"], &shown["api_version"]), (&json!(false), &json!("v24.0")));
    // A token that ends: messages wait, and the next one goes at once when it is replaced.
    spoil(&sandbox, json!({"valid": false})).await;
    tenant.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    tenant.until(&format!("/v1/sessions/{session}"), |seen| seen["state"] == "link_lost").await;
    let fresh = json!({"token": "a-fresh-one"});
    control(&sandbox).post("/_sim/token", &fresh).await.unwrap();
    let shown = tenant.call(&patch, json!({"access_token": "a-fresh-one"})).await;
    assert!(shown.status == 200 && !shown.text.contains("a-fresh-one"), "{shown:?}");
    let begin = std::time::Instant::now();
    let message = tenant.call("POST /v1/messages", template(&session, "6281234567891")).await.id();
    tenant.until(&format!("/v1/messages/{message}"), |seen| seen["provider_id"].is_string()).await;
    assert!(begin.elapsed().as_secs() < 20, "sooner than a lost link is tried again by itself");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_session_with_work_is_not_removed_unless_it_is_forced_and_then_everything_ends_with_a_cause() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let mut later = template(&session, "6281234567890");
    later["options"] = json!({"send_at": "2027-06-01T10:00:00Z", "valid_for_seconds": 2_000_000});
    let waiting = tenant.call("POST /v1/messages", later).await.id();
    let list = tenant.import("name,phone\nAna,081234567890\n").await["id"].clone();
    let campaign = json!({"name": "c", "senders": [session], "audience": {"list": list},
        "options": {"start_at": "2027-06-01T10:00:00Z"},
        "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"}}}});
    let campaign = tenant.call("POST /v1/campaigns", campaign).await.id();
    assert_eq!(tenant.call(&format!("POST /v1/campaigns/{campaign}/launch"), Value::Null).await.status, 200);
    let remove = format!("DELETE /v1/sessions/{session}");
    let refused = tenant.call(&remove, Value::Null).await;
    assert_eq!(refused.problem(), (409, "session_in_use".into()));
    assert_eq!((&refused.json()["waiting"], &refused.json()["campaigns"]), (&json!(1), &json!([campaign])));
    let removed = tenant.call(&format!("{remove}?force=true"), Value::Null).await;
    let told = json!({"id": session, "ended_messages": 1, "cancelled_campaigns": [campaign]});
    assert_eq!((removed.status, removed.json()), (200, told));
    let message = tenant.until(&format!("/v1/messages/{waiting}"), |seen| seen["status"] == "failed").await;
    assert_eq!(message["error"]["code"], "session_removed");
    tenant.until(&format!("/v1/campaigns/{campaign}"), |seen| seen["state"] == "cancelled").await;
    assert_eq!(tenant.get(&format!("/v1/sessions/{session}")).await.problem(), (404, "not_found".into()));
    let refused = tenant.call("POST /v1/messages", template(&session, "6281234567890")).await;
    assert_eq!(refused.problem(), (404, "unknown_reference".into()), "at once, not when a memory has faded");
    assert_eq!(tenant.call(&remove, Value::Null).await.problem(), (404, "not_found".into()));
    // Its number is free again.
    assert_eq!(tenant.link(&sandbox).await.len(), session.len());
    house.running.shutdown().await;
}

fn signed(secret: &str, body: &str) -> String {
    use hmac::Mac;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[tokio::test]
async fn secrets_of_an_app_rotate_without_a_webhook_that_is_lost() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let app = tenant.call("POST /v1/apps", json!({"app_secrets": ["old"], "verify_token": "v"})).await;
    let (path, webhook) =
        (format!("/v1/apps/{}", app.id()), app.json()["webhook_path"].as_str().unwrap().to_owned());
    let knock = async |secret: &str| {
        let body = json!({"object": "whatsapp_business_account", "entry": []}).to_string();
        let signature = signed(secret, &body);
        let headers = [("x-hub-signature-256", signature.as_str())];
        house.call(&format!("POST {webhook}"), &headers, body).await.status
    };
    assert_eq!((knock("old").await, knock("new").await), (200, 401));
    let both = json!({"app_secrets": ["new", "old"], "app_id": "670843887433847"});
    let shown = tenant.call(&format!("PATCH /v1/apps/{}", app.id()), both).await.json();
    assert_eq!((&shown["app_secrets"], &shown["app_id"]), (&json!(2), &json!("670843887433847")));
    assert_eq!((knock("old").await, knock("new").await), (200, 200));
    let shown =
        tenant.call(&format!("PATCH {path}"), json!({"app_secrets": ["new"], "verify_token": "w"})).await;
    assert!(shown.status == 200 && !shown.text.contains("\"new\""), "{shown:?}");
    assert_eq!((knock("old").await, knock("new").await), (401, 200));
    assert_eq!(tenant.get(&path).await.json(), shown.json());
    for wrong in [json!({"app_secrets": []}), json!({"verify_token": ""}), json!({"app_id": "x"})] {
        let refused = tenant.call(&format!("PATCH {path}"), wrong.clone()).await;
        assert_eq!(refused.problem(), (422, "invalid_value".into()), "{wrong}");
    }
    let foreign = house.tenant("B").await;
    assert_eq!(foreign.get(&path).await.problem(), (404, "not_found".into()));
    house.running.shutdown().await;
}
