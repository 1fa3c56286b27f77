//! Resellers: tenants of their own, and nothing of anybody else's.

use super::house::House;
use serde_json::{Value, json};

#[tokio::test]
async fn a_reseller_sees_and_changes_its_own_tenants_only_and_acts_for_them_as_the_operator_does() {
    let house = House::open().await;
    let (id, key) = house.reseller("Mitra").await;
    let (_, foreign) = house.reseller("Lain").await;
    let read = house.operator(&format!("GET /v1/resellers/{id}"), &[], Value::Null).await.json();
    assert_eq!(read["name"], "Mitra");
    let listed = house.operator("GET /v1/resellers", &[], Value::Null).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let once = [("idempotency-key", "one")];
    let named = json!({"name": "Toko", "frequency_cap": {"messages": 4, "days": 7}});
    let made = house.by(&key, "POST /v1/tenants", &once, named.clone()).await;
    let tenant = made.id();
    assert_eq!((&made.json()["reseller"], &made.json()["weight"]), (&json!(id), &json!(10)));
    assert_eq!(house.by(&key, "POST /v1/tenants", &once, named).await.id(), tenant);
    let own = house.tenant("the operator's own").await;
    let of = |answer: Value| {
        answer["data"].as_array().unwrap().iter().map(|t| t["id"].clone()).collect::<Vec<_>>()
    };
    let seen = of(house.by(&key, "GET /v1/tenants", &[], Value::Null).await.json());
    assert_eq!(seen, [json!(tenant)]);
    assert!(of(house.by(&foreign, "GET /v1/tenants", &[], Value::Null).await.json()).is_empty());
    let named = [("kabar-reseller", id.as_str())];
    assert_eq!(of(house.operator("GET /v1/tenants", &named, Value::Null).await.json()), [json!(tenant)]);
    assert_eq!(of(house.operator("GET /v1/tenants", &[], Value::Null).await.json()).len(), 2);
    for (who, whose, status) in
        [(&key, &tenant, 200), (&foreign, &tenant, 404), (&key, &own.id, 404), (&foreign, &own.id, 404)]
    {
        let one = format!("/v1/tenants/{whose}");
        assert_eq!(house.by(who, &format!("GET {one}"), &[], Value::Null).await.status, status);
        let patched = house.by(who, &format!("PATCH {one}"), &[], json!({"name": "Toko B"})).await;
        assert_eq!(patched.status, status, "{patched:?}");
        let acting = [("kabar-tenant", whose.as_str())];
        assert_eq!(house.by(who, "GET /v1/sessions", &acting, Value::Null).await.status, status);
        assert_eq!(
            house.by(who, "POST /v1/keys", &acting, json!({"name": "k"})).await.status,
            [201, 404][usize::from(status == 404)]
        );
    }
    // What is the operator's stays the operator's.
    let acting = [("kabar-tenant", tenant.as_str())];
    for (what, headers, body) in [
        ("GET /v1/resellers", &[][..], Value::Null),
        ("POST /v1/resellers", &[], json!({"name": "x"})),
        ("POST /v1/tenants", &[], json!({"name": "heavy", "weight": 100})),
    ] {
        assert_eq!(
            house.by(&key, what, headers, body).await.problem(),
            (403, "operator_only".into()),
            "{what}"
        );
    }
    let other = [("kabar-reseller", "rsl_0000000000001")];
    assert_eq!(house.by(&key, "GET /v1/tenants", &other, Value::Null).await.problem().0, 403);
    let app = json!({"app_secrets": ["s"], "verify_token": "v"});
    let app = house.by(&key, "POST /v1/apps", &acting, app).await.id();
    let session = json!({"name": "s", "app": app, "phone_number_id": "106000000000001",
        "display_phone_number": "15550200000", "access_token": "t", "base_url": "http://10.0.0.1", "validate": false});
    let inside = house.by(&key, "POST /v1/sessions", &acting, session).await;
    assert_eq!(inside.problem(), (403, "operator_only".into()));
    assert_eq!(
        house.by(&key, "GET /v1/sessions", &[], Value::Null).await.problem(),
        (400, "tenant_header".into())
    );
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_tenant_is_changed_by_a_merge_patch_and_the_weight_by_the_operator_alone() {
    let house = House::open().await;
    let (id, key) = house.reseller("Mitra").await;
    let tenant = house.tenant_of("Toko", &[("kabar-reseller", &id)]).await;
    let what = format!("PATCH /v1/tenants/{}", tenant.id);
    let patch = json!({"weight": 40, "unknown_after_ms": 5_000, "resend_unknown": true, "frequency_cap": {"messages": 2, "days": 7}});
    let seen = house.operator(&what, &[], patch).await.json();
    assert_eq!((&seen["weight"], &seen["frequency_cap"]), (&json!(40), &json!({"messages": 2, "days": 7})));
    assert_eq!((&seen["unknown_after_ms"], &seen["resend_unknown"]), (&json!(5_000), &json!(true)));
    let weight = house.by(&key, &what, &[], json!({"weight": 50})).await;
    assert_eq!(weight.problem(), (403, "operator_only".into()));
    let seen =
        house.by(&key, &what, &[], json!({"frequency_cap": null, "unknown_after_ms": null})).await.json();
    assert_eq!((&seen["weight"], &seen["frequency_cap"]), (&json!(40), &Value::Null));
    assert_eq!((&seen["unknown_after_ms"], &seen["reseller"]), (&json!(900_000), &json!(id)));
    for wrong in [
        json!({"weight": 0}),
        json!({"weight": 101}),
        json!({"frequency_cap": {"messages": 0, "days": 1}}),
        json!({"frequency_cap": {"messages": 1, "days": 31}}),
        json!({"unknown_after_ms": 999}),
        json!({"name": " "}),
    ] {
        let refused = house.operator(&what, &[], wrong.clone()).await;
        assert_eq!(refused.problem(), (422, "invalid_value".into()), "{wrong}");
    }
    house.running.shutdown().await;
}
