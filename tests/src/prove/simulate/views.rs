//! Views that fail: a flush is refused, is written although nobody is told, or is torn after any single write; a kill tears
//! the one that is under way. Beneath lie the memory backend's views, which outlive every node.

use super::weather::{Chance, Life, Weather, pass};
use futures::FutureExt;
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{DiscoveredRow, Key, OutboxKey, OutboxLine, Row};
use kabar_engine::part::PartRow;
use kabar_engine::time::Timestamp;
use kabar_schema::Answer;
use kabar_schema::error::StoreError;
use kabar_schema::memory::MemoryViews;
use kabar_schema::views::{ShardFlush, ShardMark, Views};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// When a person's wish, by its place in its shard's journal, could be read by the other shards.
pub type Seen = Mutex<BTreeMap<(TenantId, Address, ShardId, Position), Instant>>;

/// The views of one life.
pub struct SimViews {
    below: Arc<MemoryViews>,
    life: Arc<Life>,
    weather: Arc<Weather>,
    chance: Arc<Chance>,
    seen: Arc<Seen>,
    /// The flush that is under way.
    flying: Mutex<Option<Vec<ShardFlush>>>,
}

impl SimViews {
    pub fn new(
        below: Arc<MemoryViews>,
        (life, weather, chance): (Arc<Life>, Arc<Weather>, Arc<Chance>),
        seen: Arc<Seen>,
    ) -> Self {
        Self { below, life, weather, chance, seen, flying: Mutex::default() }
    }

    /// The process is killed: of the flush that is under way some writes are done.
    pub fn kill(&self) {
        if let Some(flushes) = self.flying().take() {
            self.tear(&flushes);
        }
    }

    fn flying(&self) -> MutexGuard<'_, Option<Vec<ShardFlush>>> {
        self.flying.lock().expect("invariant: nobody panics with a flush in hand")
    }

    /// Writes the first so many.
    fn tear(&self, flushes: &[ShardFlush]) {
        let writes: usize = flushes.iter().map(|flush| flush.changes.len() + 1).sum();
        let done = usize::try_from(self.chance.below(writes as u64 + 1)).unwrap_or(0);
        let _nobody_hears = self.below.apply_at_most(flushes, done);
    }

    /// Writes all of it; the wishes in it can be read from now on.
    async fn whole(&self, flushes: Vec<ShardFlush>) -> Result<(), StoreError> {
        let wishes: Vec<_> = flushes.iter().flat_map(|flush| flush.changes.suppressed.clone()).collect();
        self.below.apply(flushes).await?;
        let mut seen = self.seen.lock().expect("invariant: nobody panics with the wishes in hand");
        for row in wishes {
            seen.insert((row.tenant, row.address.clone(), row.shard, row.upto), Instant::now());
        }
        Ok(())
    }

    async fn reading(&self, boot: bool) -> Result<(), StoreError> {
        // Before the dice: what is left of ended lives must not move them.
        self.life.live().await;
        if !self.weather.is_calm() && self.chance.one_in(30) {
            pass(Duration::from_millis(self.chance.between(1, 25))).await;
        }
        self.life.live().await;
        let rate = |rates: &super::weather::Rates| if boot { rates.boot } else { rates.read };
        if self.weather.strikes(&self.chance, rate) {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }

    async fn write(&self, flushes: Vec<ShardFlush>) -> Result<(), StoreError> {
        self.life.live().await;
        if self.weather.is_calm() {
            return self.whole(flushes).await;
        }
        *self.flying() = Some(flushes);
        let wait = if self.chance.one_in(12) { 2_000 } else { 30 };
        pass(Duration::from_millis(self.chance.between(1, wait))).await;
        self.life.live().await;
        let Some(flushes) = self.flying().take() else { return Err(StoreError::Unknown) };
        if !self.weather.strikes(&self.chance, |rates| rates.flush) {
            return self.whole(flushes).await;
        }
        match self.chance.below(5) {
            0 => Err(StoreError::Unavailable),
            1 => self.whole(flushes).await.and(Err(StoreError::Unknown)),
            _ => {
                self.tear(&flushes);
                if self.chance.one_in(3) {
                    self.weather.doom();
                }
                Err(StoreError::Unknown)
            }
        }
    }
}

impl Views for SimViews {
    fn marks(&self) -> Answer<'_, Vec<ShardMark>> {
        async move {
            self.reading(true).await?;
            self.below.marks().await
        }
        .boxed()
    }

    fn load(&self, shard: ShardId, keys: Vec<Key>) -> Answer<'_, Vec<(Key, Row)>> {
        async move {
            self.reading(false).await?;
            self.below.load(shard, keys).await
        }
        .boxed()
    }

    fn apply(&self, flushes: Vec<ShardFlush>) -> Answer<'_, ()> {
        self.write(flushes).boxed()
    }

    fn outbox(&self, shard: ShardId, after: Option<OutboxKey>, limit: usize) -> Answer<'_, Vec<OutboxLine>> {
        async move {
            self.reading(true).await?;
            self.below.outbox(shard, after, limit).await
        }
        .boxed()
    }

    fn live_campaigns(&self, shard: ShardId) -> Answer<'_, Vec<Arc<CampaignRow>>> {
        async move {
            self.reading(true).await?;
            self.below.live_campaigns(shard).await
        }
        .boxed()
    }

    fn open_parts(&self, shard: ShardId) -> Answer<'_, Vec<Arc<PartRow>>> {
        async move {
            self.reading(true).await?;
            self.below.open_parts(shard).await
        }
        .boxed()
    }

    fn consents(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<SuppressedRow>> {
        async move {
            self.reading(false).await?;
            self.below.consents(tenant, after, limit).await
        }
        .boxed()
    }

    fn consents_since(&self, tenant: TenantId, since: Timestamp) -> Answer<'_, Vec<SuppressedRow>> {
        async move {
            self.reading(false).await?;
            self.below.consents_since(tenant, since).await
        }
        .boxed()
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<MessageRow>>> {
        async move {
            self.reading(false).await?;
            self.below.history(conversation, before, limit).await
        }
        .boxed()
    }

    fn conversations(
        &self,
        tenant: TenantId,
        session: Option<SessionId>,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<ConversationRow>>> {
        async move {
            self.reading(false).await?;
            self.below.conversations(tenant, session, after, limit).await
        }
        .boxed()
    }

    fn discovered(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<DiscoveredRow>> {
        async move {
            self.reading(false).await?;
            self.below.discovered(tenant, after, limit).await
        }
        .boxed()
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        self.below.sweep(now)
    }
}
