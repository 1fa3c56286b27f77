//! Time as the engine is told it: milliseconds since the Unix epoch, UTC, and the coarse steps of marks.
//! Not a clock: nothing here asks what time it is.

use serde::{Deserialize, Serialize};

/// Milliseconds of one second.
pub const SECOND_MS: i64 = 1_000;
/// Milliseconds of one minute.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Milliseconds of one hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds of one day.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Ids count milliseconds from here: 2024-01-01T00:00:00Z.
pub const ID_EPOCH_MS: i64 = 1_704_067_200_000;
/// One step of a campaign mark: 16 seconds.
pub const MARK_STEP_MS: i64 = 16 * SECOND_MS;

/// Milliseconds since 1970-01-01T00:00:00Z. Providers' seconds are converted in the connectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment `ms` milliseconds later (earlier when negative); saturates.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`; negative when `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The minute this moment lies in, counted from the Unix epoch: the key of the outbox.
    #[must_use]
    pub fn minute(self) -> u32 {
        u32::try_from(self.0.max(0) / MINUTE_MS).unwrap_or(u32::MAX)
    }

    /// RFC 3339 in UTC with milliseconds, e.g. `2026-11-24T18:30:00.000Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| "out-of-range".to_owned(), |t| format!("{t:.3}"))
    }

    /// Reads RFC 3339 with any offset; `None` when the text is no moment.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Self(t.as_millisecond()))
    }
}

/// A moment as whole 16-second steps after a campaign's launch, plus one; 0 means "not yet". Saturates after
/// twelve days, which is longer than any status of a campaign is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step(pub u16);

impl Step {
    /// The step of `at` in a campaign launched at `launch`.
    #[must_use]
    pub fn of(launch: Timestamp, at: Timestamp) -> Self {
        let steps = at.since_ms(launch).max(0) / MARK_STEP_MS + 1;
        Self(u16::try_from(steps).unwrap_or(u16::MAX))
    }

    /// The begin of this step, `None` for "not yet".
    #[must_use]
    pub fn begin(self, launch: Timestamp) -> Option<Timestamp> {
        (self.0 > 0).then(|| launch.plus_ms((i64::from(self.0) - 1) * MARK_STEP_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_goes_there_and_back() {
        let at = Timestamp(1_790_000_000_123);
        assert_eq!(at.to_rfc3339(), "2026-09-21T14:13:20.123Z");
        assert_eq!(Timestamp::from_rfc3339(&at.to_rfc3339()), Some(at));
        assert_eq!(Timestamp::from_rfc3339("2026-09-21T21:13:20.123+07:00"), Some(at));
        assert_eq!(Timestamp::from_rfc3339("yesterday"), None);
    }

    #[test]
    fn steps_are_coarse_but_never_before_the_launch() {
        let launch = Timestamp(1_000_000);
        assert_eq!(Step::of(launch, launch.plus_ms(-5)), Step(1));
        assert_eq!(Step::of(launch, launch.plus_ms(15_999)), Step(1));
        assert_eq!(Step::of(launch, launch.plus_ms(16_000)), Step(2));
        assert_eq!(Step::of(launch, launch.plus_ms(i64::MAX / 2)), Step(u16::MAX));
        assert_eq!(Step(2).begin(launch), Some(launch.plus_ms(16_000)));
        assert_eq!(Step(0).begin(launch), None);
    }
}
