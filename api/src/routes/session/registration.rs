//! `/v1/sessions/{id}/registration` and `/two-step`: proving a number, registering it with the Cloud API, its two-step PIN.
//! Codes and PINs go to Meta and are kept nowhere.

use super::account;
use crate::auth::For;
use crate::body::{Id, Json};
use crate::openapi::shapes;
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use kabar_actors::account::{CodeMethod, Secret};
use kabar_engine::id::SessionId;
use serde::Deserialize;
use utoipa::ToSchema;

/// Digits of a code and of a PIN.
const DIGITS: usize = 6;

/// How the code comes.
#[derive(Deserialize, ToSchema)]
#[schema(as = RegistrationCode, example = json!({"method": "sms", "language": "id_ID"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct AskCode {
    #[schema(value_type = shapes::CodeMethod)]
    method: String,
    /// Of the words around the code, e.g. `en_US`.
    language: String,
}

/// The code that came.
#[derive(Deserialize, ToSchema)]
#[schema(as = RegistrationProof, example = json!({"code": "123456"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// Six digits.
    code: String,
}

/// A registration.
#[derive(Deserialize, ToSchema)]
#[schema(as = Registration, example = json!({"pin": "123456"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The two-step PIN: the one that is set, or a new one where none is. Six digits.
    pin: String,
    /// Where Meta keeps messages at rest: a country such as `ID`.
    data_localization_region: Option<String>,
}

/// A PIN.
#[derive(Deserialize, ToSchema)]
#[schema(as = TwoStepPin, example = json!({"pin": "123456"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// Six digits.
    pin: String,
}

/// The value itself is told to nobody, also not in a refusal.
fn digits(field: &str, given: String) -> Result<Secret, Problem> {
    let good = given.len() == DIGITS && given.bytes().all(|b| b.is_ascii_digit());
    good.then(|| Secret::new(given)).ok_or_else(|| Problem::invalid(field, "six digits"))
}

/// `POST /v1/sessions/{id}/registration/code`
#[utoipa::path(post, path = "/v1/sessions/{id}/registration/code", tag = "numbers", operation_id = "requestCode", summary = "Have Meta send the code that proves the number",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = AskCode, responses((status = 204, description = "It is on its way.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn code(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<AskCode>,
) -> Result<StatusCode, Problem> {
    let account = account(&state, &whom, id).await?;
    let method = match body.value.method.as_str() {
        "sms" => CodeMethod::Sms,
        "voice" => CodeMethod::Voice,
        _ => return Err(Problem::invalid("method", "`sms` or `voice`")),
    };
    let language = body.value.language;
    let part = |text: &str, upper: bool| {
        let letter = |b: u8| if upper { b.is_ascii_uppercase() } else { b.is_ascii_lowercase() };
        text.len() == 2 && text.bytes().all(letter)
    };
    if !language.split_once('_').is_some_and(|(l, r)| part(l, false) && part(r, true)) {
        return Err(Problem::invalid("language", "a language and country such as `en_US`"));
    }
    account.request_code(method, &language).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/sessions/{id}/registration/verify`
#[utoipa::path(post, path = "/v1/sessions/{id}/registration/verify", tag = "numbers", operation_id = "verifyCode", summary = "Prove the number with the code that came",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Proof, responses((status = 204, description = "The number is proved.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn verify(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Proof>,
) -> Result<StatusCode, Problem> {
    let account = account(&state, &whom, id).await?;
    account.verify_code(&digits("code", body.value.code)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/sessions/{id}/registration`: Meta takes ten within 72 hours.
#[utoipa::path(post, path = "/v1/sessions/{id}/registration", tag = "numbers", operation_id = "registerNumber", summary = "Register the number with the Cloud API",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Wanted, responses((status = 204, description = "It can send.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Wanted>,
) -> Result<StatusCode, Problem> {
    let account = account(&state, &whom, id).await?;
    let region = body.value.data_localization_region;
    if region.as_deref().is_some_and(|r| r.len() != 2 || !r.bytes().all(|b| b.is_ascii_uppercase())) {
        return Err(Problem::invalid("data_localization_region", "a country such as `ID`"));
    }
    account.register(&digits("pin", body.value.pin)?, region.as_deref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/sessions/{id}/registration`: the session stays, and cannot send until it is registered again.
#[utoipa::path(delete, path = "/v1/sessions/{id}/registration", tag = "numbers", operation_id = "deregisterNumber", summary = "Take the number from the Cloud API",
    params(("id" = shapes::SessionId, Path, description = "The session.")), responses((status = 204, description = "It cannot send any more.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
) -> Result<StatusCode, Problem> {
    account(&state, &whom, id).await?.deregister().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/sessions/{id}/two-step`: it can be changed, never switched off.
#[utoipa::path(put, path = "/v1/sessions/{id}/two-step", tag = "numbers", operation_id = "setTwoStepPin", summary = "Set the number's two-step PIN",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Pin, responses((status = 204, description = "It holds.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn two_step(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Pin>,
) -> Result<StatusCode, Problem> {
    let account = account(&state, &whom, id).await?;
    account.set_pin(&digits("pin", body.value.pin)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
