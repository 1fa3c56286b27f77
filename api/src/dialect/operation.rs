//! The operations of Meta's dialect in one table: the gate takes its demands from it, and the dialect's own OpenAPI document is made
//! of it. The shapes are Meta's, whose document describes them; here stand the places, the scopes and an example of each body.

use crate::auth::demand::Demand;
use axum::http::Method;
use kabar_schema::records::Scope;
use serde_json::{Map, Value, json};

/// Where the document is served.
pub(crate) const PATH: &str = "/openapi-meta.json";

/// One operation.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// The scope of its sister under `/v1`.
    scope: Scope,
    name: &'static str,
    summary: &'static str,
    /// An example of the body, as JSON; `multipart` for the form of a file.
    body: Option<&'static str>,
    /// Parameters of the query.
    query: &'static [&'static str],
}

const MULTIPART: &str = "multipart";

macro_rules! operations {
    ($($method:ident $path:literal $scope:ident $name:literal $summary:literal $body:expr, $query:expr;)*) => {
        &[$(Operation {
            method: Method::$method,
            path: $path,
            scope: Scope::$scope,
            name: $name,
            summary: $summary,
            body: $body,
            query: &$query,
        }),*]
    };
}

/// All of them.
#[rustfmt::skip]
pub(super) const ALL: &[Operation] = operations! {
    POST "/{version}/{id}/messages" MessagesSend "sendMessage"
        "Send from a number; with `status: read` mark as read, with `typing_indicator` show that somebody types"
        Some(r#"{"messaging_product": "whatsapp", "to": "6281234567890", "type": "template", "template": {"name": "halo", "language": {"code": "id"}}, "biz_opaque_callback_data": "order-81"}"#), [];
    POST "/{version}/{id}/media" MessagesSend "uploadMedia" "Keep a file" Some(MULTIPART), [];
    GET "/{version}/{id}" SessionsRead "getNode" "A number, a file or a template, by its id" None, ["fields", "phone_number_id"];
    POST "/{version}/{id}" TemplatesWrite "changeTemplate" "Change a template"
        Some(r#"{"components": [{"type": "BODY", "text": "Halo {{1}}", "example": {"body_text": [["Ana"]]}}]}"#), [];
    DELETE "/{version}/{id}" MessagesSend "deleteMedia" "Delete a file" None, ["phone_number_id"];
    GET "/{version}/{id}/content" MessagesRead "readMedia" "The bytes of a file; its `url` leads here" None, [];
    GET "/{version}/{id}/message_templates" TemplatesRead "listTemplates" "An account's templates, as Meta last told them"
        None, ["fields", "limit", "after", "name", "status", "language", "category"];
    POST "/{version}/{id}/message_templates" TemplatesWrite "createTemplate" "Make a template at Meta"
        Some(r#"{"name": "halo", "language": "id", "category": "UTILITY", "components": [{"type": "BODY", "text": "Halo {{1}}, pesanan sudah dikirim.", "example": {"body_text": [["Ana"]]}}]}"#), [];
    DELETE "/{version}/{id}/message_templates" TemplatesWrite "deleteTemplates" "Delete a template at Meta, in all its languages or one" None, ["name", "hsm_id"];
    GET "/{version}/{id}/phone_numbers" SessionsRead "listNumbers" "An account's numbers that are linked here" None, ["fields"];
    GET "/{version}/{id}/whatsapp_business_profile" SessionsRead "getProfile" "A number's profile, read at Meta" None, ["fields"];
    POST "/{version}/{id}/whatsapp_business_profile" SessionsWrite "changeProfile" "Change a number's profile at Meta"
        Some(r#"{"messaging_product": "whatsapp", "about": "Buka setiap hari"}"#), [];
};

/// What each demands of a key.
pub(super) fn demands() -> impl Iterator<Item = (&'static str, Method, Demand)> {
    ALL.iter().map(|one| (one.path, one.method.clone(), Demand::Scope(one.scope)))
}

/// The dialect's OpenAPI document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for one in ALL {
        let path = paths.entry(one.path).or_insert_with(|| json!({ "parameters": places() }));
        path[one.method.as_str().to_ascii_lowercase()] = one.described();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kabar in Meta's dialect",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The part of the WhatsApp Cloud API that Kabar speaks.",
            "description": "The paths, bodies, answers and errors of Meta's Cloud API; the shapes of messages and templates are \
                those of Meta's reference and of the other document (`/openapi.json`), which describes them field by field. Any version `vN.M` is taken.",
            "license": {"name": "AGPL-3.0-or-later", "identifier": "AGPL-3.0-or-later"},
        },
        "security": [{"bearer": []}, {"query": []}, {"header": []}],
        "paths": paths,
        "components": {"securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "description": "A key of Kabar's. `x-scope` of an operation is the scope it needs."},
            "query": {"type": "apiKey", "in": "query", "name": "access_token"},
            "header": {"type": "apiKey", "in": "header", "name": "D360-API-KEY"},
        }, "schemas": {"Error": error()}},
    })
}

/// What stands in every path.
fn places() -> Value {
    json!([
        {"name": "version", "in": "path", "required": true, "schema": {"type": "string", "pattern": "^v[0-9]{1,3}\\.[0-9]{1,3}$"}},
        {"name": "id", "in": "path", "required": true, "schema": {"type": "string"},
            "description": "Meta's id of a number, an account, a template, or of a file."},
    ])
}

fn error() -> Value {
    json!({"type": "object", "required": ["error"], "properties": {"error": {
        "type": "object", "required": ["message", "type", "code", "fbtrace_id"], "properties": {
            "message": {"type": "string"}, "type": {"type": "string"}, "code": {"type": "integer"},
            "error_subcode": {"type": "integer"}, "fbtrace_id": {"type": "string"},
            "error_data": {"type": "object", "properties": {
                "messaging_product": {"type": "string"}, "details": {"type": "string"}}}}}}})
}

impl Operation {
    fn described(&self) -> Value {
        let whole = |kind: &str| json!({"description": "As Meta answers.", "content": {kind: {"schema": {"type": "object"}}}});
        let answer = match self.path.ends_with("/content") {
            true => json!({"description": "The bytes, of the file's type."}),
            false => whole("application/json"),
        };
        let failed = json!({"description": "Graph's error: 401 for the token, 403 for a permission, 429 with Retry-After, else 400 or 5xx.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}});
        let query = |name: &&str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        let mut told = json!({
            "operationId": self.name,
            "summary": self.summary,
            "x-scope": self.scope.word(),
            "parameters": self.query.iter().map(query).collect::<Vec<_>>(),
            "responses": {"200": answer, "default": failed},
        });
        match self.body {
            Some(MULTIPART) => {
                told["requestBody"] = json!({"required": true, "content": {"multipart/form-data": {"schema": {
                    "type": "object", "required": ["file", "messaging_product"], "properties": {
                        "file": {"type": "string", "format": "binary"}, "type": {"type": "string"},
                        "messaging_product": {"const": "whatsapp"}}}}}});
            }
            Some(example) => {
                let example: Value = serde_json::from_str(example).unwrap_or_default();
                let content = json!({"schema": {"type": "object"}, "example": example});
                told["requestBody"] = json!({"required": true, "content": {
                    "application/json": content, "application/x-www-form-urlencoded": {"schema": {"type": "object"}}}});
            }
            None => {}
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_committed_document_of_the_dialect_is_the_one_the_table_makes() {
        let made = format!("{}\n", serde_json::to_string_pretty(&document()).unwrap());
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi-meta.json");
        if std::env::var_os("KABAR_WRITE_PAGES").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == made,
            "api/docs/openapi-meta.json is old: run this test with KABAR_WRITE_PAGES=1"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_a_body_that_is_json() {
        let mut names = BTreeSet::new();
        for one in ALL {
            assert!(names.insert(one.name) && !one.summary.is_empty(), "{}", one.name);
            let body = one.body.filter(|body| *body != MULTIPART);
            assert!(body.is_none_or(|body| serde_json::from_str::<Value>(body).is_ok_and(|b| b.is_object())));
        }
    }
}
