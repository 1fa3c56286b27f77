//! Every operation of the document, every place in it that takes an id, every kind of caller: with the id of another
//! tenant's thing the answer is 404 or 403, and the same as with an id that nothing has. What is tried is read from the
//! document, so that an operation that is added tomorrow is tried tomorrow.

use super::house::{Answer, House, OPERATOR, Tenant, template};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// Places that take an id though the document, which speaks Meta's language there, calls it a text.
const UNTYPED: &[(&str, &str, &str)] = &[
    ("sendMessage", "/session", "SessionId"),
    ("sendMessage", "/context/message_id", "MessageId"),
    ("sendMessages", "/messages/0/session", "SessionId"),
    ("sendMessages", "/messages/0/context/message_id", "MessageId"),
];
/// A log of attempts outlives the events it names, so that a filter by an event that is not there finds nothing.
const FOUND_EMPTY: (&str, &str) = ("listWebhookDeliveries", "event");
/// Answers in the shape of a list: each of its items has an answer of its own, with these statuses inside.
const MANY: &str = "sendMessages";

/// A request for a WebSocket.
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "a2FiYXIga2FiYXIga2FiYQ=="),
];
/// Who streams has taken the id.
const DEADLINE: Duration = Duration::from_secs(5);

/// A place of an operation that takes an id: `path`, a query parameter, or a JSON pointer into the body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Path(String),
    Query(String),
    Body(String),
}

struct Operation {
    id: String,
    method: String,
    path: String,
    places: BTreeMap<Place, String>,
    has_body: bool,
}

/// The ids that a schema takes, with the pointers to where.
fn ids(document: &Value, schema: &Value, at: &str, depth: usize, found: &mut BTreeMap<Place, String>) {
    if depth > 12 {
        return;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/components/schemas/")) {
        let target = &document["components"]["schemas"][name];
        if target["pattern"].as_str().is_some_and(|p| p.ends_with("{13}$")) {
            found.insert(Place::Body(at.to_owned()), name.to_owned());
        } else {
            ids(document, target, at, depth + 1, found);
        }
        return;
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        ids(document, inner, &format!("{at}/{name}"), depth + 1, found);
    }
    if schema["items"].is_object() {
        ids(document, &schema["items"], &format!("{at}/0"), depth + 1, found);
    }
    for word in ["allOf", "oneOf", "anyOf"] {
        for inner in schema[word].as_array().into_iter().flatten() {
            ids(document, inner, at, depth + 1, found);
        }
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            let mut places = BTreeMap::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, place) = (parameter["name"].as_str().unwrap(), parameter["in"].as_str().unwrap());
                let mut found = BTreeMap::new();
                ids(document, &parameter["schema"], "", 0, &mut found);
                let place = if place == "path" {
                    Place::Path(name.to_owned())
                } else {
                    Place::Query(name.to_owned())
                };
                places.extend(found.into_values().map(|kind| (place.clone(), kind)));
            }
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            ids(document, schema, "", 0, &mut places);
            for (_, pointer, kind) in UNTYPED.iter().filter(|(of, ..)| *of == id) {
                places.insert(Place::Body((*pointer).to_owned()), (*kind).to_owned());
            }
            let (method, path) = (method.to_uppercase(), path.clone());
            all.push(Operation { id, method, path, places, has_body: schema.is_object() });
        }
    }
    all
}

/// What one tenant has: the id of one thing of every kind, by the name of its kind in the document.
type Things = BTreeMap<String, String>;

async fn furnish(tenant: &Tenant<'_>, digits: &str) -> Things {
    let app = tenant.call("POST /v1/apps", json!({"app_secrets": ["s"], "verify_token": "v"})).await.id();
    let session = tenant.idle_session(&format!("10600000000{digits}")).await;
    let list = tenant.import(&format!("name,phone\nAna,08123456{digits}\n")).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let contact = tenant.get("/v1/contacts").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let kept = json!({"name": "halo", "message": {"type": "text", "text": {"body": "halo {{name}}"}}});
    let kept = tenant.call("POST /v1/templates", kept).await.id();
    let halo = template(&session, "")["template"].clone();
    let campaign = json!({"name": "c", "senders": [session], "audience": {"list": list},
        "message": {"type": "template", "template": halo}});
    let campaign = tenant.call("POST /v1/campaigns", campaign).await.id();
    let message =
        tenant.call("POST /v1/messages", template(&session, &format!("628123456{digits}"))).await.id();
    let conversation =
        tenant.until("/v1/conversations", |seen| seen["data"][0]["id"].is_string()).await["data"][0]["id"]
            .clone();
    let event =
        tenant.until("/v1/events", |seen| seen["data"][0]["id"].is_string()).await["data"][0]["id"].clone();
    // To a closed port of this machine: nothing leaves.
    let webhook = tenant.call("POST /v1/webhooks", json!({"url": "https://127.0.0.1:9/x"})).await.id();
    let text = |value: Value| value.as_str().unwrap().to_owned();
    [
        ("TenantId", tenant.id.clone()),
        ("KeyId", tenant.key_id.clone()),
        ("AppId", app),
        ("SessionId", session),
        ("ImportId", list),
        ("ContactId", contact),
        ("TemplateId", kept),
        ("CampaignId", campaign),
        ("MessageId", message),
        ("ConversationId", text(conversation)),
        ("EventId", text(event)),
        ("WebhookId", webhook),
    ]
    .map(|(kind, id)| (kind.to_owned(), id))
    .into()
}

/// A body that the caller could send with its own things alone.
fn body(operation: &str, own: &Things, digits: &str) -> Value {
    let session = &own["SessionId"];
    let halo = template(session, "")["template"].clone();
    let message = || {
        let mut message = template(session, &format!("628120000{digits}"));
        message["context"] = json!({"message_id": own["MessageId"]});
        message
    };
    match operation {
        "createCampaign" => json!({"name": "c", "senders": [session], "audience": {"list": own["ImportId"]},
            "message": {"type": "template", "template": halo}}),
        "cloneCampaign" | "retryCampaign" => json!({"senders": [session]}),
        "sendMessage" => message(),
        "sendMessages" => json!({"messages": [message()]}),
        "optIn" | "optOut" => json!({"address": "+6281299990000", "session": session}),
        "createSession" => json!({"name": "s", "app": own["AppId"], "phone_number_id": "106000000009999",
            "display_phone_number": "15550200000", "access_token": "t"}),
        "createWebhook" => json!({"url": "https://example.com/y", "sessions": [session]}),
        "changeWebhook" => json!({"sessions": [session]}),
        "replayWebhook" => json!({"event": own["EventId"]}),
        "previewTemplate" => json!({"contact": own["ContactId"]}),
        "changeContact" | "changeTemplate" => json!({"name": "other"}),
        other => panic!("{other} takes a body with ids: say here what a good one looks like"),
    }
}

/// Puts an id where the pointer leads; what is not there yet is made.
fn put(body: &mut Value, pointer: &str, id: &str) {
    let mut at = body;
    for part in pointer.split('/').skip(1) {
        at = match part.parse::<usize>() {
            Ok(nth) => {
                if !at.is_array() {
                    *at = json!([null]);
                }
                &mut at[nth]
            }
            Err(_) => &mut at[part],
        };
    }
    *at = json!(id);
}

/// A request of an operation, with the caller's own things but for one place.
fn request(operation: &Operation, own: &Things, place: &Place, id: &str, digits: &str) -> (String, String) {
    let mut path = operation.path.replace("{verb}", "pause");
    let mut body = if operation.has_body { body(&operation.id, own, digits) } else { Value::Null };
    let mut query = String::new();
    for (taken, kind) in &operation.places {
        let value = if taken == place { id } else { own[kind].as_str() };
        match taken {
            Place::Path(name) => path = path.replace(&format!("{{{name}}}"), value),
            Place::Query(name) if taken == place => query = format!("?{name}={value}"),
            Place::Body(pointer) if taken == place => {
                // A template of one's own stands instead of a message.
                if operation.id == "createCampaign" && pointer == "/template" {
                    body.as_object_mut().unwrap().remove("message");
                }
                put(&mut body, pointer, value);
            }
            // Asked for in any case.
            Place::Query(name) if operation.id == "previewCampaign" => query = format!("?{name}={value}"),
            Place::Query(_) | Place::Body(_) => {}
        }
    }
    let body = if body.is_null() { String::new() } else { body.to_string() };
    (format!("{} {path}{query}", operation.method), body)
}

/// Status and code, also where the answer is one of many.
fn refusal(operation: &Operation, answer: &Answer) -> (u16, String) {
    if operation.id != MANY || answer.status >= 300 {
        assert!(answer.status >= 400, "taken: {answer:?}");
        return answer.problem();
    }
    let item = answer.json()["data"][0].take();
    (u16::try_from(item["status"].as_u64().unwrap_or(0)).unwrap(), item.to_string())
}

#[tokio::test]
async fn no_operation_takes_an_id_of_another_tenant_from_any_kind_of_key() {
    let house = House::with(|c| c.outbound.allow_networks = "127.0.0.1/32".parse().unwrap()).await;
    let (a, b) = (house.tenant("A").await, house.tenant("B").await);
    let theirs = furnish(&a, "7771").await;
    let own = furnish(&b, "7772").await;
    let document = house.call("GET /openapi.json", &[], "").await.json();
    let operations = operations(&document);
    let (operator, key) = (format!("Bearer {OPERATOR}"), format!("Bearer {}", b.key));
    let callers: [(&str, Vec<(&str, &str)>); 3] = [
        ("tenant's key", vec![("authorization", &key)]),
        ("operator's key for the tenant", vec![("authorization", &operator), ("kabar-tenant", &b.id)]),
        ("tenant's key that names the other", vec![("authorization", &key), ("kabar-tenant", &a.id)]),
    ];
    let (mut tried, mut wrong, mut touched) = (0, Vec::new(), BTreeSet::new());
    for operation in &operations {
        for (place, kind) in &operation.places {
            for (caller, headers) in &callers {
                // The operator may see every tenant.
                if kind == "TenantId" && caller.starts_with("operator") {
                    continue;
                }
                let (what, body) = request(operation, &own, place, &theirs[kind], "1111");
                let mut headers = headers.clone();
                if operation.id == "followEvents" {
                    headers.extend(UPGRADE);
                }
                let Ok(answer) = timeout(DEADLINE, house.call(&what, &headers, body)).await else {
                    wrong.push(format!("{} {place:?} by a {caller}: no end of the answer", operation.id));
                    continue;
                };
                let seen = if answer.status < 300 && operation.id != MANY {
                    (answer.status, answer.text.chars().take(200).collect())
                } else {
                    refusal(operation, &answer)
                };
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
    assert!(touched.len() > 40 && tried > 140, "{} {tried}", touched.len());
    house.running.shutdown().await;
}
