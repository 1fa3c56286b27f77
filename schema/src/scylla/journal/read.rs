//! Reading the journal: frame after frame, bucket after bucket, shard after shard. Not the views.

use super::{Inner, big, small};
use crate::codec::{self, Decoded};
use crate::error::StoreError;
use crate::journal::{Cursor, Page, ShardSet};
use crate::scylla::fault;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use std::sync::Arc;

/// Frames read at once; each has at least one entry.
const FRAMES: usize = 64;

/// A row: where the frame begins, and its bytes.
type Stored = (i64, Option<Vec<u8>>);

impl Inner {
    pub(super) async fn read(
        &self,
        shards: &ShardSet,
        after: &Cursor,
        max_entries: usize,
    ) -> Result<Page, StoreError> {
        let mut page = Page { entries: Vec::new(), cursor: after.clone(), end: true };
        let floors = self.floors().await?;
        let max = max_entries.max(1);
        for shard in shards.iter() {
            let floor = floors.iter().find(|f| f.0 == shard).map_or(0, |f| f.2);
            let from = after.at(shard).0.max(floor);
            // An owner knows where its shard ends: nothing is asked when nothing is new.
            if self.line(shard).durable().is_some_and(|tip| tip <= from) {
                continue;
            }
            if !self.read_shard(shard, from, max, &mut page).await? {
                page.end = false;
                break;
            }
        }
        Ok(page)
    }

    /// Whether the shard was read to its end.
    async fn read_shard(
        &self,
        shard: ShardId,
        from: u64,
        max: usize,
        page: &mut Page,
    ) -> Result<bool, StoreError> {
        let mut at = from;
        loop {
            let frames = self.frames(shard, at + 1, max.min(FRAMES)).await?;
            if frames.is_empty() {
                return Ok(true);
            }
            for (seq, bytes) in frames {
                let Some(bytes) = bytes else { continue };
                let frame = self.parse(shard, seq, &bytes)?;
                let entries = frame.entries().map_err(|_| fault::damaged("a frame's entries"))?;
                for (position, entry) in entries.into_iter().filter(|(p, _)| p.0 > at) {
                    if page.entries.len() >= max {
                        return Ok(false);
                    }
                    match codec::decode(entry, &self.keyring).map_err(|_| fault::damaged("an entry"))? {
                        Decoded::Entry(entry) => page.entries.push((shard, position, Arc::new(entry))),
                        Decoded::Erased => {}
                    }
                    page.cursor.advance(shard, position);
                }
                at = at.max(frame.last().0);
            }
        }
    }

    /// The frames from the one that holds `position` on, as far as one bucket goes.
    async fn frames(&self, shard: ShardId, position: u64, most: usize) -> Result<Vec<Stored>, StoreError> {
        let bucket = self.bits.bucket(position);
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        let from = (small(shard), big(bucket), big(position), most);
        let mut frames: Vec<Stored> = self.cluster.rows(&self.sql.from, from).await?;
        if frames.first().is_some_and(|(seq, _)| seq.cast_unsigned() == position) {
            return Ok(frames);
        }
        // The position lies within a frame that begins before it, perhaps in an earlier bucket.
        for bucket in (bucket.saturating_sub(self.bits.reach())..=bucket).rev() {
            let before = (small(shard), big(bucket), big(position));
            let found: Option<Stored> = self.cluster.row(&self.sql.before, before).await?;
            let Some((seq, Some(bytes))) = found else { continue };
            if self.parse(shard, seq, &bytes)?.last() >= Position(position) {
                frames.insert(0, (seq, Some(bytes)));
            }
            break;
        }
        Ok(frames)
    }
}
