//! Opening the segment files: what stands, what was torn by a crash and goes, and what is damaged and must not be
//! passed over. A torn tail was never acknowledged; damage before an acknowledged frame refuses to open.

use super::disk::Disk;
use super::header::{HEADER, Header, HeaderError, Tip, Tips, file_name, ordinal_of};
use super::index::{Hints, Segment, Span};
use super::scan::{Scan, Step};
use crate::codec::frame::Frame;
use crate::codec::{self, DecodeError};
use crate::error::OpenError;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use rand::TryRngCore;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was found, ready to be appended to.
#[derive(Debug)]
pub(super) struct Recovered {
    /// All segments, oldest first; at least one.
    pub(super) spans: Vec<Span>,
    /// The last segment's file, open for writing.
    pub(super) file: File,
    /// How many bytes that file has.
    pub(super) allocated: u64,
    /// The newest time of an entry.
    pub(super) newest: Timestamp,
}

/// A segment file whose head was read.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    pub(super) len: u64,
}

/// Opens the folder's segments. An empty journal begins at the floors; one that ends below them is refused, since
/// the views may only hold what was durable here.
pub(super) fn recover(
    folder: &Path,
    floors: &[(ShardId, Position)],
    disk: &dyn Disk,
) -> Result<Recovered, OpenError> {
    let (found, torn) = heads(folder)?;
    if let Some(path) = torn {
        tracing::warn!(path = %path.display(), "a segment whose head was never finished is removed");
        std::fs::remove_file(&path).map_err(OpenError::io("remove", &path))?;
        disk.sync_folder(folder).map_err(OpenError::io("sync", folder))?;
    }
    check_chain(&found)?;
    let mut spans = Vec::with_capacity(found.len() + 1);
    let mut newest = Timestamp(i64::MIN);
    for (place, this) in found.iter().enumerate() {
        spans.push(match found.get(place + 1) {
            Some(next) => sealed(this, next, floors)?,
            None => {
                let (span, until) = last(this, disk)?;
                newest = until;
                span
            }
        });
    }
    let mut tips = spans.last().map(|span| (*span.tips).clone()).unwrap_or_default();
    let lifted = tips.lift(floors);
    // A journal that never held a frame says nothing of what the views should be.
    if lifted && spans.iter().any(|span| span.end > HEADER as u64) {
        return Err(OpenError::ViewsAhead { folder: folder.to_owned() });
    }
    if spans.is_empty() || lifted {
        // Lifted tips need a head that says so, or the next opening would see a gap.
        let previous = spans.last().map(|span| (&span.segment.header, span.end));
        let header = following(previous, newest, tips);
        let (span, file) = create(folder, header, disk)?;
        spans.push(span);
        return Ok(Recovered { newest, spans, file, allocated: HEADER as u64 });
    }
    let path = &spans.last().expect("invariant: just checked").segment.path;
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(OpenError::io("open", path))?;
    let allocated = file.metadata().map_err(OpenError::io("look at", path))?.len();
    Ok(Recovered { newest, spans, file, allocated })
}

/// The head of the segment after `previous` (its head, and where its frames end).
pub(super) fn following(previous: Option<(&Header, u64)>, newest: Timestamp, tips: Tips) -> Header {
    let (ordinal, start) = previous.map_or((1, 0), |(header, end)| (header.ordinal + 1, header.start + end));
    let salt = rand::rngs::OsRng
        .try_next_u32()
        .expect("invariant: the operating system has randomness; the master key needed it before");
    Header { ordinal, start, salt, newest, tips }
}

/// Makes a segment's file durable before anything is written into it.
pub(super) fn create(folder: &Path, header: Header, disk: &dyn Disk) -> Result<(Span, File), OpenError> {
    let path = folder.join(header.name());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(OpenError::io("create", &path))?;
    disk.write(&path, &file, &header.to_bytes(), 0).map_err(OpenError::io("write", &path))?;
    disk.sync(&path, &file).map_err(OpenError::io("sync", &path))?;
    disk.sync_folder(folder).map_err(OpenError::io("sync", folder))?;
    let tips = Arc::new(header.tips.clone());
    let segment = Segment::new(path, header, Some(Hints::default()));
    Ok((Span { segment, end: HEADER as u64, tips }, file))
}

/// Reads the heads of all segments. A last file whose head was torn holds nothing acknowledged: it comes apart.
pub(super) fn heads(folder: &Path) -> Result<(Vec<Found>, Option<PathBuf>), OpenError> {
    let listing = std::fs::read_dir(folder).map_err(OpenError::io("list", folder))?;
    let mut ordinals = Vec::new();
    for entry in listing {
        let entry = entry.map_err(OpenError::io("list", folder))?;
        ordinals.extend(entry.file_name().to_str().and_then(ordinal_of));
    }
    ordinals.sort_unstable();
    let mut found = Vec::with_capacity(ordinals.len());
    for (place, ordinal) in ordinals.iter().enumerate() {
        let path = folder.join(file_name(*ordinal));
        let file = File::open(&path).map_err(OpenError::io("open", &path))?;
        let len = file.metadata().map_err(OpenError::io("look at", &path))?.len();
        let mut bytes = vec![0; HEADER.min(usize::try_from(len).unwrap_or(HEADER))];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0)
            .map_err(OpenError::io("read", &path))?;
        match Header::from_bytes(&bytes) {
            Ok(header) if header.ordinal == *ordinal => found.push(Found { path, header, len }),
            Err(HeaderError::Newer(version)) => {
                return Err(OpenError::Newer { file: path, found: u64::from(version), known: 1 });
            }
            Err(HeaderError::Bad) if place + 1 == ordinals.len() && len <= HEADER as u64 => {
                return Ok((found, Some(path)));
            }
            Ok(_) | Err(HeaderError::Bad) => return Err(damaged(&path, 0, "its head is not readable")),
        }
    }
    Ok((found, None))
}

pub(super) fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> OpenError {
    OpenError::Damaged { file: file.to_owned(), offset, what: what.into() }
}

/// Each segment begins where the one before it ends.
pub(super) fn check_chain(found: &[Found]) -> Result<(), OpenError> {
    for pair in found.windows(2) {
        let (this, next) = (&pair[0], &pair[1]);
        if next.header.ordinal != this.header.ordinal + 1 {
            let missing = file_name(this.header.ordinal + 1);
            return Err(damaged(&next.path, 0, format!("the segment before it, {missing}, is missing")));
        }
        let used = next.header.start.checked_sub(this.header.start).filter(|used| *used >= HEADER as u64);
        match used {
            None => return Err(damaged(&next.path, 0, "it does not follow the segment before it")),
            Some(used) if used > this.len => {
                return Err(damaged(&this.path, this.len, format!("the file ends before byte {used}")));
            }
            Some(_) => {}
        }
        if !next.header.tips.reach(&this.header.tips) {
            return Err(damaged(&next.path, 0, "its shards stand before those of the segment before it"));
        }
    }
    Ok(())
}

/// A segment that is not the last. What the views already hold is not read again.
fn sealed(this: &Found, next: &Found, floors: &[(ShardId, Position)]) -> Result<Span, OpenError> {
    let end = next.header.start - this.header.start;
    let mut floor = Tips::default();
    floor.lift(floors);
    let tips = Arc::new(next.header.tips.clone());
    let needed = ShardId::all().any(|shard| {
        let (begin, end) = (this.header.tips.position(shard), tips.position(shard));
        end > begin && end > floor.position(shard)
    });
    if !needed {
        return Ok(Span { segment: Segment::new(this.path.clone(), this.header.clone(), None), end, tips });
    }
    let mut walk = Walk::new(this);
    let mut scan = walk.scan(this, end)?;
    loop {
        match scan.step().map_err(OpenError::io("read", &this.path))? {
            Step::Frame(offset, frame) => walk.pass(offset, &frame)?,
            Step::Bad(offset) => return Err(damaged(&this.path, offset, "a frame is not readable")),
            Step::End => break,
        }
    }
    if !next.header.tips.reach(&walk.tips) {
        return Err(damaged(&next.path, 0, "its shards stand before the frames of the segment before it"));
    }
    let segment = Segment::new(this.path.clone(), this.header.clone(), Some(walk.hints));
    Ok(Span { segment, end, tips })
}

/// The last segment: cut behind its last good frame, unless something acknowledged lies beyond.
fn last(this: &Found, disk: &dyn Disk) -> Result<(Span, Timestamp), OpenError> {
    let mut walk = Walk::new(this);
    let mut scan = walk.scan(this, this.len)?;
    let cut = loop {
        match scan.step().map_err(OpenError::io("read", &this.path))? {
            Step::Frame(offset, frame) => walk.pass(offset, &frame)?,
            Step::Bad(offset) => break offset,
            Step::End => break this.len.max(HEADER as u64),
        }
    };
    let durable = scan.durable_behind(cut).map_err(OpenError::io("read", &this.path))?;
    if durable.is_some_and(|durable| durable > this.header.start + cut) {
        let what = "a frame is not readable, and later ones prove that it had been acknowledged";
        return Err(damaged(&this.path, cut, what));
    }
    let file = OpenOptions::new().write(true).open(&this.path).map_err(OpenError::io("open", &this.path))?;
    if scan.is_soiled(cut).map_err(OpenError::io("read", &this.path))? {
        tracing::warn!(segment = this.header.ordinal, offset = cut, "a torn tail is cut off");
        // Before the first append: what is written from here on must not meet what lay behind the tear.
        disk.cut(&this.path, &file, cut).map_err(OpenError::io("cut", &this.path))?;
    }
    // A process that was killed may have left frames that no sync has seen; from now on they are read and acted
    // upon, so they are made durable first.
    disk.sync(&this.path, &file).map_err(OpenError::io("sync", &this.path))?;
    let segment = Segment::new(this.path.clone(), this.header.clone(), Some(walk.hints));
    Ok((Span { segment, end: cut, tips: Arc::new(walk.tips) }, walk.newest))
}

/// What a walk over a segment's frames has seen.
pub(super) struct Walk<'a> {
    path: &'a Path,
    pub(super) tips: Tips,
    hints: Hints,
    newest: Timestamp,
}

impl<'a> Walk<'a> {
    pub(super) fn new(this: &'a Found) -> Self {
        let (tips, newest) = (this.header.tips.clone(), this.header.newest);
        Self { path: &this.path, tips, hints: Hints::default(), newest }
    }

    fn scan(&self, this: &Found, end: u64) -> Result<Scan, OpenError> {
        let file = File::open(&this.path).map_err(OpenError::io("open", &this.path))?;
        Ok(Scan::new(file, this.header.salt, HEADER as u64, end))
    }

    /// A good frame must follow its shard's last one and hold kinds this version knows.
    pub(super) fn pass(&mut self, offset: u64, frame: &Frame<'_>) -> Result<(), OpenError> {
        let tip = self.tips.get(frame.shard);
        if frame.base.0 != tip.position + 1 {
            let (shard, base, tip) = (frame.shard.0, frame.base.0, tip.position);
            let what = format!("position {base} of shard {shard} follows position {tip}");
            return Err(damaged(self.path, offset, what));
        }
        if frame.epoch < tip.epoch {
            let what = format!("shard {} goes back to an older epoch", frame.shard.0);
            return Err(damaged(self.path, offset, what));
        }
        let entries = frame.entries().map_err(|error| damaged(self.path, offset, error.to_string()))?;
        for (_, entry) in entries {
            match codec::time_of(entry) {
                Ok(at) => self.newest = self.newest.max(at),
                Err(DecodeError::UnknownKind(kind)) => {
                    let (found, known) = (u64::from(kind), u64::from(codec::NEWEST_KIND));
                    return Err(OpenError::Newer { file: self.path.to_owned(), found, known });
                }
                Err(error) => return Err(damaged(self.path, offset, error.to_string())),
            }
        }
        self.tips.set(frame.shard, Tip { position: frame.last().0, epoch: frame.epoch });
        self.hints.note(frame.shard, frame.base, offset);
        Ok(())
    }
}

/// Scans a durable segment for hints that were not kept.
pub(super) fn hints(span: &Span) -> std::io::Result<Option<Hints>> {
    let header = &span.segment.header;
    let mut scan = Scan::new(File::open(&span.segment.path)?, header.salt, HEADER as u64, span.end);
    let mut hints = Hints::default();
    loop {
        match scan.step()? {
            Step::Frame(offset, frame) => hints.note(frame.shard, frame.base, offset),
            Step::End => return Ok(Some(hints)),
            Step::Bad(offset) => {
                let file = span.segment.path.display();
                tracing::error!(%file, offset, "a segment of the journal is damaged");
                return Ok(None);
            }
        }
    }
}
