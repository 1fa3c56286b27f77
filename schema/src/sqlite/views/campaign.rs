//! Campaigns' phases and frozen audiences. Not their specs (records) and not their recipients (ledger, marks).

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{collect, one};
use crate::codec::view::campaign::{pack_frozen, pack_parts, unpack_frozen, unpack_parts};
use kabar_engine::campaign::{CampaignRow, Phase, Verb};
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, CommandId, ShardId, TenantId};
use rusqlite::{Connection, Row, Transaction, params};
use std::sync::Arc;

const UPSERT: &str = "INSERT INTO campaign (id, shard, tenant, phase, paused, launched, ended, command, verb, \
     obeyed, frozen, live, upto) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
     ON CONFLICT (id) DO UPDATE SET phase = excluded.phase, paused = excluded.paused, \
     launched = excluded.launched, ended = excluded.ended, command = excluded.command, verb = excluded.verb, \
     obeyed = excluded.obeyed, frozen = excluded.frozen, live = excluded.live, upto = excluded.upto \
     WHERE excluded.upto > upto";

const COLUMNS: &str = "id, tenant, phase, paused, launched, ended, command, verb, obeyed, frozen, upto \
     FROM campaign";

/// Writes campaigns.
pub(super) fn write(tx: &Transaction<'_>, rows: &[(ShardId, &CampaignRow)]) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    for (shard, row) in rows {
        put.execute(params![
            int(row.id.0),
            shard.0,
            int(row.tenant.0),
            row.phase as u8,
            row.paused,
            row.launched.0,
            row.ended.map(|t| t.0),
            int(row.command.0),
            row.verb as u8,
            pack_parts(row.obeyed.iter().copied()),
            row.frozen.as_deref().map(pack_frozen),
            row.is_live(),
            int(row.upto.0),
        ])?;
    }
    Ok(())
}

/// The campaign, if there is one.
pub(super) fn read(tx: &Connection, id: CampaignId) -> Result<Option<CampaignRow>, Fault> {
    one(&mut *tx.prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?, [int(id.0)], campaign)
}

/// A shard's campaigns that have something left to do.
pub(super) fn live(tx: &Transaction<'_>, shard: ShardId) -> Result<Vec<Arc<CampaignRow>>, Fault> {
    let sql = format!("SELECT {COLUMNS} WHERE shard = ?1 AND live = 1 ORDER BY id");
    collect(&mut *tx.prepare_cached(&sql)?, [shard.0], |row| campaign(row).map(Arc::new))
}

fn campaign(row: &Row<'_>) -> Result<CampaignRow, Fault> {
    let id = CampaignId(row.id(0)?);
    let blob = |at: usize| {
        let blob = row.get_ref(at)?.as_blob_or_null().map_err(|_| damaged("a packed column is no blob"))?;
        Ok::<_, Fault>(blob)
    };
    let parts = unpack_parts(blob(8)?.unwrap_or_default());
    let frozen = blob(9)?.map(|bytes| unpack_frozen(id, bytes)).transpose();
    Ok(CampaignRow {
        id,
        tenant: TenantId(row.id(1)?),
        phase: row.choice(2, Phase::from_byte)?,
        paused: row.get(3)?,
        launched: row.time(4)?,
        ended: row.time_option(5)?,
        command: CommandId(row.id(6)?),
        verb: row.choice(7, Verb::from_byte)?,
        obeyed: parts.map_err(|_| damaged("the parts that obeyed are damaged"))?.into_iter().collect(),
        frozen: frozen.map_err(|_| damaged("a frozen audience is damaged"))?.map(Box::new),
        upto: Position(row.id(10)?),
    })
}
