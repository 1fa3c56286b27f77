//! `/v1/optouts`: a person's wish as the tenant learned it elsewhere. What people write themselves is heard by the
//! conversation.

use super::address;
use crate::auth::For;
use crate::body::Json;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use kabar_engine::id::SessionId;
use kabar_engine::optout::Wish;
use serde::{Deserialize, Serialize};

/// Who, and through which session it was heard.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    address: String,
    session: Option<SessionId>,
}

/// What holds now for all sessions of the tenant.
#[derive(Serialize)]
pub(crate) struct Shown {
    address: String,
    opted_out: bool,
}

/// `POST /v1/optouts`: write to this person no more. Twice is once.
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    body: Json<Wanted>,
) -> Result<axum::Json<Shown>, Problem> {
    record(&state, &whom, body.value, Wish::OptOut).await
}

/// `DELETE /v1/optouts`: the person asked for messages again. The address stands in the body, so that no log of
/// addresses keeps it.
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    body: Json<Wanted>,
) -> Result<axum::Json<Shown>, Problem> {
    record(&state, &whom, body.value, Wish::OptIn).await
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
