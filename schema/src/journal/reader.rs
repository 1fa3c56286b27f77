//! Reading pages of entries out of the segment files: for recovery and for everybody who follows the events. Only
//! what is durable; nothing of the writer's memory.

use super::index::{Index, Span};
use super::recovery;
use super::scan::{Scan, Step};
use super::{Cursor, Page, ShardSet};
use crate::codec::frame::Frame;
use crate::codec::{self, Decoded};
use crate::error::StoreError;
use crate::seal::Keyring;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use std::fs::File;
use std::sync::Arc;

/// One read.
pub(super) struct Read {
    pub(super) shards: ShardSet,
    pub(super) page: Page,
    pub(super) max: usize,
}

impl Read {
    pub(super) fn new(shards: ShardSet, after: &Cursor, max_entries: usize) -> Self {
        let page = Page { entries: Vec::new(), cursor: after.clone(), end: false };
        Self { shards, page, max: max_entries.max(1) }
    }

    /// Fills the page. Files are read on this thread: call it where blocking is allowed.
    pub(super) fn fill(mut self, index: &Index, keyring: &Keyring) -> Result<Page, StoreError> {
        let tips = index.tips();
        let behind = |shard: &ShardId| tips.position(*shard) > self.page.cursor.at(*shard);
        if !self.shards.iter().any(|shard| behind(&shard)) {
            self.page.end = true;
            return Ok(self.page);
        }
        for span in index.snapshot() {
            if !self.fill_from(&span, index, keyring)? {
                let Self { page, shards, .. } = &mut self;
                page.end = !shards.iter().any(|shard| tips.position(shard) > page.cursor.at(shard));
                return Ok(self.page);
            }
        }
        self.page.end = true;
        Ok(self.page)
    }

    /// Goes through one segment; `false` when the page is full.
    fn fill_from(&mut self, span: &Span, index: &Index, keyring: &Keyring) -> Result<bool, StoreError> {
        let wanted: Vec<(ShardId, Position)> = self
            .shards
            .iter()
            .map(|shard| (shard, self.page.cursor.at(shard)))
            .filter(|(shard, at)| {
                let (begin, end) = (span.segment.header.tips.position(*shard), span.tips.position(*shard));
                end > begin && end > *at
            })
            .map(|(shard, at)| (shard, at.plus(1)))
            .collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        if !span.segment.is_hinted() {
            let hints = recovery::hints(span).map_err(|error| io_error(span, &error))?;
            span.segment.set_hints(hints.ok_or(StoreError::Unavailable)?);
            index.trim(&span.segment);
        }
        let Some(begin) = span.segment.begin(&wanted) else { return Ok(true) };
        let file = File::open(&span.segment.path).map_err(|error| io_error(span, &error))?;
        let mut scan = Scan::new(file, span.segment.header.salt, begin, span.end);
        loop {
            match scan.step().map_err(|error| io_error(span, &error))? {
                Step::End => return Ok(true),
                Step::Frame(offset, frame) => {
                    let took = self.take(&frame, keyring).map_err(|error| {
                        let segment = span.segment.header.ordinal;
                        tracing::error!(segment, offset, %error, "an entry of the journal cannot be read");
                        StoreError::Unavailable
                    })?;
                    // Full is full: the next entry of a quiet shard may lie segments away.
                    if !took || self.page.entries.len() >= self.max {
                        return Ok(false);
                    }
                }
                Step::Bad(offset) => {
                    let file = span.segment.path.display();
                    tracing::error!(%file, offset, "a segment of the journal is damaged");
                    return Err(StoreError::Unavailable);
                }
            }
        }
    }

    /// Takes a frame's entries; `false` when the page was full before the frame's end.
    fn take(&mut self, frame: &Frame<'_>, keyring: &Keyring) -> Result<bool, codec::DecodeError> {
        let cursor = self.page.cursor.at(frame.shard);
        if !self.shards.contains(frame.shard) || frame.last() <= cursor {
            return Ok(true);
        }
        for (position, bytes) in frame.entries()? {
            if position <= cursor {
                continue;
            }
            if self.page.entries.len() >= self.max {
                return Ok(false);
            }
            if let Decoded::Entry(entry) = codec::decode(bytes, keyring)? {
                self.page.entries.push((frame.shard, position, Arc::new(entry)));
            }
            self.page.cursor.advance(frame.shard, position);
        }
        Ok(true)
    }
}

fn io_error(span: &Span, error: &std::io::Error) -> StoreError {
    tracing::error!(segment = span.segment.header.ordinal, %error, "a segment of the journal cannot be read");
    StoreError::Unavailable
}
