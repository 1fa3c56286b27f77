//! A small memory for what was checked a moment ago, so that not every request reads a record. Bounded in size and
//! in time. Never the truth: what it forgets is asked again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Values by key, each for `keep` at most, never more than `max`.
pub(crate) struct Cache<K, V> {
    entries: Mutex<HashMap<K, (V, Instant)>>,
    keep: Duration,
    max: usize,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(keep: Duration, max: usize) -> Self {
        Self { entries: Mutex::new(HashMap::new()), keep, max }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries();
        let (value, since) = entries.get(key)?;
        (since.elapsed() < self.keep).then(|| value.clone())
    }

    pub(crate) fn put(&self, key: K, value: V) {
        let mut entries = self.entries();
        if entries.len() >= self.max {
            entries.retain(|_, (_, since)| since.elapsed() < self.keep);
        }
        // All of them are fresh: begin again rather than grow.
        if entries.len() >= self.max {
            entries.clear();
        }
        entries.insert(key, (value, Instant::now()));
    }

    /// Forgets one.
    pub(crate) fn forget(&self, key: &K) {
        self.entries().remove(key);
    }

    /// Forgets what fits.
    pub(crate) fn forget_where(&self, fits: impl Fn(&V) -> bool) {
        self.entries().retain(|_, (value, _)| !fits(value));
    }

    /// A map is whole after every step, so a panic elsewhere does not spoil it.
    fn entries(&self) -> MutexGuard<'_, HashMap<K, (V, Instant)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_by_time_by_order_and_by_size() {
        let cache = Cache::new(Duration::from_secs(60), 3);
        for key in 0..3 {
            cache.put(key, key * 10);
        }
        assert_eq!((cache.get(&2), cache.get(&7)), (Some(20), None));
        cache.forget_where(|value| *value == 20);
        assert_eq!(cache.get(&2), None);
        for key in 0..100 {
            cache.put(key, key);
            assert!(cache.entries().len() <= 3);
        }
        let never = Cache::new(Duration::ZERO, 3);
        never.put(1, 1);
        assert_eq!(never.get(&1), None);
    }
}
