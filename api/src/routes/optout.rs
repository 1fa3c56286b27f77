//! `/v1/optouts`: a person's wish as the tenant learned it elsewhere. What people write themselves is heard by the
//! conversation.

use super::address;
use crate::auth::For;
use crate::body::{Idempotent, Json, Query};
use crate::create::answer;
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, address_cursor};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_actors::Told;
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

/// `POST /v1/optouts`: write to this person no more. Twice is once. An idempotency key counts in the session that is named,
/// among those of its sends, or else for the person: a repeat under it changes nothing, also after the person came back.
#[utoipa::path(post, path = "/v1/optouts", tag = "optouts", operation_id = "optOut", summary = "Write to a person no more",
    request_body = Wanted, responses((status = 200, body = Shown, description = "What holds now.")),
    extensions(("x-problems" = json!(["invalid_address", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    record(&state, &whom, &key, (body, Wish::OptOut)).await
}

/// `DELETE /v1/optouts`: the person asked for messages again. The address stands in the body, so that no log of
/// addresses keeps it.
#[utoipa::path(delete, path = "/v1/optouts", tag = "optouts", operation_id = "optIn", summary = "A person asked for messages again",
    request_body = Wanted, responses((status = 200, body = Shown, description = "What holds now.")),
    extensions(("x-problems" = json!(["invalid_address", "unknown_reference"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    record(&state, &whom, &key, (body, Wish::OptIn)).await
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
    key: &Idempotent,
    (body, wish): (Json<Wanted>, Wish),
) -> Result<Response, Problem> {
    let verb: &[u8] = if wish == Wish::OptOut { b"opt out" } else { b"opt in" };
    let asked = key.hashes(&[verb, &body.bytes]);
    let wanted = body.value;
    let address = address(&wanted.address)?;
    if let Some(session) = wanted.session {
        if !state.has_session(whom.tenant, session).await? {
            return Err(Problem::unknown_reference("session", "session"));
        }
        whom.check_session(session)?;
    }
    let told = Told { session: wanted.session, address: address.clone(), wish };
    let acted = state.dispatcher.consent(whom.tenant, told, asked).await?;
    // What a repeat asked for may have been undone since.
    let opted_out = match acted.replayed {
        true => state.dispatcher.opted_out(whom.tenant, &address).await?,
        false => wish == Wish::OptOut,
    };
    Ok(answer(StatusCode::OK, acted.replayed, Shown { address: address.to_text(), opted_out }))
}
