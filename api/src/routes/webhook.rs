//! `/connectors/cloud/{app}`: what Meta calls. 200 only when everything in the body is durable; anything else makes
//! Meta repeat it. Signed, so it needs no key. Not the webhooks Kabar sends.

use super::app::AppId;
use crate::body::{Id, Query, collect};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method};
use serde::Deserialize;

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

/// Takes a webhook.
pub(crate) async fn take(state: &ApiState, app: AppId, request: Request) -> Result<&'static str, Problem> {
    let signature =
        request.headers().get(&SIGNATURE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = collect(request, state.config.engine.webhook_max_bytes).await?;
    state.dispatcher.webhook(app.0, signature.as_deref(), body).await?;
    Ok("EVENT_RECEIVED")
}
