//! Meta's two limits as GCRA buckets: throughput of a number, and pace of a pair (number, user).
//! Not the codes or HTTP statuses they are reported with.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::clock::ms;

const SECOND_NS: u64 = 1_000_000_000;
const PAIR_INTERVAL_NS: u64 = 6 * SECOND_NS;
const PAIR_BURST: u64 = 45;
/// Above this many pairs the ones whose bucket is full again are forgotten.
const PAIRS_KEPT: usize = 200_000;

/// The theoretical arrival time of the next message, in nanoseconds of the sandbox's clock.
#[derive(Debug, Default)]
struct Gcra(AtomicU64);

impl Gcra {
    /// Takes one token unless that would borrow more than `tolerance_ns`.
    fn take(&self, now_ns: u64, interval_ns: u64, tolerance_ns: u64) -> bool {
        let step = |arrival: u64| {
            let arrival = arrival.max(now_ns);
            (arrival - now_ns <= tolerance_ns).then(|| arrival.saturating_add(interval_ns))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok()
    }
}

/// All buckets of one sandbox.
#[derive(Debug)]
pub(crate) struct Limits {
    numbers: Vec<(AtomicU64, Gcra)>,
    pairs: DashMap<u64, u64>,
}

impl Limits {
    /// One throughput bucket per number, from its messages per second (at least 1).
    pub(crate) fn new(rates: impl Iterator<Item = u32>) -> Self {
        let numbers = rates.map(|rate| (AtomicU64::new(interval(rate)), Gcra::default())).collect();
        Self { numbers, pairs: DashMap::new() }
    }

    /// Whether the number may send one more message now.
    pub(crate) fn throughput(&self, number: usize, now_ns: u64, burst_ms: u64) -> bool {
        let Some((interval, bucket)) = self.numbers.get(number) else { return true };
        let interval = interval.load(Ordering::Relaxed);
        bucket.take(now_ns, interval, ms(burst_ms).saturating_sub(interval))
    }

    /// An inbound message uses up throughput but is never refused.
    pub(crate) fn inbound(&self, number: usize, now_ns: u64) {
        if let Some((interval, bucket)) = self.numbers.get(number) {
            bucket.take(now_ns, interval.load(Ordering::Relaxed), SECOND_NS);
        }
    }

    /// Whether one more message of the pair may go now.
    pub(crate) fn pair(&self, pair: u64, now_ns: u64) -> bool {
        if self.pairs.len() > PAIRS_KEPT {
            self.pairs.retain(|_, arrival| *arrival > now_ns);
        }
        let mut arrival = self.pairs.entry(pair).or_insert(now_ns);
        let next = (*arrival).max(now_ns);
        let conforms = next - now_ns <= PAIR_INTERVAL_NS * (PAIR_BURST - 1);
        if conforms {
            *arrival = next + PAIR_INTERVAL_NS;
        }
        conforms
    }

    /// Gives a number another rate.
    pub(crate) fn set_rate(&self, number: usize, messages_per_second: u32) {
        if let Some((own, _)) = self.numbers.get(number) {
            own.store(interval(messages_per_second), Ordering::Relaxed);
        }
    }

    /// Pairs that have borrowed from the future, and until when.
    pub(crate) fn paces(&self, now_ns: u64) -> Vec<(u64, u64)> {
        let borrowed = self.pairs.iter().filter(|entry| *entry.value() > now_ns);
        borrowed.map(|entry| (*entry.key(), *entry.value())).collect()
    }

    pub(crate) fn set_paces(&self, paces: impl Iterator<Item = (u64, u64)>) {
        paces.for_each(|(pair, until)| _ = self.pairs.insert(pair, until));
    }

    pub(crate) fn clear(&self) {
        self.pairs.clear();
        for (_, bucket) in &self.numbers {
            bucket.0.store(0, Ordering::Relaxed);
        }
    }
}

/// Nanoseconds between two messages at this rate.
fn interval(messages_per_second: u32) -> u64 {
    SECOND_NS / u64::from(messages_per_second.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_sends_one_second_at_once_and_then_its_rate() {
        let limits = Limits::new([80].into_iter());
        let at = |now: u64| (0..1_000).filter(|_| limits.throughput(0, now, 1_000)).count();
        assert_eq!(at(SECOND_NS), 80);
        assert_eq!(at(SECOND_NS + SECOND_NS / 2), 40);
        assert_eq!(at(100 * SECOND_NS), 80);
    }

    #[test]
    fn inbound_messages_use_up_the_rate() {
        let limits = Limits::new([80].into_iter());
        (0..30).for_each(|_| limits.inbound(0, 0));
        assert_eq!((0..1_000).filter(|_| limits.throughput(0, 0, 1_000)).count(), 50);
    }

    #[test]
    fn a_pair_may_burst_45_and_then_one_per_six_seconds() {
        let limits = Limits::new([80].into_iter());
        assert_eq!((0..100).filter(|_| limits.pair(7, 0)).count(), 45);
        assert!(!limits.pair(7, PAIR_INTERVAL_NS - 1));
        assert!(limits.pair(7, PAIR_INTERVAL_NS));
        assert!(!limits.pair(7, PAIR_INTERVAL_NS));
        assert!(limits.pair(8, PAIR_INTERVAL_NS), "another pair is not concerned");
    }
}
