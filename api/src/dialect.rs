//! The edge in Meta's dialect: the paths, bodies, answers and errors of the Cloud API, so that a program written for Meta
//! works here with another base URL and a key as its token. Underneath is what `/v1` has: the same gate, outbox and
//! decisions. Not the connector, which speaks this dialect to Meta; and not `/v1`.

pub(crate) mod envelope;
pub(crate) mod error;
mod media;
mod message;
mod number;
pub(crate) mod operation;
mod profile;
mod receipt;
mod speak;
mod template;
pub(crate) mod wamid;

use crate::auth::For;
use crate::auth::gate::{self, Demands, Gate};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use kabar_schema::records::Session;
use std::sync::Arc;

pub(crate) use speak::{is_spoken, tidy};

/// The routes behind their gate. An address that is not of this dialect is answered as any unknown address.
pub(crate) fn router(state: &ApiState) -> Router<ApiState> {
    let gate = Gate { state: state.clone(), demands: Arc::new(Demands::listed(operation::demands())) };
    Router::new()
        .route("/{version}/{id}", get(number::get).post(number::post).delete(number::delete))
        .route("/{version}/{id}/content", get(media::read))
        .route("/{version}/{id}/media", post(media::post))
        .route(
            "/{version}/{id}/message_templates",
            get(template::list).post(template::post).delete(template::delete),
        )
        .route("/{version}/{id}/messages", post(message::post))
        .route("/{version}/{id}/phone_numbers", get(number::list))
        .route("/{version}/{id}/whatsapp_business_profile", get(profile::get).post(profile::post))
        .layer(from_fn_with_state(gate, gate::pass))
        .layer(from_fn_with_state(state.clone(), speak::listen))
}

/// A path's ids are Meta's: the version was looked at already.
struct Node(String);

impl FromRequestParts<ApiState> for Node {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        path.map(|Path((_, id))| Self(id)).map_err(|_| no_such_object())
    }
}

/// Nothing of the caller's has this id; of another's thing the same is said.
fn no_such_object() -> Problem {
    Problem::new(
        Code::NotFound,
        "Object with this ID does not exist, cannot be loaded due to missing permissions, or does not support this operation.",
    )
}

/// The caller's session by Meta's id of its number.
async fn session(state: &ApiState, whom: &For, phone_number_id: &str) -> Result<Session, Problem> {
    let found = state.nouns().find::<Session>(Session::PHONE_NUMBER_ID, phone_number_id).await?;
    let session = found.map(|found| found.noun).filter(|session| session.tenant == whom.tenant);
    let session = session.ok_or_else(no_such_object)?;
    whom.check_session(session.id)?;
    Ok(session)
}
