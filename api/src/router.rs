//! Every route on one page. What a route does stands in `routes/<noun>.rs`.

use crate::metrics;
use crate::problem;
use crate::routes::{app, campaign, contact, health, import, key, message, optout, session, tenant, webhook};
use crate::state::ApiState;
use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post};
use std::time::Duration;
use tower_http::timeout::TimeoutLayer;

/// The whole API.
pub(crate) fn router(state: ApiState) -> Router {
    let deadline = Duration::from_millis(state.config.server.request_timeout_ms);
    let timed = Router::new()
        // The operator's.
        .route("/v1/tenants", post(tenant::post).get(tenant::list))
        .route("/v1/tenants/{id}", get(tenant::get))
        // A tenant's; the operator names it with Kabar-Tenant.
        .route("/v1/keys", post(key::post).get(key::list))
        .route("/v1/keys/{id}", delete(key::delete))
        .route("/v1/apps", post(app::post).get(app::list))
        .route("/v1/sessions", post(session::post).get(session::list))
        .route("/v1/sessions/{id}", get(session::get))
        .route("/v1/contacts", post(contact::post).get(contact::list))
        .route("/v1/contacts/{id}", get(contact::get).patch(contact::patch).delete(contact::delete))
        .route("/v1/imports", get(import::list))
        .route("/v1/imports/{id}", get(import::get))
        .route("/v1/messages", post(message::post))
        .route("/v1/messages/{id}", get(message::get).delete(message::delete))
        .route("/v1/optouts", post(optout::post).delete(optout::delete))
        .route("/v1/campaigns", post(campaign::post).get(campaign::list))
        .route("/v1/campaigns/{id}", get(campaign::get))
        .route("/v1/campaigns/{id}/{verb}", post(campaign::act))
        // Providers'; signed instead of keyed.
        .route("/connectors/cloud/{app}", get(webhook::challenge).post(webhook::receive))
        // For machines that watch.
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/docs/errors", get(health::errors))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, deadline));
    // A contact file takes as long as it takes, in and out.
    let untimed = Router::new()
        .route("/v1/contacts/import", post(import::post))
        .route("/v1/contacts/export", get(contact::export::get));
    timed
        .merge(untimed)
        .fallback(health::nowhere)
        .layer(from_fn(metrics::measure))
        .layer(from_fn(problem::render))
        .with_state(state)
}
