//! What an API key is good for, how it is replaced, and how much it may ask.

use super::house::{House, template};
use kabar_schema::store::Store;
use serde_json::{Value, json};

#[tokio::test]
async fn a_key_tells_its_holder_what_it_is_and_is_found_by_its_id() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let own = tenant.get("/v1/key").await.json();
    assert_eq!(
        (&own["kind"], &own["id"], &own["tenant"]),
        (&json!("tenant"), &json!(tenant.key_id), &json!(tenant.id))
    );
    assert_eq!(
        (&own["scopes"], &own["sessions"], &own["expires"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    let operator = house.operator("GET /v1/key", &[], Value::Null).await.json();
    assert_eq!((&operator["kind"], &operator["id"]), (&json!("operator"), &Value::Null));
    let (reseller, key) = house.reseller("M").await;
    let seen = house.by(&key, "GET /v1/key", &[], Value::Null).await.json();
    assert_eq!((&seen["kind"], &seen["reseller"]), (&json!("reseller"), &json!(reseller)));
    let read = tenant.get(&format!("/v1/keys/{}", tenant.key_id)).await.json();
    assert!(read["name"] == "test" && read.get("secret").is_none(), "{read}");
    // A reseller's keys are its own: listed by it, and by the operator that names it.
    let listed = house.by(&key, "GET /v1/keys", &[], Value::Null).await.json();
    assert_eq!(listed["data"][0]["reseller"], json!(reseller));
    let named = [("kabar-reseller", reseller.as_str())];
    assert_eq!(house.operator("GET /v1/keys", &named, Value::Null).await.json()["data"], listed["data"]);
    let id = listed["data"][0]["id"].as_str().unwrap();
    assert_eq!(tenant.get(&format!("/v1/keys/{id}")).await.problem(), (404, "not_found".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_key_never_gives_more_than_it_has() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let (one, two) =
        (tenant.idle_session("106000000000001").await, tenant.idle_session("106000000000002").await);
    let small = json!({"name": "small", "scopes": ["keys:write", "keys:read", "messages:read"], "sessions": [one],
        "expires": "2100-01-01T00:00:00Z", "networks": ["127.0.0.0/8"]});
    let (small_id, small) = house.made_key(&[("kabar-tenant", &tenant.id)], small).await;
    let made = house.by(&small, "POST /v1/keys", &[], json!({"name": "same"})).await.json();
    // What is not said is inherited.
    assert_eq!(made["scopes"], json!(["messages:read", "keys:read", "keys:write"]));
    assert_eq!((&made["sessions"], &made["networks"]), (&json!([one]), &json!(["127.0.0.0/8"])));
    assert_eq!(made["expires"], "2100-01-01T00:00:00.000Z");
    for (field, more) in [
        ("scopes", json!(["messages:send"])),
        ("sessions", json!([one, two])),
        ("expires", json!("2100-01-01T00:00:01Z")),
        ("networks", json!(["0.0.0.0/0"])),
    ] {
        let mut body = json!({"name": "more"});
        body[field] = more;
        let refused = house.by(&small, "POST /v1/keys", &[], body).await;
        assert_eq!(refused.problem(), (403, "exceeds_key".into()), "{field}");
        assert_eq!(refused.json()["path"], field);
    }
    // Nor by way of a stronger key, or of itself.
    let strong = format!("/v1/keys/{}", tenant.key_id);
    for (what, body) in [
        (format!("POST {strong}/rotate"), json!({})),
        (format!("PATCH {strong}"), json!({"name": "mine"})),
        (format!("DELETE {strong}"), Value::Null),
        (format!("PATCH /v1/keys/{small_id}"), json!({"expires": null})),
        (format!("PATCH /v1/keys/{small_id}"), json!({"networks": null})),
    ] {
        assert_eq!(house.by(&small, &what, &[], body).await.problem(), (403, "exceeds_key".into()), "{what}");
    }
    let faster = json!({"name": "fast", "limits": {"api_per_second": 0}});
    assert_eq!(tenant.call("POST /v1/keys", faster).await.problem(), (403, "operator_only".into()));
    let resellers = json!({"name": "big", "scopes": ["tenants:write"]});
    assert_eq!(tenant.call("POST /v1/keys", resellers).await.problem(), (422, "invalid_value".into()));
    let renamed = house.by(&small, &format!("PATCH /v1/keys/{small_id}"), &[], json!({"name": "x"})).await;
    assert_eq!(renamed.json()["name"], "x", "{renamed:?}");
    assert_eq!(house.by(&small, &format!("DELETE /v1/keys/{small_id}"), &[], Value::Null).await.status, 200);
    assert_eq!(
        house.by(&small, "GET /v1/key", &[], Value::Null).await.problem(),
        (401, "invalid_key".into())
    );
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_key_is_replaced_without_downtime_and_once() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let of = [("kabar-tenant", tenant.id.as_str())];
    let scoped = json!({"name": "checkout", "scopes": ["messages:read", "keys:write"]});
    let (id, old) = house.made_key(&of, scoped).await;
    let (rotate, once) = (format!("POST /v1/keys/{id}/rotate"), [("idempotency-key", "r")]);
    let rotated = tenant.with(&rotate, &once, json!({"overlap_seconds": 3_600})).await;
    assert_eq!(rotated.status, 201, "{rotated:?}");
    let answer = rotated.json();
    let (next, secret) = (&answer["key"]["id"], answer["key"]["secret"].as_str().unwrap());
    assert_eq!((&answer["replaced"]["replaced_by"], &answer["key"]["rotates"]), (next, &json!(id)));
    assert_eq!(answer["key"]["scopes"], answer["replaced"]["scopes"]);
    assert!(answer["replaced"]["expires"].is_string() && answer["key"]["expires"].is_null(), "{answer}");
    for key in [old.as_str(), secret] {
        assert_eq!(house.by(key, "GET /v1/key", &[], Value::Null).await.status, 200);
    }
    let again = tenant.with(&rotate, &once, json!({"overlap_seconds": 3_600})).await;
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!((&again.json()["key"]["id"], again.json()["key"].get("secret")), (next, None));
    assert_eq!(again.json()["replaced"]["expires"], answer["replaced"]["expires"]);
    let other = tenant.with(&rotate, &once, json!({"overlap_seconds": 1})).await;
    assert_eq!(other.problem(), (422, "idempotency_mismatch".into()));
    assert_eq!(tenant.call(&rotate, json!({})).await.problem(), (409, "wrong_phase".into()));
    let too_long = tenant.call(&rotate, json!({"overlap_seconds": 604_801})).await;
    assert_eq!(too_long.problem(), (422, "invalid_value".into()));
    // One that ends soon is replaced by one that does not, and never by one that outlives who asks.
    let soon = json!({"name": "soon", "scopes": ["keys:write"], "expires": "2100-01-01T00:00:00Z"});
    let (soon_id, soon) = house.made_key(&of, soon).await;
    let rotate_soon = format!("POST /v1/keys/{soon_id}/rotate");
    let longer = json!({"expires": "2100-01-02T00:00:00Z"});
    assert_eq!(
        house.by(&soon, &rotate_soon, &[], longer.clone()).await.problem(),
        (403, "exceeds_key".into())
    );
    let prolonged = tenant.call(&rotate_soon, longer).await.json();
    assert_eq!(prolonged["key"]["expires"], "2100-01-02T00:00:00.000Z");
    assert_ne!(prolonged["replaced"]["expires"], prolonged["key"]["expires"]);
    // Without an overlap the old one ends at once, and the new one goes on.
    let last = tenant
        .call(&format!("POST /v1/keys/{}/rotate", next.as_str().unwrap()), json!({"overlap_seconds": 0}))
        .await;
    let newest = last.json()["key"]["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        house.by(secret, "GET /v1/key", &[], Value::Null).await.problem(),
        (401, "key_expired".into())
    );
    assert_eq!(house.by(&newest, "GET /v1/key", &[], Value::Null).await.status, 200);
    house.running.shutdown().await;
}

#[tokio::test]
async fn when_a_key_was_last_used_is_known_after_a_restart() {
    let store = Store::memory();
    let house = House::on(store.clone(), |_| {}).await;
    let tenant = house.tenant("A").await;
    let idle = house.made_key(&[("kabar-tenant", &tenant.id)], json!({"name": "idle"})).await.0;
    // Keys of one millisecond stand in any order.
    let used = |listed: &Value, id: &str| {
        let keys = listed["data"].as_array().unwrap();
        keys.iter().find(|key| key["id"] == id).unwrap()["last_used"].clone()
    };
    let listed = tenant.get("/v1/keys").await.json();
    let before = used(&listed, &tenant.key_id);
    assert!(before["from"] == "127.0.0.0/24" && before["at"].is_string(), "{listed}");
    assert_eq!(used(&listed, &idle), Value::Null);
    let known = (tenant.id.clone(), tenant.key.clone(), tenant.key_id.clone());
    house.running.shutdown().await;
    let house = House::on(store, |_| {}).await;
    let of = [("kabar-tenant", known.0.as_str())];
    let read = house.operator(&format!("GET /v1/keys/{}", known.2), &of, Value::Null).await.json();
    assert!(read["last_used"]["at"].as_str() >= before["at"].as_str(), "{read} {before}");
    let listed = house.operator("GET /v1/keys", &of, Value::Null).await.json();
    assert_eq!(used(&listed, &known.2), read["last_used"]);
    assert_eq!(used(&listed, &idle), Value::Null);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_key_for_some_networks_is_good_there_and_a_proxy_is_believed_only_when_it_is_named() {
    let plain = House::open().await;
    let proxied = House::with(|c| {
        let given = ("KABAR__AUTH__TRUSTED_PROXIES".to_owned(), "127.0.0.0/8".to_owned());
        c.auth.trusted_proxies =
            kabar_api::config::Config::load(None, std::iter::once(given)).unwrap().auth.trusted_proxies;
    })
    .await;
    for (house, believed) in [(&plain, false), (&proxied, true)] {
        let tenant = house.tenant("A").await;
        let of = [("kabar-tenant", tenant.id.as_str())];
        let office = json!({"name": "office", "networks": ["203.0.113.0/24"]});
        let (id, key) = house.made_key(&of, office).await;
        let from = |address: &'static str| [("x-forwarded-for", address)];
        let refused = (403, "address_not_allowed".to_owned());
        assert_eq!(house.by(&key, "GET /v1/key", &[], Value::Null).await.problem(), refused);
        let inside = house.by(&key, "GET /v1/key", &from("203.0.113.9"), Value::Null).await;
        assert_eq!(inside.status, if believed { 200 } else { 403 });
        // Said by the caller, before what the proxy saw.
        let lied = house.by(&key, "GET /v1/key", &from("203.0.113.9, 198.51.100.7"), Value::Null).await;
        assert_eq!(lied.problem(), refused);
        let opened = house
            .operator(&format!("PATCH /v1/keys/{id}"), &of, json!({"networks": ["127.0.0.1", "::1"]}))
            .await;
        assert_eq!(opened.json()["networks"], json!(["127.0.0.1", "::1"]));
        assert_eq!(house.by(&key, "GET /v1/key", &[], Value::Null).await.status, 200, "it holds at once");
    }
    plain.running.shutdown().await;
    proxied.running.shutdown().await;
}

/// The number a header's item has: `"api";r=42`.
fn left(header: &str, bucket: &str) -> Option<u64> {
    let item = header.split(", ").find(|item| item.starts_with(&format!("\"{bucket}\"")))?;
    item.split(";r=").nth(1)?.split(';').next()?.parse().ok()
}

#[tokio::test]
async fn requests_and_messages_are_counted_apart_and_the_answer_tells_what_is_left() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let of = [("kabar-tenant", tenant.id.as_str())];
    assert!(!tenant.get("/v1/key").await.headers.contains_key("ratelimit"), "nothing is limited");
    let limits = json!({"api_per_second": 1, "api_burst": 5, "send_per_second": 1, "send_burst": 3});
    let (id, key) = house.made_key(&of, json!({"name": "slow", "limits": limits})).await;
    let seen = house.by(&key, "GET /v1/key", &[], Value::Null).await;
    assert_eq!(seen.headers["ratelimit-policy"], "\"api\";q=5;w=5, \"send\";q=3;w=3");
    assert_eq!(seen.headers["ratelimit"], "\"api\";r=4;t=1, \"send\";r=3;t=0");
    assert_eq!(seen.headers["ratelimit-limit"], "3");
    assert_eq!(seen.headers["ratelimit-remaining"], "3");
    // A row that is no message takes nothing; four of five rows want room, three find it.
    let to = |n: u64| template(&session, &format!("62812345677{n:02}"));
    let rows = json!({"messages": [to(1), {"session": session}, to(2), to(3), to(4)]});
    let sent = house.by(&key, "POST /v1/messages/batch", &[], rows).await;
    let statuses: Vec<_> =
        sent.json()["data"].as_array().unwrap().iter().map(|row| row["status"].clone()).collect();
    assert_eq!(statuses, [202, 422, 202, 429, 429].map(|status: i32| json!(status)));
    assert_eq!(sent.json()["data"][4]["problem"]["code"], "rate_limited");
    let header = sent.headers["ratelimit"].to_str().unwrap();
    assert!(left(header, "send").is_some_and(|left| left >= 1), "the wrong row is given back: {header}");
    let first = house.by(&key, "POST /v1/messages", &[], to(5)).await;
    assert_eq!(first.status, 202, "{first:?}");
    let full = loop {
        let next = house.by(&key, "POST /v1/messages", &[], to(6)).await;
        if next.status != 202 {
            break next;
        }
    };
    assert_eq!(full.problem(), (429, "rate_limited".into()));
    assert!(full.headers.contains_key("retry-after") && full.headers.contains_key("ratelimit"), "{full:?}");
    let full = loop {
        let next = house.by(&key, "GET /v1/key", &[], Value::Null).await;
        if next.status != 200 {
            break next;
        }
    };
    assert_eq!((full.problem(), &full.json()["bucket"]), ((429, "rate_limited".into()), &json!("api")));
    assert_eq!(left(full.headers["ratelimit"].to_str().unwrap(), "api"), Some(0));
    // Others are not held back, and the operator can let it go on at once.
    assert_eq!(tenant.get("/v1/key").await.status, 200);
    let free = json!({"limits": {"api_per_second": 0, "send_per_second": 0}});
    assert_eq!(house.operator(&format!("PATCH /v1/keys/{id}"), &of, free).await.status, 200);
    let open = house.by(&key, "GET /v1/key", &[], Value::Null).await;
    assert!(open.status == 200 && !open.headers.contains_key("ratelimit"), "{open:?}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_key_for_two_sessions_names_the_one_whose_events_it_reads_and_subscribes_to_those_alone() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let tenant = house.tenant("A").await;
    let mut sessions = Vec::new();
    for number in ["106000000000001", "106000000000002", "106000000000003"] {
        sessions.push(tenant.idle_session(number).await);
    }
    let own = &sessions[..2];
    let limited =
        house.made_key(&[("kabar-tenant", &tenant.id)], json!({"name": "two", "sessions": own})).await.1;
    let refused = (403, "session_not_allowed".to_owned());
    for list in ["events", "conversations"] {
        let all = house.by(&limited, &format!("GET /v1/{list}"), &[], Value::Null).await;
        assert_eq!(all.problem(), refused, "{list}");
        let one = format!("GET /v1/{list}?session={}", own[1]);
        assert_eq!(house.by(&limited, &one, &[], Value::Null).await.status, 200, "{list}");
    }
    let url = "https://127.0.0.1:9/x";
    for (names, status) in [(json!(null), 403), (json!(sessions), 403), (json!(own), 201)] {
        let asked = json!({"url": url, "sessions": names});
        assert_eq!(house.by(&limited, "POST /v1/webhooks", &[], asked).await.status, status, "{names}");
    }
    let all = tenant.call("POST /v1/webhooks", json!({"url": url})).await.id();
    let listed = house.by(&limited, "GET /v1/webhooks", &[], Value::Null).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    for what in ["GET /v1/webhooks/{}", "POST /v1/webhooks/{}/rotate-secret", "DELETE /v1/webhooks/{}"] {
        let what = what.replace("{}", &all);
        assert_eq!(house.by(&limited, &what, &[], Value::Null).await.problem(), refused, "{what}");
    }
    let app = json!({"app_secrets": ["s"], "verify_token": "v"});
    let app = tenant.call("POST /v1/apps", app).await.id();
    let fourth = json!({"name": "s", "app": app, "phone_number_id": "106000000000004",
        "display_phone_number": "15550200000", "access_token": "t", "validate": false});
    assert_eq!(house.by(&limited, "POST /v1/sessions", &[], fourth).await.problem(), refused);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_key_hands_on_its_rates_and_more_keys_are_not_more_rate() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let limits = json!({"api_per_second": 1, "api_burst": 20, "send_per_second": 1, "send_burst": 10});
    let of = [("kabar-tenant", tenant.id.as_str())];
    // The tenant's first key has no limit here: it is taken back, or all of the tenant's keys together had none.
    let slow = house.made_key(&of, json!({"name": "slow", "limits": limits})).await.1;
    assert_eq!(
        house.by(&slow, &format!("DELETE /v1/keys/{}", tenant.key_id), &[], Value::Null).await.status,
        403
    );
    let taken = house.operator(&format!("DELETE /v1/keys/{}", tenant.key_id), &of, Value::Null).await;
    assert_eq!(taken.status, 200);
    assert_eq!(tenant.get("/v1/key").await.status, 401);
    let made = house.by(&slow, "POST /v1/keys", &[], json!({"name": "second"})).await.json();
    assert_eq!(made["limits"], limits);
    let second = made["secret"].as_str().unwrap();
    let first = house.by(second, "GET /v1/key", &[], Value::Null).await;
    let policy = "\"api\";q=20;w=20, \"send\";q=10;w=10";
    assert_eq!(first.headers["ratelimit-policy"], policy);
    let mut passed = 0;
    for nth in 0..40 {
        let key = if nth % 2 == 0 { slow.as_str() } else { second };
        let answer = house.by(key, "GET /v1/key", &[], Value::Null).await;
        assert!([200, 429].contains(&answer.status), "{answer:?}");
        passed += u32::from(answer.status == 200);
        if answer.status == 429 {
            assert!(answer.headers["ratelimit"].to_str().unwrap().starts_with("\"api\";r=0;"), "{answer:?}");
        }
    }
    // Three were asked before; a second or two may have brought one each.
    assert!((16..=20).contains(&passed), "{passed} of 40 passed");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_reseller_gives_no_rate_above_its_own_and_never_to_itself() {
    let house = House::open().await;
    let (reseller, free) = house.reseller("M").await;
    let named = [("kabar-reseller", reseller.as_str())];
    let own = json!({"api_per_second": 50, "api_burst": 500, "send_per_second": 5, "send_burst": 10});
    let (id, key) = house.made_key(&named, json!({"name": "small", "limits": own})).await;
    let tenant = house.by(&key, "POST /v1/tenants", &[], json!({"name": "T"})).await.id();
    let of = [("kabar-tenant", tenant.as_str())];
    let exceeds = (403, "exceeds_key".to_owned());
    for (field, more) in [("api_per_second", 51), ("api_per_second", 0), ("send_burst", 11)] {
        let limits = json!({field: more});
        for (what, headers) in [("POST /v1/keys", &of[..]), ("POST /v1/keys", &[])] {
            let asked = json!({"name": "more", "limits": limits});
            assert_eq!(house.by(&key, what, headers, asked).await.problem(), exceeds, "{field} {more}");
        }
    }
    for limits in [json!({"api_per_second": 100_000}), json!({"api_per_second": 1}), Value::Null] {
        let itself = house.by(&key, &format!("PATCH /v1/keys/{id}"), &[], json!({"limits": limits})).await;
        assert_eq!(
            (itself.problem(), &itself.json()["path"]),
            (exceeds.clone(), &json!("limits")),
            "{limits}"
        );
    }
    // What is not said is as its own, and less can be given.
    let made =
        house.by(&key, "POST /v1/keys", &of, json!({"name": "t", "limits": {"send_per_second": 1}})).await;
    let mut less = own.clone();
    less["send_per_second"] = json!(1);
    assert_eq!(made.json()["limits"], less);
    let path = format!("PATCH /v1/keys/{}", made.id());
    assert_eq!(house.by(&key, &path, &of, json!({"limits": null})).await.json()["limits"], own);
    let raised = json!({"limits": {"send_per_second": 6}});
    assert_eq!(house.by(&key, &path, &of, raised.clone()).await.problem(), exceeds);
    // A key of the same reseller that may more gives more; the small one then changes, rotates or revokes it no more.
    assert_eq!(house.by(&free, &path, &of, raised).await.status, 200);
    for what in [path.clone(), path.replace("PATCH", "DELETE"), path.replace("PATCH", "POST") + "/rotate"] {
        assert_eq!(house.by(&key, &what, &of, json!({})).await.problem(), exceeds, "{what}");
    }
    house.running.shutdown().await;
}
