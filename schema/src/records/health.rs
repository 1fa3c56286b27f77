//! How a number does in the provider's eyes, as it was last told. Not the session, which its tenant writes.

use super::Noun;
use kabar_engine::health::Health;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A session's health. Sealed: the provider's words may hold numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHealth {
    /// Whose number's; also the record's id.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// When something was told for the first time.
    pub created: Timestamp,
    /// How it does.
    pub health: Health,
}

impl Noun for SessionHealth {
    const KIND: &'static str = "session_health";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.session.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
