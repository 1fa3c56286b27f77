//! The operations of the document with every place in them that takes an id, tenants that have one thing of every kind, and
//! the requests made of both. Not a test.

use super::house::{Tenant, template};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Places that take an id though the document, which speaks Meta's language there, calls it a text.
const UNTYPED: &[(&str, &str, &str)] = &[
    ("sendMessage", "/session", "SessionId"),
    ("sendMessage", "/context/message_id", "MessageId"),
    ("sendMessages", "/messages/0/session", "SessionId"),
    ("sendMessages", "/messages/0/context/message_id", "MessageId"),
];
/// A place of an operation that takes an id: `path`, a query parameter, or a JSON pointer into the body.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Path(String),
    Query(String),
    Body(String),
}

pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    pub scope: String,
    pub keys: Vec<String>,
    pub places: BTreeMap<Place, String>,
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

pub fn operations(document: &Value) -> Vec<Operation> {
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
            let scope = operation["x-scope"].as_str().unwrap().to_owned();
            let keys = operation["x-keys"].as_array().unwrap().iter();
            let keys = keys.map(|kind| kind.as_str().unwrap().to_owned()).collect();
            all.push(Operation { id, method, path, scope, keys, places, has_body: schema.is_object() });
        }
    }
    all
}

/// What one tenant has: the id of one thing of every kind, by the name of its kind in the document.
pub type Things = BTreeMap<String, String>;

pub async fn furnish(tenant: &Tenant<'_>, digits: &str) -> Things {
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
    // To a closed port of this machine, which the guard refuses: nothing leaves.
    let webhook = tenant.call("POST /v1/webhooks", json!({"url": "https://127.0.0.1:9/x"})).await.id();
    let file = json!({"base64": "aGFsbw==", "mime_type": "text/plain"});
    let media = tenant.call("POST /v1/media", file).await.id();
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
        ("MediaId", media),
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
        "markRead" => json!({}),
        "sendMessages" => json!({"messages": [message()]}),
        "optIn" | "optOut" => json!({"address": "+6281299990000", "session": session}),
        "createSession" => json!({"name": "s", "app": own["AppId"], "phone_number_id": "106000000009999",
            "display_phone_number": "15550200000", "access_token": "t", "validate": false}),
        "changeApp" => json!({"verify_token": "w"}),
        "changeSession" => json!({"name": "other", "validate": false}),
        "changeProfile" => json!({"about": "Hi"}),
        "blockUsers" | "unblockUsers" => json!({"users": ["+6281234560000"]}),
        "requestCode" => json!({"method": "sms", "language": "en_US"}),
        "verifyCode" => json!({"code": "135790"}),
        "registerNumber" | "setTwoStepPin" => json!({"pin": "123456"}),
        "subscribeApp" => json!({}),
        "createProviderTemplate" => json!({"name": "a", "language": "id", "category": "UTILITY",
            "components": [{"type": "BODY", "text": "Halo."}]}),
        "changeProviderTemplate" => json!({"components": [{"type": "BODY", "text": "Halo."}]}),
        "createWebhook" => json!({"url": "https://example.com/y", "sessions": [session]}),
        "changeWebhook" => json!({"sessions": [session]}),
        "replayWebhook" => json!({"event": own["EventId"]}),
        "previewTemplate" => json!({"contact": own["ContactId"]}),
        "createKey" => json!({"name": "k", "sessions": [session]}),
        "changeContact" | "changeTemplate" | "changeKey" | "changeTenant" => json!({"name": "other"}),
        "rotateKey" => json!({}),
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
pub fn request(
    operation: &Operation,
    own: &Things,
    (place, id): (Option<&Place>, &str),
    digits: &str,
) -> (String, String) {
    let mut path = operation.path.replace("{verb}", "pause").replace("{template}", "1689556908129832");
    // Without an id nothing in a body is anybody's.
    let mut body = match operation.has_body {
        true if operation.places.is_empty() => json!({}),
        true => body(&operation.id, own, digits),
        false => Value::Null,
    };
    let mut query = String::new();
    for (taken, kind) in &operation.places {
        let here = Some(taken) == place;
        let value = if here { id } else { own[kind].as_str() };
        match taken {
            Place::Path(name) => path = path.replace(&format!("{{{name}}}"), value),
            Place::Query(name) if here => query = format!("?{name}={value}"),
            Place::Body(pointer) if here => {
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
