//! `/v1/sessions/{id}/blocks`: whom the number has blocked at WhatsApp. Not who has opted out, which is the person's wish.

use super::account;
use crate::auth::For;
use crate::body::{Id, Json, Query};
use crate::openapi::shapes;
use crate::page::{Ask, Page};
use crate::problem::Problem;
use crate::routes::address;
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::account::{BLOCKS_MAX, BlockOutcome};
use kabar_engine::address::Address;
use kabar_engine::id::SessionId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whom.
#[derive(Deserialize, ToSchema)]
#[schema(as = BlockList, example = json!({"users": ["+6281234567890"]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// 1 to 1,000 people, as numbers or `user_id:…`.
    users: Vec<String>,
}

/// Somebody who is blocked.
#[derive(Serialize, ToSchema)]
#[schema(as = Blocked)]
pub(crate) struct Blocked {
    address: String,
}

/// What became of each.
#[derive(Serialize, ToSchema)]
#[schema(as = BlockOutcome)]
pub(crate) struct Outcome {
    /// As they were asked for.
    done: Vec<String>,
    failed: Vec<Failed>,
}

/// Somebody for whom it was not done.
#[derive(Serialize, ToSchema)]
#[schema(as = BlockFailed)]
struct Failed {
    /// As it was asked for.
    user: String,
    /// Meta's code; 131047: the person has not written within 24 hours.
    code: u32,
    /// Meta's words.
    detail: String,
}

impl Outcome {
    /// Meta answers with the digits it was asked for; the caller reads its own words.
    fn of(outcome: BlockOutcome, asked: &[(String, String)]) -> Self {
        let own = |input: &str| {
            let digits = input.trim_start_matches('+');
            let found = asked.iter().find(|(_, sent)| sent == digits);
            found.map_or_else(|| input.to_owned(), |(given, _)| given.clone())
        };
        Self {
            done: outcome.done.iter().map(|done| own(&done.input)).collect(),
            failed: outcome
                .failed
                .iter()
                .map(|f| Failed { user: own(&f.input), code: f.code, detail: f.detail.clone() })
                .collect(),
        }
    }
}

/// `GET /v1/sessions/{id}/blocks`
#[utoipa::path(get, path = "/v1/sessions/{id}/blocks", tag = "numbers", operation_id = "listBlocks", summary = "List whom the number has blocked, as Meta has it",
    params(("id" = shapes::SessionId, Path, description = "The session."), Ask), responses((status = 200, body = Page<Blocked>, description = "A page of Meta's list.")),
    extensions(("x-problems" = json!(["token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable", "outcome_unknown"]))))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Blocked>>, Problem> {
    let limit = ask.limit()?;
    let after = ask.after_text()?;
    let page = account(&state, &whom, id).await?.blocked(after.as_deref(), limit).await?;
    let shown = |wa_id: &str| {
        let text = Address::phone_digits(wa_id).map_or_else(|_| wa_id.to_owned(), |a| a.to_text());
        Blocked { address: text }
    };
    let next = page.after.as_deref().map(crate::page::text_cursor);
    Ok(axum::Json(Page::until(page.users.iter().map(|user| shown(&user.wa_id)).collect(), next)))
}

/// `POST /v1/sessions/{id}/blocks`: twice comes to the same as once.
#[utoipa::path(post, path = "/v1/sessions/{id}/blocks", tag = "numbers", operation_id = "blockUsers", summary = "Block people who have written within 24 hours",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Wanted, responses((status = 200, body = Outcome, description = "What became of each; some may have failed.")),
    extensions(("x-problems" = json!(["invalid_address", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Wanted>,
) -> Result<axum::Json<Outcome>, Problem> {
    change(&state, &whom, id, (body.value, false)).await
}

/// `DELETE /v1/sessions/{id}/blocks`: twice comes to the same as once.
#[utoipa::path(delete, path = "/v1/sessions/{id}/blocks", tag = "numbers", operation_id = "unblockUsers", summary = "Take blocks back",
    params(("id" = shapes::SessionId, Path, description = "The session.")), request_body = Wanted, responses((status = 200, body = Outcome, description = "What became of each; some may have failed.")),
    extensions(("x-problems" = json!(["invalid_address", "token_refused", "token_lacks_permission", "provider_refused", "provider_unreachable"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<SessionId>,
    body: Json<Wanted>,
) -> Result<axum::Json<Outcome>, Problem> {
    change(&state, &whom, id, (body.value, true)).await
}

async fn change(
    state: &ApiState,
    whom: &For,
    id: SessionId,
    (wanted, back): (Wanted, bool),
) -> Result<axum::Json<Outcome>, Problem> {
    let account = account(state, whom, id).await?;
    if !(1..=BLOCKS_MAX).contains(&wanted.users.len()) {
        return Err(Problem::invalid("users", format!("1 to {BLOCKS_MAX} people")));
    }
    let mut asked = Vec::with_capacity(wanted.users.len());
    for (nth, given) in wanted.users.into_iter().enumerate() {
        let found = address(&given).map_err(|problem| problem.at(&format!("users[{nth}]")))?;
        let text = found.to_text();
        let sent = text.strip_prefix("user_id:").unwrap_or(&text).trim_start_matches('+').to_owned();
        asked.push((given, sent));
    }
    let users: Vec<_> = asked.iter().map(|(_, sent)| sent.clone()).collect();
    let outcome = account.block(&users, back).await?;
    Ok(axum::Json(Outcome::of(outcome, &asked)))
}
