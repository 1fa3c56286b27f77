//! What is known at Meta of a session's number: its name, quality, limits, the account it is of, and whether its token was
//! seen to work. Written by whoever asked Meta; the [`Session`](super::Session) itself is the tenant's.

use super::Noun;
use kabar_engine::health::{Health, Told};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::{SECOND_MS, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The last look that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLook {
    /// When.
    pub at: Timestamp,
    /// A word for why, e.g. `token_refused`.
    pub why: String,
    /// Meta's own words.
    pub detail: String,
    /// Names the call to Meta's support.
    #[serde(default)]
    pub trace: Option<String>,
}

/// What is known of a number. Sealed: it holds the number.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// The session whose number it is; also this record's id.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// Meta's id of the `WhatsApp` Business Account it is of.
    #[serde(default)]
    pub waba_id: Option<String>,
    /// Whether the tenant said so: what Meta tells does not replace it then.
    #[serde(default)]
    pub waba_given: bool,
    /// Meta's id of the app the token was made for.
    #[serde(default)]
    pub app_id: Option<String>,
    /// When the token ends; `None`: never, or it was not told.
    #[serde(default)]
    pub token_expires: Option<Timestamp>,
    /// When the token was last seen to work for this number.
    #[serde(default)]
    pub validated: Option<Timestamp>,
    /// The last look after that, when it failed.
    #[serde(default)]
    pub failed: Option<FailedLook>,
    /// The name people see.
    #[serde(default)]
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `NA`.
    #[serde(default)]
    pub quality: Option<String>,
    /// `STANDARD`, `HIGH` …
    #[serde(default)]
    pub throughput: Option<String>,
    /// `TIER_250` … `TIER_UNLIMITED`.
    #[serde(default)]
    pub tier: Option<String>,
    /// `CONNECTED`, `FLAGGED`, `RESTRICTED` …
    #[serde(default)]
    pub status: Option<String>,
    /// Everything Meta said, in its words.
    #[serde(default)]
    pub said: Map<String, Value>,
    /// The body the session was created with, as a hash.
    #[serde(default)]
    pub body_hash: String,
    /// When the session was created.
    pub created: Timestamp,
}

/// A word about a number, and since when it is known to be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf {
    /// Meta's word.
    pub value: String,
    /// When Meta said it, or was looked at.
    pub at: Timestamp,
}

/// What is newest of what a look at Meta and a webhook said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Newest {
    /// `GREEN`, `YELLOW`, `RED` or `NA`.
    pub quality: Option<AsOf>,
    /// `STANDARD`, `HIGH` …
    pub throughput: Option<AsOf>,
    /// `TIER_250` … `TIER_UNLIMITED`, or a number.
    pub tier: Option<AsOf>,
}

impl Number {
    /// The last look beside what webhooks said: of each word the newer. Whoever shows or uses one of them asks here.
    #[must_use]
    pub fn newest(&self, health: &Health) -> Newest {
        let newer = |seen: &Option<String>, told: &Option<Told<String>>| {
            let seen = seen.clone().zip(self.validated).map(|(value, at)| AsOf { value, at });
            let told = told.clone().map(|told| AsOf { value: told.value, at: told.at });
            // Of two of one second the webhook, which told of a change: Meta counts in whole seconds, and begins them.
            [seen, told].into_iter().flatten().max_by_key(|word| word.at.0.div_euclid(SECOND_MS))
        };
        Newest {
            quality: newer(&self.quality, &health.quality),
            throughput: newer(&self.throughput, &health.throughput),
            tier: newer(&self.tier, &health.messaging_limit),
        }
    }

    /// The index by the account.
    pub const WABA_ID: &'static str = "waba_id";

    /// Of which nothing is known yet.
    #[must_use]
    pub fn unknown(tenant: TenantId, session: SessionId, created: Timestamp) -> Self {
        Self {
            session,
            tenant,
            waba_id: None,
            waba_given: false,
            app_id: None,
            token_expires: None,
            validated: None,
            failed: None,
            verified_name: None,
            quality: None,
            throughput: None,
            tier: None,
            status: None,
            said: Map::new(),
            body_hash: String::new(),
            created,
        }
    }
}

impl std::fmt::Debug for Number {
    /// Without what Meta said, which holds the number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Number")
            .field("session", &self.session)
            .field("tenant", &self.tenant)
            .field("waba_id", &self.waba_id)
            .field("validated", &self.validated)
            .finish_non_exhaustive()
    }
}

impl Noun for Number {
    const KIND: &'static str = "number";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.session.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        self.waba_id.iter().map(|waba| (Self::WABA_ID, waba.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::cause::Cause;
    use kabar_engine::health::Evidence;

    #[test]
    fn of_a_look_and_a_webhook_the_newer_one_counts_word_by_word() {
        let at = |s: i64| Timestamp((1_000 + s) * SECOND_MS);
        let told = |value: &str, ms| {
            Some(Told { value: value.to_owned(), at: at(ms), by: Evidence::Code(Cause(1)) })
        };
        let looked = |ms| Number {
            validated: Some(at(ms)),
            quality: Some("GREEN".into()),
            tier: Some("TIER_2K".into()),
            ..Number::unknown(TenantId(1), SessionId(2), at(0))
        };
        let health = Health { quality: told("RED", 5), throughput: told("HIGH", 5), ..Health::default() };
        let newest = |number: Number| {
            let Newest { quality, throughput, tier } = number.newest(&health);
            [quality, throughput, tier].map(|word| word.map(|word| (word.value, word.at)))
        };
        let word = |value: &str, ms| Some((value.to_owned(), at(ms)));
        assert_eq!(newest(looked(4)), [word("RED", 5), word("HIGH", 5), word("TIER_2K", 4)]);
        assert_eq!(newest(looked(5)), [word("RED", 5), word("HIGH", 5), word("TIER_2K", 5)]);
        assert_eq!(newest(looked(6)), [word("GREEN", 6), word("HIGH", 5), word("TIER_2K", 6)]);
        let standard = Number { throughput: Some("STANDARD".into()), ..looked(6) };
        assert_eq!(newest(standard)[1], word("STANDARD", 6));
        let within = Number { validated: Some(at(5).plus_ms(101)), ..looked(5) };
        assert_eq!(newest(within)[0], word("RED", 5), "what happened in the second of the look");
        let never = Number { validated: None, ..looked(0) };
        assert_eq!(newest(never), [word("RED", 5), word("HIGH", 5), None], "what nobody saw is of no time");
    }
}
