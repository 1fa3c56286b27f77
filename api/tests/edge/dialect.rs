//! Meta's dialect: what a program written for the Cloud API meets here. Each test is a line of the drop-in list.

use super::house::{Answer, House, Tenant, sandbox};
use super::receiver::{Call, Receiver, VERIFY_TOKEN};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

/// The number every test's session has at its sandbox.
pub const NUMBER: &str = "106000000000001";

pub fn text(to: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "text", "text": {"body": body}})
}

/// Template messages need no open window.
pub fn template(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": {"name": "hello", "language": {"code": "en_US"}}})
}

async fn graph(tenant: &Tenant<'_>, what: &str, body: Value) -> Answer {
    tenant.call(what, body).await
}

/// HTTP status, Graph code and subcode of an error, whose envelope must be whole.
pub fn error(answer: &Answer) -> (u16, u64, Option<u64>) {
    let body = answer.json();
    let error = &body["error"];
    for key in ["message", "type", "fbtrace_id"] {
        assert!(error[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {answer:?}");
    }
    assert!(error["error_data"]["details"].is_string(), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json; charset=UTF-8");
    assert_eq!(error["fbtrace_id"].as_str(), answer.headers["x-fb-trace-id"].to_str().ok());
    (answer.status, error["code"].as_u64().unwrap(), error["error_subcode"].as_u64())
}

#[tokio::test]
async fn a_send_is_answered_as_meta_answers_and_is_durable_underneath() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    for (version, to) in [("v23.0", "+62 812-3456 (7890)"), ("v18.0", "6281234567890")] {
        let mut wanted = template(to);
        wanted["biz_opaque_callback_data"] = "order-81".into();
        let sent = graph(&tenant, &format!("POST /{version}/{NUMBER}/messages"), wanted).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        let body = sent.json();
        assert_eq!(sent.headers["facebook-api-version"], version);
        assert_eq!(body["messaging_product"], "whatsapp");
        assert_eq!(body["contacts"], json!([{"input": to, "wa_id": "6281234567890"}]));
        assert_eq!(body["messages"][0]["message_status"], "accepted");
        let id = body["messages"][0]["id"].as_str().unwrap();
        assert!(id.starts_with("wamid.") && id.len() < 110, "{id}");
    }
    let begun = |page: &Value| page["data"].as_array().is_some_and(|talks| !talks.is_empty());
    let talks = tenant.until("/v1/conversations", begun).await;
    let talk = talks["data"][0]["id"].as_str().unwrap().to_owned();
    let messages = tenant.get(&format!("/v1/conversations/{talk}/messages")).await.json();
    let list = messages["data"].as_array().unwrap();
    assert_eq!(list.len(), 2, "{messages}");
    assert!(list.iter().all(|m| m["biz_opaque_callback_data"] == "order-81"), "{messages}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_token_counts_in_the_header_the_query_a_form_and_under_another_providers_name() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let (path, body) = (format!("/v23.0/{NUMBER}/messages"), template("6281234567890").to_string());
    let key = &tenant.key;
    let json = ("content-type", "application/json");
    let oauth = format!("OAuth {key}");
    let query = house.call(&format!("POST {path}?access_token={key}"), &[json], body.clone()).await;
    let other = house.call(&format!("POST {path}"), &[json, ("d360-api-key", key)], body.clone()).await;
    let scheme = house.call(&format!("POST {path}"), &[json, ("authorization", &oauth)], body).await;
    let form = format!(
        "messaging_product=whatsapp&to=6281234567890&type=template&access_token={key}\
         &template=%7B%22name%22%3A%22hello%22%2C%22language%22%3A%7B%22code%22%3A%22en_US%22%7D%7D"
    );
    let form = house
        .call(&format!("POST {path}"), &[("content-type", "application/x-www-form-urlencoded")], form)
        .await;
    for answer in [query, other, scheme, form] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let none = house.call(&format!("POST {path}"), &[json], "{}").await;
    assert_eq!(error(&none), (401, 190, None));
    assert!(none.headers["www-authenticate"].to_str().unwrap().starts_with("OAuth"));
    let wrong = house.call(&format!("POST {path}?access_token=kbr_nobody"), &[json], "{}").await;
    assert_eq!(error(&wrong), (401, 190, None));
    house.running.shutdown().await;
}

#[tokio::test]
async fn errors_have_graphs_form_and_metas_codes() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let mut unknown = template("62812");
    unknown["colour"] = "red".into();
    for (body, expected) in [
        (json!({"to": "62812"}), (400, 131_008, None)),
        (json!({"messaging_product": "telegram"}), (400, 131_009, None)),
        (json!({"messaging_product": "whatsapp", "text": {"body": "a"}}), (400, 131_008, None)),
        (text("tomorrow", "a"), (400, 131_009, None)),
        (text("6281234567890", ""), (400, 131_009, None)),
        (unknown, (400, 100, None)),
        // Nobody wrote within 24 hours.
        (text("6281234567890", "hi"), (400, 131_047, None)),
        (
            json!({"messaging_product": "whatsapp", "status": "seen", "message_id": "wamid.X"}),
            (400, 131_009, None),
        ),
    ] {
        let answer = graph(&tenant, &post, body.clone()).await;
        assert_eq!(error(&answer), expected, "{body}: {answer:?}");
    }
    let bearer = format!("Bearer {}", tenant.key);
    let broken = house.call(&post, &[("authorization", &bearer)], "{").await;
    assert_eq!(error(&broken).1, 100);
    assert_eq!(error(&graph(&tenant, "DELETE /v23.0/1", Value::Null).await).1, 100);
    let foreign = graph(&tenant, "POST /v23.0/999/messages", template("6281234567890")).await;
    assert_eq!(error(&foreign), (400, 100, Some(33)));
    // What is not of the dialect is answered as ever.
    assert_eq!(tenant.call("GET /v23/1", Value::Null).await.problem(), (404, "not_found".into()));
    assert_eq!(house.call("GET /v1/nothing/at/all", &[], "").await.problem(), (404, "not_found".into()));
    assert_eq!(house.call("GET /v1/nothing", &[], "").await.problem(), (404, "not_found".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_number_is_read_by_its_id_with_the_fields_that_are_asked_for() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let whole = tenant.get(&format!("/v23.0/{NUMBER}")).await.json();
    assert_eq!(whole["id"], NUMBER);
    assert!(whole["display_phone_number"].is_string() && whole["throughput"]["level"].is_string(), "{whole}");
    let some =
        tenant.get(&format!("/v23.0/{NUMBER}?fields=display_phone_number,throughput{{level}}")).await.json();
    let keys: Vec<_> = some.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["display_phone_number", "id", "throughput"]);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_number_of_another_tenant_is_nobodys_to_every_kind_of_key() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let theirs = house.tenant("A").await;
    theirs.link(&sandbox).await;
    let own = house.tenant("B").await;
    let narrow = house
        .made_key(&[("kabar-tenant", &theirs.id)], json!({"name": "n", "scopes": ["events:read"]}))
        .await
        .1;
    for (what, body) in [
        (format!("POST /v23.0/{NUMBER}/messages"), template("6281234567890")),
        (format!("GET /v23.0/{NUMBER}"), Value::Null),
    ] {
        assert_eq!(error(&own.call(&what, body.clone()).await), (400, 100, Some(33)), "{what}");
        let operator = house.operator(&what, &[("kabar-tenant", &own.id)], body.clone()).await;
        assert_eq!(error(&operator), (400, 100, Some(33)), "{what}");
        assert_eq!(error(&house.by(&narrow, &what, &[], body).await), (403, 200, None), "{what}");
    }
    house.running.shutdown().await;
}

pub async fn welcoming() -> House {
    House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await
}

fn signed(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// The value of the one change a call brings.
fn value(call: &Call) -> Value {
    let mut body = call.event();
    assert_eq!(body["object"], "whatsapp_business_account");
    assert_eq!(body["entry"][0]["changes"][0]["field"], "messages");
    assert_eq!(
        (body["entry"].as_array().unwrap().len(), body["entry"][0]["changes"].as_array().unwrap().len()),
        (1, 1)
    );
    assert!(body["entry"][0]["id"].is_string());
    let value = body["entry"][0]["changes"][0]["value"].take();
    assert_eq!(value["metadata"]["phone_number_id"], NUMBER);
    value
}

fn statuses(calls: &[Call]) -> Vec<Value> {
    calls
        .iter()
        .map(value)
        .flat_map(|value| value["statuses"].as_array().cloned().unwrap_or_default())
        .collect()
}

#[tokio::test]
async fn a_subscriber_is_told_in_metas_words_signed_as_meta_signs_with_the_ids_its_sender_was_told() {
    const SECRET: &str = "the-customers-own-app-secret";
    let (house, sandbox) = (welcoming().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let receiver = Receiver::open(|_, _| 200).await;
    let hook =
        json!({"url": receiver.url(), "envelope": "meta", "verify_token": VERIFY_TOKEN, "secret": SECRET});
    let made = tenant.call("POST /v1/webhooks", hook).await;
    assert_eq!((made.status, &made.json()["secret"]), (201, &json!(SECRET)), "{made:?}");
    let mut wanted = template("6281234567890");
    wanted["biz_opaque_callback_data"] = "order-81".into();
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let sent = graph(&tenant, &post, wanted).await.json()["messages"][0]["id"].as_str().unwrap().to_owned();
    let read = |calls: &[Call]| statuses(calls).iter().any(|status| status["status"] == "read");
    let calls = receiver.until(read).await;
    let told = statuses(&calls);
    assert!(
        told.iter().all(|s| s["id"] == sent.as_str() && s["recipient_id"] == "6281234567890"),
        "{told:?}"
    );
    assert!(told.iter().all(|s| s["biz_opaque_callback_data"] == "order-81"), "{told:?}");
    assert!(
        told.iter().all(|s| s["timestamp"].as_str().is_some_and(|t| t.parse::<u64>().is_ok())),
        "{told:?}"
    );
    for word in ["sent", "delivered"] {
        assert!(told.iter().any(|s| s["status"] == word), "{word}: {told:?}");
    }
    let said =
        json!({"phone_number_id": NUMBER, "from": "6281234567890", "text": "Halo, ada?", "name": "Ana"});
    sandbox.inbound(&serde_json::from_value(said).unwrap()).unwrap();
    let heard = |calls: &[Call]| calls.iter().any(|call| !value(call)["messages"].is_null());
    let calls = receiver.until(heard).await;
    let heard = calls.iter().map(value).find(|value| !value["messages"].is_null()).unwrap();
    let contact = &heard["contacts"][0];
    assert_eq!((&contact["profile"]["name"], &contact["wa_id"]), (&json!("Ana"), &json!("6281234567890")));
    assert!(contact["user_id"].as_str().is_some_and(|id| id.contains('.')), "{heard}");
    assert_eq!(heard["messages"][0]["from_user_id"], contact["user_id"]);
    let message = &heard["messages"][0];
    assert_eq!((&message["from"], &message["type"]), (&json!("6281234567890"), &json!("text")));
    assert_eq!(message["text"]["body"], "Halo, ada?");
    for call in &calls {
        assert_eq!(call.hub_signature, signed(SECRET, &call.body));
        assert_eq!((call.id.as_str(), call.signature.as_str()), ("", ""), "no word of another standard");
    }
    // What the person wrote can be marked as read, quoted and reacted to; so can what was sent, by the id it was given.
    let received = message["id"].as_str().unwrap();
    let mark = json!({"messaging_product": "whatsapp", "status": "read", "message_id": received,
        "typing_indicator": {"type": "text"}});
    assert_eq!(graph(&tenant, &post, mark).await.json(), json!({"success": true}));
    let unknown = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.nobody"});
    assert_eq!(error(&graph(&tenant, &post, unknown).await).1, 131_009, "Meta's own code is passed on");
    for quoted in [received, &sent] {
        let mut reply = text("6281234567890", "Ada!");
        reply["context"] = json!({"message_id": quoted});
        assert_eq!(graph(&tenant, &post, reply).await.status, 200);
        let react = json!({"messaging_product": "whatsapp", "to": "6281234567890", "type": "reaction",
            "reaction": {"message_id": quoted, "emoji": "\u{1f44d}"}});
        assert_eq!(graph(&tenant, &post, react).await.status, 200);
    }
    receiver.stop();
    house.running.shutdown().await;
}

/// Who quotes what was accepted a moment ago waits as long as WhatsApp takes to answer. Prints how long that was.
#[tokio::test]
async fn what_was_just_accepted_may_be_quoted_at_once() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let post = format!("POST /v23.0/{NUMBER}/messages");
    let mut waits = Vec::new();
    for nth in 0..20 {
        let to = format!("62812345678{nth:02}");
        let sent = graph(&tenant, &post, template(&to)).await.json()["messages"][0]["id"].clone();
        let mut second = template(&to);
        second["context"] = json!({"message_id": sent});
        let began = std::time::Instant::now();
        let answer = graph(&tenant, &post, second).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        waits.push(began.elapsed().as_millis());
    }
    waits.sort_unstable();
    println!("quoting at once took {} ms in the middle, {} ms at most", waits[10], waits[19]);
    assert!(waits[19] < 3_000, "{waits:?}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_address_that_does_not_know_the_token_is_told_nothing() {
    let house = welcoming().await;
    let tenant = house.tenant("A").await;
    let receiver = Receiver::open(|_, _| 200).await;
    let hook = |more: Value| {
        let mut hook = json!({"url": receiver.url(), "envelope": "meta"});
        hook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        hook
    };
    for (more, expected) in [
        (json!({"verify_token": "another"}), (422, "webhook_unverified")),
        (json!({"url": "http://127.0.0.1:9/", "verify_token": VERIFY_TOKEN}), (422, "webhook_unverified")),
        (json!({}), (422, "invalid_value")),
        (json!({"verify_token": VERIFY_TOKEN, "secret": "short"}), (422, "invalid_value")),
        (json!({"verify_token": VERIFY_TOKEN, "types": ["campaign.frozen"]}), (422, "invalid_value")),
        (json!({"envelope": "kabar", "verify_token": VERIFY_TOKEN}), (422, "invalid_value")),
        (json!({"envelope": "kabar", "secret": "a-secret-of-my-own"}), (422, "invalid_value")),
    ] {
        let answer = tenant.call("POST /v1/webhooks", hook(more.clone())).await;
        let (status, code) = answer.problem();
        assert_eq!((status, code.as_str()), expected, "{more}: {answer:?}");
    }
    assert_eq!(tenant.get("/v1/webhooks").await.json()["data"], json!([]));
    assert!(receiver.calls().is_empty());
    receiver.stop();
    house.running.shutdown().await;
}

/// A form with one file, its fields in any order.
pub fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    if let Some((mime, bytes)) = file {
        let head = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: {mime}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    for (name, value) in fields {
        let part = format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(b"--edge--\r\n");
    ("multipart/form-data; boundary=edge".into(), body)
}

/// A picture of one pixel.
pub const PNG: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0, 1, 0, 0,
    0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63,
    0x60, 0, 0, 0x02, 0, 0, 0x01, 0xe2, 0x21, 0xbc, 0x33, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42,
    0x60, 0x82,
];

#[tokio::test]
async fn a_file_is_uploaded_described_read_sent_and_deleted_by_its_id_and_is_nobody_elses() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let other = house.tenant("B").await;
    let post = format!("POST /v23.0/{NUMBER}/media");
    let put = async |of: &Tenant<'_>, (kind, body): (String, Vec<u8>)| {
        let bearer = format!("Bearer {}", of.key);
        house.call(&post, &[("authorization", &bearer), ("content-type", &kind)], body).await
    };
    let product = ("messaging_product", "whatsapp");
    let made = put(&tenant, form(&[product, ("type", "image/png")], Some(("image/png", PNG)))).await;
    assert_eq!(made.status, 200, "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert!(id.bytes().all(|b| b.is_ascii_digit()), "{id}");
    let about = tenant.get(&format!("/v23.0/{id}")).await.json();
    assert_eq!(
        (&about["mime_type"], &about["file_size"], &about["id"]),
        (&json!("image/png"), &json!(PNG.len().to_string()), &json!(id))
    );
    let path = about["url"].as_str().unwrap().strip_prefix(&house.running.url()).unwrap().to_owned();
    assert_eq!(error(&house.call(&format!("GET {path}"), &[], "").await), (401, 190, None));
    assert_eq!(error(&other.get(&path).await), (400, 100, Some(33)));
    assert_eq!(error(&other.get(&format!("/v23.0/{id}")).await), (400, 100, Some(33)));
    assert_eq!(error(&other.call(&format!("DELETE /v23.0/{id}"), Value::Null).await), (400, 100, Some(33)));
    let template = json!({"messaging_product": "whatsapp", "to": "6281234567890", "type": "template", "template": {"name": "hello",
        "language": {"code": "en_US"}, "components": [{"type": "header", "parameters": [{"type": "image", "image": {"id": id}}]}]}});
    let sent = graph(&tenant, &format!("POST /v23.0/{NUMBER}/messages"), template).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    for (fields, file, expected) in [
        (vec![product], None, (400, 131_008, None)),
        (vec![], Some(("image/png", PNG)), (400, 131_008, None)),
        (vec![product], Some(("image/png", &b"GIF89a..."[..])), (400, 131_053, None)),
        (vec![product, ("colour", "red")], Some(("image/png", PNG)), (400, 100, None)),
    ] {
        let answer = put(&tenant, form(&fields, file)).await;
        assert_eq!(error(&answer), expected, "{fields:?}: {answer:?}");
    }
    assert_eq!(error(&put(&other, form(&[product], Some(("image/png", PNG)))).await), (400, 100, Some(33)));
    let gone = tenant.call(&format!("DELETE /v23.0/{id}?phone_number_id={NUMBER}"), Value::Null).await;
    assert_eq!(gone.json(), json!({"success": true}));
    assert_eq!(error(&tenant.get(&format!("/v23.0/{id}")).await), (400, 100, Some(33)));
    house.running.shutdown().await;
}

#[tokio::test]
async fn templates_numbers_and_the_profile_of_an_account_are_there_in_metas_words() {
    let (house, sandbox) = (House::open().await, sandbox().await);
    let tenant = house.tenant("A").await;
    tenant.link(&sandbox).await;
    let other = house.tenant("B").await;
    let waba = &sandbox.config().numbers[0].waba_id;
    let list = format!("/v23.0/{waba}/message_templates");
    let template = json!({"name": "order_update", "language": "en_US", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Your parcel has left our shop today."}]});
    let made = tenant.call(&format!("POST {list}"), template.clone()).await;
    assert_eq!((made.status, &made.json()["category"]), (200, &json!("UTILITY")), "{made:?}");
    let id = made.json()["id"].as_str().unwrap().to_owned();
    // What Meta itself refuses is told with Meta's code and subcode.
    let again = tenant.call(&format!("POST {list}"), template).await;
    assert_eq!((error(&again).0, error(&again).1), (400, 100), "{again:?}");
    assert!(error(&again).2.is_some_and(|subcode| subcode > 2_388_000), "{again:?}");
    let page = tenant.get(&format!("{list}?fields=name,status&limit=5")).await.json();
    assert_eq!(
        (&page["data"][0]["name"], &page["data"][0]["id"]),
        (&json!("order_update"), &json!(id)),
        "{page}"
    );
    assert_eq!(page["data"][0].get("components"), None, "{page}");
    assert_eq!(tenant.get(&format!("{list}?name=nothing")).await.json()["data"], json!([]));
    let one = tenant.get(&format!("/v23.0/{id}")).await.json();
    assert_eq!((&one["name"], &one["language"]), (&json!("order_update"), &json!("en_US")));
    let numbers =
        tenant.get(&format!("/v23.0/{waba}/phone_numbers?fields=display_phone_number")).await.json();
    assert_eq!(numbers["data"][0]["id"], NUMBER);
    let profile = format!("/v23.0/{NUMBER}/whatsapp_business_profile");
    let said = json!({"messaging_product": "whatsapp", "about": "We deliver."});
    assert_eq!(tenant.call(&format!("POST {profile}"), said).await.json(), json!({"success": true}));
    assert_eq!(
        tenant.get(&format!("{profile}?fields=about")).await.json()["data"][0]["about"],
        "We deliver."
    );
    for path in [list.clone(), format!("/v23.0/{id}"), format!("/v23.0/{waba}/phone_numbers"), profile] {
        assert_eq!(error(&other.get(&path).await), (400, 100, Some(33)), "{path}");
    }
    let gone = tenant.call(&format!("DELETE {list}?name=order_update"), Value::Null).await;
    assert_eq!(gone.json(), json!({"success": true}));
    assert_eq!(tenant.get(&list).await.json()["data"], json!([]));
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_dialect_describes_its_operations_and_each_of_them_stands_behind_the_gate() {
    let house = welcoming().await;
    let document = house.call("GET /openapi-meta.json", &[], "").await.json();
    let mut met = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{version}", "v23.0").replace("{id}", NUMBER);
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let what = format!("{} {path}", method.to_uppercase());
            let refused = house.call(&what, &[("content-type", "application/json")], "{}").await;
            assert_eq!(
                (refused.status, &refused.json()["error"]["code"]),
                (401, &json!(190)),
                "{what}: {refused:?}"
            );
            met += 1;
        }
    }
    assert_eq!(met, 12);
    let nothing = house.call(&format!("GET /v23.0/{NUMBER}/nothing"), &[], "").await;
    assert_ne!(nothing.status, 401, "what is not there stands behind no gate");
    house.running.shutdown().await;
}
