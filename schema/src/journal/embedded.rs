//! The journal of one node: segment files of one stream, one writer thread, one sync for many appends. Not a
//! cache: everything it answers with `Ok` is on the disk.

use super::disk::{Disk, RealDisk};
use super::header::HEADER;
use super::index::{Index, Span};
use super::queue::{Batch, Queue};
use super::reader::Read;
use super::recovery::recover;
use super::writer::{Counts, Setup, Writer};
use super::{Cursor, Fence, Journal, JournalStats, Page, ShardSet};
use crate::Answer;
use crate::codec::frame::{self, FRAME_MAX};
use crate::error::{OpenError, StoreError};
use crate::seal::Keyring;
use futures::FutureExt;
use futures::future::BoxFuture;
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use parking_lot::Mutex;
use rand::TryRngCore;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a failing disk ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The process, with a last clear line on stderr and code 74: the only safe answer of a node.
    Exit,
    /// The journal alone: waiters get `Unknown`, later calls `Unavailable`. For tests.
    Poison,
}

/// How a journal is opened.
#[derive(Debug, Clone)]
pub struct JournalOptions {
    /// The folder of the segments; made when it is missing.
    pub folder: PathBuf,
    /// Least time between two syncs while several wait; 2 ms by default.
    pub sync_gap: Duration,
    /// Bytes of a segment; 32 MiB by default, at least 128 KiB.
    pub segment_bytes: u64,
    /// What a failing disk ends.
    pub on_failure: OnFailure,
    /// The disk; tests bring their own.
    pub disk: Arc<dyn Disk>,
}

impl JournalOptions {
    /// The defaults for a folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            sync_gap: Duration::from_millis(2),
            segment_bytes: 32 * 1024 * 1024,
            on_failure: OnFailure::Exit,
            disk: Arc::new(RealDisk),
        }
    }
}

/// The embedded journal. Dropping it writes what still waits, then ends its thread.
#[derive(Debug)]
pub struct EmbeddedJournal {
    queue: Arc<Queue>,
    index: Arc<Index>,
    counts: Arc<Counts>,
    keyring: Arc<Keyring>,
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    batch: AtomicU64,
    open: Mutex<Option<Open>>,
}

/// What lives as long as the journal is open.
#[derive(Debug)]
struct Open {
    writer: JoinHandle<()>,
    /// Keeps other processes out of the folder.
    _lock: File,
}

impl EmbeddedJournal {
    /// Opens the folder, cuts a torn tail and checks what the views do not hold yet. `floors` are the views'
    /// positions: no shard stands below them, and segments they cover are not read. Blocks on files.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process has the folder, [`OpenError::Damaged`] naming segment and
    /// offset when acknowledged data is not readable, [`OpenError::Newer`] for a format or an entry kind this
    /// version does not know, [`OpenError::Io`].
    pub fn open(
        options: JournalOptions,
        keyring: Arc<Keyring>,
        floors: &[(ShardId, Position)],
    ) -> Result<Self, OpenError> {
        let JournalOptions { folder, sync_gap, segment_bytes, on_failure, disk } = options;
        std::fs::create_dir_all(&folder).map_err(OpenError::io("create", &folder))?;
        let lock = lock(&folder)?;
        let recovered = recover(&folder, floors, &*disk)?;
        let tips = &recovered.spans.last().expect("invariant: recovery gives at least one segment").tips;
        let queue = Arc::new(Queue::new(tips));
        let index = Arc::new(Index::new(recovered.spans.clone()));
        let counts = Arc::new(Counts::default());
        let setup = Setup {
            folder: folder.clone(),
            segment_bytes: segment_bytes.max((HEADER + FRAME_MAX) as u64),
            gap: sync_gap,
            on_failure,
            disk: Arc::clone(&disk),
            queue: Arc::clone(&queue),
            index: Arc::clone(&index),
            counts: Arc::clone(&counts),
        };
        let writer = Writer::new(setup, recovered);
        let writer = std::thread::Builder::new()
            .name("kabar-journal".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenError::io("start the writer of", &folder))?;
        // Batch ids only have to differ from those of a lost append of the same shard.
        let batch = rand::rngs::OsRng.try_next_u64().expect("invariant: the salt was drawn the same way");
        Ok(Self {
            queue,
            index,
            counts,
            keyring,
            folder,
            disk,
            batch: AtomicU64::new(batch),
            open: Mutex::new(Some(Open { writer, _lock: lock })),
        })
    }

    /// Writes what waits, ends the writer and lets go of the folder; every later append answers `Unavailable`.
    /// Blocks for one sync.
    pub fn close(&self) {
        self.queue.close();
        if let Some(open) = self.open.lock().take()
            && open.writer.join().is_err()
        {
            tracing::error!("the journal's writer had panicked");
        }
    }
}

impl Drop for EmbeddedJournal {
    fn drop(&mut self) {
        self.close();
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("LOCK");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(OpenError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("lock", &path)(error)),
    }
}

impl Journal for EmbeddedJournal {
    fn append(
        &self,
        fence: Fence,
        base: Position,
        entries: Vec<Arc<Entry>>,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let batch = self.batch.fetch_add(1, Ordering::Relaxed);
        let frame = frame::build(fence, base, batch, &entries, &self.keyring);
        let newest = entries.iter().map(|entry| entry.at).max().unwrap_or_default();
        let pushed = self.queue.push(Batch { frame, fence, base, count: entries.len() as u64, newest });
        match pushed {
            // The writer answers every ticket it takes; one that is gone without an answer may be on the disk.
            Ok(done) => done.map(|answer| answer.unwrap_or(Err(StoreError::Unknown))).boxed(),
            Err(error) => futures::future::ready(Err(error)).boxed(),
        }
    }

    fn open(&self, fence: Fence) -> Answer<'_, Position> {
        let taken = self.queue.take_over(fence);
        async move {
            let (tip, done) = taken?;
            done.await.unwrap_or(Err(StoreError::Unavailable))?;
            Ok(tip)
        }
        .boxed()
    }

    fn begin_at(&self, _shard: ShardId, _position: Position) -> Answer<'_, ()> {
        futures::future::ready(Err(StoreError::Unavailable)).boxed()
    }

    fn read<'a>(&'a self, shards: &'a ShardSet, after: &'a Cursor, max_entries: usize) -> Answer<'a, Page> {
        let read = Read::new(*shards, after, max_entries);
        let (index, keyring) = (Arc::clone(&self.index), Arc::clone(&self.keyring));
        blocking(move || read.fill(&index, &keyring))
    }

    fn floor(&self) -> Answer<'_, Cursor> {
        let spans = self.index.snapshot();
        let tips = &spans.first().expect("invariant: there is always a first segment").segment.header.tips;
        let gone = ShardId::all().map(|shard| (shard, tips.position(shard))).filter(|(_, at)| at.0 > 0);
        futures::future::ready(Ok(gone.collect())).boxed()
    }

    fn before(&self, shard: ShardId, at: Timestamp) -> Answer<'_, Position> {
        let spans = self.index.snapshot();
        // A head knows the newest time of all that lies before it.
        let last = spans.iter().rev().find(|span| span.segment.header.newest < at);
        let span = last.or(spans.first()).expect("invariant: there is always a first segment");
        futures::future::ready(Ok(span.segment.header.tips.position(shard))).boxed()
    }

    fn stats(&self) -> JournalStats {
        JournalStats {
            syncs: self.counts.syncs.load(Ordering::Relaxed),
            frames: self.counts.frames.load(Ordering::Relaxed),
            entries: self.counts.entries.load(Ordering::Relaxed),
            bytes: self.counts.bytes.load(Ordering::Relaxed),
        }
    }

    fn retire<'a>(&'a self, positions: &'a [(ShardId, Position)], older_than: Timestamp) -> Answer<'a, u64> {
        let passed: Cursor = positions.iter().copied().collect();
        let (index, disk, folder) = (Arc::clone(&self.index), Arc::clone(&self.disk), self.folder.clone());
        blocking(move || {
            let old = |this: &Span, next: &Span| {
                next.segment.header.newest < older_than
                    && ShardId::all().all(|shard| this.tips.position(shard) <= passed.at(shard))
            };
            let gone = index.take_oldest(old);
            for span in &gone {
                // One by one: a crash may then leave old segments, but never a hole between them.
                let removed =
                    std::fs::remove_file(&span.segment.path).and_then(|()| disk.sync_folder(&folder));
                removed.map_err(|error| {
                    let segment = span.segment.header.ordinal;
                    tracing::error!(segment, %error, "a segment of the journal cannot be removed");
                    StoreError::Unavailable
                })?;
            }
            Ok(gone.len() as u64)
        })
    }
}

fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Answer<'static, T> {
    async move { tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Unavailable)) }.boxed()
}
