//! When a sender would be through with its recipients: its pace, and the hours where they are. A forecast on paper, not
//! the sending.

use super::Hours;
use crate::time::{MINUTE_MS, Timestamp};
use std::collections::BTreeMap;

/// The forecast looks at the hours so often.
const STEP_MS: i64 = 5 * MINUTE_MS;

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forecast {
    /// When the last one in time is sent.
    pub finish: Timestamp,
    /// Recipients whose validity ends before their turn.
    pub late: u64,
}

/// Sends on paper, from `begins` on: `zones` says how many recipients are in each time zone, `per_second` the pace.
/// Who is not sent by `until` is late.
#[must_use]
pub fn forecast(
    hours: &Hours,
    (begins, until): (Timestamp, Timestamp),
    per_second: u32,
    zones: &BTreeMap<String, u64>,
) -> Forecast {
    let pace = u64::from(per_second.max(1));
    let mut left: Vec<(&str, u64)> = zones.iter().map(|(zone, n)| (zone.as_str(), *n)).collect();
    let (mut now, mut finish) = (begins, begins);
    loop {
        left.retain(|(_, n)| *n > 0);
        let late = left.iter().map(|(_, n)| n).sum();
        if late == 0 || now > until {
            return Forecast { finish, late };
        }
        let mut open = Vec::new();
        let mut opens = until.plus_ms(1);
        for (place, (zone, _)) in left.iter().enumerate() {
            match hours.wait(zone, now) {
                Ok(None) => open.push(place),
                Ok(Some(wait)) => opens = opens.min(wait.until),
                Err(_) => {}
            }
        }
        if open.is_empty() {
            now = opens;
            continue;
        }
        let step = if hours.is_always_open() { until.since_ms(now).max(1) } else { STEP_MS };
        let step = step.min(opens.since_ms(now)).max(1);
        let mut room = pace * u64::try_from(step).unwrap_or(0) / 1_000;
        let wanted: u64 = open.iter().map(|place| left[*place].1).sum();
        // A step too short for one message still moves on.
        let sent = wanted.min(room);
        let used = i64::try_from(sent * 1_000 / pace).unwrap_or(step).min(step);
        if sent > 0 {
            finish = now.plus_ms(used);
        }
        for place in open {
            let share = left[place].1.min(room);
            left[place].1 -= share;
            room -= share;
        }
        now = now.plus_ms(if sent == wanted { used.max(1) } else { step });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_rfc3339(text).unwrap()
    }

    fn zones(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(zone, n)| ((*zone).to_owned(), *n)).collect()
    }

    fn daytime() -> Hours {
        serde_json::from_value(serde_json::json!({
            "send_window": {"from_minute": 540, "until_minute": 1020, "days": [true, true, true, true, true, true, true]}
        }))
        .unwrap()
    }

    #[test]
    fn without_hours_it_is_the_pace_alone_and_the_rest_is_late() {
        let begins = at("2026-12-01T00:00:00Z");
        let all =
            forecast(&Hours::default(), (begins, begins.plus_ms(3_600_000)), 10, &zones(&[("UTC", 6_000)]));
        assert_eq!(all, Forecast { finish: begins.plus_ms(600_000), late: 0 });
        let some =
            forecast(&Hours::default(), (begins, begins.plus_ms(60_000)), 10, &zones(&[("UTC", 6_000)]));
        assert_eq!((some.late, some.finish), (5_400, begins.plus_ms(60_000)));
    }

    #[test]
    fn each_zone_waits_for_its_morning() {
        let begins = at("2026-12-01T00:00:00Z");
        let there = zones(&[("Asia/Jakarta", 600), ("America/New_York", 600)]);
        let found = forecast(&daytime(), (begins, begins.plus_ms(3 * 86_400_000)), 1, &there);
        // Jakarta opens at 02:00, New York at 14:00 UTC.
        assert_eq!(found, Forecast { finish: at("2026-12-01T14:10:00Z"), late: 0 });
        let short = forecast(&daytime(), (begins, at("2026-12-01T02:05:00Z")), 1, &there);
        assert_eq!(short.late, 900);
    }

    #[test]
    fn what_does_not_fit_in_one_day_goes_on_the_next() {
        let begins = at("2026-12-01T02:00:00Z");
        let found = forecast(
            &daytime(),
            (begins, begins.plus_ms(5 * 86_400_000)),
            1,
            &zones(&[("Asia/Jakarta", 30_000)]),
        );
        // 28,800 in eight hours, 1,200 s on the next morning.
        assert_eq!(found, Forecast { finish: at("2026-12-02T02:20:00Z"), late: 0 });
    }
}
