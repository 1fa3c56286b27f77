//! Blobs: large values by the hash of what they hold, cut into sealed pieces of 256 KiB. Here are the trait, and what the
//! backends share: cutting, hashing, sealing. Not what a blob means, and not who may read it.

use crate::Answer;
use crate::error::StoreError;
use crate::seal::{Keyring, SealError};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kabar_engine::id::TenantId;
use sha2::{Digest, Sha256};

/// Bytes of a piece; the last one is shorter.
pub(crate) const PIECE: usize = 256 * 1024;

/// SHA-256 of a blob's content.
pub type BlobHash = [u8; 32];

/// A blob's bytes, as they come. A source that breaks off says so with an error, and with it ends the writing.
pub type Content<'a> = BoxStream<'a, Result<Bytes, StoreError>>;

/// What was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobRef {
    /// The name under which it is found.
    pub hash: BlobHash,
    /// How many bytes.
    pub bytes: u64,
}

/// The store of large values. Every method names a tenant and sees no other.
pub trait Blobs: Send + Sync {
    /// Stores the content; the same content is kept once. All or nothing: before the answer nothing of it can be read,
    /// also when the source or the process ends in the middle. Conflict: more than `max_bytes`, or the tenant was
    /// erased. An error of the source is given back.
    fn put<'a>(&'a self, tenant: TenantId, content: Content<'a>, max_bytes: u64) -> Answer<'a, BlobRef>;

    /// The content, unless there is none or the tenant's key was erased. A damaged piece is an error, never other
    /// bytes.
    fn get(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, Option<Content<'static>>>;

    /// Deletes the content; whether there was some.
    fn delete(&self, tenant: TenantId, hash: BlobHash) -> Answer<'_, bool>;
}

/// Cuts what comes into pieces.
pub(crate) struct Cutter<'a> {
    content: Content<'a>,
    rest: Vec<u8>,
    hash: Sha256,
    bytes: u64,
    max_bytes: u64,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(content: Content<'a>, max_bytes: u64) -> Self {
        Self { content, rest: Vec::new(), hash: Sha256::new(), bytes: 0, max_bytes }
    }

    /// The next piece, never an empty one.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        while self.rest.len() < PIECE {
            let Some(more) = self.content.try_next().await? else { break };
            self.bytes += more.len() as u64;
            if self.bytes > self.max_bytes {
                return Err(StoreError::Conflict);
            }
            self.hash.update(&more);
            self.rest.extend_from_slice(&more);
        }
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tail = self.rest.split_off(PIECE.min(self.rest.len()));
        Ok(Some(std::mem::replace(&mut self.rest, tail)))
    }

    /// What came, after the last piece.
    pub(crate) fn finish(self) -> BlobRef {
        BlobRef { hash: self.hash.finalize().into(), bytes: self.bytes }
    }
}

/// A blob's sealed head: it binds the content's hash to the pieces, which were sealed before the hash was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// The random number the pieces were sealed under.
    pub(crate) stored: u64,
    pub(crate) bytes: u64,
}

impl Head {
    /// How many pieces.
    pub(crate) fn pieces(self) -> u64 {
        self.bytes.div_ceil(PIECE as u64)
    }

    /// How long a piece is.
    pub(crate) fn length(self, piece: u64) -> u64 {
        (self.bytes - piece * PIECE as u64).min(PIECE as u64)
    }
}

/// A number no other blob has, in 63 bits.
pub(crate) fn fresh_number() -> u64 {
    rand::random::<u64>() >> 1
}

fn head_aad(tenant: TenantId, hash: &BlobHash) -> Vec<u8> {
    [b"B".as_slice(), &tenant.0.to_be_bytes(), hash].concat()
}

fn piece_aad(tenant: TenantId, stored: u64, piece: u64) -> Vec<u8> {
    [b"b".as_slice(), &tenant.0.to_be_bytes(), &stored.to_be_bytes(), &piece.to_be_bytes()].concat()
}

fn seal(keyring: &Keyring, tenant: TenantId, plain: &[u8], aad: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(plain.len() + 48);
    match keyring.seal_into(tenant, &mut out, aad, |out| out.extend_from_slice(plain)) {
        Ok(()) => Ok(out),
        Err(SealError::NoKey) if keyring.erased(tenant) == Ok(true) => Err(StoreError::Conflict),
        Err(error) => {
            tracing::error!(%error, "a blob could not be sealed");
            Err(StoreError::Unavailable)
        }
    }
}

/// `None`: the tenant was erased.
fn open(
    keyring: &Keyring,
    tenant: TenantId,
    sealed: &[u8],
    aad: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    match keyring.open_bytes(tenant, sealed, aad) {
        Ok(Some(plain)) => Ok(Some(plain)),
        // A damaged key number looks like an erased key; only the tenant's own erasure is one.
        Ok(None) if keyring.erased(tenant) == Ok(true) => Ok(None),
        Ok(None) => Err(damaged("it was sealed under a key that is not there")),
        Err(error) => {
            tracing::error!(%error, "a blob");
            Err(StoreError::Unavailable)
        }
    }
}

/// A blob that is not what was stored.
pub(crate) fn damaged(what: &str) -> StoreError {
    tracing::error!(what, "a blob is damaged");
    StoreError::Unavailable
}

/// Seals a head for its hash.
pub(crate) fn seal_head(
    keyring: &Keyring,
    tenant: TenantId,
    hash: &BlobHash,
    head: Head,
) -> Result<Vec<u8>, StoreError> {
    let plain = [head.stored.to_be_bytes(), head.bytes.to_be_bytes()].concat();
    seal(keyring, tenant, &plain, &head_aad(tenant, hash))
}

/// The head again; `None`: the tenant was erased.
pub(crate) fn open_head(
    keyring: &Keyring,
    tenant: TenantId,
    hash: &BlobHash,
    sealed: &[u8],
) -> Result<Option<Head>, StoreError> {
    let Some(plain) = open(keyring, tenant, sealed, &head_aad(tenant, hash))? else { return Ok(None) };
    let plain: [u8; 16] = plain.try_into().map_err(|_| damaged("its head has another form"))?;
    let number = u128::from_be_bytes(plain);
    let (stored, bytes) = ((number >> 64) as u64, (number & u128::from(u64::MAX)) as u64);
    Ok(Some(Head { stored, bytes }))
}

/// Seals a piece for its place.
pub(crate) fn seal_piece(
    keyring: &Keyring,
    tenant: TenantId,
    (stored, piece): (u64, u64),
    plain: &[u8],
) -> Result<Vec<u8>, StoreError> {
    seal(keyring, tenant, plain, &piece_aad(tenant, stored, piece))
}

/// The piece again, of exactly the length that the head says.
pub(crate) fn open_piece(
    keyring: &Keyring,
    tenant: TenantId,
    (head, piece): (Head, u64),
    sealed: &[u8],
) -> Result<Bytes, StoreError> {
    let plain = open(keyring, tenant, sealed, &piece_aad(tenant, head.stored, piece))?;
    // Erased while it was being read.
    let plain = plain.ok_or(StoreError::Unavailable)?;
    if plain.len() as u64 != head.length(piece) {
        return Err(damaged("a piece is not as long as its head says"));
    }
    Ok(plain.into())
}

/// A blob's pieces, read one after the other.
pub(crate) fn pieces<R>(head: Head, read: impl Fn(u64) -> R + Send + 'static) -> Content<'static>
where
    R: Future<Output = Result<Bytes, StoreError>> + Send + 'static,
{
    futures::stream::iter(0..head.pieces()).then(read).boxed()
}
