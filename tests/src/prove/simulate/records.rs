//! Records and frozen audiences that fail: a write is refused, is lost, or is done although nobody is told; a read brings
//! nothing. Beneath lies the memory backend, which outlives every node.

use super::weather::{Chance, Life, Weather};
use futures::FutureExt;
use kabar_engine::chunk::{Chunk, ChunkKey};
use kabar_engine::id::{CampaignId, TenantId};
use kabar_schema::Answer;
use kabar_schema::error::StoreError;
use kabar_schema::ledger::{Ledger, PartManifest};
use kabar_schema::records::{After, Record, Records};
use std::sync::Arc;

/// What a write of a record meets.
struct Fate {
    done: bool,
    told: Result<(), StoreError>,
}

/// The dice of one life's records.
#[derive(Clone)]
pub struct Desk {
    pub life: Arc<Life>,
    pub weather: Arc<Weather>,
    pub chance: Arc<Chance>,
}

impl Desk {
    async fn reading(&self) -> Result<(), StoreError> {
        self.life.live().await;
        // Records are read all the time, and a start reads them as well.
        if self.weather.strikes(&self.chance, |rates| rates.read * 4) {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }

    async fn writing(&self) -> Fate {
        self.life.live().await;
        if !self.weather.strikes(&self.chance, |rates| rates.record) {
            return Fate { done: true, told: Ok(()) };
        }
        match self.chance.below(3) {
            0 => Fate { done: false, told: Err(StoreError::Unavailable) },
            1 => Fate { done: false, told: Err(StoreError::Unknown) },
            _ => Fate { done: true, told: Err(StoreError::Unknown) },
        }
    }

    async fn write<'a, T>(&'a self, write: impl FnOnce() -> Answer<'a, T>) -> Result<T, StoreError> {
        let fate = self.writing().await;
        let written = if fate.done { Some(write().await?) } else { None };
        fate.told.and(written.ok_or(StoreError::Unknown))
    }
}

/// The records of one life.
pub struct SimRecords(pub Arc<dyn Records>, pub Desk);

impl Records for SimRecords {
    fn get(&self, kind: &'static str, tenant: TenantId, id: u64) -> Answer<'_, Option<Record>> {
        async move {
            self.1.reading().await?;
            self.0.get(kind, tenant, id).await
        }
        .boxed()
    }

    fn put(&self, record: Record, expect: u64) -> Answer<'_, u64> {
        self.1.write(move || self.0.put(record, expect)).boxed()
    }

    fn delete(&self, kind: &'static str, tenant: TenantId, id: u64, expect: u64) -> Answer<'_, ()> {
        self.1.write(move || self.0.delete(kind, tenant, id, expect)).boxed()
    }

    fn restore(&self, record: Record) -> Answer<'_, ()> {
        self.1.write(move || self.0.restore(record)).boxed()
    }

    fn page<'a>(
        &'a self,
        kind: &'static str,
        tenant: TenantId,
        index: Option<(&'static str, &'a str)>,
        after: Option<After>,
        limit: usize,
    ) -> Answer<'a, Vec<Record>> {
        async move {
            self.1.reading().await?;
            self.0.page(kind, tenant, index, after, limit).await
        }
        .boxed()
    }

    fn find<'a>(
        &'a self,
        kind: &'static str,
        index: &'static str,
        value: &'a str,
    ) -> Answer<'a, Option<Record>> {
        async move {
            self.1.reading().await?;
            self.0.find(kind, index, value).await
        }
        .boxed()
    }

    fn all(
        &self,
        kind: &'static str,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Answer<'_, Vec<Record>> {
        async move {
            self.1.reading().await?;
            self.0.all(kind, after, limit).await
        }
        .boxed()
    }
}

/// The frozen audiences of one life.
pub struct SimLedger(pub Arc<dyn Ledger>, pub Desk);

impl Ledger for SimLedger {
    fn put_chunk(&self, key: ChunkKey, chunk: Chunk) -> Answer<'_, ()> {
        self.1.write(move || self.0.put_chunk(key, chunk)).boxed()
    }

    fn get_chunk(&self, key: ChunkKey) -> Answer<'_, Option<Chunk>> {
        async move {
            self.1.reading().await?;
            self.0.get_chunk(key).await
        }
        .boxed()
    }

    fn put_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
        manifest: PartManifest,
    ) -> Answer<'_, ()> {
        self.1.write(move || self.0.put_part(tenant, campaign, attempt, part, manifest)).boxed()
    }

    fn get_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
    ) -> Answer<'_, Option<PartManifest>> {
        async move {
            self.1.reading().await?;
            self.0.get_part(tenant, campaign, attempt, part).await
        }
        .boxed()
    }
}
