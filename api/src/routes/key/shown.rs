//! A key as it is shown: without its secret, but in the answer that made it.

use crate::openapi::shapes;
use crate::page::Time;
use crate::problem::Problem;
use crate::state::ApiState;
use kabar_engine::id::{KeyId, ResellerId, SessionId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::records::{After, Key, KeyLimits, KeyOwner, KeyUse, Scope};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// A key as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Key)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::KeyId)]
    id: KeyId,
    /// Null for a reseller's key.
    #[schema(value_type = Option<shapes::TenantId>)]
    tenant: Option<TenantId>,
    /// Null for a tenant's key.
    #[schema(value_type = Option<shapes::ResellerId>)]
    reseller: Option<ResellerId>,
    name: String,
    /// The first characters of the secret.
    prefix: String,
    /// What it is good for; null: everything its owner may.
    #[schema(value_type = Option<Vec<shapes::Scope>>)]
    scopes: Option<BTreeSet<Scope>>,
    /// The sessions it is for; null: all.
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    sessions: Option<BTreeSet<SessionId>>,
    /// From when on it is good no more; null: never.
    expires: Option<Time>,
    /// The networks it may be used from; null: all.
    networks: Option<Vec<String>>,
    /// Rates of its own; null: those of the installation.
    limits: Option<Limits>,
    /// The key it replaces.
    #[schema(value_type = Option<shapes::KeyId>)]
    rotates: Option<KeyId>,
    /// The key that replaces it.
    #[schema(value_type = Option<shapes::KeyId>)]
    replaced_by: Option<KeyId>,
    /// Null: not yet, as far as was written down.
    last_used: Option<LastUse>,
    created: Time,
    revoked: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// Rates that differ from the installation's; 0 is no limit, null as the installation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = KeyLimits)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct Limits {
    /// Requests a second.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(super) api_per_second: Option<u32>,
    /// Requests at once.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub(super) api_burst: Option<u32>,
    /// Messages a second.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub(super) send_per_second: Option<u32>,
    /// Messages at once.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub(super) send_burst: Option<u32>,
}

impl From<KeyLimits> for Limits {
    fn from(limits: KeyLimits) -> Self {
        let KeyLimits { api_per_second, api_burst, send_per_second, send_burst } = limits;
        Self { api_per_second, api_burst, send_per_second, send_burst }
    }
}

/// When a key was last used, to a minute.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyUse)]
pub(crate) struct LastUse {
    at: Time,
    /// The network around the address it was used from; null when that was not known.
    #[schema(example = "203.0.113.0/24")]
    from: Option<String>,
}

type Used = (Timestamp, Option<String>);

impl Shown {
    pub(super) fn of(key: Key, used: Option<Used>) -> Self {
        let (tenant, reseller) = match key.owner {
            KeyOwner::Tenant(tenant) => (Some(tenant), None),
            KeyOwner::Reseller(reseller) => (None, Some(reseller)),
        };
        Self {
            id: key.id,
            tenant,
            reseller,
            name: key.name,
            prefix: key.prefix,
            scopes: key.scopes,
            sessions: key.sessions,
            expires: key.expires.map(Time),
            networks: (!key.networks.is_empty()).then_some(key.networks),
            limits: key.limits.map(Limits::from),
            rotates: key.rotates,
            replaced_by: key.replaced_by,
            last_used: used.map(|(at, from)| LastUse { at: Time(at), from }),
            created: Time(key.created),
            revoked: key.revoked.map(Time),
            secret: None,
        }
    }

    /// In the one answer that shows the secret.
    pub(super) fn once(self, secret: Option<String>) -> Self {
        Self { secret, ..self }
    }
}

/// What was written down, and what this node saw since.
pub(super) fn newest(written: Option<Used>, seen: Option<Used>) -> Option<Used> {
    match (written, seen) {
        (Some(written), Some(seen)) => Some(if seen.0 >= written.0 { seen } else { written }),
        (written, seen) => seen.or(written),
    }
}

/// When one key was last used.
pub(super) async fn last_use(state: &ApiState, key: &Key) -> Result<Option<Used>, Problem> {
    let written = state.nouns().get::<KeyUse>(key.owner.place(), key.id.0).await?;
    let written = written.map(|found| (found.noun.at, found.noun.from));
    Ok(newest(written, state.ring.used(key.id)))
}

/// When the keys of a page were last used. Uses lie in the order of their keys and are no more than they.
pub(super) async fn last_uses(
    state: &ApiState,
    owner: KeyOwner,
    after: Option<After>,
    limit: usize,
) -> Result<BTreeMap<KeyId, Used>, Problem> {
    let index = owner.index();
    let index = index.as_ref().map(|(name, value)| (*name, value.as_str()));
    let found = state.nouns().page::<KeyUse>(owner.place(), index, after, limit).await?;
    Ok(found.into_iter().map(|found| (found.noun.id, (found.noun.at, found.noun.from))).collect())
}
