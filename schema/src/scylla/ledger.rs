//! Frozen audiences on a cluster: a row a chunk, written once, variables sealed. Not the marks.

use super::cluster::{Cluster, Lwt};
use super::fault::damaged;
use super::sealed::{ensure, open, seal};
use super::statement::LedgerSql;
use crate::Answer;
use crate::error::{OpenError, StoreError};
use crate::ledger::{
    Ledger, PartManifest, pack_addresses, pack_part, pack_variables, unpack, unpack_addresses, unpack_part,
};
use crate::seal::Keyring;
use kabar_engine::chunk::{Chunk, ChunkKey};
use kabar_engine::id::{CampaignId, SessionId, TenantId};
use kabar_engine::part::CHUNKS;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use std::sync::Arc;

/// How often a row is written whose fate was not known and which was found missing.
const TRIES: u32 = 3;

/// The cluster's ledger.
#[derive(Debug)]
pub struct CqlLedger {
    cluster: Arc<Cluster>,
    keyring: Arc<Keyring>,
    sql: LedgerSql,
}

/// What a chunk's variables are bound to.
fn aad(key: &ChunkKey) -> Vec<u8> {
    let mut aad = vec![b'v'];
    aad.extend_from_slice(&key.campaign.0.to_be_bytes());
    aad.extend_from_slice(&key.attempt.to_be_bytes());
    aad.extend_from_slice(&key.chunk.to_be_bytes());
    aad
}

type ChunkRow = (i64, i64, i32, i32, i32);
type PartRow = (i64, i64, i32, i32);

fn chunk_row(key: &ChunkKey) -> ChunkRow {
    let (attempt, chunk) = (key.attempt.cast_signed(), key.chunk.cast_signed());
    let part = (key.chunk / CHUNKS).cast_signed();
    (key.tenant.0.cast_signed(), key.campaign.0.cast_signed(), attempt, part, chunk)
}

enum Stored {
    Nothing,
    Erased,
    Chunk(Chunk),
}

impl CqlLedger {
    /// A ledger in the cluster's keyspace, which has all tables; the keyring must have loaded all keys.
    ///
    /// # Errors
    /// [`OpenError::Cluster`] when a statement is refused.
    pub async fn open(cluster: Arc<Cluster>, keyring: Arc<Keyring>) -> Result<Self, OpenError> {
        let sql = LedgerSql::prepare(&cluster).await?;
        Ok(Self { cluster, keyring, sql })
    }

    async fn chunk(&self, sql: &PreparedStatement, key: &ChunkKey) -> Result<Stored, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> = self.cluster.row(sql, chunk_row(key)).await?;
        let Some((addresses, variables)) = row else { return Ok(Stored::Nothing) };
        let Some(variables) = open(&self.keyring, key.tenant, &aad(key), &variables)? else {
            return Ok(Stored::Erased);
        };
        let addresses = unpack_addresses(&addresses);
        let chunk = addresses.and_then(|addresses| unpack(addresses, &variables));
        chunk.map(Stored::Chunk).map_err(|_| damaged("a chunk"))
    }

    async fn part(&self, sql: &PreparedStatement, row: PartRow) -> Result<Option<PartManifest>, StoreError> {
        let row: Option<(i64, Vec<u8>)> = self.cluster.row(sql, row).await?;
        let Some((session, packed)) = row else { return Ok(None) };
        let chunks = unpack_part(&packed).map_err(|_| damaged("a part's chunks"))?;
        Ok(Some(PartManifest { session: SessionId(session.cast_unsigned()), chunks }))
    }

    /// Inserts a row that is written once. `same` looks at the row: `None` when there is none, else whether it holds
    /// what is being written.
    async fn put_once<'f>(
        &self,
        sql: &PreparedStatement,
        values: impl SerializeRow + Send + Sync,
        same: impl Fn() -> Answer<'f, Option<bool>> + Send + Sync,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let unknown = match self.cluster.lwt(sql, &values).await {
                Ok(Lwt::Applied) => return Ok(()),
                Ok(Lwt::Refused) => false,
                Err(StoreError::Unknown) => true,
                Err(error) => return Err(error),
            };
            match same().await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => return Err(StoreError::Conflict),
                // Certainly not there.
                Ok(None) => {}
                Err(_) if unknown => return Err(StoreError::Unknown),
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }

    async fn put_chunk_now(&self, key: ChunkKey, chunk: Chunk) -> Result<(), StoreError> {
        ensure(&self.keyring, key.tenant).await?;
        let variables = pack_variables(&chunk);
        let sealed = seal(&self.keyring, key.tenant, &aad(&key), |out| out.extend_from_slice(&variables))?;
        let (tenant, campaign, attempt, part, number) = chunk_row(&key);
        let addresses = pack_addresses(chunk.recipients.iter().map(|r| &r.address));
        let values = (tenant, campaign, attempt, part, number, addresses, sealed);
        let chunk = &chunk;
        let same = move || -> Answer<'_, Option<bool>> {
            Box::pin(async move {
                Ok(match self.chunk(&self.sql.look_chunk, &key).await? {
                    Stored::Nothing => None,
                    Stored::Erased => Some(false),
                    Stored::Chunk(stored) => Some(stored == *chunk),
                })
            })
        };
        self.put_once(&self.sql.put_chunk, values, same).await
    }

    async fn put_part_now(&self, row: PartRow, manifest: PartManifest) -> Result<(), StoreError> {
        let session = manifest.session.0.cast_signed();
        let values = (row.0, row.1, row.2, row.3, session, pack_part(&manifest.chunks));
        let manifest = &manifest;
        let same = move || -> Answer<'_, Option<bool>> {
            Box::pin(async move {
                let stored = self.part(&self.sql.look_part, row).await?;
                Ok(stored.map(|stored| stored == *manifest))
            })
        };
        self.put_once(&self.sql.put_part, values, same).await
    }
}

fn part_row(tenant: TenantId, campaign: CampaignId, attempt: u32, part: u32) -> PartRow {
    (tenant.0.cast_signed(), campaign.0.cast_signed(), attempt.cast_signed(), part.cast_signed())
}

impl Ledger for CqlLedger {
    fn put_chunk(&self, key: ChunkKey, chunk: Chunk) -> Answer<'_, ()> {
        Box::pin(self.put_chunk_now(key, chunk))
    }

    fn get_chunk(&self, key: ChunkKey) -> Answer<'_, Option<Chunk>> {
        Box::pin(async move {
            Ok(match self.chunk(&self.sql.get_chunk, &key).await? {
                Stored::Chunk(chunk) => Some(chunk),
                Stored::Nothing | Stored::Erased => None,
            })
        })
    }

    fn put_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
        manifest: PartManifest,
    ) -> Answer<'_, ()> {
        Box::pin(self.put_part_now(part_row(tenant, campaign, attempt, part), manifest))
    }

    fn get_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
    ) -> Answer<'_, Option<PartManifest>> {
        let row = part_row(tenant, campaign, attempt, part);
        Box::pin(self.part(&self.sql.get_part, row))
    }
}
