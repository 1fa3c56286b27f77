//! The journal: the only durable truth of the hot path, one ordered stream per shard, appended by the shard's
//! owner under its fence. Here stands the seam and its vocabulary; the embedded backend lies beside.
//!
//! Not the views (they are folded from it), not a message queue: readers keep their own [`Cursor`].

pub(crate) mod admission;
pub(crate) mod archive;
mod disk;
mod embedded;
mod header;
mod index;
mod noting;
mod queue;
mod reader;
mod recovery;
mod scan;
mod seek;
mod writer;

pub use disk::{Disk, RealDisk};
pub use embedded::{EmbeddedJournal, JournalOptions, OnFailure};
pub use noting::NotingDisk;
pub use seek::seek;

use crate::Answer;
use crate::error::StoreError;
use futures::future::BoxFuture;
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who appends: the shard, and the epoch under which it is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The shard.
    pub shard: ShardId,
    /// The owner's epoch.
    pub epoch: u64,
}

/// How far a reader has come: the last position read per shard; a shard that is absent is read from the
/// beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(pub BTreeMap<ShardId, Position>);

impl Cursor {
    /// The last position read of `shard`, 0 when none.
    #[must_use]
    pub fn at(&self, shard: ShardId) -> Position {
        self.0.get(&shard).copied().unwrap_or_default()
    }

    /// Moves `shard` forward to `position`; never back.
    pub fn advance(&mut self, shard: ShardId, position: Position) {
        let at = self.0.entry(shard).or_default();
        *at = (*at).max(position);
    }
}

impl FromIterator<(ShardId, Position)> for Cursor {
    fn from_iter<I: IntoIterator<Item = (ShardId, Position)>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// Some of the 256 shards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardSet([u64; 4]);

impl ShardSet {
    /// No shard.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Every shard.
    #[must_use]
    pub fn all() -> Self {
        Self([u64::MAX; 4])
    }

    /// One shard.
    #[must_use]
    pub fn one(shard: ShardId) -> Self {
        Self::none().with(shard)
    }

    /// This set and `shard`.
    #[must_use]
    pub fn with(mut self, shard: ShardId) -> Self {
        self.insert(shard);
        self
    }

    /// Adds a shard.
    pub fn insert(&mut self, shard: ShardId) {
        self.0[usize::from(shard.0 >> 6)] |= 1 << (shard.0 & 63);
    }

    /// Takes a shard out.
    pub fn remove(&mut self, shard: ShardId) {
        self.0[usize::from(shard.0 >> 6)] &= !(1 << (shard.0 & 63));
    }

    /// Whether a shard is in it.
    #[must_use]
    pub fn contains(&self, shard: ShardId) -> bool {
        self.0[usize::from(shard.0 >> 6)] & (1 << (shard.0 & 63)) != 0
    }

    /// Whether no shard is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// Its shards in order.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + '_ {
        ShardId::all().filter(|shard| self.contains(*shard))
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(iter: I) -> Self {
        let mut set = Self::none();
        iter.into_iter().for_each(|shard| set.insert(shard));
        set
    }
}

/// What one read gives.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Durable entries: in order within a shard, in order of arrival across shards. Entries of an erased tenant
    /// are left out; their positions are passed by the cursor all the same.
    pub entries: Vec<(ShardId, Position, Arc<Entry>)>,
    /// Where the next read goes on.
    pub cursor: Cursor,
    /// Whether everything durable at the time of the read has been given.
    pub end: bool,
}

/// What the journal has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Synced groups; 0 on memory.
    pub syncs: u64,
    /// Appended batches.
    pub frames: u64,
    /// Appended entries.
    pub entries: u64,
    /// Bytes of frames; 0 on memory.
    pub bytes: u64,
}

/// The ordered, fenced, durable streams of the shards.
pub trait Journal: Send + Sync {
    /// Appends `entries` to the shard's stream; `base` is the position of the first and must be the tip + 1.
    ///
    /// Enqueues in call order *at the call*, before it returns; the future only waits, and dropping it takes
    /// nothing back. All or nothing; durable when `Ok`. A frame holds at most [`crate::codec::FRAME_MAX`] bytes
    /// and an entry at most [`crate::codec::ENTRY_MAX`] ([`crate::codec::split`] makes batches that fit).
    ///
    /// Answers `Fenced` when the fence is not the shard's current one, `Conflict` for a wrong base, an empty
    /// batch, or one that is too large, `Overloaded` when too much waits. After a failed append under the
    /// current fence every later one answers `Unavailable`, until the shard is taken again with
    /// [`Journal::open`]: what followed the failed one was decided on top of it.
    fn append(
        &self,
        fence: Fence,
        base: Position,
        entries: Vec<Arc<Entry>>,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Takes the shard under this epoch, which must be higher than any before, and tells its tip (the last
    /// position, 0 when empty). What an earlier owner had enqueued is durable, or counted out, before the
    /// answer. `Fenced` when the epoch is not higher.
    fn open(&self, fence: Fence) -> Answer<'_, Position>;

    /// Lets an empty shard's stream begin behind `position`, as if everything up to it had been retired: for a
    /// journal that is moved here. The same again is Ok while nothing was appended. `Conflict` when the shard is not
    /// empty. Segment files tell their begin of all shards at once, so the embedded journal knows no such begin and
    /// answers `Unavailable`: nothing can be moved into a folder.
    fn begin_at(&self, shard: ShardId, position: Position) -> Answer<'_, ()>;

    /// Durable entries of `shards` after the cursor, at most `max_entries` (at least 1). Entries that were
    /// retired are gone: a position may then be more than one above the cursor's.
    fn read<'a>(&'a self, shards: &'a ShardSet, after: &'a Cursor, max_entries: usize) -> Answer<'a, Page>;

    /// Up to where entries may be gone: what follows these positions is there, unless it is retired meanwhile.
    fn floor(&self) -> Answer<'_, Cursor>;

    /// A position up to which all of the shard's entries are older than `at`: as near to that moment as is known
    /// without reading an entry.
    fn before(&self, shard: ShardId, _at: Timestamp) -> Answer<'_, Position> {
        Box::pin(async move { Ok(self.floor().await?.at(shard)) })
    }

    /// What was done since opening.
    fn stats(&self) -> JournalStats;

    /// Lets go of what lies at or before these positions (an absent shard: nothing) *and* was written wholly
    /// before `older_than`. Tells how many segments (on memory: entries) went.
    fn retire<'a>(&'a self, positions: &'a [(ShardId, Position)], older_than: Timestamp) -> Answer<'a, u64>;
}
