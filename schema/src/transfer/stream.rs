//! The journal's move: positions are kept, and the target's own tips say where to go on. Not what entries mean.

use super::{Mover, On, Phase, Side, TransferError, all};
use crate::Answer;
use crate::codec;
use crate::error::StoreError;
use crate::journal::{Cursor, Fence, ShardSet};
use crate::leases::Outcome;
use crate::store::Store;
use kabar_engine::entry::{Entry, Position, What};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::lease::Owner;
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

/// The shards of the target as this move holds them. Whoever held them before is fenced off by the epochs.
struct Held {
    owner: Owner,
    epochs: BTreeMap<ShardId, u64>,
}

impl Held {
    async fn take(target: &Store) -> Result<Self, StoreError> {
        let owner = Owner::new("migrate-store", rand::random());
        let rows = target.leases.read(&ShardSet::all()).await?;
        let answers = target.leases.take(&owner, &rows).await;
        let mut epochs = BTreeMap::new();
        for (row, answer) in rows.iter().zip(answers) {
            // Refused: somebody else takes shards at this moment.
            let Outcome::Done = answer? else { return Err(StoreError::Conflict) };
            epochs.insert(row.shard, row.taken_by(&owner).epoch);
        }
        Ok(Self { owner, epochs })
    }

    fn fence(&self, shard: ShardId) -> Fence {
        Fence { shard, epoch: self.epochs[&shard] }
    }

    /// A node that starts on the target has nobody to wait for.
    async fn give_back(self, target: &Store) -> Result<(), StoreError> {
        let mut releases: Vec<Answer<'_, Outcome>> = Vec::new();
        for (shard, epoch) in &self.epochs {
            releases.push(target.leases.release(*shard, &self.owner, *epoch));
        }
        all(AT_ONCE, releases).await.map(|_| ())
    }
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
    let held = Held::take(m.target).await.on(Side::Target, phase)?;
    let mut lines = open(m, &held, &floor).await.on(Side::Target, phase)?;
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
        done += write(m, &held, &mut lines).await.on(Side::Target, phase)?;
        m.tell(phase, done, total)?;
        cursor = page.cursor;
        if page.end {
            return held.give_back(m.target).await.on(Side::Target, phase);
        }
    }
}

fn line(lines: &mut BTreeMap<ShardId, Line>, shard: ShardId) -> &mut Line {
    lines.get_mut(&shard).expect("invariant: every shard was opened")
}

/// Takes every shard of the target and finds out where it stands.
async fn open(m: &Mover<'_>, held: &Held, floor: &Cursor) -> Result<BTreeMap<ShardId, Line>, StoreError> {
    let begun = m.target.journal.floor().await?;
    for (shard, position) in &floor.0 {
        if begun.at(*shard) < *position {
            m.target.journal.begin_at(*shard, *position).await?;
        }
    }
    let take: Vec<_> = ShardId::all().map(|shard| m.target.journal.open(held.fence(shard))).collect();
    let tips = all(AT_ONCE, take).await?;
    let line = |tip| Line { tip, waiting: Vec::new(), last: Timestamp::default() };
    Ok(ShardId::all().zip(tips).map(|(shard, tip)| (shard, line(tip))).collect())
}

/// Writes what waits, shards beside each other, each in order; tells how many entries that were.
async fn write(m: &Mover<'_>, held: &Held, lines: &mut BTreeMap<ShardId, Line>) -> Result<u64, StoreError> {
    let mut writes: Vec<Answer<'_, u64>> = Vec::new();
    for (shard, line) in lines.iter_mut().filter(|(_, line)| !line.waiting.is_empty()) {
        let (entries, base) = (std::mem::take(&mut line.waiting), line.tip.plus(1));
        line.tip = line.tip.plus(entries.len() as u64);
        writes.push(Box::pin(append(m.target, held.fence(*shard), base, entries)));
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
