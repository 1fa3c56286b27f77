//! Runs of message ids, one a chunk: a campaign's message has no row until its recipient answers. Not the chunk.

use super::super::database::Fault;
use super::super::number::{Columns, int};
use super::one;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, MessageId, ShardId, TenantId};
use kabar_engine::overlay::RunRow;
use rusqlite::{Connection, Transaction, params};

const UPSERT: &str = "INSERT INTO run (shard, base, tenant, count, campaign, part, chunk, upto) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (shard, base) DO UPDATE SET tenant = excluded.tenant, \
     count = excluded.count, campaign = excluded.campaign, part = excluded.part, chunk = excluded.chunk, \
     upto = excluded.upto WHERE excluded.upto > upto";

/// Writes runs.
pub(super) fn write(tx: &Transaction<'_>, rows: &[(ShardId, &RunRow)]) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    for (_, row) in rows {
        put.execute(params![
            row.base.shard().0,
            int(row.base.0),
            int(row.tenant.0),
            row.count,
            int(row.campaign.0),
            row.part,
            row.chunk,
            int(row.upto.0),
        ])?;
    }
    Ok(())
}

/// The run that the id lies in, if any.
pub(super) fn read(tx: &Connection, id: MessageId) -> Result<Option<RunRow>, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT base, tenant, count, campaign, part, chunk, upto FROM run \
         WHERE shard = ?1 AND base <= ?2 ORDER BY base DESC LIMIT 1",
    )?;
    let run = one(&mut statement, params![id.shard().0, int(id.0)], |row| {
        Ok(RunRow {
            base: MessageId(row.id(0)?),
            tenant: TenantId(row.id(1)?),
            count: row.get(2)?,
            campaign: CampaignId(row.id(3)?),
            part: row.get(4)?,
            chunk: row.get(5)?,
            upto: Position(row.id(6)?),
        })
    })?;
    Ok(run.filter(|run| crate::views::lies_in(run, id)))
}
