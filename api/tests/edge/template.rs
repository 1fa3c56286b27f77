//! Stored messages: refused with the place of what is wrong, seen by their tenant alone, previewed with everything that
//! is missing at once. Not the rules of patterns: those are the engine's tests.

use super::house::{House, Tenant};
use serde_json::{Value, json};

const BODY: &str = "Hi {{name|default:\"friend\"}}, order {{order}} is in {{city}}.";

fn ready() -> Value {
    json!({"name": " Ready ", "message": {"type": "text", "text": {"body": BODY}}})
}

async fn made(tenant: &Tenant<'_>) -> String {
    tenant.call("POST /v1/templates", ready()).await.id()
}

async fn preview(tenant: &Tenant<'_>, id: &str, person: Value) -> Value {
    let answer = tenant.call(&format!("POST /v1/templates/{id}/preview"), person).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_template_is_made_listed_changed_and_deleted_once() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let answer = tenant.call("POST /v1/templates", ready()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let shown = answer.json();
    assert_eq!((shown["name"].as_str(), shown["spintax"].as_bool()), (Some("Ready"), Some(false)));
    assert_eq!(shown["message"]["text"]["body"], BODY);
    let variables = json!([
        {"name": "name", "has_default": true},
        {"name": "order", "has_default": false},
        {"name": "city", "has_default": false},
    ]);
    assert_eq!(shown["variables"], variables);
    let id = answer.id();
    let path = format!("/v1/templates/{id}");
    assert_eq!(tenant.get(&format!("/v1/templates/{id}")).await.json(), shown);
    assert_eq!(tenant.get("/v1/templates").await.json()["data"], json!([shown]));

    let patch = json!({"name": "Sent", "message": {"text": {"body": "{{order}}", "preview_url": true}}});
    let changed = tenant.call(&format!("PATCH /v1/templates/{id}"), patch.clone()).await.json();
    assert_eq!(
        (changed["name"].as_str(), changed["created"].as_str()),
        (Some("Sent"), shown["created"].as_str())
    );
    assert_eq!(changed["message"]["text"]["body"], "{{order}}");
    assert_eq!(changed["variables"], json!([{"name": "order", "has_default": false}]));
    assert_eq!(tenant.get(&path).await.json(), changed);
    let again = tenant.call(&format!("PATCH {path}"), patch).await.json();
    assert_eq!(again, changed, "the same patch twice changes nothing, also not the time");
    for (wrong, code) in [
        (json!({"colour": 1}), "unknown_field"),
        (json!({"name": null}), "invalid_value"),
        (json!({"message": {"text": null}}), "invalid_content"),
        (json!({"message": {"text": {"body": "{{"}}}), "invalid_pattern"),
    ] {
        let refused = tenant.call(&format!("PATCH {path}"), wrong.clone()).await;
        assert_eq!(refused.problem(), (422, code.into()), "{wrong}");
    }
    assert_eq!(tenant.get(&path).await.json(), changed, "what is refused changes nothing");

    assert_eq!(tenant.call(&format!("DELETE /v1/templates/{id}"), Value::Null).await.status, 204);
    for method in ["DELETE", "GET", "PATCH"] {
        let gone = tenant.call(&format!("{method} {path}"), json!({})).await;
        assert_eq!(gone.problem(), (404, "not_found".into()), "{method}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_wrong_template_is_refused_with_the_place_of_what_is_wrong() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let with = |body: &str| json!({"name": "a", "message": {"type": "text", "text": {"body": body}}});
    let mut unknown = ready();
    unknown["colour"] = json!("red");
    let refused = tenant.call("POST /v1/templates", unknown).await;
    assert_eq!(refused.problem(), (422, "unknown_field".into()));
    assert_eq!(refused.json()["path"], "colour");

    let refused = tenant.call("POST /v1/templates", with("Hi,\nyour {{order")).await;
    assert_eq!(refused.problem(), (422, "invalid_pattern".into()));
    let place = refused.json();
    assert_eq!((place["path"].as_str(), place["line"].as_u64()), (Some("text.body"), Some(2)), "{place}");
    assert_eq!(place["column"].as_u64(), Some(6), "{place}");

    let refused = tenant.call("POST /v1/templates", with("")).await;
    assert_eq!(refused.problem(), (422, "invalid_content".into()));
    assert_eq!(refused.json()["path"], "text.body");
    // Braces are text until alternatives are asked for.
    let mut braces = with("{Hi|Hello");
    assert_eq!(tenant.call("POST /v1/templates", braces.clone()).await.status, 201);
    braces["spintax"] = json!(true);
    let refused = tenant.call("POST /v1/templates", braces).await;
    assert_eq!(refused.problem(), (422, "invalid_pattern".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_repeat_is_the_same_template_and_another_body_is_refused() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let key = [("idempotency-key", "ready-1")];
    let first = tenant.with("POST /v1/templates", &key, ready()).await;
    let second = tenant.with("POST /v1/templates", &key, ready()).await;
    assert_eq!((second.status, second.id()), (201, first.id()));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    let mut other = ready();
    other["name"] = json!("Other");
    let other = tenant.with("POST /v1/templates", &key, other).await;
    let (status, code) = other.problem();
    assert_eq!((status, code.as_str()), (422, "idempotency_mismatch"));
    assert_eq!(tenant.get("/v1/templates").await.json()["data"].as_array().unwrap().len(), 1);
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_template_of_another_tenant_does_not_exist() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let id = made(&tenant).await;
    for (method, end) in [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/preview")] {
        let refused = other.call(&format!("{method} /v1/templates/{id}{end}"), json!({})).await;
        assert_eq!(refused.problem(), (404, "not_found".into()), "{method} {end}");
    }
    assert_eq!(other.get("/v1/templates").await.json()["data"], json!([]));
    assert_eq!(tenant.get(&format!("/v1/templates/{id}")).await.status, 200);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_preview_lists_everything_that_is_missing_and_a_blank_value_is_missing() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let id = made(&tenant).await;
    let seen = preview(&tenant, &id, json!({})).await;
    assert_eq!((&seen["missing"], &seen["rendered"]), (&json!(["order", "city"]), &Value::Null));
    let seen = preview(&tenant, &id, json!({"values": {"order": "A-1", "city": " \t"}})).await;
    assert_eq!((&seen["missing"], &seen["rendered"]), (&json!(["city"]), &Value::Null));
    assert_eq!(seen["variables"][2], json!({"name": "city", "value": null, "has_default": false}));
    let seen = preview(&tenant, &id, json!({"values": {"order": "A-1", "city": "Bali", "name": ""}})).await;
    assert_eq!(seen["missing"], json!([]));
    assert_eq!(seen["rendered"]["text"]["body"], "Hi friend, order A-1 is in Bali.");

    let path = format!("POST /v1/templates/{id}/preview");
    let refused = tenant.call(&path, json!({"values": {"oder": "A-1"}})).await;
    assert_eq!(refused.problem(), (422, "unknown_field".into()));
    assert_eq!(refused.json()["path"], "values.oder");
    let refused = tenant.call(&path, json!({"contact": "con_0000000000001"})).await;
    assert_eq!(refused.problem(), (404, "unknown_reference".into()));
    let long = json!({"values": {"order": "x".repeat(5_000), "city": "Bali"}});
    assert_eq!(tenant.call(&path, long).await.problem(), (422, "invalid_content".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_preview_takes_the_values_of_a_contact_and_given_ones_before_them() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let id = made(&tenant).await;
    let ana =
        json!({"address": "+6281234567890", "name": "Ana", "fields": {"city": "Bandung", "order": "A-7"}});
    let contact = tenant.call("POST /v1/contacts", ana).await.id();
    let seen = preview(&tenant, &id, json!({"contact": contact})).await;
    assert_eq!(seen["rendered"]["text"]["body"], "Hi Ana, order A-7 is in Bandung.");
    let seen = preview(&tenant, &id, json!({"contact": contact, "values": {"order": "B-2"}})).await;
    assert_eq!(seen["rendered"]["text"]["body"], "Hi Ana, order B-2 is in Bandung.");
    let seen = preview(&tenant, &id, json!({"contact": contact, "values": {"city": " "}})).await;
    assert_eq!(seen["missing"], json!(["city"]), "a blank one hides the contact's");
    let foreign = made(&other).await;
    let asked =
        other.call(&format!("POST /v1/templates/{foreign}/preview"), json!({"contact": contact})).await;
    assert_eq!(asked.problem(), (404, "unknown_reference".into()));
    let conversations = tenant.get("/v1/conversations").await.json();
    assert_eq!(conversations["data"], json!([]), "a preview sends nothing");
    house.running.shutdown().await;
}

#[tokio::test]
async fn the_same_variant_chooses_the_same_alternatives_and_others_choose_others() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let body = json!({"name": "a", "spintax": true, "message": {"type": "text", "text": {"body": "{one|two|three}"}}});
    let id = tenant.call("POST /v1/templates", body).await.id();
    let mut seen = std::collections::BTreeSet::new();
    for variant in 0..32 {
        let first = preview(&tenant, &id, json!({"variant": variant})).await;
        assert_eq!(preview(&tenant, &id, json!({"variant": variant})).await, first);
        seen.insert(first["rendered"]["text"]["body"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one", "three", "two"]);
    house.running.shutdown().await;
}
