//! That a person gets no marketing for a while, because WhatsApp said that they have had enough of everybody. Not the tenant's
//! own cap, and not an opt-out.

use super::Noun;
use kabar_engine::address::Address;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One rest of one person. It is never changed: the next rest is a record of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Whose marketing.
    pub tenant: TenantId,
    /// The person, see [`Rest::person`].
    pub person: u64,
    /// The template that was refused, as a hash; 0: not known.
    pub template: u64,
    /// No marketing before.
    pub until: Timestamp,
    /// How many rests stood right before this one.
    pub before: u32,
    /// When it began.
    pub created: Timestamp,
}

impl Rest {
    /// A person, as a hash: it only has to be met again.
    #[must_use]
    pub fn person(tenant: TenantId, address: &Address) -> u64 {
        TenantId::derived(tenant, address.value().as_bytes()).0
    }
}

impl Noun for Rest {
    const KIND: &'static str = "rest";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    /// Of the person and the end: a repeat of the same news is the same record.
    fn id(&self) -> u64 {
        let key = [self.person.to_be_bytes(), self.until.0.to_be_bytes()].concat();
        TenantId::derived(self.tenant, &key).0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
