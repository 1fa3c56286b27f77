//! What keeps messages from the wire, and since when. Not how long it will: that is the bucket's and the provider's word.

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
    /// The provider restricts the account.
    Restricted = 7,
    /// The provider holds the template.
    Template = 8,
}

impl Hold {
    /// Every hold.
    pub const ALL: [Self; 8] = [
        Self::Pace,
        Self::Throttled,
        Self::LinkLost,
        Self::Room,
        Self::Lane,
        Self::Turn,
        Self::Restricted,
        Self::Template,
    ];

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

impl Held {
    /// Itself, if it is long enough by now to be told.
    #[must_use]
    pub fn told(self, now: Timestamp) -> Option<Self> {
        (now.since_ms(self.since) >= TOLD_MS).then_some(self)
    }
}

/// Shorter holds are not worth telling.
const TOLD_MS: i64 = 20;

/// What holds somebody up, looked at again and again until something goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holding {
    now: Option<Held>,
    /// The longest of those before it, and how long it was.
    longest: Option<(Held, i64)>,
}

impl Holding {
    /// It is held up by this now.
    pub fn by(&mut self, by: Hold, now: Timestamp) {
        if self.now.is_some_and(|held| held.by == by) {
            return;
        }
        self.end(now);
        self.now = Some(Held { by, since: now });
    }

    /// It goes: what had held it up longest, if that was long.
    pub fn over(&mut self, now: Timestamp) -> Option<Held> {
        self.end(now);
        let longest = std::mem::take(self).longest;
        longest.filter(|(_, ms)| *ms >= TOLD_MS).map(|(held, _)| held)
    }

    fn end(&mut self, now: Timestamp) {
        let Some(held) = self.now.take() else { return };
        let ms = now.since_ms(held.since);
        if self.longest.is_none_or(|(_, before)| ms >= before) {
            self.longest = Some((held, ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp(1_790_000_000_000);

    #[test]
    fn the_longest_hold_is_told_once_and_short_ones_are_not() {
        let mut holding = Holding::default();
        assert_eq!(holding.over(T), None);
        holding.by(Hold::Pace, T);
        assert_eq!(holding.over(T.plus_ms(19)), None);
        holding.by(Hold::Throttled, T);
        holding.by(Hold::Throttled, T.plus_ms(29_000));
        holding.by(Hold::Pace, T.plus_ms(30_000));
        let told = Held { by: Hold::Throttled, since: T };
        assert_eq!(holding.over(T.plus_ms(30_100)), Some(told));
        assert_eq!(holding.over(T.plus_ms(60_000)), None, "told once");
    }

    #[test]
    fn holds_keep_their_bytes() {
        assert_eq!(Hold::ALL.map(|hold| hold as u8), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(Hold::ALL.iter().all(|hold| Hold::from_byte(*hold as u8) == Some(*hold)));
        assert_eq!(Hold::from_byte(9), None);
    }
}
