//! How much marketing one person gets from a tenant, over all its campaigns and numbers. Not where the counting is done.

use crate::time::{DAY_MS, Timestamp};
use serde::{Deserialize, Serialize};

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
#[serde(deny_unknown_fields)]
pub struct FrequencyCap {
    /// Marketing messages to one person: 1 to 100.
    pub messages: u16,
    /// Within so many days, counted to the millisecond: 1 to 30.
    pub days: u8,
}

impl FrequencyCap {
    /// The most messages that can be allowed.
    pub const MESSAGES_MAX: u16 = 100;
    /// The most days that can be looked back.
    pub const DAYS_MAX: u8 = 30;

    /// Whether both numbers can be.
    #[must_use]
    pub fn is_valid(self) -> bool {
        (1..=Self::MESSAGES_MAX).contains(&self.messages) && (1..=Self::DAYS_MAX).contains(&self.days)
    }

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
