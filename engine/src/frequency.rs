//! How much marketing one person gets from a tenant, over all its campaigns and numbers. Not where the counting is done.

use crate::time::{DAY_MS, Timestamp};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// What a campaign is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// It counts towards the cap and is held to it.
    #[default]
    Marketing,
    /// What people have asked for: bills, reminders, changes. It neither counts nor is held back.
    Utility,
}

/// At most so many messages in so many days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrequencyCap {
    /// Marketing messages to one person: 1 to 100.
    pub messages: u16,
    /// Within so many days, counted to the millisecond: 1 to 30.
    pub days: u8,
}

impl FrequencyCap {
    /// Messages a cap can have.
    pub const MESSAGES: RangeInclusive<u16> = 1..=100;
    /// Days a cap can have.
    pub const DAYS: RangeInclusive<u8> = 1..=30;

    /// What was sent at or before this moment counts no more.
    #[must_use]
    pub fn since(self, now: Timestamp) -> Timestamp {
        now.plus_ms(-i64::from(self.days) * DAY_MS)
    }

    /// Whether somebody who got so many since then has had enough.
    #[must_use]
    pub fn is_reached(self, count: usize) -> bool {
        count >= usize::from(self.messages)
    }
}
