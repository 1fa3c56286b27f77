//! Consents: one row per (tenant, address, hearing shard), by address and by the minute they were heard. Not who
//! may be written to, which the newest of them says.

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{at_most, collect};
use crate::codec::row::{wish_byte, wish_of};
use kabar_engine::address::Address;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::entry::{ConsentSource, Position};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::time::Timestamp;
use rusqlite::{Connection, Row, Transaction, params};

const UPSERT: &str = "INSERT INTO suppressed (tenant, address, shard, wish, at, minute, source, upto) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (tenant, address, shard) DO UPDATE SET \
     wish = excluded.wish, at = excluded.at, minute = excluded.minute, source = excluded.source, \
     upto = excluded.upto WHERE excluded.upto > upto";

const COLUMNS: &str = "tenant, address, shard, wish, at, source, upto FROM suppressed";

/// Left alone, the planner reads all of a tenant's rows because they lie in the order that is wanted.
const SINCE: &str = "INDEXED BY suppressed_minute WHERE tenant = ?1 AND minute >= ?2 ORDER BY address, shard";

/// Writes consents.
pub(super) fn write(tx: &Transaction<'_>, rows: &[(ShardId, &SuppressedRow)]) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    for (_, row) in rows {
        put.execute(params![
            int(row.tenant.0),
            row.address.key(),
            row.shard.0,
            wish_byte(row.wish),
            row.at.0,
            row.at.minute(),
            row.source as u8,
            int(row.upto.0),
        ])?;
    }
    Ok(())
}

/// All shards' rows of an address, by shard.
pub(super) fn read(
    tx: &Connection,
    tenant: TenantId,
    address: &Address,
) -> Result<Vec<SuppressedRow>, Fault> {
    let sql = format!("SELECT {COLUMNS} WHERE tenant = ?1 AND address = ?2 ORDER BY shard");
    collect(&mut *tx.prepare_cached(&sql)?, params![int(tenant.0), address.key()], suppressed)
}

/// A tenant's rows by (address, shard), the last address whole.
pub(super) fn page(
    tx: &Transaction<'_>,
    tenant: TenantId,
    after: Option<&Address>,
    limit: usize,
) -> Result<Vec<SuppressedRow>, Fault> {
    let after = after.map_or_else(String::new, Address::key);
    let sql = format!("SELECT {COLUMNS} WHERE tenant = ?1 AND address > ?2 ORDER BY address, shard LIMIT ?3");
    let parameters = params![int(tenant.0), after, at_most(limit)];
    let mut rows = collect(&mut *tx.prepare_cached(&sql)?, parameters, suppressed)?;
    if let Some(last) = rows.last().filter(|_| rows.len() == limit) {
        let sql =
            format!("SELECT {COLUMNS} WHERE tenant = ?1 AND address = ?2 AND shard > ?3 ORDER BY shard");
        let parameters = params![int(tenant.0), last.address.key(), last.shard.0];
        let rest = collect(&mut *tx.prepare_cached(&sql)?, parameters, suppressed)?;
        rows.extend(rest);
    }
    Ok(rows)
}

/// A tenant's rows heard since the begin of `since`'s minute.
pub(super) fn since(
    tx: &Transaction<'_>,
    tenant: TenantId,
    since: Timestamp,
) -> Result<Vec<SuppressedRow>, Fault> {
    let sql = format!("SELECT {COLUMNS} {SINCE}");
    collect(&mut *tx.prepare_cached(&sql)?, params![int(tenant.0), since.minute()], suppressed)
}

fn suppressed(row: &Row<'_>) -> Result<SuppressedRow, Fault> {
    Ok(SuppressedRow {
        tenant: TenantId(row.id(0)?),
        address: row.address(1)?,
        shard: ShardId(row.get(2)?),
        wish: row.choice(3, wish_of)?,
        at: row.time(4)?,
        source: ConsentSource::from_byte(row.get(5)?).ok_or(damaged("a consent has an unknown source"))?,
        upto: Position(row.id(6)?),
    })
}
