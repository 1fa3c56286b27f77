//! The one thread that writes: takes what waits, writes it in one go, syncs once, then answers. Any error is the
//! end of the journal: a failed sync may have dropped what it should have kept, so it is never tried again.

use super::disk::Disk;
use super::embedded::OnFailure;
use super::header::{HEADER, Tip, Tips};
use super::index::{Index, Noted, Segment};
use super::queue::{Pace, Queue, Ticket};
use super::recovery::{Recovered, create, following};
use crate::codec::frame;
use crate::error::{OpenError, StoreError};
use crate::metrics::{JOURNAL_BYTES, JOURNAL_FRAMES, JOURNAL_SYNC_SECONDS, JOURNAL_SYNCS};
use kabar_engine::time::Timestamp;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Zeros written behind the data, so that a sync need not record a new file length each time.
const AHEAD: u64 = 256 * 1024;
/// EX_IOERR of sysexits: the disk failed under the journal.
const EXIT_IO: i32 = 74;

/// Counts for [`super::JournalStats`].
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) syncs: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// What the writer is given.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) folder: PathBuf,
    pub(super) segment_bytes: u64,
    pub(super) gap: Duration,
    pub(super) on_failure: OnFailure,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) queue: Arc<Queue>,
    pub(super) index: Arc<Index>,
    pub(super) counts: Arc<Counts>,
}

/// The thread's state.
pub(super) struct Writer {
    setup: Setup,
    file: File,
    segment: Arc<Segment>,
    /// Where the next frame goes in the file.
    offset: u64,
    allocated: u64,
    tips: Tips,
    newest: Timestamp,
    buffer: Vec<u8>,
    noted: Vec<Noted>,
}

impl Writer {
    pub(super) fn new(setup: Setup, recovered: Recovered) -> Self {
        let span = recovered.spans.last().expect("invariant: recovery gives at least one segment");
        Self {
            file: recovered.file,
            segment: Arc::clone(&span.segment),
            offset: span.end,
            allocated: recovered.allocated,
            tips: (*span.tips).clone(),
            newest: recovered.newest,
            buffer: Vec::new(),
            noted: Vec::new(),
            setup,
        }
    }

    /// Until the queue is closed or the disk fails.
    pub(super) fn run(mut self) {
        let _guard = Guard(Arc::clone(&self.setup.queue));
        let mut pace = Pace { gap: self.setup.gap, synced: None, group: 0 };
        while let Some(mut group) = self.setup.queue.next_group(&pace) {
            pace.synced = Some(Instant::now());
            pace.group = group.iter().filter(|ticket| !ticket.frame.is_empty()).count();
            if let Err(error) = self.write(&mut group) {
                return self.fail(&error, group);
            }
            for ticket in group {
                // A caller that no longer waits needs no answer; its entries stand all the same.
                let _ = ticket.done.send(Ok(()));
            }
        }
    }

    fn write(&mut self, group: &mut [Ticket]) -> Result<(), OpenError> {
        let (mut frames, mut entries, mut bytes) = (0, 0, 0);
        for ticket in group.iter_mut().filter(|ticket| !ticket.frame.is_empty()) {
            let len = ticket.frame.len() as u64;
            let at = self.offset + self.buffer.len() as u64;
            if at + len > self.setup.segment_bytes && at > HEADER as u64 {
                self.flush()?;
                self.rotate()?;
            }
            self.put(ticket);
            frames += 1;
            entries += ticket.last.0 + 1 - ticket.base.0;
            bytes += len;
        }
        self.flush()?;
        let counts = &self.setup.counts;
        counts.frames.fetch_add(frames, Ordering::Relaxed);
        counts.entries.fetch_add(entries, Ordering::Relaxed);
        counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        metrics::counter!(JOURNAL_FRAMES).increment(frames);
        metrics::counter!(JOURNAL_BYTES).increment(bytes);
        Ok(())
    }

    fn put(&mut self, ticket: &mut Ticket) {
        let (salt, start) = (self.segment.header.salt, self.segment.header.start);
        // Everything before `offset` is synced; what stands in the buffer is not.
        frame::finish(&mut ticket.frame, salt, start + self.offset);
        let offset = self.offset + self.buffer.len() as u64;
        let shard = ticket.fence.shard;
        self.noted.push(Noted { shard, base: ticket.base, offset });
        self.tips.set(shard, Tip { position: ticket.last.0, epoch: ticket.fence.epoch });
        self.newest = self.newest.max(ticket.newest);
        self.buffer.extend_from_slice(&ticket.frame);
    }

    /// Writes and syncs the buffer; what it held is durable then and may be read.
    fn flush(&mut self) -> Result<(), OpenError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.buffer.len() as u64;
        if end > self.allocated {
            let target = (end + AHEAD).min(self.setup.segment_bytes).max(end);
            let ahead = usize::try_from(target - end).expect("invariant: at most a quarter of a megabyte");
            self.buffer.resize(self.buffer.len() + ahead, 0);
            self.allocated = target;
        }
        let (disk, path) = (&self.setup.disk, &self.segment.path);
        disk.write(path, &self.file, &self.buffer, self.offset).map_err(OpenError::io("write", path))?;
        let begin = Instant::now();
        disk.sync(path, &self.file).map_err(OpenError::io("sync", path))?;
        metrics::histogram!(JOURNAL_SYNC_SECONDS).record(begin.elapsed());
        metrics::counter!(JOURNAL_SYNCS).increment(1);
        self.setup.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.offset = end;
        self.setup.index.publish(&self.noted, end, &self.tips);
        self.noted.clear();
        self.buffer.clear();
        Ok(())
    }

    /// Begins the next segment; the one before it is synced to its end.
    fn rotate(&mut self) -> Result<(), OpenError> {
        let header = following(Some((&self.segment.header, self.offset)), self.newest, self.tips.clone());
        let (span, file) = create(&self.setup.folder, header, &*self.setup.disk)?;
        self.file = file;
        self.segment = Arc::clone(&span.segment);
        self.offset = span.end;
        self.allocated = span.end;
        self.setup.index.push(span);
        Ok(())
    }

    fn fail(self, error: &OpenError, group: Vec<Ticket>) {
        tracing::error!(%error, "the journal failed; nothing more is accepted");
        if self.setup.on_failure == OnFailure::Exit {
            // Nobody is answered any more: whoever heard of it would have words of its own behind the last line.
            eprintln!("kabar: the journal failed: {error}. The process ends; what was acknowledged is safe.");
            std::process::exit(EXIT_IO);
        }
        self.setup.queue.kill();
        for ticket in group {
            let _ = ticket.done.send(Err(StoreError::Unknown));
        }
    }
}

/// However the thread ends, nobody waits for it in vain.
struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill();
    }
}
