//! The outbox: where open messages lie, by due minute; only what is open at a flush is ever written. Not the
//! order of sending, which the overlay keeps.

use super::super::database::Fault;
use super::super::number::{Columns, int};
use super::{Breath, Current, at_most, collect};
use kabar_engine::id::{MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::Stage;
use kabar_engine::overlay::{OutboxKey, OutboxLine};
use kabar_engine::pacing::Lane;
use rusqlite::{Row, Transaction, params};

/// Puts and deletes lines, in the order the flushes tell.
pub(super) fn write(tx: &Transaction<'_>, flushes: &[Current<'_>], breath: &mut Breath) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(
        "INSERT INTO outbox (shard, minute, lane, message, tenant, session, stage, valid_until) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (shard, minute, lane, message) \
         DO UPDATE SET stage = excluded.stage, valid_until = excluded.valid_until",
    )?;
    let mut delete = tx.prepare_cached(
        "DELETE FROM outbox WHERE shard = ?1 AND minute = ?2 AND lane = ?3 AND message = ?4",
    )?;
    for Current { flush, .. } in flushes {
        let shard = flush.mark.shard.0;
        for line in &flush.changes.outbox {
            breath.take();
            match line {
                OutboxLine::Open { key, tenant, session, stage, valid_until } => put.execute(params![
                    shard,
                    key.minute,
                    key.lane as u8,
                    int(key.message.0),
                    int(tenant.0),
                    int(session.0),
                    *stage as u8,
                    valid_until.0,
                ])?,
                OutboxLine::Gone(key) => {
                    delete.execute(params![shard, key.minute, key.lane as u8, int(key.message.0)])?
                }
            };
        }
    }
    Ok(())
}

/// A shard's lines in key order.
pub(super) fn page(
    tx: &Transaction<'_>,
    shard: ShardId,
    after: Option<OutboxKey>,
    limit: usize,
) -> Result<Vec<OutboxLine>, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT minute, lane, message, tenant, session, stage, valid_until FROM outbox \
         WHERE shard = ?1 AND (minute, lane, message) > (?2, ?3, ?4) \
         ORDER BY minute, lane, message LIMIT ?5",
    )?;
    let (minute, lane, message) =
        after.map_or((-1, 0, 0), |key| (i64::from(key.minute), key.lane as u8, int(key.message.0)));
    collect(&mut statement, params![shard.0, minute, lane, message, at_most(limit)], line)
}

fn line(row: &Row<'_>) -> Result<OutboxLine, Fault> {
    let key = OutboxKey {
        minute: row.get(0)?,
        lane: row.choice(1, Lane::from_byte)?,
        message: MessageId(row.id(2)?),
    };
    Ok(OutboxLine::Open {
        key,
        tenant: TenantId(row.id(3)?),
        session: SessionId(row.id(4)?),
        stage: row.choice(5, Stage::from_byte)?,
        valid_until: row.time(6)?,
    })
}
