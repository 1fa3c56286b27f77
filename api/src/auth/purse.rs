//! What may be asked at a rate: two buckets, one for requests and one for messages. Each key has a purse, and each owner
//! has one that all of its keys draw on, or as many keys would be as many rates. Not whose they are.

use crate::config::Limits;
use kabar_engine::hash::HashMap;
use kabar_engine::id::KeyId;
use kabar_engine::pacing::Bucket;
use kabar_engine::time::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A key that was not met for so long counts no more for what its owner may (ms); longer than a key is remembered.
const ABSENT_MS: i64 = 600_000;

/// What is taken from a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Every request.
    Api,
    /// Messages accepted.
    Send,
}

impl Rate {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Send => "send",
        }
    }
}

/// Both buckets. A rate of 0 is no limit.
#[derive(Debug)]
pub(super) struct Purse {
    pub(super) limits: Limits,
    api: Bucket,
    send: Bucket,
}

impl Purse {
    /// Full ones.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            api: Bucket::new(limits.api_per_second, limits.api_burst),
            send: Bucket::new(limits.send_per_second, limits.send_burst),
            limits,
        }
    }

    /// Other rates from now on.
    pub(super) fn set(&mut self, now: Timestamp, limits: Limits) {
        if self.limits != limits {
            self.api.set_rate(now, limits.api_per_second, limits.api_burst);
            self.send.set_rate(now, limits.send_per_second, limits.send_burst);
            self.limits = limits;
        }
    }

    /// The bucket, when there is a limit.
    pub(super) fn bucket(&mut self, rate: Rate) -> Option<&mut Bucket> {
        match rate {
            Rate::Api => (self.limits.api_per_second > 0).then_some(&mut self.api),
            Rate::Send => (self.limits.send_per_second > 0).then_some(&mut self.send),
        }
    }

    /// Takes up to so many; how many there were, and how long to wait for the next, ms.
    pub(super) fn take(&mut self, rate: Rate, now: Timestamp, want: u32) -> (u32, u64) {
        let Some(bucket) = self.bucket(rate) else { return (want, 0) };
        let granted = bucket.take(now, want);
        (granted, u64::try_from(bucket.ready_at(now).since_ms(now)).unwrap_or(0))
    }

    /// Gives back what was taken and not used.
    pub(super) fn give_back(&mut self, rate: Rate, count: u32) {
        if let Some(bucket) = self.bucket(rate) {
            bucket.give_back(count);
        }
    }

    /// How many are left, and after how many whole seconds it is full.
    pub(super) fn left(&mut self, rate: Rate, now: Timestamp) -> Option<(u32, u64)> {
        let bucket = self.bucket(rate)?;
        Some((bucket.left(now), bucket.full_in_ms(now).div_ceil(1_000)))
    }
}

/// What all the keys of one owner may ask together: as much as the one of them that may ask most.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Owned>);

#[derive(Debug)]
struct Owned {
    purse: Purse,
    /// What its keys may, and when they were last met.
    keys: HashMap<KeyId, (Limits, Timestamp)>,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Mutex::new(Owned { purse: Purse::new(limits), keys: HashMap::default() }))
    }

    /// A key was met that may this much; nothing: it is good no more.
    pub(super) fn meet(&self, id: KeyId, limits: Option<Limits>, now: Timestamp) {
        let mut owned = self.owned();
        match limits {
            Some(limits) => owned.keys.insert(id, (limits, now)),
            None => owned.keys.remove(&id),
        };
        owned.keys.retain(|_, (_, at)| now.since_ms(*at) <= ABSENT_MS);
        if let Some(most) = owned.keys.values().map(|(limits, _)| *limits).reduce(most) {
            owned.purse.set(now, most);
        }
    }

    /// Of what a key granted, as many as its owner may; how long to wait for the next, ms.
    pub(super) fn take(&self, rate: Rate, now: Timestamp, granted: u32) -> (u32, u64) {
        self.owned().purse.take(rate, now, granted)
    }

    pub(super) fn give_back(&self, rate: Rate, count: u32) {
        self.owned().purse.give_back(rate, count);
    }

    pub(super) fn left(&self, rate: Rate, now: Timestamp) -> Option<(u32, u64)> {
        self.owned().purse.left(rate, now)
    }

    /// Whole after every step, so a panic elsewhere does not spoil it. Never held across a wait.
    fn owned(&self) -> MutexGuard<'_, Owned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The larger of both, rate by rate.
fn most(one: Limits, other: Limits) -> Limits {
    let rate = |one: u32, other: u32| if one == 0 || other == 0 { 0 } else { one.max(other) };
    Limits {
        api_per_second: rate(one.api_per_second, other.api_per_second),
        api_burst: one.api_burst.max(other.api_burst),
        send_per_second: rate(one.send_per_second, other.send_per_second),
        send_burst: one.send_burst.max(other.send_burst),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rate: u32) -> Limits {
        Limits { api_per_second: rate, api_burst: 10, send_per_second: rate, send_burst: 10 }
    }

    #[test]
    fn keys_of_one_owner_may_together_what_the_one_of_them_may_that_may_most() {
        let now = Timestamp(1_000);
        let shared = Shared::new(of(1));
        for key in 0..5 {
            shared.meet(KeyId(key), Some(of(1)), now);
        }
        assert_eq!(shared.take(Rate::Api, now, 100).0, 10);
        let (none, wait_ms) = shared.take(Rate::Api, now, 1);
        assert!(none == 0 && wait_ms == 1_000, "{wait_ms}");
        // One that may more makes it more, for as long as it is good.
        shared.meet(KeyId(9), Some(of(1_000)), now);
        assert_eq!(shared.take(Rate::Api, now.plus_ms(5), 100).0, 5);
        shared.meet(KeyId(9), None, now.plus_ms(5));
        assert_eq!(shared.take(Rate::Api, now.plus_ms(505), 100).0, 0);
        shared.meet(KeyId(9), Some(of(0)), now.plus_ms(505));
        assert_eq!(shared.take(Rate::Api, now.plus_ms(505), 100), (100, 0));
        // Nobody met it for long: it counts no more.
        shared.meet(KeyId(0), Some(of(1)), now.plus_ms(ABSENT_MS + 506));
        assert_eq!(shared.take(Rate::Api, now.plus_ms(ABSENT_MS + 506), 100).0, 10);
    }
}
