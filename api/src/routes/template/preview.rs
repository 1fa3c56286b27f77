//! `POST /v1/templates/{id}/preview`: the message one person would get, and every variable that is missing for it.
//! Sends and stores nothing.

use super::found;
use crate::auth::For;
use crate::body::{Id, Json};
use crate::openapi::{content, shapes};
use crate::problem::{Code, Problem};
use crate::routes::Filled;
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::contact_value;
use kabar_engine::id::{CampaignId, ContactId, TemplateId};
use kabar_engine::spintax;
use kabar_engine::template::ContentPattern;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// For whom.
#[derive(Deserialize, ToSchema)]
#[schema(as = TemplatePreview, example = json!({"contact": "con_0dwd35p6e5amv", "values": {"order": "A-81"}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    /// The person whose values are filled in, as a campaign would take them.
    #[schema(value_type = Option<shapes::ContactId>)]
    contact: Option<ContactId>,
    /// Values by variable; they go before the contact's. A blank one counts as none.
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// Chooses among alternatives: the same number chooses the same ones. Left out, the contact's address chooses.
    variant: Option<u32>,
}

/// What one person would get.
#[derive(Serialize, ToSchema)]
#[schema(as = TemplatePreviewed)]
pub(crate) struct Previewed {
    /// The message; null while something is missing. A campaign may choose other alternatives for the same person.
    #[schema(value_type = Option<content::Content>)]
    rendered: Option<Value>,
    variables: Vec<Filled>,
    /// Every variable with neither value nor default.
    missing: Vec<String>,
}

/// `POST /v1/templates/{id}/preview`
#[utoipa::path(post, path = "/v1/templates/{id}/preview", tag = "templates", operation_id = "previewTemplate", summary = "Show what one person would get; nothing is sent",
    params(("id" = shapes::TemplateId, Path, description = "The template.")), request_body = Person,
    responses((status = 200, body = Previewed, description = "The message, or what is missing for it.")),
    extensions(("x-problems" = json!(["invalid_content", "invalid_pattern", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<TemplateId>,
    body: Json<Person>,
) -> Result<axum::Json<Previewed>, Problem> {
    let asked = body.value;
    let template = found(&state, whom.tenant, id).await?.noun;
    let contact = match asked.contact {
        Some(id) => {
            let contact = state.node.store().contacts.get(whom.tenant, id).await?;
            Some(contact.ok_or_else(|| Problem::unknown_reference("contact", "contact"))?)
        }
        None => None,
    };
    let pattern = ContentPattern::compile(&template.content, template.spintax)?;
    if let Some(other) = asked.values.keys().find(|name| pattern.variables().iter().all(|v| v.name != **name))
    {
        let detail = format!("The template has no variable `{other}`.");
        return Err(Problem::new(Code::UnknownField, detail).at(&format!("values.{other}")));
    }
    let value = |name: &str| match (asked.values.get(name), &contact) {
        (Some(given), _) => Some(given.as_str()).filter(|given| !given.trim().is_empty()),
        (None, Some(contact)) => contact_value(contact, name),
        (None, None) => None,
    };
    // A template is no campaign; its id stands in for one, so that a person sees the same preview every time.
    let by_address = || contact.as_ref().map(|c| spintax::seed(CampaignId(id.0), &c.address));
    let seed = asked.variant.map(u64::from).or_else(by_address).unwrap_or_default();
    let missing: Vec<String> = pattern.missing(&value).map(str::to_owned).collect();
    let rendered = match missing.is_empty().then(|| pattern.render(seed, &value)) {
        Some(Ok(content)) => {
            // Values can make too long what was not.
            content.validate()?;
            Some(content.to_json())
        }
        // Nothing is missing, so nothing can be refused.
        Some(Err(_)) | None => None,
    };
    let variables = Filled::all(&pattern, &value);
    Ok(axum::Json(Previewed { rendered, variables, missing }))
}
