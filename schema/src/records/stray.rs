//! A stray: a webhook that names a number nobody here has linked, kept so that nothing is acknowledged and lost.
//! Not an inbound message.

use super::Noun;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A webhook nobody could be found for. Sealed: it holds what people wrote.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stray {
    /// Its id.
    pub id: u64,
    /// The app's tenant.
    pub tenant: TenantId,
    /// The app it came for.
    pub app: u64,
    /// When it came.
    pub at: Timestamp,
    /// Its first 32 KiB.
    pub bytes: Vec<u8>,
}

impl Stray {
    /// Bytes kept.
    pub const BYTES_MAX: usize = 32 * 1024;
    /// The index by app, in decimal.
    pub const APP: &'static str = "app";
}

impl std::fmt::Debug for Stray {
    /// Without what people wrote.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stray")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("app", &self.app)
            .field("at", &self.at)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl Noun for Stray {
    const KIND: &'static str = "stray";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id
    }
    fn created(&self) -> Timestamp {
        self.at
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::APP, self.app.to_string())]
    }
}
