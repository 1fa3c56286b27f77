//! How requests are read: what is not known is named, a repeat is met, an accident is a problem.

use super::house::{House, template};
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_wrong_with_a_body_is_named() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut message = template(&session, "6281234567890");
    message["pirority"] = json!(1);
    for (what, body, status, code, word) in [
        ("POST /v1/keys", json!({"name": "a", "role": "x"}), 422, "unknown_field", "`role`"),
        ("POST /v1/keys", json!({}), 422, "missing_field", "`name`"),
        ("POST /v1/keys", json!({"name": 3}), 422, "invalid_value", "string"),
        ("POST /v1/keys", json!({"name": "  "}), 422, "invalid_value", "`name`"),
        ("POST /v1/messages", message, 422, "unknown_field", "`pirority`"),
        ("POST /v1/messages", json!({"to": "1"}), 422, "missing_field", "`session`"),
        ("POST /v1/messages", template(&session, "0812345678"), 422, "invalid_address", "country code"),
        (
            "POST /v1/messages",
            template("ses_0000000000001", "62812345678"),
            404,
            "unknown_reference",
            "`session`",
        ),
        (
            "POST /v1/messages",
            json!({"session": session, "to": "62812345678", "text": {"body": ""}}),
            422,
            "invalid_content",
            "text.body",
        ),
        (
            "POST /v1/messages",
            json!({"session": session, "to": "62812345678", "text": {"body": "a"}}),
            422,
            "window_closed",
            "24 hours",
        ),
        ("POST /v1/optouts", json!({"address": "6281", "why": "x"}), 422, "unknown_field", "`why`"),
        (
            "POST /v1/apps",
            json!({"app_secrets": [], "verify_token": "v"}),
            422,
            "invalid_value",
            "`app_secrets`",
        ),
    ] {
        let answer = tenant.call(what, body).await;
        assert_eq!(answer.problem(), (status, code.to_owned()), "{answer:?}");
        assert!(answer.text.contains(word), "{word}: {}", answer.text);
    }
    for (body, code) in [("{", "invalid_json"), ("", "invalid_json"), ("[]", "invalid_value")] {
        let bearer = format!("Bearer {}", tenant.key);
        let answer = house.call("POST /v1/keys", &[("authorization", &bearer)], body).await;
        assert_eq!(answer.problem().1, code, "{body}");
        let kind = [("authorization", bearer.as_str()), ("content-type", "text/plain")];
        assert_eq!(house.call("POST /v1/keys", &kind, "{}").await.problem().0, 415);
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn queries_addresses_and_sizes_are_held_to() {
    let house = House::with(|config| config.server.body_max_bytes = 2_000).await;
    let tenant = house.tenant("A").await;
    for path in [
        "/v1/keys?limit=0",
        "/v1/keys?limit=201",
        "/v1/keys?page=2",
        "/v1/keys?after=%21",
        "/v1/contacts?list=x",
    ] {
        assert_eq!(tenant.get(path).await.problem(), (400, "invalid_query".into()), "{path}");
    }
    let long = "x".repeat(2_000);
    assert_eq!(
        tenant.call("POST /v1/keys", json!({"name": long})).await.problem(),
        (413, "body_too_large".into())
    );
    assert_eq!(tenant.get("/v1/nothing").await.problem(), (404, "not_found".into()));
    assert_eq!(tenant.get("/v1/messages/nothing").await.problem(), (404, "not_found".into()));
    let method = tenant.call("PATCH /v1/keys", json!({})).await;
    assert_eq!(method.problem(), (405, "method_not_allowed".into()));
    assert!(method.headers.contains_key("allow"));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_repeat_with_the_same_key_is_the_first_answer_again() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let body = template(&session, "6281234567890");
    let key = [("idempotency-key", "order-1")];
    let first = tenant.with("POST /v1/messages", &key, body.clone()).await;
    assert_eq!((first.status, first.json()["replayed"].as_bool()), (202, Some(false)));
    let second = tenant.with("POST /v1/messages", &key, body.clone()).await;
    assert_eq!(
        (second.status, second.id(), second.json()["replayed"].as_bool()),
        (202, first.id(), Some(true))
    );
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let other = tenant.with("POST /v1/messages", &key, template(&session, "6281234567891")).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".into()));
    let fresh = tenant.with("POST /v1/messages", &[("idempotency-key", "order-2")], body).await;
    assert_ne!(fresh.id(), first.id());
    for wrong in ["", &"k".repeat(256)] {
        let refused = tenant.with("POST /v1/messages", &[("idempotency-key", wrong)], json!({})).await;
        assert_eq!(refused.problem(), (400, "idempotency_key".into()));
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn creates_meet_themselves_again_too_and_a_secret_is_not_repeated() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let key = [("idempotency-key", "once")];
    let body = json!({"name": "twice"});
    let first = tenant.with("POST /v1/keys", &key, body.clone()).await;
    let second = tenant.with("POST /v1/keys", &key, body).await;
    assert_eq!((second.id(), second.json().get("secret")), (first.id(), None));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    let other = tenant.with("POST /v1/keys", &key, json!({"name": "thrice"})).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".into()));
    let app = json!({"app_secrets": ["a"], "verify_token": "v"});
    let first = tenant.with("POST /v1/apps", &key, app.clone()).await;
    assert_eq!(tenant.with("POST /v1/apps", &key, app).await.id(), first.id());
    let other = tenant.with("POST /v1/apps", &key, json!({"app_secrets": ["b"], "verify_token": "v"})).await;
    assert_eq!(other.problem().0, 422);
    // Keys of other tenants are other keys.
    let neighbour = house.tenant("B").await;
    assert_eq!(neighbour.with("POST /v1/keys", &key, json!({"name": "x"})).await.status, 201);
    assert_eq!(neighbour.get("/v1/keys").await.json()["next"], Value::Null);
    house.running.shutdown().await;
}

#[tokio::test]
async fn an_unusable_key_is_refused_on_every_write_also_where_a_repeat_does_no_harm() {
    let house = House::open().await;
    let tenant = house.tenant("Toko Ana").await;
    let contact = tenant.call("POST /v1/contacts", json!({"address": "+6281234567890"})).await.id();
    let long = "k".repeat(256);
    for (what, body) in [
        (format!("DELETE /v1/contacts/{contact}"), Value::Null),
        (format!("PATCH /v1/contacts/{contact}"), json!({"name": "Budi"})),
        (format!("DELETE /v1/keys/{}", tenant.key_id), Value::Null),
        ("POST /v1/optouts".to_owned(), json!({"address": "+6281234567890"})),
        ("POST /v1/contacts".to_owned(), json!({"address": "+6281234567891"})),
    ] {
        for key in ["", "a\tb", &long] {
            let refused = tenant.with(&what, &[("idempotency-key", key)], body.clone()).await;
            assert_eq!(refused.problem(), (400, "idempotency_key".to_owned()), "{what} {key:?}");
        }
    }
    assert_eq!(tenant.get(&format!("/v1/contacts/{contact}")).await.json()["name"], Value::Null);
    house.running.shutdown().await;
}
