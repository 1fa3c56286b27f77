//! Frozen audiences in memory: the model the others are compared with. Nothing survives the process.

use crate::Answer;
use crate::error::StoreError;
use crate::ledger::{Ledger, PartManifest};
use futures::future::ready;
use kabar_engine::chunk::{Chunk, ChunkKey};
use kabar_engine::id::{CampaignId, TenantId};
use parking_lot::Mutex;
use std::collections::BTreeMap;

type PartKey = (TenantId, CampaignId, u32, u32);

/// The memory backend's ledger.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    chunks: Mutex<BTreeMap<ChunkKey, Chunk>>,
    parts: Mutex<BTreeMap<PartKey, PartManifest>>,
}

fn put_once<K: Ord, V: PartialEq>(map: &Mutex<BTreeMap<K, V>>, key: K, value: V) -> Result<(), StoreError> {
    let mut map = map.lock();
    match map.get(&key) {
        None => {
            map.insert(key, value);
            Ok(())
        }
        Some(stored) if *stored == value => Ok(()),
        Some(_) => Err(StoreError::Conflict),
    }
}

impl Ledger for MemoryLedger {
    fn put_chunk(&self, key: ChunkKey, chunk: Chunk) -> Answer<'_, ()> {
        Box::pin(ready(put_once(&self.chunks, key, chunk)))
    }

    fn get_chunk(&self, key: ChunkKey) -> Answer<'_, Option<Chunk>> {
        Box::pin(ready(Ok(self.chunks.lock().get(&key).cloned())))
    }

    fn put_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
        manifest: PartManifest,
    ) -> Answer<'_, ()> {
        Box::pin(ready(put_once(&self.parts, (tenant, campaign, attempt, part), manifest)))
    }

    fn get_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
    ) -> Answer<'_, Option<PartManifest>> {
        Box::pin(ready(Ok(self.parts.lock().get(&(tenant, campaign, attempt, part)).cloned())))
    }
}
