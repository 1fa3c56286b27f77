//! What certainly stands in no table of random keys: almost every key that is asked for is new, and to find that out in
//! a table costs a page that nobody else wants. Only of tables made since the start: what stands in older ones is not
//! known here, and they are gone in a day or a week.

use fastbloom::BloomFilter;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// Bits for each key; with so many one of a hundred absent keys is looked up in vain.
const BITS: usize = 10;
/// Keys of a table's first layer; each further one takes twice as many.
const FIRST: usize = 16 * 1024;
/// Bytes of all sieves. A table that would need more is read, as if it were an old one.
const BYTES: usize = 64 << 20;

/// The tables by kind and number.
type Tables = HashMap<(&'static str, i64), Sieve>;

/// The sieves of all tables that have one.
#[derive(Debug, Default)]
pub(super) struct Sieves(RwLock<Tables>);

#[derive(Debug, Default)]
struct Sieve {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    filter: BloomFilter<BuildHasherDefault<DefaultHasher>>,
    room: usize,
}

impl Layer {
    fn of(keys: usize) -> Self {
        let builder = BloomFilter::with_num_bits(keys * BITS).hasher(BuildHasherDefault::default());
        Self { filter: builder.expected_items(keys), room: keys }
    }

    fn bytes(&self) -> usize {
        self.filter.num_bits() / 8
    }
}

impl Sieve {
    fn bytes(&self) -> usize {
        self.layers.iter().map(Layer::bytes).sum()
    }

    fn add(&mut self, hash: u64) {
        if self.layers.last().is_none_or(|layer| layer.room == 0) {
            self.layers.push(Layer::of(FIRST << self.layers.len()));
        }
        let layer = self.layers.last_mut().expect("invariant: pushed where there was none");
        layer.filter.insert_hash(hash);
        layer.room -= 1;
    }
}

impl Sieves {
    /// A table was made, and is empty.
    pub(super) fn begin(&self, kind: &'static str, number: i64) {
        self.0.write().insert((kind, number), Sieve::default());
    }

    /// These keys are about to stand in a table. More than stand there in the end does no harm.
    pub(super) fn note(&self, kind: &'static str, number: i64, hashes: impl Iterator<Item = u64>) {
        self.bounded((kind, number), hashes, BYTES);
    }

    fn bounded(&self, table: (&'static str, i64), hashes: impl Iterator<Item = u64>, most: usize) {
        let mut tables = self.0.write();
        let Some(sieve) = tables.get_mut(&table) else { return };
        hashes.for_each(|hash| sieve.add(hash));
        if tables.values().map(Sieve::bytes).sum::<usize>() > most {
            tables.remove(&table);
        }
    }

    /// Whether a key certainly stands not in a table.
    pub(super) fn lacks(&self, kind: &'static str, number: i64, hash: u64) -> bool {
        let tables = self.0.read();
        let Some(sieve) = tables.get(&(kind, number)) else { return false };
        !sieve.layers.iter().any(|layer| layer.filter.contains_hash(hash))
    }

    /// A table is gone.
    pub(super) fn forget(&self, kind: &'static str, number: i64) {
        self.0.write().remove(&(kind, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::BuildHasher;

    #[test]
    fn a_key_that_was_noted_is_never_lacking_and_nearly_every_other_is() {
        let (sieves, hash) = (Sieves::default(), BuildHasherDefault::<DefaultHasher>::default());
        sieves.begin("seen", 1);
        let known: Vec<u64> = (0..4 * FIRST).map(|key| hash.hash_one(key)).collect();
        sieves.note("seen", 1, known.iter().copied());
        assert!(known.iter().all(|hash| !sieves.lacks("seen", 1, *hash)));
        let others = 4 * FIRST..4 * FIRST + 10_000;
        let in_vain = others.filter(|key| !sieves.lacks("seen", 1, hash.hash_one(key))).count();
        assert!(in_vain < 500, "{in_vain} of 10,000");
    }

    #[test]
    fn of_a_table_that_is_not_known_whole_nothing_is_said() {
        let sieves = Sieves::default();
        sieves.note("seen", 1, [7].into_iter());
        assert!(!sieves.lacks("seen", 1, 8), "it was there before the start");
        sieves.begin("seen", 2);
        assert!(sieves.lacks("seen", 2, 8));
        sieves.bounded(("seen", 2), [7].into_iter(), 1);
        assert!(!sieves.lacks("seen", 2, 8), "there was no room to know it whole");
        sieves.begin("seen", 3);
        sieves.forget("seen", 3);
        assert!(!sieves.lacks("seen", 3, 8));
    }
}
