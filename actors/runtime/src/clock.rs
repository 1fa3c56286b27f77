//! The clock of one node: wall time for what people see, uptime for what is measured.
//!
//! Not global: each node gets its own, so that a test can run two nodes at two times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Longest single sleep towards a wall-clock instant, so that a clock that was set is noticed.
const WALL_STEP_MS: i64 = 10_000;

/// Time as one node sees it. Cheap to clone; clones agree.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    virtual_base_ms: Option<i64>,
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self { start: Instant::now(), virtual_base_ms: None }
    }

    /// A clock that shows `ms` (Unix epoch, UTC) now and moves with tokio's time, so that `tokio::time::pause` and
    /// `advance` drive it. Create it on the runtime whose time it shall follow.
    #[must_use]
    pub fn virtual_at(ms: i64) -> Self {
        Self { start: Instant::now(), virtual_base_ms: Some(ms) }
    }

    /// Milliseconds since the Unix epoch, UTC. The system clock may step back; a virtual one never does.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match self.virtual_base_ms {
            Some(base) => base.saturating_add(to_i64(self.uptime_ms())),
            None => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
                Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
            },
        }
    }

    /// Whether tokio's time drives this clock.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        self.virtual_base_ms.is_some()
    }

    /// Milliseconds since this clock was made; never steps back. For durations and deadlines.
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Sleeps `ms` milliseconds of tokio's time.
    pub async fn sleep_ms(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Sleeps until the clock shows `at` (ms since the Unix epoch) or later; at once if it already does. A system
    /// clock that is set while sleeping is noticed within 10 s.
    pub async fn sleep_until_ms(&self, at: i64) {
        loop {
            let left = at.saturating_sub(self.now_ms());
            if left <= 0 {
                return;
            }
            let step = if self.is_virtual() { left } else { left.min(WALL_STEP_MS) };
            self.sleep_ms(u64::try_from(step).unwrap_or(0)).await;
        }
    }

    /// Sleeps until `uptime_ms` has passed.
    pub(crate) async fn sleep_until_uptime(&self, uptime_ms: u64) {
        match self.start.checked_add(Duration::from_millis(uptime_ms)) {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Microseconds since this clock was made; fine enough to order activity.
    pub(crate) fn uptime_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

fn to_i64(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
