//! When a campaign comes again: a part of iCalendar's RRULE, on the wall clock of a named zone. The rules are the
//! `rrule` crate's; here is what of them is taken, and the way in and out.

use super::{ScheduleError, time_zone, to_jiff};
use crate::time::Timestamp;
use rrule::RRuleSet;
use serde::{Deserialize, Serialize};

/// Longest rule in characters.
const RULE_MAX: usize = 200;
/// Moments of a rule that are looked at, from its first: three years of days and more.
const LOOKED_AT: u16 = 2_000;
/// What a rule may say.
const PARTS: &[&str] =
    &["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"];
/// How often it may come.
const FREQUENCIES: &[&str] = &["DAILY", "WEEKLY", "MONTHLY", "YEARLY"];

/// A rule that says when a campaign comes again. Its first possible moment is the campaign's start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recurrence {
    /// E.g. `FREQ=WEEKLY;BYDAY=MO,TH;COUNT=8`.
    pub rule: String,
    /// The IANA zone whose wall clock the rule follows.
    pub zone: String,
}

impl Recurrence {
    /// Checks what was read from elsewhere.
    ///
    /// # Errors
    /// [`ScheduleError`]: a zone or a rule that is not known here, or one that never comes.
    pub fn validate(&self, start: Timestamp) -> Result<(), ScheduleError> {
        match self.moments(start)?.first() {
            Some(_) => Ok(()),
            None => Err(ScheduleError::Rule("it never comes".to_owned())),
        }
    }

    /// The moments after `after` and not after `until`, in order; of a rule without an end the first ones.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn between(
        &self,
        start: Timestamp,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, ScheduleError> {
        let moments = self.moments(start)?;
        Ok(moments.into_iter().filter(|at| *at > after && *at <= until).collect())
    }

    /// The next moment after `after`, if there is one.
    ///
    /// # Errors
    /// As [`Self::validate`].
    pub fn next(&self, start: Timestamp, after: Timestamp) -> Result<Option<Timestamp>, ScheduleError> {
        Ok(self.moments(start)?.into_iter().find(|at| *at > after))
    }

    fn moments(&self, start: Timestamp) -> Result<Vec<Timestamp>, ScheduleError> {
        check(&self.rule)?;
        let zone = time_zone(&self.zone)?;
        let local = to_jiff(start)?.to_zoned_datetime(zone).strftime("%Y%m%dT%H%M%S").to_string();
        let text = format!("DTSTART;TZID={}:{local}\nRRULE:{}", self.zone, self.rule);
        let set: RRuleSet = text.parse().map_err(|error| ScheduleError::Rule(format!("{error}")))?;
        let dates = set.all(LOOKED_AT).dates;
        // The wall clock has no milliseconds; the start's own moment is given back whole.
        let whole = |at: i64| if at == start.0 - start.0.rem_euclid(1_000) { start.0 } else { at };
        Ok(dates.iter().map(|date| Timestamp(whole(date.timestamp_millis()))).collect())
    }
}

/// What the crate would take too, but is not offered: hours and minutes come from the start.
fn check(rule: &str) -> Result<(), ScheduleError> {
    let refuse = |why: String| Err(ScheduleError::Rule(why));
    if rule.len() > RULE_MAX {
        return refuse(format!("it is longer than {RULE_MAX} characters"));
    }
    let mut seen = Vec::new();
    for part in rule.split(';') {
        let Some((name, value)) = part.split_once('=') else {
            return refuse(format!("`{part}` has no value: write NAME=VALUE;NAME=VALUE"));
        };
        if !PARTS.contains(&name) {
            return refuse(format!("`{name}` is not one of {}", PARTS.join(", ")));
        }
        if seen.contains(&name) {
            return refuse(format!("`{name}` stands twice"));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b',' || b == b'-' || b == b'+';
        if value.is_empty() || !value.bytes().all(plain) {
            return refuse(format!("`{name}` has a value that cannot be read"));
        }
        if name == "FREQ" && !FREQUENCIES.contains(&value) {
            return refuse(format!("`FREQ` is not one of {}", FREQUENCIES.join(", ")));
        }
        seen.push(name);
    }
    if seen.contains(&"FREQ") { Ok(()) } else { refuse("it has no `FREQ`".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn moments(rule: &str, zone: &str, start: &str, many: usize) -> Vec<String> {
        let rule = Recurrence { rule: rule.to_owned(), zone: zone.to_owned() };
        let all = rule.moments(at(start)).unwrap();
        all.into_iter().take(many).map(Timestamp::to_rfc3339).collect()
    }

    #[test]
    fn a_weekly_rule_keeps_the_wall_clock_over_a_clock_change() {
        let found =
            moments("FREQ=WEEKLY;BYDAY=SU;COUNT=3", "America/New_York", "2027-03-07T09:00:00-05:00", 9);
        assert_eq!(
            found,
            ["2027-03-07T14:00:00.000Z", "2027-03-14T13:00:00.000Z", "2027-03-21T13:00:00.000Z"]
        );
    }

    #[test]
    fn a_time_that_the_clock_change_skips_does_not_stop_the_rule() {
        let found = moments("FREQ=DAILY;COUNT=4", "America/New_York", "2027-03-13T02:30:00-05:00", 9);
        assert_eq!(
            (found.first().map(String::as_str), found.len() >= 3),
            (Some("2027-03-13T07:30:00.000Z"), true)
        );
        assert!(found.contains(&"2027-03-15T06:30:00.000Z".to_owned()), "{found:?}");
    }

    #[test]
    fn the_start_is_the_first_possible_moment_with_its_milliseconds() {
        let found =
            moments("FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=2", "Asia/Jakarta", "2026-11-30T09:00:00.250+07:00", 9);
        assert_eq!(found, ["2026-11-30T02:00:00.250Z", "2026-12-31T02:00:00.000Z"]);
        let rule = Recurrence { rule: "FREQ=DAILY".to_owned(), zone: "UTC".to_owned() };
        let start = at("2026-12-01T00:00:00Z");
        let day = 86_400_000;
        assert_eq!(rule.next(start, start).unwrap(), Some(start.plus_ms(day)));
        assert_eq!(rule.between(start, start.plus_ms(-1), start.plus_ms(day)).unwrap().len(), 2);
    }

    #[test]
    fn what_is_not_offered_is_refused_with_its_name() {
        for (rule, part) in [
            ("FREQ=HOURLY", "FREQ"),
            ("FREQ=DAILY;BYHOUR=9", "BYHOUR"),
            ("FREQ=DAILY;FREQ=DAILY", "twice"),
            ("INTERVAL=2", "no `FREQ`"),
            ("FREQ=DAILY\nEXDATE:20270101", "FREQ"),
            ("daily", "no value"),
            ("FREQ=DAILY;INTERVAL=x", ""),
            ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", ""),
        ] {
            let rule = Recurrence { rule: rule.to_owned(), zone: "Asia/Jakarta".to_owned() };
            let refused = rule.validate(at("2026-12-01T00:00:00Z"));
            assert!(
                matches!(&refused, Err(ScheduleError::Rule(why)) if why.contains(part)),
                "{rule:?} {refused:?}"
            );
        }
        let nowhere = Recurrence { rule: "FREQ=DAILY".to_owned(), zone: "Mars/Base".to_owned() };
        assert!(matches!(nowhere.validate(Timestamp(0)), Err(ScheduleError::UnknownZone(_))));
    }
}
