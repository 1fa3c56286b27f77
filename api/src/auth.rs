//! Who asks, and for which tenant. A key says who; whether a thing may be seen is decided by whose it is, in every
//! route that names one. Knows two kinds of callers: the operator and a tenant's API key.

use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kabar_engine::id::{KeyId, TenantId};
use kabar_schema::records::{Key, Tenant};

/// The header by which the operator names a tenant.
const TENANT: &str = "kabar-tenant";
/// What API keys begin with.
const PREFIX: &str = "kbr_";
/// Characters of a key that people may see again.
const SHOWN: usize = 12;

/// A fresh API key: the secret that is shown once, what is kept of it, and what people recognise it by.
pub(crate) struct Fresh {
    pub(crate) secret: String,
    pub(crate) hash: String,
    pub(crate) prefix: String,
}

impl Fresh {
    pub(crate) fn make() -> Self {
        let secret = format!("{PREFIX}{}", secret::base32(&secret::random()));
        Self { hash: secret::digest_hex(secret.as_bytes()), prefix: secret[..SHOWN].to_owned(), secret }
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Runs the installation: makes tenants, acts for any of them.
    Operator,
    /// An API key of this tenant.
    Tenant(TenantId, KeyId),
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let missing =
            || Problem::new(Code::MissingKey, "There is no Authorization header with a bearer key.");
        let header = parts.headers.get(AUTHORIZATION).ok_or_else(missing)?;
        let (scheme, given) =
            header.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(missing());
        }
        let given = given.trim();
        if secret::same(given, &state.operator_key) {
            return Ok(Self::Operator);
        }
        let invalid = || Problem::new(Code::InvalidKey, "The key is not known here, or was revoked.");
        if !given.starts_with(PREFIX) {
            return Err(invalid());
        }
        let hash = secret::digest_hex(given.as_bytes());
        let key = match state.keys.get(&hash) {
            Some(key) => key,
            None => {
                let found = state.nouns().find::<Key>(Key::HASH, &hash).await?.ok_or_else(invalid)?;
                state.keys.put(hash, found.noun.clone());
                found.noun
            }
        };
        if key.revoked.is_some() { Err(invalid()) } else { Ok(Self::Tenant(key.tenant, key.id)) }
    }
}

/// The operator and nobody else.
pub(crate) struct Operator;

impl FromRequestParts<ApiState> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::Operator => Ok(Self),
            Caller::Tenant(..) => Err(Problem::new(Code::OperatorOnly, "This needs the operator's key.")),
        }
    }
}

/// The tenant a request is for, and whether the operator asks in its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct For {
    pub(crate) tenant: TenantId,
    pub(crate) operator: bool,
    /// The API key it is made with; none: the operator's.
    pub(crate) key: Option<KeyId>,
}

impl FromRequestParts<ApiState> for For {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let named = parts.headers.get(TENANT).cloned();
        match (Caller::from_request_parts(parts, state).await?, named) {
            (Caller::Tenant(tenant, key), None) => Ok(Self { tenant, operator: false, key: Some(key) }),
            (Caller::Tenant(tenant, key), Some(named)) => {
                let own = named.to_str().ok().and_then(|n| n.parse().ok()) == Some(tenant);
                let refusal = "Kabar-Tenant names another tenant than the key's.";
                if own {
                    Ok(Self { tenant, operator: false, key: Some(key) })
                } else {
                    Err(Problem::new(Code::OperatorOnly, refusal))
                }
            }
            (Caller::Operator, None) => {
                Err(Problem::new(Code::TenantHeader, "The header Kabar-Tenant is missing."))
            }
            (Caller::Operator, Some(named)) => {
                let wrong = || Problem::new(Code::TenantHeader, "Kabar-Tenant must be an id such as ten_….");
                let tenant: TenantId = named.to_str().ok().and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
                let known = state.nouns().get::<Tenant>(tenant, tenant.0).await?;
                known.ok_or_else(|| Problem::no_such("tenant"))?;
                Ok(Self { tenant, operator: true, key: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_is_kept_as_a_hash_and_recognised_by_its_begin() {
        let fresh = Fresh::make();
        assert_eq!(fresh.secret.len(), 56);
        assert!(fresh.secret.starts_with(&fresh.prefix) && fresh.prefix.len() == SHOWN);
        assert_eq!(fresh.hash, secret::digest_hex(fresh.secret.as_bytes()));
        assert_ne!(fresh.secret, Fresh::make().secret);
    }
}
