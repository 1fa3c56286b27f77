//! What can be seen of the segment files without being their owner: which are full for good, where the last one
//! ends now, and where the shards stand there. Changes nothing; the owner may write on meanwhile.

use super::header::HEADER;
use super::recovery::{Found, Walk, check_chain, damaged, heads};
use super::scan::{Scan, Step};
use crate::error::OpenError;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A segment file, as much of it as counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) path: PathBuf,
    /// Bytes from its beginning; they never change again.
    pub(crate) bytes: u64,
    /// Whether the whole file never changes again, even if the power goes now.
    pub(crate) settled: bool,
}

/// The journal at an instant.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    /// The segments, oldest first.
    pub(crate) pieces: Vec<Piece>,
    /// Where the shards stand at the end of the last piece; those that were ever used.
    pub(crate) tips: Vec<(ShardId, Position)>,
}

/// Looks at the folder. Everything acknowledged before the call is in what it answers.
pub(crate) fn look(folder: &Path) -> Result<Archive, OpenError> {
    let (found, _) = heads(folder)?;
    check_chain(&found)?;
    let Some(last) = found.last() else { return Ok(Archive::default()) };
    let mut walk = Walk::new(last);
    let end = end_of(last, &mut walk)?;
    let count = found.len();
    let piece = |(place, this): (usize, &Found)| Piece {
        path: this.path.clone(),
        bytes: if place + 1 == count { end } else { this.len },
        // The head of the next one is surely on the disk only once a later one followed that: before, a power
        // failure may take it back, and this one is written on.
        settled: place + 2 < count,
    };
    let tips = ShardId::all().map(|shard| (shard, walk.tips.position(shard))).filter(|(_, at)| at.0 > 0);
    Ok(Archive { pieces: found.iter().enumerate().map(piece).collect(), tips: tips.collect() })
}

/// Behind the last good frame. Frames that no sync has seen yet are taken too: whether they were acknowledged
/// cannot be seen from here, and one that was must not be missing.
fn end_of(this: &Found, walk: &mut Walk<'_>) -> Result<u64, OpenError> {
    let mut from = HEADER as u64;
    let mut was_bad = None;
    loop {
        let file = File::open(&this.path).map_err(OpenError::io("open", &this.path))?;
        let mut scan = Scan::new(file, this.header.salt, from, this.len);
        let cut = loop {
            match scan.step().map_err(OpenError::io("read", &this.path))? {
                Step::Frame(offset, frame) => walk.pass(offset, &frame)?,
                Step::Bad(offset) => break offset,
                Step::End => return Ok(this.len.max(HEADER as u64)),
            }
        };
        let durable = scan.durable_behind(cut).map_err(OpenError::io("read", &this.path))?;
        if durable.is_none_or(|durable| durable <= this.header.start + cut) {
            return Ok(cut);
        }
        // The owner may have written it, and more, between the two looks. It is durable now: a second look finds
        // it whole, or it is damaged.
        if was_bad == Some(cut) {
            let what = "a frame is not readable, and later ones prove that it had been acknowledged";
            return Err(damaged(&this.path, cut, what));
        }
        was_bad = Some(cut);
        from = cut;
    }
}
