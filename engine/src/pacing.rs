//! How fast messages leave: the token bucket of a number, the limit between a number and one person, lanes, the
//! size of a claim, and how long to wait after a throttling answer.
//!
//! Not a queue and not a timer: told the time, it answers how many now and when the next.

mod bucket;
mod hold;
mod pair;
mod room;

pub use bucket::Bucket;
pub use hold::{Held, Hold, Holding};
pub use pair::PairLimit;
pub use room::{Kinds, Room};

use serde::{Deserialize, Serialize};

/// The order in which waiting messages of a session leave; the smaller first. The byte is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Lane {
    /// An answer to a person who waits.
    Reply = 0,
    /// A single message that somebody asked for: a code, a receipt.
    Transactional = 1,
    /// One of many.
    Broadcast = 2,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Reply, Self::Transactional, Self::Broadcast];

    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| *lane as u8 == byte)
    }
}

/// How many messages one claim may cover: what goes on the wire within 100 ms, at least 1, at most 256. A crash
/// makes no more than these ambiguous.
#[must_use]
pub fn claim_size(rate_per_second: u32) -> u32 {
    (rate_per_second / 10).clamp(1, 256)
}

/// Which limit a throttling answer speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Throttle {
    /// Too many messages to one person (131056): only that person waits.
    Pair,
    /// Too many messages of the number (130429): its bucket slows down.
    Throughput,
    /// The provider failed for a passing reason (2, 131000, 131016, 133004, 5xx with a Graph body).
    Transient,
    /// Nobody accepts connections at the provider's address: nothing was sent, and nothing else could be.
    Unreachable,
    /// The number is being upgraded (131057, 2494100).
    Maintenance,
    /// Too many requests of the account (4, 80007).
    RequestLimit,
    /// The account or the number is held (368, 131031, 131042, 131048 …): nothing more would be taken.
    Account,
    /// The template is held (132015, 134101 …): nothing more of it would be taken.
    Template,
    /// The person has had enough marketing of everybody (131049).
    Person,
}

impl Throttle {
    /// Every throttle.
    pub const ALL: [Self; 9] = [
        Self::Pair,
        Self::Throughput,
        Self::Transient,
        Self::Unreachable,
        Self::Maintenance,
        Self::RequestLimit,
        Self::Account,
        Self::Template,
        Self::Person,
    ];

    /// What is slowed down or held, in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Throughput => "throughput",
            Self::Transient => "transient",
            Self::Unreachable => "unreachable",
            Self::Maintenance => "maintenance",
            Self::RequestLimit => "request_limit",
            Self::Account => "account",
            Self::Template => "template",
            Self::Person => "person",
        }
    }
}

/// A waiting rule, in milliseconds.
struct Rule {
    first: u64,
    /// Factor as numerator over 2.
    halves: u64,
    cap: u64,
    /// How often it may be tried again; `None` as long as the message is valid.
    tries: Option<u32>,
}

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

impl Throttle {
    fn rule(self) -> Rule {
        match self {
            Self::Pair => Rule { first: SECOND, halves: 8, cap: 256 * SECOND, tries: None },
            Self::Throughput => Rule { first: SECOND, halves: 4, cap: MINUTE, tries: None },
            Self::Transient => Rule { first: SECOND, halves: 4, cap: MINUTE, tries: Some(8) },
            // 0.25, 0.38, 0.56 … 15 s: each wait is at most half as long as the outage has lasted already, so that what
            // waited leaves soon after it. Nothing is given up: no try has cost anybody anything.
            Self::Unreachable => Rule { first: SECOND / 4, halves: 3, cap: 15 * SECOND, tries: None },
            // 10, 15, 22.5 … 60 s: the seventeenth wait ends after 15 minutes.
            Self::Maintenance => Rule { first: 10 * SECOND, halves: 3, cap: MINUTE, tries: Some(17) },
            Self::RequestLimit => Rule { first: MINUTE, halves: 4, cap: 60 * MINUTE, tries: None },
            Self::Account => Rule { first: 5 * MINUTE, halves: 4, cap: 60 * MINUTE, tries: None },
            Self::Template => Rule { first: 10 * MINUTE, halves: 4, cap: 60 * MINUTE, tries: None },
            // A repeat before a day has passed makes it worse.
            Self::Person => Rule { first: DAY, halves: 4, cap: 7 * DAY, tries: Some(3) },
        }
    }
}

/// Milliseconds to wait before the next try; `attempt` counts the tries that failed, less one (0 after the
/// first). `random` is any number. `None`: give up.
///
/// The wait grows by a factor up to a cap. [`Throttle::Pair`] keeps it within ±10 %, as Meta asks for 4^X
/// seconds; what waits for a person, for somebody's remedy or for an address waits at least that long and up to a
/// twelfth longer; the
/// others draw it from the whole range up to it ("full jitter"), so that many do not come back at the same moment.
#[must_use]
pub fn backoff(throttle: Throttle, attempt: u32, random: u64) -> Option<u64> {
    let rule = throttle.rule();
    if rule.tries.is_some_and(|tries| attempt >= tries) {
        return None;
    }
    let mut wait = rule.first;
    for _ in 0..attempt {
        if wait >= rule.cap {
            break;
        }
        wait = wait * rule.halves / 2;
    }
    let wait = wait.min(rule.cap);
    Some(match throttle {
        Throttle::Pair => wait - wait / 10 + random % (wait / 5 + 1),
        Throttle::Account | Throttle::Template | Throttle::Person | Throttle::Unreachable => {
            wait + random % (wait / 12)
        }
        _ => 1 + random % wait,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The longest wait of each attempt, jitter at its end: exact, because jitter is a remainder of `random`.
    fn longest(throttle: Throttle, attempts: u32) -> Vec<u64> {
        let most = |attempt| (0..600_000).filter_map(|random| backoff(throttle, attempt, random)).max();
        (0..attempts).map(|attempt| most(attempt).unwrap()).collect()
    }

    #[test]
    fn waits_grow_to_their_cap_and_end_when_they_should() {
        assert_eq!(longest(Throttle::Pair, 6), [1, 4, 16, 64, 256, 256].map(|s| s * 1_100));
        assert_eq!(longest(Throttle::Throughput, 7), [1, 2, 4, 8, 16, 32, 60].map(|s| s * 1_000));
        assert_eq!(longest(Throttle::Maintenance, 3), [10_000, 15_000, 22_500]);
        assert!(backoff(Throttle::Transient, 7, 5).is_some());
        assert_eq!(backoff(Throttle::Transient, 8, 5), None);
        assert_eq!(backoff(Throttle::Maintenance, 17, 5), None);
        assert!(backoff(Throttle::RequestLimit, u32::MAX, 5).is_some());
    }

    #[test]
    fn what_somebody_has_to_mend_is_not_asked_again_before_its_time() {
        let hours = |h: u64| h * 60 * MINUTE;
        let range = |throttle, attempt| {
            let waits =
                [0, 7, hours(2) - 1, u64::MAX].map(|random| backoff(throttle, attempt, random).unwrap());
            (waits.iter().min().copied().unwrap(), waits.iter().max().copied().unwrap() < waits[0] * 13 / 12)
        };
        for (attempt, wait) in [hours(24), hours(48), hours(96)].into_iter().enumerate() {
            assert_eq!(range(Throttle::Person, u32::try_from(attempt).unwrap()), (wait, true));
        }
        assert_eq!(backoff(Throttle::Person, 3, 5), None);
        assert_eq!(range(Throttle::Account, 0).0, 5 * MINUTE);
        assert_eq!(range(Throttle::Account, 9).0, hours(1));
        assert_eq!(range(Throttle::Template, 0).0, 10 * MINUTE);
    }

    #[test]
    fn an_outage_is_asked_after_again_before_it_has_lasted_half_as_long_again_and_never_given_up() {
        let mut lasted = 0;
        for attempt in 0..9 {
            let wait = backoff(Throttle::Unreachable, attempt, u64::MAX).unwrap();
            assert!(wait <= 280 + lasted * 6 / 10, "{wait} ms after {lasted}");
            lasted += wait;
        }
        assert!(lasted > 15_000, "it is asked less and less often: {lasted}");
        assert_eq!(backoff(Throttle::Unreachable, 10_000, 0), Some(15_000));
    }

    proptest! {
        #[test]
        fn no_wait_is_zero_or_beyond_its_cap(which in 0..Throttle::ALL.len(), attempt: u32, random: u64) {
            let throttle = Throttle::ALL[which];
            if let Some(wait) = backoff(throttle, attempt, random) {
                prop_assert!(wait > 0 && wait <= throttle.rule().cap * 11 / 10);
            }
        }
    }

    #[test]
    fn a_claim_is_a_tenth_of_a_second() {
        assert_eq!([0, 1, 9, 10, 80, 1_000, 2_560, u32::MAX].map(claim_size), [1, 1, 1, 1, 8, 100, 256, 256]);
    }

    #[test]
    fn lanes_keep_their_bytes_words_and_order() {
        assert_eq!(Lane::ALL.map(|lane| lane as u8), [0, 1, 2]);
        assert_eq!(Lane::from_byte(2), Some(Lane::Broadcast));
        assert_eq!(Lane::from_byte(3), None);
        assert_eq!(serde_json::to_string(&Lane::Transactional).unwrap(), "\"transactional\"");
        assert!(Lane::Reply < Lane::Broadcast);
    }
}
