//! What the connector sends and reads, held against Meta's own description of its API (`tests/data/meta-openapi`): paths, query
//! parameters, bodies and answers, operation by operation. Where the description is known to be wrong an exception says so
//! with its reason; one that is not needed any more fails. The list is a page of the documentation.

mod case;
mod exception;

use super::recorder::{Recorder, Seen};
use case::{Case, contents, numbers, profiles, templates};
use exception::{EXCEPTIONS, NOT_HELD, UNKNOWN_THERE};
use kabar_connectors::Connector;
use kabar_connectors::client::Client;
use kabar_connectors::cloud::{CloudApi, CloudConfig};
use kabar_engine::address::Address;
use kabar_engine::content::Content;
use kabar_engine::id::{MessageId, SessionId};
use kabar_engine::outgoing::{Outgoing, Reference};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const SEND: &str = "post {Phone-Number-ID}/messages";
const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

/// The description, as JSON.
fn description() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/meta-openapi/business-messaging-api_v23.0.yaml");
    serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What one operation was held against, and where it did not fit.
#[derive(Default)]
struct Held {
    schemas: BTreeSet<String>,
    excused: BTreeSet<(&'static str, &'static str, &'static str)>,
    broken: Vec<String>,
}

struct Document {
    whole: Value,
    used: BTreeSet<usize>,
}

impl Document {
    fn resolve<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let mut schema = schema;
        while let Some(pointer) = schema["$ref"].as_str() {
            schema = self.whole.pointer(&pointer[1..]).unwrap();
        }
        schema
    }

    fn operation(&self, operation: &str) -> &Value {
        let (method, path) = operation.split_once(' ').unwrap();
        let found = &self.whole["paths"][format!("/{{Version}}/{path}")][method];
        assert!(found.is_object(), "{operation} is not in the description");
        found
    }

    /// Fields of a value that its schema does not name, and what it says of their values.
    fn check(&self, schema: &Value, value: &Value) -> Vec<(String, String)> {
        let mut root = json!({"allOf": [schema]});
        root["components"] = self.whole["components"].clone();
        let mut wrong = Vec::new();
        let validator = jsonschema::draft202012::new(&root).unwrap();
        for error in validator.iter_errors(value) {
            wrong.push((
                dotted(error.instance_path().as_str()),
                error.to_string().chars().take(160).collect(),
            ));
        }
        self.unknown(schema, value, "", &mut wrong);
        wrong
    }

    fn unknown(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<(String, String)>) {
        let schema = self.resolve(schema);
        for word in ["oneOf", "anyOf", "allOf"] {
            if schema[word].is_array() {
                return;
            }
        }
        match value {
            Value::Object(fields) => {
                let Some(known) = schema["properties"].as_object() else { return };
                for (name, value) in fields {
                    let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    match known.get(name) {
                        Some(schema) => self.unknown(schema, value, &at, found),
                        None => found.push((at, "the description does not name it".into())),
                    }
                }
            }
            Value::Array(items) if schema["items"].is_object() => {
                items.iter().for_each(|item| self.unknown(&schema["items"], item, &format!("{at}[]"), found));
            }
            _ => {}
        }
    }

    /// A message: what all have in common, and what its type has, each half alone.
    fn check_message(&self, message: &Value) -> Vec<(String, String)> {
        let schemas = &self.whole["components"]["schemas"];
        let kind = message["type"].as_str().unwrap();
        let name = schemas["Message"]["discriminator"]["mapping"][kind].as_str().unwrap();
        let own = &self.whole.pointer(&name[1..]).unwrap()["allOf"][1];
        let (mut common, mut payload) = (message.clone(), json!({"type": kind}));
        payload[kind] = common.as_object_mut().unwrap().remove(kind).unwrap();
        let mut wrong = self.check(&schemas["BaseMessageProperties"], &common);
        wrong.extend(self.check(own, &payload));
        wrong
    }

    fn hold(&mut self, case: &'static str, seen: &Seen, answer: &Value) -> Held {
        let mut held = Held::default();
        let mut wrong: Vec<(&'static str, String, String)> = Vec::new();
        {
            let operation = self.operation(case);
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let named = |name: &str| parameters.iter().any(|p| self.resolve(p)["name"] == name);
            for (name, _) in seen.query.split('&').filter_map(|pair| pair.split_once('=')) {
                if !named(name) {
                    wrong.push(("query", name.to_owned(), "the description does not name it".into()));
                }
            }
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            if body.is_object() {
                held.schemas.insert(format!("body {}", title(body)));
                let found =
                    if case == SEND { self.check_message(&seen.body) } else { self.check(body, &seen.body) };
                wrong.extend(found.into_iter().map(|(at, why)| ("body", at, why)));
            } else if seen.body.as_object().is_some_and(|fields| !fields.is_empty()) {
                wrong.push(("body", String::new(), "the description has none".into()));
            }
            let told = self.resolve(&operation["responses"]["200"]);
            let told = &told["content"]["application/json"]["schema"];
            if told.is_object() {
                held.schemas.insert(format!("answer {}", title(told)));
                wrong.extend(self.check(told, answer).into_iter().map(|(at, why)| ("answer", at, why)));
            }
        }
        for (place, at, why) in wrong {
            let excused = EXCEPTIONS.iter().position(|(of, p, a, _)| {
                (*of, *p) == (case, place) && (at == *a || (!a.is_empty() && at.starts_with(a)))
            });
            match excused {
                Some(nth) => {
                    self.used.insert(nth);
                    let (_, place, at, why) = EXCEPTIONS[nth];
                    held.excused.insert((place, at, why));
                }
                None => held.broken.push(format!("{case}: {place} `{at}`: {why}")),
            }
        }
        held
    }
}

/// `/a/0/b` as `a[].b`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str("[]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
    }
    path
}

fn title(schema: &Value) -> String {
    schema["$ref"].as_str().and_then(|r| r.rsplit('/').next()).unwrap_or("without a name").to_owned()
}

/// Whether a path that was asked for is the operation's.
fn fits(operation: &str, seen: &Seen) -> bool {
    let (method, path) = operation.split_once(' ').unwrap();
    let (wanted, given): (Vec<_>, Vec<_>) = (path.split('/').collect(), seen.path.split('/').collect());
    let same = |(wanted, given): (&&str, &&str)| wanted.starts_with('{') || wanted == given;
    seen.method.eq_ignore_ascii_case(method)
        && wanted.len() == given.len()
        && wanted.iter().zip(&given).all(same)
}

async fn send(url: &str, content: &Value) {
    let config = CloudConfig {
        base_url: url.to_owned(),
        api_version: "v23.0".into(),
        phone_number_id: "106".into(),
        access_token: "EAAG".into(),
        proofs: Arc::default(),
        deadline_ms: 10_000,
    };
    let message = Outgoing {
        session: SessionId(1),
        reference: Reference::Message(MessageId(7)),
        to: Address::phone_digits("6281234567890").unwrap(),
        content: Arc::new(Content::from_json(content).unwrap()),
        context: Some("wamid.0".into()),
        identity: None,
    };
    CloudApi::new(Client::for_providers(), config).send(&message).await.unwrap();
}

#[tokio::test]
async fn what_is_sent_and_read_is_what_metas_description_says_but_for_what_is_known_to_be_wrong_in_it() {
    let mut document = Document { whole: description(), used: BTreeSet::new() };
    let mut all: BTreeMap<&'static str, Held> = BTreeMap::new();
    let mut add = |operation, held: Held| {
        let known = all.entry(operation).or_default();
        known.schemas.extend(held.schemas);
        known.excused.extend(held.excused);
        known.broken.extend(held.broken);
    };
    for Case { operation, answer, call } in [templates(), numbers(), profiles()].into_iter().flatten() {
        let told = answer.clone();
        let recorder = Recorder::start(move |_| (200, told.clone())).await;
        call(recorder.graph()).await.unwrap_or_else(|failure| panic!("{operation}: {failure}"));
        let seen = recorder.seen().remove(0);
        assert!(fits(operation, &seen), "{operation}: {}", seen.line());
        add(operation, document.hold(operation, &seen, &answer));
    }
    let answer = json!({"messaging_product": "whatsapp", "contacts": [{"input": "6281234567890", "wa_id": "6281234567890"}],
        "messages": [{"id": "wamid.1"}]});
    for content in contents() {
        let told = answer.clone();
        let recorder = Recorder::start(move |_| (200, told.clone())).await;
        send(recorder.url(), &content).await;
        let seen = recorder.seen().remove(0);
        assert!(fits(SEND, &seen), "{}", seen.line());
        add(SEND, document.hold(SEND, &seen, &answer));
    }
    let broken: Vec<_> = all.values().flat_map(|held| &held.broken).collect();
    assert!(broken.is_empty(), "{broken:#?}");
    let idle: Vec<_> =
        (0..EXCEPTIONS.len()).filter(|nth| !document.used.contains(nth)).map(|n| EXCEPTIONS[n]).collect();
    assert!(idle.is_empty(), "exceptions that nothing needs: {idle:#?}");
    assert_eq!(all.len(), 21, "operations that were held");
    super::page::hold("meta-openapi.md", &page(&document, &all));
}

/// What stands above the lists.
const HEAD: &str = "# What was compared with Meta's OpenAPI document

Meta publishes a description of its API (`business-messaging-api_v23.0.yaml`, committed under `tests/data/meta-openapi`). What Kabar
sends to Meta and reads from it is held against that description by a test, operation by operation: path, query, body and answer. The
test makes this page (`cargo test -p kabar-connectors --test cloud -- document`); an exception that nothing needs any more fails it.
";

/// Compared, compared with exceptions, not compared and why.
fn page(document: &Document, all: &BTreeMap<&'static str, Held>) -> String {
    let mut page = format!("{HEAD}\n## Compared\n\n| operation | schemas |\n|---|---|\n");
    for (operation, held) in all {
        let schemas: Vec<_> = held.schemas.iter().map(String::as_str).collect();
        page += &format!("| `{operation}` | {} |\n", schemas.join(", "));
    }
    page += "\n### But for\n\nWhere the description is wrong or silent, and what is right stands elsewhere.\n\n| operation | where | what | why |\n|---|---|---|---|\n";
    for (operation, held) in all {
        for (place, at, why) in &held.excused {
            let at = if at.is_empty() { "–".to_owned() } else { format!("`{at}`") };
            page += &format!("| `{operation}` | {place} | {at} | {why} |\n");
        }
    }
    for (title, list) in
        [("Called, and not compared", NOT_HELD), ("Called, and not in the document", UNKNOWN_THERE)]
    {
        page += &format!("\n## {title}\n\n| operation | why |\n|---|---|\n");
        for (operation, why) in list {
            page += &format!("| `{operation}` | {why} |\n");
        }
    }
    let others = uncalled(document, all);
    page += &format!("\n## Not called\n\n{} operations that Kabar has no use for:\n\n", others.len());
    for operation in others {
        page += &format!("- `{operation}`\n");
    }
    page
}

/// Operations of the description that the connector does not call.
fn uncalled(document: &Document, all: &BTreeMap<&'static str, Held>) -> Vec<String> {
    let mut others = Vec::new();
    for (path, item) in document.whole["paths"].as_object().unwrap() {
        for method in
            item.as_object().into_iter().flat_map(Map::keys).filter(|m| METHODS.contains(&m.as_str()))
        {
            let path = path.trim_start_matches("/{Version}/").trim_start_matches('/');
            let operation = format!("{method} {path}");
            let held = all.contains_key(operation.as_str());
            if !held && !NOT_HELD.iter().any(|(known, _)| *known == operation) {
                others.push(operation);
            }
        }
    }
    others
}
