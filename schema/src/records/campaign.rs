//! The campaign's spec: what the tenant asked for. Not its phase, which is entries, and not its recipients.

use super::Noun;
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, ImportId, SessionId, TenantId};
use kabar_engine::schedule::SendWindow;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A campaign as it was asked for; never changed. Sealed: it holds what will be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant calls it.
    pub name: String,
    /// What is sent; may hold `{{variables}}` and spintax.
    pub content: Content,
    /// Whether spintax is read.
    #[serde(default)]
    pub spintax: bool,
    /// The sessions it leaves from.
    pub senders: Vec<SessionId>,
    /// The contacts it goes to.
    pub list: ImportId,
    /// Recipients not sent this long after the launch expire (ms).
    pub valid_for_ms: i64,
    /// Local hours it may arrive in.
    #[serde(default)]
    pub send_window: Option<SendWindow>,
    /// Hash of the request that made it, so that a repeat is told from another request.
    pub body_hash: String,
    /// When it was created.
    pub created: Timestamp,
}

impl Noun for Campaign {
    const KIND: &'static str = "campaign";
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
