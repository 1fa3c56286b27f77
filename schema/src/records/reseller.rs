//! The reseller: who has tenants of its own and sees no others. Not its keys, and not the tenants themselves.

use super::Noun;
use kabar_engine::id::{ResellerId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Where everything of resellers lies: no tenant has it.
const NOBODY: TenantId = TenantId(0);

/// A reseller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reseller {
    /// Its id.
    pub id: ResellerId,
    /// Its name, as the operator wrote it.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
}

impl Noun for Reseller {
    const KIND: &'static str = "reseller";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        NOBODY
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

/// That a tenant is a reseller's: written before the tenant, so that none is missing from the reseller's list. A hint: the
/// tenant says whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResellerTenant {
    /// Whose.
    pub reseller: ResellerId,
    /// The tenant.
    pub tenant: TenantId,
    /// When the tenant was created.
    pub created: Timestamp,
}

impl ResellerTenant {
    /// The index by the reseller.
    pub const RESELLER: &'static str = "reseller";
}

impl Noun for ResellerTenant {
    const KIND: &'static str = "reseller_tenant";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        NOBODY
    }
    fn id(&self) -> u64 {
        self.tenant.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::RESELLER, self.reseller.to_string())]
    }
}
