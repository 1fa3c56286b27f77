//! The hours in which a campaign may arrive, on the recipient's wall clock: send window, quiet hours and blackout
//! days together. When they are closed they say why and until when.
//!
//! Not the campaign's start and not its pace.

use super::{ScheduleError, SendWindow, time_zone, to_jiff};
use crate::time::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Blackout days one campaign may name.
const BLACKOUT_MAX: usize = 366;
/// Closed stretches that may follow each other before the search ends: every blackout day may open and close the
/// window and the quiet hours once.
const STRETCHES: usize = 3 * BLACKOUT_MAX;

/// Hours in which nothing is sent, on the recipient's wall clock, every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// First quiet minute of the day, 0 to 1439.
    pub from_minute: u16,
    /// First minute after, 1 to 1440. Not after `from_minute`: they end on the next day.
    pub until_minute: u16,
}

impl QuietHours {
    /// The hours that are left.
    fn loud(self) -> SendWindow {
        let (from_minute, until_minute) = (self.until_minute % 1_440, self.from_minute);
        let until_minute = if until_minute == 0 { 1_440 } else { until_minute };
        SendWindow { from_minute, until_minute, days: [true; 7] }
    }
}

/// A day on the recipient's calendar, `2026-12-25`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl TryFrom<String> for Day {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let date = text.parse().ok().filter(|_| plain);
        date.map(Self).ok_or("a day is written like 2026-12-25")
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.0.to_string()
    }
}

/// When a campaign may arrive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// It is sent in these hours only.
    #[serde(default)]
    pub send_window: Option<SendWindow>,
    /// It is not sent in these.
    #[serde(default)]
    pub quiet_hours: Option<QuietHours>,
    /// It is not sent on these days.
    #[serde(default)]
    pub blackout: Vec<Day>,
}

/// Why something is not sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closed {
    /// It is a blackout day where the recipient is.
    Blackout,
    /// It is quiet there.
    QuietHours,
    /// The send window is closed there.
    SendWindow,
}

/// A wait for better hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// What is in the way now; something else may follow.
    pub why: Closed,
    /// When all is open.
    pub until: Timestamp,
}

impl Hours {
    /// Checks what was read from elsewhere.
    ///
    /// # Errors
    /// [`ScheduleError`]: bounds that are wrong, too many days, or hours that never open.
    pub fn validate(&self) -> Result<(), ScheduleError> {
        if let Some(window) = &self.send_window {
            window.validate()?;
        }
        if let Some(quiet) = &self.quiet_hours {
            if quiet.from_minute % 1_440 == quiet.until_minute % 1_440 {
                return Err(ScheduleError::Window("quiet hours begin and end at different minutes"));
            }
            let as_window = SendWindow::new(quiet.from_minute, quiet.until_minute, [true; 7]);
            as_window.and_then(|_| quiet.loud().validate())?;
        }
        if self.blackout.len() > BLACKOUT_MAX {
            return Err(ScheduleError::Window("it names more than 366 blackout days"));
        }
        // Without blackout days: those end.
        let weekly = Self { blackout: Vec::new(), ..self.clone() };
        weekly.wait("UTC", Timestamp(0)).map(|_| ())
    }

    /// Whether any hour is closed.
    #[must_use]
    pub fn is_always_open(&self) -> bool {
        self.send_window.is_none() && self.quiet_hours.is_none() && self.blackout.is_empty()
    }

    /// `None` when it may be sent at `at` to somebody in `zone` (an IANA name), else why not and until when.
    ///
    /// # Errors
    /// [`ScheduleError`]; see there.
    pub fn wait(&self, zone: &str, at: Timestamp) -> Result<Option<Wait>, ScheduleError> {
        if self.is_always_open() {
            return Ok(None);
        }
        let calendar = time_zone(zone)?;
        let (mut until, mut first) = (at, None);
        for _ in 0..STRETCHES {
            let Some((why, next)) = self.closed(zone, &calendar, until)? else {
                return Ok(first.map(|why| Wait { why, until }));
            };
            first = first.or(Some(why));
            until = next;
        }
        Err(ScheduleError::NeverOpens)
    }

    /// The first thing that is in the way, and when it is gone.
    fn closed(
        &self,
        zone: &str,
        calendar: &TimeZone,
        at: Timestamp,
    ) -> Result<Option<(Closed, Timestamp)>, ScheduleError> {
        let today = calendar.to_datetime(to_jiff(at)?).date();
        if self.blackout.contains(&Day(today)) {
            let tomorrow = today.tomorrow().and_then(|day| day.to_zoned_datetime(calendar.clone()));
            let begins = tomorrow.map_err(|_| ScheduleError::Range)?.timestamp();
            return Ok(Some((Closed::Blackout, Timestamp(begins.as_millisecond()))));
        }
        let quiet = self.quiet_hours.map(|quiet| (Closed::QuietHours, quiet.loud()));
        for (why, window) in quiet.into_iter().chain(self.send_window.map(|w| (Closed::SendWindow, w))) {
            let opens = window.next(zone, at)?;
            if opens > at {
                return Ok(Some((why, opens)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn hours(json: serde_json::Value) -> Hours {
        let hours: Hours = serde_json::from_value(json).unwrap();
        hours.validate().unwrap();
        hours
    }

    fn week() -> [bool; 7] {
        [true; 7]
    }

    fn all() -> Hours {
        hours(serde_json::json!({
            "send_window": {"from_minute": 420, "until_minute": 1320, "days": week()},
            "quiet_hours": {"from_minute": 1260, "until_minute": 480},
            "blackout": ["2026-12-25", "2026-12-26"],
        }))
    }

    #[test]
    fn what_is_in_the_way_is_named_first_and_the_end_is_when_all_is_open() {
        for (moment, why, until) in [
            ("2026-12-24T20:59:00+07:00", None, ""),
            ("2026-12-24T21:00:00+07:00", Some(Closed::QuietHours), "2026-12-27T08:00:00+07:00"),
            ("2026-12-25T12:00:00+07:00", Some(Closed::Blackout), "2026-12-27T08:00:00+07:00"),
            ("2026-12-28T07:59:59+07:00", Some(Closed::QuietHours), "2026-12-28T08:00:00+07:00"),
        ] {
            let found = all().wait("Asia/Jakarta", at(moment)).unwrap();
            assert_eq!(found.map(|w| w.why), why, "{moment}");
            if let Some(wait) = found {
                assert_eq!(wait.until, at(until), "{moment}");
            }
        }
    }

    #[test]
    fn a_blackout_day_is_the_recipients_and_ends_at_its_midnight_also_on_a_short_day() {
        let hours = hours(serde_json::json!({"blackout": ["2026-12-25", "2027-03-14"]}));
        let until = |zone, moment| hours.wait(zone, at(moment)).unwrap().map(|w| w.until);
        assert_eq!(until("Asia/Tokyo", "2026-12-24T15:00:00Z"), Some(at("2026-12-25T15:00:00Z")));
        assert_eq!(until("America/Los_Angeles", "2026-12-24T15:00:00Z"), None);
        // A day of 23 hours.
        assert_eq!(until("America/New_York", "2027-03-14T05:00:00Z"), Some(at("2027-03-15T04:00:00Z")));
    }

    #[test]
    fn hours_that_never_open_and_wrong_bounds_are_refused() {
        for (json, part) in [
            (
                serde_json::json!({"send_window": {"from_minute": 0, "until_minute": 60, "days": week()},
                    "quiet_hours": {"from_minute": 0, "until_minute": 120}}),
                "does not open",
            ),
            (
                serde_json::json!({"quiet_hours": {"from_minute": 0, "until_minute": 1440}}),
                "different minutes",
            ),
            (
                serde_json::json!({"quiet_hours": {"from_minute": 1440, "until_minute": 9}}),
                "begins at a minute",
            ),
        ] {
            let hours: Hours = serde_json::from_value(json).unwrap();
            let refused = hours.validate().unwrap_err().to_string();
            assert!(refused.contains(part), "{refused}");
        }
        for day in ["2026-02-30", "25.12.2026", "2026-12-25T00:00", ""] {
            assert!(serde_json::from_value::<Day>(day.into()).is_err(), "{day}");
        }
    }

    proptest! {
        #[test]
        fn the_end_of_a_wait_is_open_and_the_moment_before_is_not(
            zone in prop_oneof![Just("Asia/Jakarta"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Asia/Beirut")],
            minute in 0_i64..200 * 1_440,
        ) {
            let now = at("2026-10-01T00:00:00Z").plus_ms(minute * 60_000);
            if let Some(wait) = all().wait(zone, now).unwrap() {
                prop_assert!(wait.until > now);
                prop_assert_eq!(all().wait(zone, wait.until).unwrap(), None);
                prop_assert!(all().wait(zone, wait.until.plus_ms(-1)).unwrap().is_some());
            }
        }
    }
}
