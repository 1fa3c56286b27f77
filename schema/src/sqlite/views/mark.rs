//! Marks of campaigns' recipients, 512 in a row. Not the recipients.

use super::super::database::Fault;
use super::super::number::{Columns, int};
use super::{collect, one};
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ShardId, TenantId};
use kabar_engine::mark::MarksRow;
use kabar_engine::part::PartRow;
use rusqlite::{Connection, Row, Transaction, params};
use std::sync::Arc;

const UPSERT: &str = "INSERT INTO marks (campaign, chunk, tenant, shard, bytes, upto) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (campaign, chunk) DO UPDATE SET bytes = excluded.bytes, \
     upto = excluded.upto WHERE excluded.upto > upto";

const COLUMNS: &str = "campaign, chunk, tenant, shard, bytes, upto FROM marks";

/// Writes marks.
pub(super) fn write(tx: &Transaction<'_>, rows: &[(ShardId, &MarksRow)]) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    for (_, row) in rows {
        put.execute(params![
            int(row.campaign.0),
            row.chunk,
            int(row.tenant.0),
            row.shard.0,
            row.bytes,
            int(row.upto.0),
        ])?;
    }
    Ok(())
}

/// One chunk's marks, if they were written.
pub(super) fn read(tx: &Connection, campaign: CampaignId, chunk: u32) -> Result<Option<MarksRow>, Fault> {
    let sql = format!("SELECT {COLUMNS} WHERE campaign = ?1 AND chunk = ?2");
    one(&mut *tx.prepare_cached(&sql)?, params![int(campaign.0), chunk], marks)
}

/// The marks of a part's chunks, as far as they were written.
pub(super) fn of_part(tx: &Connection, part: &PartRow) -> Result<Vec<Arc<MarksRow>>, Fault> {
    let (Some(first), Some(last)) = (part.chunk_numbers().min(), part.chunk_numbers().max()) else {
        return Ok(Vec::new());
    };
    let sql = format!("SELECT {COLUMNS} WHERE campaign = ?1 AND chunk BETWEEN ?2 AND ?3 ORDER BY chunk");
    let parameters = params![int(part.start.campaign.0), first, last];
    collect(&mut *tx.prepare_cached(&sql)?, parameters, |row| marks(row).map(Arc::new))
}

fn marks(row: &Row<'_>) -> Result<MarksRow, Fault> {
    Ok(MarksRow {
        campaign: CampaignId(row.id(0)?),
        chunk: row.get(1)?,
        tenant: TenantId(row.id(2)?),
        shard: ShardId(row.get(3)?),
        bytes: row.get(4)?,
        upto: Position(row.id(5)?),
    })
}
