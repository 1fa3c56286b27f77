//! `/v1/webhooks/{id}/replay` and `/test`: delivering once more, and delivering something made up to see whether it
//! arrives.

use super::{found, present};
use crate::auth::For;
use crate::body::{Id, Json};
use crate::openapi::shapes;
use crate::page::Time;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use kabar_actors::dispatcher::Replay;
use kabar_engine::id::{EventId, WebhookId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// What is delivered once more: exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[schema(as = WebhookReplay, min_properties = 1, max_properties = 1, example = json!({"since": "2026-12-24T11:00:00Z"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// This event, whatever the subscription's types and sessions are.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = shapes::EventId)]
    event: Option<String>,
    /// Everything that the subscription wants from this moment on, in order; what comes meanwhile follows behind it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, format = DateTime)]
    since: Option<String>,
    /// True: every event that was given up and not delivered since, as far as the log goes back.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    missed: Option<bool>,
}

/// What will be delivered.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReplayed)]
pub(crate) struct Replaying {
    /// How many events; null with `since`, which nobody has counted.
    events: Option<usize>,
    /// Whether there was no room for all: ask again when these are delivered.
    more: bool,
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookTested)]
pub(crate) struct Tested {
    delivered: bool,
    /// The answer's status; null when there was none.
    status: Option<u16>,
    /// Why there was no answer that counts.
    #[schema(value_type = Option<shapes::AttemptError>)]
    error: Option<&'static str>,
    took_ms: u32,
}

fn read(wanted: Wanted) -> Result<Replay, Problem> {
    match (wanted.event, wanted.since, wanted.missed) {
        (Some(event), None, None) => {
            let event = event.parse().map_err(|_| Problem::unknown_reference("event", "event"))?;
            Ok(Replay::Event(event))
        }
        (None, Some(since), None) => {
            let moment = Timestamp::from_rfc3339(&since);
            let refused = || Problem::invalid("since", "a moment in RFC 3339, like 2026-12-24T11:00:00Z");
            moment.map(Replay::Since).ok_or_else(refused)
        }
        (None, None, Some(true)) => Ok(Replay::Missed),
        (None, None, Some(false)) => Err(Problem::invalid("missed", "true")),
        _ => Err(Problem::new(Code::InvalidValue, "One of `event`, `since` and `missed` must be there.")),
    }
}

/// `POST /v1/webhooks/{id}/replay`
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", operation_id = "replayWebhook", summary = "Deliver events once more",
    params(("id" = shapes::WebhookId, Path, description = "The subscription.")), request_body = Wanted,
    responses((status = 202, body = Replaying, description = "They will be delivered, with the ids they had. A repeat of the request delivers them again.")),
    extensions(("x-problems" = json!(["wrong_phase", "cursor_expired", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
    body: Json<Wanted>,
) -> Result<(StatusCode, axum::Json<Replaying>), Problem> {
    found(&state, &whom, id).await?;
    let replay = read(body.value)?;
    if let Replay::Event(event) = replay {
        let event = state.dispatcher.event(whom.tenant, event).await?;
        let event = event.ok_or_else(|| Problem::unknown_reference("event", "event"))?;
        // Whatever the subscription is for: an event is told by its name here.
        if let Some(own) = whom.sessions()
            && event.session().is_none_or(|session| !own.contains(&session))
        {
            return Err(For::not_for("The event belongs to none of the key's sessions."));
        }
    }
    let replayed = state.dispatcher.replay(whom.tenant, id, replay).await?;
    let replaying = Replaying { events: replayed.events, more: replayed.more };
    Ok((StatusCode::ACCEPTED, axum::Json(replaying)))
}

/// `POST /v1/webhooks/{id}/test`
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", operation_id = "testWebhook", summary = "Deliver a made-up event now, once",
    params(("id" = shapes::WebhookId, Path, description = "The subscription; it may be disabled.")),
    responses((status = 200, body = Tested, description = "What came of it. The event has the type `webhook.test`, stands in no list and in no log, and is not tried again.")))]
pub(crate) async fn test(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<WebhookId>,
) -> Result<axum::Json<Tested>, Problem> {
    let record = found(&state, &whom, id).await?.noun;
    let now = state.now();
    let event = EventId::random(now, rand::random()).to_string();
    let body = json!({
        "id": event, "seq": 0, "occurred_at": Time(now), "type": "webhook.test", "version": 1,
        "tenant": whom.tenant, "session": null, "data": {"webhook": id},
    });
    let tried = state.dispatcher.try_webhook(&record, event, Bytes::from(body.to_string())).await;
    let tried = tried.ok_or_else(|| Problem::new(Code::Unavailable, "Nobody delivers yet."))?;
    let (status, error, took_ms) = (tried.status, tried.error, tried.took_ms);
    Ok(axum::Json(Tested { delivered: tried.is_good(), status, error, took_ms }))
}
