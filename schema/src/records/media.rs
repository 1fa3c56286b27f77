//! Media that is kept: what a tenant's files are, which of them a provider has, and which received ones are still to be
//! fetched. Not the bytes: those are blobs, found by their hash.

use super::Noun;
use crate::blobs::BlobHash;
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_engine::media::MediaKind;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a file came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaOrigin {
    /// Uploaded as a file.
    Upload,
    /// In the text of a request, as base64.
    Inline,
    /// Fetched from a link.
    Link,
    /// Received from a person.
    Received,
}

/// A file of a tenant. Its id follows from its bytes, so that the same file is one. Sealed: names are people's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Whose.
    pub tenant: TenantId,
    /// The hash of its bytes, under which the blob is.
    #[serde(with = "hex")]
    pub sha256: BlobHash,
    /// How many bytes.
    pub bytes: u64,
    /// Its type, as the reference names it; of a received file as it was said.
    pub mime: String,
    /// What it is good for.
    pub kind: MediaKind,
    /// Whether it is a picture that moves.
    #[serde(default)]
    pub animated: bool,
    /// What it was called first.
    #[serde(default)]
    pub filename: Option<String>,
    /// How it came here first.
    pub origin: MediaOrigin,
    /// When.
    pub created: Timestamp,
}

impl Media {
    /// Longest name that is kept, characters.
    pub const FILENAME_MAX: usize = 240;

    /// The id of a file with these bytes.
    #[must_use]
    pub fn id_of(tenant: TenantId, sha256: &BlobHash) -> MediaId {
        MediaId::derived(tenant, sha256)
    }

    /// Its id.
    #[must_use]
    pub fn media_id(&self) -> MediaId {
        Self::id_of(self.tenant, &self.sha256)
    }
}

impl Noun for Media {
    const KIND: &'static str = "media";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.media_id().0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

/// A file as the provider has it for one number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaCopy {
    /// Whose.
    pub tenant: TenantId,
    /// The number's session.
    pub session: SessionId,
    /// The file.
    pub media: MediaId,
    /// The provider's id of the number, which the copy is bound to.
    pub number: String,
    /// The provider's id of the file.
    pub provider_id: String,
    /// When it was uploaded.
    pub uploaded: Timestamp,
}

impl MediaCopy {
    /// The index by file.
    pub const MEDIA: &'static str = "media";

    /// The number of the record of one file at one number.
    #[must_use]
    pub fn id_of(tenant: TenantId, session: SessionId, media: MediaId) -> u64 {
        MediaId::derived(tenant, &[session.0.to_be_bytes(), media.0.to_be_bytes()].concat()).0
    }
}

impl Noun for MediaCopy {
    const KIND: &'static str = "media_copy";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        Self::id_of(self.tenant, self.session, self.media)
    }
    fn created(&self) -> Timestamp {
        self.uploaded
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        vec![(Self::MEDIA, self.media.to_string())]
    }
}

/// The hash as 64 hex digits.
mod hex {
    use super::{BlobHash, Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &BlobHash, s: S) -> Result<S::Ok, S::Error> {
        let text: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        s.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BlobHash, D::Error> {
        let text = String::deserialize(d)?;
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(|nth| byte(2 * nth)).collect();
        let hash = bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok());
        hash.ok_or_else(|| serde::de::Error::custom("no SHA-256 in hex"))
    }
}
