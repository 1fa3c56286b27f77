//! A journal that is late and that fails: frames wait in one queue for their turn, as for a sync; some are refused, some are
//! lost, some are written although nobody is told; and whoever is told may hear it later than who came after. A kill makes
//! a part of the queue durable and loses the rest. Beneath lies the memory backend, which outlives every node.

use super::weather::{Chance, Life, Weather, pass};
use futures::FutureExt;
use futures::future::BoxFuture;
use kabar_engine::entry::{Entry, Position, Range, What};
use kabar_engine::id::ShardId;
use kabar_engine::outgoing::Reference;
use kabar_engine::time::Timestamp;
use kabar_schema::Answer;
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, Fence, Journal, JournalStats, Page, ShardSet};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often each reference may be called: once for every claim that is durable.
#[derive(Default)]
pub struct Claims(Mutex<BTreeMap<Reference, (u32, u32)>>);

impl Claims {
    fn note(&self, entry: &Entry) {
        let mut claims = self.0.lock().expect("invariant: nobody panics with the claims in hand");
        match &entry.what {
            What::Claim { messages, .. } => {
                messages.iter().for_each(|id| claims.entry(Reference::Message(*id)).or_default().0 += 1);
            }
            What::PartClaim { campaign, ranges, .. } => {
                for index in Range::indexes(ranges) {
                    claims.entry(Reference::Campaign(*campaign, index)).or_default().0 += 1;
                }
            }
            _ => {}
        }
    }

    /// A call of this reference reaches the provider; whether a durable claim stands for it.
    pub fn call(&self, reference: Reference) -> bool {
        let mut claims = self.0.lock().expect("invariant: nobody panics with the claims in hand");
        let (claimed, called) = claims.entry(reference).or_default();
        *called += 1;
        called <= claimed
    }
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Unavailable,
    UnknownLost,
    UnknownApplied,
}

struct Item {
    at: Instant,
    fence: Fence,
    base: Position,
    entries: Vec<Arc<Entry>>,
    fault: Option<Fault>,
    /// The answer is heard so much later.
    lag: Duration,
    tell: oneshot::Sender<Result<(), StoreError>>,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    failed: ShardSet,
}

/// The journal of one life.
pub struct SimJournal(Arc<Inner>);

struct Inner {
    below: Arc<dyn Journal>,
    life: Arc<Life>,
    weather: Arc<Weather>,
    chance: Arc<Chance>,
    claims: Arc<Claims>,
    queue: Mutex<Queue>,
}

impl SimJournal {
    pub fn new(
        below: Arc<dyn Journal>,
        (life, weather, chance): (Arc<Life>, Arc<Weather>, Arc<Chance>),
        claims: Arc<Claims>,
    ) -> Self {
        Self(Arc::new(Inner { below, life, weather, chance, claims, queue: Mutex::default() }))
    }

    /// The process is killed: of what waits, the first so many frames are on the disk.
    pub fn kill(&self) {
        let mut queue = self.0.queue();
        let kept = self.0.chance.below(queue.items.len() as u64 + 1);
        for nth in 0..queue.items.len() as u64 {
            if let Some(item) = queue.items.pop_front().filter(|_| nth < kept) {
                let _nobody_hears = self.0.write(&mut queue.failed, &item);
            }
        }
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("invariant: nobody panics with the queue in hand")
    }

    /// How long a frame waits, and how much later its answer is heard.
    fn delays(&self) -> (Duration, Duration) {
        let ms = match self.chance.below(40) {
            0 => self.chance.between(100, 1_500),
            1..=10 => self.chance.between(5, 60),
            _ => self.chance.below(5),
        };
        let lag = if self.chance.one_in(20) { self.chance.between(1, 40) } else { 0 };
        if self.weather.is_calm() {
            return (Duration::from_millis(1), Duration::ZERO);
        }
        (Duration::from_millis(ms), Duration::from_millis(lag))
    }

    /// Writes what is due, in the order in which it came.
    fn settle(&self) {
        let mut queue = self.queue();
        while queue.items.front().is_some_and(|item| item.at <= Instant::now()) && !self.life.is_over() {
            let Some(item) = queue.items.pop_front() else { return };
            let answer = self.write(&mut queue.failed, &item);
            if item.lag.is_zero() {
                let _ = item.tell.send(answer);
            } else {
                tokio::spawn(async move {
                    pass(item.lag).await;
                    let _ = item.tell.send(answer);
                });
            }
        }
    }

    fn write(&self, failed: &mut ShardSet, item: &Item) -> Result<(), StoreError> {
        if failed.contains(item.fence.shard) {
            return Err(StoreError::Unavailable);
        }
        let lost = match item.fault {
            Some(Fault::Unavailable) => Some(StoreError::Unavailable),
            Some(Fault::UnknownLost) => Some(StoreError::Unknown),
            Some(Fault::UnknownApplied) | None => None,
        };
        let answer = match lost {
            Some(error) => Err(error),
            None => {
                let below = self.below.append(item.fence, item.base, item.entries.clone());
                let written = below.now_or_never().unwrap_or(Err(StoreError::Unknown));
                if written.is_ok() {
                    item.entries.iter().for_each(|entry| self.claims.note(entry));
                }
                written.and(if item.fault.is_some() { Err(StoreError::Unknown) } else { Ok(()) })
            }
        };
        if answer.is_err() {
            failed.insert(item.fence.shard);
        }
        answer
    }

    async fn boot(&self) -> Result<(), StoreError> {
        self.life.live().await;
        if self.weather.strikes(&self.chance, |rates| rates.boot) {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }

    async fn read(&self) -> Result<(), StoreError> {
        self.life.live().await;
        if self.weather.strikes(&self.chance, |rates| rates.read) {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }
}

impl Journal for SimJournal {
    fn append(
        &self,
        fence: Fence,
        base: Position,
        entries: Vec<Arc<Entry>>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        if self.0.life.is_over() {
            return std::future::pending().boxed();
        }
        let inner = Arc::clone(&self.0);
        let (tell, told) = oneshot::channel();
        let strikes = inner.weather.strikes(&inner.chance, |rates| rates.append);
        let faults = [Fault::Unavailable, Fault::UnknownLost, Fault::UnknownApplied];
        let fault = strikes.then(|| inner.chance.pick(&faults));
        let (wait, lag) = inner.delays();
        let at = {
            let mut queue = inner.queue();
            let last = queue.items.back().map(|item| item.at);
            let at = (Instant::now() + wait).max(last.unwrap_or_else(Instant::now));
            queue.items.push_back(Item { at, fence, base, entries, fault, lag, tell });
            at
        };
        tokio::spawn(async move {
            pass(at.saturating_duration_since(Instant::now())).await;
            inner.settle();
        });
        async move {
            match told.await {
                Ok(answer) => answer,
                Err(_killed) => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn open(&self, fence: Fence) -> Answer<'_, Position> {
        async move {
            self.0.boot().await?;
            {
                // What an earlier owner left in the queue is counted out.
                let mut queue = self.0.queue();
                let items = std::mem::take(&mut queue.items);
                for item in items {
                    if item.fence.shard == fence.shard {
                        let _ = item.tell.send(Err(StoreError::Unknown));
                    } else {
                        queue.items.push_back(item);
                    }
                }
            }
            let tip = self.0.below.open(fence).await?;
            self.0.queue().failed.remove(fence.shard);
            Ok(tip)
        }
        .boxed()
    }

    fn begin_at(&self, shard: ShardId, position: Position) -> Answer<'_, ()> {
        self.0.below.begin_at(shard, position)
    }

    fn read<'a>(&'a self, shards: &'a ShardSet, after: &'a Cursor, max_entries: usize) -> Answer<'a, Page> {
        async move {
            self.0.read().await?;
            self.0.below.read(shards, after, max_entries).await
        }
        .boxed()
    }

    fn floor(&self) -> Answer<'_, Cursor> {
        async move {
            self.0.read().await?;
            self.0.below.floor().await
        }
        .boxed()
    }

    fn stats(&self) -> JournalStats {
        self.0.below.stats()
    }

    fn retire<'a>(&'a self, positions: &'a [(ShardId, Position)], older_than: Timestamp) -> Answer<'a, u64> {
        async move {
            self.0.read().await?;
            self.0.below.retire(positions, older_than).await
        }
        .boxed()
    }
}
