//! `/v1/sessions/{id}/provider-templates`: the templates that Meta keeps for the account of a number. What is read is Kabar's
//! copy; what is written goes to Meta first. Not `/v1/templates`, the stored messages with variables.

mod wanted;

use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::answer;
use crate::openapi::shapes;
use crate::page::{Ask, Time, record_cursor};
use crate::problem::{Code, Problem};
use crate::routes::app::is_meta_id;
use crate::routes::session::account;
use crate::secret;
use crate::state::ApiState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kabar_actors::account::NewProviderTemplate;
use kabar_engine::id::SessionId;
use kabar_schema::records::ProviderTemplate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use wanted::{Patch, Wanted};

/// Looks for one page among templates that are not wanted.
const LOOKS_MAX: usize = 32;

/// A template as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderTemplate)]
pub(crate) struct Shown {
    /// Meta's id of it; null while only its name was told.
    id: Option<String>,
    name: String,
    language: String,
    /// APPROVED, PENDING, REJECTED, PAUSED, DISABLED, DELETED ….
    status: String,
    category: Option<String>,
    /// GREEN, YELLOW, RED or UNKNOWN.
    quality: Option<String>,
    /// Why it was rejected, paused or disabled, in Meta's word.
    reason: Option<String>,
    /// NAMED or POSITIONAL.
    parameter_format: Option<String>,
    message_send_ttl_seconds: Option<i64>,
    /// In Meta's shape; null while only its name was told.
    #[schema(value_type = Option<Vec<Object>>)]
    components: Option<Vec<Value>>,
    waba_id: String,
    /// When Meta last said something new of it.
    seen: Time,
    #[schema(value_type = shapes::Evidence)]
    evidence: &'static str,
}

impl From<ProviderTemplate> for Shown {
    fn from(template: ProviderTemplate) -> Self {
        Self {
            id: template.provider_id,
            name: template.name,
            language: template.language,
            status: template.status,
            category: template.category,
            quality: template.quality,
            reason: template.reason,
            parameter_format: template.parameter_format,
            message_send_ttl_seconds: template.ttl_seconds,
            components: template.components,
            waba_id: template.waba_id,
            seen: Time(template.seen),
            evidence: template.evidence.word(),
        }
    }
}

/// A page, and how old the copies are.
#[derive(Serialize, ToSchema)]
#[schema(as = ProviderTemplatePage)]
pub(crate) struct Listed {
    data: Vec<Shown>,
    /// What to ask `after` for the next page; null on the last.
    next: Option<String>,
    /// When the whole account was last read; null: never.
    synced: Option<Time>,
    /// Why the last try to read it failed; a word.
    sync_failed: Option<String>,
}

/// The query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// Templates on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only those of this name.
    name: Option<String>,
    /// Only those with this status; without it all but DELETED.
    status: Option<String>,
    /// Read the whole account at Meta first.
    refresh: Option<bool>,
}

/// `GET /v1/sessions/{id}/provider-templates`
#[utoipa::path(get, path = "/v1/sessions/{id}/provider-templates", tag = "provider templates", operation_id = "listProviderTemplates", summary = "List the account's templates as Meta last told them",
    params(("id" = shapes::SessionId, Path, description = "The session."), Listing), responses((status = 200, body = Listed, description = "A page of the copies.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable", "outcome_unknown"]))))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    Query(asked): Query<Listing>,
) -> Result<axum::Json<Listed>, Problem> {
    let account = account(&state, &whom, id).await?;
    let waba = account.waba()?;
    let ask = Ask::new(asked.limit, asked.after);
    let (limit, mut after) = (ask.limit()?, ask.after_record()?);
    if asked.refresh.unwrap_or_default() && after.is_none() {
        state.dispatcher.sync_provider_templates(whom.tenant, id).await?;
    }
    let key = asked.name.as_deref().map_or_else(|| waba.to_owned(), |n| ProviderTemplate::name_key(waba, n));
    let index = if asked.name.is_some() { ProviderTemplate::NAME } else { ProviderTemplate::WABA_ID };
    let wanted = |template: &ProviderTemplate| match &asked.status {
        Some(status) => template.status.eq_ignore_ascii_case(status),
        None => template.status != "DELETED",
    };
    let sync = state.dispatcher.template_sync(whom.tenant, waba).await?;
    let (mut data, mut more) = (Vec::new(), false);
    'looks: for _ in 0..LOOKS_MAX {
        let found =
            state.nouns().page::<ProviderTemplate>(whom.tenant, Some((index, &key)), after, limit).await?;
        more = found.len() == limit;
        for template in found.into_iter().map(|found| found.noun) {
            after = Some((template.created, template.id));
            if wanted(&template) {
                data.push(Shown::from(template));
            }
            if data.len() == limit {
                more = true;
                break 'looks;
            }
        }
        if !more {
            break;
        }
    }
    Ok(axum::Json(Listed {
        data,
        next: after.filter(|_| more).map(|(at, id)| record_cursor(at, id)),
        synced: sync.as_ref().and_then(|sync| sync.at).map(Time),
        sync_failed: sync.as_ref().and_then(|sync| sync.failed.clone()),
    }))
}

/// `POST /v1/sessions/{id}/provider-templates`: Meta reviews it, which takes minutes to a day.
#[utoipa::path(post, path = "/v1/sessions/{id}/provider-templates", tag = "provider templates", operation_id = "createProviderTemplate", summary = "Make a template at Meta; its review takes minutes to a day",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Wanted, responses((status = 201, body = Shown, description = "Made, or the earlier answer.")),
    extensions(("x-problems" = json!(["account_unknown", "app_unknown", "unknown_reference", "invalid_template", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let template = body.value.template();
    let (made, replayed) = make(&state, &whom, id, (template, &key, &body.bytes)).await?;
    Ok(answer(StatusCode::CREATED, replayed, Shown::from(made)))
}

/// Makes a template at Meta, after Meta's rules were looked at here; a repeat under its idempotency key gets what was made.
pub(crate) async fn make(
    state: &ApiState,
    whom: &For,
    id: SessionId,
    (template, key, bytes): (NewProviderTemplate, &Idempotent, &[u8]),
) -> Result<(ProviderTemplate, bool), Problem> {
    let account = account(state, whom, id).await?;
    let waba = account.waba()?;
    let mut template = wanted::checked(template)?;
    let made = key.0.as_deref().map(|key| secret::digest_hex(&[key.as_bytes(), &[0], bytes].concat()));
    let own = ProviderTemplate::id_of(whom.tenant, waba, &template.name, &template.language);
    let known = state.nouns().get::<ProviderTemplate>(whom.tenant, own).await?;
    let earlier = known.map(|known| known.noun).filter(|known| made.is_some() && known.made == made);
    if let Some(earlier) = earlier.filter(|earlier| earlier.status != "DELETED") {
        return Ok((earlier, true));
    }
    wanted::with_samples(state, &account, &mut template.components).await?;
    let created = state.dispatcher.create_provider_template((whom.tenant, id), &template, made).await?;
    Ok((created, false))
}

/// Session and template of an address.
fn place((id, template): (String, String)) -> Result<(SessionId, String), Problem> {
    let id: SessionId = id.parse().map_err(|_| Problem::no_such("session"))?;
    if is_meta_id(&template) { Ok((id, template)) } else { Err(Problem::no_such("template")) }
}

/// The query of one.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Fresh {
    /// Ask Meta first.
    refresh: Option<bool>,
}

/// `GET /v1/sessions/{id}/provider-templates/{template}`
#[utoipa::path(get, path = "/v1/sessions/{id}/provider-templates/{template}", tag = "provider templates", operation_id = "getProviderTemplate", summary = "Read one of the account's templates",
    params(("id" = shapes::SessionId, Path, description = "The session."), ("template" = String, Path, description = "Meta's id of the template."), Fresh),
    responses((status = 200, body = Shown, description = "The copy.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable", "outcome_unknown"]))))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Path(address): Path<(String, String)>,
    Query(asked): Query<Fresh>,
) -> Result<axum::Json<Shown>, Problem> {
    let (id, template) = place(address)?;
    account(&state, &whom, id).await?;
    let refresh = asked.refresh.unwrap_or_default();
    Ok(axum::Json(state.dispatcher.provider_template((whom.tenant, id), &template, refresh).await?.into()))
}

/// `PATCH /v1/sessions/{id}/provider-templates/{template}`: components are replaced as a whole. Meta takes an edit of an approved
/// one once a day.
#[utoipa::path(patch, path = "/v1/sessions/{id}/provider-templates/{template}", tag = "provider templates", operation_id = "changeProviderTemplate", summary = "Change a template at Meta; it is reviewed again",
    params(("id" = shapes::SessionId, Path, description = "The session."), ("template" = String, Path, description = "Meta's id of the template.")),
    request_body = Patch, responses((status = 200, body = Shown, description = "As Meta has it now.")),
    extensions(("x-problems" = json!(["account_unknown", "app_unknown", "unknown_reference", "invalid_template", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whom: For,
    Path(address): Path<(String, String)>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    let (id, template) = place(address)?;
    let account = account(&state, &whom, id).await?;
    let of = (whom.tenant, id);
    let known = state.dispatcher.provider_template(of, &template, false).await?;
    let mut edit = body.value.checked(&known)?;
    if let Some(components) = &mut edit.components {
        wanted::with_samples(&state, &account, components).await?;
    }
    Ok(axum::Json(state.dispatcher.edit_provider_template(of, &template, &edit).await?.into()))
}

/// `DELETE /v1/sessions/{id}/provider-templates/{template}`: one language. Its name cannot be used again for 30 days.
#[utoipa::path(delete, path = "/v1/sessions/{id}/provider-templates/{template}", tag = "provider templates", operation_id = "deleteProviderTemplate", summary = "Delete a template at Meta; its name is blocked for 30 days",
    params(("id" = shapes::SessionId, Path, description = "The session."), ("template" = String, Path, description = "Meta's id of the template.")),
    responses((status = 204, description = "Gone.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Path(address): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, template) = place(address)?;
    account(&state, &whom, id).await?;
    let of = (whom.tenant, id);
    let known = state.dispatcher.provider_template(of, &template, false).await?;
    state.dispatcher.delete_provider_template(of, &known.name, Some(&template)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The query of a deletion by name.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Named {
    /// The name; every language of it is deleted.
    name: Option<String>,
}

/// `DELETE /v1/sessions/{id}/provider-templates?name=`
#[utoipa::path(delete, path = "/v1/sessions/{id}/provider-templates", tag = "provider templates", operation_id = "deleteProviderTemplates", summary = "Delete every language of a template at Meta",
    params(("id" = shapes::SessionId, Path, description = "The session."), Named), responses((status = 204, description = "Gone.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn delete_named(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    Query(asked): Query<Named>,
) -> Result<StatusCode, Problem> {
    account(&state, &whom, id).await?;
    let name = asked.name.filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| Problem::new(Code::InvalidQuery, "`name` says which: the template's name."))?;
    state.dispatcher.delete_provider_template((whom.tenant, id), &name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/sessions/{id}/provider-templates/{template}/unpause`
#[utoipa::path(post, path = "/v1/sessions/{id}/provider-templates/{template}/unpause", tag = "provider templates", operation_id = "unpauseProviderTemplate", summary = "Ask Meta that a paused template goes again",
    params(("id" = shapes::SessionId, Path, description = "The session."), ("template" = String, Path, description = "Meta's id of the template.")),
    responses((status = 200, body = Shown, description = "As Meta has it now.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn unpause(
    State(state): State<ApiState>,
    whom: For,
    Path(address): Path<(String, String)>,
) -> Result<axum::Json<Shown>, Problem> {
    let (id, template) = place(address)?;
    account(&state, &whom, id).await?;
    Ok(axum::Json(state.dispatcher.unpause_provider_template((whom.tenant, id), &template).await?.into()))
}
