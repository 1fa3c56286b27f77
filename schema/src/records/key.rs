//! The API key: only its hash is kept; the secret is shown once. Not the data key, which seals.

use super::Noun;
use kabar_engine::id::{KeyId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An API key of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant calls it.
    pub name: String,
    /// SHA-256 of the secret, in hex.
    pub hash: String,
    /// The first characters of the secret, so that people recognise it.
    pub prefix: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was taken back.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
}

impl Key {
    /// The index by the secret's hash.
    pub const HASH: &'static str = "hash";
}

impl Noun for Key {
    const KIND: &'static str = "key";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::HASH, self.hash.clone())]
    }
}
