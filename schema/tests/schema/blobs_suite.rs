//! What every backend must keep of a blob: whole or not at all, once, its tenant's alone, and never other bytes.

use crate::backend::{Backend, Opened, Place, on_every_backend};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use kabar_engine::id::TenantId;
use kabar_schema::StoreError;
use kabar_schema::blobs::{BlobRef, Content};
use sha2::{Digest, Sha256};
use std::io::{Read, Seek, SeekFrom, Write};

on_every_backend!(
    a_blob_comes_back_as_it_was_also_after_closing_and_opening,
    the_same_content_is_kept_once_and_deleted_once,
    no_tenant_sees_anothers_blobs,
    what_is_too_large_or_breaks_off_leaves_nothing,
    an_erased_tenants_blobs_are_gone,
    a_flipped_bit_is_an_error_and_never_other_bytes,
);

const A: TenantId = TenantId(1);
const B: TenantId = TenantId(2);
const PIECE: usize = 256 * 1024;
const ENOUGH: u64 = 8 << 20;

fn bytes(count: usize) -> Bytes {
    (0..count).map(|n| (n * 31 % 251).to_be_bytes()[7]).collect()
}

/// In parts that fit no piece.
fn content(bytes: &Bytes) -> Content<'static> {
    let parts: Vec<_> = bytes.chunks(100_003).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
    futures::stream::iter(parts).boxed()
}

async fn read(opened: &Opened, tenant: TenantId, blob: BlobRef) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(content) = opened.store.blobs.get(tenant, blob.hash).await? else { return Ok(None) };
    let parts: Vec<Bytes> = content.try_collect().await?;
    Ok(Some(parts.concat()))
}

async fn a_blob_comes_back_as_it_was_also_after_closing_and_opening(backend: Backend) {
    let mut opened = backend.open().await;
    let all: Vec<Bytes> = [0, 1, PIECE, PIECE + 1, 3_000_000].into_iter().map(bytes).collect();
    let mut blobs = Vec::new();
    for bytes in &all {
        let blob = opened.store.blobs.put(A, content(bytes), ENOUGH).await.unwrap();
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        assert_eq!(blob, BlobRef { hash, bytes: bytes.len() as u64 });
        blobs.push(blob);
    }
    for _ in 0..2 {
        for (blob, bytes) in blobs.iter().zip(&all) {
            assert!(read(&opened, A, *blob).await.unwrap().unwrap() == *bytes, "{}", bytes.len());
        }
        opened = opened.reopen().await;
    }
}

async fn the_same_content_is_kept_once_and_deleted_once(backend: Backend) {
    let opened = backend.open().await;
    let bytes = bytes(PIECE + 7);
    let first = opened.store.blobs.put(A, content(&bytes), ENOUGH).await.unwrap();
    assert_eq!(opened.store.blobs.put(A, content(&bytes), ENOUGH).await, Ok(first));
    assert_eq!(stored(&opened).await, expected(&opened, 2), "two pieces, not four");
    assert_eq!(read(&opened, A, first).await.unwrap().unwrap(), bytes);
    assert_eq!(opened.store.blobs.delete(A, first.hash).await, Ok(true));
    assert_eq!(opened.store.blobs.delete(A, first.hash).await, Ok(false));
    assert_eq!(read(&opened, A, first).await, Ok(None));
    assert_eq!(stored(&opened).await, expected(&opened, 0));
    assert_eq!(opened.store.blobs.put(A, content(&bytes), ENOUGH).await, Ok(first), "it may come back");
    assert_eq!(read(&opened, A, first).await.unwrap().unwrap(), bytes);
}

async fn no_tenant_sees_anothers_blobs(backend: Backend) {
    let opened = backend.open().await;
    let bytes = bytes(9);
    let blob = opened.store.blobs.put(A, content(&bytes), ENOUGH).await.unwrap();
    assert_eq!(read(&opened, B, blob).await, Ok(None));
    assert_eq!(opened.store.blobs.delete(B, blob.hash).await, Ok(false));
    assert_eq!(opened.store.blobs.put(B, content(&bytes), ENOUGH).await, Ok(blob));
    assert_eq!(opened.store.blobs.delete(B, blob.hash).await, Ok(true));
    assert_eq!(read(&opened, A, blob).await.unwrap().unwrap(), bytes);
}

async fn what_is_too_large_or_breaks_off_leaves_nothing(backend: Backend) {
    let opened = backend.open().await;
    let bytes = bytes(3 * PIECE);
    let blob = BlobRef { hash: Sha256::digest(&bytes).into(), bytes: bytes.len() as u64 };
    let put = opened.store.blobs.put(A, content(&bytes), blob.bytes - 1).await;
    assert_eq!(put, Err(StoreError::Conflict));
    let broken = futures::stream::iter([Err(StoreError::Unavailable)]);
    let put = opened.store.blobs.put(A, content(&bytes).chain(broken).boxed(), ENOUGH).await;
    assert_eq!(put, Err(StoreError::Unavailable));
    // Nobody waits for this one any more.
    let never = content(&bytes).chain(futures::stream::pending());
    let mut put = opened.store.blobs.put(A, never.boxed(), ENOUGH);
    assert!(futures::poll!(&mut put).is_pending());
    drop(put);
    assert_eq!(read(&opened, A, blob).await, Ok(None));
    assert_eq!(opened.store.blobs.put(A, content(&bytes), blob.bytes).await, Ok(blob), "just fits");
    if let Place::Folder(..) = opened.place {
        assert_eq!(stored(&opened).await, expected(&opened, 1));
    }
}

async fn an_erased_tenants_blobs_are_gone(backend: Backend) {
    let opened = backend.open().await;
    let bytes = bytes(PIECE + 1);
    let gone = opened.store.blobs.put(A, content(&bytes), ENOUGH).await.unwrap();
    opened.store.blobs.put(B, content(&bytes), ENOUGH).await.unwrap();
    opened.store.keyring.erase(A).await.unwrap();
    assert_eq!(read(&opened, A, gone).await, Ok(None));
    assert_eq!(opened.store.blobs.put(A, content(&bytes), ENOUGH).await, Err(StoreError::Conflict));
    assert_eq!(read(&opened, B, gone).await.unwrap().unwrap(), bytes);
    assert_eq!(opened.store.blobs.delete(A, gone.hash).await, Ok(true), "what is left can be cleared away");
}

async fn a_flipped_bit_is_an_error_and_never_other_bytes(backend: Backend) {
    let opened = backend.open().await;
    let bytes = bytes(2 * PIECE + 9);
    let blob = opened.store.blobs.put(A, content(&bytes), ENOUGH).await.unwrap();
    // Memory does not rot.
    for at in [0, 4, 5, 40, PIECE / 2] {
        flip(&opened, at).await;
        if !matches!(opened.place, Place::Nowhere) {
            assert_eq!(read(&opened, A, blob).await, Err(StoreError::Unavailable), "byte {at}");
        }
        flip(&opened, at).await;
    }
    assert_eq!(read(&opened, A, blob).await.unwrap().unwrap(), bytes);
}

/// The files or pieces there should be, for a blob of so many pieces.
fn expected(opened: &Opened, pieces: usize) -> usize {
    match &opened.place {
        Place::Nowhere => 0,
        Place::Folder(..) => pieces.min(1),
        Place::Keyspace(..) => pieces,
    }
}

/// The files or pieces there are.
async fn stored(opened: &Opened) -> usize {
    match &opened.place {
        Place::Nowhere => 0,
        Place::Folder(..) => files(opened).len(),
        Place::Keyspace(keyspace) => {
            let session = keyspace.session().await;
            let found = session.query_unpaged("SELECT stored FROM blob_piece", ()).await.unwrap();
            found.into_rows_result().unwrap().rows_num()
        }
    }
}

/// Every file below `media/`, also those without a name.
fn files(opened: &Opened) -> Vec<std::path::PathBuf> {
    let folders = std::fs::read_dir(opened.folder().join("media")).unwrap();
    folders
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

/// Flips a bit of the one file, or of the first piece.
async fn flip(opened: &Opened, at: usize) {
    match &opened.place {
        Place::Nowhere => {}
        Place::Folder(..) => {
            let path = files(opened).pop().unwrap();
            let mut file = std::fs::File::options().read(true).write(true).open(path).unwrap();
            let (mut byte, at) = ([0], SeekFrom::Start(at as u64));
            file.seek(at).and_then(|_| file.read_exact(&mut byte)).unwrap();
            file.seek(at).and_then(|_| file.write_all(&[byte[0] ^ 1])).unwrap();
        }
        Place::Keyspace(keyspace) => {
            let session = keyspace.session().await;
            let all = "SELECT tenant, stored, piece, bytes FROM blob_piece";
            let found = session.query_unpaged(all, ()).await.unwrap().into_rows_result().unwrap();
            let rows = found.rows::<(i64, i64, i32, Vec<u8>)>().unwrap().map(Result::unwrap);
            let mut row = rows.min_by_key(|row| row.2).unwrap();
            row.3[at] ^= 1;
            let write = "INSERT INTO blob_piece (tenant, stored, piece, bytes) VALUES (?, ?, ?, ?)";
            session.query_unpaged(write, row).await.unwrap();
        }
    }
}
