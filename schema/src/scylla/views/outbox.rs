//! The outbox, a minute a partition, and which minutes there are. Lines are never deleted: one that is gone is written
//! again without its bytes and ends by itself, and the floor keeps readers away from minutes where all are gone. Not
//! the order of sending.

use super::flush::Phase;
use super::{CqlViews, read};
use crate::codec::view::outbox::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::fault::damaged;
use crate::views::ShardFlush;
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::id::{MessageId, ShardId};
use kabar_engine::overlay::{OutboxKey, OutboxLine};
use kabar_engine::pacing::Lane;
use std::collections::{BTreeMap, HashSet};

/// Minutes read at once.
const MINUTES: usize = 8;
/// Lines asked for at once: gone ones lie between the open ones.
const LINES: usize = 1_000;
/// So many minutes are remembered as written; then they are forgotten and written once more.
const REMEMBERED: usize = 65_536;

/// A minute of a shard.
pub(super) type Minute = (ShardId, u32);

/// Puts a flush's lines under the flush's position: lines have no age of their own. The last one of a key counts,
/// because two under one timestamp would be settled by their bytes.
pub(super) fn put(to: &mut Phase<'_>, flush: &ShardFlush, written: &HashSet<Minute>) -> Vec<Minute> {
    let sql = to.sql;
    let (shard, upto) = (flush.mark.shard, flush.mark.position.0);
    let mut lines: BTreeMap<OutboxKey, &OutboxLine> = BTreeMap::new();
    for line in &flush.changes.outbox {
        let (OutboxLine::Open { key, .. } | OutboxLine::Gone(key)) = line;
        lines.insert(*key, line);
    }
    let mut fresh: Vec<Minute> = Vec::new();
    for (key, line) in lines {
        let (minute, lane) = (i64::from(key.minute), key.lane as u8);
        let row = cells![shard.0, minute, lane, key.message.0, pack(line), upto];
        if matches!(line, OutboxLine::Gone(_)) {
            to.put(&sql.outbox_gone, row);
            continue;
        }
        to.put(&sql.outbox_open, row);
        let place = (shard, key.minute);
        if fresh.last() != Some(&place) && !written.contains(&place) {
            to.put(&sql.outbox_minute, cells![shard.0, minute, upto]);
            fresh.push(place);
        }
    }
    fresh
}

/// Remembers minutes that were written.
pub(super) fn remember(written: &mut HashSet<Minute>, fresh: Vec<Minute>) {
    if written.len() + fresh.len() > REMEMBERED {
        written.clear();
    }
    written.extend(fresh.into_iter().take(REMEMBERED));
}

/// The open lines of a minute behind a place, at most `limit`.
async fn minute(
    views: &CqlViews,
    (shard, minute): Minute,
    mut after: (i16, i64),
    limit: usize,
) -> Result<Vec<OutboxLine>, StoreError> {
    let asked = limit.clamp(100, LINES);
    let mut open = Vec::new();
    while open.len() < limit {
        let key = (i16::from(shard.0), i64::from(minute), after.0, after.1, super::at_most(asked));
        let rows: Vec<(i16, i64, Vec<u8>)> = views.cluster.rows(&views.reads.outbox, key).await?;
        let last = rows.len() < asked;
        after = rows.last().map_or(after, |(lane, message, _)| (*lane, *message));
        for (lane, message, bytes) in rows {
            let lane = u8::try_from(lane).ok().and_then(Lane::from_byte);
            let lane = lane.ok_or_else(|| damaged("an outbox line has an unknown lane"))?;
            let key = OutboxKey { minute, lane, message: MessageId(message.cast_unsigned()) };
            let line = read(unpack(key, &bytes))?;
            open.extend(matches!(line, OutboxLine::Open { .. }).then_some(line));
        }
        if last {
            break;
        }
    }
    open.truncate(limit);
    Ok(open)
}

/// A shard's open lines in key order.
pub(super) async fn page(
    views: &CqlViews,
    shard: ShardId,
    after: Option<OutboxKey>,
    limit: usize,
) -> Result<Vec<OutboxLine>, StoreError> {
    let number = i16::from(shard.0);
    let floor: Option<(i64,)> = views.cluster.row(&views.reads.floor, (number,)).await?;
    let Some((floor,)) = floor else { return Ok(Vec::new()) };
    let from = after.map_or(floor, |key| floor.max(i64::from(key.minute)));
    let minutes: Vec<(i64,)> = views.cluster.rows(&views.reads.outbox_minutes, (number, from)).await?;
    let reads = minutes.into_iter().filter_map(|(at,)| u32::try_from(at).ok()).map(|at| {
        let behind = after.filter(|key| key.minute == at);
        let behind = behind.map_or((-1, -1), |key| (key.lane as i16, key.message.0.cast_signed()));
        minute(views, (shard, at), behind, limit)
    });
    let reads: Vec<_> = reads.collect();
    let mut pages = stream::iter(reads).buffered(MINUTES);
    let mut lines = Vec::new();
    while lines.len() < limit {
        let Some(page) = pages.try_next().await? else { break };
        lines.extend(page);
    }
    lines.truncate(limit);
    Ok(lines)
}
