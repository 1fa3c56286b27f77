//! A shard: its overlay, the lock around it, and the one door for everybody. Asks what must be known, loads it,
//! decides and folds under the lock without waiting, hands the entries to the journal, and answers only when
//! they are durable. It decides nothing and knows no actor but by [`Wake`].

mod durable;
mod pump;
mod waited;

use crate::lease::Terms;
use crate::metrics;
use crate::plant::Plant;
use crate::tide::{self, Tide};
use durable::Durable;
use kabar_engine::address::Address;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::overlay::{Answer, Changes, Effect, Input, Key, Overlay, Refusal, Row, Wake};
use kabar_engine::time::Timestamp;
use kabar_runtime::Clock;
use kabar_schema::error::StoreError;
use kabar_schema::journal::Fence;
use kabar_schema::store::Store;
use kabar_schema::views::ShardMark;
use parking_lot::Mutex;
use pump::{Frame, Pump};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// Rows that wait for the projector before a shard takes no new work.
const DIRTY_LIMIT: usize = 200_000;
/// Entries of one frame; with the bound on an entry's lists a frame stays below 64 KiB.
const FRAME_ENTRIES: usize = 24;
/// Bytes of one frame, by estimate.
const FRAME_BYTES: usize = 40 * 1024;
/// Rounds of loading one question may take; each answers what the one before led to.
const LOAD_ROUNDS: usize = 64;

/// Why the door gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// The engine said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Too much waits for the projector.
    #[error("overloaded")]
    Overloaded,
    /// Certainly not done.
    #[error("the store is unavailable")]
    Unavailable,
    /// It may have been done.
    #[error("the outcome is not known")]
    Unknown,
}

impl From<StoreError> for DoorError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded => Self::Overloaded,
            StoreError::Unknown => Self::Unknown,
            StoreError::Fenced { .. } | StoreError::Conflict | StoreError::Unavailable => Self::Unavailable,
        }
    }
}

/// What a shard needs of its node.
pub struct ShardParts {
    /// Where it remembers.
    pub store: Store,
    /// The node's clock.
    pub clock: Clock,
    /// What the node holds.
    pub terms: Arc<Terms>,
    /// Called with everybody who has something to do.
    pub wake: Arc<dyn Fn(Wake) + Send + Sync>,
    /// Rung when the projector should not wait for its next turn.
    pub hurry: Arc<Notify>,
    /// Told what is durable.
    pub tide: Arc<Tide>,
    /// A bug planted by a test.
    pub plant: Plant,
}

/// One shard of a node.
pub struct Shard {
    id: ShardId,
    epoch: u64,
    parts: Arc<ShardParts>,
    overlay: Mutex<Overlay>,
    durable: Durable,
    pump: Pump,
    broken: AtomicBool,
    oldest_dirty: AtomicU64,
}

/// One drained flush, waiting for its entries to be durable.
pub struct Drained {
    /// Where the views will stand.
    pub mark: ShardMark,
    /// What changed.
    pub changes: Changes,
}

impl Shard {
    /// A shard taken under `epoch` whose overlay stands where the journal does.
    #[must_use]
    pub fn new(id: ShardId, epoch: u64, overlay: Overlay, parts: Arc<ShardParts>) -> Self {
        let durable = Durable::new(overlay.position().0);
        let overlay = Mutex::new(overlay);
        let (broken, oldest_dirty) = (AtomicBool::new(false), AtomicU64::new(0));
        Self { id, epoch, parts, overlay, durable, pump: Pump::default(), broken, oldest_dirty }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Under which epoch it was taken.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether its lease holds now. What goes to the outside is held back when it does not.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        self.parts.terms.holds(self.id, self.epoch)
    }

    /// Whether an append failed or the lease is gone: the overlay must be dropped.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// The one door.
    ///
    /// # Errors
    /// The engine's refusal, or what the store could not do; after `Unknown` it may have been done.
    pub async fn ask(self: &Arc<Self>, input: Input) -> Result<Answer, DoorError> {
        self.ask_in_order(input).await.conclude().await
    }

    /// The door in two halves: when this returns the decision has its place in the journal's order, and
    /// [`Asked::conclude`] waits until it is durable. Two inputs that pass here one after the other are decided
    /// and journaled in that order, without the second waiting for the first one's sync.
    pub async fn ask_in_order(self: &Arc<Self>, input: Input) -> Asked {
        let decided = self.decide(input).await;
        Asked { shard: Arc::clone(self), decided }
    }

    async fn decide(self: &Arc<Self>, input: Input) -> Result<Decided, DoorError> {
        if self.is_broken() {
            return Err(DoorError::Unavailable);
        }
        for _ in 0..LOAD_ROUNDS {
            match self.step(&input)? {
                Step::Load(generation, keys) => self.load(generation, keys).await?,
                Step::Decided(decided) => return Ok(decided),
            }
        }
        tracing::error!(shard = self.id.0, "a question needs more rounds of loading than it may");
        Err(DoorError::Unavailable)
    }

    /// Under the lock, without waiting: what is missing, or the decision, folded and on its way.
    fn step(self: &Arc<Self>, input: &Input) -> Result<Step, DoorError> {
        let now = Timestamp(self.parts.clock.now_ms());
        let mut overlay = self.overlay.lock();
        let missing = overlay.needs(input, now);
        if !missing.is_empty() {
            return Ok(Step::Load(overlay.generation(), missing));
        }
        if brings_work(input) && overlay.dirty() > DIRTY_LIMIT {
            metrics::refused("dirty");
            self.parts.hurry.notify_one();
            return Err(DoorError::Overloaded);
        }
        let effects = overlay.decide(input, now);
        Ok(Step::Decided(self.enqueue(&mut overlay, effects, now)))
    }

    fn enqueue(self: &Arc<Self>, overlay: &mut Overlay, effects: Vec<Effect>, now: Timestamp) -> Decided {
        let mut decided = Decided { base: None, seen: 0, reply: Ok(Answer::Done), wakes: Vec::new() };
        let mut frame: Vec<Arc<Entry>> = Vec::new();
        let mut bytes = 0;
        let mut base = overlay.position().plus(1);
        for effect in effects {
            match effect {
                Effect::Append(entry) => {
                    let size = entry.weight();
                    if !frame.is_empty() && (frame.len() >= FRAME_ENTRIES || bytes + size > FRAME_BYTES) {
                        decided.base.get_or_insert(base);
                        self.append(base, std::mem::take(&mut frame));
                        (base, bytes) = (overlay.position().plus(1), 0);
                    }
                    overlay.fold(overlay.position().plus(1), &entry);
                    bytes += size;
                    frame.push(Arc::new(entry));
                }
                Effect::Reply(answer) => decided.reply = answer,
                Effect::Wake(wake) => decided.wakes.push(wake),
            }
        }
        if !frame.is_empty() {
            decided.base.get_or_insert(base);
            self.append(base, frame);
        }
        decided.seen = overlay.position().0;
        if overlay.dirty() > 0 {
            let now = u64::try_from(now.0).unwrap_or(0);
            let _ = self.oldest_dirty.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        }
        decided
    }

    /// Hands a frame to the journal.
    fn append(self: &Arc<Self>, base: Position, entries: Vec<Arc<Entry>>) {
        let last = base.0 + entries.len() as u64 - 1;
        let fence = Fence { shard: self.id, epoch: self.epoch };
        let touched = tide::touched(base, &entries);
        waited::count(&entries);
        let answer = self.parts.store.journal.append(fence, base, entries);
        Pump::push(self, Frame { base: base.0, last, touched, answer });
    }

    async fn conclude(&self, decided: Decided) -> Result<Answer, DoorError> {
        if self.parts.plant == Plant::AckBeforeAppend {
            // The planted bug: the journal's answer is awaited by nobody.
            self.durable.jump(decided.seen);
            decided.wakes.into_iter().for_each(|w| (self.parts.wake)(w));
            return Ok(decided.reply?);
        }
        let claims = matches!(decided.reply, Ok(Answer::Transmit(_) | Answer::Picked(_)));
        if claims && self.parts.plant == Plant::ResultBeforeClaim {
            return Ok(decided.reply?);
        }
        let durable = self.durable(decided.seen).await;
        durable.map_err(|error| decided.base.map_or(error, |base| self.pump.failure(base)))?;
        decided.wakes.into_iter().for_each(|w| (self.parts.wake)(w));
        Ok(decided.reply?)
    }

    /// A failed or fenced append: everything folded since is void.
    fn fail(&self, error: &StoreError) {
        if self.shatter() {
            tracing::error!(shard = self.id.0, %error, "an append failed; the shard is dropped");
        }
    }

    /// The lease is gone: somebody else may own the shard, so nothing that stands here is known to be so.
    pub(crate) fn lapse(&self) {
        if self.shatter() {
            tracing::warn!(shard = self.id.0, epoch = self.epoch, "the lease is gone; the shard is dropped");
        }
    }

    fn shatter(&self) -> bool {
        let first = !self.broken.swap(true, Ordering::AcqRel);
        if first {
            // Wakes whoever waits for a position that will never come.
            self.durable.end();
            self.parts.hurry.notify_one();
        }
        first
    }

    /// Up to where everything is durable.
    #[must_use]
    pub fn durable_position(&self) -> Position {
        Position(self.durable.at())
    }

    /// Waits until everything up to `position` is durable.
    ///
    /// # Errors
    /// The shard broke before.
    pub async fn durable(&self, position: u64) -> Result<(), DoorError> {
        match self.durable.reach(position, || self.is_broken()).await {
            true => Ok(()),
            false => Err(DoorError::Unknown),
        }
    }

    /// Loads what the views and the ledger hold under `keys`.
    async fn load(&self, generation: u32, keys: Vec<Key>) -> Result<(), DoorError> {
        let (chunks, keys): (Vec<Key>, Vec<Key>) = keys.into_iter().partition(|k| matches!(k, Key::Chunk(_)));
        let mut rows = Vec::with_capacity(keys.len() + chunks.len());
        if !keys.is_empty() {
            rows = self.parts.store.views.load(self.id, keys).await?;
        }
        for key in chunks {
            let Key::Chunk(chunk) = &key else { continue };
            let row = self.parts.store.ledger.get_chunk(*chunk).await?;
            let row = row.map_or(Row::Absent, |chunk| Row::Chunk(Arc::new(chunk)));
            rows.push((key, row));
        }
        let now = Timestamp(self.parts.clock.now_ms());
        let mut overlay = self.overlay.lock();
        for (key, row) in rows {
            if !overlay.insert(generation, key, row, now) {
                break; // too old: the next round asks again
            }
        }
        Ok(())
    }

    /// Reads of the live state: loads `keys` where missing, then `look`s, and answers when what was seen is
    /// durable.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn read<T>(&self, keys: &[Key], look: impl Fn(&Overlay) -> T + Send) -> Result<T, DoorError> {
        for _ in 0..LOAD_ROUNDS {
            if self.is_broken() {
                return Err(DoorError::Unavailable);
            }
            let (generation, missing, seen) = {
                let mut overlay = self.overlay.lock();
                let missing: Vec<Key> = keys.iter().filter(|k| !overlay.knows(k)).cloned().collect();
                let seen = missing.is_empty().then(|| (look(&overlay), overlay.position().0));
                (overlay.generation(), missing, seen)
            };
            if let Some((value, position)) = seen {
                self.durable(position).await?;
                return Ok(value);
            }
            self.load(generation, missing).await?;
        }
        Err(DoorError::Unavailable)
    }

    /// What this shard itself heard of a person's wish and still holds, once that is durable. Waits for nothing
    /// else, so that all shards can be asked.
    ///
    /// # Errors
    /// The shard broke before.
    pub async fn own_consent(
        &self,
        tenant: TenantId,
        address: &Address,
    ) -> Result<Option<Arc<SuppressedRow>>, DoorError> {
        let row = self.overlay.lock().own_consent(tenant, address);
        if let Some(row) = &row {
            self.durable(row.upto.0).await?;
        }
        Ok(row)
    }

    /// Looks at the live state as it is, durable or not: for timers and gauges, never for answers.
    pub fn peek<T>(&self, look: impl FnOnce(&Overlay) -> T) -> T {
        look(&self.overlay.lock())
    }

    /// Changes what is handed in from outside (other shards' consents).
    pub fn tell(&self, change: impl FnOnce(&mut Overlay)) {
        change(&mut self.overlay.lock());
    }

    /// Everything that changed since the last drain, `None` when nothing did.
    #[must_use]
    pub fn drain(&self) -> Option<Drained> {
        let mut overlay = self.overlay.lock();
        if overlay.dirty() == 0 || self.is_broken() {
            return None;
        }
        self.oldest_dirty.store(0, Ordering::Release);
        let changes = overlay.drain();
        let (position, last_id) = (overlay.position(), overlay.last_id());
        Some(Drained { mark: ShardMark { shard: self.id, position, last_id }, changes })
    }

    /// What was drained is in the views.
    pub fn flushed(&self) {
        self.overlay.lock().flushed();
    }

    /// The projector came; whether there may be something to forget, since nothing changed for a while.
    pub fn unchanged(&self) -> bool {
        let mut overlay = self.overlay.lock();
        overlay.dirty() == 0 && overlay.unchanged()
    }

    /// Forgets what nobody wanted for a while, a little at a time: whoever waits for the shard has it in between.
    pub async fn sweep(&self) {
        while self.overlay.lock().sweep() {
            tokio::task::yield_now().await;
        }
    }

    /// Since when (ms) something waits for the projector; 0 when nothing does.
    #[must_use]
    pub fn dirty_since(&self) -> u64 {
        self.oldest_dirty.load(Ordering::Acquire)
    }
}

/// A decision on its way to the disk.
#[must_use = "an answer must not be given before it is durable"]
pub struct Asked {
    shard: Arc<Shard>,
    decided: Result<Decided, DoorError>,
}

impl Asked {
    /// Waits until what was decided, and what was seen, is durable.
    ///
    /// # Errors
    /// As [`Shard::ask`].
    pub async fn conclude(self) -> Result<Answer, DoorError> {
        self.shard.conclude(self.decided?).await
    }
}

enum Step {
    Load(u32, Vec<Key>),
    Decided(Decided),
}

struct Decided {
    /// The first position of what was appended, if anything was.
    base: Option<Position>,
    seen: u64,
    reply: Result<Answer, Refusal>,
    wakes: Vec<Wake>,
}

/// Whether the input brings new work, which may be refused when too much waits; answers and reports never are.
fn brings_work(input: &Input) -> bool {
    matches!(
        input,
        Input::Send(_)
            | Input::Claim { .. }
            | Input::PartClaim(_)
            | Input::Launch { .. }
            | Input::Receive { .. }
    )
}
