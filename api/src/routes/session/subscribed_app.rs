//! `/v1/sessions/{id}/subscribed-apps`: whether the account's webhooks reach the token's app, and where they go. Not the
//! tenant's own webhooks, which Kabar makes.

use super::account;
use crate::auth::For;
use crate::body::{Id, Json};
use crate::openapi::shapes;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use kabar_actors::account::{Override, Secret};
use kabar_engine::id::SessionId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Longest address and token, characters.
const TEXT_MAX: usize = 2_000;

/// Where they go; without fields to the app's own address.
#[derive(Deserialize, ToSchema)]
#[schema(as = AppSubscription, example = json!({"override_callback_uri": "https://kabar.example/connectors/cloud/app_0dwd35p6e5amv", "verify_token": "a-token-of-yours"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Instead of the app's own address: this server's, with the `webhook_path` of the app.
    override_callback_uri: Option<String>,
    /// What Meta says when it checks the address; needed with one.
    verify_token: Option<String>,
}

/// The apps that get the account's webhooks.
#[derive(Serialize, ToSchema)]
#[schema(as = SubscribedApps)]
pub(crate) struct Shown {
    /// Each in Meta's shape.
    #[schema(value_type = Vec<Object>)]
    apps: Vec<Value>,
}

/// `GET /v1/sessions/{id}/subscribed-apps`
#[utoipa::path(get, path = "/v1/sessions/{id}/subscribed-apps", tag = "numbers", operation_id = "listSubscribedApps", summary = "List the apps that get the account's webhooks",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 200, body = Shown, description = "As Meta has them.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable", "outcome_unknown"]))))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<axum::Json<Shown>, Problem> {
    let mut said = account(&state, &whom, id).await?.subscribed_apps().await?;
    let apps = said["data"].as_array_mut().map(std::mem::take).unwrap_or_default();
    Ok(axum::Json(Shown { apps }))
}

/// `POST /v1/sessions/{id}/subscribed-apps`: twice comes to the same as once.
#[utoipa::path(post, path = "/v1/sessions/{id}/subscribed-apps", tag = "numbers", operation_id = "subscribeApp", summary = "Have the account's webhooks sent to the token's app, or to another address",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Wanted, responses((status = 204, description = "They are sent from now on.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Wanted>,
) -> Result<StatusCode, Problem> {
    let account = account(&state, &whom, id).await?;
    let to = match (body.value.override_callback_uri, body.value.verify_token) {
        (None, None) => None,
        (Some(url), Some(token)) => {
            if !url.starts_with("https://") || url.len() > TEXT_MAX {
                return Err(Problem::invalid("override_callback_uri", "an address with https://"));
            }
            if !(1..=TEXT_MAX).contains(&token.len()) {
                return Err(Problem::invalid(
                    "verify_token",
                    format!("a text of 1 to {TEXT_MAX} characters"),
                ));
            }
            Some(Override { url, verify_token: Secret::new(token) })
        }
        (Some(_), None) => return Err(Problem::invalid("verify_token", "given with an address")),
        (None, Some(_)) => {
            return Err(Problem::invalid("override_callback_uri", "given with a verify token"));
        }
    };
    account.subscribe_app(to.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/sessions/{id}/subscribed-apps`: no statuses and no messages come for the whole account then.
#[utoipa::path(delete, path = "/v1/sessions/{id}/subscribed-apps", tag = "numbers", operation_id = "unsubscribeApp", summary = "Have the account's webhooks no longer sent to the token's app",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 204, description = "Nothing comes any more.")),
    extensions(("x-problems" = json!(["account_unknown", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<StatusCode, Problem> {
    account(&state, &whom, id).await?.unsubscribe_app().await?;
    Ok(StatusCode::NO_CONTENT)
}
