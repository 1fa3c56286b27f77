//! `/v1/key`: the key a request is made with, for whoever holds one and wonders what it is good for.

use super::shown::Limits;
use crate::auth::Caller;
use crate::openapi::shapes;
use crate::page::Time;
use kabar_engine::id::{KeyId, ResellerId, SessionId, TenantId};
use kabar_schema::records::{KeyOwner, Scope};
use serde::Serialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// A key as it sees itself.
#[derive(Serialize, ToSchema)]
#[schema(as = OwnKey)]
pub(crate) struct Own {
    #[schema(value_type = shapes::KeyKind)]
    kind: &'static str,
    /// Null for the operator's, which is configured.
    #[schema(value_type = Option<shapes::KeyId>)]
    id: Option<KeyId>,
    #[schema(value_type = Option<shapes::TenantId>)]
    tenant: Option<TenantId>,
    #[schema(value_type = Option<shapes::ResellerId>)]
    reseller: Option<ResellerId>,
    name: Option<String>,
    /// Null: everything this kind may.
    #[schema(value_type = Option<Vec<shapes::Scope>>)]
    scopes: Option<BTreeSet<Scope>>,
    /// Null: all.
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    sessions: Option<BTreeSet<SessionId>>,
    /// Null: never.
    expires: Option<Time>,
    /// Null: all.
    networks: Option<Vec<String>>,
    /// Rates of its own; null: those of the installation, or none for the operator's.
    limits: Option<Limits>,
}

/// `GET /v1/key`
#[utoipa::path(get, path = "/v1/key", tag = "keys", operation_id = "whoAmI", summary = "Read the key that asks",
    responses((status = 200, body = Own, description = "What the key of this request is and may.")))]
pub(crate) async fn get(caller: Caller) -> axum::Json<Own> {
    let nothing = Own {
        kind: "operator",
        id: None,
        tenant: None,
        reseller: None,
        name: None,
        scopes: None,
        sessions: None,
        expires: None,
        networks: None,
        limits: None,
    };
    let Caller::Key(pass) = caller else { return axum::Json(nothing) };
    let key = pass.key.clone();
    let (kind, tenant, reseller) = match key.owner {
        KeyOwner::Tenant(tenant) => ("tenant", Some(tenant), None),
        KeyOwner::Reseller(reseller) => ("reseller", None, Some(reseller)),
    };
    axum::Json(Own {
        kind,
        id: Some(key.id),
        tenant,
        reseller,
        name: Some(key.name),
        scopes: key.scopes,
        sessions: key.sessions,
        expires: key.expires.map(Time),
        networks: (!key.networks.is_empty()).then_some(key.networks),
        limits: key.limits.map(Limits::from),
    })
}
