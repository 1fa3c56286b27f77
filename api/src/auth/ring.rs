//! The keys this node has met: what their records say, for a short while, and what they have left of their rates, for as
//! long as they are used. When a key was used is kept here too and written down now and then, away from every request.

use super::origin::coarse;
use super::purse::{Purse, Rate, Shared};
use crate::cache::Cache;
use crate::config::Limits;
use crate::secret;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use kabar_actors::Networks;
use kabar_engine::hash::HashMap;
use kabar_engine::id::KeyId;
use kabar_engine::time::Timestamp;
use kabar_schema::StoreError;
use kabar_schema::records::{Key, KeyLimits, KeyOwner, KeyUse, Nouns};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// API keys remembered at once.
const KEYS_MAX: usize = 10_000;
/// A key that nobody used for so long is forgotten when there is no more room (ms).
const IDLE_MS: i64 = 600_000;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATE: HeaderName = HeaderName::from_static("ratelimit");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A key as it was a moment ago, ready to be compared with requests.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) key: Key,
    /// What its `networks` say.
    pub(crate) networks: Networks,
    /// What its `limits` come to here.
    pub(crate) limits: Limits,
    live: Arc<Live>,
    shared: Arc<Shared>,
    policy: Option<HeaderValue>,
}

/// What of a key changes with every request.
#[derive(Debug)]
struct Live {
    id: KeyId,
    owner: KeyOwner,
    created: Timestamp,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    purse: Purse,
    used: Option<Timestamp>,
    from: Option<IpAddr>,
    /// The use that was written down last.
    kept: Option<Timestamp>,
}

impl Live {
    fn new(key: &Key, limits: Limits) -> Self {
        let inside = Inside { purse: Purse::new(limits), used: None, from: None, kept: None };
        Self { id: key.id, owner: key.owner, created: key.created, inside: Mutex::new(inside) }
    }

    /// Whole after every step, so a panic elsewhere does not spoil it. Never held across a wait.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What holds for a key: what the configuration says, but where the key has something of its own.
pub(crate) fn limits_of(own: Option<KeyLimits>, configured: Limits) -> Limits {
    let own = own.unwrap_or_default();
    Limits {
        api_per_second: own.api_per_second.unwrap_or(configured.api_per_second),
        api_burst: own.api_burst.unwrap_or(configured.api_burst).max(1),
        send_per_second: own.send_per_second.unwrap_or(configured.send_per_second),
        send_burst: own.send_burst.unwrap_or(configured.send_burst).max(1),
    }
}

/// `"api";q=2000;w=2, "send";q=10000;w=5`: so many within so many seconds, which is how long an empty bucket takes to be
/// full.
fn policy(limits: Limits) -> Option<HeaderValue> {
    let one = |word: &str, rate: u32, burst: u32| {
        (rate > 0).then(|| format!("\"{word}\";q={burst};w={}", burst.div_ceil(rate).max(1)))
    };
    let both = [
        one("api", limits.api_per_second, limits.api_burst),
        one("send", limits.send_per_second, limits.send_burst),
    ];
    let text = both.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if text.is_empty() { None } else { HeaderValue::from_str(&text).ok() }
}

impl Pass {
    /// Notes a use and takes a request.
    ///
    /// # Errors
    /// How long to wait for room, ms.
    pub(super) fn enter(&self, now: Timestamp, from: Option<IpAddr>) -> Result<(), u64> {
        let mut inside = self.live.inside();
        (inside.used, inside.from) = (Some(now), from);
        match self.take(&mut inside, Rate::Api, (now, 1)) {
            (1, _) => Ok(()),
            (_, wait_ms) => Err(wait_ms),
        }
    }

    /// From the key's purse and then from its owner's; what the owner has not goes back to the key.
    fn take(&self, inside: &mut Inside, rate: Rate, (now, want): (Timestamp, u32)) -> (u32, u64) {
        let (of_key, wait_ms) = inside.purse.take(rate, now, want);
        let (granted, longer_ms) = self.shared.take(rate, now, of_key);
        inside.purse.give_back(rate, of_key - granted);
        (granted, wait_ms.max(longer_ms))
    }

    /// Takes one message, or says how long to wait, ms.
    pub(crate) fn take_send(&self, now: Timestamp) -> Option<u64> {
        let (granted, wait_ms) = self.take_sends(now, 1);
        (granted == 0).then_some(wait_ms)
    }

    /// Takes up to so many messages; how many may go, and otherwise how long to wait for the next, ms.
    pub(crate) fn take_sends(&self, now: Timestamp, want: u32) -> (u32, u64) {
        self.take(&mut self.live.inside(), Rate::Send, (now, want))
    }

    /// Gives back what was taken for messages that were not accepted.
    pub(crate) fn return_sends(&self, count: u32) {
        self.live.inside().purse.give_back(Rate::Send, count);
        self.shared.give_back(Rate::Send, count);
    }

    /// Says what is left, in the names of the draft and in the older ones; these tell of the bucket with the least left.
    pub(super) fn tell(&self, now: Timestamp, headers: &mut HeaderMap) {
        let Some(policy) = &self.policy else { return };
        let (mut text, mut least) = (String::with_capacity(48), None::<(u32, u32, u64)>);
        {
            let mut inside = self.live.inside();
            let limits = inside.purse.limits;
            for (rate, burst) in [(Rate::Api, limits.api_burst), (Rate::Send, limits.send_burst)] {
                let Some(own) = inside.purse.left(rate, now) else { continue };
                let all = self.shared.left(rate, now).unwrap_or(own);
                let (left, reset) = (own.0.min(all.0), own.1.max(all.1));
                let comma = if text.is_empty() { "" } else { ", " };
                // Writing into a string cannot fail.
                let _ = write!(text, "{comma}\"{}\";r={left};t={reset}", rate.word());
                if least.is_none_or(|(_, fewest, _)| left < fewest) {
                    least = Some((burst, left, reset));
                }
            }
        }
        headers.insert(POLICY, policy.clone());
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(RATE, value);
        }
        if let Some((burst, left, reset)) = least {
            headers.insert(LIMIT, burst.into());
            headers.insert(REMAINING, left.into());
            headers.insert(RESET, reset.into());
        }
    }
}

/// All the keys this node has met.
pub(crate) struct Ring {
    passes: Cache<[u8; 32], Arc<Pass>>,
    lives: Mutex<HashMap<KeyId, Arc<Live>>>,
    owners: Mutex<HashMap<KeyOwner, Arc<Shared>>>,
    limits: Limits,
}

impl Ring {
    pub(crate) fn new(keep: Duration, limits: Limits) -> Self {
        let (lives, owners) = (Mutex::default(), Mutex::default());
        Self { passes: Cache::new(keep, KEYS_MAX), lives, owners, limits }
    }

    /// The key of this secret, revoked or not.
    pub(super) async fn pass(
        &self,
        nouns: &Nouns,
        given: &str,
        now: Timestamp,
    ) -> Result<Option<Arc<Pass>>, StoreError> {
        let digest = secret::digest(given.as_bytes());
        if let Some(pass) = self.passes.get(&digest) {
            return Ok(Some(pass));
        }
        let Some(found) = nouns.find::<Key>(Key::HASH, &secret::hex(&digest)).await? else { return Ok(None) };
        let pass = Arc::new(self.made(found.noun, now)?);
        self.passes.put(digest, Arc::clone(&pass));
        Ok(Some(pass))
    }

    fn made(&self, key: Key, now: Timestamp) -> Result<Pass, StoreError> {
        // Checked when it was written; whoever cannot read it must not let everybody in.
        let networks = key.networks.join(",").parse().map_err(|_| {
            tracing::error!(key = %key.id, "the networks of a key cannot be read");
            StoreError::Unavailable
        })?;
        let limits = limits_of(key.limits, self.limits);
        let (live, shared) = (self.live(&key, limits, now), self.shared(key.owner, limits));
        live.inside().purse.set(now, limits);
        let good = key.revoked.is_none() && key.expires.is_none_or(|expires| expires > now);
        shared.meet(key.id, good.then_some(limits), now);
        Ok(Pass { policy: policy(limits), networks, limits, live, shared, key })
    }

    fn shared(&self, owner: KeyOwner, limits: Limits) -> Arc<Shared> {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= KEYS_MAX {
            // No key that was met of late draws on it.
            owners.retain(|_, shared| Arc::strong_count(shared) > 1);
        }
        if owners.len() >= KEYS_MAX {
            owners.clear();
        }
        Arc::clone(owners.entry(owner).or_insert_with(|| Arc::new(Shared::new(limits))))
    }

    fn live(&self, key: &Key, limits: Limits, now: Timestamp) -> Arc<Live> {
        let mut lives = self.lives();
        if let Some(live) = lives.get(&key.id) {
            return Arc::clone(live);
        }
        if lives.len() >= KEYS_MAX {
            let idle = |used: Option<Timestamp>| used.is_none_or(|at| now.since_ms(at) > IDLE_MS);
            lives.retain(|_, live| !idle(live.inside().used));
        }
        // All of them are at work: begin again rather than grow. Their buckets are full once more, and what was used in the
        // last minute is not written down.
        if lives.len() >= KEYS_MAX {
            lives.clear();
        }
        let live = Arc::new(Live::new(key, limits));
        lives.insert(key.id, Arc::clone(&live));
        live
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<KeyId, Arc<Live>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key changed: its record is read again at its next use.
    pub(crate) fn forget(&self, id: KeyId) {
        self.passes.forget_where(|pass| pass.key.id == id);
    }

    /// When and from where a key was last used on this node since it began.
    pub(crate) fn used(&self, id: KeyId) -> Option<(Timestamp, Option<String>)> {
        let live = self.lives().get(&id).map(Arc::clone)?;
        let inside = live.inside();
        inside.used.map(|at| (at, inside.from.map(coarse)))
    }

    /// Writes down when keys were used that were used since the last time.
    pub(crate) async fn keep_uses(&self, nouns: &Nouns) {
        let lives: Vec<_> = self.lives().values().map(Arc::clone).collect();
        for live in lives {
            let note = {
                let inside = live.inside();
                inside.used.filter(|_| inside.used != inside.kept).map(|at| KeyUse {
                    id: live.id,
                    owner: live.owner,
                    created: live.created,
                    at,
                    from: inside.from.map(coarse),
                })
            };
            let Some(note) = note else { continue };
            match keep(nouns, &note).await {
                Ok(()) => live.inside().kept = Some(note.at),
                // It is tried again with the next round.
                Err(error) => tracing::debug!(%error, "the last use of a key could not be written down"),
            }
        }
    }
}

/// A later one stays; another node may have written it.
async fn keep(nouns: &Nouns, note: &KeyUse) -> Result<(), StoreError> {
    match nouns.get::<KeyUse>(note.owner.place(), note.id.0).await? {
        None => nouns.create(note).await,
        Some(stored) if stored.noun.at >= note.at => Ok(()),
        Some(stored) => nouns.update(note, stored.version).await.map(|_| ()),
    }
}
