//! What keeps messages from the wire whose turn it is. Not how long: that is the bucket's and the provider's word.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What keeps messages whose turn it is from the wire. The byte is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Hold {
    /// The number's rate.
    Pace = 1,
    /// The provider asked the number to slow down.
    Throttled = 2,
    /// The number's link is lost.
    LinkLost = 3,
    /// As many calls as may be are in flight.
    Room = 4,
    /// Messages of a more urgent lane go first.
    Lane = 5,
    /// It is another campaign's, or another tenant's, turn.
    Turn = 6,
}

impl Hold {
    /// Every hold.
    pub const ALL: [Self; 6] =
        [Self::Pace, Self::Throttled, Self::LinkLost, Self::Room, Self::Lane, Self::Turn];

    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|hold| *hold as u8 == byte)
    }
}

/// What held messages up, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// By what.
    pub by: Hold,
    /// Since when; until the entry that says so.
    pub since: Timestamp,
}
