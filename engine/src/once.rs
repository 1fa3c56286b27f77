//! What makes an action happen once: the hashes of the idempotency key it was asked under and of what was asked, and where
//! the key counts. It stands in the entry the action caused. Not a send's: that one carries its hashes in its intent, and
//! counts in its session.

use crate::address::Address;
use crate::entry::Idempotency;
use crate::id::{CampaignId, SessionId, TenantId};
use xxhash_rust::xxh3::xxh3_64;

/// Mixed into the keys of campaigns: one that has a session's number by chance meets none of its keys.
const OF_CAMPAIGN: u128 = u128::from_be_bytes(*b"key of campaign.");
/// The same for the keys of people.
const OF_PERSON: u128 = u128::from_be_bytes(*b"key of a person.");

/// A used key of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// The number of the session, the campaign or the person the key counts for; 63 bits.
    pub scope: u64,
    /// Hash of the key, told apart by the kind of its scope.
    pub key: u128,
    /// Hash of what was asked.
    pub body: u128,
}

impl Once {
    /// Counts in a session, among the keys of its sends.
    #[must_use]
    pub fn in_session(session: SessionId, asked: Idempotency) -> Self {
        Self { scope: session.0, key: asked.key, body: asked.body }
    }

    /// Counts for a campaign.
    #[must_use]
    pub fn of_campaign(campaign: CampaignId, asked: Idempotency) -> Self {
        Self { scope: campaign.0, key: asked.key ^ OF_CAMPAIGN, body: asked.body }
    }

    /// Counts for a person, where no session is named: the shard of the person sees no other one's keys.
    #[must_use]
    pub fn of_person(tenant: TenantId, address: &Address, asked: Idempotency) -> Self {
        let mut who = tenant.0.to_be_bytes().to_vec();
        who.extend_from_slice(address.key().as_bytes());
        Self { scope: xxh3_64(&who) >> 1, key: asked.key ^ OF_PERSON, body: asked.body }
    }

    /// Under what the key is kept: beside the keys of sends, its scope in the place of their session.
    #[must_use]
    pub fn place(&self) -> (SessionId, u128) {
        (SessionId(self.scope), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_in_its_scope_alone() {
        let asked = Idempotency { key: 5, body: 6 };
        let person = |n: &str| Address::phone_digits(n).expect("digits are an address");
        let places = [
            Once::in_session(SessionId(7), asked),
            Once::in_session(SessionId(8), asked),
            Once::of_campaign(CampaignId(7), asked),
            Once::of_person(TenantId(1), &person("6281234567890"), asked),
            Once::of_person(TenantId(2), &person("6281234567890"), asked),
            Once::of_person(TenantId(1), &person("6281234567891"), asked),
        ]
        .map(|once| once.place());
        for (n, place) in places.iter().enumerate() {
            assert!(!places[n + 1..].contains(place), "{n}");
            assert_eq!(place.0.0 >> 63, 0, "an id has 63 bits");
        }
        assert_eq!(places[0], (SessionId(7), 5), "a session's key is found by its sends too");
    }
}
