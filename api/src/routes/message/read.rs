//! `POST /v1/messages/{id}/read`: a received message is marked as read, and the person may see that somebody types.

use super::found;
use crate::auth::For;
use crate::body::{Id, Json};
use crate::openapi::shapes;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use kabar_engine::id::MessageId;
use kabar_engine::status::Status;
use serde::Deserialize;
use utoipa::ToSchema;

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = ReadMark, example = json!({"typing": true}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The person also sees for up to 25 seconds that an answer is being written.
    #[serde(default)]
    typing: bool,
}

/// `POST /v1/messages/{id}/read`: twice is once.
#[utoipa::path(post, path = "/v1/messages/{id}/read", tag = "messages", operation_id = "markRead", summary = "Mark a received message as read, and show that somebody types",
    params(("id" = shapes::MessageId, Path, description = "The received message; those before it are marked as well.")), request_body = Wanted,
    responses((status = 204, description = "WhatsApp was told.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<MessageId>,
    body: Json<Wanted>,
) -> Result<StatusCode, Problem> {
    let row = found(&state, &whom, id).await?.row;
    let received = row.provider_id.filter(|_| row.status == Status::Received);
    let provider_id =
        received.ok_or_else(|| Problem::invalid("id", "that of a message somebody sent to you"))?;
    state.dispatcher.mark_read((whom.tenant, row.session), &provider_id, body.value.typing).await?;
    Ok(StatusCode::NO_CONTENT)
}
