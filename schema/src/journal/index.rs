//! What is known of the segments without reading them: their heads, where their durable part ends, where every
//! shard stands durably, and for the segments in use where in the file a position is to be looked for. The
//! writer tells it after each sync; readers take a snapshot.

use super::header::{Header, Tips};
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A shard's frames within this many bytes share one hint.
const STEP: u64 = 512 * 1024;
/// So many of the newest segments keep their hints.
const KEPT: usize = 4;

/// Where to begin reading for a position, per shard: (position, offset in the file), both rising.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints(BTreeMap<u8, Vec<(u64, u64)>>);

impl Hints {
    /// A frame lies at `offset`.
    pub(super) fn note(&mut self, shard: ShardId, base: Position, offset: u64) {
        let list = self.0.entry(shard.0).or_default();
        if list.last().is_none_or(|(_, at)| offset - at >= STEP) {
            list.push((base.0, offset));
        }
    }

    /// At or before which offset the frame with `position` begins; `None` when the shard has no frame here.
    fn offset(&self, shard: ShardId, position: Position) -> Option<u64> {
        let list = self.0.get(&shard.0)?;
        let after = list.partition_point(|(base, _)| *base <= position.0);
        list.get(after.saturating_sub(1)).map(|(_, offset)| *offset)
    }
}

/// One segment file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) header: Header,
    hints: Mutex<Option<Hints>>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, header: Header, hints: Option<Hints>) -> Arc<Self> {
        Arc::new(Self { path, header, hints: Mutex::new(hints) })
    }

    /// Whether its hints are at hand.
    pub(super) fn is_hinted(&self) -> bool {
        self.hints.lock().is_some()
    }

    pub(super) fn set_hints(&self, hints: Hints) {
        *self.hints.lock() = Some(hints);
    }

    /// Where reading for all of these positions begins; `None` when none of the shards has a frame here.
    pub(super) fn begin(&self, wanted: &[(ShardId, Position)]) -> Option<u64> {
        let hints = self.hints.lock();
        let hints = hints.as_ref()?;
        wanted.iter().filter_map(|(shard, position)| hints.offset(*shard, *position)).min()
    }
}

/// A frame that has become durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Noted {
    pub(super) shard: ShardId,
    pub(super) base: Position,
    pub(super) offset: u64,
}

/// A segment, with where its durable frames end (offset in the file) and where the shards stand there.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) segment: Arc<Segment>,
    pub(super) end: u64,
    pub(super) tips: Arc<Tips>,
}

/// All segments, oldest first; never empty.
#[derive(Debug)]
pub(super) struct Index {
    spans: RwLock<Vec<Span>>,
}

impl Index {
    pub(super) fn new(spans: Vec<Span>) -> Self {
        Self { spans: RwLock::new(spans) }
    }

    /// Frames of the last segment became durable.
    pub(super) fn publish(&self, noted: &[Noted], end: u64, tips: &Tips) {
        let mut spans = self.spans.write();
        let last = spans.last_mut().expect("invariant: there is always a last segment");
        if let Some(hints) = last.segment.hints.lock().as_mut() {
            noted.iter().for_each(|n| hints.note(n.shard, n.base, n.offset));
        }
        last.end = end;
        last.tips = Arc::new(tips.clone());
    }

    /// A new last segment; its file is durable and empty.
    pub(super) fn push(&self, span: Span) {
        self.spans.write().push(span);
    }

    /// All segments as they stand.
    pub(super) fn snapshot(&self) -> Vec<Span> {
        self.spans.read().clone()
    }

    /// Where the shards stand durably.
    pub(super) fn tips(&self) -> Arc<Tips> {
        Arc::clone(&self.spans.read().last().expect("invariant: there is always a last segment").tips)
    }

    /// Forgets the hints of old segments but those of `used`.
    pub(super) fn trim(&self, used: &Segment) {
        let spans = self.spans.read();
        let old = spans.len().saturating_sub(KEPT);
        for span in &spans[..old] {
            if span.segment.header.ordinal != used.header.ordinal {
                span.segment.hints.lock().take();
            }
        }
    }

    /// Takes the oldest segments out for as long as `may` says so; never the last.
    pub(super) fn take_oldest(&self, may: impl Fn(&Span, &Span) -> bool) -> Vec<Span> {
        let mut spans = self.spans.write();
        let count = spans.windows(2).take_while(|pair| may(&pair[0], &pair[1])).count();
        spans.drain(..count).collect()
    }
}
