//! Parts: what a session's shard knows of a piece of a campaign. Not the marks of its recipients.

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{at_most, collect, one};
use crate::codec::DecodeError;
use crate::codec::row::{Reader, put_address, put_near, put_varint};
use crate::views::SESSION_PARTS_MAX;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, CommandId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::part::{ChunkLine, PartPhase, PartRow, PartStart};
use kabar_engine::time::Timestamp;
use rusqlite::{Row, Transaction, params};
use std::sync::Arc;

const UPSERT: &str = "INSERT INTO part (campaign, part, shard, tenant, session, launched, phase, command, finished, \
     start, upto) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
     ON CONFLICT (campaign, part) DO UPDATE SET phase = excluded.phase, command = excluded.command, \
     finished = excluded.finished, start = excluded.start, upto = excluded.upto WHERE excluded.upto > upto";

const COLUMNS: &str =
    "campaign, part, tenant, session, launched, phase, command, finished, start, upto FROM part";

/// The first byte of a packed start.
const FORM: u8 = 1;

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
        ])?;
    }
    Ok(())
}

/// The part, if there is one.
pub(super) fn read(
    tx: &Transaction<'_>,
    campaign: CampaignId,
    number: u32,
) -> Result<Option<PartRow>, Fault> {
    let sql = format!("SELECT {COLUMNS} WHERE campaign = ?1 AND part = ?2");
    one(&mut *tx.prepare_cached(&sql)?, params![int(campaign.0), number], part)
}

/// A session's parts, newest launch first.
pub(super) fn of_session(tx: &Transaction<'_>, session: SessionId) -> Result<Vec<Arc<PartRow>>, Fault> {
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
        upto: Position(row.id(9)?),
    })
}

/// What of a start stands in columns of its own.
struct Fixed {
    campaign: CampaignId,
    part: u32,
    session: SessionId,
    launched: Timestamp,
}

fn pack_start(start: &PartStart) -> Vec<u8> {
    let mut out = vec![FORM];
    put_varint(&mut out, u64::from(start.attempt));
    put_varint(&mut out, start.valid_until.0.cast_unsigned());
    put_varint(&mut out, start.command.0);
    put_varint(&mut out, start.chunks.len() as u64);
    let mut last = 0;
    for line in &start.chunks {
        put_address(&mut out, &line.first);
        put_varint(&mut out, u64::from(line.count));
        put_near(&mut out, &mut last, line.base.0);
    }
    out
}

fn unpack_start(fixed: &Fixed, bytes: &[u8]) -> Result<PartStart, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.byte("form")? != FORM {
        return Err(DecodeError::Invalid("form"));
    }
    let attempt = reader.small("attempt")?;
    let valid_until = Timestamp(reader.varint("valid until")?.cast_signed());
    let command = CommandId(reader.varint("command")?);
    let mut last = 0;
    let chunks = reader.list("chunks", |r| {
        let (first, count) = (r.address("first")?, r.small("count")?);
        Ok(ChunkLine { first, count, base: MessageId(r.near(&mut last, "base")?) })
    })?;
    reader.finish()?;
    let Fixed { campaign, part, session, launched } = *fixed;
    Ok(PartStart { campaign, part, attempt, session, launched, valid_until, chunks, command })
}
