//! Where in a shard's stream a moment lies: found by looking at single entries, few of them. Entries are as old as their
//! owner's clock said; where that stepped back the place is one of those that fit.

use super::{Cursor, Journal, ShardSet};
use crate::error::StoreError;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;

/// The position before the shard's first entry that is not older than `at`; `tip` when all up to there are older.
///
/// # Errors
/// What the journal could not do.
pub async fn seek(
    journal: &dyn Journal,
    shard: ShardId,
    at: Timestamp,
    tip: Position,
) -> Result<Position, StoreError> {
    let one = ShardSet::one(shard);
    // Everything up to `low` is older. First in growing steps, so that what is near is found near.
    let mut low = journal.before(shard, at).await?.min(tip);
    let (mut high, mut stride) = (tip, 1);
    while low < high {
        let middle = match high == tip {
            true => Position((low.0 + stride).min(tip.0) - 1),
            false => Position(low.0 + (high.0 - low.0) / 2),
        };
        let page = journal.read(&one, &Cursor::from_iter([(shard, middle)]), 1).await?;
        match page.entries.first() {
            Some((_, found, entry)) if entry.at < at => low = (*found).min(tip),
            // Nothing of it, or nothing more, up to the tip: what is looked for lies before.
            _ => high = middle,
        }
        stride = stride.saturating_mul(4);
    }
    Ok(low)
}
