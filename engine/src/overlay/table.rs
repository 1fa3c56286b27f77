//! One kind of row in the overlay: what is known, what is dirty, what may be forgotten. Not a cache with a
//! clock: forgetting counts flushes of the projector.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// A row may be forgotten when it is clean and two flushes have passed since it was last wanted: a load from
/// the views that began before its last flush can then no longer be under way (see [`super::Overlay::insert`]).
const KEEP_FLUSHES: u32 = 2;

#[derive(Debug)]
struct Slot<V> {
    /// `None`: known to be absent.
    row: Option<Arc<V>>,
    dirty: bool,
    wanted: u32,
}

/// Rows of one kind.
#[derive(Debug)]
pub struct Table<K, V> {
    slots: HashMap<K, Slot<V>>,
    dirty: Vec<K>,
    flushes: u32,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    /// A table that forgets clean rows once it holds more than `capacity`.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { slots: HashMap::new(), dirty: Vec::new(), flushes: 0, capacity }
    }

    /// The row, when known and present.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.slots.get(key).and_then(|s| s.row.as_deref())
    }

    /// The row itself, when known and present.
    #[must_use]
    pub fn shared(&self, key: &K) -> Option<Arc<V>> {
        self.slots.get(key).and_then(|s| s.row.clone())
    }

    /// Whether presence or absence is known; marks the row as wanted.
    pub fn want(&mut self, key: &K) -> bool {
        let flushes = self.flushes;
        self.slots.get_mut(key).is_some_and(|s| {
            s.wanted = flushes;
            true
        })
    }

    /// What the views hold, unless something is known already.
    pub fn learn(&mut self, key: K, row: Option<Arc<V>>) {
        let wanted = self.flushes;
        self.slots.entry(key).or_insert(Slot { row, dirty: false, wanted });
    }

    /// Writes a row.
    pub fn put(&mut self, key: K, row: V) {
        self.put_shared(key, Arc::new(row));
    }

    fn put_shared(&mut self, key: K, row: Arc<V>) {
        let wanted = self.flushes;
        let slot = self.slots.entry(key.clone()).or_insert(Slot { row: None, dirty: false, wanted });
        slot.row = Some(row);
        slot.wanted = wanted;
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Changes a row in place; `None` when it is not there.
    pub fn edit<R>(&mut self, key: &K, change: impl FnOnce(&mut V) -> R) -> Option<R> {
        let slot = self.slots.get_mut(key)?;
        let row = slot.row.as_mut()?;
        slot.wanted = self.flushes;
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key.clone());
        }
        Some(change(Arc::make_mut(row)))
    }

    /// The dirty rows, which count as clean from here on.
    pub fn drain(&mut self) -> Vec<Arc<V>> {
        let keys = std::mem::take(&mut self.dirty);
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.dirty = false;
                slot.wanted = self.flushes;
                rows.extend(slot.row.clone());
            }
        }
        rows
    }

    /// The drained rows are in the views: one more flush. Forgets what may be forgotten, except `pinned`.
    pub fn flushed(&mut self, pinned: impl Fn(&K, Option<&V>) -> bool) {
        self.flushes += 1;
        if self.slots.len() <= self.capacity {
            return;
        }
        let now = self.flushes;
        self.slots.retain(|key, slot| {
            slot.dirty || slot.wanted + KEEP_FLUSHES >= now || pinned(key, slot.row.as_deref())
        });
    }

    /// Drops one clean row so that it is read again.
    pub fn forget(&mut self, key: &K) {
        if self.slots.get(key).is_some_and(|s| !s.dirty) {
            self.slots.remove(key);
        }
    }

    /// Forgets what is known to be absent.
    pub fn forget_absent(&mut self) {
        self.slots.retain(|_, slot| slot.row.is_some());
    }

    /// Rows known, present or absent.
    #[must_use]
    pub fn known(&self) -> usize {
        self.slots.len()
    }

    /// Rows that wait for the projector.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.dirty.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dirty_row_is_never_forgotten_and_a_clean_one_only_after_two_flushes() {
        let mut table: Table<u32, u32> = Table::new(0);
        table.put(1, 10);
        table.flushed(|_, _| false);
        table.flushed(|_, _| false);
        table.flushed(|_, _| false);
        assert_eq!(table.get(&1), Some(&10), "dirty");
        assert_eq!(table.drain().len(), 1);
        table.flushed(|_, _| false);
        table.flushed(|_, _| false);
        assert_eq!(table.get(&1), Some(&10), "too early");
        table.flushed(|_, _| false);
        assert!(!table.want(&1));
    }

    #[test]
    fn what_is_known_is_not_overwritten_by_what_the_views_held_before() {
        let mut table: Table<u32, u32> = Table::new(10);
        table.put(1, 10);
        table.learn(1, Some(Arc::new(9)));
        assert_eq!(table.get(&1), Some(&10));
        table.learn(2, None);
        assert!(table.want(&2));
        assert_eq!(table.get(&2), None);
    }
}
