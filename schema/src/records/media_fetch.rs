//! What people sent and where it is: still to be fetched, or what became of that. Two nouns, so that what is to be done is
//! found without looking through what was done. Not the file: that is [`Media`](super::Media).

use super::Noun;
use kabar_engine::cause::Cause;
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_engine::media::MediaKind;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The number of the records about what came with a message, known by the provider's id of it.
fn number(tenant: TenantId, session: SessionId, message: &str) -> u64 {
    MediaId::derived(tenant, &[&session.0.to_be_bytes(), message.as_bytes()].concat()).0
}

/// A file that a person sent and that is still at the provider. Sealed: names are people's words.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFetch {
    /// Whose.
    pub tenant: TenantId,
    /// The number it was sent to.
    pub session: SessionId,
    /// The provider's id of the message.
    pub message: String,
    /// The provider's id of the file.
    pub provider_id: String,
    /// What it was sent as.
    pub kind: MediaKind,
    /// Its type, as the provider said.
    #[serde(default)]
    pub mime: Option<String>,
    /// Its hash, as the provider said.
    #[serde(default)]
    pub sha256: Option<String>,
    /// What it is called.
    #[serde(default)]
    pub filename: Option<String>,
    /// When Kabar learned of it.
    pub created: Timestamp,
}

impl std::fmt::Debug for MediaFetch {
    /// Without the name.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaFetch")
            .field("tenant", &self.tenant)
            .field("session", &self.session)
            .field("kind", &self.kind)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

impl MediaFetch {
    /// The number of the record of what came with a message.
    #[must_use]
    pub fn id_of(tenant: TenantId, session: SessionId, message: &str) -> u64 {
        number(tenant, session, message)
    }
}

impl Noun for MediaFetch {
    const KIND: &'static str = "media_fetch";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        number(self.tenant, self.session, &self.message)
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

/// What became of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceivedMedia {
    /// Whose.
    pub tenant: TenantId,
    /// The number it was sent to.
    pub session: SessionId,
    /// The provider's id of the message.
    pub message: String,
    /// The file; or why there is none.
    pub fetched: Result<MediaId, Cause>,
    /// When that was known.
    pub created: Timestamp,
}

impl ReceivedMedia {
    /// The number of the record of what came with a message.
    #[must_use]
    pub fn id_of(tenant: TenantId, session: SessionId, message: &str) -> u64 {
        number(tenant, session, message)
    }
}

impl Noun for ReceivedMedia {
    const KIND: &'static str = "media_received";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        number(self.tenant, self.session, &self.message)
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}
