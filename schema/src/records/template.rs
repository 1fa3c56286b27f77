//! A stored message template of the tenant. Not one of Meta's approved templates, which live at Meta.

use super::Noun;
use kabar_engine::content::Content;
use kabar_engine::id::{TemplateId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A template. Sealed: it holds what will be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Its id.
    pub id: TemplateId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant calls it.
    pub name: String,
    /// What it says; may hold `{{variables}}` and spintax.
    pub content: Content,
    /// Whether spintax is read.
    #[serde(default)]
    pub spintax: bool,
    /// Hash of the request that made it, so that a repeat is told from another request.
    pub body_hash: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

impl Noun for Template {
    const KIND: &'static str = "template";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
