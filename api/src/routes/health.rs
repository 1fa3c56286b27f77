//! `/healthz`, `/readyz` and `/metrics`: for machines that watch, without a key, without a
//! number or a name.

use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// `GET /healthz`: the process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the node owns its shards and takes work.
pub(crate) async fn ready(State(state): State<ApiState>) -> Result<&'static str, Problem> {
    let starting = || Problem::new(Code::Unavailable, "The node is starting or ending.");
    if state.node.is_ready() && !state.admission.draining.is_cancelled() {
        Ok("ready\n")
    } else {
        Err(starting())
    }
}

/// `GET /metrics`: Prometheus' text format.
pub(crate) async fn metrics(State(state): State<ApiState>) -> impl IntoResponse {
    let text = state.exposition.render(&state.node.stats(), state.admission.requests());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

/// Any other address.
pub(crate) async fn nowhere() -> Problem {
    Problem::new(Code::NotFound, "Nothing is at this address.")
}
