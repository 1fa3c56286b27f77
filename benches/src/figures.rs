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

/// What a figure must be, and what it shall become; both are the most it may be.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    /// More than this does not hold.
    pub floor: f64,
    /// Where it is to come.
    pub aim: f64,
}

impl Goal {
    /// Whether a figure holds.
    pub fn holds(self, figure: f64) -> bool {
        figure <= self.floor
    }

    /// The figure beside both.
    pub fn beside(self, what: &str, figure: f64) -> String {
        let verdict = match (figure <= self.aim, self.holds(figure)) {
            (true, _) => "reaches the aim",
            (_, true) => "holds",
            _ => "does not hold",
        };
        format!("{what:<44}{figure:>12.2}   floor {:>8}   aim {:>8}   {verdict}", self.floor, self.aim)
    }
}
