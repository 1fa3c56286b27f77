//! Media of tenants: taken in and kept once, and uploaded to a provider once for each number, however many messages
//! need it. Not what a kind may be (the engine's), not the calls (the connectors').

mod copies;
mod dressed;
mod intake;
mod link;
pub(crate) mod received;

pub(crate) use copies::Copies;
pub(crate) use dressed::{dress, may_name};
pub use intake::{Kept, Source, SourceError, Wanted};
pub use link::LinkError;

use crate::node::Node;
use bytes::Bytes;
use kabar_connectors::client::{Client, Guard, Limits};
use kabar_engine::content::{Content, MediaUse};
use kabar_engine::id::{MediaId, TenantId};
use kabar_engine::media::Unfit;
use kabar_schema::StoreError;
use kabar_schema::blobs::Content as Bytestream;
use kabar_schema::records::Media;
use received::Received;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// Files of which one at a time is made or deleted.
const TURNS: usize = 64;

/// Why a file was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// It is not what WhatsApp takes.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It did not come whole.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its link leads to no file.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// What the store could not do.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a message cannot have the media it names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MisuseError {
    /// There is no such media of this tenant.
    #[error("`{0}`: there is no such media")]
    Unknown(String),
    /// It is not what the message makes of it.
    #[error("`{path}`: {why}")]
    Unfit {
        /// Where it stands.
        path: String,
        /// Why not.
        why: Unfit,
    },
    /// What the store could not do.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file's bytes with what is known of it.
pub struct Opened {
    /// The record.
    pub media: Media,
    /// The bytes as they come.
    pub bytes: Bytestream<'static>,
}

/// What a node has in hand of media.
pub(crate) struct Shelf {
    turns: Vec<Mutex<()>>,
    fetcher: Client,
    pub(crate) copies: Copies,
    pub(crate) received: Received,
}

impl Shelf {
    pub(crate) fn new(guard: Guard) -> Self {
        let limits = Limits { idle_per_host: 4, ..Limits::default() };
        Self {
            turns: (0..TURNS).map(|_| Mutex::default()).collect(),
            fetcher: Client::new(limits, guard),
            copies: Copies::default(),
            received: Received::default(),
        }
    }

    /// Held while a file's record and its bytes are made or deleted together.
    async fn turn(&self, media: MediaId) -> MutexGuard<'_, ()> {
        let place = usize::try_from(media.0 % TURNS as u64).expect("invariant: below TURNS");
        self.turns[place].lock().await
    }
}

/// The media that an id of ours names.
fn ours(id: &str) -> Option<MediaId> {
    id.parse().ok()
}

/// Whether an id names media of ours.
pub(crate) fn is_ours(id: &str) -> bool {
    id.starts_with(MediaId::PREFIX) && ours(id).is_some()
}

/// A tenant's media.
pub(crate) async fn find(node: &Node, tenant: TenantId, id: MediaId) -> Result<Option<Media>, StoreError> {
    Ok(node.store().nouns.get::<Media>(tenant, id.0).await?.map(|found| found.noun))
}

/// Whether a message may name the media it names: there, the tenant's, and of the kind.
pub(crate) async fn fits(node: &Node, tenant: TenantId, content: &Content) -> Result<(), MisuseError> {
    if !content.has_media_id(|id| id.starts_with("med_")) {
        return Ok(());
    }
    for MediaUse { path, kind, id } in content.media_uses() {
        // A pattern is looked at when it has become an id.
        if !id.starts_with("med_") || id.contains("{{") {
            continue;
        }
        let Some(id) = ours(&id) else { return Err(MisuseError::Unknown(path)) };
        let Some(media) = find(node, tenant, id).await? else { return Err(MisuseError::Unknown(path)) };
        kind.takes(&media.mime, media.bytes, media.animated)
            .map_err(|why| MisuseError::Unfit { path, why })?;
    }
    Ok(())
}

/// Takes in what a caller sent.
pub(crate) async fn keep(
    node: &Arc<Node>,
    tenant: TenantId,
    source: Source<'_>,
    wanted: Wanted,
) -> Result<Kept, MediaError> {
    intake::keep(node, tenant, source, wanted).await
}

/// Takes in what a link leads to.
pub(crate) async fn keep_link(
    node: &Arc<Node>,
    tenant: TenantId,
    url: &str,
    wanted: Wanted,
) -> Result<Kept, MediaError> {
    let (source, wanted) = link::open(&node.media().fetcher, &node.options().guard, url, wanted).await?;
    intake::keep(node, tenant, source, wanted).await
}

/// A file's bytes.
pub(crate) async fn open(node: &Node, tenant: TenantId, id: MediaId) -> Result<Option<Opened>, StoreError> {
    let Some(media) = find(node, tenant, id).await? else { return Ok(None) };
    node.store().keyring.ensure(tenant).await?;
    let bytes = node.store().blobs.get(tenant, media.sha256).await?;
    Ok(bytes.map(|bytes| Opened { media, bytes }))
}

/// Deletes a file: what names it and has not left yet fails then.
pub(crate) async fn delete(node: &Node, tenant: TenantId, id: MediaId) -> Result<bool, StoreError> {
    let _turn = node.media().turn(id).await;
    let nouns = &node.store().nouns;
    let Some(found) = nouns.get::<Media>(tenant, id.0).await? else { return Ok(false) };
    nouns.delete::<Media>(tenant, id.0, found.version).await?;
    // A crash here leaves bytes that no record names; the same file, sent again, is theirs.
    node.store().blobs.delete(tenant, found.noun.sha256).await?;
    node.media().copies.forget_all(node, tenant, id).await;
    Ok(true)
}

/// Bytes that are here, as a source.
pub(crate) fn whole(bytes: Bytes) -> Source<'static> {
    Box::pin(futures::stream::iter([Ok(bytes)]))
}
