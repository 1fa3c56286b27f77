//! Doing once what comes twice: ids of records that a repeat with the same idempotency key meets again, the hashes by which
//! a shard's owner recognises a repeated action, and the answer to both. Not for sends, which bring keys of their own.

use crate::body::Idempotent;
use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kabar_engine::entry::Idempotency;
use kabar_schema::StoreError;
use kabar_schema::records::Noun;
use serde::Serialize;

/// Says that the answer is an earlier one.
pub(crate) const REPLAYED: &str = "idempotency-replayed";

impl Idempotent {
    /// An id: from the key, so that a repeat meets itself, or by chance.
    pub(crate) fn id<T>(&self, derived: impl FnOnce(&[u8]) -> T, random: impl FnOnce(u64) -> T) -> T {
        match &self.0 {
            Some(key) => derived(key.as_bytes()),
            None => random(rand::random()),
        }
    }
}

/// What tells the requests of an action apart that may come under one key.
const APART: [u8; 1] = [0];

impl Idempotent {
    /// The hashes that the entry of an action keeps: of its key, and of what was asked, word by word.
    pub(crate) fn hashes(&self, asked: &[&[u8]]) -> Option<Idempotency> {
        let key = secret::digest_short(self.0.as_deref()?.as_bytes());
        Some(Idempotency { key, body: secret::digest_short(&asked.join(&APART[..])) })
    }
}

/// A record that was created now, or by the same request before.
pub(crate) struct Created<N> {
    pub(crate) noun: N,
    pub(crate) replayed: bool,
}

/// Creates a record. When its id is taken and came from an idempotency key, the stored record is the answer if it
/// is the `same` request's, and a refusal otherwise.
pub(crate) async fn create<N: Noun>(
    state: &ApiState,
    key: &Idempotent,
    noun: N,
    same: impl Fn(&N, &N) -> bool,
) -> Result<Created<N>, Problem> {
    match state.nouns().create(&noun).await {
        Ok(()) => Ok(Created { noun, replayed: false }),
        Err(StoreError::Conflict) if key.0.is_some() => {
            let stored = state.nouns().get::<N>(noun.tenant(), noun.id()).await?;
            let stored = stored.ok_or(StoreError::Conflict)?.noun;
            if same(&noun, &stored) {
                Ok(Created { noun: stored, replayed: true })
            } else {
                Err(Problem::new(
                    Code::IdempotencyMismatch,
                    "The key belongs to a request with another body.",
                ))
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer to a create: its status, the thing, and whether it is an earlier answer.
pub(crate) fn answer(status: StatusCode, replayed: bool, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, axum::http::HeaderValue::from_static("true"));
    }
    response
}
