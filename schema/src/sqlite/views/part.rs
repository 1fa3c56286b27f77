//! Parts: what a session's shard knows of a piece of a campaign. Not the marks of its recipients.

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{at_most, collect, one};
use crate::codec::view::part::{Fixed, pack_charged, pack_start, unpack_charged, unpack_start};
use crate::views::SESSION_PARTS_MAX;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, CommandId, SessionId, ShardId, TenantId};
use kabar_engine::part::{PartPhase, PartRow};
use rusqlite::{Connection, Row, Transaction, params};
use std::collections::BTreeMap;
use std::sync::Arc;

const UPSERT: &str = "INSERT INTO part (campaign, part, shard, tenant, session, launched, phase, command, finished, \
     start, upto, charged) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
     ON CONFLICT (campaign, part) DO UPDATE SET phase = excluded.phase, command = excluded.command, \
     finished = excluded.finished, start = excluded.start, upto = excluded.upto, \
     charged = excluded.charged WHERE excluded.upto > upto";

const COLUMNS: &str =
    "campaign, part, tenant, session, launched, phase, command, finished, start, upto, charged FROM part";

/// Writes parts.
pub(super) fn write(tx: &Transaction<'_>, rows: &[(ShardId, &PartRow)]) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    for (shard, row) in rows {
        put.execute(params![
            int(row.start.campaign.0),
            row.start.part,
            shard.0,
            int(row.tenant.0),
            int(row.start.session.0),
            row.start.launched.0,
            row.phase as u8,
            int(row.command.0),
            row.finished,
            pack_start(&row.start),
            int(row.upto.0),
            (!row.charged.is_empty()).then(|| pack_charged(&row.charged)),
        ])?;
    }
    Ok(())
}

/// The part, if there is one.
pub(super) fn read(tx: &Connection, campaign: CampaignId, number: u32) -> Result<Option<PartRow>, Fault> {
    let sql = format!("SELECT {COLUMNS} WHERE campaign = ?1 AND part = ?2");
    one(&mut *tx.prepare_cached(&sql)?, params![int(campaign.0), number], part)
}

/// A session's parts, newest launch first.
pub(super) fn of_session(tx: &Connection, session: SessionId) -> Result<Vec<Arc<PartRow>>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} WHERE session = ?1 ORDER BY launched DESC, campaign DESC, part DESC LIMIT ?2"
    );
    let parameters = params![int(session.0), at_most(SESSION_PARTS_MAX)];
    collect(&mut *tx.prepare_cached(&sql)?, parameters, |row| part(row).map(Arc::new))
}

/// A shard's parts that are not finished.
pub(super) fn open(tx: &Transaction<'_>, shard: ShardId) -> Result<Vec<Arc<PartRow>>, Fault> {
    let sql = format!("SELECT {COLUMNS} WHERE shard = ?1 AND finished = 0 ORDER BY campaign, part");
    collect(&mut *tx.prepare_cached(&sql)?, [shard.0], |row| part(row).map(Arc::new))
}

fn part(row: &Row<'_>) -> Result<PartRow, Fault> {
    let start = row.get_ref(8)?.as_blob().map_err(|_| damaged("a part's start is no blob"))?;
    let charged = row.get_ref(10)?.as_blob_or_null().map_err(|_| damaged("a part's prices are no blob"))?;
    let charged = charged.map_or(Ok(BTreeMap::new()), unpack_charged);
    let fixed = Fixed {
        campaign: CampaignId(row.id(0)?),
        part: row.get(1)?,
        session: SessionId(row.id(3)?),
        launched: row.time(4)?,
    };
    Ok(PartRow {
        tenant: TenantId(row.id(2)?),
        start: unpack_start(&fixed, start).map_err(|_| damaged("a part's start is damaged"))?,
        phase: row.choice(5, PartPhase::from_byte)?,
        command: CommandId(row.id(6)?),
        finished: row.get(7)?,
        charged: charged.map_err(|_| damaged("a part's prices are damaged"))?,
        upto: Position(row.id(9)?),
    })
}
