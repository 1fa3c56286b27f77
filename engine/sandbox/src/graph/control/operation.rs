//! Every operation of the control API, once: method, path, what it does, what it takes and answers. The requests are
//! found by it and the OpenAPI document is made of it; not what an operation does.

use serde_json::{Map, Value, json};

use super::{AccountEvent, Inbound, InboundMedia, NumberOrder, StatusOrder, TemplateOrder, to_value};
use crate::behaviour::Behaviour;
use crate::config::SandboxConfig;
use crate::graph::script::{Rule, Then};
use crate::graph::token::TokenOrder;
use crate::network::ledger::{LedgerRow, Outcome};
use crate::network::policy::PhoneOrder;
use crate::network::stats::Stats;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    OpenApi,
    Stats,
    Ledger,
    Recipients,
    Behaviour,
    Turn,
    Inbound,
    Status,
    Webhook,
    Pause,
    Resume,
    Clock,
    Advance,
    Reset,
    Numbers,
    Number,
    Templates,
    Template,
    Token,
    Phones,
    Phone,
    Scripts,
    SetScripts,
    Event,
    State,
    Load,
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) call: Call,
    pub(super) method: &'static str,
    /// Below `/_sim/`.
    pub(super) path: &'static str,
    summary: &'static str,
    /// Query parameters: name and meaning, all whole numbers.
    query: &'static [(&'static str, &'static str)],
    /// An example of the body, which its schema is made of; `null`: none.
    request: Example,
    /// An example of the answer, which its schema is made of.
    answer: Example,
}

/// An example of a body or an answer.
type Example = fn() -> Value;

const fn get(call: Call, path: &'static str, summary: &'static str, answer: fn() -> Value) -> Operation {
    Operation { call, method: "get", path, summary, query: &[], request: none, answer }
}

const fn post(
    call: Call,
    path: &'static str,
    summary: &'static str,
    shapes: (Example, Example),
) -> Operation {
    Operation { call, method: "post", path, summary, query: &[], request: shapes.0, answer: shapes.1 }
}

/// All of them.
pub(super) const OPERATIONS: &[Operation] = &[
    get(
        Call::OpenApi,
        "openapi.json",
        "This document.",
        || json!({"openapi": "3.1.0", "info": {}, "paths": {}, "security": [{}], "servers": [{}], "components": {}}),
    ),
    get(Call::Stats, "stats", "Everything counted since the start or the last reset.", || {
        shown(&Stats::default())
    }),
    Operation {
        query: &[
            ("after", "rows after this one"),
            ("limit", "at most so many rows, 1,000 unless told, at most 10,000"),
        ],
        ..get(
            Call::Ledger,
            "ledger",
            "Everything the sandbox received, in order.",
            || json!({"rows": [shown(&row())], "next": 1, "total": 1}),
        )
    },
    get(Call::Recipients, "recipients", "Accepted messages per recipient.", || json!({})),
    get(Call::Behaviour, "behaviour", "The behaviour in force.", || shown(&Behaviour::default())),
    post(
        Call::Turn,
        "behaviour",
        "Turns knobs of the behaviour; what is left out stays.",
        (|| json!({"reply_rate": 0.5}), || shown(&Behaviour::default())),
    ),
    post(
        Call::Inbound,
        "inbound",
        "A user writes: a text, any message object of Meta's, or a file.",
        (|| shown(&inbound()), || json!({"id": "wamid.x"})),
    ),
    post(
        Call::Status,
        "status",
        "Tells a status of a message, or any status object.",
        (
            || {
                shown(&StatusOrder {
                    wamid: Some("wamid.x".into()),
                    status: "read".into(),
                    phone_number_id: Some("106000000000001".into()),
                    ..StatusOrder::default()
                })
            },
            || json!({"told": true, "known": false}),
        ),
    ),
    post(
        Call::Webhook,
        "webhook",
        "Sets the app's receiver, after the verification handshake; `null` unsubscribes.",
        (
            || json!({"url": "http://127.0.0.1:8080/hook", "verify": true}),
            || json!({"url": "http://127.0.0.1:8080/hook", "verified": true}),
        ),
    ),
    post(
        Call::Pause,
        "pause_webhooks",
        "Holds webhooks back; they wait.",
        (none, || json!({"paused": true})),
    ),
    post(Call::Resume, "resume_webhooks", "Lets webhooks go.", (none, || json!({"paused": false}))),
    get(Call::Clock, "clock", "The sandbox's clock.", || json!({"unix_ms": 1_790_000_000_000_i64})),
    post(
        Call::Advance,
        "clock",
        "Puts the clock ahead; what becomes due happens.",
        (|| json!({"advance_ms": 1_000}), || json!({"advanced_ms": 1_000})),
    ),
    post(
        Call::Reset,
        "reset",
        "Forgets everything but configuration, behaviour, tokens and receiver.",
        (none, || json!({"reset": true})),
    ),
    get(
        Call::Numbers,
        "numbers",
        "The business numbers with every field, and what tests need to know of them.",
        || json!({"numbers": [{}]}),
    ),
    post(
        Call::Number,
        "number",
        "Changes a number: quality, status, restriction, throughput; told as webhooks.",
        (
            || shown(&NumberOrder { phone_number_id: "106000000000001".into(), ..NumberOrder::default() }),
            || json!({"id": "106000000000001", "quality_rating": "GREEN", "status": "CONNECTED", OPEN: true}),
        ),
    ),
    get(Call::Templates, "templates", "The templates of all accounts.", || json!({"templates": [{}]})),
    post(
        Call::Template,
        "template",
        "Changes templates: status, quality, category; told as webhooks.",
        (
            || shown(&TemplateOrder { name: Some("order_update".into()), ..TemplateOrder::default() }),
            || json!({"changed": 1}),
        ),
    ),
    post(
        Call::Token,
        "token",
        "Makes or changes an access token: permissions, end, validity.",
        (
            || shown(&TokenOrder { token: "t".into(), ..TokenOrder::default() }),
            || shown(&TokenOrder::default()),
        ),
    ),
    get(
        Call::Phones,
        "phones",
        "Phones that were set.",
        || json!({"phones": [shown(&PhoneOrder::default())]}),
    ),
    post(
        Call::Phone,
        "phone",
        "Sets a phone: reachable, receipts, what it thinks of marketing, whom it blocks.",
        (
            || shown(&PhoneOrder { wa_id: "15550100001".into(), ..PhoneOrder::default() }),
            || shown(&PhoneOrder::default()),
        ),
    ),
    get(
        Call::Scripts,
        "scripts",
        "The rules phones answer by, and how often each was used.",
        || json!({"rules": [shown(&rule())]}),
    ),
    post(
        Call::SetScripts,
        "scripts",
        "Replaces the rules phones answer by.",
        (|| json!({"rules": [shown(&rule())]}), || json!({"rules": [shown(&rule())]})),
    ),
    post(
        Call::Event,
        "event",
        "Tells news of an account: any webhook field but `messages`.",
        (
            || shown(&AccountEvent { field: "account_alerts".into(), value: json!({}), waba_id: None }),
            || json!({"told": true}),
        ),
    ),
    get(
        Call::State,
        "state",
        "Everything the sandbox knows, as one object to be loaded again.",
        || json!({"version": 1, "seed": 1, "clock_ms": 0, "numbers": [{}], "behaviour": shown(&Behaviour::default()), OPEN: true}),
    ),
    post(
        Call::Load,
        "state",
        "Takes a saved state's place; it must be of the same seed and numbers.",
        (|| json!({"version": 1}), || json!({"loaded": true})),
    ),
];

fn none() -> Value {
    Value::Null
}

fn shown<T: serde::Serialize>(value: &T) -> Value {
    // every shape here is plain data
    to_value(value).unwrap_or_default()
}

fn row() -> LedgerRow {
    LedgerRow {
        seq: 1,
        at_ms: 1_790_000_000_000,
        phone_number_id: "106000000000001".into(),
        to: "15550100001".into(),
        kind: "text".into(),
        reference: None,
        wamid: None,
        outcome: Outcome::Accepted,
        code: None,
        fault: None,
        sent: true,
        delivered: false,
        read: false,
        failed: None,
        replied: false,
    }
}

fn inbound() -> Inbound {
    Inbound {
        phone_number_id: "106000000000001".into(),
        from: "15550100001".into(),
        text: Some("Hi".into()),
        ..Inbound::default()
    }
}

fn rule() -> Rule {
    let media = Then { media: Some(InboundMedia::default()), ..Then::default() };
    Rule { name: "answers".into(), then: vec![Then { text: Some("Yes".into()), ..media }], ..Rule::default() }
}

/// The operation a request is for; `Err(true)`: the path has other methods.
pub(super) fn find(method: &str, path: &str) -> Result<&'static Operation, bool> {
    let at = |operation: &&Operation| operation.path == path;
    let found = OPERATIONS.iter().filter(at).find(|operation| operation.method.eq_ignore_ascii_case(method));
    found.ok_or_else(|| OPERATIONS.iter().any(|operation| at(&operation)))
}

/// The OpenAPI 3.1 document of the control API.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(format!("/_sim/{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation);
    }
    let token = SandboxConfig::default().control_token;
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Control API of Kabar's sandbox", "version": env!("CARGO_PKG_VERSION"),
            "summary": "Orders things to happen in a simulated WhatsApp, and shows what did.",
            "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"}},
        "servers": [{"url": "http://127.0.0.1:8090"}],
        "security": [{"control": []}],
        "paths": paths,
        "components": {"securitySchemes": {"control": {"type": "http", "scheme": "bearer",
            "description": format!("The control token, `{token}` unless configured otherwise.")}}},
    })
}

fn describe(operation: &Operation) -> Value {
    let id = format!("{}_{}", operation.method, operation.path.replace('.', "_"));
    let json_of = |schema: Value| json!({"application/json": {"schema": schema}});
    let error = json!({"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]});
    let mut whole = json!({
        "operationId": id,
        "summary": operation.summary,
        "responses": {
            "200": {"description": "Done.", "content": json_of(schema(&(operation.answer)(), true))},
            "400": {"description": "One sentence that says what is wrong.", "content": json_of(error.clone())},
            "401": {"description": "The control token is missing or wrong.", "content": json_of(error)},
        },
    });
    let request = (operation.request)();
    if !request.is_null() {
        whole["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema(&request, false), "example": request}}});
    }
    if !operation.query.is_empty() {
        let parameter = |(name, means): &(&str, &str)| json!({"name": name, "in": "query", "description": means, "schema": {"type": "integer", "minimum": 0}});
        whole["parameters"] = operation.query.iter().map(parameter).collect();
    }
    whole
}

/// In an example: there are more keys than are shown.
const OPEN: &str = "…";

/// The schema of everything shaped like an example: of an answer every key is there, of a request none need be.
fn schema(example: &Value, answers: bool) -> Value {
    match example {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(number) if number.is_f64() => json!({"type": "number"}),
        Value::Number(_) => json!({"type": "integer"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(items) => {
            json!({"type": "array", "items": items.first().map_or(json!({}), |item| schema(item, answers))})
        }
        Value::Object(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(key, value)| (key.clone(), schema(value, answers))).collect();
            let mut whole = json!({"type": "object", "properties": properties});
            if fields.contains_key(OPEN) {
                let known: Map<String, Value> = fields
                    .iter()
                    .filter(|(key, _)| *key != OPEN)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                whole = schema(&Value::Object(known), answers);
                whole["additionalProperties"] = true.into();
                return whole;
            }
            if answers && !fields.is_empty() {
                whole["required"] = fields.keys().cloned().collect();
            }
            whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_operation_stands_twice_and_every_one_is_found() {
        for operation in OPERATIONS {
            assert_eq!(find(operation.method, operation.path).unwrap().call, operation.call);
        }
        assert_eq!(find("delete", "stats").err(), Some(true));
        assert_eq!(find("get", "nowhere").err(), Some(false));
        let document = openapi();
        let count: usize =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
        assert_eq!(count, OPERATIONS.len());
    }
}
