//! Blobs on a cluster: pieces first under a random number, the head that names them last. Pieces without a head cannot be
//! read; a crash may leave some. To sweep them: read `SELECT DISTINCT tenant, stored, piece FROM blob_piece` token range
//! by token range, and delete those whose `stored` is in no head and was in none an hour before.

use super::cluster::{Cluster, Lwt};
use super::fault::before;
use super::statement::BlobsSql;
use crate::Answer;
use crate::blobs::{
    BlobHash, BlobRef, Blobs, Content, Cutter, Head, damaged, fresh_number, open_head, open_piece, pieces,
    seal_head, seal_piece,
};
use crate::error::{OpenError, StoreError};
use crate::seal::Keyring;
use bytes::Bytes;
use kabar_engine::id::TenantId;
use std::sync::Arc;

/// How often a write is tried whose fate was not known.
const TRIES: u32 = 3;

/// Stored number, pieces, sealed head.
type Row = (i64, i32, Vec<u8>);

/// The cluster's blobs.
#[derive(Debug)]
pub struct CqlBlobs(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cluster: Arc<Cluster>,
    keyring: Arc<Keyring>,
    sql: BlobsSql,
}

impl CqlBlobs {
    /// Blobs in the cluster's keyspace, which has all tables; the keyring must have loaded all keys.
    ///
    /// # Errors
    /// [`OpenError::Cluster`] when a statement is refused.
    pub async fn open(cluster: Arc<Cluster>, keyring: Arc<Keyring>) -> Result<Self, OpenError> {
        let sql = BlobsSql::prepare(&cluster).await?;
        Ok(Self(Arc::new(Inner { cluster, keyring, sql })))
    }
}

impl Inner {
    async fn put(
        &self,
        tenant: TenantId,
        content: Content<'_>,
        max_bytes: u64,
    ) -> Result<BlobRef, StoreError> {
        self.keyring.ensure(tenant).await.map_err(before)?;
        let (stored, mut written) = (fresh_number(), 0);
        let put = self.put_under(tenant, stored, Cutter::new(content, max_bytes), &mut written).await;
        match put {
            Ok((blob, true)) => Ok(blob),
            // Somebody stored the same: one copy is enough.
            Ok((blob, false)) => {
                self.drop_pieces(tenant, stored, written).await;
                Ok(blob)
            }
            // The head may be there: its pieces must be, too.
            Err(StoreError::Unknown) => Err(StoreError::Unknown),
            Err(error) => {
                self.drop_pieces(tenant, stored, written).await;
                Err(error)
            }
        }
    }

    /// Whether the pieces under `stored` are the ones that are kept.
    async fn put_under(
        &self,
        tenant: TenantId,
        stored: u64,
        mut cutter: Cutter<'_>,
        written: &mut u64,
    ) -> Result<(BlobRef, bool), StoreError> {
        while let Some(plain) = cutter.next().await? {
            let sealed = seal_piece(&self.keyring, tenant, (stored, *written), &plain)?;
            let piece = number(*written)?;
            *written += 1;
            let values = (tenant.0.cast_signed(), stored.cast_signed(), piece, sealed);
            self.put_piece(&values).await.map_err(before)?;
        }
        let blob = cutter.finish();
        let head = Head { stored, bytes: blob.bytes };
        let sealed = seal_head(&self.keyring, tenant, &blob.hash, head)?;
        let (of, count) = (tenant.0.cast_signed(), number(head.pieces())?);
        let values = (of, blob.hash.as_slice(), stored.cast_signed(), count, sealed);
        for _ in 0..TRIES {
            match self.cluster.lwt(&self.sql.put, &values).await {
                Ok(Lwt::Applied) => return Ok((blob, true)),
                Ok(Lwt::Refused) | Err(StoreError::Unknown) => {}
                Err(error) => return Err(error),
            }
            let row: Result<Option<Row>, _> =
                self.cluster.row(&self.sql.look, (of, blob.hash.as_slice())).await;
            if let Some((kept, _, _)) = row.map_err(|_| StoreError::Unknown)? {
                return Ok((blob, kept == stored.cast_signed()));
            }
        }
        // After each try there was no head.
        Err(StoreError::Unavailable)
    }

    /// The same bytes every time, so it may be repeated.
    async fn put_piece(&self, values: &(i64, i64, i32, Vec<u8>)) -> Result<(), StoreError> {
        let mut answer = Err(StoreError::Unknown);
        for _ in 0..TRIES {
            answer = self.cluster.write(&self.sql.put_piece, values).await;
            if answer != Err(StoreError::Unknown) {
                break;
            }
        }
        answer
    }

    /// Takes away pieces that no head names. Those it does not reach harm nobody.
    async fn drop_pieces(&self, tenant: TenantId, stored: u64, count: u64) {
        for piece in 0..count {
            let Ok(piece) = number(piece) else { return };
            let values = (tenant.0.cast_signed(), stored.cast_signed(), piece);
            if let Err(error) = self.cluster.write(&self.sql.delete_piece, values).await {
                tracing::warn!(%error, "pieces of a blob that nobody reads were left");
                return;
            }
        }
    }

    async fn piece(&self, tenant: TenantId, head: Head, piece: u64) -> Result<Bytes, StoreError> {
        let values = (tenant.0.cast_signed(), head.stored.cast_signed(), number(piece)?);
        let row: Option<(Vec<u8>,)> = self.cluster.row(&self.sql.piece, values).await?;
        let (sealed,) = row.ok_or_else(|| damaged("a piece is missing"))?;
        open_piece(&self.keyring, tenant, (head, piece), &sealed)
    }

    async fn delete(&self, tenant: TenantId, hash: BlobHash) -> Result<bool, StoreError> {
        let of = tenant.0.cast_signed();
        let mut lost = false;
        let mut row: Option<Row> = self.cluster.row(&self.sql.head, (of, hash.as_slice())).await?;
        for _ in 0..TRIES {
            let Some((stored, count, _)) = row.take() else { return Ok(lost) };
            match self.cluster.lwt(&self.sql.delete, (of, hash.as_slice(), stored)).await {
                Ok(Lwt::Applied) => {
                    let count = u64::try_from(count).unwrap_or(0);
                    self.drop_pieces(tenant, stored.cast_unsigned(), count).await;
                    return Ok(true);
                }
                Ok(Lwt::Refused) => {}
                Err(StoreError::Unknown) => lost = true,
                Err(error) => return Err(error),
            }
            let again = self.cluster.row(&self.sql.look, (of, hash.as_slice())).await;
            row = again.map_err(|_| StoreError::Unknown)?;
            if lost && row.is_none() {
                let count = u64::try_from(count).unwrap_or(0);
                self.drop_pieces(tenant, stored.cast_unsigned(), count).await;
            }
        }
        if row.is_none() { Ok(lost) } else { Err(StoreError::Unavailable) }
    }
}

/// A piece's number as a column: 512 TiB are enough.
fn number(piece: u64) -> Result<i32, StoreError> {
    i32::try_from(piece).map_err(|_| StoreError::Conflict)
}

impl Blobs for CqlBlobs {
    fn put<'a>(&'a self, tenant: TenantId, content: Content<'a>, max_bytes: u64) -> Answer<'a, BlobRef> {
        Box::pin(self.0.put(tenant, content, max_bytes))
    }

    fn get(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, Option<Content<'static>>> {
        Box::pin(async move {
            let (inner, values) = (Arc::clone(&self.0), (tenant.0.cast_signed(), hash.as_slice()));
            let row: Option<Row> = inner.cluster.row(&inner.sql.head, values).await?;
            let Some((_, _, sealed)) = row else { return Ok(None) };
            let Some(head) = open_head(&inner.keyring, tenant, &hash, &sealed)? else { return Ok(None) };
            Ok(Some(pieces(head, move |piece| {
                let inner = Arc::clone(&inner);
                async move { inner.piece(tenant, head, piece).await }
            })))
        })
    }

    fn delete(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, bool> {
        Box::pin(self.0.delete(tenant, hash))
    }
}
