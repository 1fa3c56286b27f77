//! Parts, a session's by their launch, and which of a shard's are open. Not the marks of their recipients.

use super::flush::Phase;
use super::{CqlViews, at_most, read};
use crate::codec::view::part::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::views::SESSION_PARTS_MAX;
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::id::{CampaignId, SessionId, ShardId};
use kabar_engine::part::PartRow;
use std::sync::Arc;

/// Puts a part of a shard.
pub(super) fn put(to: &mut Phase<'_>, shard: ShardId, row: &PartRow) {
    let sql = to.sql;
    let (campaign, part) = (row.start.campaign.0, row.start.part.cast_signed());
    to.put(&sql.part, cells![campaign, part, pack(row), row.upto.0]);
    let launch = cells![row.start.session.0, row.start.launched.0, campaign, part, row.upto.0];
    to.put(&sql.part_of_session, launch);
    // One that is over leaves the list by itself, and is passed over until then.
    let list = if row.finished { &sql.part_over } else { &sql.part_open };
    to.put(list, cells![shard.0, campaign, part, !row.finished, row.upto.0]);
}

/// The part, if there is one.
pub(super) async fn one(
    views: &CqlViews,
    campaign: CampaignId,
    part: u32,
) -> Result<Option<PartRow>, StoreError> {
    let key = cells![campaign.0, part.cast_signed()];
    let found: Option<(Vec<u8>,)> = views.cluster.row(&views.reads.part, key).await?;
    found.map(|(state,)| read(unpack(campaign, part, &state))).transpose()
}

/// The parts that are there, in the order they are named in.
async fn some(
    views: &CqlViews,
    parts: impl Iterator<Item = (i64, i32)>,
) -> Result<impl Iterator<Item = PartRow>, StoreError> {
    let loads =
        parts.map(|(campaign, part)| one(views, CampaignId(campaign.cast_unsigned()), part.cast_unsigned()));
    let loads: Vec<_> = loads.collect();
    let rows: Vec<_> = stream::iter(loads).buffered(super::AT_ONCE).try_collect().await?;
    Ok(rows.into_iter().flatten())
}

/// A session's parts, newest launch first.
pub(super) async fn of_session(
    views: &CqlViews,
    session: SessionId,
) -> Result<Vec<Arc<PartRow>>, StoreError> {
    let key = (session.0.cast_signed(), at_most(SESSION_PARTS_MAX));
    let listed: Vec<(i64, i64, i32)> = views.cluster.rows(&views.reads.parts_of_session, key).await?;
    let rows = some(views, listed.into_iter().map(|(_, campaign, part)| (campaign, part))).await?;
    let mut list: Vec<_> = rows.filter(|row| row.start.session == session).map(Arc::new).collect();
    // A part that was launched once more is listed under both launches; it counts once, under its own.
    list.sort_by_key(|row| std::cmp::Reverse((row.start.launched, row.start.campaign, row.start.part)));
    list.dedup_by_key(|row| (row.start.launched, row.start.campaign, row.start.part));
    Ok(list)
}

/// A shard's parts that are not finished.
pub(super) async fn open(views: &CqlViews, shard: ShardId) -> Result<Vec<Arc<PartRow>>, StoreError> {
    let key = (i16::from(shard.0),);
    let listed: Vec<(i64, i32, bool)> = views.cluster.rows(&views.reads.parts_open, key).await?;
    let open = listed.into_iter().filter(|(.., open)| *open).map(|(campaign, part, _)| (campaign, part));
    Ok(some(views, open).await?.filter(|row| !row.finished).map(Arc::new).collect())
}
