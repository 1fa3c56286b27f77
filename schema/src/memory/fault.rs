//! A store that fails on demand: wraps a journal or views of any backend and answers Unknown, Unavailable or
//! Fenced where a script or a seed says so, tears a flush after any single row, or holds answers back. For tests;
//! a node never builds one.

use crate::Answer;
use crate::error::StoreError;
use crate::journal::{Cursor, Fence, Journal, JournalStats, Page, ShardSet};
use crate::views::{ShardFlush, ShardMark, Views};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{Changes, DiscoveredRow, Key, OutboxKey, OutboxLine, Row};
use kabar_engine::part::PartRow;
use kabar_engine::time::Timestamp;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;

/// What can go wrong with one call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is applied, and the caller is told so.
    Unavailable,
    /// It is applied, but the caller cannot know.
    UnknownApplied,
    /// It is not applied, but the caller cannot know.
    UnknownLost,
    /// Nothing is applied: another epoch owns the shard.
    Fenced {
        /// Which.
        current: u64,
    },
    /// Views only: this many rows are written, the position is not moved, the caller cannot know. For a journal,
    /// where a batch is all or nothing, the same as [`Fault::UnknownLost`].
    Torn {
        /// How many.
        rows: usize,
    },
}

struct Seeded {
    rng: StdRng,
    one_in: u32,
    faults: Vec<Fault>,
}

/// The plan of faults; shared by the wrapper and the test that drives it.
pub struct Faults {
    writes: Mutex<VecDeque<Option<Fault>>>,
    reads: Mutex<u32>,
    seeded: Mutex<Option<Seeded>>,
    held: watch::Sender<bool>,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("writes", &*self.writes.lock()).finish_non_exhaustive()
    }
}

impl Faults {
    /// Nothing goes wrong until told.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self {
            writes: Mutex::default(),
            reads: Mutex::default(),
            seeded: Mutex::default(),
            held: watch::Sender::new(false),
        })
    }

    /// Every write suffers one of `faults` with the chance 1 / `one_in`, the same for the same seed and order of
    /// calls.
    #[must_use]
    pub fn seeded(seed: u64, one_in: u32, faults: Vec<Fault>) -> Arc<Self> {
        let plan = Self::none();
        let rng = StdRng::seed_from_u64(seed);
        *plan.seeded.lock() = Some(Seeded { rng, one_in: one_in.max(1), faults });
        plan
    }

    /// The next write without a plan suffers this.
    pub fn next(&self, fault: Fault) {
        self.after(0, fault);
    }

    /// `calls` more writes go well, then one suffers this.
    pub fn after(&self, calls: usize, fault: Fault) {
        let mut writes = self.writes.lock();
        writes.extend(std::iter::repeat_n(None, calls));
        writes.push_back(Some(fault));
    }

    /// The next `calls` reads answer `Unavailable`.
    pub fn fail_reads(&self, calls: u32) {
        *self.reads.lock() = calls;
    }

    /// From now on writes are applied but their answers wait.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// The held answers go out.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    fn draw(&self) -> Option<Fault> {
        if let Some(planned) = self.writes.lock().pop_front() {
            return planned;
        }
        let mut seeded = self.seeded.lock();
        let Seeded { rng, one_in, faults } = seeded.as_mut()?;
        let hit = !faults.is_empty() && rng.random_range(0..*one_in) == 0;
        hit.then(|| faults[rng.random_range(0..faults.len())])
    }

    fn read_fails(&self) -> bool {
        let mut reads = self.reads.lock();
        let fails = *reads > 0;
        *reads = reads.saturating_sub(1);
        fails
    }

    fn released(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut held = self.held.subscribe();
        async move {
            // The plan may be dropped while it holds: then nobody can release, and waiting would be for ever.
            let _ = held.wait_for(|held| !held).await;
        }
    }
}

/// A journal with faults.
pub struct FaultJournal {
    inner: Arc<dyn Journal>,
    faults: Arc<Faults>,
    failed: Mutex<ShardSet>,
}

impl FaultJournal {
    /// Wraps a journal.
    #[must_use]
    pub fn new(inner: Arc<dyn Journal>, faults: Arc<Faults>) -> Self {
        Self { inner, faults, failed: Mutex::default() }
    }
}

impl Journal for FaultJournal {
    fn append(
        &self,
        fence: Fence,
        base: Position,
        entries: Vec<Arc<Entry>>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        // As behind a real failure: what follows a failed append of the shard fails too.
        let mut failed = self.failed.lock();
        if failed.contains(fence.shard) {
            return ready(Err(StoreError::Unavailable)).boxed();
        }
        let released = self.faults.released();
        let fault = self.faults.draw();
        if fault.is_some() {
            failed.insert(fence.shard);
        }
        let answer = match fault {
            None => self.inner.append(fence, base, entries),
            Some(Fault::Unavailable) => ready(Err(StoreError::Unavailable)).boxed(),
            Some(Fault::Fenced { current }) => ready(Err(StoreError::Fenced { current })).boxed(),
            Some(Fault::UnknownLost | Fault::Torn { .. }) => ready(Err(StoreError::Unknown)).boxed(),
            Some(Fault::UnknownApplied) => {
                let applied = self.inner.append(fence, base, entries);
                applied.map(|answer| answer.and(Err(StoreError::Unknown))).boxed()
            }
        };
        async move {
            released.await;
            answer.await
        }
        .boxed()
    }

    fn open(&self, fence: Fence) -> Answer<'_, Position> {
        if self.faults.read_fails() {
            return ready(Err(StoreError::Unavailable)).boxed();
        }
        let opened = self.inner.open(fence);
        async move {
            let tip = opened.await?;
            self.failed.lock().remove(fence.shard);
            Ok(tip)
        }
        .boxed()
    }

    fn begin_at(&self, shard: ShardId, position: Position) -> Answer<'_, ()> {
        self.inner.begin_at(shard, position)
    }

    fn read<'a>(&'a self, shards: &'a ShardSet, after: &'a Cursor, max_entries: usize) -> Answer<'a, Page> {
        if self.faults.read_fails() {
            return ready(Err(StoreError::Unavailable)).boxed();
        }
        self.inner.read(shards, after, max_entries)
    }

    fn floor(&self) -> Answer<'_, Cursor> {
        if self.faults.read_fails() {
            return ready(Err(StoreError::Unavailable)).boxed();
        }
        self.inner.floor()
    }

    fn stats(&self) -> JournalStats {
        self.inner.stats()
    }

    fn retire<'a>(&'a self, positions: &'a [(ShardId, Position)], older_than: Timestamp) -> Answer<'a, u64> {
        self.inner.retire(positions, older_than)
    }
}

/// Views with faults.
pub struct FaultViews {
    inner: Arc<dyn Views>,
    faults: Arc<Faults>,
}

impl FaultViews {
    /// Wraps views.
    #[must_use]
    pub fn new(inner: Arc<dyn Views>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    /// Writes the first rows only; the shards' marks stay where they are.
    async fn tear(&self, flushes: Vec<ShardFlush>, mut rows: usize) -> Result<(), StoreError> {
        let marks = self.inner.marks().await?;
        for flush in flushes {
            let shard = flush.mark.shard;
            let still = ShardMark { shard, position: Position::default(), last_id: 0 };
            let mark = marks.iter().find(|mark| mark.shard == shard).copied().unwrap_or(still);
            let changes = first_rows(flush.changes, &mut rows);
            self.inner.apply(vec![ShardFlush { mark, changes }]).await?;
        }
        Err(StoreError::Unknown)
    }

    fn reading<'a, T: Send + 'a>(
        &'a self,
        read: impl FnOnce(&'a dyn Views) -> Answer<'a, T>,
    ) -> Answer<'a, T> {
        if self.faults.read_fails() {
            return ready(Err(StoreError::Unavailable)).boxed();
        }
        read(&*self.inner)
    }
}

/// The first `rows` rows in the order a flush is written; counts them down.
fn first_rows(mut changes: Changes, rows: &mut usize) -> Changes {
    fn cut<T>(list: &mut Vec<T>, rows: &mut usize) {
        list.truncate(*rows);
        *rows -= list.len();
    }
    cut(&mut changes.outbox, rows);
    cut(&mut changes.messages, rows);
    cut(&mut changes.conversations, rows);
    cut(&mut changes.addresses, rows);
    cut(&mut changes.seen, rows);
    cut(&mut changes.idempotency, rows);
    cut(&mut changes.campaigns, rows);
    cut(&mut changes.parts, rows);
    cut(&mut changes.marks, rows);
    cut(&mut changes.runs, rows);
    cut(&mut changes.suppressed, rows);
    cut(&mut changes.discovered, rows);
    changes
}

impl Views for FaultViews {
    fn marks(&self) -> Answer<'_, Vec<ShardMark>> {
        self.reading(|views| views.marks())
    }

    fn load(&self, shard: ShardId, keys: Vec<Key>) -> Answer<'_, Vec<(Key, Row)>> {
        self.reading(|views| views.load(shard, keys))
    }

    fn apply(&self, flushes: Vec<ShardFlush>) -> Answer<'_, ()> {
        let released = self.faults.released();
        let fault = self.faults.draw();
        async move {
            let answer = match fault {
                None => self.inner.apply(flushes).await,
                Some(Fault::Unavailable) => Err(StoreError::Unavailable),
                Some(Fault::Fenced { current }) => Err(StoreError::Fenced { current }),
                Some(Fault::UnknownLost) => Err(StoreError::Unknown),
                Some(Fault::UnknownApplied) => self.inner.apply(flushes).await.and(Err(StoreError::Unknown)),
                Some(Fault::Torn { rows }) => self.tear(flushes, rows).await,
            };
            released.await;
            answer
        }
        .boxed()
    }

    fn outbox(&self, shard: ShardId, after: Option<OutboxKey>, limit: usize) -> Answer<'_, Vec<OutboxLine>> {
        self.reading(|views| views.outbox(shard, after, limit))
    }

    fn live_campaigns(&self, shard: ShardId) -> Answer<'_, Vec<Arc<CampaignRow>>> {
        self.reading(|views| views.live_campaigns(shard))
    }

    fn open_parts(&self, shard: ShardId) -> Answer<'_, Vec<Arc<PartRow>>> {
        self.reading(|views| views.open_parts(shard))
    }

    fn consents(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<SuppressedRow>> {
        self.reading(|views| views.consents(tenant, after, limit))
    }

    fn consents_since(&self, tenant: TenantId, since: Timestamp) -> Answer<'_, Vec<SuppressedRow>> {
        self.reading(|views| views.consents_since(tenant, since))
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<MessageRow>>> {
        self.reading(|views| views.history(conversation, before, limit))
    }

    fn conversations(
        &self,
        tenant: TenantId,
        session: Option<SessionId>,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<ConversationRow>>> {
        self.reading(|views| views.conversations(tenant, session, after, limit))
    }

    fn discovered(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<DiscoveredRow>> {
        self.reading(|views| views.discovered(tenant, after, limit))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        self.inner.sweep(now)
    }
}
