//! Records in `records.db`: one table for all nouns, one for what they can be found by. Knows no noun.

use super::database::{Database, Fault};
use super::number::{Columns, int};
use crate::Answer;
use crate::error::StoreError;
use crate::records::{After, Record, Records};
use kabar_engine::id::TenantId;
use rusqlite::{OptionalExtension, Params, Row, Transaction, params};
use std::sync::Arc;

const COLUMNS: &str = "r.tenant, r.id, r.version, r.created, r.body";

/// The embedded records.
#[derive(Debug)]
pub struct SqliteRecords {
    database: Arc<Database>,
}

impl SqliteRecords {
    /// Records in `database`, which is of the kind records.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

fn record(kind: &'static str, row: &Row<'_>) -> Result<Record, Fault> {
    Ok(Record {
        kind,
        tenant: TenantId(row.id(0)?),
        id: row.id(1)?,
        version: row.id(2)?,
        created: row.time(3)?,
        indexes: Vec::new(),
        body: row.get(4)?,
    })
}

fn select(
    tx: &Transaction<'_>,
    kind: &'static str,
    rest: &str,
    parameters: impl Params,
) -> Result<Vec<Record>, Fault> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} FROM {rest}"))?;
    let mut rows = statement.query(parameters)?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(record(kind, row)?);
    }
    Ok(list)
}

/// The row's number, when its version is `expect`.
fn expected(
    tx: &Transaction<'_>,
    (kind, tenant, id): (&'static str, TenantId, u64),
    expect: u64,
) -> Result<Option<i64>, Fault> {
    let mut find =
        tx.prepare_cached("SELECT n, version FROM record WHERE kind = ?1 AND tenant = ?2 AND id = ?3")?;
    let found: Option<(i64, i64)> = find
        .query_row(params![kind, int(tenant.0), int(id)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match found {
        None if expect == 0 => Ok(None),
        Some((n, version)) if int(expect) == version && expect > 0 => Ok(Some(n)),
        _ => Err(StoreError::Conflict.into()),
    }
}

fn put(tx: &Transaction<'_>, record: &Record, expect: u64) -> Result<u64, Fault> {
    let stored = expected(tx, (record.kind, record.tenant, record.id), expect)?;
    let n = match stored {
        Some(n) => {
            tx.prepare_cached("UPDATE record SET version = ?2, created = ?3, body = ?4 WHERE n = ?1")?
                .execute(params![n, int(expect + 1), record.created.0, record.body])?;
            tx.prepare_cached("DELETE FROM record_index WHERE n = ?1")?.execute([n])?;
            n
        }
        None => insert(tx, record, 1)?,
    };
    write_indexes(tx, record, n)?;
    Ok(expect + 1)
}

/// A new row under this version; tells its number.
fn insert(tx: &Transaction<'_>, record: &Record, version: u64) -> Result<i64, Fault> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO record (kind, tenant, id, version, created, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let (tenant, id) = (int(record.tenant.0), int(record.id));
    Ok(insert.insert(params![record.kind, tenant, id, int(version), record.created.0, record.body])?)
}

fn write_indexes(tx: &Transaction<'_>, record: &Record, n: i64) -> Result<(), Fault> {
    let (tenant, id) = (int(record.tenant.0), int(record.id));
    let mut index = tx.prepare_cached(
        "INSERT OR REPLACE INTO record_index (kind, name, value, tenant, created, id, n) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for (name, value) in &record.indexes {
        index.execute(params![record.kind, name, value, tenant, record.created.0, id, n])?;
    }
    Ok(())
}

fn restore(tx: &Transaction<'_>, record: &Record) -> Result<(), Fault> {
    let rest = "record r WHERE r.kind = ?1 AND r.tenant = ?2 AND r.id = ?3";
    let stored = select(tx, record.kind, rest, params![record.kind, int(record.tenant.0), int(record.id)])?;
    match stored.first() {
        Some(stored) if *stored == (Record { indexes: Vec::new(), ..record.clone() }) => Ok(()),
        None if record.version > 0 => {
            let n = insert(tx, record, record.version)?;
            write_indexes(tx, record, n)
        }
        _ => Err(StoreError::Conflict.into()),
    }
}

fn delete(tx: &Transaction<'_>, key: (&'static str, TenantId, u64), expect: u64) -> Result<(), Fault> {
    let n = expected(tx, key, expect)?.ok_or(StoreError::Conflict)?;
    tx.prepare_cached("DELETE FROM record_index WHERE n = ?1")?.execute([n])?;
    tx.prepare_cached("DELETE FROM record WHERE n = ?1")?.execute([n])?;
    Ok(())
}

fn page(
    tx: &Transaction<'_>,
    (kind, tenant): (&'static str, TenantId),
    index: Option<(&'static str, String)>,
    (after, limit): (Option<After>, usize),
) -> Result<Vec<Record>, Fault> {
    let (created, id) = after.map_or((i64::MIN, -1), |(created, id)| (created.0, int(id)));
    let (tenant, limit) = (int(tenant.0), i64::try_from(limit).unwrap_or(i64::MAX));
    let Some((name, value)) = index else {
        let rest = "record r WHERE r.kind = ?1 AND r.tenant = ?2 AND (r.created, r.id) > (?3, ?4) \
                    ORDER BY r.created, r.id LIMIT ?5";
        return select(tx, kind, rest, params![kind, tenant, created, id, limit]);
    };
    let rest = "record_index i JOIN record r ON r.n = i.n WHERE i.kind = ?1 AND i.tenant = ?2 \
                AND (i.created, i.id) > (?3, ?4) AND i.name = ?6 AND i.value = ?7 \
                ORDER BY i.created, i.id LIMIT ?5";
    select(tx, kind, rest, params![kind, tenant, created, id, limit, name, value])
}

impl Records for SqliteRecords {
    fn get(&self, kind: &'static str, tenant: TenantId, id: u64) -> Answer<'_, Option<Record>> {
        Box::pin(self.database.read(move |tx| {
            let rest = "record r WHERE r.kind = ?1 AND r.tenant = ?2 AND r.id = ?3";
            Ok(select(tx, kind, rest, params![kind, int(tenant.0), int(id)])?.pop())
        }))
    }

    fn put(&self, record: Record, expect: u64) -> Answer<'_, u64> {
        Box::pin(self.database.write(move |tx| put(tx, &record, expect)))
    }

    fn restore(&self, record: Record) -> Answer<'_, ()> {
        Box::pin(self.database.write(move |tx| restore(tx, &record)))
    }

    fn delete(&self, kind: &'static str, tenant: TenantId, id: u64, expect: u64) -> Answer<'_, ()> {
        Box::pin(self.database.write(move |tx| delete(tx, (kind, tenant, id), expect)))
    }

    fn page<'a>(
        &'a self,
        kind: &'static str,
        tenant: TenantId,
        index: Option<(&'static str, &'a str)>,
        after: Option<After>,
        limit: usize,
    ) -> Answer<'a, Vec<Record>> {
        let index = index.map(|(name, value)| (name, value.to_owned()));
        Box::pin(self.database.read(move |tx| page(tx, (kind, tenant), index, (after, limit))))
    }

    fn find<'a>(
        &'a self,
        kind: &'static str,
        index: &'static str,
        value: &'a str,
    ) -> Answer<'a, Option<Record>> {
        let value = value.to_owned();
        Box::pin(self.database.read(move |tx| {
            let rest = "record_index i JOIN record r ON r.n = i.n WHERE i.kind = ?1 AND i.name = ?2 \
                        AND i.value = ?3 ORDER BY i.tenant, i.created, i.id LIMIT 1";
            Ok(select(tx, kind, rest, params![kind, index, value])?.pop())
        }))
    }

    fn all(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Answer<'_, Vec<Record>> {
        Box::pin(self.database.read(move |tx| {
            let rest = "record r WHERE r.kind = ?1 AND (r.tenant, r.id) > (?2, ?3) \
                        ORDER BY r.tenant, r.id LIMIT ?4";
            let (tenant, id) = after.map_or((-1, -1), |(tenant, id)| (int(tenant.0), int(id)));
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            select(tx, kind, rest, params![kind, tenant, id, limit])
        }))
    }
}
