//! Runs of message ids, one a chunk, seven weeks of a shard together. Not the chunk.

use super::CqlViews;
use super::flush::Phase;
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::views::lies_in;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, MessageId, TenantId};
use kabar_engine::overlay::RunRow;

/// Bits of an id within its bucket.
const BUCKET_BITS: u32 = 54;

/// Puts a run.
pub(super) fn put(to: &mut Phase<'_>, row: &RunRow) {
    let sql = to.sql;
    let (part, chunk, count) = (row.part.cast_signed(), row.chunk.cast_signed(), row.count.cast_signed());
    let (shard, bucket, upto) = (row.base.shard().0, row.base.0 >> BUCKET_BITS, row.upto.0);
    let (tenant, campaign) = (row.tenant.0, row.campaign.0);
    to.put(&sql.run, cells![shard, bucket, row.base.0, tenant, count, campaign, part, chunk, upto, upto]);
}

type Stored = (i64, i64, i32, i64, i32, i32, i64);

/// The run that the id lies in, if any: it began in the id's bucket, or in the one before and reaches over.
pub(super) async fn one(views: &CqlViews, id: MessageId) -> Result<Option<RunRow>, StoreError> {
    let own = id.0 >> BUCKET_BITS;
    for bucket in [Some(own), own.checked_sub(1)].into_iter().flatten() {
        let key = cells![id.shard().0, bucket, id.0];
        let found: Option<Stored> = views.cluster.row(&views.reads.run, key).await?;
        if let Some((base, tenant, count, campaign, part, chunk, upto)) = found {
            let run = RunRow {
                base: MessageId(base.cast_unsigned()),
                tenant: TenantId(tenant.cast_unsigned()),
                count: count.cast_unsigned(),
                campaign: CampaignId(campaign.cast_unsigned()),
                part: part.cast_unsigned(),
                chunk: chunk.cast_unsigned(),
                upto: Position(upto.cast_unsigned()),
            };
            return Ok(Some(run).filter(|run| lies_in(run, id)));
        }
    }
    Ok(None)
}
