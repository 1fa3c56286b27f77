//! What is asked for when a key is made or changed: read, checked, and never more than the key that asks has.

use super::shown::Limits;
use crate::auth::rights::Rights;
use crate::auth::{Caller, Holder};
use crate::config::Limits as InstallationLimits;
use crate::openapi::shapes;
use crate::problem::{Code, Problem};
use crate::routes::{name, present};
use crate::state::ApiState;
use kabar_actors::Networks;
use kabar_engine::id::{KeyId, SessionId};
use kabar_engine::time::Timestamp;
use kabar_schema::records::{Key, KeyLimits, KeyOwner, Scope};
use serde::Deserialize;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Sessions one key can name.
const SESSIONS_MAX: usize = 100;
/// Networks one key can name.
const NETWORKS_MAX: usize = 32;
/// Longest text of a network.
const NETWORK_MAX: usize = 64;
/// Highest rate and burst.
const LIMIT_MAX: u32 = 1_000_000;

/// What is asked for. What is not said is as the key that asks has it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewKey, example = json!({"name": "checkout", "scopes": ["messages:send", "messages:read"],
    "expires": "2027-12-31T00:00:00Z", "networks": ["203.0.113.0/24"]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    /// What it is good for; everything when not said.
    #[serde(default)]
    #[schema(value_type = Option<Vec<shapes::Scope>>, min_items = 1)]
    scopes: Option<Vec<Scope>>,
    /// The sessions it is for; all when not said. A key for some sessions is refused what belongs to others.
    #[serde(default)]
    #[schema(value_type = Option<Vec<shapes::SessionId>>, min_items = 1, max_items = 100)]
    sessions: Option<Vec<SessionId>>,
    /// From when on it is good no more, RFC 3339; never when not said.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<String>,
    /// The networks it may be used from; everywhere when not said.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 32)]
    networks: Option<Vec<String>>,
    /// Rates of its own; only the operator and resellers can give them, a reseller none above its key's.
    #[serde(default)]
    limits: Option<Limits>,
}

/// A merge patch (RFC 7396): what is absent stays, what is null goes.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = KeyPatch, example = json!({"name": "checkout 2", "networks": null}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>, min_items = 1, max_items = 32)]
    networks: Option<Option<Vec<String>>>,
    /// Only the operator and resellers can change them, a reseller to none above its key's and never its key's own.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Limits>)]
    limits: Option<Option<Limits>>,
}

/// The key that is asked for, but for its id and its secret.
pub(super) async fn key(
    state: &ApiState,
    whose: &Holder,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Key, Problem> {
    let own = whose.caller.rights();
    let scopes = match wanted.scopes {
        Some(list) => Some(scopes(list, whose.owner)?),
        None => own.scopes.as_ref().map(|own| inherited(own, whose.owner)),
    };
    let sessions = match wanted.sessions {
        Some(list) => Some(sessions(state, list, whose.owner).await?),
        None => own.sessions.clone(),
    };
    let expires = wanted.expires.as_deref().map(|text| moment(text, now)).transpose()?;
    let given = wanted.networks.map(networks).transpose()?;
    let networks = given.unwrap_or_else(|| match &whose.caller {
        Caller::Operator => Vec::new(),
        Caller::Key(pass) => pass.key.networks.clone(),
    });
    let key = Key {
        id: KeyId::default(),
        owner: whose.owner,
        name: name(&wanted.name)?,
        hash: String::new(),
        prefix: String::new(),
        scopes,
        sessions,
        expires: expires.or(own.expires),
        networks,
        limits: match wanted.limits {
            Some(given) => Some(limits(given, &whose.caller)?),
            None => inherited_limits(&whose.caller),
        },
        rotates: None,
        replaced_by: None,
        body_hash: String::new(),
        created: now,
        revoked: None,
    };
    own.cover(&Rights::of(&key, state.config.limits))?;
    Ok(key)
}

/// Changes a key as the patch says, if neither what it was nor what it becomes is more than the key that asks has.
pub(super) fn change(
    key: &mut Key,
    patch: &Patch,
    caller: &Caller,
    (now, configured): (Timestamp, InstallationLimits),
) -> Result<(), Problem> {
    let own = caller.rights();
    own.cover(&Rights::of(key, configured))?;
    if let Some(given) = &patch.name {
        key.name = name(given)?;
    }
    if let Some(given) = &patch.expires {
        key.expires = given.as_deref().map(|text| moment(text, now)).transpose()?;
    }
    if let Some(given) = &patch.networks {
        key.networks = given.clone().map(networks).transpose()?.unwrap_or_default();
    }
    if let Some(given) = patch.limits {
        let given = limits(given.unwrap_or_default(), caller)?;
        if caller.key() == Some(key.id) {
            let detail = "`limits` of a key are not its own to change.";
            return Err(Problem::new(Code::ExceedsKey, detail).at("limits"));
        }
        key.limits = (given != KeyLimits::default()).then_some(given);
    }
    own.cover(&Rights::of(key, configured))
}

/// The rates of the key that asks, where it has some.
fn inherited_limits(caller: &Caller) -> Option<KeyLimits> {
    match caller {
        Caller::Operator => None,
        Caller::Key(pass) => pass.key.limits,
    }
}

fn scopes(list: Vec<Scope>, owner: KeyOwner) -> Result<BTreeSet<Scope>, Problem> {
    let reseller = matches!(owner, KeyOwner::Reseller(_));
    if let Some(scope) = list.iter().find(|scope| scope.is_resellers() && !reseller) {
        let what = format!("scopes of tenants' keys; `{}` is for keys of resellers alone", scope.word());
        return Err(Problem::invalid("scopes", what));
    }
    let all: BTreeSet<_> = list.iter().copied().collect();
    if all.is_empty() || all.len() != list.len() {
        return Err(Problem::invalid("scopes", "a list of scopes, each once and at least one"));
    }
    Ok(all)
}

/// What a maker with these scopes can give such an owner.
fn inherited(own: &BTreeSet<Scope>, owner: KeyOwner) -> BTreeSet<Scope> {
    let reseller = matches!(owner, KeyOwner::Reseller(_));
    own.iter().copied().filter(|scope| reseller || !scope.is_resellers()).collect()
}

async fn sessions(
    state: &ApiState,
    list: Vec<SessionId>,
    owner: KeyOwner,
) -> Result<BTreeSet<SessionId>, Problem> {
    let KeyOwner::Tenant(tenant) = owner else {
        return Err(Problem::invalid("sessions", "left out: a reseller has none"));
    };
    let all: BTreeSet<_> = list.iter().copied().collect();
    if !(1..=SESSIONS_MAX).contains(&list.len()) || all.len() != list.len() {
        return Err(Problem::invalid("sessions", format!("1 to {SESSIONS_MAX} session ids, each once")));
    }
    for session in &list {
        if !state.has_session(tenant, *session).await? {
            return Err(Problem::unknown_reference("sessions", "session"));
        }
    }
    Ok(all)
}

pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let at = Timestamp::from_rfc3339(text).filter(|at| *at > now);
    at.ok_or_else(|| Problem::invalid("expires", "a moment to come, such as 2027-12-31T00:00:00Z"))
}

/// As they were written, each a network.
fn networks(list: Vec<String>) -> Result<Vec<String>, Problem> {
    let refused = || {
        let what = format!("1 to {NETWORKS_MAX} networks such as 203.0.113.0/24, no bits behind the mask");
        Problem::invalid("networks", what)
    };
    if !(1..=NETWORKS_MAX).contains(&list.len()) {
        return Err(refused());
    }
    let one = |text: String| {
        let text = text.trim().to_owned();
        let read = text.parse::<Networks>().is_ok_and(|read| !read.is_empty());
        let fits = text.len() <= NETWORK_MAX && !text.contains(',') && read;
        if fits { Ok(text) } else { Err(refused()) }
    };
    list.into_iter().map(one).collect()
}

/// What is not said is as the key that asks has it.
fn limits(given: Limits, caller: &Caller) -> Result<KeyLimits, Problem> {
    if !caller.may_set_limits() {
        let detail = "`limits` are set by the operator or the reseller.";
        return Err(Problem::new(Code::OperatorOnly, detail).at("limits"));
    }
    let Limits { api_per_second, api_burst, send_per_second, send_burst } = given;
    let rates =
        [("limits.api_per_second", api_per_second, 0), ("limits.send_per_second", send_per_second, 0)];
    let bursts = [("limits.api_burst", api_burst, 1), ("limits.send_burst", send_burst, 1)];
    for (field, number, least) in rates.into_iter().chain(bursts) {
        if number.is_some_and(|number| !(least..=LIMIT_MAX).contains(&number)) {
            return Err(Problem::invalid(field, format!("from {least} to {LIMIT_MAX}")));
        }
    }
    let own = inherited_limits(caller).unwrap_or_default();
    Ok(KeyLimits {
        api_per_second: api_per_second.or(own.api_per_second),
        api_burst: api_burst.or(own.api_burst),
        send_per_second: send_per_second.or(own.send_per_second),
        send_burst: send_burst.or(own.send_burst),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::id::{ResellerId, TenantId};

    #[test]
    fn a_tenants_key_gets_no_scope_of_resellers_also_by_inheritance() {
        let (tenant, reseller) = (KeyOwner::Tenant(TenantId(1)), KeyOwner::Reseller(ResellerId(1)));
        let both = vec![Scope::TenantsWrite, Scope::KeysWrite];
        assert!(scopes(both.clone(), tenant).is_err());
        assert_eq!(scopes(both.clone(), reseller).unwrap().len(), 2);
        assert!(scopes(Vec::new(), reseller).is_err() && scopes(vec![Scope::KeysRead; 2], tenant).is_err());
        let own: BTreeSet<_> = both.into_iter().collect();
        assert_eq!(inherited(&own, tenant), BTreeSet::from([Scope::KeysWrite]));
        assert_eq!(inherited(&own, reseller), own);
    }

    #[test]
    fn networks_are_read_one_by_one() {
        let read = |list: &[&str]| networks(list.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(read(&[" 10.0.0.0/8", "::1"]).unwrap(), ["10.0.0.0/8", "::1"]);
        for wrong in [&[][..], &[""], &["10.0.0.1/8"], &["10.0.0.0/8,::1"], &["here"], &["10.0.0.1"; 33]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
