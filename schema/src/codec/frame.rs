//! A frame: the bytes of one appended batch, the same in a segment file and in a row of a CQL journal.
//!
//! ```text
//! len u32 | crc u32 | shard u8 | base u64 | count u16 | epoch u64 | batch u64 | durable u64 | (len varint, entry)…
//! ```
//! Little-endian; `len` counts the whole frame; the CRC covers everything but itself and begins with the salt of
//! the segment, so that an old frame in a reused file cannot pass. Not where frames lie: that is the journal's.

use super::row::{Reader, put_varint};
use super::{DecodeError, Sealer, encode, encode_with};
use crate::journal::Fence;
use crate::seal::{Keyring, SealError};
use kabar_engine::entry::{Entry, Position};
use kabar_engine::id::ShardId;
use std::sync::Arc;

/// Most bytes of a frame.
pub const FRAME_MAX: usize = 64 * 1024;
/// Most bytes of an entry; larger values go to a blob.
pub const ENTRY_MAX: usize = 32 * 1024;
/// Bytes before the entries.
pub const HEAD: usize = 43;

const CRC: usize = 4;
const SHARD: usize = 8;
const BASE: usize = 9;
const COUNT: usize = 17;
const EPOCH: usize = 19;
const BATCH: usize = 27;
const DURABLE: usize = 35;
/// Most bytes of the varint before an entry.
const LENGTH_MAX: usize = 3;

/// Why a batch is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Nothing to append.
    #[error("the batch is empty")]
    Empty,
    /// More than [`ENTRY_MAX`] bytes.
    #[error("an entry of kind `{kind}` has {bytes} bytes, at most {ENTRY_MAX} are allowed")]
    EntryTooLarge {
        /// Its kind.
        kind: &'static str,
        /// Its bytes.
        bytes: usize,
    },
    /// More than [`FRAME_MAX`] bytes.
    #[error("a batch of {entries} entries has more than {FRAME_MAX} bytes: split it")]
    TooLarge {
        /// How many entries it has.
        entries: usize,
    },
    /// An entry cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A frame that passed its CRC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The shard.
    pub shard: ShardId,
    /// The position of the first entry.
    pub base: Position,
    /// How many entries.
    pub count: u16,
    /// Under which epoch it was appended.
    pub epoch: u64,
    /// Names the append, so that one with an unknown outcome is recognised when it is read back.
    pub batch: u64,
    /// The log-wide byte offset that was synced when this frame was written.
    pub durable: u64,
    /// Bytes of the whole frame.
    pub len: usize,
    entries: &'a [u8],
}

/// The frame of a batch. CRC and `durable` are zero until [`finish`].
///
/// # Errors
/// [`FrameError`] when it does not fit or cannot be sealed.
pub fn build(
    fence: Fence,
    base: Position,
    batch: u64,
    entries: &[Arc<Entry>],
    keyring: &Keyring,
) -> Result<Vec<u8>, FrameError> {
    if entries.is_empty() {
        return Err(FrameError::Empty);
    }
    let count = u16::try_from(entries.len()).map_err(|_| FrameError::TooLarge { entries: entries.len() })?;
    let mut out = Vec::with_capacity(HEAD + entries.len() * 64 + 512);
    out.resize(HEAD, 0);
    out[SHARD] = fence.shard.0;
    out[BASE..COUNT].copy_from_slice(&base.0.to_le_bytes());
    out[COUNT..EPOCH].copy_from_slice(&count.to_le_bytes());
    out[EPOCH..BATCH].copy_from_slice(&fence.epoch.to_le_bytes());
    out[BATCH..DURABLE].copy_from_slice(&batch.to_le_bytes());
    let mut body = Vec::with_capacity(512);
    for entry in entries {
        body.clear();
        encode(entry, keyring, &mut body)?;
        check_entry(entry, body.len())?;
        put_varint(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
        if out.len() > FRAME_MAX {
            return Err(FrameError::TooLarge { entries: entries.len() });
        }
    }
    let len = u32::try_from(out.len()).expect("invariant: a frame has at most 64 KiB");
    out[..CRC].copy_from_slice(&len.to_le_bytes());
    Ok(out)
}

/// What [`build`] would say to these entries, without keys and without bytes: for backends that keep entries as
/// they are.
///
/// # Errors
/// [`FrameError`] but never its `Seal`.
pub fn check(entries: &[Arc<Entry>]) -> Result<(), FrameError> {
    if entries.is_empty() {
        return Err(FrameError::Empty);
    }
    let mut len = HEAD;
    for entry in entries {
        let body = entry_len(entry);
        check_entry(entry, body)?;
        len += LENGTH_MAX + body;
    }
    if len > FRAME_MAX || entries.len() > usize::from(u16::MAX) {
        return Err(FrameError::TooLarge { entries: entries.len() });
    }
    Ok(())
}

fn check_entry(entry: &Entry, bytes: usize) -> Result<(), FrameError> {
    if bytes > ENTRY_MAX { Err(FrameError::EntryTooLarge { kind: entry.what.name(), bytes }) } else { Ok(()) }
}

/// How many bytes an entry takes at most.
#[must_use]
pub fn entry_len(entry: &Entry) -> usize {
    let mut out = Vec::with_capacity(512);
    encode_with(entry, Sealer::Room, &mut out).expect("invariant: room needs no key");
    out.len()
}

/// Cuts entries, in order, into batches that each fit into a frame. An entry that is too large by itself comes
/// back alone; appending it is refused.
#[must_use]
pub fn split(entries: Vec<Arc<Entry>>) -> Vec<Vec<Arc<Entry>>> {
    let mut batches: Vec<Vec<Arc<Entry>>> = Vec::new();
    let mut room = 0;
    for entry in entries {
        let len = LENGTH_MAX + entry_len(&entry);
        match batches.last_mut() {
            Some(batch) if len <= room && batch.len() < usize::from(u16::MAX) => {
                room -= len;
                batch.push(entry);
            }
            _ => {
                room = (FRAME_MAX - HEAD).saturating_sub(len);
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

/// Takes `more`, the frame that follows, into `frame` when both fit into one; whether it did. The batch's name stays
/// the first one's.
pub fn join(frame: &mut Vec<u8>, more: &[u8]) -> bool {
    let count = u32::from(u16::from_le_bytes(field(frame, COUNT)))
        + u32::from(u16::from_le_bytes(field(more, COUNT)));
    let len = frame.len() + more.len() - HEAD;
    let Ok(count) = u16::try_from(count) else { return false };
    if len > FRAME_MAX {
        return false;
    }
    frame.extend_from_slice(&more[HEAD..]);
    frame[COUNT..EPOCH].copy_from_slice(&count.to_le_bytes());
    let len = u32::try_from(len).expect("invariant: a frame has at most 64 KiB");
    frame[..CRC].copy_from_slice(&len.to_le_bytes());
    true
}

/// Writes `durable` and the CRC into a frame, just before it goes to the disk.
pub fn finish(frame: &mut [u8], salt: u32, durable: u64) {
    frame[DURABLE..HEAD].copy_from_slice(&durable.to_le_bytes());
    let crc = crc(frame, salt);
    frame[CRC..SHARD].copy_from_slice(&crc.to_le_bytes());
}

fn crc(frame: &[u8], salt: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&frame[..CRC]);
    hasher.update(&frame[SHARD..]);
    hasher.finalize()
}

/// The length that stands at the beginning of `bytes`: 0 where nothing was written, `None` when it can be no
/// frame's.
#[must_use]
pub fn length(bytes: &[u8]) -> Option<usize> {
    let len = bytes.first_chunk::<4>().map(|len| u32::from_le_bytes(*len))?;
    let len = usize::try_from(len).ok()?;
    (len == 0 || (HEAD..=FRAME_MAX).contains(&len)).then_some(len)
}

/// The frame at the beginning of `bytes`; `None` when it is cut, torn, of another segment, or holds positions that no shard
/// can reach.
#[must_use]
pub fn parse(bytes: &[u8], salt: u32) -> Option<Frame<'_>> {
    let len = length(bytes).filter(|len| *len > 0)?;
    let bytes = bytes.get(..len)?;
    let count = u16::from_le_bytes(field(bytes, COUNT));
    if count == 0 || crc(bytes, salt).to_le_bytes() != field::<4>(bytes, CRC) {
        return None;
    }
    let base = u64::from_le_bytes(field(bytes, BASE));
    base.checked_add(u64::from(count))?;
    Some(Frame {
        shard: ShardId(bytes[SHARD]),
        base: Position(base),
        count,
        epoch: u64::from_le_bytes(field(bytes, EPOCH)),
        batch: u64::from_le_bytes(field(bytes, BATCH)),
        durable: u64::from_le_bytes(field(bytes, DURABLE)),
        len,
        entries: &bytes[HEAD..],
    })
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk::<N>().expect("invariant: a frame is at least as long as its head")
}

impl<'a> Frame<'a> {
    /// The position of the last entry.
    #[must_use]
    pub fn last(&self) -> Position {
        self.base.plus(u64::from(self.count) - 1)
    }

    /// The bytes of its entries with their positions.
    ///
    /// # Errors
    /// [`DecodeError`] when they are not `count` entries.
    pub fn entries(&self) -> Result<Vec<(Position, &'a [u8])>, DecodeError> {
        let mut reader = Reader::new(self.entries);
        let mut entries = Vec::with_capacity(usize::from(self.count));
        for place in 0..u64::from(self.count) {
            entries.push((self.base.plus(place), reader.bytes("entry")?));
        }
        reader.finish()?;
        Ok(entries)
    }
}
