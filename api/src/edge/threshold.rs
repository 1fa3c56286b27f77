//! What stands in front of every route: trace id and the shape of refusals, the count, whether there is room, the time it may
//! take. One layer for all four: every layer of a router copies all that lies below it for each request.

use super::admission;
use crate::metrics::{self, Tallies};
use crate::problem;
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// What the threshold is given.
#[derive(Clone)]
pub(crate) struct Threshold {
    pub(crate) state: ApiState,
    pub(crate) tallies: Arc<Tallies>,
    /// How long an answer may take; a stream of events has no such time.
    pub(crate) limit: Option<Duration>,
}

/// Lets a request in, and its answer out.
pub(crate) async fn cross(State(threshold): State<Threshold>, request: Request, next: Next) -> Response {
    let Threshold { state, tallies, limit } = threshold;
    problem::render(request, |request| {
        metrics::measure(&tallies, request, |request| {
            admission::admit(&state.admission, request, |request| within(limit, next.run(request)))
        })
    })
    .await
}

async fn within(limit: Option<Duration>, answering: impl Future<Output = Response>) -> Response {
    match limit {
        Some(limit) => {
            let answered = timeout(limit, answering).await;
            answered.unwrap_or_else(|_| StatusCode::GATEWAY_TIMEOUT.into_response())
        }
        None => answering.await,
    }
}
