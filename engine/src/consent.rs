//! Who may be written to: one row per (tenant, address, writing shard), read as a union, newest time wins. Not
//! the contact, not the ledger of evidence.

use crate::address::Address;
use crate::entry::{ConsentSource, Position};
use crate::id::{ShardId, TenantId};
use crate::optout::Wish;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// What one shard heard of a person's wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressedRow {
    /// Whose.
    pub tenant: TenantId,
    /// The person.
    pub address: Address,
    /// The shard that heard it.
    pub shard: ShardId,
    /// In or out.
    pub wish: Wish,
    /// When.
    pub at: Timestamp,
    /// Where it was said.
    pub source: ConsentSource,
    /// The last entry that changed it.
    pub upto: Position,
}

/// The newest wish of several shards' rows; at the same instant the opt-out wins.
#[must_use]
pub fn newest(rows: &[SuppressedRow]) -> Option<(Wish, Timestamp)> {
    rows.iter().map(|r| (r.wish, r.at)).reduce(newer)
}

/// One row a shard: of two from the same shard the one that stands further in its journal, whatever their clocks
/// said.
#[must_use]
pub fn latest(rows: impl IntoIterator<Item = SuppressedRow>) -> Vec<SuppressedRow> {
    let mut latest: BTreeMap<ShardId, SuppressedRow> = BTreeMap::new();
    for row in rows {
        if latest.get(&row.shard).is_none_or(|known| known.upto < row.upto) {
            latest.insert(row.shard, row);
        }
    }
    latest.into_values().collect()
}

/// The newer of two wishes; at the same instant the opt-out wins.
#[must_use]
pub fn newer(a: (Wish, Timestamp), b: (Wish, Timestamp)) -> (Wish, Timestamp) {
    match a.1.cmp(&b.1) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Equal if b.0 == Wish::OptOut => b,
        std::cmp::Ordering::Equal => a,
    }
}
