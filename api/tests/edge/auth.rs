//! Who may come in and what they may see.

use super::house::{House, OPERATOR, template};
use serde_json::{Value, json};

/// Every operation of the description, with ids that nothing has.
async fn keyed(house: &House) -> Vec<String> {
    let document = house.call("GET /openapi.json", &[], "").await.json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "x").replace("{verb}", "launch");
        routes.extend(item.as_object().unwrap().keys().map(|m| format!("{} {path}", m.to_uppercase())));
    }
    assert!(routes.len() > 40, "{routes:?}");
    routes
}

#[tokio::test]
async fn nothing_is_answered_without_a_valid_key() {
    let house = House::open().await;
    for route in &keyed(&house).await {
        let none = house.call(route, &[], "{}").await;
        assert_eq!(none.problem(), (401, "missing_key".into()), "{route}");
        assert_eq!(none.headers["www-authenticate"], "Bearer");
        for wrong in ["Bearer kbr_0123456789", "Bearer nothing", &format!("bearer {OPERATOR}x")] {
            let refused = house.call(route, &[("authorization", wrong)], "{}").await;
            assert_eq!(refused.problem(), (401, "invalid_key".into()), "{route} {wrong}");
        }
        let basic = house.call(route, &[("authorization", "Basic a2FiYXI=")], "{}").await;
        assert_eq!(basic.problem().0, 401, "{route}");
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_tenants_key_is_no_operators_and_the_operator_names_the_tenant() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    for route in keyed(&house).await.iter().filter(|route| route.contains("/v1/tenants")) {
        assert_eq!(tenant.call(route, json!({})).await.problem(), (403, "operator_only".into()), "{route}");
    }
    let operator = format!("Bearer {OPERATOR}");
    let plain = [("authorization", operator.as_str())];
    assert_eq!(house.call("GET /v1/keys", &plain, "").await.problem(), (400, "tenant_header".into()));
    for (named, status) in [("ten_0000000000001", 404), ("someone", 400), (tenant.id.as_str(), 200)] {
        let headers = [("authorization", operator.as_str()), ("kabar-tenant", named)];
        assert_eq!(house.call("GET /v1/keys", &headers, "").await.status, status, "{named}");
    }
    let other = house.tenant("B").await;
    let crossed = tenant.with("GET /v1/keys", &[("kabar-tenant", &other.id)], Value::Null).await;
    assert_eq!(crossed.problem(), (403, "operator_only".into()));
    let listed = house.call("GET /v1/tenants?limit=1", &plain, "").await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let next = listed["next"].as_str().unwrap();
    let rest = house.call(&format!("GET /v1/tenants?after={next}"), &plain, "").await.json();
    assert_eq!((rest["data"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    house.running.shutdown().await;
}

#[tokio::test]
async fn what_belongs_to_another_tenant_does_not_exist() {
    let house = House::open().await;
    let (mine, other) = (house.tenant("A").await, house.tenant("B").await);
    let session = mine.idle_session("106000000000777").await;
    let import = mine.import("name,phone\nAna,081234567890\n").await;
    let list = import["id"].as_str().unwrap().to_owned();
    let halo = template(&session, "")["template"].clone();
    let campaign = json!({"name": "c", "senders": [session], "audience": {"list": list},
        "message": {"type": "template", "template": halo}});
    let campaign = mine.call("POST /v1/campaigns", campaign).await.id();
    let message = mine.call("POST /v1/messages", template(&session, "6281234567890")).await.id();
    for (what, own) in [
        (format!("GET /v1/sessions/{session}"), 200),
        (format!("GET /v1/imports/{list}"), 200),
        (format!("GET /v1/campaigns/{campaign}"), 200),
        (format!("GET /v1/messages/{message}"), 200),
        (format!("POST /v1/campaigns/{campaign}/pause"), 409),
        (format!("DELETE /v1/keys/{}", other.key_id), 404),
    ] {
        assert_eq!(mine.call(&what, Value::Null).await.status, own, "{what}");
        if own != 404 {
            assert_eq!(other.call(&what, Value::Null).await.problem(), (404, "not_found".into()), "{what}");
        }
    }
    assert_eq!(other.call(&format!("DELETE /v1/messages/{message}"), Value::Null).await.status, 404);
    let stolen = other.call("POST /v1/messages", template(&session, "6281234567890")).await;
    assert_eq!(stolen.problem(), (404, "unknown_reference".into()));
    let stolen = json!({"name": "c", "senders": [other.idle_session("106000000000778").await], "audience": {"list": list},
        "message": {"type": "text", "text": {"body": "x"}}});
    assert_eq!(other.call("POST /v1/campaigns", stolen).await.problem(), (404, "unknown_reference".into()));
    let seen = other.get(&format!("/v1/contacts?list={list}")).await;
    assert_eq!(seen.problem(), (404, "not_found".into()));
    assert_eq!(mine.get(&format!("/v1/contacts?list={list}")).await.json()["data"][0]["name"], "Ana");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_a_secret_is_shown_once() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let made = tenant.call("POST /v1/keys", json!({"name": "second"})).await;
    let (id, secret) = (made.id(), made.json()["secret"].as_str().unwrap().to_owned());
    assert!(secret.starts_with("kbr_") && secret.len() == 56);
    let second = format!("Bearer {secret}");
    let headers = [("authorization", second.as_str())];
    assert_eq!(house.call("GET /v1/keys", &headers, "").await.status, 200);
    let listed = tenant.get("/v1/keys").await;
    assert!(!listed.text.contains(&secret) && listed.text.contains(&secret[..12]));
    assert_eq!(tenant.call(&format!("DELETE /v1/keys/{id}"), Value::Null).await.status, 200);
    assert_eq!(house.call("GET /v1/keys", &headers, "").await.problem(), (401, "invalid_key".into()));
    assert_eq!(tenant.call(&format!("DELETE /v1/keys/{id}"), Value::Null).await.status, 200);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_tenant_cannot_point_a_session_into_the_operators_network_and_secrets_stay_inside() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let app = tenant
        .call("POST /v1/apps", json!({"app_secrets": ["s3cr3t-of-app"], "verify_token": "v3rify"}))
        .await;
    assert!(!app.text.contains("s3cr3t") && !app.text.contains("v3rify"));
    let mut session = json!({"name": "s", "app": app.id(), "phone_number_id": "106000000000001",
        "display_phone_number": "+62 812 3456 7890", "access_token": "t0ken", "base_url": "http://10.0.0.1", "validate": false});
    assert_eq!(
        tenant.call("POST /v1/sessions", session.clone()).await.problem(),
        (403, "operator_only".into())
    );
    session.as_object_mut().unwrap().remove("base_url");
    let made = tenant.call("POST /v1/sessions", session.clone()).await;
    assert!(made.status == 201 && !made.text.contains("t0ken"), "{made:?}");
    let read = tenant.get(&format!("/v1/sessions/{}", made.id())).await;
    assert_eq!((read.json()["state"].as_str(), read.text.contains("t0ken")), (Some("idle"), false));
    let again = tenant.call("POST /v1/sessions", session).await;
    assert_eq!(again.problem(), (409, "already_linked".into()));
    house.running.shutdown().await;
}
