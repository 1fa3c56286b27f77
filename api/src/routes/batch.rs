//! `POST /v1/messages/batch`: up to a thousand messages in one request, each accepted or refused by itself. Not a
//! campaign: nothing ties the rows together once they are accepted.

use super::message::{Accepted, Asked, accept, counts};
use crate::auth::For;
use crate::auth::gate::limited;
use crate::auth::purse::Rate;
use crate::body::{Idempotent, Json, refusal};
use crate::openapi::content;
use crate::problem::{Problem, TraceId};
use crate::state::ApiState;
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Messages of one batch.
const ROWS_MAX: usize = 1_000;
/// Rows on their way at once: no more than the mailbox of one conversation holds, should all be for one person.
const AT_ONCE: usize = 64;

/// The body.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewMessageBatch, example = json!({"messages": [{"session": "ses_0dwd35p6e5amv", "to": "6281234567890", "type": "template", "template": {"name": "halo", "language": {"code": "id"}}}]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    #[schema(value_type = Vec<content::BatchRow>, min_items = 1, max_items = 1000)]
    messages: Vec<Box<RawValue>>,
}

/// What became of a row.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageBatchRow)]
struct Row {
    /// Its place in the request, from 0.
    index: usize,
    /// What the request would have been answered alone.
    status: u16,
    #[serde(flatten)]
    #[schema(value_type = RowEnd)]
    end: End,
}

/// `message` or `problem`, as the description has it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its shape is of interest")]
#[schema(as = MessageBatchEnd)]
struct RowEnd {
    message: Option<Accepted>,
    #[schema(value_type = Option<Object>)]
    problem: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Message(Accepted),
    Problem(Value),
}

/// What became of all.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageBatch)]
pub(crate) struct Outcome {
    data: Vec<Row>,
    accepted: usize,
    refused: usize,
}

/// `POST /v1/messages/batch`: 200 once every row that was accepted is durable. The answer has the rows in their
/// order; they are taken side by side, so that two messages for one person may leave in another order. Each row
/// has its `options.idempotency_key`, or else the request's key with `/` and its index, so that the same batch
/// sent again sends nothing twice; a row that was refused for want of room may go through then. Rows beyond the rate of
/// the key are refused as `rate_limited`, the others are taken.
#[utoipa::path(post, path = "/v1/messages/batch", tag = "messages", operation_id = "sendMessages", summary = "Send up to 1,000 messages, each answered by itself",
    request_body = Batch, responses((status = 200, body = Outcome, description = "Every accepted row is durable; rows stand in their order.")))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Extension(trace): Extension<TraceId>,
    key: Idempotent,
    body: Json<Batch>,
) -> Result<axum::Json<Outcome>, Problem> {
    let rows = body.value.messages;
    if !(1..=ROWS_MAX).contains(&rows.len()) {
        return Err(Problem::invalid("messages", format_args!("a list of 1 to {ROWS_MAX} messages")));
    }
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let (granted, wait_ms) = match whom.pass() {
        Some(pass) => pass.take_sends(state.now(), count),
        None => (count, 0),
    };
    let (whom, granted) = (&whom, granted as usize);
    let sends = rows.into_iter().enumerate().map(|(index, row)| {
        let (state, trace) = (state.clone(), trace.clone());
        let key = key.0.as_ref().map(|key| format!("{key}/{index}"));
        async move {
            let accepted = match index < granted {
                true => send(&state, whom, &row, key).await,
                false => Err(limited(Rate::Send, wait_ms)),
            };
            let counted = counts(&accepted);
            let row = match accepted {
                Ok(message) => {
                    Row { index, status: StatusCode::ACCEPTED.as_u16(), end: End::Message(message) }
                }
                Err(problem) => {
                    let status = problem.status().as_u16();
                    Row { index, status, end: End::Problem(problem.told(&trace.0)) }
                }
            };
            (row, counted)
        }
    });
    let rows: Vec<(Row, bool)> = futures::stream::iter(sends).buffered(AT_ONCE).collect().await;
    let counted = rows.iter().filter(|(_, counted)| *counted).count();
    if let Some(pass) = whom.pass() {
        pass.return_sends(u32::try_from(granted - counted).unwrap_or(0));
    }
    let data: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
    let accepted = data.iter().filter(|row| matches!(row.end, End::Message(_))).count();
    let refused = data.len() - accepted;
    Ok(axum::Json(Outcome { data, accepted, refused }))
}

async fn send(
    state: &ApiState,
    whom: &For,
    row: &RawValue,
    key: Option<String>,
) -> Result<Accepted, Problem> {
    let body: Map<String, Value> = serde_json::from_str(row.get()).map_err(|error| refusal(&error))?;
    accept(state, whom, Asked::read(body)?, (key, row.get().as_bytes())).await
}
