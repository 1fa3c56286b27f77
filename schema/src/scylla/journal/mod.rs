//! The journal on a cluster: one row a frame, appended, fenced and taken over by one conditional statement
//! ([`protocol`]). One append of a shard is on its way at a time; what comes meanwhile is gathered into the next
//! frame. Not the order of calls within a frame, which is the caller's.

mod line;
mod protocol;
mod read;

use super::cluster::{Cluster, Lwt};
use super::fault;
use super::statement::Journal as Sql;
use crate::Answer;
use crate::codec::frame;
use crate::error::{OpenError, StoreError};
use crate::journal::admission::refusal;
use crate::journal::{Cursor, Fence, Journal, JournalStats, Page, ShardSet};
use crate::seal::Keyring;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::{SHARDS, ShardId};
use kabar_engine::time::Timestamp;
use line::{Batch, Line};
use protocol::{Ask, Bits, COUNT_MAX, Look, Outcome, Owner, Row, Step, Takeover};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Positions of a bucket: 2^16 frames' worth at most, some ten megabytes.
pub const BUCKET_BITS: u32 = 16;
/// An append whose outcome stays unknown is given up after this: the shard is then taken again.
const PATIENCE: Duration = Duration::from_secs(8);
/// Pause before the cluster is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// Rounds of raising and reading a takeover may take.
const ROUNDS: usize = 10_000;

/// Counts since opening.
#[derive(Debug, Default)]
struct Counts {
    rows: AtomicU64,
    frames: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
}

/// What every shard's writer shares.
#[derive(Debug)]
struct Inner {
    cluster: Arc<Cluster>,
    keyring: Arc<Keyring>,
    sql: Sql,
    bits: Bits,
    lines: Vec<Line>,
    batch: AtomicU64,
    counts: Counts,
}

/// The journal on a cluster.
#[derive(Debug, Clone)]
pub struct CqlJournal(Arc<Inner>);

impl CqlJournal {
    /// The journal in the cluster's keyspace.
    ///
    /// # Errors
    /// [`OpenError::Cluster`] when a statement cannot be prepared.
    pub async fn open(cluster: Arc<Cluster>, keyring: Arc<Keyring>) -> Result<Self, OpenError> {
        Self::with_buckets(cluster, keyring, BUCKET_BITS).await
    }

    /// With buckets of 2^`bits` positions. For tests alone: a keyspace keeps the size it began with.
    ///
    /// # Errors
    /// As [`CqlJournal::open`].
    #[doc(hidden)]
    pub async fn with_buckets(
        cluster: Arc<Cluster>,
        keyring: Arc<Keyring>,
        bits: u32,
    ) -> Result<Self, OpenError> {
        let sql = Sql::prepare(&cluster).await?;
        let lines = (0..SHARDS).map(|_| Line::default()).collect();
        let batch = AtomicU64::new(rand::random());
        let bits = Bits(bits);
        Ok(Self(Arc::new(Inner { cluster, keyring, sql, bits, lines, batch, counts: Counts::default() })))
    }
}

/// A number as a column holds it.
fn big(number: u64) -> i64 {
    number.cast_signed()
}

fn small(shard: ShardId) -> i16 {
    i16::from(shard.0)
}

fn outcome(answer: &Result<Lwt, StoreError>) -> Option<Outcome> {
    match answer {
        Ok(Lwt::Applied) => Some(Outcome::Applied),
        Ok(Lwt::Refused) => Some(Outcome::Refused),
        // Certainly not applied is no reason to hurry: read, and try again.
        Err(StoreError::Unavailable) => None,
        Err(_) => Some(Outcome::Unknown),
    }
}

impl Inner {
    fn line(&self, shard: ShardId) -> &Line {
        &self.lines[usize::from(shard.0)]
    }

    async fn look(&self, shard: ShardId, bucket: u64) -> Result<Look, StoreError> {
        let key = (small(shard), big(bucket));
        let owner: Option<(Option<i64>,)> = self.cluster.row(&self.sql.owner, key).await?;
        let newest: Option<(i64, Option<Vec<u8>>)> = self.cluster.row(&self.sql.newest, key).await?;
        let last = match newest {
            Some((seq, Some(bytes))) => Some(self.parse(shard, seq, &bytes)?.last().0),
            _ => None,
        };
        Ok(Look { owner: owner.and_then(|(o,)| o).map(i64::cast_unsigned), last })
    }

    /// The frame of a row, which must be what its key says.
    fn parse<'a>(&self, shard: ShardId, seq: i64, bytes: &'a [u8]) -> Result<frame::Frame<'a>, StoreError> {
        frame::parse(bytes, 0)
            .filter(|f| f.shard == shard && f.base.0 == seq.cast_unsigned())
            .ok_or_else(|| fault::damaged("a frame of the journal"))
    }

    async fn row(&self, shard: ShardId, bucket: u64, seq: u64) -> Result<Row, StoreError> {
        let key = (small(shard), big(bucket), big(seq));
        let found: Option<(Option<i64>, Option<Vec<u8>>)> = self.cluster.row(&self.sql.at, key).await?;
        let Some((owner, frame)) = found else {
            let owner: Option<(Option<i64>,)> = self.cluster.row(&self.sql.owner, (key.0, key.1)).await?;
            return Ok(Row { owner: owner.and_then(|(o,)| o).map(i64::cast_unsigned), frame: None });
        };
        let frame = match frame {
            Some(bytes) => Some(self.parse(shard, key.2, &bytes).map(|f| (f.batch, f.epoch))?),
            None => None,
        };
        Ok(Row { owner: owner.map(i64::cast_unsigned), frame })
    }

    /// Where the shard certainly stands at least: the views, or what was let go of.
    async fn reached(&self, shard: ShardId) -> Result<u64, StoreError> {
        let views: Option<(Option<i64>,)> = self.cluster.row(&self.sql.position, (small(shard),)).await?;
        let floors = self.floors().await?;
        let floor = floors.iter().find(|f| f.0 == shard).map_or(0, |f| f.2);
        Ok(views.and_then(|(p,)| p).map_or(0, i64::cast_unsigned).max(floor))
    }

    /// Shard, first bucket that is kept, last position that is gone.
    async fn floors(&self) -> Result<Vec<(ShardId, u64, u64)>, StoreError> {
        let rows: Vec<(i16, i64, i64)> = self.cluster.rows(&self.sql.floors, ()).await?;
        let shard = |n: i16| u8::try_from(n).map(ShardId).map_err(|_| fault::damaged("a shard's number"));
        rows.into_iter().map(|(n, b, p)| Ok((shard(n)?, b.cast_unsigned(), p.cast_unsigned()))).collect()
    }

    async fn take(&self, fence: Fence) -> Result<Position, StoreError> {
        let shard = fence.shard;
        let mut takeover = Takeover::new(self.bits, fence.epoch, self.reached(shard).await?);
        for _ in 0..ROUNDS {
            match takeover.step() {
                Step::Look(bucket) => takeover.looked(self.look(shard, bucket).await?),
                Step::Raise { bucket, seen } => {
                    self.line(shard).stop();
                    let values = (big(fence.epoch), small(shard), big(bucket), seen.map(big));
                    let answer = self.cluster.lwt(&self.sql.raise, values).await;
                    takeover.raised(outcome(&answer).ok_or(StoreError::Unavailable)?);
                }
                Step::Done { tip, bucket } => {
                    let owner = Owner::new(self.bits, fence.epoch, bucket);
                    self.line(shard).begin(fence.epoch, tip, owner)?;
                    return Ok(Position(tip));
                }
                Step::Fenced(current) => return Err(StoreError::Fenced { current }),
            }
        }
        tracing::error!(shard = shard.0, "taking a shard does not end");
        Err(StoreError::Unavailable)
    }

    async fn begin_at(&self, shard: ShardId, position: Position) -> Result<(), StoreError> {
        let floors = self.floors().await?;
        let floor = floors.iter().find(|f| f.0 == shard).map_or(0, |f| f.2);
        let bucket = self.bits.bucket(position.0 + 1);
        // A stream has frames in its first bucket, or begins elsewhere and says so.
        let first = if floor == 0 { 0 } else { self.bits.bucket(floor + 1) };
        let empty = self.look(shard, first).await?.last.is_none();
        if !empty || (floor != 0 && floor != position.0) || self.reached(shard).await? > floor {
            return Err(StoreError::Conflict);
        }
        let position = big(position.0);
        self.cluster.write(&self.sql.floor, (small(shard), big(bucket), position, position)).await
    }

    /// Writes what waits in a shard's line, frame after frame, until nothing waits.
    async fn run(self: Arc<Self>, shard: ShardId) {
        while let Some((owner, mut batches)) = self.line(shard).next() {
            let base = batches[0].base;
            let mut bytes = std::mem::take(&mut batches[0].frame);
            for batch in &batches[1..] {
                let joined = frame::join(&mut bytes, &batch.frame);
                debug_assert!(joined, "the line gives what fits");
            }
            frame::finish(&mut bytes, 0, 0);
            let size = bytes.len() as u64;
            let answer = self.append(owner, shard, bytes).await;
            if answer.is_ok() {
                self.counts.rows.fetch_add(1, Ordering::Relaxed);
                self.counts.bytes.fetch_add(size, Ordering::Relaxed);
                let count = batches.iter().map(|b| b.count).sum::<u64>();
                self.counts.frames.fetch_add(batches.len() as u64, Ordering::Relaxed);
                self.counts.entries.fetch_add(count, Ordering::Relaxed);
                crate::metrics::appended(size);
            } else {
                tracing::warn!(shard = shard.0, base = base.0, ?answer, "a frame was not appended");
            }
            self.line(shard).done(owner.epoch(), answer, batches);
        }
    }

    /// One frame, until it is certainly in, certainly refused, or given up.
    async fn append(&self, owner: Owner, shard: ShardId, bytes: Vec<u8>) -> Result<Owner, StoreError> {
        let head = frame::parse(&bytes, 0).ok_or(StoreError::Unavailable)?;
        let mut append = owner.append(head.batch, head.base.0);
        let begun = Instant::now();
        // Whether a write was ever sent whose answer is not known to be no.
        let mut perhaps = false;
        loop {
            match append.ask() {
                Ask::Write { bucket, seq, seen } => {
                    let epoch = big(owner.epoch());
                    let values =
                        (bytes.as_slice(), epoch, small(shard), big(bucket), big(seq), seen.map(big));
                    let answer = self.cluster.lwt(&self.sql.append, values).await;
                    match outcome(&answer) {
                        Some(outcome) => {
                            perhaps |= outcome == Outcome::Unknown;
                            append.wrote(outcome);
                        }
                        None => tokio::time::sleep(PAUSE).await,
                    }
                }
                Ask::Read { bucket, seq } => match self.row(shard, bucket, seq).await {
                    Ok(row) => append.read(row),
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Ask::Done => return Ok(append.owner()),
                Ask::Fenced(current) => return Err(StoreError::Fenced { current }),
            }
            if begun.elapsed() > PATIENCE {
                return Err(if perhaps { StoreError::Unknown } else { StoreError::Unavailable });
            }
        }
    }

    async fn retire(
        &self,
        positions: &[(ShardId, Position)],
        older_than: Timestamp,
    ) -> Result<u64, StoreError> {
        let floors = self.floors().await?;
        let mut gone = 0;
        for (shard, position) in positions {
            let kept = floors.iter().find(|f| f.0 == *shard).map_or(0, |f| f.1);
            let mut bucket = kept;
            while bucket < self.bits.bucket(position.0 + 1) {
                if !self.retire_bucket(*shard, bucket, *position, older_than).await? {
                    break;
                }
                gone += 1;
                bucket += 1;
            }
        }
        Ok(gone)
    }

    /// Lets go of a bucket, when all of it lies behind `position` and is old enough. First it is told where the
    /// journal begins, so that no reader takes the gap for the end.
    async fn retire_bucket(
        &self,
        shard: ShardId,
        bucket: u64,
        position: Position,
        older_than: Timestamp,
    ) -> Result<bool, StoreError> {
        let key = (small(shard), big(bucket));
        let newest: Option<(i64, Option<Vec<u8>>)> = self.cluster.row(&self.sql.newest, key).await?;
        let Some((seq, Some(bytes))) = newest else {
            // A frame may begin one bucket earlier and leave this one empty.
            return Ok(true);
        };
        let frame = self.parse(shard, seq, &bytes)?;
        let entries = frame.entries().map_err(|_| fault::damaged("a frame's entries"))?;
        for (_, entry) in entries {
            let at = crate::codec::time_of(entry).map_err(|_| fault::damaged("an entry's time"))?;
            if at >= older_than {
                return Ok(false);
            }
        }
        let last = frame.last();
        if last > position {
            return Ok(false);
        }
        let floor = (key.0, big(bucket + 1), big(last.0), big(last.0));
        self.cluster.write(&self.sql.floor, floor).await?;
        self.cluster.write(&self.sql.retire, key).await?;
        Ok(true)
    }
}

impl Journal for CqlJournal {
    fn append(
        &self,
        fence: Fence,
        base: Position,
        entries: Vec<Arc<Entry>>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let inner = &self.0;
        let batch = inner.batch.fetch_add(1, Ordering::Relaxed);
        let count = entries.len() as u64;
        let frame = match frame::build(fence, base, batch, &entries, &inner.keyring) {
            Ok(_) if count > COUNT_MAX => Err(StoreError::Conflict),
            built => built.map_err(|error| refusal(fence, error)),
        };
        let (done, wait) = tokio::sync::oneshot::channel();
        let pushed =
            inner.line(fence.shard).push(fence, frame, Batch { frame: Vec::new(), base, count, done });
        match pushed {
            Err(error) => return ready(Err(error)).boxed(),
            // Whoever put the first one in line starts the writer; it lives as long as something waits.
            Ok(true) => drop(tokio::spawn(Arc::clone(inner).run(fence.shard))),
            Ok(false) => {}
        }
        async move { wait.await.unwrap_or(Err(StoreError::Unknown)) }.boxed()
    }

    fn open(&self, fence: Fence) -> Answer<'_, Position> {
        Box::pin(self.0.take(fence))
    }

    fn begin_at(&self, shard: ShardId, position: Position) -> Answer<'_, ()> {
        Box::pin(self.0.begin_at(shard, position))
    }

    fn read<'a>(&'a self, shards: &'a ShardSet, after: &'a Cursor, max_entries: usize) -> Answer<'a, Page> {
        Box::pin(self.0.read(shards, after, max_entries))
    }

    fn floor(&self) -> Answer<'_, Cursor> {
        Box::pin(async {
            let floors = self.0.floors().await?;
            Ok(floors.into_iter().map(|(shard, _, position)| (shard, Position(position))).collect())
        })
    }

    fn stats(&self) -> JournalStats {
        let counts = &self.0.counts;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        JournalStats {
            syncs: of(&counts.rows),
            frames: of(&counts.frames),
            entries: of(&counts.entries),
            bytes: of(&counts.bytes),
        }
    }

    fn retire<'a>(&'a self, positions: &'a [(ShardId, Position)], older_than: Timestamp) -> Answer<'a, u64> {
        Box::pin(self.0.retire(positions, older_than))
    }
}
