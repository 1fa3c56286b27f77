//! Sealing at rest: AES-256-GCM under a data key per tenant, the data keys wrapped by one master key. Erasing a
//! tenant deletes its data key; what was sealed with it then opens as "gone". Not access control, and not the
//! hashing of API keys.

use crate::codec::row::{Reader, put_varint};
use crate::error::{OpenError, StoreError};
use crate::records::{DataKey, Noun, Record, Records};
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce, Tag};
use dashmap::DashMap;
use kabar_engine::hash::Hashing;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use rand::TryRngCore;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const NONCE: usize = 12;
const TAG: usize = 16;
/// Key records read at once while loading.
const PAGE: usize = 500;
/// The id of a tenant's first data key; creating it with version 0 makes two creators meet.
const FIRST_KEY: u32 = 1;

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The tenant has no data key in memory: [`Keyring::ensure`] comes first.
    #[error("the tenant's data key is not loaded")]
    NoKey,
    /// The bytes are not what was sealed, or were sealed for another place.
    #[error("sealed bytes are damaged or do not belong here")]
    Broken,
}

/// The key of keys: 32 bytes from a file or the environment, and while it is replaced the one before it. Never printed.
#[derive(Clone)]
pub struct MasterKey {
    key: [u8; 32],
    before: Option<[u8; 32]>,
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// A fresh one from the operating system's randomness.
    #[must_use]
    pub fn random() -> Self {
        Self { key: random_bytes(), before: None }
    }

    /// This key while it replaces `before`: it wraps, and both open.
    #[must_use]
    pub fn replacing(self, before: &Self) -> Self {
        Self { before: Some(before.key), ..self }
    }

    /// 64 hexadecimal digits, blanks around them ignored; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut key = [0; 32];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self { key, before: None })
    }

    /// Reads a file of 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`OpenError::Io`] when it cannot be read or holds something else.
    pub fn from_file(path: &Path) -> Result<Self, OpenError> {
        let text = std::fs::read_to_string(path).map_err(OpenError::io("read the master key", path))?;
        Self::from_hex(&text).ok_or_else(|| {
            let what =
                std::io::Error::new(std::io::ErrorKind::InvalidData, "it must hold 64 hexadecimal digits");
            OpenError::io("use the master key", path)(what)
        })
    }

    /// The 64 digits, to be written into a key file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.key.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn cipher(key: &[u8; 32]) -> Aes256Gcm {
        Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key))
    }

    fn seal_key(&self, key: &[u8; 32], aad: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = random_bytes();
        let mut out = nonce.to_vec();
        out.extend_from_slice(key);
        seal_tail(&Self::cipher(&self.key), &nonce, aad, &mut out, NONCE);
        out
    }

    fn open_key(&self, wrapped: &[u8], aad: &[u8]) -> Option<[u8; 32]> {
        let (nonce, bytes) = wrapped.split_first_chunk::<NONCE>()?;
        let open = |key| open_bytes(&Self::cipher(key), nonce, aad, bytes)?.try_into().ok();
        open(&self.key).or_else(|| self.before.as_ref().and_then(open))
    }

    /// A data key wrapped anew under this key; `None` when it is that already.
    ///
    /// # Errors
    /// [`OpenError::MasterKey`] when neither key opens it.
    pub(crate) fn rewrap(&self, key: &DataKey) -> Result<Option<DataKey>, OpenError> {
        let aad = wrap_aad(key.tenant, key.key_id);
        let alone = Self { before: None, ..self.clone() };
        if alone.open_key(&key.wrapped, &aad).is_some() {
            return Ok(None);
        }
        let plain = self.open_key(&key.wrapped, &aad).ok_or(OpenError::MasterKey)?;
        Ok(Some(DataKey { wrapped: self.seal_key(&plain, &aad), ..key.clone() }))
    }
}

/// Sealed bytes with what opens them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which of the tenant's data keys.
    pub key_id: u32,
    /// Never the same twice under one key.
    pub nonce: [u8; NONCE],
    /// Ciphertext and 16 bytes of tag.
    pub bytes: Vec<u8>,
}

impl Sealed {
    /// Compact form: key id as varint, nonce, ciphertext and tag up to the end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len() + NONCE + 2);
        put_varint(&mut out, u64::from(self.key_id));
        out.extend_from_slice(&self.nonce);
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads what [`Sealed::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`SealError::Broken`] for anything shorter than an empty seal.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        let (key_id, nonce, bytes) = split(bytes).ok_or(SealError::Broken)?;
        Ok(Self { key_id, nonce: *nonce, bytes: bytes.to_vec() })
    }
}

fn split(bytes: &[u8]) -> Option<(u32, &[u8; NONCE], &[u8])> {
    let mut reader = Reader::new(bytes);
    let key_id = u32::try_from(reader.varint("key id").ok()?).ok()?;
    let (nonce, bytes) = reader.rest().split_first_chunk::<NONCE>()?;
    (bytes.len() >= TAG).then_some((key_id, nonce, bytes))
}

/// A tenant's data keys by their numbers; sealing uses the newest.
type Ciphers = Vec<(u32, Aes256Gcm)>;

#[derive(Clone)]
enum Keys {
    Held(Arc<Ciphers>),
    Erased,
}

/// The data keys of all tenants, in memory, under the master key. Keys are loaded once ([`Keyring::load`]) or
/// when a tenant is first met ([`Keyring::ensure`]); sealing and opening never wait.
pub struct Keyring {
    master: MasterKey,
    records: Arc<dyn Records>,
    tenants: DashMap<TenantId, Keys, Hashing>,
    /// Every key of the store has been read: a tenant that is not here has been erased.
    complete: AtomicBool,
    creating: tokio::sync::Mutex<()>,
    nonce_start: [u8; NONCE],
    nonce_count: AtomicU64,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("tenants", &self.tenants.len()).finish_non_exhaustive()
    }
}

impl Keyring {
    /// An empty keyring over the records that hold the wrapped keys.
    #[must_use]
    pub fn new(master: MasterKey, records: Arc<dyn Records>) -> Self {
        Self {
            master,
            records,
            tenants: DashMap::default(),
            complete: AtomicBool::new(false),
            creating: tokio::sync::Mutex::new(()),
            // Within a process the counter never repeats; between processes 96 random bits stand apart.
            nonce_start: random_bytes(),
            nonce_count: AtomicU64::new(0),
        }
    }

    /// Reads the keys of all tenants. From then on a tenant without a key counts as erased.
    ///
    /// # Errors
    /// [`OpenError::MasterKey`] when the master key opens one of them not; [`OpenError::Store`] when the records
    /// do not answer.
    pub async fn load(&self) -> Result<(), OpenError> {
        let mut after = None;
        loop {
            let page = self.records.all(DataKey::KIND, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.tenant, last.id));
            for record in &page {
                self.hold(record).map_err(|_| OpenError::MasterKey)?;
            }
        }
        self.complete.store(true, Ordering::Release);
        Ok(())
    }

    /// Loads the tenant's key, or creates it. A tenant that was erased stays erased: `Conflict`.
    ///
    /// # Errors
    /// As the records answer; `Unavailable` when the master key does not open the stored key.
    pub async fn ensure(&self, tenant: TenantId) -> Result<(), StoreError> {
        if self.is_settled(tenant)? {
            return Ok(());
        }
        let _one = self.creating.lock().await;
        if self.is_settled(tenant)? {
            return Ok(());
        }
        if let Some(record) = self.records.get(DataKey::KIND, tenant, u64::from(FIRST_KEY)).await? {
            return self.hold(&record);
        }
        let record = self.fresh_key(tenant)?;
        match self.records.put(record.clone(), 0).await {
            Ok(_) => self.hold(&record),
            Err(StoreError::Conflict) => {
                // Another node was first: its key is the tenant's.
                let stored = self.records.get(DataKey::KIND, tenant, u64::from(FIRST_KEY)).await?;
                self.hold(&stored.ok_or(StoreError::Conflict)?)
            }
            Err(other) => Err(other),
        }
    }

    /// Deletes the tenant's keys: everything sealed with them is gone for good.
    ///
    /// # Errors
    /// As the records answer; repeat until `Ok`.
    pub async fn erase(&self, tenant: TenantId) -> Result<(), StoreError> {
        let _one = self.creating.lock().await;
        for record in self.records.page(DataKey::KIND, tenant, None, None, PAGE).await? {
            self.records.delete(DataKey::KIND, tenant, record.id, record.version).await?;
        }
        self.tenants.insert(tenant, Keys::Erased);
        Ok(())
    }

    /// Whether the tenant's key is at hand.
    #[must_use]
    pub fn known(&self, tenant: TenantId) -> bool {
        self.tenants.get(&tenant).is_some_and(|keys| matches!(*keys, Keys::Held(_)))
    }

    /// Whether the tenant's key is gone for good.
    ///
    /// # Errors
    /// [`SealError::NoKey`] when that cannot be said because the keys were not loaded.
    pub fn erased(&self, tenant: TenantId) -> Result<bool, SealError> {
        self.keys(tenant).map(|keys| keys.is_none())
    }

    /// Seals `plain` for the place that `aad` names.
    ///
    /// # Errors
    /// [`SealError::NoKey`] for a tenant whose key was never ensured, or is erased.
    pub fn seal(&self, tenant: TenantId, plain: &[u8], aad: &[u8]) -> Result<Sealed, SealError> {
        let mut out = Vec::with_capacity(plain.len() + NONCE + TAG + 5);
        self.seal_into(tenant, &mut out, aad, |out| out.extend_from_slice(plain))?;
        Ok(Sealed::from_bytes(&out).expect("invariant: what was sealed just now reads back"))
    }

    /// Appends to `out` the compact form ([`Sealed::to_bytes`]) of what `write` writes: no copy between.
    ///
    /// # Errors
    /// As [`Keyring::seal`]; `out` is then as it was.
    pub fn seal_into(
        &self,
        tenant: TenantId,
        out: &mut Vec<u8>,
        aad: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), SealError> {
        let keys = self.keys(tenant)?.ok_or(SealError::NoKey)?;
        let (key_id, cipher) = keys.last().ok_or(SealError::NoKey)?;
        let nonce = self.next_nonce();
        put_varint(out, u64::from(*key_id));
        out.extend_from_slice(&nonce);
        let from = out.len();
        write(out);
        seal_tail(cipher, &nonce, aad, out, from);
        Ok(())
    }

    /// Opens what was sealed for the same place. `None`: the key is gone, and with it the content.
    ///
    /// # Errors
    /// [`SealError::Broken`] when the bytes or the place are not the sealed ones, [`SealError::NoKey`] before the
    /// keys are loaded.
    pub fn open(&self, tenant: TenantId, sealed: &Sealed, aad: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        self.open_parts(tenant, (sealed.key_id, &sealed.nonce, &sealed.bytes), aad)
    }

    /// [`Keyring::open`] for the compact form.
    ///
    /// # Errors
    /// As [`Keyring::open`].
    pub fn open_bytes(
        &self,
        tenant: TenantId,
        bytes: &[u8],
        aad: &[u8],
    ) -> Result<Option<Vec<u8>>, SealError> {
        self.open_parts(tenant, split(bytes).ok_or(SealError::Broken)?, aad)
    }

    fn open_parts(
        &self,
        tenant: TenantId,
        (key_id, nonce, bytes): (u32, &[u8; NONCE], &[u8]),
        aad: &[u8],
    ) -> Result<Option<Vec<u8>>, SealError> {
        let Some(keys) = self.keys(tenant)? else { return Ok(None) };
        let Some((_, cipher)) = keys.iter().find(|(id, _)| *id == key_id) else { return Ok(None) };
        open_bytes(cipher, nonce, aad, bytes).map(Some).ok_or(SealError::Broken)
    }

    /// `None`: erased.
    fn keys(&self, tenant: TenantId) -> Result<Option<Arc<Ciphers>>, SealError> {
        match self.tenants.get(&tenant).as_deref() {
            Some(Keys::Held(keys)) => Ok(Some(Arc::clone(keys))),
            Some(Keys::Erased) => Ok(None),
            None if self.complete.load(Ordering::Acquire) => Ok(None),
            None => Err(SealError::NoKey),
        }
    }

    fn is_settled(&self, tenant: TenantId) -> Result<bool, StoreError> {
        match self.tenants.get(&tenant).as_deref() {
            Some(Keys::Held(_)) => Ok(true),
            Some(Keys::Erased) => Err(StoreError::Conflict),
            None => Ok(false),
        }
    }

    fn next_nonce(&self) -> [u8; NONCE] {
        let count = self.nonce_count.fetch_add(1, Ordering::Relaxed);
        let mut nonce = self.nonce_start;
        let (_, low) = nonce.split_last_chunk_mut::<8>().expect("invariant: a nonce has twelve bytes");
        *low = u64::from_be_bytes(*low).wrapping_add(count).to_be_bytes();
        nonce
    }

    fn fresh_key(&self, tenant: TenantId) -> Result<Record, StoreError> {
        let wrapped = self.master.seal_key(&random_bytes(), &wrap_aad(tenant, FIRST_KEY));
        Record::of(&DataKey { tenant, key_id: FIRST_KEY, wrapped, created: Timestamp::default() })
    }

    fn hold(&self, record: &Record) -> Result<(), StoreError> {
        let key: DataKey = record.noun()?;
        let Some(plain) = self.master.open_key(&key.wrapped, &wrap_aad(record.tenant, key.key_id)) else {
            tracing::error!(tenant = %record.tenant, "the master key does not open the tenant's data key");
            return Err(StoreError::Unavailable);
        };
        self.hold_plain(record.tenant, key.key_id, &plain);
        Ok(())
    }

    fn hold_plain(&self, tenant: TenantId, key_id: u32, plain: &[u8; 32]) {
        let cipher = Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(plain));
        let mut entry = self.tenants.entry(tenant).or_insert_with(|| Keys::Held(Arc::default()));
        if let Keys::Held(keys) = entry.value_mut() {
            let keys = Arc::make_mut(keys);
            keys.retain(|(id, _)| *id != key_id);
            keys.push((key_id, cipher));
            keys.sort_by_key(|(id, _)| *id);
        }
    }

    /// A keyring with one known key and counted nonces, so that sealed bytes can be golden.
    #[cfg(test)]
    pub(crate) fn fixed(tenant: TenantId, key: &[u8; 32], records: Arc<dyn Records>) -> Self {
        let keyring =
            Self { nonce_start: [7; NONCE], ..Self::new(MasterKey { key: [9; 32], before: None }, records) };
        keyring.hold_plain(tenant, FIRST_KEY, key);
        keyring
    }
}

/// A wrapped key opens only as the key of its tenant under its id.
fn wrap_aad(tenant: TenantId, key_id: u32) -> Vec<u8> {
    let mut aad = b"data_key".to_vec();
    aad.extend_from_slice(&tenant.0.to_be_bytes());
    aad.extend_from_slice(&key_id.to_be_bytes());
    aad
}

fn seal_tail(cipher: &Aes256Gcm, nonce: &[u8; NONCE], aad: &[u8], out: &mut Vec<u8>, from: usize) {
    let tag = cipher
        .encrypt_in_place_detached(Nonce::from_slice(nonce), aad, &mut out[from..])
        .expect("invariant: far below the 64 GiB that one seal may hold");
    out.extend_from_slice(&tag);
}

fn open_bytes(cipher: &Aes256Gcm, nonce: &[u8; NONCE], aad: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let (bytes, tag) = bytes.split_last_chunk::<TAG>()?;
    let mut plain = bytes.to_vec();
    cipher
        .decrypt_in_place_detached(Nonce::from_slice(nonce), aad, &mut plain, Tag::from_slice(tag))
        .ok()
        .map(|()| plain)
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .expect("invariant: the operating system has randomness; without it nothing may be sealed");
    bytes
}
