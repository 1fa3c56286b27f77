//! When it is a good time at the recipient's place: the time zone a person is likely in, and the hours in which
//! messages may be sent there.
//!
//! Not a timer: it says the moment, the actors wait for it.

mod finish;
mod hours;
mod place;
mod recurrence;

pub use finish::{Forecast, forecast};
pub use hours::{Closed, Day, Hours, QuietHours, Wait};
pub use place::{Zone, ZoneSource, zone_of};
pub use recurrence::Recurrence;

use crate::time::{DAY_MS, Timestamp};
use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

/// Minutes of a day.
const DAY_MINUTES: u16 = 1_440;
/// How far an opening is looked for. A weekly opening may fall into the gap of a clock change and come a week
/// later.
const HORIZON_DAYS: i64 = 16;

/// Hours in which messages may be sent, on the recipient's wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SendWindow {
    /// First minute of the day, 0 to 1439.
    pub from_minute: u16,
    /// First minute after, 1 to 1440. Not after `from_minute`: the window ends on the next day.
    pub until_minute: u16,
    /// On which days it opens, Monday first.
    pub days: [bool; 7],
}

/// Why a window has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not a time zone of the IANA database.
    #[error("`{0}` is not a time zone: use a name such as Asia/Jakarta")]
    UnknownZone(String),
    /// The window is written wrongly.
    #[error("the send window is not valid: {0}")]
    Window(&'static str),
    /// Beyond the calendar.
    #[error("the moment lies outside the years -9999 to 9999")]
    Range,
    /// The recurrence cannot be read.
    #[error("the recurrence is not valid: {0}")]
    Rule(String),
    /// No opening within sixteen days.
    #[error("the send window does not open within sixteen days")]
    NeverOpens,
}

impl SendWindow {
    /// A checked window.
    ///
    /// # Errors
    /// [`ScheduleError::Window`] when it could never open or its bounds are wrong.
    pub fn new(from_minute: u16, until_minute: u16, days: [bool; 7]) -> Result<Self, ScheduleError> {
        let window = Self { from_minute, until_minute, days };
        window.validate().map(|()| window)
    }

    /// Checks a window that was read from elsewhere.
    ///
    /// # Errors
    /// [`ScheduleError::Window`] when it could never open or its bounds are wrong.
    pub fn validate(&self) -> Result<(), ScheduleError> {
        let wrong = if self.from_minute >= DAY_MINUTES {
            "it begins at a minute from 0 to 1439"
        } else if !(1..=DAY_MINUTES).contains(&self.until_minute) {
            "it ends at a minute from 1 to 1440"
        } else if self.from_minute == self.until_minute {
            "it begins and ends at the same minute; the whole day is 0 to 1440"
        } else if !self.days.contains(&true) {
            "it opens on no day"
        } else {
            return Ok(());
        };
        Err(ScheduleError::Window(wrong))
    }

    /// Whether it is open at a moment, by the wall clock of `zone` (an IANA name).
    ///
    /// # Errors
    /// [`ScheduleError`]; see there.
    pub fn is_open(&self, zone: &str, at: Timestamp) -> Result<bool, ScheduleError> {
        self.validate()?;
        Ok(self.is_open_on(to_jiff(at)?, &time_zone(zone)?))
    }

    /// `at` itself when the window is open then, else its next opening. Across a clock change it goes by the
    /// wall clock: an opening that is skipped comes at the change, one that comes twice counts twice.
    ///
    /// # Errors
    /// [`ScheduleError`]; see there.
    pub fn next(&self, zone: &str, at: Timestamp) -> Result<Timestamp, ScheduleError> {
        self.validate()?;
        let zone = time_zone(zone)?;
        let begin = to_jiff(at)?;
        if self.is_open_on(begin, &zone) {
            return Ok(at);
        }
        let end = to_jiff(at.plus_ms(HORIZON_DAYS * DAY_MS))?;
        // It can only open at its first minute or where the wall clock jumps.
        let jumps = zone.following(begin).map(|jump| jump.timestamp()).take_while(|jump| *jump <= end);
        let openings = self.first_minutes(begin, &zone);
        jumps
            .chain(openings)
            .filter(|candidate| *candidate >= begin && self.is_open_on(*candidate, &zone))
            .min()
            .map(|opening| Timestamp(opening.as_millisecond()))
            .ok_or(ScheduleError::NeverOpens)
    }

    fn is_open_on(&self, at: jiff::Timestamp, zone: &TimeZone) -> bool {
        let local = zone.to_datetime(at);
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let today = usize::from(local.weekday().to_monday_zero_offset().unsigned_abs());
        let yesterday = (today + 6) % 7;
        if self.from_minute < self.until_minute {
            self.days[today] && (self.from_minute..self.until_minute).contains(&minute)
        } else {
            (self.days[today] && minute >= self.from_minute)
                || (self.days[yesterday] && minute < self.until_minute)
        }
    }

    /// The moments at which the wall clock shows the first minute, on the days from `begin` on.
    fn first_minutes(&self, begin: jiff::Timestamp, zone: &TimeZone) -> Vec<jiff::Timestamp> {
        let time = Time::midnight() + jiff::Span::new().minutes(self.from_minute);
        let mut moments = Vec::new();
        let mut date = zone.to_datetime(begin).date();
        for _ in 0..HORIZON_DAYS {
            let local = DateTime::from_parts(date, time);
            let (first, second) = match zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { offset } => (Some(offset), None),
                AmbiguousOffset::Fold { before, after } => (Some(before), Some(after)),
                AmbiguousOffset::Gap { .. } => (None, None),
            };
            let both = first.into_iter().chain(second);
            moments.extend(both.filter_map(|offset| offset.to_timestamp(local).ok()));
            match date.tomorrow() {
                Ok(next) => date = next,
                Err(_) => break,
            }
        }
        moments
    }
}

fn to_jiff(at: Timestamp) -> Result<jiff::Timestamp, ScheduleError> {
    jiff::Timestamp::from_millisecond(at.0).map_err(|_| ScheduleError::Range)
}

fn time_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    TimeZone::get(name).map_err(|_| ScheduleError::UnknownZone(name.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EVERY_DAY: [bool; 7] = [true; 7];

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn hm(hour: u16, minute: u16) -> u16 {
        hour * 60 + minute
    }

    fn days(which: &[usize]) -> [bool; 7] {
        let mut days = [false; 7];
        which.iter().for_each(|day| days[*day] = true);
        days
    }

    fn next(from: u16, until: u16, days: [bool; 7], zone: &str, moment: &str) -> String {
        let window = SendWindow::new(from, until, days).unwrap();
        let found = window.next(zone, at(moment)).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        to_jiff(found).unwrap().to_zoned_datetime(zone).strftime("%a %Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    #[test]
    fn an_open_window_is_now_and_a_closed_one_opens_next() {
        let (from, until) = (hm(9, 0), hm(17, 0));
        for (moment, expected) in [
            ("2026-11-24T09:00:00+07:00", "Tue 2026-11-24T09:00:00+07:00"),
            ("2026-11-24T16:59:59+07:00", "Tue 2026-11-24T16:59:59+07:00"),
            ("2026-11-24T17:00:00+07:00", "Wed 2026-11-25T09:00:00+07:00"),
            ("2026-11-24T03:00:00+07:00", "Tue 2026-11-24T09:00:00+07:00"),
        ] {
            assert_eq!(next(from, until, EVERY_DAY, "Asia/Jakarta", moment), expected);
        }
    }

    #[test]
    fn days_are_the_recipients_and_a_night_belongs_to_the_day_it_begins() {
        let weekdays = days(&[0, 1, 2, 3, 4]);
        // Friday evening in London is Saturday in Jakarta.
        let friday = "2026-11-27T18:00:00+00:00";
        assert_eq!(
            next(hm(9, 0), hm(17, 0), weekdays, "Asia/Jakarta", friday),
            "Mon 2026-11-30T09:00:00+07:00"
        );
        let friday_night = days(&[4]);
        for (moment, expected) in [
            ("2026-11-28T01:59:00+07:00", "Sat 2026-11-28T01:59:00+07:00"),
            ("2026-11-28T02:00:00+07:00", "Fri 2026-12-04T22:00:00+07:00"),
            ("2026-11-28T23:00:00+07:00", "Fri 2026-12-04T22:00:00+07:00"),
        ] {
            assert_eq!(next(hm(22, 0), hm(2, 0), friday_night, "Asia/Jakarta", moment), expected);
        }
    }

    #[test]
    fn a_skipped_opening_comes_at_the_change_of_clocks() {
        // New York, Sunday 2026-03-08: 02:00 becomes 03:00.
        let before = "2026-03-08T01:30:00-05:00";
        assert_eq!(
            next(hm(2, 30), hm(3, 30), EVERY_DAY, "America/New_York", before),
            "Sun 2026-03-08T03:00:00-04:00"
        );
        assert_eq!(
            next(hm(2, 10), hm(2, 50), EVERY_DAY, "America/New_York", before),
            "Mon 2026-03-09T02:10:00-04:00"
        );
        let sundays = days(&[6]);
        assert_eq!(
            next(hm(2, 10), hm(2, 50), sundays, "America/New_York", before),
            "Sun 2026-03-15T02:10:00-04:00"
        );
        // Beirut, 2026-03-29: midnight becomes 01:00.
        let saturday = "2026-03-28T23:00:00+02:00";
        assert_eq!(next(0, 1_440, sundays, "Asia/Beirut", saturday), "Sun 2026-03-29T01:00:00+03:00");
        // Apia had no Friday 2011-12-30.
        let thursday = "2011-12-29T12:00:00-10:00";
        assert_eq!(
            next(hm(9, 0), hm(10, 0), days(&[4]), "Pacific/Apia", thursday),
            "Fri 2012-01-06T09:00:00+14:00"
        );
    }

    #[test]
    fn a_repeated_hour_opens_twice() {
        // New York, Sunday 2026-11-01: 02:00 becomes 01:00 again.
        let (from, until) = (hm(1, 30), hm(1, 45));
        let zone = "America/New_York";
        for (moment, expected) in [
            ("2026-11-01T01:00:00-04:00", "Sun 2026-11-01T01:30:00-04:00"),
            ("2026-11-01T01:50:00-04:00", "Sun 2026-11-01T01:30:00-05:00"),
            ("2026-11-01T01:45:00-05:00", "Mon 2026-11-02T01:30:00-05:00"),
        ] {
            assert_eq!(next(from, until, EVERY_DAY, zone, moment), expected);
        }
        // Closed before the change, open again by the jump back.
        let moment = "2026-11-01T01:45:00-04:00";
        assert_eq!(next(0, hm(1, 30), EVERY_DAY, zone, moment), "Sun 2026-11-01T01:00:00-05:00");
    }

    #[test]
    fn wrong_windows_zones_and_moments_are_refused() {
        for (from, until, days) in [
            (1_440, 1, EVERY_DAY),
            (0, 0, EVERY_DAY),
            (0, 1_441, EVERY_DAY),
            (5, 5, EVERY_DAY),
            (0, 5, [false; 7]),
        ] {
            assert!(matches!(SendWindow::new(from, until, days), Err(ScheduleError::Window(_))));
            let window = SendWindow { from_minute: from, until_minute: until, days };
            assert!(window.next("Asia/Jakarta", Timestamp(0)).is_err());
        }
        let window = SendWindow::new(0, 1_440, EVERY_DAY).unwrap();
        assert_eq!(
            window.next("Mars/Base", Timestamp(0)),
            Err(ScheduleError::UnknownZone("Mars/Base".to_owned()))
        );
        assert_eq!(window.next("Asia/Jakarta", Timestamp(i64::MAX)), Err(ScheduleError::Range));
    }

    #[test]
    fn the_json_shape_is_golden() {
        let window = SendWindow::new(540, 1_020, days(&[0, 6])).unwrap();
        let json =
            r#"{"from_minute":540,"until_minute":1020,"days":[true,false,false,false,false,false,true]}"#;
        assert_eq!(serde_json::to_string(&window).unwrap(), json);
        assert_eq!(serde_json::from_str::<SendWindow>(json).unwrap(), window);
    }

    proptest! {
        #[test]
        fn the_next_opening_is_open_not_before_now_and_the_first(
            from in 0_u16..1_440, until in 1_u16..=1_440, mask in 1_u8..128,
            zone in prop_oneof![Just("Asia/Jakarta"), Just("America/New_York"), Just("Europe/London"),
                Just("Australia/Lord_Howe"), Just("Asia/Beirut"), Just("Africa/Casablanca"), Just("Pacific/Apia")],
            minute in 0_i64..20 * 365 * 1_440,
        ) {
            prop_assume!(from != until);
            let days = std::array::from_fn(|day| mask & (1 << day) != 0);
            let window = SendWindow::new(from, until, days).unwrap();
            let now = at("2010-01-01T00:00:00Z").plus_ms(minute * 60_000 + 1);
            let next = window.next(zone, now).unwrap();
            prop_assert!(next >= now);
            prop_assert!(window.is_open(zone, next).unwrap());
            if next > now {
                prop_assert!(!window.is_open(zone, next.plus_ms(-1)).unwrap());
                // No minute between is open.
                let zone = TimeZone::get(zone).unwrap();
                let between = (next.0 - now.0) / 60_000;
                for step in (0..between).step_by(7) {
                    let moment = to_jiff(now.plus_ms(step * 60_000)).unwrap();
                    prop_assert!(!window.is_open_on(moment, &zone), "{moment}");
                }
            }
        }
    }
}
