//! Records in memory: the model the others are compared with. Nothing survives the process.

use crate::Answer;
use crate::error::StoreError;
use crate::records::{After, Record, Records};
use futures::future::ready;
use kabar_engine::id::TenantId;
use parking_lot::Mutex;
use std::collections::BTreeMap;

type Key = (&'static str, TenantId, u64);

/// The memory backend's records.
#[derive(Debug, Default)]
pub struct MemoryRecords(Mutex<BTreeMap<Key, Record>>);

/// As it is read: without what it can be found by.
fn bare(record: &Record) -> Record {
    Record { indexes: Vec::new(), ..record.clone() }
}

fn has(record: &Record, index: &'static str, value: &str) -> bool {
    record.indexes.iter().any(|(name, v)| *name == index && v == value)
}

impl MemoryRecords {
    fn version(map: &BTreeMap<Key, Record>, key: Key) -> u64 {
        map.get(&key).map_or(0, |r| r.version)
    }

    fn put_now(&self, mut record: Record, expect: u64) -> Result<u64, StoreError> {
        let mut map = self.0.lock();
        let key = (record.kind, record.tenant, record.id);
        if Self::version(&map, key) != expect {
            return Err(StoreError::Conflict);
        }
        record.version = expect + 1;
        map.insert(key, record);
        Ok(expect + 1)
    }

    fn restore_now(&self, record: Record) -> Result<(), StoreError> {
        let mut map = self.0.lock();
        let key = (record.kind, record.tenant, record.id);
        match map.get(&key) {
            Some(stored) if bare(stored) == bare(&record) => Ok(()),
            None if record.version > 0 => {
                map.insert(key, record);
                Ok(())
            }
            _ => Err(StoreError::Conflict),
        }
    }

    fn delete_now(&self, key: Key, expect: u64) -> Result<(), StoreError> {
        let mut map = self.0.lock();
        if expect == 0 || Self::version(&map, key) != expect {
            return Err(StoreError::Conflict);
        }
        map.remove(&key);
        Ok(())
    }

    fn of_kind<R>(&self, kind: &'static str, work: impl FnOnce(&mut dyn Iterator<Item = &Record>) -> R) -> R {
        let map = self.0.lock();
        let from = (kind, TenantId(0), 0);
        work(&mut map.range(from..).take_while(|(key, _)| key.0 == kind).map(|(_, record)| record))
    }
}

impl Records for MemoryRecords {
    fn get(&self, kind: &'static str, tenant: TenantId, id: u64) -> Answer<'_, Option<Record>> {
        Box::pin(ready(Ok(self.0.lock().get(&(kind, tenant, id)).map(bare))))
    }

    fn put(&self, record: Record, expect: u64) -> Answer<'_, u64> {
        Box::pin(ready(self.put_now(record, expect)))
    }

    fn restore(&self, record: Record) -> Answer<'_, ()> {
        Box::pin(ready(self.restore_now(record)))
    }

    fn delete(&self, kind: &'static str, tenant: TenantId, id: u64, expect: u64) -> Answer<'_, ()> {
        Box::pin(ready(self.delete_now((kind, tenant, id), expect)))
    }

    fn page<'a>(
        &'a self,
        kind: &'static str,
        tenant: TenantId,
        index: Option<(&'static str, &'a str)>,
        after: Option<After>,
        limit: usize,
    ) -> Answer<'a, Vec<Record>> {
        let mut list: Vec<Record> = self.of_kind(kind, |records| {
            records
                .filter(|r| r.tenant == tenant && after.is_none_or(|a| (r.created, r.id) > a))
                .filter(|r| index.is_none_or(|(name, value)| has(r, name, value)))
                .map(bare)
                .collect()
        });
        list.sort_by_key(|r| (r.created, r.id));
        list.truncate(limit);
        Box::pin(ready(Ok(list)))
    }

    fn find<'a>(
        &'a self,
        kind: &'static str,
        index: &'static str,
        value: &'a str,
    ) -> Answer<'a, Option<Record>> {
        let found = self.of_kind(kind, |records| {
            records.filter(|r| has(r, index, value)).min_by_key(|r| (r.tenant, r.created, r.id)).map(bare)
        });
        Box::pin(ready(Ok(found)))
    }

    fn all(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Answer<'_, Vec<Record>> {
        let list = self.of_kind(kind, |records| {
            records.filter(|r| after.is_none_or(|a| (r.tenant, r.id) > a)).take(limit).map(bare).collect()
        });
        Box::pin(ready(Ok(list)))
    }
}
