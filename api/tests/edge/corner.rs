//! Meta's dialect in its corners: what a program meets that pages, sends forms, leaves out what is needed or writes more than
//! there is. The plain ways are in `dialect.rs`.

use super::dialect::{NUMBER, PNG, error, form, template, text};
use super::house::{House, Tenant, sandbox};
use super::session::control;
use kabar_sandbox::{Behaviour, Delay, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The path of the sandbox's account.
fn templates(sandbox: &Sandbox) -> String {
    format!("/v23.0/{}/message_templates", sandbox.config().numbers[0].waba_id)
}

/// A template by its name, approved and known.
async fn approved(tenant: &Tenant<'_>, (session, sandbox): (&str, &Sandbox), name: &str) -> String {
    let wanted = json!({"name": name, "language": "en_US", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Your parcel has left our shop today."}]});
    let made = tenant.call(&format!("POST {}", templates(sandbox)), wanted).await.id();
    told(tenant, (session, sandbox), &made, "APPROVED").await;
    made
}

async fn told(tenant: &Tenant<'_>, (session, sandbox): (&str, &Sandbox), id: &str, status: &str) {
    control(sandbox).post("/_sim/template", &json!({"id": id, "status": status})).await.unwrap();
    let read = tenant.get(&format!("/v1/sessions/{session}/provider-templates?refresh=true")).await;
    assert_eq!(read.status, 200, "{read:?}");
}

#[tokio::test]
async fn a_paused_or_disabled_template_is_told_with_its_own_code_and_a_rejected_one_as_not_there() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    sandbox.pause_webhooks();
    let id = approved(&tenant, (&session, &sandbox), "hello").await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    assert_eq!(tenant.call(&post, template("6281234567890")).await.status, 200);
    for (status, expected) in [
        ("PAUSED", (400, 132_015, None)),
        ("DISABLED", (400, 132_016, None)),
        ("REJECTED", (404, 132_001, None)),
    ] {
        told(&tenant, (&session, &sandbox), &id, status).await;
        let refused = tenant.call(&post, template("6281234567890")).await;
        assert_eq!(error(&refused), expected, "{status}: {refused:?}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_next_page_of_templates_is_where_its_address_leads_with_everything_that_was_asked_for() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    sandbox.pause_webhooks();
    for name in ["update_a", "update_b", "update_c", "update_d"] {
        let id = approved(&tenant, (&session, &sandbox), name).await;
        if name == "update_d" {
            told(&tenant, (&session, &sandbox), &id, "PAUSED").await;
        }
    }
    let list = templates(&sandbox);
    let asked = format!("{list}?fields=name,status&status=APPROVED&name=update&limit=2");
    let first = tenant.get(&asked).await.json();
    assert_eq!(first["data"].as_array().map(Vec::len), Some(2), "{first}");
    assert!(first["paging"]["cursors"].get("before").is_none(), "no place that leads nowhere: {first}");
    let next = first["paging"]["next"].as_str().unwrap().strip_prefix(&house.running.url()).unwrap();
    let second = tenant.get(next).await;
    assert_eq!(second.status, 200, "{second:?}");
    let second = second.json();
    let keys: Vec<_> = second["data"][0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["id", "name", "status"], "{second}");
    assert_eq!(second["data"].as_array().map(Vec::len), Some(1), "the paused one is not asked for: {second}");
    let mut names: Vec<_> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["data"].as_array().unwrap())
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["update_a", "update_b", "update_c"]);
    assert_eq!(error(&tenant.get(&format!("{list}?before=1.2")).await).1, 131_009, "said, not ignored");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_token_a_proof_and_numbers_count_in_a_json_body_a_form_and_a_query_without_a_body() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let (post, key) = (format!("POST /v23.0/{NUMBER}/messages"), &tenant.key);
    let mut body = template("6281234567890");
    body["access_token"] = json!(key);
    body["appsecret_proof"] = json!("0a1b");
    let json = ("content-type", "application/json");
    let in_json = house.call(&post, &[json], body.to_string()).await;
    let bearer = format!("Bearer {key}");
    let twice = house.call(&post, &[json, ("authorization", &bearer)], body.to_string()).await;
    let written = format!(
        "messaging_product=whatsapp&to=6281234567890&type=template&access_token={key}&appsecret_proof=0a1b\
         &template=%7B%22name%22%3A%22hello%22%2C%22language%22%3A%7B%22code%22%3A%22en_US%22%7D%7D"
    );
    let in_form = house.call(&post, &[FORM], written.clone()).await;
    let in_query = house.call(&format!("{post}?{written}"), &[], "").await;
    for (place, answer) in [("json", in_json), ("both", twice), ("form", in_form), ("query", in_query)] {
        assert_eq!(answer.status, 200, "{place}: {answer:?}");
    }
    body["access_token"] = json!("kbr_nobody");
    assert_eq!(error(&house.call(&post, &[json], body.to_string()).await), (401, 190, None));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_form_makes_a_template_with_its_numbers() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let bearer = format!("Bearer {}", tenant.key);
    let written = "name=order_update&language=en_US&category=UTILITY&message_send_ttl_seconds=3600\
                   &components=%5B%7B%22type%22%3A%22BODY%22%2C%22text%22%3A%22Your%20parcel%20is%20here.%22%7D%5D";
    let made = format!("POST {}", templates(&sandbox));
    let made = house.call(&made, &[FORM, ("authorization", &bearer)], written).await;
    assert_eq!(made.status, 200, "{made:?}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_is_missing_and_what_there_is_not_is_told_as_meta_tells_it_and_never_lost_in_silence() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let to = "6281234567890";
    let with = |kind: &str, object: Value| json!({"messaging_product": "whatsapp", "to": to, "type": kind, kind: object});
    let mut unknown = template(to);
    unknown["template"]["colour"] = json!("red");
    for (body, code) in [
        (json!({"messaging_product": "whatsapp", "to": to, "type": "text"}), 131_008),
        (json!({"messaging_product": "whatsapp", "to": to, "type": "interactive"}), 131_008),
        (with("text", json!({})), 131_008),
        (with("reaction", json!({"message_id": "wamid.X"})), 131_008),
        (with("text", json!({"body": "a", "foo": 1})), 100),
        (unknown, 100),
        (text(to, ""), 131_009),
    ] {
        let answer = tenant.call(&post, body.clone()).await;
        assert_eq!(error(&answer), (400, code, None), "{body}: {answer:?}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn null_for_what_is_quoted_and_a_slash_behind_the_address_change_nothing() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let mut plain = template("6281234567890");
    plain["context"] = Value::Null;
    plain["template"]["namespace"] = json!("of_an_older_version");
    for address in [post.clone(), format!("{post}/")] {
        let answer = tenant.call(&address, plain.clone()).await;
        assert_eq!(answer.status, 200, "{address}: {answer:?}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_profile_says_what_it_has_not_and_what_meta_said_of_it_carries_its_code_once() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let profile = format!("POST /v23.0/{NUMBER}/whatsapp_business_profile");
    let body = |about: &str| json!({"messaging_product": "whatsapp", "about": about});
    let mut unknown = body("We deliver.");
    unknown["foo"] = json!(1);
    let long = tenant.call(&profile, body(&"x".repeat(200))).await;
    assert_eq!(error(&long).1, 100, "{long:?}");
    let said = long.json()["error"]["message"].as_str().unwrap().to_owned();
    let unknown = tenant.call(&profile, unknown).await;
    assert_eq!((unknown.status, unknown.json()["error"]["code"].as_u64()), (400, Some(100)), "{unknown:?}");
    assert_eq!(said.matches("(#100)").count(), 1, "{said}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_file_is_read_by_the_number_it_is_said_to_be_of_and_by_no_other() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let (kind, body) = form(&[("messaging_product", "whatsapp")], Some(("image/png", PNG)));
    let bearer = format!("Bearer {}", tenant.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", kind.as_str())];
    let id = house.call(&format!("POST /v23.0/{NUMBER}/media"), &headers, body).await.id();
    assert_eq!(tenant.get(&format!("/v23.0/{id}?phone_number_id={NUMBER}")).await.status, 200);
    let other = tenant.get(&format!("/v23.0/{id}?phone_number_id=999")).await;
    assert_eq!(error(&other), (400, 100, Some(33)));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_message_for_somebody_who_must_still_be_the_same_goes_to_nobody_else() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    let session = tenant.link(&sandbox).await;
    let phone = json!({"wa_id": "6281234567890", "identity_key_hash": "DF2lS5v2W6x="});
    control(&sandbox).post("/_sim/phone", &phone).await.unwrap();
    let with = |mut body: Value, hash: &str| {
        body["recipient_identity_key_hash"] = json!(hash);
        body
    };
    let dialect = format!("POST /v23.0/{NUMBER}/messages");
    let native = super::house::template(&session, "6281234567890");
    for (hash, status) in [("DF2lS5v2W6x=", "sent"), ("another", "failed")] {
        let sent = tenant.call("POST /v1/messages", with(native.clone(), hash)).await;
        let path = format!("/v1/messages/{}", sent.id());
        let ended = |message: &Value| {
            message["timeline"].as_array().unwrap().iter().any(|moment| moment["status"] == status)
        };
        let message = tenant.until(&path, ended).await;
        assert_eq!(message["recipient_identity_key_hash"], hash, "{message}");
        assert!(message.get("beside").is_none(), "{message}");
        if status == "failed" {
            assert_eq!(message["error"]["code"], "identity_changed", "{message}");
        }
        let sent = tenant.call(&dialect, with(template("6281234567890"), hash)).await;
        assert_eq!(sent.status, 200, "{sent:?}");
    }
    let wrong = tenant.call(&dialect, with(template("6281234567890"), "")).await;
    assert_eq!(error(&wrong), (400, 131_009, None), "{wrong:?}");
    house.running.shutdown().await;
}

/// A tenant whose programs are answered so.
async fn tenant_with(house: &House, meta: Value) -> Tenant<'_> {
    let made = house.operator("POST /v1/tenants", &[], json!({"name": "P", "meta": meta})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (key_id, key) = house.made_key(&[("kabar-tenant", &made.id())], json!({"name": "k"})).await;
    house.again((made.id(), key, key_id))
}

#[tokio::test]
async fn a_tenant_may_have_metas_refusal_in_the_answer_to_its_send() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = tenant_with(&house, json!({"ack": "provider"})).await;
    let session = tenant.link(&sandbox).await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let mut missing = template("6281234567891");
    missing["template"]["name"] = json!("missing_x");
    let refused = tenant.call(&post, missing.clone()).await;
    assert_eq!(error(&refused), (404, 132_001, None), "{refused:?}");
    let sent = tenant.call(&post, template("6281234567892")).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let left = tenant.get(&format!("/v1/conversations?session={session}")).await.json();
    assert_eq!(left["data"].as_array().map(Vec::len), Some(2), "{left}");
    let patch = format!("PATCH /v1/tenants/{}", tenant.id);
    let set = house.operator(&patch, &[], json!({"meta": null})).await;
    assert_eq!(set.json()["meta"], json!({"ack": "early", "throttle": 429}), "{set:?}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn where_meta_does_not_answer_in_time_the_send_is_answered_early() {
    let early = Duration::ZERO..Duration::from_millis(900);
    let bounded = Duration::from_millis(900)..Duration::from_millis(1_900);
    for (ack, expected) in [("early", early), ("provider", bounded)] {
        let house = House::with(|config| config.server.request_timeout_ms = 2_000).await;
        let behaviour = Behaviour { answer_ms: Delay::fixed(4_000), ..Behaviour::quiet() };
        let sandbox = Sandbox::start(SandboxConfig { behaviour, ..SandboxConfig::default() }).await.unwrap();
        let tenant = tenant_with(&house, json!({ "ack": ack })).await;
        tenant.link(&sandbox).await;
        let began = Instant::now();
        let sent = tenant.call(&format!("POST /v23.0/{NUMBER}/messages"), template("6281234567890")).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        assert!(sent.json()["messages"][0]["id"].as_str().is_some_and(|id| id.starts_with("wamid.")));
        let waited = began.elapsed();
        assert!(expected.contains(&waited), "{ack}: {waited:?}");
        house.running.shutdown().await;
    }
}

#[tokio::test]
async fn too_much_is_told_with_429_or_with_400_as_the_tenant_wants_it() {
    for (meta, status) in [(Value::Null, 429), (json!({"throttle": 400}), 400)] {
        let house =
            House::with(|config| (config.limits.send_per_second, config.limits.send_burst) = (1, 2)).await;
        let sandbox = sandbox().await;
        let tenant = tenant_with(&house, meta).await;
        tenant.link(&sandbox).await;
        let post = format!("POST /v23.0/{NUMBER}/messages");
        let mut refused = None;
        for nth in 0..100 {
            let answer = tenant.call(&post, template(&format!("62812345670{nth:02}"))).await;
            if answer.status != 200 {
                refused = Some(answer);
                break;
            }
        }
        let refused = refused.expect("a rate that ends");
        assert_eq!(error(&refused), (status, 130_429, None), "{refused:?}");
        assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
        assert_eq!(refused.json()["error"]["is_transient"], true);
        let patch = format!("PATCH /v1/tenants/{}", tenant.id);
        let wrong = house.operator(&patch, &[], json!({"meta": {"throttle": 503}})).await;
        assert_eq!(wrong.problem(), (422, "invalid_value".into()));
        house.running.shutdown().await;
    }
}
