//! Every operation of the document, every place in it that takes an id, every kind of key: with the id of another tenant's
//! thing the answer is 404 or 403, and every key that is not good for it is refused. What is tried is read from the
//! document, so that an operation that is added tomorrow is tried tomorrow.

use super::house::{Answer, House, OPERATOR, template};
use super::place::{Operation, Place, Things, furnish, operations, request};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::timeout;

/// A log of attempts outlives the events it names, so that a filter by an event that is not there finds nothing.
const FOUND_EMPTY: (&str, &str) = ("listWebhookDeliveries", "event");
/// Answers in the shape of a list: each of its items has an answer of its own, with these statuses inside.
const MANY: &str = "sendMessages";
/// Answers that never end when they are not refused.
const ENDLESS: [&str; 2] = ["streamEvents", "followEvents"];
/// Kinds of things that belong to a session.
const OF_SESSIONS: [&str; 6] =
    ["SessionId", "MessageId", "ConversationId", "CampaignId", "WebhookId", "EventId"];

/// A request for a WebSocket.
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "a2FiYXIga2FiYXIga2FiYQ=="),
];
/// Who streams has taken the id.
const DEADLINE: Duration = Duration::from_secs(5);

/// Status and code, also where the answer is one of many.
fn refusal(operation: &Operation, answer: &Answer) -> (u16, String) {
    if answer.status < 300 && operation.id != MANY {
        return (answer.status, answer.text.chars().take(200).collect());
    }
    if answer.status >= 300 {
        return answer.problem();
    }
    let item = answer.json()["data"][0].take();
    (u16::try_from(item["status"].as_u64().unwrap_or(0)).unwrap(), item.to_string())
}

/// Asks, with what this operation needs beside. `None`: the answer has no end.
async fn asked(
    house: &House,
    operation: &Operation,
    headers: &[(&str, &str)],
    (what, body): (String, String),
) -> Option<Answer> {
    let mut headers = headers.to_vec();
    if operation.id == "followEvents" {
        headers.extend(UPGRADE);
    }
    timeout(DEADLINE, house.call(&what, &headers, body)).await.ok()
}

async fn documented(house: &House) -> Vec<Operation> {
    operations(&house.call("GET /openapi.json", &[], "").await.json())
}

#[tokio::test]
async fn no_operation_takes_an_id_of_another_tenant_from_any_kind_of_key() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let (seller_a, _) = house.reseller("MA").await;
    let (seller_b, reseller_key) = house.reseller("MB").await;
    let a = house.tenant_of("A", &[("kabar-reseller", &seller_a)]).await;
    let b = house.tenant_of("B", &[("kabar-reseller", &seller_b)]).await;
    let mut theirs = furnish(&a, "7771").await;
    let mut own = furnish(&b, "7772").await;
    theirs.insert("ResellerId".into(), seller_a);
    own.insert("ResellerId".into(), seller_b);
    let limited = json!({"name": "limited", "sessions": [own["SessionId"]]});
    let limited = house.made_key(&[("kabar-tenant", &b.id)], limited).await.1;
    let operations = documented(&house).await;
    let [operator, key, reseller, limited] =
        [OPERATOR, &b.key, &reseller_key, &limited].map(|key| format!("Bearer {key}"));
    let callers: [(&str, Vec<(&str, &str)>); 6] = [
        ("tenant's key", vec![("authorization", &key)]),
        ("tenant's key for one session", vec![("authorization", &limited)]),
        ("operator's key for the tenant", vec![("authorization", &operator), ("kabar-tenant", &b.id)]),
        ("tenant's key that names the other", vec![("authorization", &key), ("kabar-tenant", &a.id)]),
        ("reseller's key for its tenant", vec![("authorization", &reseller), ("kabar-tenant", &b.id)]),
        (
            "reseller's key that names the tenant of another",
            vec![("authorization", &reseller), ("kabar-tenant", &a.id)],
        ),
    ];
    let (mut tried, mut wrong, mut touched) = (0, Vec::new(), BTreeSet::new());
    for operation in &operations {
        for (place, kind) in &operation.places {
            for (caller, headers) in &callers {
                // The operator may see every tenant and reseller.
                if matches!(kind.as_str(), "TenantId" | "ResellerId") && caller.starts_with("operator") {
                    continue;
                }
                let made = request(operation, &own, (Some(place), &theirs[kind]), "1111");
                let Some(answer) = asked(&house, operation, headers, made).await else {
                    wrong.push(format!("{} {place:?} by a {caller}: no end of the answer", operation.id));
                    continue;
                };
                let seen = refusal(operation, &answer);
                if matches!(place, Place::Query(name) if (operation.id.as_str(), name.as_str()) == FOUND_EMPTY)
                    && answer.json()["data"] == json!([])
                {
                    continue;
                }
                let names = answer.text.contains(theirs[kind].as_str()) && answer.status < 300;
                if !matches!(seen.0, 403 | 404) || names {
                    wrong.push(format!("{} {place:?} by a {caller}: {seen:?}", operation.id));
                }
                tried += 1;
                touched.insert(operation.id.as_str());
            }
        }
    }
    println!(
        "{tried} requests: {} of {} operations take ids, {} places, {} kinds of callers",
        touched.len(),
        operations.len(),
        operations.iter().map(|o| o.places.len()).sum::<usize>(),
        callers.len()
    );
    assert!(wrong.is_empty(), "{} of {tried} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(touched.len() > 40 && tried > 300, "{} {tried}", touched.len());
    house.running.shutdown().await;
}

/// What a key is refused.
struct Bad {
    name: &'static str,
    key: String,
    expected: (u16, &'static str),
}

/// Keys that were good once, or are good elsewhere.
async fn spoilt(house: &House, of: &[(&str, &str)]) -> Vec<Bad> {
    let (expired, before) = house.made_key(of, json!({"name": "expired"})).await;
    let rotate = format!("POST /v1/keys/{expired}/rotate");
    assert_eq!(house.operator(&rotate, of, json!({"overlap_seconds": 0})).await.status, 201);
    let (revoked, taken_back) = house.made_key(of, json!({"name": "revoked"})).await;
    assert_eq!(house.operator(&format!("DELETE /v1/keys/{revoked}"), of, Value::Null).await.status, 200);
    let elsewhere = json!({"name": "elsewhere", "networks": ["203.0.113.0/24"]});
    let elsewhere = house.made_key(of, elsewhere).await.1;
    vec![
        Bad { name: "expired", key: before, expected: (401, "key_expired") },
        Bad { name: "revoked", key: taken_back, expected: (401, "invalid_key") },
        Bad { name: "from a wrong network", key: elsewhere, expected: (403, "address_not_allowed") },
    ]
}

#[tokio::test]
async fn a_key_without_the_needed_scope_or_past_its_time_or_place_opens_no_operation() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let (seller, _) = house.reseller("M").await;
    let of_seller = [("kabar-reseller", seller.as_str())];
    let tenant = house.tenant_of("A", &of_seller).await;
    let mut own = furnish(&tenant, "7771").await;
    own.insert("ResellerId".into(), seller.clone());
    let of_tenant = [("kabar-tenant", tenant.id.as_str())];
    let operations = documented(&house).await;
    let scopes: BTreeSet<_> = operations.iter().map(|o| o.scope.as_str()).collect();
    let scopes: Vec<_> = scopes.into_iter().filter(|scope| scope.contains(':')).collect();
    let (mut tried, mut wrong) = (0, Vec::new());
    for resold in [false, true] {
        let of: &[(&str, &str)] = if resold { &of_seller } else { &of_tenant };
        let spoilt = spoilt(&house, of).await;
        for operation in &operations {
            let may_have = |scope: &&str| resold || !scope.starts_with("tenants:");
            let others = scopes.iter().copied().filter(|scope| *scope != operation.scope).filter(may_have);
            let others: Vec<_> = others.collect();
            let lacking = house.made_key(of, json!({"name": "lacking", "scopes": others})).await.1;
            let kind = if resold { "reseller" } else { "tenant" };
            let expected = match operation.scope.as_str() {
                "any" => None,
                _ if !operation.keys.iter().any(|key| key == kind) => Some((403, "operator_only")),
                _ => Some((403, "scope_missing")),
            };
            let lacking =
                expected.map(|expected| Bad { name: "with every other scope", key: lacking, expected });
            for bad in spoilt.iter().chain(&lacking) {
                let bearer = format!("Bearer {}", bad.key);
                let mut headers = vec![("authorization", bearer.as_str())];
                if resold {
                    headers.extend(of_tenant);
                }
                let made = request(operation, &own, (None, ""), "1111");
                let answer = asked(&house, operation, &headers, made).await;
                let seen = answer.map(|answer| refusal(operation, &answer));
                if seen.as_ref().map(|(status, code)| (*status, code.as_str())) != Some(bad.expected) {
                    wrong.push(format!("{} by a {kind}'s key {}: {seen:?}", operation.id, bad.name));
                }
                tried += 1;
            }
        }
    }
    println!("{tried} requests: {} operations, 2 owners, 4 spoilt keys", operations.len());
    assert!(wrong.is_empty(), "{} of {tried} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 400, "{tried}");
    house.running.shutdown().await;
}

/// What belongs to the session, with the ids that must not be told.
fn of_session(own: &Things) -> Vec<&str> {
    OF_SESSIONS.iter().map(|kind| own[*kind].as_str()).collect()
}

#[tokio::test]
async fn a_key_for_one_session_is_told_nothing_of_another_of_the_same_tenant() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let tenant = house.tenant("A").await;
    let mut own = furnish(&tenant, "7771").await;
    own.insert("ResellerId".into(), "rsl_0000000000001".into());
    let other = tenant.idle_session("106000000007779").await;
    let message = tenant.call("POST /v1/messages", template(&other, "6281234567779")).await.id();
    let limited = json!({"name": "limited", "sessions": [other]});
    let limited = house.made_key(&[("kabar-tenant", &tenant.id)], limited).await.1;
    let bearer = format!("Bearer {limited}");
    let headers = [("authorization", bearer.as_str())];
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in &documented(&house).await {
        let places: Vec<_> =
            operation.places.iter().map(|(place, kind)| (Some(place), kind.as_str())).collect();
        let whole = operation.places.is_empty().then_some((None, "")).into_iter();
        let places = places.into_iter().chain(whole).chain(
            // A list that could be asked without naming any.
            operation.places.keys().all(|place| matches!(place, Place::Query(_))).then_some((None, "")),
        );
        for (place, kind) in places {
            if place.is_none() && ENDLESS.contains(&operation.id.as_str()) {
                continue;
            }
            let id = own.get(kind).map_or("", String::as_str);
            let made = request(operation, &own, (place, id), "1111");
            let Some(answer) = asked(&house, operation, &headers, made).await else {
                wrong.push(format!("{} {place:?}: no end of the answer", operation.id));
                continue;
            };
            let seen = refusal(operation, &answer);
            let leaks = answer.status < 300 && of_session(&own).iter().any(|id| answer.text.contains(id));
            if leaks && operation.id != MANY || OF_SESSIONS.contains(&kind) && seen.0 != 403 {
                wrong.push(format!("{} {place:?}: {seen:?}", operation.id));
            }
            tried += 1;
        }
    }
    println!("{tried} requests by a key for another session of the tenant");
    assert!(wrong.is_empty(), "{} of {tried} answers are wrong:\n{}", wrong.len(), wrong.join("\n"));
    // And of its own session it is told.
    let listed = house.by(&limited, "GET /v1/sessions", &[], Value::Null).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let read = format!("GET /v1/messages/{message}");
    assert_eq!(house.by(&limited, &read, &[], Value::Null).await.status, 200);
    let mine = house.by(&limited, "GET /v1/events", &[], Value::Null).await.json();
    assert!(mine.to_string().contains(&message), "{mine}");
    house.running.shutdown().await;
}
