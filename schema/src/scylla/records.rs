//! Records on a cluster: the row is written by LWT alone; three tables of hints, written before it and never deleted,
//! tell where to look, and what is read through them is compared with the row. Knows no noun.

use super::cluster::{Cluster, Lwt, all};
use super::fault::{before, damaged};
use super::statement::RecordsSql;
use crate::Answer;
use crate::codec::DecodeError;
use crate::codec::row::{Reader, put_text, put_varint};
use crate::error::{OpenError, StoreError};
use crate::records::{After, Record, Records};
use futures::{StreamExt, TryStreamExt};
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use std::sync::Arc;

/// How often a conditional write is tried whose outcome was not known and which was found not done.
const TRIES: u32 = 3;
/// Rows read, or hints written, at once.
const AT_ONCE: usize = 16;
/// Most hints read at once.
const HINTS: usize = 500;

type Key = (&'static str, TenantId, u64);
type Row = (Option<i64>, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>);

/// The cluster's records.
#[derive(Debug)]
pub struct CqlRecords {
    cluster: Arc<Cluster>,
    sql: RecordsSql,
}

/// A row as it stands.
struct Stored {
    record: Record,
    indexes: Vec<u8>,
    written: i64,
}

impl Stored {
    /// `None`: there is no record.
    fn of((kind, tenant, id): Key, row: Option<Row>) -> Result<Option<Self>, StoreError> {
        let Some((Some(version), created, indexes, body, written)) = row else { return Ok(None) };
        let (Some(created), Some(written)) = (created, written) else {
            return Err(damaged("a record lacks a column"));
        };
        let record = Record {
            kind,
            tenant,
            id,
            version: version.cast_unsigned(),
            created: Timestamp(created),
            indexes: Vec::new(),
            body: body.unwrap_or_default(),
        };
        Ok(Some(Self { record, indexes: indexes.unwrap_or_default(), written }))
    }

    /// Whether the row itself can be found by this value: a hint may be older than the row.
    fn has(&self, name: &str, value: &str) -> Result<bool, StoreError> {
        let mut reader = Reader::new(&self.indexes);
        let pairs = reader.list("indexes", |r| Ok::<_, DecodeError>((r.text("name")?, r.text("value")?)));
        Ok(pairs.map_err(|_| damaged("a record's indexes"))?.contains(&(name, value)))
    }
}

fn pack(indexes: &[(&'static str, String)]) -> Vec<u8> {
    let mut packed = Vec::new();
    put_varint(&mut packed, indexes.len() as u64);
    for (name, value) in indexes {
        put_text(&mut packed, name);
        put_text(&mut packed, value);
    }
    packed
}

/// As a record is read: without what it is found by.
fn bare(record: &Record) -> Record {
    Record { indexes: Vec::new(), ..record.clone() }
}

/// What a look at the row says about a write over version `expect` whose answer was lost.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Done,
    NotDone,
    Over(StoreError),
}

/// `ours`: the row is the one we wrote.
fn verdict(found: u64, ours: bool, expect: u64) -> Verdict {
    if ours {
        Verdict::Done
    } else if found == expect {
        Verdict::NotDone
    } else if found == expect + 1 {
        // Somebody else wrote over the version that we named.
        Verdict::Over(StoreError::Conflict)
    } else {
        // Written or deleted again since then, perhaps over ours.
        Verdict::Over(StoreError::Unknown)
    }
}

/// How many hints are read next: what is missing, and more from round to round, because many of them are stale.
fn next_hints(missing: usize, round: u32) -> (usize, i32) {
    let many = missing.max(4_usize.saturating_pow(round)).min(HINTS);
    (many, i32::try_from(many).expect("invariant: at most HINTS"))
}

impl CqlRecords {
    /// Records in the cluster's keyspace, which has all tables.
    ///
    /// # Errors
    /// [`OpenError::Cluster`] when a statement is refused.
    pub async fn open(cluster: Arc<Cluster>) -> Result<Self, OpenError> {
        let sql = RecordsSql::prepare(&cluster).await?;
        Ok(Self { cluster, sql })
    }

    async fn read(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let (kind, tenant, id) = key;
        let values = (kind, tenant.0.cast_signed(), id.cast_signed());
        Stored::of(key, self.cluster.row(&self.sql.get, values).await?)
    }

    /// Sees every write that was finished, and finishes or ends one that was not.
    async fn look(&self, key: Key) -> Result<Option<Stored>, StoreError> {
        let (kind, tenant, id) = key;
        let values = (kind, tenant.0.cast_signed(), id.cast_signed());
        let row = self.cluster.row(&self.sql.look, values).await;
        Stored::of(key, row.map_err(|_| StoreError::Unknown)?)
    }

    async fn read_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut reads: Vec<Answer<'_, Option<Stored>>> = Vec::with_capacity(keys.len());
        for key in keys {
            reads.push(Box::pin(self.read(key)));
        }
        futures::stream::iter(reads).buffered(AT_ONCE).try_collect().await
    }

    async fn hint(&self, record: &Record) -> Result<(), StoreError> {
        let (kind, tenant, id) = (record.kind, record.tenant.0.cast_signed(), record.id.cast_signed());
        let created = record.created.0;
        let mut writes: Vec<Answer<'_, ()>> = Vec::with_capacity(2 + 2 * record.indexes.len());
        writes.push(Box::pin(self.cluster.write(&self.sql.hint_all, (kind, tenant, id))));
        let everything = (kind, tenant, "", "", created, id);
        writes.push(Box::pin(self.cluster.write(&self.sql.hint_page, everything)));
        for (name, value) in &record.indexes {
            let page = (kind, tenant, *name, value, created, id);
            writes.push(Box::pin(self.cluster.write(&self.sql.hint_page, page)));
            let find = (kind, *name, value, tenant, created, id);
            writes.push(Box::pin(self.cluster.write(&self.sql.hint_find, find)));
        }
        all(AT_ONCE, writes).await
    }

    async fn put_now(&self, record: Record, expect: u64) -> Result<u64, StoreError> {
        self.hint(&record).await.map_err(before)?;
        let written = rand::random::<i64>();
        let values = (
            (expect + 1).cast_signed(),
            record.created.0,
            pack(&record.indexes),
            &record.body,
            written,
            record.kind,
            record.tenant.0.cast_signed(),
            record.id.cast_signed(),
            (expect > 0).then_some(expect.cast_signed()),
        );
        for once in 0..TRIES {
            match self.cluster.lwt(&self.sql.put, &values).await {
                Ok(Lwt::Applied) => return Ok(expect + 1),
                Ok(Lwt::Refused) if once == 0 => return Err(StoreError::Conflict),
                Ok(Lwt::Refused) | Err(StoreError::Unknown) => {}
                Err(error) => return Err(error),
            }
            let found = self.look((record.kind, record.tenant, record.id)).await?;
            let version = found.as_ref().map_or(0, |f| f.record.version);
            match verdict(version, found.is_some_and(|f| f.written == written), expect) {
                Verdict::Done => return Ok(expect + 1),
                Verdict::NotDone => {}
                Verdict::Over(error) => return Err(error),
            }
        }
        // After each try the row was seen without it.
        Err(StoreError::Unavailable)
    }

    async fn restore_now(&self, record: Record) -> Result<(), StoreError> {
        if record.version == 0 {
            return Err(StoreError::Conflict);
        }
        self.hint(&record).await.map_err(before)?;
        let indexes = pack(&record.indexes);
        let (kind, tenant, id) = (record.kind, record.tenant, record.id);
        let key = (kind, tenant.0.cast_signed(), id.cast_signed());
        let new: Option<i64> = None;
        let (version, written) = (record.version.cast_signed(), rand::random::<i64>());
        let values = (version, record.created.0, &indexes, &record.body, written, key.0, key.1, key.2, new);
        for _ in 0..TRIES {
            match self.cluster.lwt(&self.sql.put, &values).await {
                Ok(Lwt::Applied) => return Ok(()),
                Ok(Lwt::Refused) | Err(StoreError::Unknown) => {}
                Err(error) => return Err(error),
            }
            match self.look((kind, tenant, id)).await? {
                Some(found) if found.indexes == indexes && found.record == bare(&record) => return Ok(()),
                Some(_) => return Err(StoreError::Conflict),
                None => {}
            }
        }
        // After each try the row was seen without it.
        Err(StoreError::Unavailable)
    }

    async fn delete_now(&self, key: Key, expect: u64) -> Result<(), StoreError> {
        if expect == 0 {
            return Err(StoreError::Conflict);
        }
        let (kind, tenant, id) = key;
        let values = (kind, tenant.0.cast_signed(), id.cast_signed(), expect.cast_signed());
        for once in 0..TRIES {
            match self.cluster.lwt(&self.sql.delete, values).await {
                Ok(Lwt::Applied) => return Ok(()),
                Ok(Lwt::Refused) if once == 0 => return Err(StoreError::Conflict),
                Ok(Lwt::Refused) | Err(StoreError::Unknown) => {}
                Err(error) => return Err(error),
            }
            let found = self.look(key).await?;
            match verdict(found.as_ref().map_or(0, |f| f.record.version), found.is_none(), expect) {
                Verdict::Done => return Ok(()),
                Verdict::NotDone => {}
                Verdict::Over(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }

    async fn page_of(
        &self,
        (kind, tenant): (&'static str, TenantId),
        index: Option<(&'static str, &str)>,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let (name, value) = index.unwrap_or(("", ""));
        let mut last = after.map_or((i64::MIN, i64::MIN), |(created, id)| (created.0, id.cast_signed()));
        let mut found = Vec::new();
        for round in 0.. {
            if found.len() >= limit {
                break;
            }
            let (many, rows) = next_hints(limit - found.len(), round);
            let values = (kind, tenant.0.cast_signed(), name, value, last.0, last.1, rows);
            let hints: Vec<(i64, i64)> = self.cluster.rows(&self.sql.page, values).await?;
            let keys = hints.iter().map(|(_, id)| (kind, tenant, id.cast_unsigned())).collect();
            for (row, (created, _)) in self.read_all(keys).await?.into_iter().zip(&hints) {
                let Some(row) = row else { continue };
                if row.record.created.0 == *created && (index.is_none() || row.has(name, value)?) {
                    found.push(row.record);
                }
            }
            match hints.last() {
                Some(hint) if hints.len() == many => last = *hint,
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn find_by(
        &self,
        kind: &'static str,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Record>, StoreError> {
        let mut last = (i64::MIN, i64::MIN, i64::MIN);
        for round in 0.. {
            let (many, rows) = next_hints(1, round);
            let values = (kind, index, value, last.0, last.1, last.2, rows);
            let hints: Vec<(i64, i64, i64)> = self.cluster.rows(&self.sql.find, values).await?;
            let key = |(t, _, id): &(i64, i64, i64)| (kind, TenantId(t.cast_unsigned()), id.cast_unsigned());
            let keys = hints.iter().map(key).collect();
            for (row, (_, created, _)) in self.read_all(keys).await?.into_iter().zip(&hints) {
                let Some(row) = row else { continue };
                if row.record.created.0 == *created && row.has(index, value)? {
                    return Ok(Some(row.record));
                }
            }
            match hints.last() {
                Some(hint) if hints.len() == many => last = *hint,
                _ => break,
            }
        }
        Ok(None)
    }

    async fn all_of(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut last = after.map_or((i64::MIN, i64::MIN), |(t, id)| (t.0.cast_signed(), id.cast_signed()));
        let mut found = Vec::new();
        for round in 0.. {
            if found.len() >= limit {
                break;
            }
            let (many, rows) = next_hints(limit - found.len(), round);
            let values = (kind, last.0, last.1, rows);
            let hints: Vec<(i64, i64)> = self.cluster.rows(&self.sql.all, values).await?;
            let key = |(t, id): &(i64, i64)| (kind, TenantId(t.cast_unsigned()), id.cast_unsigned());
            let keys = hints.iter().map(key).collect();
            found.extend(self.read_all(keys).await?.into_iter().flatten().map(|row| row.record));
            match hints.last() {
                Some(hint) if hints.len() == many => last = *hint,
                _ => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

impl Records for CqlRecords {
    fn get(&self, kind: &'static str, tenant: TenantId, id: u64) -> Answer<'_, Option<Record>> {
        Box::pin(async move { Ok(self.read((kind, tenant, id)).await?.map(|row| row.record)) })
    }

    fn put(&self, record: Record, expect: u64) -> Answer<'_, u64> {
        Box::pin(self.put_now(record, expect))
    }

    fn delete(&self, kind: &'static str, tenant: TenantId, id: u64, expect: u64) -> Answer<'_, ()> {
        Box::pin(self.delete_now((kind, tenant, id), expect))
    }

    fn restore(&self, record: Record) -> Answer<'_, ()> {
        Box::pin(self.restore_now(record))
    }

    fn page<'a>(
        &'a self,
        kind: &'static str,
        tenant: TenantId,
        index: Option<(&'static str, &'a str)>,
        after: Option<After>,
        limit: usize,
    ) -> Answer<'a, Vec<Record>> {
        Box::pin(self.page_of((kind, tenant), index, after, limit))
    }

    fn find<'a>(
        &'a self,
        kind: &'static str,
        index: &'static str,
        value: &'a str,
    ) -> Answer<'a, Option<Record>> {
        Box::pin(self.find_by(kind, index, value))
    }

    fn all(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Answer<'_, Vec<Record>> {
        Box::pin(self.all_of(kind, after, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_answer_is_done_only_when_the_row_is_ours() {
        assert_eq!(verdict(3, true, 2), Verdict::Done);
        assert_eq!(verdict(2, false, 2), Verdict::NotDone);
        assert_eq!(verdict(0, false, 0), Verdict::NotDone);
        assert_eq!(verdict(3, false, 2), Verdict::Over(StoreError::Conflict));
        for gone_on in [0, 1, 4] {
            assert_eq!(verdict(gone_on, false, 2), Verdict::Over(StoreError::Unknown), "{gone_on}");
        }
    }
}
