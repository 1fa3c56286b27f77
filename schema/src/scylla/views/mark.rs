//! Marks of campaigns' recipients, 512 in a row, a part's together. Not the recipients.

use super::CqlViews;
use super::flush::Phase;
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::fault::damaged;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ShardId, TenantId};
use kabar_engine::mark::MarksRow;
use kabar_engine::part::{CHUNKS, PartRow};
use std::sync::Arc;

/// Puts a chunk's marks.
pub(super) fn put(to: &mut Phase<'_>, row: &MarksRow) {
    let sql = to.sql;
    let (part, chunk) = ((row.chunk / CHUNKS).cast_signed(), row.chunk.cast_signed());
    let key = (row.campaign.0, part, chunk);
    let cells =
        cells![key.0, key.1, key.2, row.tenant.0, row.shard.0, row.bytes.clone(), row.upto.0, row.upto.0];
    to.put(&sql.marks, cells);
}

type Stored = (i32, i64, i16, Vec<u8>, i64);

fn marks(campaign: CampaignId, (chunk, tenant, shard, bytes, upto): Stored) -> Result<MarksRow, StoreError> {
    let shard = u8::try_from(shard).map_err(|_| damaged("marks are of no shard"))?;
    Ok(MarksRow {
        campaign,
        chunk: chunk.cast_unsigned(),
        tenant: TenantId(tenant.cast_unsigned()),
        shard: ShardId(shard),
        bytes,
        upto: Position(upto.cast_unsigned()),
    })
}

/// One chunk's marks, if they were written.
pub(super) async fn one(
    views: &CqlViews,
    campaign: CampaignId,
    chunk: u32,
) -> Result<Option<MarksRow>, StoreError> {
    let key = (campaign.0.cast_signed(), (chunk / CHUNKS).cast_signed(), chunk.cast_signed());
    let found: Option<Stored> = views.cluster.row(&views.reads.marks_of_chunk, key).await?;
    found.map(|stored| marks(campaign, stored)).transpose()
}

/// The marks of a part's chunks, as far as they were written.
pub(super) async fn of_part(views: &CqlViews, part: &PartRow) -> Result<Vec<Arc<MarksRow>>, StoreError> {
    let campaign = part.start.campaign;
    let key = (campaign.0.cast_signed(), part.start.part.cast_signed());
    let found: Vec<Stored> = views.cluster.rows(&views.reads.marks_of_part, key).await?;
    let chunks: Vec<u32> = part.chunk_numbers().collect();
    let mine = found.into_iter().filter(|(chunk, ..)| chunks.contains(&chunk.cast_unsigned()));
    mine.map(|stored| marks(campaign, stored).map(Arc::new)).collect()
}
