//! Meta's templates in Meta's words, by the account they are of or their own id: what is read is Kabar's copy, read at Meta
//! first where it never was; what is written goes to Meta.

use super::{Node, no_such_object};
use crate::auth::For;
use crate::body::{Idempotent, Json, Query};
use crate::problem::{Code, Problem};
use crate::routes::provider_template;
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::account::{NewProviderTemplate, ProviderTemplateEdit};
use kabar_engine::id::SessionId;
use kabar_schema::records::ProviderTemplate;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Most templates on a page, and when nothing is said.
const LIMIT_MAX: usize = 200;
const LIMIT: usize = 25;
/// Copies looked through for one page.
const LOOKED_MAX: usize = 10_000;
/// Copies read at once.
const READ: usize = 200;

/// What a list may be asked for.
#[derive(Deserialize)]
pub(super) struct Asked {
    fields: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
    name: Option<String>,
    status: Option<String>,
    language: Option<String>,
    category: Option<String>,
}

/// What names those to be deleted.
#[derive(Deserialize)]
pub(super) struct Named {
    name: Option<String>,
    hsm_id: Option<String>,
}

/// The session through which an account is reached.
pub(super) async fn session_of(state: &ApiState, whom: &For, waba: &str) -> Result<SessionId, Problem> {
    let sessions = state.dispatcher.sessions_of_waba(whom.tenant, waba).await?;
    // A key for some numbers reaches the account through one of them.
    let may = sessions.iter().find(|session| whom.check_session(**session).is_ok());
    let session = may.or(sessions.first()).copied().ok_or_else(no_such_object)?;
    whom.check_session(session)?;
    Ok(session)
}

/// `GET /{version}/{waba_id}/message_templates`
pub(super) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session_of(&state, &whom, &waba).await?;
    if state.dispatcher.template_sync(whom.tenant, &waba).await?.is_none() {
        state.dispatcher.sync_provider_templates(whom.tenant, session).await?;
    }
    let limit = asked.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let mut after = asked.after.as_deref().map(cursor).transpose()?;
    let (mut data, mut looked, mut more) = (Vec::new(), 0, true);
    while data.len() < limit && more && looked < LOOKED_MAX {
        let index = Some((ProviderTemplate::WABA_ID, waba.as_str()));
        let page = state.nouns().page::<ProviderTemplate>(whom.tenant, index, after, READ).await?;
        (more, looked) = (page.len() == READ, looked + page.len());
        let mut rest = page.into_iter().map(|found| found.noun).peekable();
        while let Some(template) = rest.next() {
            after = Some((template.created, template.id));
            if fits(&asked, &template) {
                data.push(super::number::selected(template.to_meta(), asked.fields.as_deref()));
                if data.len() == limit {
                    more |= rest.peek().is_some();
                    break;
                }
            }
        }
    }
    let mut answer = json!({"data": data, "paging": {"cursors": {}}});
    if let Some((created, id)) = after {
        let place = format!("{}.{id}", created.0);
        answer["paging"]["cursors"] = json!({"before": place, "after": place});
        if more {
            answer["paging"]["next"] =
                format!("/{waba}/message_templates?limit={limit}&after={place}").into();
        }
    }
    Ok(axum::Json(answer))
}

fn cursor(text: &str) -> Result<(kabar_engine::time::Timestamp, u64), Problem> {
    let place = text.split_once('.').and_then(|(at, id)| Some((at.parse().ok()?, id.parse().ok()?)));
    let (at, id) = place.ok_or_else(|| Problem::invalid("after", "the `after` of an earlier page"))?;
    Ok((kabar_engine::time::Timestamp(at), id))
}

fn fits(asked: &Asked, template: &ProviderTemplate) -> bool {
    let same = |wanted: &Option<String>, is: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
    };
    template.status != "DELETED"
        && asked.name.as_deref().is_none_or(|name| template.name.contains(name))
        && same(&asked.status, &template.status)
        && same(&asked.language, &template.language)
        && same(&asked.category, template.category.as_deref().unwrap_or_default())
}

/// `POST /{version}/{waba_id}/message_templates`
pub(super) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    key: Idempotent,
    body: Json<NewProviderTemplate>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session_of(&state, &whom, &waba).await?;
    let (made, _) = provider_template::make(&state, &whom, session, (body.value, &key, &body.bytes)).await?;
    Ok(axum::Json(json!({"id": made.provider_id, "status": made.status, "category": made.category})))
}

/// `DELETE /{version}/{waba_id}/message_templates`
pub(super) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Node(waba): Node,
    Query(named): Query<Named>,
) -> Result<axum::Json<Value>, Problem> {
    let session = session_of(&state, &whom, &waba).await?;
    let name = named.name.ok_or_else(|| super::message::missing("name"))?;
    let of = (whom.tenant, session);
    state.dispatcher.delete_provider_template(of, &name, named.hsm_id.as_deref()).await?;
    Ok(axum::Json(json!({"success": true})))
}

/// The tenant's template with Meta's id, and the session its account is reached through.
async fn found(
    state: &ApiState,
    whom: &For,
    id: &str,
) -> Result<Option<(SessionId, ProviderTemplate)>, Problem> {
    let index = Some((ProviderTemplate::PROVIDER_ID, id));
    let page = state.nouns().page::<ProviderTemplate>(whom.tenant, index, None, 1).await?;
    let Some(template) = page.into_iter().next().map(|found| found.noun) else { return Ok(None) };
    let session = session_of(state, whom, &template.waba_id).await?;
    Ok(Some((session, template)))
}

/// One by its id; `None` when the id names none of the tenant's.
pub(super) async fn one(
    state: &ApiState,
    whom: &For,
    id: &str,
    fields: Option<&str>,
) -> Result<Option<Value>, Problem> {
    let found = found(state, whom, id).await?;
    Ok(found.map(|(_, template)| super::number::selected(template.to_meta(), fields)))
}

/// Changes one; `None` when the id names none of the tenant's.
pub(super) async fn edit(
    state: &ApiState,
    whom: &For,
    (id, body): (&str, Map<String, Value>),
) -> Result<Option<Value>, Problem> {
    let Some((session, _)) = found(state, whom, id).await? else { return Ok(None) };
    let edit: ProviderTemplateEdit = serde_json::from_value(Value::Object(body))
        .map_err(|error| Problem::new(Code::InvalidValue, format!("{error}.")))?;
    state.dispatcher.edit_provider_template((whom.tenant, session), id, &edit).await?;
    Ok(Some(json!({"success": true})))
}
