//! Blobs in memory: the model the others are compared with, sealed like them. Nothing survives the process.

use crate::Answer;
use crate::blobs::{
    BlobHash, BlobRef, Blobs, Content, Cutter, Head, fresh_number, open_head, open_piece, pieces, seal_head,
    seal_piece,
};
use crate::error::StoreError;
use crate::seal::Keyring;
use futures::future::ready;
use kabar_engine::id::TenantId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A sealed head, and the sealed pieces.
type Kept = (Vec<u8>, Arc<Vec<Vec<u8>>>);

/// The memory backend's blobs.
#[derive(Debug)]
pub struct MemoryBlobs {
    keyring: Arc<Keyring>,
    kept: Mutex<BTreeMap<(TenantId, BlobHash), Kept>>,
}

impl MemoryBlobs {
    /// None yet.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring, kept: Mutex::default() }
    }

    fn get_now(&self, tenant: TenantId, hash: BlobHash) -> Result<Option<Content<'static>>, StoreError> {
        let Some((head, sealed)) = self.kept.lock().get(&(tenant, hash)).cloned() else { return Ok(None) };
        let Some(head) = open_head(&self.keyring, tenant, &hash, &head)? else { return Ok(None) };
        let keyring = Arc::clone(&self.keyring);
        Ok(Some(pieces(head, move |piece| {
            let place = usize::try_from(piece).expect("invariant: all pieces are in memory");
            ready(open_piece(&keyring, tenant, (head, piece), &sealed[place]))
        })))
    }
}

impl Blobs for MemoryBlobs {
    fn put<'a>(&'a self, tenant: TenantId, content: Content<'a>, max_bytes: u64) -> Answer<'a, BlobRef> {
        Box::pin(async move {
            self.keyring.ensure(tenant).await?;
            let (stored, mut cutter, mut sealed) = (fresh_number(), Cutter::new(content, max_bytes), vec![]);
            while let Some(piece) = cutter.next().await? {
                sealed.push(seal_piece(&self.keyring, tenant, (stored, sealed.len() as u64), &piece)?);
            }
            let blob = cutter.finish();
            let head = Head { stored, bytes: blob.bytes };
            let head = seal_head(&self.keyring, tenant, &blob.hash, head)?;
            self.kept.lock().entry((tenant, blob.hash)).or_insert((head, Arc::new(sealed)));
            Ok(blob)
        })
    }

    fn get(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, Option<Content<'static>>> {
        Box::pin(ready(self.get_now(tenant, hash)))
    }

    fn delete(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, bool> {
        Box::pin(ready(Ok(self.kept.lock().remove(&(tenant, hash)).is_some())))
    }
}
