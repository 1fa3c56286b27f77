//! Frozen audiences in `records.db`: one row a chunk, written once, variables sealed. Not the marks.

use super::database::{Database, Fault};
use super::number::{Columns, damaged, int};
use crate::Answer;
use crate::error::StoreError;
use crate::ledger::{
    Ledger, PartManifest, pack_addresses, pack_part, pack_variables, unpack, unpack_addresses, unpack_part,
};
use crate::seal::Keyring;
use crate::sealing::{Place, ensure, open, seal};
use kabar_engine::chunk::{Chunk, ChunkKey};
use kabar_engine::id::{CampaignId, SessionId, TenantId};
use rusqlite::{OptionalExtension, Transaction, params};
use std::sync::Arc;

/// The embedded ledger.
#[derive(Debug)]
pub struct SqliteLedger {
    database: Arc<Database>,
    keyring: Arc<Keyring>,
}

impl SqliteLedger {
    /// A ledger in `database`, which is of the kind records; the keyring must have loaded all keys.
    #[must_use]
    pub fn new(database: Arc<Database>, keyring: Arc<Keyring>) -> Self {
        Self { database, keyring }
    }
}

fn place(key: &ChunkKey) -> Place<'static> {
    Place::Variables(key.campaign.0, key.attempt, key.chunk)
}

enum Stored {
    Nothing,
    Erased,
    Chunk(Chunk),
}

fn get_chunk(tx: &Transaction<'_>, keyring: &Keyring, key: &ChunkKey) -> Result<Stored, Fault> {
    let mut find = tx.prepare_cached(
        "SELECT addresses, variables FROM ledger_chunk \
         WHERE tenant = ?1 AND campaign = ?2 AND attempt = ?3 AND chunk = ?4",
    )?;
    let parameters = params![int(key.tenant.0), int(key.campaign.0), key.attempt, key.chunk];
    let Some((addresses, variables)) = find
        .query_row(parameters, |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?
    else {
        return Ok(Stored::Nothing);
    };
    let Some(variables) = open(keyring, key.tenant, place(key), &variables)? else {
        return Ok(Stored::Erased);
    };
    unpack_addresses(&addresses)
        .and_then(|addresses| unpack(addresses, &variables))
        .map(Stored::Chunk)
        .map_err(|_| damaged("a chunk is damaged"))
}

fn put_chunk(tx: &Transaction<'_>, keyring: &Keyring, key: &ChunkKey, chunk: &Chunk) -> Result<(), Fault> {
    match get_chunk(tx, keyring, key)? {
        Stored::Nothing => {}
        Stored::Chunk(stored) if stored == *chunk => return Ok(()),
        Stored::Chunk(_) | Stored::Erased => return Err(StoreError::Conflict.into()),
    }
    let variables = pack_variables(chunk);
    let mut sealed = Vec::with_capacity(variables.len() + 48);
    if !seal(keyring, key.tenant, place(key), &mut sealed, |out| out.extend_from_slice(&variables))? {
        return Err(StoreError::Conflict.into());
    }
    tx.prepare_cached(
        "INSERT INTO ledger_chunk (tenant, campaign, attempt, chunk, addresses, variables) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        int(key.tenant.0),
        int(key.campaign.0),
        key.attempt,
        key.chunk,
        pack_addresses(chunk.recipients.iter().map(|r| &r.address)),
        sealed,
    ])?;
    Ok(())
}

#[derive(Clone, Copy)]
struct PartKey {
    tenant: TenantId,
    campaign: CampaignId,
    attempt: u32,
    part: u32,
}

fn get_part(tx: &Transaction<'_>, key: PartKey) -> Result<Option<PartManifest>, Fault> {
    let mut find = tx.prepare_cached(
        "SELECT session, chunks FROM ledger_part \
         WHERE tenant = ?1 AND campaign = ?2 AND attempt = ?3 AND part = ?4",
    )?;
    let mut rows = find.query(params![int(key.tenant.0), int(key.campaign.0), key.attempt, key.part])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let packed = row.get_ref(1)?.as_blob().map_err(|_| damaged("a part's chunks are no blob"))?;
    let chunks = unpack_part(packed).map_err(|_| damaged("a part's chunks are damaged"))?;
    Ok(Some(PartManifest { session: SessionId(row.id(0)?), chunks }))
}

fn put_part(tx: &Transaction<'_>, key: PartKey, manifest: &PartManifest) -> Result<(), Fault> {
    match get_part(tx, key)? {
        Some(stored) if stored == *manifest => return Ok(()),
        Some(_) => return Err(StoreError::Conflict.into()),
        None => {}
    }
    tx.prepare_cached(
        "INSERT INTO ledger_part (tenant, campaign, attempt, part, session, chunks) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        int(key.tenant.0),
        int(key.campaign.0),
        key.attempt,
        key.part,
        int(manifest.session.0),
        pack_part(&manifest.chunks),
    ])?;
    Ok(())
}

impl Ledger for SqliteLedger {
    fn put_chunk(&self, key: ChunkKey, chunk: Chunk) -> Answer<'_, ()> {
        Box::pin(async move {
            ensure(&self.keyring, [key.tenant]).await?;
            let keyring = Arc::clone(&self.keyring);
            self.database.write(move |tx| put_chunk(tx, &keyring, &key, &chunk)).await
        })
    }

    fn get_chunk(&self, key: ChunkKey) -> Answer<'_, Option<Chunk>> {
        let keyring = Arc::clone(&self.keyring);
        Box::pin(self.database.read(move |tx| {
            Ok(match get_chunk(tx, &keyring, &key)? {
                Stored::Chunk(chunk) => Some(chunk),
                Stored::Nothing | Stored::Erased => None,
            })
        }))
    }

    fn put_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
        manifest: PartManifest,
    ) -> Answer<'_, ()> {
        let key = PartKey { tenant, campaign, attempt, part };
        Box::pin(self.database.write(move |tx| put_part(tx, key, &manifest)))
    }

    fn get_part(
        &self,
        tenant: TenantId,
        campaign: CampaignId,
        attempt: u32,
        part: u32,
    ) -> Answer<'_, Option<PartManifest>> {
        let key = PartKey { tenant, campaign, attempt, part };
        Box::pin(self.database.read(move |tx| get_part(tx, key)))
    }
}
