//! The Meta app: what a webhook of the Cloud API is checked with. Not the sessions that belong to it.

use super::Noun;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// An app at Meta. Sealed: it holds secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaApp {
    /// Our id of it, a part of the webhook's address.
    pub id: u64,
    /// Whose.
    pub tenant: TenantId,
    /// The app secrets; several while one replaces the other.
    pub app_secrets: Vec<String>,
    /// What Meta says when it checks the webhook's address.
    pub verify_token: String,
    /// Meta's own id of it, when it is known: files are uploaded to it.
    #[serde(default)]
    pub meta_id: Option<String>,
    /// When it was created.
    pub created: Timestamp,
}

impl MetaApp {
    /// The index by the id, in decimal: a webhook names no tenant.
    pub const APP: &'static str = "app";
}

impl std::fmt::Debug for MetaApp {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetaApp")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("app_secrets", &self.app_secrets.len())
            .finish_non_exhaustive()
    }
}

impl Noun for MetaApp {
    const KIND: &'static str = "meta_app";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::APP, self.id.to_string())]
    }
}
