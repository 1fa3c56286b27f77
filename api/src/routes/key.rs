//! `/v1/keys`: a tenant's API keys. The secret is in the answer that makes it and nowhere else.

use super::name;
use crate::auth::{For, Fresh};
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, records};
use crate::problem::Problem;
use crate::state::ApiState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kabar_engine::id::{KeyId, TenantId};
use kabar_schema::records::Key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewKey, example = json!({"name": "checkout"}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
}

/// A key as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::KeyId)]
    id: KeyId,
    #[schema(value_type = shapes::TenantId)]
    tenant: TenantId,
    name: String,
    prefix: String,
    created: Time,
    revoked: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<Key> for Shown {
    fn from(key: Key) -> Self {
        Self {
            id: key.id,
            tenant: key.tenant,
            name: key.name,
            prefix: key.prefix,
            created: Time(key.created),
            revoked: key.revoked.map(Time),
            secret: None,
        }
    }
}

/// `POST /v1/keys`: the only answer with the secret; a replay has none.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", operation_id = "createKey", summary = "Create an API key",
    request_body = Wanted, responses((status = 201, body = Shown, description = "Created; the only answer with the secret. A replay has none.")))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (fresh, now, tenant) = (Fresh::make(), state.now(), whom.tenant);
    let noun = Key {
        id: key.id(|k| KeyId::derived(tenant, k), |r| KeyId::random(now, r)),
        tenant,
        name: name(&body.value.name)?,
        hash: fresh.hash,
        prefix: fresh.prefix,
        created: now,
        revoked: None,
    };
    let created = create(&state, &key, noun, |a, b| a.name == b.name).await?;
    let secret = (!created.replayed).then_some(fresh.secret);
    Ok(answer(StatusCode::CREATED, created.replayed, Shown { secret, ..created.noun.into() }))
}

/// `GET /v1/keys`
#[utoipa::path(get, path = "/v1/keys", tag = "keys", operation_id = "listKeys", summary = "List API keys",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<Key, _>(&state, whom.tenant, &ask).await
}

/// `DELETE /v1/keys/{id}`: takes the key back; it stays listed. Twice is once.
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "keys", operation_id = "revokeKey", summary = "Revoke an API key",
    params(("id" = shapes::KeyId, Path, description = "The key.")), responses((status = 200, body = Shown, description = "The revoked key; it stays listed.")))]
pub(crate) async fn delete(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<KeyId>,
) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Key>(whom.tenant, id.0).await?;
    let found = found.ok_or_else(|| Problem::no_such("key"))?;
    let mut key = found.noun;
    if key.revoked.is_none() {
        key.revoked = Some(state.now());
        state.nouns().update(&key, found.version).await?;
    }
    state.keys.forget(&key.hash);
    Ok(axum::Json(key.into()))
}
