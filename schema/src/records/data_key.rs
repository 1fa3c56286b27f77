//! The data key: what a tenant's rows and entries are sealed with, itself wrapped under the master key. Not an
//! API key.

use super::Noun;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A tenant's data key. Deleting it erases the tenant.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataKey {
    /// Whose.
    pub tenant: TenantId,
    /// Its number; stands in everything sealed with it.
    pub key_id: u32,
    /// The key, encrypted under the master key.
    pub wrapped: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKey")
            .field("tenant", &self.tenant)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Noun for DataKey {
    const KIND: &'static str = "data_key";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    /// One per tenant until keys are rotated: two nodes that make it at once meet in a Conflict.
    fn id(&self) -> u64 {
        u64::from(self.key_id)
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
