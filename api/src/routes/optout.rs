//! `/v1/optouts`: a person's wish as the tenant learned it elsewhere. What people write themselves is heard by the
//! conversation.

use super::address;
use crate::auth::For;
use crate::body::{Json, Query};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, address_cursor};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use kabar_engine::id::SessionId;
use kabar_engine::optout::Wish;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who, and through which session it was heard.
#[derive(Deserialize, ToSchema)]
#[schema(as = OptOutWish, example = json!({"address": "+6281234567890"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    address: String,
    #[schema(value_type = Option<shapes::SessionId>)]
    session: Option<SessionId>,
}

/// What holds now for all sessions of the tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = OptOut)]
pub(crate) struct Shown {
    address: String,
    opted_out: bool,
}

/// `POST /v1/optouts`: write to this person no more. Twice is once.
#[utoipa::path(post, path = "/v1/optouts", tag = "optouts", operation_id = "optOut", summary = "Write to a person no more",
    request_body = Wanted, responses((status = 200, body = Shown, description = "What holds now.")),
    extensions(("x-problems" = json!(["invalid_address", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    body: Json<Wanted>,
) -> Result<axum::Json<Shown>, Problem> {
    record(&state, &whom, body.value, Wish::OptOut).await
}

/// `DELETE /v1/optouts`: the person asked for messages again. The address stands in the body, so that no log of
/// addresses keeps it.
#[utoipa::path(delete, path = "/v1/optouts", tag = "optouts", operation_id = "optIn", summary = "A person asked for messages again",
    request_body = Wanted, responses((status = 200, body = Shown, description = "What holds now.")),
    extensions(("x-problems" = json!(["invalid_address", "unknown_reference"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    body: Json<Wanted>,
) -> Result<axum::Json<Shown>, Problem> {
    record(&state, &whom, body.value, Wish::OptIn).await
}

/// Somebody who has opted out.
#[derive(Serialize, ToSchema)]
#[schema(as = OptedOut)]
pub(crate) struct OptedOut {
    address: String,
    /// When the wish was heard.
    since: Time,
}

/// `GET /v1/optouts`
#[utoipa::path(get, path = "/v1/optouts", tag = "optouts", operation_id = "listOptOuts", summary = "List the people who have opted out, in the order of their addresses",
    params(Ask), responses((status = 200, body = Page<OptedOut>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<OptedOut>>, Problem> {
    let limit = ask.limit()?;
    let found = state.dispatcher.opt_outs(whom.tenant, ask.after_address()?, limit).await?;
    let cursor = found.last().map(|(address, _)| address_cursor(address));
    let shown = found.into_iter().map(|(who, at)| OptedOut { address: who.to_text(), since: Time(at) });
    Ok(axum::Json(Page::new(shown.collect(), limit, cursor)))
}

async fn record(
    state: &ApiState,
    whom: &For,
    wanted: Wanted,
    wish: Wish,
) -> Result<axum::Json<Shown>, Problem> {
    let address = address(&wanted.address)?;
    if let Some(session) = wanted.session
        && !state.has_session(whom.tenant, session).await?
    {
        return Err(Problem::unknown_reference("session", "session"));
    }
    state.dispatcher.consent(whom.tenant, wanted.session, address.clone(), wish).await?;
    Ok(axum::Json(Shown { address: address.to_text(), opted_out: wish == Wish::OptOut }))
}
