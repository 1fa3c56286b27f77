//! The journal in memory: a list per shard, the same fence and position rules, durable as long as the process.

use crate::Answer;
use crate::codec::frame;
use crate::error::StoreError;
use crate::journal::admission::{Admission, refusal};
use crate::journal::{Cursor, Fence, Journal, JournalStats, Page, ShardSet};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::{SHARDS, ShardId};
use kabar_engine::time::Timestamp;
use parking_lot::Mutex;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

#[derive(Debug, Default)]
struct Stream {
    admission: Admission,
    /// How many were retired: the position before the first that is kept.
    retired: u64,
    /// With the number of arrival over all shards.
    entries: VecDeque<(u64, Arc<Entry>)>,
}

#[derive(Debug, Default)]
struct Inner {
    streams: Vec<Stream>,
    arrived: u64,
    stats: JournalStats,
}

/// The journal in memory.
#[derive(Debug)]
pub struct MemoryJournal {
    inner: Mutex<Inner>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        let streams = (0..SHARDS).map(|_| Stream::default()).collect();
        Self { inner: Mutex::new(Inner { streams, ..Inner::default() }) }
    }
}

impl Inner {
    fn append(&mut self, fence: Fence, base: Position, entries: Vec<Arc<Entry>>) -> Result<(), StoreError> {
        let refused = frame::check(&entries).err().map(|error| refusal(fence, error));
        let count = entries.len() as u64;
        let stream = &mut self.streams[usize::from(fence.shard.0)];
        stream.admission.admit(fence, base, count, refused)?;
        for entry in entries {
            self.arrived += 1;
            stream.entries.push_back((self.arrived, entry));
        }
        self.stats.frames += 1;
        self.stats.entries += count;
        Ok(())
    }

    fn read(&self, shards: &ShardSet, after: &Cursor, max_entries: usize) -> Page {
        let mut page = Page { entries: Vec::new(), cursor: after.clone(), end: true };
        // The shards' lists merged by arrival: the order in which segment files would give them.
        let mut next = BinaryHeap::new();
        for shard in shards.iter() {
            let stream = &self.streams[usize::from(shard.0)];
            let place =
                usize::try_from(after.at(shard).0.saturating_sub(stream.retired)).unwrap_or(usize::MAX);
            if let Some((arrived, _)) = stream.entries.get(place) {
                next.push(Reverse((*arrived, shard, place)));
            }
        }
        while let Some(Reverse((_, shard, place))) = next.pop() {
            if page.entries.len() >= max_entries.max(1) {
                page.end = false;
                break;
            }
            let stream = &self.streams[usize::from(shard.0)];
            let position = Position(stream.retired + place as u64 + 1);
            page.entries.push((shard, position, Arc::clone(&stream.entries[place].1)));
            page.cursor.advance(shard, position);
            if let Some((arrived, _)) = stream.entries.get(place + 1) {
                next.push(Reverse((*arrived, shard, place + 1)));
            }
        }
        page
    }

    fn begin_at(&mut self, shard: ShardId, position: Position) -> Result<(), StoreError> {
        let stream = &mut self.streams[usize::from(shard.0)];
        if stream.entries.is_empty() && stream.retired == position.0 {
            return Ok(());
        }
        if !stream.entries.is_empty() || stream.retired > 0 {
            return Err(StoreError::Conflict);
        }
        stream.retired = position.0;
        stream.admission.begin_at(position);
        Ok(())
    }

    fn retire(&mut self, positions: &[(ShardId, Position)], older_than: Timestamp) -> u64 {
        let mut gone = 0;
        for (shard, position) in positions {
            let stream = &mut self.streams[usize::from(shard.0)];
            while stream.retired < position.0
                && stream.entries.front().is_some_and(|(_, entry)| entry.at < older_than)
            {
                stream.entries.pop_front();
                stream.retired += 1;
                gone += 1;
            }
        }
        gone
    }
}

impl Journal for MemoryJournal {
    fn append(
        &self,
        fence: Fence,
        base: Position,
        entries: Vec<Arc<Entry>>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        ready(self.inner.lock().append(fence, base, entries)).boxed()
    }

    fn open(&self, fence: Fence) -> Answer<'_, Position> {
        let mut inner = self.inner.lock();
        ready(inner.streams[usize::from(fence.shard.0)].admission.take(fence.epoch)).boxed()
    }

    fn begin_at(&self, shard: ShardId, position: Position) -> Answer<'_, ()> {
        ready(self.inner.lock().begin_at(shard, position)).boxed()
    }

    fn read<'a>(&'a self, shards: &'a ShardSet, after: &'a Cursor, max_entries: usize) -> Answer<'a, Page> {
        ready(Ok(self.inner.lock().read(shards, after, max_entries))).boxed()
    }

    fn floor(&self) -> Answer<'_, Cursor> {
        let inner = self.inner.lock();
        let gone = ShardId::all().map(|shard| (shard, Position(inner.streams[usize::from(shard.0)].retired)));
        ready(Ok(gone.filter(|(_, at)| at.0 > 0).collect())).boxed()
    }

    fn stats(&self) -> JournalStats {
        self.inner.lock().stats
    }

    fn retire<'a>(&'a self, positions: &'a [(ShardId, Position)], older_than: Timestamp) -> Answer<'a, u64> {
        ready(Ok(self.inner.lock().retire(positions, older_than))).boxed()
    }
}
