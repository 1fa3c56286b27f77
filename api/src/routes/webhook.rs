//! `/connectors/cloud/{app}`: what Meta calls. 200 only when everything in the body is durable; anything else makes
//! Meta repeat it. Signed, so it needs no key. Not the webhooks Kabar sends.

use super::app::AppId;
use crate::body::{Id, Query, check_length, collect};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method};
use bytes::Bytes;
use futures::poll;
use serde::Deserialize;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

/// Where an app's webhooks come in.
pub(crate) const PATH: &str = "/connectors/cloud/{app}";
/// The same without the app.
const PREFIX: &str = "/connectors/cloud/";
/// The header with the signature over the raw bytes.
static SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// Meta's question when the address is entered there.
#[derive(Deserialize)]
pub(crate) struct Challenge {
    #[serde(rename = "hub.mode", default)]
    mode: String,
    #[serde(rename = "hub.verify_token", default)]
    token: String,
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
}

/// `GET /connectors/cloud/{app}`
pub(crate) async fn challenge(
    State(state): State<ApiState>,
    Id(app): Id<AppId>,
    Query(asked): Query<Challenge>,
) -> Result<String, Problem> {
    let answer = state.dispatcher.challenge(app.0, &asked.mode, &asked.token, &asked.challenge).await?;
    answer.ok_or_else(|| Problem::new(Code::ChallengeRefused, "The verify token is not the app's."))
}

/// `POST /connectors/cloud/{app}`
pub(crate) async fn receive(
    State(state): State<ApiState>,
    Id(app): Id<AppId>,
    request: Request,
) -> Result<&'static str, Problem> {
    take(&state, app, request).await
}

/// Whose webhook this is, when it is one and nothing is wrong with its address.
pub(crate) fn addressed(request: &Request) -> Option<AppId> {
    let app = request.uri().path().strip_prefix(PREFIX).filter(|_| request.method() == Method::POST)?;
    app.parse().ok()
}

/// Takes a webhook. Anybody can call here: nothing of a body is read before its app is known and it is signed at all.
pub(crate) async fn take(state: &ApiState, app: AppId, request: Request) -> Result<&'static str, Problem> {
    check_length(request.headers(), state.config.engine.webhook_max_bytes as u64)?;
    let signature = request.headers().get(&SIGNATURE).and_then(|value| value.to_str().ok());
    let expected = state.dispatcher.expect_webhook(app.0, signature).await?;
    let body = arrived(state, request).await?;
    state.dispatcher.take_webhook(expected, body).await?;
    Ok("EVENT_RECEIVED")
}

/// The whole body. Nearly always it came with its head; whoever sends it later waits in one of a few places, so that
/// bodies nobody has signed yet never take those of calls with a key, and not for long.
async fn arrived(state: &ApiState, request: Request) -> Result<Bytes, Problem> {
    let mut collecting = pin!(collect(request, state.config.engine.webhook_max_bytes));
    if let Poll::Ready(body) = poll!(collecting.as_mut()) {
        return body;
    }
    let _place = state.admission.wait()?;
    let limit = Duration::from_millis(state.config.edge.webhook_body_ms);
    let late = |_| Problem::new(Code::BodyUnreadable, "The body took longer than a webhook's may.");
    timeout(limit, collecting).await.map_err(late)?
}
