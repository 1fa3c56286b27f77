//! Ids: 63-bit numbers inside, prefixed base32 text outside, and the shard a thing lives in. Not a generator
//! with a memory of its own: message ids come from the shard's lock through [`Sequence`], the others from the
//! time and randomness handed in.

use crate::time::{ID_EPOCH_MS, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Crockford's alphabet in lower case: no i, l, o, u, so that an id can be read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 63 bits in groups of five.
const TEXT_LENGTH: usize = 13;
const SEQUENCE_BITS: u32 = 14;
const SHARD_BITS: u32 = 8;
const RANDOM_BITS: u32 = 22;

/// Why a text is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id of the form {prefix}_ followed by 13 letters and digits")]
pub struct IdError {
    /// The prefix that was expected, without the underscore.
    pub prefix: &'static str,
    /// What was given, cut to 64 characters.
    pub text: String,
}

fn encode(prefix: &str, value: u64) -> String {
    let mut text = String::with_capacity(prefix.len() + 1 + TEXT_LENGTH);
    text.push_str(prefix);
    text.push('_');
    for group in (0..TEXT_LENGTH).rev() {
        let index = (value >> (group * 5)) & 31;
        text.push(char::from(ALPHABET[usize::try_from(index).expect("five bits fit")]));
    }
    text
}

fn decode(prefix: &'static str, text: &str) -> Result<u64, IdError> {
    let refuse = || IdError { prefix, text: text.chars().take(64).collect() };
    let digits = text.strip_prefix(prefix).and_then(|t| t.strip_prefix('_')).ok_or_else(refuse)?;
    if digits.len() != TEXT_LENGTH {
        return Err(refuse());
    }
    let mut value: u64 = 0;
    for byte in digits.bytes() {
        let index = ALPHABET.iter().position(|a| *a == byte).ok_or_else(refuse)?;
        value = (value << 5) | index as u64;
        if value >> 63 != 0 {
            return Err(refuse());
        }
    }
    Ok(value)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The text before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Milliseconds since 2024 | 22 random bits: for things created at the edge. A collision shows as
            /// a Conflict on version 0.
            #[must_use]
            pub fn random(at: Timestamp, random: u64) -> Self {
                Self(by_time(at, RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1)))
            }

            /// 63 bits of a hash: for creates that carry an idempotency key, so that a repeat meets itself.
            #[must_use]
            pub fn derived(tenant: TenantId, key: &[u8]) -> Self {
                let mut bytes = Vec::with_capacity(8 + $prefix.len() + key.len());
                bytes.extend_from_slice(&tenant.0.to_be_bytes());
                bytes.extend_from_slice($prefix.as_bytes());
                bytes.extend_from_slice(key);
                Self(xxh3_64(&bytes) >> 1)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&encode($prefix, self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                decode($prefix, text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A customer of the installation; the first part of every key.
    TenantId = "ten";
    /// A linked WhatsApp number.
    SessionId = "ses";
    /// A session × contact.
    ConversationId = "cnv";
    /// One message, in or out: 41 bits ms since 2024 | 8 bits shard | 14 bits sequence.
    MessageId = "msg";
    /// A campaign.
    CampaignId = "cmp";
    /// A person in a tenant's address book.
    ContactId = "con";
    /// Who has tenants of its own.
    ResellerId = "rsl";
    /// An API key.
    KeyId = "key";
    /// One import of a contact file, and the list of contacts it brought.
    ImportId = "imp";
    /// A stored message template.
    TemplateId = "tpl";
    /// A webhook subscription.
    WebhookId = "whk";
    /// A stored picture, film, sound or file.
    MediaId = "med";
    /// A command from one shard to another.
    CommandId = "cmd";
    /// Something that happened: 8 bits shard | 41 bits position in its journal | 14 bits place in the entry.
    EventId = "evt";
}

impl EventId {
    /// The name of an event: where the journal has it.
    #[must_use]
    pub fn of(shard: ShardId, position: u64, index: u32) -> Self {
        let (position, index) = (position & ((1 << 41) - 1), u64::from(index) & ((1 << SEQUENCE_BITS) - 1));
        Self((u64::from(shard.0) << (41 + SEQUENCE_BITS)) | (position << SEQUENCE_BITS) | index)
    }

    /// Where the journal has it: shard, position, place in the entry.
    #[must_use]
    pub fn place(self) -> (ShardId, u64, u32) {
        let shard = u8::try_from((self.0 >> (41 + SEQUENCE_BITS)) & 0xff).expect("eight bits fit");
        let index = u32::try_from(self.0 & ((1 << SEQUENCE_BITS) - 1)).expect("fourteen bits fit");
        (ShardId(shard), (self.0 >> SEQUENCE_BITS) & ((1 << 41) - 1), index)
    }
}

/// The stable hash that keys are spread by: XXH3-64. Its values never change.
#[must_use]
pub fn hash64(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

fn by_time(at: Timestamp, low_bits: u32) -> u64 {
    let ms = u64::try_from(at.0.saturating_sub(ID_EPOCH_MS).max(0)).unwrap_or(0);
    (ms & ((1 << 41) - 1)) << low_bits
}

impl MessageId {
    /// The shard whose owner allocated this id.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId(u8::try_from((self.0 >> SEQUENCE_BITS) & 0xff).expect("eight bits fit"))
    }

    /// When it was allocated, exact to the millisecond unless the clock stepped back.
    #[must_use]
    pub fn at(self) -> Timestamp {
        let ms = i64::try_from(self.0 >> (SEQUENCE_BITS + SHARD_BITS)).unwrap_or(i64::MAX - ID_EPOCH_MS);
        Timestamp(ms + ID_EPOCH_MS)
    }

    /// The id `offset` places later in a run reserved with [`Sequence::run`].
    #[must_use]
    pub fn plus(self, offset: u32) -> Self {
        Self(self.0 + spread(u64::from(offset), self.0))
    }
}

/// Sequence numbers count below the shard bits, so a run that passes the sequence's end goes on in the next
/// millisecond of the same shard.
fn spread(offset: u64, base: u64) -> u64 {
    let low = (base & ((1 << SEQUENCE_BITS) - 1)) + offset;
    let carry = low >> SEQUENCE_BITS;
    (carry << (SEQUENCE_BITS + SHARD_BITS)) + (low & ((1 << SEQUENCE_BITS) - 1))
        - (base & ((1 << SEQUENCE_BITS) - 1))
}

/// One of 256 places that state lives in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub u8);

/// How many shards there are, for ever.
pub const SHARDS: usize = 256;

impl ShardId {
    /// The shard of a session, its conversations and its campaign parts.
    #[must_use]
    pub fn of_session(tenant: TenantId, session: SessionId) -> Self {
        Self::of(tenant, session.0)
    }

    /// The shard of a campaign's phase.
    #[must_use]
    pub fn of_campaign(tenant: TenantId, campaign: CampaignId) -> Self {
        Self::of(tenant, campaign.0)
    }

    /// The shard of a webhook subscription's own events.
    #[must_use]
    pub fn of_webhook(tenant: TenantId, webhook: WebhookId) -> Self {
        Self::of(tenant, webhook.0)
    }

    /// The shard of an opt-out that names no session.
    #[must_use]
    pub fn of_address(tenant: TenantId, address: &crate::address::Address) -> Self {
        Self::of(tenant, xxh3_64(address.key().as_bytes()))
    }

    /// The shard of what a provider tells of an account and of none of its numbers.
    #[must_use]
    pub fn of_account(tenant: TenantId, account: &str) -> Self {
        Self::of(tenant, xxh3_64(account.as_bytes()))
    }

    fn of(tenant: TenantId, id: u64) -> Self {
        let mut bytes = [0_u8; 16];
        bytes[..8].copy_from_slice(&tenant.0.to_be_bytes());
        bytes[8..].copy_from_slice(&id.to_be_bytes());
        Self(u8::try_from(xxh3_64(&bytes) & 0xff).expect("eight bits fit"))
    }

    /// Every shard in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).map(Self)
    }
}

/// The allocator of message and conversation ids of one shard: under the shard's lock, never twice, also when
/// the wall clock steps back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sequence {
    last: u64,
}

impl Sequence {
    /// Goes on after `last`, the highest id this shard has given.
    pub fn seen(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// The highest id given.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The next id.
    pub fn next(&mut self, shard: ShardId, at: Timestamp) -> u64 {
        self.run(shard, at, 1)
    }

    /// The first of `count` consecutive ids ([`MessageId::plus`] gives the others).
    pub fn run(&mut self, shard: ShardId, at: Timestamp, count: u32) -> u64 {
        let fresh = by_time(at, SEQUENCE_BITS + SHARD_BITS) | (u64::from(shard.0) << SEQUENCE_BITS);
        let first = if fresh > self.last { fresh } else { self.last + spread(1, self.last) };
        self.last = first + spread(u64::from(count.max(1)) - 1, first);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_golden() {
        // Changing the hash would move every session of every installation: these values never change.
        let shard = |t, s| ShardId::of_session(TenantId(t), SessionId(s)).0;
        assert_eq!([shard(1, 1), shard(1, 2), shard(2, 1), shard(7, u64::MAX >> 1)], GOLDEN);
    }
    const GOLDEN: [u8; 4] = [124, 173, 181, 31];

    #[test]
    fn text_goes_there_and_back_and_refuses_the_rest() {
        for value in [0, 1, 31, 32, u64::MAX >> 1, 0x1234_5678_9abc_def0] {
            let text = MessageId(value).to_string();
            assert_eq!(text.len(), 17);
            assert_eq!(text.parse(), Ok(MessageId(value)));
        }
        for bad in
            ["", "msg_", "ses_0000000000000", "msg_000000000000", "msg_zzzzzzzzzzzzz", "msg_00000000000il"]
        {
            assert!(bad.parse::<MessageId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_events_id_is_its_place() {
        let id = EventId::of(ShardId(255), (1 << 41) - 1, (1 << 14) - 1);
        assert_eq!((id.0, id.to_string().parse()), (u64::MAX >> 1, Ok(id)));
        assert_eq!(EventId::of(ShardId(7), 300, 2).place(), (ShardId(7), 300, 2));
        let places = [(0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0)];
        let ids = places.map(|(shard, position, index)| EventId::of(ShardId(shard), position, index));
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
    }

    #[test]
    fn a_clock_that_steps_back_repeats_no_id() {
        let mut sequence = Sequence::default();
        let mut seen = std::collections::BTreeSet::new();
        for ms in [50, 50, 49, 10, 51, 51] {
            for _ in 0..20_000 {
                let id = sequence.next(ShardId(9), Timestamp(ID_EPOCH_MS + ms));
                assert!(seen.insert(id), "doubled at {ms}");
                assert_eq!(MessageId(id).shard(), ShardId(9));
            }
        }
        assert_eq!(seen.len(), 120_000);
    }

    #[test]
    fn a_run_stays_in_its_shard_and_meets_no_later_id() {
        let mut sequence = Sequence::default();
        let at = Timestamp(ID_EPOCH_MS + 7);
        let base = MessageId(sequence.run(ShardId(255), at, 40_000));
        let last = base.plus(39_999);
        assert_eq!(last.shard(), ShardId(255));
        assert!(sequence.next(ShardId(255), at) > last.0);
        assert!((0..40_000).map(|i| base.plus(i).0).is_sorted_by(|a, b| a < b));
    }
}
