//! `/v1/keys`: API keys of a tenant, or of a reseller. The secret is in the answer that makes it and nowhere else. Reading,
//! changing, revoking; what is asked for stands in `wanted`, what is shown in `shown`, the replacing in `rotation`.

pub(crate) mod rotation;
mod shown;
mod wanted;
pub(crate) mod whoami;

use super::TRIES;
use crate::auth::rights::Rights;
use crate::auth::{Fresh, Holder};
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, record_cursor};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::KeyId;
use kabar_schema::StoreError;
use kabar_schema::records::{Key, Versioned};
use shown::{Shown, last_use, last_uses};
use wanted::{Patch, Wanted};

/// The owner's key; another's is nobody's.
async fn found(state: &ApiState, whose: &Holder, id: KeyId) -> Result<Versioned<Key>, Problem> {
    let found = state.nouns().get::<Key>(whose.owner.place(), id.0).await?;
    found.filter(|found| found.noun.owner == whose.owner).ok_or_else(|| Problem::no_such("key"))
}

/// Changes a key until nobody was faster, and forgets what it was.
async fn edit(
    state: &ApiState,
    (whose, id): (&Holder, KeyId),
    mut change: impl FnMut(&mut Key) -> Result<(), Problem>,
) -> Result<Key, Problem> {
    for _ in 0..TRIES {
        let stored = found(state, whose, id).await?;
        let mut key = stored.noun.clone();
        change(&mut key)?;
        if key != stored.noun {
            match state.nouns().update(&key, stored.version).await {
                Ok(_) => {}
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        state.ring.forget(id);
        return Ok(key);
    }
    Err(StoreError::Conflict.into())
}

/// `POST /v1/keys`: the only answer with the secret; a replay has none.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", operation_id = "createKey", summary = "Create an API key",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created; the only answer with the secret. A replay has none.")),
    extensions(("x-problems" = json!(["exceeds_key", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whose: Holder,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (fresh, now, body_hash) = (Fresh::make(), state.now(), body.hash());
    let root = whose.owner.root();
    let id = key.id(|k| KeyId::derived(root, k), |r| KeyId::random(now, r));
    let mut noun = wanted::key(&state, &whose, body.value, now).await?;
    (noun.id, noun.hash, noun.prefix, noun.body_hash) = (id, fresh.hash, fresh.prefix, body_hash);
    // Before version 2 a key had nothing but its name.
    let same = |asked: &Key, stored: &Key| match stored.body_hash.as_str() {
        "" => asked.name == stored.name,
        hash => hash == asked.body_hash,
    };
    let created = create(&state, &key, noun, same).await?;
    let secret = (!created.replayed).then_some(fresh.secret);
    let used = if created.replayed { last_use(&state, &created.noun).await? } else { None };
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::of(created.noun, used).once(secret)))
}

/// `GET /v1/keys`
#[utoipa::path(get, path = "/v1/keys", tag = "keys", operation_id = "listKeys", summary = "List API keys",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whose: Holder,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let (limit, after) = (ask.limit()?, ask.after_record()?);
    let index = whose.owner.index();
    let index = index.as_ref().map(|(name, value)| (*name, value.as_str()));
    let found = state.nouns().page::<Key>(whose.owner.place(), index, after, limit).await?;
    let mut uses = last_uses(&state, whose.owner, after, limit).await?;
    let cursor = found.last().map(|key| record_cursor(key.noun.created, key.noun.id.0));
    let data = found.into_iter().map(|key| {
        let written = uses.remove(&key.noun.id);
        let used = shown::newest(written, state.ring.used(key.noun.id));
        Shown::of(key.noun, used)
    });
    Ok(axum::Json(Page::new(data.collect(), limit, cursor)))
}

/// `GET /v1/keys/{id}`
#[utoipa::path(get, path = "/v1/keys/{id}", tag = "keys", operation_id = "getKey", summary = "Read an API key",
    params(("id" = shapes::KeyId, Path, description = "The key.")), responses((status = 200, body = Shown, description = "The key, without its secret.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whose: Holder,
    Id(id): Id<KeyId>,
) -> Result<axum::Json<Shown>, Problem> {
    let key = found(&state, &whose, id).await?.noun;
    let used = last_use(&state, &key).await?;
    Ok(axum::Json(Shown::of(key, used)))
}

/// `PATCH /v1/keys/{id}`: a JSON merge patch. Twice comes to the same as once.
#[utoipa::path(patch, path = "/v1/keys/{id}", tag = "keys", operation_id = "changeKey", summary = "Change an API key (JSON merge patch)",
    params(("id" = shapes::KeyId, Path, description = "The key.")), request_body = Patch, responses((status = 200, body = Shown, description = "The key as it is now. It holds from the next request on.")),
    extensions(("x-problems" = json!(["exceeds_key"]))))]
pub(crate) async fn patch(
    State(state): State<ApiState>,
    whose: Holder,
    Id(id): Id<KeyId>,
    body: Json<Patch>,
) -> Result<axum::Json<Shown>, Problem> {
    let (patch, at) = (body.value, (state.now(), state.config.limits));
    let key = edit(&state, (&whose, id), |key| wanted::change(key, &patch, &whose.caller, at)).await?;
    let used = last_use(&state, &key).await?;
    Ok(axum::Json(Shown::of(key, used)))
}

/// `DELETE /v1/keys/{id}`: takes the key back; it stays listed. Twice is once.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "revokeKey", summary = "Revoke an API key",
    params(("id" = shapes::KeyId, Path, description = "The key.")), responses((status = 200, body = Shown, description = "The revoked key; it stays listed.")),
    extensions(("x-problems" = json!(["exceeds_key"]))))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whose: Holder,
    Id(id): Id<KeyId>,
) -> Result<axum::Json<Shown>, Problem> {
    let now = state.now();
    let key = edit(&state, (&whose, id), |key| {
        // A key that may less must not put out of use what may more; itself it may.
        if whose.caller.key() != Some(key.id) {
            whose.caller.rights().cover(&Rights::of(key, state.config.limits))?;
        }
        key.revoked = key.revoked.or(Some(now));
        Ok(())
    })
    .await?;
    let used = last_use(&state, &key).await?;
    Ok(axum::Json(Shown::of(key, used)))
}
