//! What stands in front of every route: trace id and the shape of refusals, the count, whether there is room, the time it may
//! take. One layer for all four: every layer of a router copies all that lies below it for each request.

use super::admission;
use crate::metrics::{self, Tallies};
use crate::problem::{self, TraceId};
use crate::state::ApiState;
use crate::telemetry::trace::Trace;
use axum::extract::{MatchedPath, Request, State};
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

/// Lets a request of the router in, and its answer out.
pub(crate) async fn cross(State(threshold): State<Threshold>, mut request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("other", MatchedPath::as_str);
    let trace = Trace::of(request.headers());
    request.extensions_mut().insert(TraceId(trace.id()));
    threshold.over(route, trace, request, |request| next.run(request)).await
}

impl Threshold {
    /// Lets a request of this route in, and its answer out. `inner` is what lies behind.
    pub(crate) async fn over<F: Future<Output = Response>>(
        &self,
        route: &str,
        trace: Trace,
        request: Request,
        inner: impl FnOnce(Request) -> F,
    ) -> Response {
        problem::render(route, trace, request, |request| {
            metrics::measure(&self.tallies, route, request, |request| {
                admission::admit(&self.state.admission, request, |request| within(self.limit, inner(request)))
            })
        })
        .await
    }
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
