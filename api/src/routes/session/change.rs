//! A session changed, looked at once more, taken away. A new token is tried at Meta before it replaces the old one.

use super::shown::Shown;
use super::{check_account, pace, token, version};
use crate::auth::For;
use crate::body::{Id, Json, Query};
use crate::openapi::shapes;
use crate::problem::{Code, Problem};
use crate::routes::{TRIES, name, present};
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::dispatcher::RemoveError;
use kabar_engine::id::{CampaignId, SessionId};
use kabar_schema::StoreError;
use kabar_schema::records::{Number, Session, Versioned};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A merge patch: what is absent stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = SessionPatch, example = json!({"name": "Orders", "access_token": "EAAJB…"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    name: Option<String>,
    access_token: Option<String>,
    messages_per_second: Option<u32>,
    pair_limit: Option<bool>,
    api_version: Option<String>,
    /// Null: what Meta tells.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    waba_id: Option<Option<String>>,
    /// Whether Meta is asked before a token, a version or an account is taken over.
    #[schema(default = true)]
    validate: Option<bool>,
}

async fn found(state: &ApiState, whom: &For, id: SessionId) -> Result<Versioned<Session>, Problem> {
    let found = state.nouns().get::<Session>(whom.tenant, id.0).await?;
    let found = found.ok_or_else(|| Problem::no_such("session"))?;
    whom.check_session(id)?;
    Ok(found)
}

/// `PATCH /v1/sessions/{id}`: twice comes to the same as once.
#[utoipa::path(patch, path = "/v1/sessions/{id}", tag = "sessions", operation_id = "changeSession", summary = "Change a session: its name, token, pace, version, account",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Patch, responses((status = 200, body = Shown, description = "The session as it is now.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "number_unknown", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    let patch = body.value;
    check_account(patch.waba_id.as_ref().and_then(Option::as_deref))?;
    let mut look = None;
    for _ in 0..TRIES {
        let stored = found(&state, &whom, id).await?;
        let session = apply(&patch, stored.noun.clone())?;
        let asked = session.access_token != stored.noun.access_token
            || session.api_version != stored.noun.api_version
            || patch.waba_id.is_some();
        if asked && look.is_none() && patch.validate.unwrap_or(true) {
            let waba = patch.waba_id.as_ref().and_then(Option::as_deref);
            look = Some(state.dispatcher.look(&session, waba).await?);
        }
        if session != stored.noun {
            match state.nouns().update(&session, stored.version).await {
                Ok(_) => state.dispatcher.session_changed(&session),
                // Somebody was faster: the patch goes onto what they wrote.
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        let replaced = session.access_token != stored.noun.access_token;
        let unseen = replaced && look.is_none();
        let waba = patch.waba_id.clone();
        let change = |number: &mut Number| {
            if unseen {
                // Nobody has seen this token work.
                (number.validated, number.failed, number.token_expires) = (None, None, None);
            }
            if let Some(waba) = &waba {
                number.waba_given = waba.is_some();
                number.waba_id = waba.clone().or_else(|| look.as_ref().and_then(|look| look.waba.clone()));
            }
        };
        let of = (whom.tenant, id);
        match &look {
            Some(look) => _ = state.dispatcher.note_number(of, Ok(look), change).await?,
            None if unseen || waba.is_some() => _ = state.dispatcher.name_account(of, change).await?,
            None => {}
        }
        return Ok(axum::Json(Shown::of(&state, session).await?));
    }
    Err(StoreError::Conflict.into())
}

fn apply(patch: &Patch, mut session: Session) -> Result<Session, Problem> {
    if let Some(given) = &patch.name {
        session.name = name(given)?;
    }
    if let Some(given) = &patch.access_token {
        session.access_token = token(given.clone())?;
    }
    if let Some(given) = patch.messages_per_second {
        session.messages_per_second = pace(given)?;
    }
    if let Some(given) = &patch.api_version {
        session.api_version = version(given.clone())?;
    }
    session.pair_limit = patch.pair_limit.unwrap_or(session.pair_limit);
    Ok(session)
}

/// `POST /v1/sessions/{id}/check`: asks Meta now. What it says is kept, also a refusal.
#[utoipa::path(post, path = "/v1/sessions/{id}/check", tag = "sessions", operation_id = "checkSession", summary = "Ask Meta now whether the token works, and what it says of the number",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 200, body = Shown, description = "The token works.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "number_unknown", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn check(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<axum::Json<Shown>, Problem> {
    let session = found(&state, &whom, id).await?.noun;
    let known = state.dispatcher.number(whom.tenant, id).await?;
    let given = known.as_ref().filter(|known| known.waba_given).and_then(|known| known.waba_id.clone());
    let seen = state.dispatcher.look(&session, given.as_deref()).await;
    state.dispatcher.note_number((whom.tenant, id), seen.as_ref(), |_| {}).await?;
    seen?;
    Ok(axum::Json(Shown::of(&state, session).await?))
}

/// The query of a removal.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct How {
    /// Also with work to do: its campaigns are cancelled, and what waits ends as `failed` with the cause `session_removed`.
    force: Option<bool>,
}

/// What was ended with it.
#[derive(Serialize, ToSchema)]
#[schema(as = RemovedSession)]
pub(crate) struct Removed {
    #[schema(value_type = shapes::SessionId)]
    id: SessionId,
    /// Messages that waited.
    ended_messages: usize,
    #[schema(value_type = Vec<shapes::CampaignId>)]
    cancelled_campaigns: Vec<CampaignId>,
}

/// `DELETE /v1/sessions/{id}`: what was sent and received stays to be read.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "sessions", operation_id = "removeSession", summary = "Remove a session; what was sent and received stays to be read",
    params(("id" = shapes::SessionId, Path, description = "The session."), How), responses((status = 200, body = Removed, description = "Gone, and what was ended with it.")),
    extensions(("x-problems" = json!(["session_in_use"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    Query(how): Query<How>,
) -> Result<axum::Json<Removed>, Problem> {
    found(&state, &whom, id).await?;
    let removed = state.dispatcher.remove_session(whom.tenant, id, how.force.unwrap_or_default()).await;
    state.forget_session(whom.tenant, id);
    match removed {
        Ok(work) => Ok(axum::Json(Removed {
            id,
            ended_messages: work.waiting,
            cancelled_campaigns: work.campaigns.into_iter().collect(),
        })),
        Err(RemoveError::Failed(error)) => Err(error.into()),
        Err(RemoveError::InUse(work)) => {
            let detail = format!(
                "{} messages wait in its outbox, and {} campaigns that leave from it are not over.",
                work.waiting,
                work.campaigns.len()
            );
            let campaigns: Vec<_> = work.campaigns.iter().map(ToString::to_string).collect();
            let problem = Problem::new(Code::SessionInUse, detail);
            Err(problem.told_more("waiting", work.waiting.into()).told_more("campaigns", campaigns.into()))
        }
    }
}
