//! Campaigns' phases and frozen audiences, and which of a shard's have something left to do. Not their specs and not
//! their recipients.

use super::flush::Phase;
use super::{CqlViews, read};
use crate::codec::view::campaign::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::campaign::CampaignRow;
use kabar_engine::id::{CampaignId, ShardId};
use std::sync::Arc;

/// Puts a campaign of a shard.
pub(super) fn put(to: &mut Phase<'_>, shard: ShardId, row: &CampaignRow) {
    let sql = to.sql;
    to.put(&sql.campaign, cells![row.id.0, pack(row), row.upto.0]);
    // One that is over leaves the list by itself, and is passed over until then.
    let live = row.is_live();
    let list = if live { &sql.campaign_live } else { &sql.campaign_over };
    to.put(list, cells![shard.0, row.id.0, live, row.upto.0]);
}

/// The campaign, if there is one.
pub(super) async fn one(views: &CqlViews, id: CampaignId) -> Result<Option<CampaignRow>, StoreError> {
    let found: Option<(Vec<u8>,)> = views.cluster.row(&views.reads.campaign, cells![id.0]).await?;
    found.map(|(state,)| read(unpack(id, &state))).transpose()
}

/// A shard's campaigns that have something left to do.
pub(super) async fn live(views: &CqlViews, shard: ShardId) -> Result<Vec<Arc<CampaignRow>>, StoreError> {
    let key = (i16::from(shard.0),);
    let listed: Vec<(i64, bool)> = views.cluster.rows(&views.reads.campaigns_live, key).await?;
    let live = listed.into_iter().filter(|(_, live)| *live);
    let loads: Vec<_> = live.map(|(id, _)| one(views, CampaignId(id.cast_unsigned()))).collect();
    let rows: Vec<_> = stream::iter(loads).buffered(super::AT_ONCE).try_collect().await?;
    Ok(rows.into_iter().flatten().filter(CampaignRow::is_live).map(Arc::new).collect())
}
