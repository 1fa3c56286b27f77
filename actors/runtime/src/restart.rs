//! When a failed actor comes back: exponential backoff, a limit within a window, then a cool-down.
//!
//! Pure arithmetic over uptimes; the supervisor acts on it.

use std::collections::VecDeque;

/// How failing actors are brought back. All times in milliseconds.
#[derive(Clone, Debug)]
pub struct RestartPolicy {
    /// Delay before the first restart; doubles with every further one inside the window.
    pub first_ms: u64,
    /// Longest delay.
    pub cap_ms: u64,
    /// Restarts allowed within `window_ms`; one more failure breaks the key.
    pub limit: u32,
    /// The window in which restarts are counted.
    pub window_ms: u64,
    /// How long a broken key refuses to start.
    pub cool_down_ms: u64,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self { first_ms: 10, cap_ms: 5_000, limit: 10, window_ms: 60_000, cool_down_ms: 30_000 }
    }
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start again at this uptime.
    Restart { at: u64 },
    /// Refuse to start until this uptime.
    Broken { until: u64 },
}

/// The recent failures of one key, as uptimes.
#[derive(Debug, Default)]
pub(crate) struct History(VecDeque<u64>);

impl History {
    /// Records a failure at `now` and says what follows. `key_hash` spreads the delays of keys that failed
    /// together by up to a quarter.
    pub(crate) fn failed(&mut self, policy: &RestartPolicy, now: u64, key_hash: u64) -> Verdict {
        while self.0.front().is_some_and(|at| now.saturating_sub(*at) >= policy.window_ms) {
            self.0.pop_front();
        }
        let earlier = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if earlier >= policy.limit {
            return Verdict::Broken { until: now.saturating_add(policy.cool_down_ms) };
        }
        self.0.push_back(now);
        let doubled = policy.first_ms.saturating_mul(1_u64.checked_shl(earlier).unwrap_or(u64::MAX));
        let delay = doubled.min(policy.cap_ms);
        let spread = key_hash.rotate_left(earlier * 7) % 1_000;
        let jitter = delay.saturating_mul(spread) / 4_000;
        Verdict::Restart { at: now.saturating_add((delay + jitter).min(policy.cap_ms)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(hash: u64, policy: &RestartPolicy) -> Vec<u64> {
        let mut history = History::default();
        let mut now = 0;
        let mut delays = Vec::new();
        while let Verdict::Restart { at } = history.failed(policy, now, hash) {
            delays.push(at - now);
            now = at;
        }
        delays
    }

    #[test]
    fn delays_double_up_to_the_cap_and_then_the_key_breaks() {
        let policy = RestartPolicy::default();
        assert_eq!(delays(0, &policy), [10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000]);
    }

    #[test]
    fn jitter_adds_at_most_a_quarter_and_depends_on_the_key() {
        let policy = RestartPolicy { limit: 6, ..RestartPolicy::default() };
        let (one, other) = (delays(0x1234_5678_9abc_def0, &policy), delays(987_654_321, &policy));
        assert_ne!(one, other);
        for (n, delay) in one.iter().chain(&other).enumerate() {
            let base = 10 << (n % 6);
            assert!((base..=base + base / 4).contains(delay), "{delay} is not within a quarter above {base}");
        }
    }

    #[test]
    fn failures_outside_the_window_are_forgotten() {
        let policy = RestartPolicy { limit: 2, ..RestartPolicy::default() };
        let mut history = History::default();
        assert_eq!(history.failed(&policy, 0, 0), Verdict::Restart { at: 10 });
        assert_eq!(history.failed(&policy, 30_000, 0), Verdict::Restart { at: 30_020 });
        assert_eq!(history.failed(&policy, 60_000, 0), Verdict::Restart { at: 60_020 });
        assert_eq!(history.failed(&policy, 60_100, 0), Verdict::Broken { until: 90_100 });
    }
}
