//! The session: a linked WhatsApp number and how it is reached. Not the live session, which is an actor.

use super::Noun;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A linked number. Sealed: it holds the access token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// What the tenant calls it.
    pub name: String,
    /// The [`MetaApp`](super::MetaApp) whose webhooks speak of it.
    pub app: u64,
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// The number as people read it.
    pub display_phone_number: String,
    /// Where the provider is reached; `None`: Meta's own address.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The Graph API's version, e.g. `v23.0`.
    pub api_version: String,
    /// The provider's token.
    pub access_token: String,
    /// How fast it may send.
    pub messages_per_second: u32,
    /// Whether the provider limits messages to one recipient.
    pub pair_limit: bool,
    /// When it was created.
    pub created: Timestamp,
}

impl Session {
    /// The index by Meta's id of the number.
    pub const PHONE_NUMBER_ID: &'static str = "phone_number_id";
}

impl std::fmt::Debug for Session {
    /// Without the token and the number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("app", &self.app)
            .field("phone_number_id", &self.phone_number_id)
            .field("api_version", &self.api_version)
            .field("messages_per_second", &self.messages_per_second)
            .finish_non_exhaustive()
    }
}

impl Noun for Session {
    const KIND: &'static str = "session";
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
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::PHONE_NUMBER_ID, self.phone_number_id.clone())]
    }
}
