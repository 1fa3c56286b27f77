//! Webhooks that nobody signed with the app's secrets: every one is counted, and told in the log once in a while with how
//! many there were, so that a flood of them is a number and not a flood of lines.

use crate::metrics;
use kabar_engine::id::TenantId;
use parking_lot::Mutex;

/// A line at most once in this time.
const EVERY_MS: i64 = 10_000;

/// What was not told yet.
#[derive(Debug, Default)]
pub(crate) struct Unsigned(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    told_at: Option<i64>,
    untold: u64,
}

impl Unsigned {
    /// Counts one for this app; tells when it is time.
    pub(crate) fn note(&self, app: u64, now_ms: i64) {
        metrics::unsigned();
        if let Some(count) = self.due(now_ms) {
            // An app's id is written like every other; only its prefix is its own.
            let id = TenantId(app).to_string();
            let app = format!("app{}", &id[TenantId::PREFIX.len()..]);
            tracing::warn!(app, count, "webhooks without a right signature were refused");
        }
    }

    /// How many are to be told now.
    fn due(&self, now_ms: i64) -> Option<u64> {
        let mut count = self.0.lock();
        count.untold += 1;
        if count.told_at.is_some_and(|at| (0..EVERY_MS).contains(&(now_ms - at))) {
            return None;
        }
        count.told_at = Some(now_ms);
        Some(std::mem::take(&mut count.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_in_ten_seconds_and_every_one_is_counted() {
        let unsigned = Unsigned::default();
        let told: Vec<u64> = (0..100_000).filter_map(|nth| unsigned.due(nth)).collect();
        assert_eq!(told.len(), 10);
        assert_eq!(told.iter().sum::<u64>() + unsigned.0.lock().untold, 100_000);
        assert_eq!(unsigned.due(50_000), Some(9_999 + 1), "a clock that steps back does not silence it");
    }
}
