//! What a noun is, and the typed door to the records: bytes, versions of old bytes, sealing. Not a backend.

use super::{After, Record, Records};
use crate::error::StoreError;
use crate::seal::{Keyring, SealError};
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::sync::Arc;

/// A noun that is kept as a record. Its bytes are `{"v":VERSION,"d":{…}}`, sealed as a whole when `SEALED`.
pub trait Noun: Serialize + DeserializeOwned + Send + Sync {
    /// Its stable name.
    const KIND: &'static str;
    /// The version of its JSON that this code writes.
    const VERSION: u32;
    /// Whether its body is sealed under the tenant's data key.
    const SEALED: bool;

    /// Whose.
    fn tenant(&self) -> TenantId;
    /// Its id.
    fn id(&self) -> u64;
    /// Its creation.
    fn created(&self) -> Timestamp;
    /// What it can be found by: (index, value). Values stay readable at rest.
    fn indexes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Reads the JSON of `version`, which is at most [`Noun::VERSION`]. A noun whose form changed reads its old
    /// ones here.
    ///
    /// # Errors
    /// When the JSON is not of that version.
    fn read(version: u32, json: &str) -> Result<Self, serde_json::Error> {
        let _ = version;
        serde_json::from_str(json)
    }
}

/// A noun with the version its next update has to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<N> {
    /// The noun.
    pub noun: N,
    /// How often it was written.
    pub version: u64,
}

#[derive(Serialize)]
struct Written<'a, N> {
    v: u32,
    d: &'a N,
}

#[derive(serde::Deserialize)]
struct Stored<'a> {
    v: u32,
    #[serde(borrow)]
    d: &'a RawValue,
}

fn write<N: Noun>(noun: &N) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&Written { v: N::VERSION, d: noun }).map_err(|error| {
        tracing::error!(kind = N::KIND, %error, "a record could not be written as JSON");
        StoreError::Unavailable
    })
}

fn read<N: Noun>(record: &Record, body: &[u8]) -> Result<N, StoreError> {
    let refuse = |why: &'static str| {
        tracing::error!(kind = N::KIND, id = record.id, why, "a record cannot be read");
        StoreError::Unavailable
    };
    let stored: Stored<'_> = serde_json::from_slice(body).map_err(|e| refuse(sort_of(&e)))?;
    if stored.v > N::VERSION {
        return Err(refuse("it was written by a newer version of Kabar"));
    }
    N::read(stored.v, stored.d.get()).map_err(|e| refuse(sort_of(&e)))
}

/// The kind of a JSON error without its text, which may quote a value.
fn sort_of(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "it could not be read",
        serde_json::error::Category::Syntax => "it is not JSON",
        serde_json::error::Category::Data => "a field has another form than this version knows",
        serde_json::error::Category::Eof => "it ends too early",
    }
}

impl Record {
    /// The record of a noun that is not sealed, with version 0.
    ///
    /// # Errors
    /// `Unavailable` when it has no JSON form.
    pub fn of<N: Noun>(noun: &N) -> Result<Self, StoreError> {
        Ok(Self::with(noun, write(noun)?))
    }

    /// The noun of a record that is not sealed.
    ///
    /// # Errors
    /// `Unavailable` when the bytes are not of this noun or of a newer version.
    pub fn noun<N: Noun>(&self) -> Result<N, StoreError> {
        read(self, &self.body)
    }

    fn with<N: Noun>(noun: &N, body: Vec<u8>) -> Self {
        Self {
            kind: N::KIND,
            tenant: noun.tenant(),
            id: noun.id(),
            version: 0,
            created: noun.created(),
            indexes: noun.indexes(),
            body,
        }
    }
}

/// What a sealed body is bound to: a body copied to another record does not open.
fn bound_to(kind: &str, tenant: TenantId, id: u64) -> Vec<u8> {
    let mut aad = Vec::with_capacity(kind.len() + 16);
    aad.extend_from_slice(kind.as_bytes());
    aad.extend_from_slice(&tenant.0.to_be_bytes());
    aad.extend_from_slice(&id.to_be_bytes());
    aad
}

/// The typed door to the records.
#[derive(Clone)]
pub struct Nouns {
    records: Arc<dyn Records>,
    keyring: Arc<Keyring>,
}

impl Nouns {
    /// A door to these records, sealing with this keyring.
    #[must_use]
    pub fn new(records: Arc<dyn Records>, keyring: Arc<Keyring>) -> Self {
        Self { records, keyring }
    }

    async fn record<N: Noun>(&self, noun: &N) -> Result<Record, StoreError> {
        let plain = write(noun)?;
        if !N::SEALED {
            return Ok(Record::with(noun, plain));
        }
        let tenant = noun.tenant();
        self.keyring.ensure(tenant).await?;
        let mut body = Vec::with_capacity(plain.len() + 48);
        let aad = bound_to(N::KIND, tenant, noun.id());
        self.keyring.seal_into(tenant, &mut body, &aad, |out| out.extend_from_slice(&plain)).map_err(
            |error| {
                tracing::error!(kind = N::KIND, %error, "a record could not be sealed");
                StoreError::Unavailable
            },
        )?;
        Ok(Record::with(noun, body))
    }

    /// `None` when the tenant's data key was erased.
    async fn noun<N: Noun>(&self, record: &Record) -> Result<Option<Versioned<N>>, StoreError> {
        let versioned = |noun| Versioned { noun, version: record.version };
        if !N::SEALED {
            return read(record, &record.body).map(versioned).map(Some);
        }
        let aad = bound_to(record.kind, record.tenant, record.id);
        let mut opened = self.keyring.open_bytes(record.tenant, &record.body, &aad);
        if opened == Err(SealError::NoKey) {
            match self.keyring.ensure(record.tenant).await {
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
            opened = self.keyring.open_bytes(record.tenant, &record.body, &aad);
        }
        match opened {
            Ok(Some(plain)) => read(record, &plain).map(versioned).map(Some),
            Ok(None) => Ok(None),
            Err(error) => {
                tracing::error!(kind = N::KIND, id = record.id, %error, "a record does not open");
                Err(StoreError::Unavailable)
            }
        }
    }

    /// The noun, if there is one.
    ///
    /// # Errors
    /// [`StoreError`] of the backend; `Unavailable` when the record cannot be read.
    pub async fn get<N: Noun>(&self, tenant: TenantId, id: u64) -> Result<Option<Versioned<N>>, StoreError> {
        match self.records.get(N::KIND, tenant, id).await? {
            Some(record) => self.noun(&record).await,
            None => Ok(None),
        }
    }

    /// Writes a new noun; it has version 1 then.
    ///
    /// # Errors
    /// `Conflict` when the id is taken.
    pub async fn create<N: Noun>(&self, noun: &N) -> Result<(), StoreError> {
        let record = self.record(noun).await?;
        self.records.put(record, 0).await.map(|_| ())
    }

    /// Writes a noun whose stored version is `expect`; gives the new version.
    ///
    /// # Errors
    /// `Conflict` when somebody else was faster, or when it is gone.
    pub async fn update<N: Noun>(&self, noun: &N, expect: u64) -> Result<u64, StoreError> {
        let record = self.record(noun).await?;
        self.records.put(record, expect).await
    }

    /// Deletes a noun whose stored version is `expect`.
    ///
    /// # Errors
    /// `Conflict` when somebody else was faster, or when it is gone.
    pub async fn delete<N: Noun>(&self, tenant: TenantId, id: u64, expect: u64) -> Result<(), StoreError> {
        self.records.delete(N::KIND, tenant, id, expect).await
    }

    /// A tenant's nouns by (created, id), at most `limit`, all or those with this index value. Fewer than
    /// `limit` means there are no more.
    ///
    /// # Errors
    /// [`StoreError`] of the backend.
    pub async fn page<N: Noun>(
        &self,
        tenant: TenantId,
        index: Option<(&'static str, &str)>,
        after: Option<After>,
        limit: usize,
    ) -> Result<Vec<Versioned<N>>, StoreError> {
        let (mut nouns, mut after) = (Vec::new(), after);
        // A record whose key was erased is left out; the page is filled up from behind it.
        while nouns.len() < limit {
            let wanted = limit - nouns.len();
            let records = self.records.page(N::KIND, tenant, index, after, wanted).await?;
            after = records.last().map(|r| (r.created, r.id));
            for record in &records {
                nouns.extend(self.noun(record).await?);
            }
            if records.len() < wanted {
                break;
            }
        }
        Ok(nouns)
    }

    /// The noun with this index value, across tenants.
    ///
    /// # Errors
    /// [`StoreError`] of the backend.
    pub async fn find<N: Noun>(
        &self,
        index: &'static str,
        value: &str,
    ) -> Result<Option<Versioned<N>>, StoreError> {
        match self.records.find(N::KIND, index, value).await? {
            Some(record) => self.noun(&record).await,
            None => Ok(None),
        }
    }

    /// All tenants' nouns by (tenant, id), at most `limit`. Fewer than `limit` means there are no more.
    ///
    /// # Errors
    /// [`StoreError`] of the backend.
    pub async fn all<N: Noun>(
        &self,
        after: Option<(TenantId, u64)>,
        limit: usize,
    ) -> Result<Vec<Versioned<N>>, StoreError> {
        let (mut nouns, mut after) = (Vec::new(), after);
        while nouns.len() < limit {
            let wanted = limit - nouns.len();
            let records = self.records.all(N::KIND, after, wanted).await?;
            after = records.last().map(|r| (r.tenant, r.id));
            for record in &records {
                nouns.extend(self.noun(record).await?);
            }
            if records.len() < wanted {
                break;
            }
        }
        Ok(nouns)
    }
}
