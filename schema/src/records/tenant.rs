//! The tenant: a customer of the installation, and what it decided for all its sessions. Not its keys.

use super::Noun;
use kabar_engine::frequency::FrequencyCap;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Its name, as the operator wrote it.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// How long a message whose outcome is not known waits for proof (ms): 1 s to 24 h.
    #[serde(default = "unknown_after_ms")]
    pub unknown_after_ms: u64,
    /// Whether such a message is then sent once more instead of becoming `unknown`.
    #[serde(default)]
    pub resend_unknown: bool,
    /// What its turns count for beside other tenants' on a busy node: 1 to 100.
    #[serde(default = "weight")]
    pub weight: u32,
    /// How much marketing one person gets from it.
    #[serde(default)]
    pub frequency_cap: Option<FrequencyCap>,
}

impl Tenant {
    /// What a tenant's turns count for that says nothing.
    pub const WEIGHT: u32 = 10;
    /// A quarter of an hour.
    pub const UNKNOWN_AFTER_MS: u64 = 900_000;
    /// One second.
    pub const UNKNOWN_AFTER_MIN_MS: u64 = 1_000;
    /// One day.
    pub const UNKNOWN_AFTER_MAX_MS: u64 = 86_400_000;
}

fn weight() -> u32 {
    Tenant::WEIGHT
}

fn unknown_after_ms() -> u64 {
    Tenant::UNKNOWN_AFTER_MS
}

impl Noun for Tenant {
    const KIND: &'static str = "tenant";
    const VERSION: u32 = 2;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.id
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
