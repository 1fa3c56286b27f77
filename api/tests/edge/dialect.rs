//! Meta's dialect: what a program written for the Cloud API meets here. Each test is a line of the drop-in list.

use super::house::{Answer, House, Tenant, sandbox};
use serde_json::{Value, json};

/// The number every test's session has at its sandbox.
const NUMBER: &str = "106000000000001";

fn text(to: &str, body: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "text", "text": {"body": body}})
}

/// Template messages need no open window.
fn template(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "template", "template": {"name": "hello", "language": {"code": "en_US"}}})
}

async fn graph(tenant: &Tenant<'_>, what: &str, body: Value) -> Answer {
    tenant.call(what, body).await
}

/// HTTP status, Graph code and subcode of an error, whose envelope must be whole.
fn error(answer: &Answer) -> (u16, u64, Option<u64>) {
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
    let talks = tenant.get("/v1/conversations").await.json();
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
    let broken = tenant.raw(&post, "{").await;
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
