//! Which actors live on this node, by key.
//!
//! Per node and never global. Not placement: it knows nothing of other nodes.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::cell::{AnyCell, Phase};
use crate::handle::Handle;

/// What may name an actor.
pub trait Key: Eq + Hash + Clone + Send + Sync + Debug + 'static {}

impl<T: Eq + Hash + Clone + Send + Sync + Debug + 'static> Key for T {}

/// The node's actors by key.
pub struct Directory<K> {
    cells: DashMap<K, Arc<dyn AnyCell>, RandomState>,
}

impl<K: Key> Directory<K> {
    pub(crate) fn new() -> Self {
        Self { cells: DashMap::default() }
    }

    /// The actor of `key` if it lives or is being restarted. `None` too if it takes other messages than `M`.
    #[must_use]
    pub fn get<M: Send + 'static>(&self, key: &K) -> Option<Handle<M>> {
        // Cloned first: the map's lock is not held while the cell is looked at.
        let cell = Arc::clone(self.cells.get(key)?.value());
        matches!(cell.phase(), Phase::Live | Phase::Starting).then(|| Handle::from_any(cell)).flatten()
    }

    /// Actors on this node, those that are ending included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.cells.len()
    }

    /// As [`Directory::count`], by label. Walks over all of them.
    #[must_use]
    pub fn count_by_label(&self) -> HashMap<&'static str, usize> {
        let mut counts = HashMap::new();
        for entry in &self.cells {
            *counts.entry(entry.value().name().label()).or_insert(0) += 1;
        }
        counts
    }

    pub(crate) fn insert(&self, key: K, cell: Arc<dyn AnyCell>) {
        self.cells.insert(key, cell);
    }

    /// Removes `key` if it still names `cell`.
    pub(crate) fn remove(&self, key: &K, cell: &Arc<dyn AnyCell>) {
        self.cells.remove_if(key, |_, present| same(present, cell));
    }
}

/// Whether two erased cells are one; compares addresses without the vtable, which is not unique.
fn same(one: &Arc<dyn AnyCell>, other: &Arc<dyn AnyCell>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}
