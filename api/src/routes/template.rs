//! `/v1/templates`: stored messages with variables and alternatives. Not Meta's approved templates: those live at Meta,
//! and a stored message may be one filled in.

pub(crate) mod preview;

use super::{TRIES, media, name, present};
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::{content, shapes};
use crate::page::{Ask, Page, Time, records};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::content::Content;
use kabar_engine::id::{TemplateId, TenantId};
use kabar_engine::template::{ContentPattern, Variable};
use kabar_schema::StoreError;
use kabar_schema::records::{Template, Versioned};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewTemplate, example = json!({"name": "Order is ready", "spintax": true,
    "message": {"type": "text", "text": {"body": "{Hi|Hello} {{name|default:\"friend\"}}, order {{order}} is ready."}}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    #[schema(value_type = content::Content)]
    message: Value,
    #[serde(default)]
    spintax: bool,
}

/// A merge patch (RFC 7396), also inside `message`: what is absent stays, what is null goes.
#[derive(Deserialize, ToSchema)]
#[schema(as = TemplatePatch, example = json!({"name": "Order is here", "message": {"text": {"body": "{{name}}, it is here."}}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    /// Merged into the message; a list in it is replaced as a whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    message: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<bool>)]
    spintax: Option<Option<bool>>,
}

/// A template as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Template)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::TemplateId)]
    id: TemplateId,
    name: String,
    #[schema(value_type = content::Content)]
    message: Value,
    spintax: bool,
    variables: Vec<ShownVariable>,
    created: Time,
    updated: Time,
}

/// A variable the message uses.
#[derive(Serialize, ToSchema)]
#[schema(as = TemplateVariable)]
struct ShownVariable {
    name: String,
    /// Whether every use of it has a default, so that it cannot be missing.
    has_default: bool,
}

impl From<&Variable> for ShownVariable {
    fn from(variable: &Variable) -> Self {
        Self { name: variable.name.clone(), has_default: variable.has_default }
    }
}

impl From<Template> for Shown {
    fn from(template: Template) -> Self {
        // It compiled when it was stored; a version that reads patterns otherwise shows none instead of failing.
        let pattern = ContentPattern::compile(&template.content, template.spintax);
        let variables = pattern.map(|p| p.variables().iter().map(ShownVariable::from).collect());
        Self {
            id: template.id,
            name: template.name,
            message: template.content.to_json(),
            spintax: template.spintax,
            variables: variables.unwrap_or_default(),
            created: Time(template.created),
            updated: Time(template.updated),
        }
    }
}

/// A message that WhatsApp would take, whose media is here and whose patterns can be read.
async fn checked(
    state: &ApiState,
    tenant: TenantId,
    message: &mut Value,
    spintax: bool,
) -> Result<Content, Problem> {
    let content = media::inline::read(state, tenant, message).await?;
    ContentPattern::compile(&content, spintax)?;
    Ok(content)
}

async fn found(state: &ApiState, tenant: TenantId, id: TemplateId) -> Result<Versioned<Template>, Problem> {
    let found = state.nouns().get::<Template>(tenant, id.0).await?;
    found.ok_or_else(|| Problem::no_such("template"))
}

/// `POST /v1/templates`
#[utoipa::path(post, path = "/v1/templates", tag = "templates", operation_id = "createTemplate", summary = "Store a message with variables",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created, or the earlier answer.")),
    extensions(("x-problems" = json!(["invalid_content", "invalid_pattern"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (now, tenant, body_hash) = (state.now(), whom.tenant, body.hash());
    let mut wanted = body.value;
    let template = Template {
        id: key.id(|k| TemplateId::derived(tenant, k), |r| TemplateId::random(now, r)),
        tenant,
        name: name(&wanted.name)?,
        content: checked(&state, tenant, &mut wanted.message, wanted.spintax).await?,
        spintax: wanted.spintax,
        body_hash,
        created: now,
        updated: now,
    };
    let created = create(&state, &key, template, |a, b| a.body_hash == b.body_hash).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::from(created.noun)))
}

/// `GET /v1/templates`
#[utoipa::path(get, path = "/v1/templates", tag = "templates", operation_id = "listTemplates", summary = "List stored messages",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<Template, _>(&state, whom.tenant, &ask).await
}

/// `GET /v1/templates/{id}`
#[utoipa::path(get, path = "/v1/templates/{id}", tag = "templates", operation_id = "getTemplate", summary = "Read a stored message and its variables",
    params(("id" = shapes::TemplateId, Path, description = "The template.")), responses((status = 200, body = Shown, description = "The template.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<TemplateId>,
) -> Result<axum::Json<Shown>, Problem> {
    Ok(axum::Json(found(&state, whom.tenant, id).await?.noun.into()))
}

/// `PATCH /v1/templates/{id}`: a JSON merge patch. Twice comes to the same as once, so that an idempotency key is
/// taken but not needed.
#[utoipa::path(patch, path = "/v1/templates/{id}", tag = "templates", operation_id = "changeTemplate", summary = "Change a stored message (JSON merge patch)",
    params(("id" = shapes::TemplateId, Path, description = "The template.")), request_body = Patch, responses((status = 200, body = Shown, description = "The template as it is now.")),
    extensions(("x-problems" = json!(["invalid_content", "invalid_pattern"]))))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<TemplateId>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    for _ in 0..TRIES {
        let stored = found(&state, whom.tenant, id).await?;
        let mut template = stored.noun.clone();
        apply(&state, &body.value, &mut template).await?;
        if template != stored.noun {
            template.updated = state.now();
            match state.nouns().update(&template, stored.version).await {
                Ok(_) => {}
                // Somebody was faster: the patch goes onto what they wrote.
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(axum::Json(template.into()));
    }
    Err(StoreError::Conflict.into())
}

async fn apply(state: &ApiState, patch: &Patch, template: &mut Template) -> Result<(), Problem> {
    if let Some(given) = &patch.name {
        template.name = name(given.as_deref().unwrap_or_default())?;
    }
    if let Some(given) = patch.spintax {
        template.spintax = given.unwrap_or_default();
    }
    let mut message = template.content.to_json();
    if let Some(given) = &patch.message {
        merge(&mut message, given);
    }
    // Also when only spintax changed: the same text is another pattern then.
    template.content = checked(state, template.tenant, &mut message, template.spintax).await?;
    Ok(())
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(given) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (field, value) in given {
        if value.is_null() {
            fields.remove(field);
        } else {
            merge(fields.entry(field.clone()).or_insert(Value::Null), value);
        }
    }
}

/// `DELETE /v1/templates/{id}`: what was made from it stays.
#[utoipa::path(delete, path = "/v1/templates/{id}", tag = "templates", operation_id = "deleteTemplate", summary = "Delete a stored message",
    params(("id" = shapes::TemplateId, Path, description = "The template.")), responses((status = 204, description = "Gone.")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<TemplateId>,
) -> Result<StatusCode, Problem> {
    for _ in 0..TRIES {
        let stored = found(&state, whom.tenant, id).await?;
        match state.nouns().delete::<Template>(whom.tenant, id.0, stored.version).await {
            Ok(()) => return Ok(StatusCode::NO_CONTENT),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_goes_as_the_rfc_writes_it() {
        for (target, patch, merged) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": ["c", "d"]}), json!({"a": ["c", "d"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut seen = target.clone();
            merge(&mut seen, &patch);
            assert_eq!(seen, merged, "{target} {patch}");
        }
    }
}
