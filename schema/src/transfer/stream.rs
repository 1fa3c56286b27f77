//! The journal's move: positions are kept, and the target's own tips say where to go on. Not what entries mean.

use super::{Mover, On, Phase, Side, TransferError, all};
use crate::Answer;
use crate::codec;
use crate::error::StoreError;
use crate::journal::{Cursor, Fence, ShardSet};
use crate::store::Store;
use kabar_engine::entry::{Entry, Position, What};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Entries read at once.
const PAGE: usize = 5_000;
/// Entries of a frame: fewer than any backend refuses.
const FRAME: usize = 1_000;
/// Shards written at once.
const AT_ONCE: usize = 16;
/// The epoch that says of a place-holder what it is: no node ever has it.
const NEVER: u64 = 0;

/// The epoch under which the target's shards are written: higher than any before, lower than any node's after.
async fn epoch(target: &Store) -> Result<u64, StoreError> {
    target.leases.take().await
}

/// Stands at the position of an entry that cannot be read any more, because its tenant was erased. It means nothing.
fn placeholder(at: Timestamp) -> Arc<Entry> {
    Arc::new(Entry { tenant: TenantId(0), at, what: What::Opened { epoch: NEVER } })
}

/// Whether an entry only holds a place.
pub(super) fn is_placeholder(entry: &Entry) -> bool {
    matches!(entry.what, What::Opened { epoch: NEVER })
}

/// A shard of the target while it is written.
struct Line {
    tip: Position,
    waiting: Vec<Arc<Entry>>,
    last: Timestamp,
}

impl Line {
    fn fill(&mut self, upto: Position) {
        while self.tip.plus(self.waiting.len() as u64) < upto {
            self.waiting.push(placeholder(self.last));
        }
    }

    fn push(&mut self, position: Position, entry: Arc<Entry>) {
        if position <= self.tip.plus(self.waiting.len() as u64) {
            return;
        }
        self.fill(Position(position.0 - 1));
        self.last = entry.at;
        self.waiting.push(entry);
    }
}

/// Moves every entry that the source still has.
pub(super) async fn journal(m: &Mover<'_>) -> Result<(), TransferError> {
    let phase = Phase::Journal;
    let floor = m.source.journal.floor().await.on(Side::Source, phase)?;
    let epoch = epoch(m.target).await.on(Side::Target, phase)?;
    let mut lines = open(m, epoch, &floor).await.on(Side::Target, phase)?;
    let mut cursor: Cursor = lines.iter().map(|(shard, line)| (*shard, line.tip)).collect();
    let marks = m.source.views.marks().await.on(Side::Source, phase)?;
    // Nearly the whole: what lies behind the views is a flush.
    let total = marks.iter().map(|mark| mark.position.0.saturating_sub(floor.at(mark.shard).0)).sum();
    let mut done: u64 = lines.iter().map(|(shard, line)| line.tip.0.saturating_sub(floor.at(*shard).0)).sum();
    loop {
        let page = m.source.journal.read(&ShardSet::all(), &cursor, PAGE).await.on(Side::Source, phase)?;
        for (shard, position, entry) in page.entries {
            line(&mut lines, shard).push(position, entry);
        }
        for (shard, upto) in &page.cursor.0 {
            line(&mut lines, *shard).fill(*upto);
        }
        done += write(m, epoch, &mut lines).await.on(Side::Target, phase)?;
        m.tell(phase, done, total)?;
        cursor = page.cursor;
        if page.end {
            return Ok(());
        }
    }
}

fn line(lines: &mut BTreeMap<ShardId, Line>, shard: ShardId) -> &mut Line {
    lines.get_mut(&shard).expect("invariant: every shard was opened")
}

/// Takes every shard of the target and finds out where it stands.
async fn open(m: &Mover<'_>, epoch: u64, floor: &Cursor) -> Result<BTreeMap<ShardId, Line>, StoreError> {
    let begun = m.target.journal.floor().await?;
    for (shard, position) in &floor.0 {
        if begun.at(*shard) < *position {
            m.target.journal.begin_at(*shard, *position).await?;
        }
    }
    let take: Vec<_> = ShardId::all().map(|shard| m.target.journal.open(Fence { shard, epoch })).collect();
    let tips = all(AT_ONCE, take).await?;
    let line = |tip| Line { tip, waiting: Vec::new(), last: Timestamp::default() };
    Ok(ShardId::all().zip(tips).map(|(shard, tip)| (shard, line(tip))).collect())
}

/// Writes what waits, shards beside each other, each in order; tells how many entries that were.
async fn write(m: &Mover<'_>, epoch: u64, lines: &mut BTreeMap<ShardId, Line>) -> Result<u64, StoreError> {
    let mut writes: Vec<Answer<'_, u64>> = Vec::new();
    for (shard, line) in lines.iter_mut().filter(|(_, line)| !line.waiting.is_empty()) {
        let (entries, base) = (std::mem::take(&mut line.waiting), line.tip.plus(1));
        line.tip = line.tip.plus(entries.len() as u64);
        let fence = Fence { shard: *shard, epoch };
        writes.push(Box::pin(append(m.target, fence, base, entries)));
    }
    Ok(all(AT_ONCE, writes).await?.into_iter().sum())
}

async fn append(
    target: &Store,
    fence: Fence,
    mut base: Position,
    entries: Vec<Arc<Entry>>,
) -> Result<u64, StoreError> {
    let count = entries.len() as u64;
    for batch in codec::split(entries) {
        for batch in batch.chunks(FRAME) {
            target.journal.append(fence, base, batch.to_vec()).await?;
            base = base.plus(batch.len() as u64);
        }
    }
    Ok(count)
}
