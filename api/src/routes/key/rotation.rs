//! `/v1/keys/{id}/rotate`: a successor with the same rights, while the old key stays good for a while, so that nothing
//! stands still between the two.

use super::shown::{Shown, last_use};
use super::wanted::moment;
use super::{edit, found};
use crate::auth::rights::Rights;
use crate::auth::{Fresh, Holder};
use crate::body::{Id, Idempotent, Json};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::KeyId;
use kabar_engine::time::{DAY_MS, SECOND_MS, Timestamp};
use kabar_schema::records::Key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How long the old key stays good when nothing is said: a day.
const OVERLAP_S: i64 = DAY_MS / SECOND_MS;
/// A week.
const OVERLAP_MAX_S: i64 = 7 * OVERLAP_S;

/// How long both keys are good.
#[derive(Deserialize, ToSchema)]
#[schema(as = KeyRotation, example = json!({"overlap_seconds": 86400}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// How long the old key stays good; a day when not said, 0: not at all.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_seconds: Option<i64>,
    /// From when on the successor is good no more, RFC 3339; as the old key when not said.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<String>,
}

/// The new key and the old one.
#[derive(Serialize, ToSchema)]
#[schema(as = RotatedKey)]
pub(crate) struct Rotated {
    /// The successor, with its secret; a replay has none.
    key: Shown,
    /// The old key: `expires` is the end of the overlap.
    replaced: Shown,
}

/// `POST /v1/keys/{id}/rotate`. With an idempotency key a repeat meets its successor again, and ends what a broken-off
/// first time left to do.
#[utoipa::path(post, path = "/v1/keys/{id}/rotate", tag = "keys", operation_id = "rotateKey", summary = "Replace an API key without downtime",
    params(("id" = shapes::KeyId, Path, description = "The key to replace.")), request_body = Wanted,
    responses((status = 201, body = Rotated, description = "The successor has the same rights; the only answer with its secret. Both are good until the overlap is over.")),
    extensions(("x-problems" = json!(["exceeds_key", "wrong_phase"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whose: Holder,
    key: Idempotent,
    Id(id): Id<KeyId>,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (now, hash) = (state.now(), secret::digest_hex(format!("rotate {id} {}", body.hash()).as_bytes()));
    let overlap_s = body.value.overlap_seconds.unwrap_or(OVERLAP_S);
    if !(0..=OVERLAP_MAX_S).contains(&overlap_s) {
        return Err(Problem::invalid("overlap_seconds", format!("from 0 to {OVERLAP_MAX_S}")));
    }
    let old = found(&state, &whose, id).await?.noun;
    whose.caller.rights().cover(&Rights::of(&old, state.config.limits))?;
    // A key that ends soon is replaced by one that does not; never by one that outlives the key that asks.
    let expires = match body.value.expires.as_deref() {
        Some(text) => Some(moment(text, now)?),
        None => old.expires,
    };
    whose.caller.rights().cover(&Rights { expires, ..Rights::of(&old, state.config.limits) })?;
    let root = whose.owner.root();
    let next = key.id(|k| KeyId::derived(root, k), |r| KeyId::random(now, r));
    replaceable(&old, next, now)?;
    let fresh = Fresh::make();
    let successor = Key {
        id: next,
        hash: fresh.hash,
        prefix: fresh.prefix,
        rotates: Some(id),
        expires,
        replaced_by: None,
        body_hash: hash,
        created: now,
        revoked: None,
        ..old
    };
    let created = create(&state, &key, successor, |a, b| a.body_hash == b.body_hash).await?;
    let over = created.noun.created.plus_ms(overlap_s * SECOND_MS);
    let replaced = edit(&state, (&whose, id), |old| {
        replaceable(old, next, now)?;
        if old.replaced_by.is_none() {
            old.replaced_by = Some(next);
            old.expires = Some(old.expires.map_or(over, |expires| expires.min(over)));
        }
        Ok(())
    });
    let replaced = match replaced.await {
        Ok(replaced) => replaced,
        Err(problem) => {
            // Somebody else was faster: nobody has seen the secret, and nobody shall use it.
            if !created.replayed {
                take_back(&state, &created.noun).await?;
            }
            return Err(problem);
        }
    };
    let (of_next, of_old) = (last_use(&state, &created.noun).await?, last_use(&state, &replaced).await?);
    let secret = (!created.replayed).then_some(fresh.secret);
    let key = Shown::of(created.noun, of_next).once(secret);
    Ok(answer(StatusCode::CREATED, created.replayed, Rotated { key, replaced: Shown::of(replaced, of_old) }))
}

/// A key is replaced once, while it is good.
fn replaceable(old: &Key, next: KeyId, now: Timestamp) -> Result<(), Problem> {
    match old.replaced_by {
        Some(by) if by == next => Ok(()),
        Some(by) => {
            let detail = format!("The key was replaced by {by} already; rotate that one.");
            Err(Problem::new(Code::WrongPhase, detail))
        }
        None if old.revoked.is_some() || old.expires.is_some_and(|expires| expires <= now) => {
            Err(Problem::new(Code::WrongPhase, "The key is revoked or its time is over; make a new one."))
        }
        None => Ok(()),
    }
}

async fn take_back(state: &ApiState, successor: &Key) -> Result<(), Problem> {
    let stored = state.nouns().get::<Key>(successor.owner.place(), successor.id.0).await?;
    if let Some(stored) = stored {
        state.nouns().delete::<Key>(successor.owner.place(), successor.id.0, stored.version).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_replaced_once_and_only_while_it_is_good() {
        let json = r#"{"id":"key_0000000000001","tenant":"ten_0000000000002","name":"k","hash":"h","prefix":"p","created":7}"#;
        let key: Key = kabar_schema::records::Noun::read(1, json).unwrap();
        let (next, now) = (KeyId(9), Timestamp(100));
        replaceable(&key, next, now).unwrap();
        replaceable(&Key { replaced_by: Some(next), expires: Some(now), ..key.clone() }, next, now).unwrap();
        for not in [
            Key { replaced_by: Some(KeyId(8)), ..key.clone() },
            Key { revoked: Some(now), ..key.clone() },
            Key { expires: Some(now), ..key.clone() },
        ] {
            assert!(replaceable(&not, next, now).is_err(), "{not:?}");
        }
    }
}
