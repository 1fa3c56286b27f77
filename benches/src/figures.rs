//! Figures: quantiles of latencies, a small table. Not statistics.

use std::time::Duration;

/// Latencies of one run.
#[derive(Debug, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Keeps one, in microseconds.
    pub fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes over another run's.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }

    /// The latency below which `share` of all lie, in milliseconds; 0 when there are none.
    pub fn quantile_ms(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        self.0.sort_unstable();
        let last = self.0.len() - 1;
        let at = (share * last as f64).round() as usize;
        f64::from(self.0[at.min(last)]) / 1_000.0
    }
}

/// Two decimals, as a number for JSON.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
