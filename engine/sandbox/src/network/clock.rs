//! The sandbox's own clock: real time plus what tests have put it ahead by. It never steps back, but for a state
//! that is loaded.
//! Not a global: every sandbox has one.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Nanoseconds since the sandbox started, and the wall clock that belongs to them.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    wall_ms: AtomicI64,
    ahead_ns: AtomicU64,
}

impl Clock {
    /// Starts now, or at another moment (Unix milliseconds).
    pub(crate) fn start(at_ms: Option<i64>) -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall_ms = at_ms.unwrap_or(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX));
        Self { started: Instant::now(), wall_ms: AtomicI64::new(wall_ms), ahead_ns: AtomicU64::new(0) }
    }

    /// Nanoseconds since the start; 584 years fit.
    pub(crate) fn now_ns(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        elapsed.saturating_add(self.ahead_ns.load(Ordering::Relaxed))
    }

    /// Unix milliseconds of an instant of this clock.
    pub(crate) fn unix_ms(&self, ns: u64) -> i64 {
        let wall_ms = self.wall_ms.load(Ordering::Relaxed);
        wall_ms.saturating_add(i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX))
    }

    /// The instant of this clock a moment in Unix milliseconds is; what lies before its start is its start.
    pub(crate) fn ns_of(&self, unix_ms: i64) -> u64 {
        let since = unix_ms.saturating_sub(self.wall_ms.load(Ordering::Relaxed));
        u64::try_from(since).unwrap_or(0).saturating_mul(1_000_000)
    }

    /// Makes it this moment (Unix milliseconds): only for a state that is loaded as a whole.
    pub(crate) fn set(&self, unix_ms: i64) {
        let since = i64::try_from(self.now_ns() / 1_000_000).unwrap_or(i64::MAX);
        self.wall_ms.store(unix_ms.saturating_sub(since), Ordering::Relaxed);
    }

    /// Real time left until an instant of this clock.
    pub(crate) fn until(&self, due_ns: u64) -> Duration {
        Duration::from_nanos(due_ns.saturating_sub(self.now_ns()))
    }

    pub(crate) fn advance(&self, ms: u64) {
        self.ahead_ns.fetch_add(ms.saturating_mul(1_000_000), Ordering::Relaxed);
    }
}

/// Milliseconds as nanoseconds.
pub(crate) fn ms(ms: u64) -> u64 {
    ms.saturating_mul(1_000_000)
}
