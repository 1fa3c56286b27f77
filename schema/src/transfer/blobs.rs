//! The move of large values: each is read whole, sealed anew on the other side, and is there under the same hash or not
//! at all. What the source cannot open any more, because its tenant was erased, stays behind.

use super::{Mover, On, Phase, Side, Sum, TransferError};
use crate::blobs::{BlobHash, Content};
use crate::error::StoreError;
use crate::media;
use crate::store::Store;
use futures::TryStreamExt;
use kabar_engine::id::TenantId;
use sha2::{Digest, Sha256};

type Blob = (TenantId, BlobHash);

async fn listed(m: &Mover<'_>, phase: Phase) -> Result<Vec<Blob>, TransferError> {
    let folder = m.media.to_owned();
    let list = tokio::task::spawn_blocking(move || media::listed(&folder)).await;
    list.map_err(|_| StoreError::Unavailable).flatten().on(Side::Source, phase)
}

/// Copies every blob.
pub(super) async fn copy(m: &Mover<'_>) -> Result<(), TransferError> {
    let phase = Phase::Blobs;
    let blobs = listed(m, phase).await?;
    let total = blobs.len() as u64;
    for (done, (tenant, hash)) in blobs.into_iter().enumerate() {
        if let Some(content) = m.source.blobs.get(tenant, hash).await.on(Side::Source, phase)? {
            let put = m.target.blobs.put(tenant, content, u64::MAX).await.on(Side::Target, phase)?;
            if put.hash != hash {
                // The file's content is not what its name says.
                return Err(TransferError::Store {
                    phase,
                    side: Side::Source,
                    error: StoreError::Unavailable,
                });
            }
        }
        m.tell(phase, done as u64 + 1, total)?;
    }
    Ok(())
}

/// Reads every blob on both sides and adds them up.
pub(super) async fn sums(m: &Mover<'_>) -> Result<(Sum, Sum), TransferError> {
    let phase = Phase::Verify;
    let (mut source, mut target) = (Sum::default(), Sum::default());
    for blob in listed(m, phase).await? {
        add(m.source, blob, &mut source).await.on(Side::Source, phase)?;
        add(m.target, blob, &mut target).await.on(Side::Target, phase)?;
        m.tell(phase, source.rows, 0)?;
    }
    Ok((source, target))
}

async fn add(store: &Store, (tenant, hash): Blob, sum: &mut Sum) -> Result<(), StoreError> {
    if let Some(content) = store.blobs.get(tenant, hash).await? {
        sum.shown(&(tenant, hash, sha(content).await?), []);
    }
    Ok(())
}

async fn sha(content: Content<'_>) -> Result<[u8; 32], StoreError> {
    let sha = content.try_fold(Sha256::new(), async |mut sha, bytes| {
        sha.update(&bytes);
        Ok(sha)
    });
    Ok(sha.await?.finalize().into())
}
