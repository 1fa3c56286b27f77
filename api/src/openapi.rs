//! The description of the API (OpenAPI 3.1), made of what the handlers say about themselves. What is the same for
//! many operations is added here: keys, headers, and the refusals each of them can answer with. Not the handlers'
//! own shapes: those stand in the routes.

pub(crate) mod content;
pub(crate) mod shapes;

use crate::auth::demand::Demand;
use crate::problem::{Code, Problem};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use utoipa::PartialSchema;

/// Where the document is served.
pub(crate) const PATH: &str = "/openapi.json";
/// An extension of an operation: the codes of refusals that are its own, beside those every operation has.
const PROBLEMS: &str = "x-problems";

/// What any operation may answer with.
const ALWAYS: [Code; 5] =
    [Code::NotFound, Code::Overloaded, Code::Unavailable, Code::Deadline, Code::Internal];
/// What one that needs a key may.
const KEYED: [Code; 9] = [
    Code::MissingKey,
    Code::InvalidKey,
    Code::KeyExpired,
    Code::OperatorOnly,
    Code::ScopeMissing,
    Code::SessionNotAllowed,
    Code::AddressNotAllowed,
    Code::TenantHeader,
    Code::RateLimited,
];
/// Tags of the operations that are about a reseller as well as about a tenant.
const RESOLD: [&str; 2] = ["keys", "tenants"];
/// What one with a query may.
const ASKED: [Code; 1] = [Code::InvalidQuery];
/// What one with a JSON body may.
const BODIED: [Code; 7] = [
    Code::InvalidJson,
    Code::UnknownField,
    Code::MissingField,
    Code::InvalidValue,
    Code::UnsupportedMediaType,
    Code::BodyTooLarge,
    Code::BodyUnreadable,
];
/// What one with an idempotency key may.
const REPEATABLE: [Code; 4] =
    [Code::IdempotencyKey, Code::IdempotencyMismatch, Code::Conflict, Code::OutcomeUnknown];

/// The whole document as it is served, printed and committed.
pub(crate) fn document(said: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(said).expect("invariant: the description has a JSON form");
    document["openapi"] = "3.1.0".into();
    document["info"] = json!({
        "title": "Kabar",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "WhatsApp messaging engine: sending, campaigns, conversations.",
        "description": INTRODUCTION,
        "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
    });
    document["security"] = json!([{"key": []}]);
    document["components"]["securitySchemes"]["key"] = json!({
        "type": "http", "scheme": "bearer",
        "description": "An API key of a tenant (kbr_…); or a reseller's (kbr_…) or the operator's key (kbo_…), together with the header Kabar-Tenant where an operation is about a tenant. `x-scope` of an operation is the scope its key needs (`any`: none, `operator`: the operator's key alone), `x-keys` the kinds of keys that can have it.",
    });
    // What a filter's own members are: they are not followed behind its recursion.
    for (name, schema) in shapes::filters() {
        document["components"]["schemas"][name] = schema;
    }
    document["components"]["schemas"]["Problem"] = problem_schema();
    document["components"]["schemas"]["BatchRow"] = content::batch_row();
    // What stands only in an address is not found by itself.
    document["components"]["schemas"]["Verb"] =
        serde_json::to_value(shapes::Verb::schema()).expect("invariant: a shape has a JSON form");
    document["components"]["headers"]["Trace-Id"] = json!({
        "description": "Names the request in the logs.", "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    });
    for (name, what) in RATES {
        document["components"]["headers"][*name] = json!({"description": what, "schema": {"type": "string"}});
    }
    let paths = document["paths"].as_object_mut().expect("invariant: a document has paths");
    for item in paths.values_mut().filter_map(Value::as_object_mut) {
        for (method, operation) in item.iter_mut() {
            let operation = operation.as_object_mut().expect("invariant: an operation is an object");
            complete(method, operation);
        }
    }
    document
}

/// Headers of every answer to an API key that has a limit.
const RATES: &[(&str, &str)] = &[
    (
        "RateLimit-Policy",
        "The key's buckets (draft-ietf-httpapi-ratelimit-headers): `q` units within `w` seconds. `api`: requests; `send`: messages accepted. They are counted per key and per node.",
    ),
    (
        "RateLimit",
        "What the buckets hold now: `r` units left, full again after `t` seconds. Absent for the operator's key and where there is no limit.",
    ),
    ("RateLimit-Limit", "The older form, of the bucket with the least left: units of a full bucket."),
    ("RateLimit-Remaining", "Units left in it."),
    ("RateLimit-Reset", "Seconds until it is full again."),
];

const INTRODUCTION: &str = "Everything under /v1. Ids are texts with a prefix, moments are RFC 3339 in UTC, lists are \
    pages: ask `after` = the `next` of the page before. Unknown fields are refused by name. A write with an \
    `Idempotency-Key` may be repeated: the repeat is answered like the first and carries `Idempotency-Replayed: true`. \
    Every refusal is application/problem+json with a stable `code`; see /docs/errors.";

/// Adds to an operation what it has in common with others.
fn complete(method: &str, operation: &mut Map<String, Value>) {
    // A file is text of any kind; what is wrong with it is said row by row.
    if let Some(file) = operation.get_mut("requestBody").and_then(|body| body["content"].get_mut("text/csv"))
    {
        file["schema"] = json!({});
    }
    let writes = method != "get";
    let bodied = operation.get("requestBody").is_some_and(|b| b["content"].get("application/json").is_some());
    let of = |place: &str| {
        let list = operation.get("parameters").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|p| p["in"] == place))
    };
    let (asked, open) = (of("query"), operation.get("security").is_some());
    let mut codes: Vec<Code> = ALWAYS.to_vec();
    for (holds, more) in
        [(!open, &KEYED[..]), (asked, &ASKED[..]), (bodied, &BODIED[..]), (writes, &REPEATABLE[..])]
    {
        codes.extend(more.iter().filter(|_| holds));
    }
    for word in operation.remove(PROBLEMS).iter().flat_map(|own| own.as_array().cloned().unwrap_or_default())
    {
        let word = word.as_str().unwrap_or_default().to_owned();
        let code = Code::ALL.into_iter().find(|code| code.entry().code == word);
        codes.push(code.expect("invariant: an operation names codes of the catalogue"));
    }
    let mut headers = Vec::new();
    if !open {
        let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
        let demand = Demand::of(&name);
        let demand = demand.unwrap_or_else(|| panic!("{name} demands no scope: say which in auth/demand.rs"));
        operation.insert("x-scope".into(), demand.word().into());
        operation.insert("x-keys".into(), demand.kinds());
        headers.push(
            json!({"name": "Kabar-Tenant", "in": "header", "required": false, "schema": {"type": "string"},
            "description": "For the operator and resellers alone: the tenant they act for."}),
        );
        let tags = operation["tags"].as_array();
        if tags.is_some_and(|tags| tags.iter().any(|tag| RESOLD.iter().any(|resold| tag == resold))) {
            headers.push(
                json!({"name": "Kabar-Reseller", "in": "header", "required": false, "schema": {"type": "string"},
                "description": "For the operator alone: the reseller it acts for."}),
            );
        }
    }
    if writes {
        headers.push(json!({"name": "Idempotency-Key", "in": "header", "required": false,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"},
            "description": "The same key and body again is the same request again."}));
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    parameters.as_array_mut().expect("invariant: parameters are a list").extend(headers);
    refusals(operation, &codes);
}

/// The refusals by status, each with its codes and one example.
fn refusals(operation: &mut Map<String, Value>, codes: &[Code]) {
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        let list = by_status.entry(code.entry().status.as_u16()).or_default();
        if !list.contains(code) {
            list.push(*code);
        }
    }
    let responses = operation.entry("responses").or_insert_with(|| json!({}));
    for response in responses.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        told(response);
    }
    for (status, codes) in by_status {
        let words: Vec<_> = codes.iter().map(|code| code.entry().code).collect();
        let meanings: Vec<_> =
            codes.iter().map(|code| format!("`{}`: {}", code.entry().code, code.entry().title)).collect();
        responses[status.to_string()] = json!({
            "description": meanings.join(" "),
            "content": {"application/problem+json": {
                "schema": {"allOf": [
                    {"$ref": "#/components/schemas/Problem"},
                    {"properties": {"code": {"enum": words}, "status": {"const": status}}},
                ]},
                "example": Problem::example(codes[0]),
            }},
        });
        told(&mut responses[status.to_string()]);
    }
}

/// The headers of every answer.
fn told(response: &mut Value) {
    let rates = RATES.iter().map(|(name, _)| *name);
    for name in rates.chain(["Trace-Id"]) {
        response["headers"][name] = json!({"$ref": format!("#/components/headers/{name}")});
    }
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "A refusal (RFC 9457). Branch on `code`: it never changes its meaning.",
        "required": ["type", "title", "status", "code", "fault", "detail", "remedy", "retryable", "trace_id"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "code": {"type": "string"},
            "fault": {"$ref": "#/components/schemas/Fault"},
            "detail": {"type": "string"},
            "remedy": {"type": "string"},
            "retryable": {"type": "boolean"},
            "retry_after": {"type": "integer", "minimum": 1, "description": "Seconds, also as the header Retry-After."},
            "path": {"type": "string", "description": "The place in the body."},
            "scope": {"type": "string", "description": "Of `scope_missing`: the scope that is needed; of `token_lacks_permission`: Meta's permission."},
            "provider": {"type": "object", "description": "What Meta said: its code, words and trace id.", "properties": {
                "code": {"type": "integer"}, "subcode": {"type": "integer"}, "message": {"type": "string"},
                "title": {"type": "string"}, "trace": {"type": "string"}}},
            "errors": {"type": "array", "description": "Of `invalid_template`: everything that is wrong.", "items": {
                "type": "object", "properties": {"path": {"type": "string"}, "detail": {"type": "string"}}}},
            "campaigns": {"type": "array", "description": "Of `session_in_use`: the campaigns that are not over.", "items": {"type": "string"}},
            "waiting": {"type": "integer", "description": "Of `session_in_use`: messages that wait."},
            "template": {"type": "object", "description": "Of `template_unusable` and `template_mismatch`: which, and where it stands.", "properties": {
                "name": {"type": "string"}, "language": {"type": "string"}, "status": {"type": "string"}, "reason": {"type": "string"}}},
            "bucket": {"type": "string", "description": "Of `rate_limited`: `api` or `send`."},
            "line": {"type": "integer"},
            "column": {"type": "integer"},
            "trace_id": {"type": "string"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every operation: method, path and what it says.
    fn operations(document: &Value) -> Vec<(String, Value)> {
        let paths = document["paths"].as_object().unwrap();
        let of = |(path, item): (&String, &Value)| {
            let named =
                |(method, operation): (&String, &Value)| (format!("{method} {path}"), operation.clone());
            item.as_object().unwrap().iter().map(named).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of).collect()
    }

    #[test]
    fn the_committed_document_is_the_one_the_code_makes() {
        let made = format!("{}\n", serde_json::to_string_pretty(&crate::router::description()).unwrap());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == made, "api/docs/openapi.json is old: run this test with KABAR_WRITE_PAGES=1");
    }

    #[test]
    fn every_operation_has_a_name_a_tag_a_summary_and_an_example_of_its_body() {
        let document = crate::router::description();
        let mut names = BTreeSet::new();
        for (place, operation) in operations(&document) {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{place}: {name} is another's");
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{place}");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{place}");
            if let Some(body) = operation["requestBody"]["content"].get("application/json") {
                let reference = body["schema"]["$ref"].as_str().unwrap();
                let schema = document.pointer(&reference[1..]).unwrap();
                assert!(schema.get("example").is_some(), "{place}: the body has no example");
                assert_eq!(schema["additionalProperties"], false, "{place}: unknown fields are refused");
            }
        }
        assert!(names.len() >= 14, "{names:?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = crate::router::description();
        let text = document.to_string();
        for rest in text.split("\"$ref\":\"#").skip(1) {
            let place = rest.split('"').next().unwrap();
            assert!(document.pointer(place).is_some(), "{place}");
        }
    }
}
