//! One kind of row in the overlay: what is known, what is dirty, what may be forgotten. Not a cache with a
//! clock: forgetting counts flushes of the projector.

use crate::hash::HashMap;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// A row may be forgotten when it is clean and two flushes have passed since it was last wanted: a load from
/// the views that began before its last flush can then no longer be under way (see [`super::Overlay::insert`]).
const KEEP_FLUSHES: u32 = 2;

/// What nobody wanted for so many flushes is forgotten even where there is room: two minutes, when the projector comes
/// every second. Most of what comes later to a message, and the next word of a conversation, comes before.
const IDLE_FLUSHES: u32 = 120;
/// Of the rows that there is room for, one in so many is looked at after a flush.
const LOOK_EVERY: usize = 16;
/// A table that once was large gives its memory back, down to room for so many rows.
const ROOM_MIN: usize = 256;

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
    /// Every slot's key, those first that were longest not looked at for forgetting; keys without a slot are passed over.
    turn: VecDeque<K>,
    /// How many of them are to be looked at since the last flush.
    to_look: usize,
    flushes: u32,
    capacity: usize,
}

impl<K: Clone + Eq + Hash, V: Clone> Table<K, V> {
    /// A table that forgets clean rows once it holds more than `capacity`.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: HashMap::default(),
            dirty: Vec::new(),
            turn: VecDeque::new(),
            to_look: 0,
            flushes: 0,
            capacity,
        }
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
        if let Entry::Vacant(slot) = self.slots.entry(key) {
            self.turn.push_back(slot.key().clone());
            slot.insert(Slot { row, dirty: false, wanted });
        }
    }

    /// Writes a row.
    pub fn put(&mut self, key: K, row: V) {
        self.put_shared(key, Arc::new(row));
    }

    fn put_shared(&mut self, key: K, row: Arc<V>) {
        let wanted = self.flushes;
        let slot = match self.slots.entry(key.clone()) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(slot) => {
                self.turn.push_back(key.clone());
                slot.insert(Slot { row: None, dirty: false, wanted })
            }
        };
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

    /// The drained rows are in the views: one more flush, or as long without a change as so many take.
    pub fn flushed(&mut self, flushes: u32) {
        self.flushes += flushes;
        let rows = self.turn.len();
        let some = (rows * flushes as usize).div_ceil(LOOK_EVERY).min(rows);
        self.to_look = if rows > self.capacity { rows } else { some };
        let room = (2 * rows).max(ROOM_MIN);
        if self.slots.capacity() > 4 * room {
            self.slots.shrink_to(room);
            self.turn.shrink_to(room);
        }
    }

    /// Looks at some rows, and forgets those that may be forgotten and are not `pinned`: where there are more than the
    /// capacity, and where nobody wanted them for long. Whether there are more to look at since the last flush: all at
    /// once would keep everybody waiting.
    pub fn sweep(&mut self, looks: usize, pinned: impl Fn(&K, Option<&V>) -> bool) -> bool {
        let now = self.flushes;
        for _ in 0..looks.min(self.to_look) {
            self.to_look -= 1;
            let Some(key) = self.turn.pop_front() else { break };
            let Some(slot) = self.slots.get(&key) else { continue };
            let keep = if self.slots.len() > self.capacity { KEEP_FLUSHES } else { IDLE_FLUSHES };
            let stays = slot.dirty || slot.wanted + keep >= now || pinned(&key, slot.row.as_deref());
            if stays {
                self.turn.push_back(key);
            } else {
                self.slots.remove(&key);
            }
        }
        self.to_look > 0
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

    fn flush(table: &mut Table<u32, u32>) {
        table.flushed(1);
        while table.sweep(1, |key, _| *key == 7) {}
    }

    #[test]
    fn a_dirty_row_is_never_forgotten_and_a_clean_one_only_after_two_flushes() {
        let mut table: Table<u32, u32> = Table::new(0);
        table.put(1, 10);
        for _ in 0..3 {
            flush(&mut table);
        }
        assert_eq!(table.get(&1), Some(&10), "dirty");
        assert_eq!(table.drain().len(), 1);
        flush(&mut table);
        flush(&mut table);
        assert_eq!(table.get(&1), Some(&10), "too early");
        flush(&mut table);
        assert!(!table.want(&1));
    }

    #[test]
    fn no_more_is_forgotten_than_there_is_too_much_and_what_was_wanted_or_is_pinned_stays() {
        let mut table: Table<u32, u32> = Table::new(3);
        for key in 0..10 {
            table.learn(key, Some(Arc::new(key)));
        }
        for _ in 0..3 {
            flush(&mut table);
            assert!(table.want(&1));
        }
        let left: Vec<u32> = (0..10).filter(|key| table.get(key).is_some()).collect();
        assert_eq!(left, [1, 7, 9], "the oldest go first, down to what it may hold");
        for _ in 0..IDLE_FLUSHES + 2 * u32::try_from(LOOK_EVERY).unwrap() {
            flush(&mut table);
            assert!(table.want(&1));
        }
        assert!(table.get(&1).is_some() && table.get(&7).is_some(), "wanted, and pinned");
        assert_eq!(table.known(), 2, "what nobody wants goes in the end");
    }

    #[test]
    fn a_table_that_was_large_gives_its_memory_back() {
        let mut table: Table<u32, u32> = Table::new(0);
        for key in 10..20_010 {
            table.learn(key, None);
        }
        for _ in 0..5 {
            flush(&mut table);
        }
        assert_eq!(table.known(), 0);
        assert!(table.slots.capacity() <= 4 * ROOM_MIN && table.turn.capacity() <= 4 * ROOM_MIN);
    }

    #[test]
    fn what_was_dropped_leaves_no_key_behind_for_ever() {
        let mut table: Table<u32, u32> = Table::new(2);
        for _ in 0..100 {
            table.learn(1, None);
            table.forget(&1);
            table.learn(2, None);
            table.forget_absent();
            flush(&mut table);
        }
        assert!(table.turn.len() <= 4, "{}", table.turn.len());
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
