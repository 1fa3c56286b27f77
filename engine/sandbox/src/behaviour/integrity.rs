//! The knobs of what WhatsApp does to protect its users and to be paid: limits over many messages, quality, pacing,
//! prices. Not single messages' luck: those knobs are [`Behaviour`](super::Behaviour)'s own.

use serde::{Deserialize, Serialize};

/// Limits, quality, pacing and prices. Counts are per rolling 24 hours of the sandbox's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Integrity {
    /// Users the whole portfolio may reach outside an open window; 0: without a limit. Numbers show it as their tier.
    pub portfolio_limit: u32,
    /// What becomes of messages beyond it (Meta does not document it).
    pub portfolio_over: OverLimit,
    /// Marketing templates one user gets outside an open window, from all numbers together, else 131049; 0: no cap.
    pub marketing_cap: u32,
    /// Calling codes the cap does not hold for (EEA, United Kingdom, Japan, South Korea).
    pub marketing_cap_exempt: Vec<String>,
    /// Whether marketing templates to the United States (+1) fail with 131049, as since April 2025.
    pub marketing_to_us_paused: bool,
    /// Share of phones that block a number after a marketing template arrived.
    pub block_rate: f64,
    /// Messages delivered within seven days below which no quality is judged.
    pub quality_sample: u32,
    /// Share of blocks among them from which on quality is yellow.
    pub quality_yellow: f64,
    /// And from which on it is red; a red template pauses.
    pub quality_red: f64,
    /// Share of template messages that are held for quality assessment first.
    pub hold_rate: f64,
    /// How long they are held.
    pub hold_ms: u64,
    /// Whether they are dropped with 132015 then, instead of released.
    pub hold_drops: bool,
    /// Whether the account can pay: without it, service messages beyond the free ones fail with 131042.
    pub payment_method: bool,
    /// Service messages a number has free each month since 1 October 2026.
    pub free_service_messages: u32,
    /// Whether `wa_id` differs from what was dialled in Brazil, Mexico and Argentina, as WhatsApp's own form does.
    pub rewrite_wa_ids: bool,
    /// Version of webhooks: below 24 statuses carry `conversation`.
    pub webhook_version: u32,
}

/// What becomes of messages beyond the portfolio's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverLimit {
    /// Accepted, then nothing is heard of them.
    #[default]
    Drop,
    /// Accepted, then failed with 131048.
    SpamRateLimit,
    /// Refused in the answer with 131064.
    MessagingLimit,
}

impl Default for Integrity {
    fn default() -> Self {
        Self {
            portfolio_limit: 0,
            portfolio_over: OverLimit::default(),
            marketing_cap: 0,
            marketing_cap_exempt: EXEMPT.iter().map(|code| (*code).to_owned()).collect(),
            marketing_to_us_paused: false,
            block_rate: 0.0,
            quality_sample: 20,
            quality_yellow: 0.02,
            quality_red: 0.05,
            hold_rate: 0.0,
            hold_ms: 3_600_000,
            hold_drops: false,
            payment_method: true,
            free_service_messages: 1_000,
            rewrite_wa_ids: false,
            webhook_version: 25,
        }
    }
}

const EXEMPT: &[&str] = &[
    "30", "31", "32", "33", "34", "351", "352", "353", "354", "356", "357", "358", "359", "36", "370", "371",
    "372", "385", "386", "39", "40", "420", "421", "423", "43", "44", "45", "46", "47", "48", "49", "81",
    "82",
];

impl Integrity {
    /// The tier a number shows.
    pub(crate) fn tier(&self) -> &'static str {
        match self.portfolio_limit {
            0 => "TIER_UNLIMITED",
            1..=999 => "TIER_250",
            1_000..=9_999 => "TIER_2K",
            10_000..=99_999 => "TIER_10K",
            100_000.. => "TIER_100K",
        }
    }

    pub(super) fn rates(&self) -> [(&'static str, f64); 4] {
        [
            ("integrity.block_rate", self.block_rate),
            ("integrity.quality_yellow", self.quality_yellow),
            ("integrity.quality_red", self.quality_red),
            ("integrity.hold_rate", self.hold_rate),
        ]
    }
}
