//! Who asks, and for whom. A key says who and what it is good for; whether a thing may be seen is decided by whose it is,
//! in every route that names one. Three kinds of callers: the operator, resellers' keys, tenants' keys. What an operation
//! demands stands in `demand`; `gate` lets nobody in who has not got it, and nobody else writes the [`Caller`] that the
//! extractors here read.

pub(crate) mod demand;
pub(crate) mod gate;
mod origin;
pub(crate) mod purse;
pub(crate) mod rights;
pub(crate) mod ring;

use crate::problem::{Code, Problem};
use crate::secret;
use crate::state::ApiState;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use kabar_engine::id::{KeyId, ResellerId, SessionId, TenantId};
use kabar_schema::records::{Key, KeyOwner, Reseller};
use rights::Rights;
use ring::Pass;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The header by which the operator or a reseller names a tenant.
static TENANT: HeaderName = HeaderName::from_static("kabar-tenant");
/// The header by which the operator names a reseller.
static RESELLER: HeaderName = HeaderName::from_static("kabar-reseller");
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

/// Who asks; put beside the request by the gate.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Runs the installation: makes tenants and resellers, acts for any of them.
    Operator,
    /// An API key of a tenant or a reseller.
    Key(Arc<Pass>),
}

impl Caller {
    /// What the caller may give away.
    pub(crate) fn rights(&self) -> Rights {
        match self {
            Self::Operator => Rights::default(),
            Self::Key(pass) => Rights {
                networks: pass.networks.clone(),
                limits: Some(pass.limits),
                ..Rights::of(&pass.key, pass.limits)
            },
        }
    }

    /// Whether keys may be given rates of their own.
    pub(crate) fn may_set_limits(&self) -> bool {
        match self {
            Self::Operator => true,
            Self::Key(pass) => matches!(pass.key.owner, KeyOwner::Reseller(_)),
        }
    }

    /// The API key; none: the operator's.
    pub(crate) fn key(&self) -> Option<KeyId> {
        match self {
            Self::Operator => None,
            Self::Key(pass) => Some(pass.key.id),
        }
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &ApiState) -> Result<Self, Problem> {
        // A route behind no gate knows nobody: nothing is let in by forgetting.
        let unasked = || Problem::new(Code::Internal, "Nobody asked who this is.");
        parts.extensions.get::<Self>().cloned().ok_or_else(unasked)
    }
}

/// An id in a header; `None` when the header is not there.
fn named<T: std::str::FromStr>(headers: &HeaderMap, header: &HeaderName) -> Result<Option<T>, ()> {
    let Some(value) = headers.get(header) else { return Ok(None) };
    value.to_str().ok().and_then(|text| text.parse().ok()).map(Some).ok_or(())
}

/// The tenant a request is for, and who asks in its name.
#[derive(Debug, Clone)]
pub(crate) struct For {
    pub(crate) tenant: TenantId,
    pub(crate) operator: bool,
    /// The API key it is made with; none: the operator's.
    pub(crate) key: Option<KeyId>,
    caller: Caller,
}

impl For {
    /// The sessions it is limited to; none: it is not.
    pub(crate) fn sessions(&self) -> Option<&BTreeSet<SessionId>> {
        match &self.caller {
            Caller::Operator => None,
            Caller::Key(pass) => pass.key.sessions.as_ref(),
        }
    }

    /// Whether the key is still good, for what is asked once and goes on: an open stream must not outlive its key.
    pub(crate) async fn still_good(&self, state: &ApiState) -> Result<(), Problem> {
        let Caller::Key(pass) = &self.caller else { return Ok(()) };
        let found = state.nouns().get::<Key>(pass.key.owner.place(), pass.key.id.0).await;
        // A store that is away for a moment says nothing of the key: it is asked again.
        let Ok(found) = found else { return Ok(()) };
        let over = |key: &Key| key.expires.is_some_and(|expires| expires <= state.now());
        match found.map(|found| found.noun) {
            Some(key) if key.revoked.is_none() && !over(&key) => Ok(()),
            Some(key) if key.revoked.is_none() => {
                Err(Problem::new(Code::KeyExpired, "The time of the key is over."))
            }
            _ => Err(Problem::new(Code::InvalidKey, "The key is not known here, or was revoked.")),
        }
    }

    /// Whether what belongs to this session may be seen and used.
    pub(crate) fn may_use(&self, session: SessionId) -> bool {
        self.sessions().is_none_or(|sessions| sessions.contains(&session))
    }

    /// Refuses what belongs to a session that the key is not for.
    pub(crate) fn check_session(&self, session: SessionId) -> Result<(), Problem> {
        if self.may_use(session) { Ok(()) } else { Err(Self::not_for("The key is not for this session.")) }
    }

    /// Refuses what belongs to several sessions, unless the key is for all of them.
    pub(crate) fn check_sessions<'s>(
        &self,
        mut sessions: impl Iterator<Item = &'s SessionId>,
    ) -> Result<(), Problem> {
        sessions.try_for_each(|session| self.check_session(*session))
    }

    /// What a key that is not for every session is refused.
    pub(crate) fn not_for(detail: &str) -> Problem {
        Problem::new(Code::SessionNotAllowed, detail)
    }

    /// The key whose rates count; the operator has none.
    pub(crate) fn pass(&self) -> Option<&Pass> {
        match &self.caller {
            Caller::Operator => None,
            Caller::Key(pass) => Some(pass),
        }
    }
}

impl FromRequestParts<ApiState> for For {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let given = named::<TenantId>(&parts.headers, &TENANT);
        let missing = || Problem::new(Code::TenantHeader, "The header Kabar-Tenant is missing.");
        let wrong = |()| Problem::new(Code::TenantHeader, "Kabar-Tenant must be an id such as ten_….");
        let tenant = match &caller {
            Caller::Operator => {
                let tenant = given.map_err(wrong)?.ok_or_else(missing)?;
                state.reseller_of(tenant).await?.ok_or_else(|| Problem::no_such("tenant"))?;
                tenant
            }
            Caller::Key(pass) => match pass.key.owner {
                KeyOwner::Tenant(own) => match given {
                    Ok(None) => own,
                    Ok(Some(given)) if given == own => own,
                    _ => {
                        let refusal = "Kabar-Tenant names another tenant than the key's.";
                        return Err(Problem::new(Code::OperatorOnly, refusal));
                    }
                },
                KeyOwner::Reseller(own) => {
                    let tenant = given.map_err(wrong)?.ok_or_else(missing)?;
                    // Another's is nobody's: the answer is the same.
                    let whose = state.reseller_of(tenant).await?.flatten();
                    (whose == Some(own)).then_some(tenant).ok_or_else(|| Problem::no_such("tenant"))?
                }
            },
        };
        let (operator, key) = (matches!(caller, Caller::Operator), caller.key());
        Ok(Self { tenant, operator, key, caller })
    }
}

/// Who has tenants: the operator, or a reseller, itself or named by the operator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seller {
    /// Whose tenants; none: everybody's.
    pub(crate) reseller: Option<ResellerId>,
    pub(crate) operator: bool,
}

impl FromRequestParts<ApiState> for Seller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let reseller = reseller(&parts.headers, &caller, state).await?;
        Ok(Self { reseller, operator: matches!(caller, Caller::Operator) })
    }
}

/// The reseller that a reseller's key is, or that the operator names; nobody may name another.
async fn reseller(
    headers: &HeaderMap,
    caller: &Caller,
    state: &ApiState,
) -> Result<Option<ResellerId>, Problem> {
    let given = named::<ResellerId>(headers, &RESELLER);
    let own = match caller {
        Caller::Operator => {
            let wrong = |()| Problem::new(Code::TenantHeader, "Kabar-Reseller must be an id such as rsl_….");
            let Some(id) = given.map_err(wrong)? else { return Ok(None) };
            let known = state.nouns().get::<Reseller>(TenantId::default(), id.0).await?;
            return known.map(|_| Some(id)).ok_or_else(|| Problem::no_such("reseller"));
        }
        Caller::Key(pass) => match pass.key.owner {
            KeyOwner::Tenant(_) => None,
            KeyOwner::Reseller(own) => Some(own),
        },
    };
    if given.is_ok_and(|given| given.is_none() || given == own) {
        return Ok(own);
    }
    let refusal = "Kabar-Reseller names another reseller than the key's.";
    Err(Problem::new(Code::OperatorOnly, refusal))
}

/// Whose keys a request is about: a tenant's, or a reseller's own.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) owner: KeyOwner,
    pub(crate) caller: Caller,
}

impl FromRequestParts<ApiState> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let reseller = reseller(&parts.headers, &caller, state).await?;
        let of_tenant = parts.headers.contains_key(&TENANT);
        match reseller {
            Some(reseller) if !of_tenant => Ok(Self { owner: KeyOwner::Reseller(reseller), caller }),
            _ => {
                let whom = For::from_request_parts(parts, state).await?;
                if let Some(reseller) = reseller
                    && state.reseller_of(whom.tenant).await?.flatten() != Some(reseller)
                {
                    return Err(Problem::no_such("tenant"));
                }
                Ok(Self { owner: KeyOwner::Tenant(whom.tenant), caller })
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
