//! Media at the front door: taken in, shown, given out, deleted, and checked where a message names it.

use super::Dispatcher;
use crate::media::{self, Kept, MediaError, MisuseError, Opened, Source, Wanted};
use bytes::Bytes;
use kabar_engine::content::Content;
use kabar_engine::id::{MediaId, TenantId};
use kabar_schema::StoreError;
use kabar_schema::records::{Media, MediaCopy};

/// Numbers that a file is shown to be uploaded for.
const COPIES: usize = 100;

impl Dispatcher {
    /// Keeps a file; the same bytes of a tenant are one. When this answers it is durable.
    ///
    /// # Errors
    /// [`MediaError`]; nothing is kept then.
    pub async fn keep_media(
        &self,
        tenant: TenantId,
        source: Source<'_>,
        wanted: Wanted,
    ) -> Result<Kept, MediaError> {
        media::keep(&self.0, tenant, source, wanted).await
    }

    /// The same for bytes that are here.
    ///
    /// # Errors
    /// As for a file that comes.
    pub async fn keep_media_bytes(
        &self,
        tenant: TenantId,
        bytes: Bytes,
        wanted: Wanted,
    ) -> Result<Kept, MediaError> {
        media::keep(&self.0, tenant, media::whole(bytes), wanted).await
    }

    /// Keeps what a link leads to: fetched through the guard.
    ///
    /// # Errors
    /// As for a file that comes; `Link` when there is none.
    pub async fn keep_media_link(
        &self,
        tenant: TenantId,
        url: &str,
        wanted: Wanted,
    ) -> Result<Kept, MediaError> {
        media::keep_link(&self.0, tenant, url, wanted).await
    }

    /// What is known of a file, and which numbers' providers have it.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn media(
        &self,
        tenant: TenantId,
        id: MediaId,
    ) -> Result<Option<(Media, Vec<MediaCopy>)>, StoreError> {
        let Some(media) = media::find(&self.0, tenant, id).await? else { return Ok(None) };
        let word = id.to_string();
        let index = Some((MediaCopy::MEDIA, word.as_str()));
        let copies = self.0.store().nouns.page::<MediaCopy>(tenant, index, None, COPIES).await?;
        Ok(Some((media, copies.into_iter().map(|copy| copy.noun).collect())))
    }

    /// A file's bytes.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn media_content(&self, tenant: TenantId, id: MediaId) -> Result<Option<Opened>, StoreError> {
        media::open(&self.0, tenant, id).await
    }

    /// Deletes a file; whether there was one. Messages that name it and have not left yet fail.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn delete_media(&self, tenant: TenantId, id: MediaId) -> Result<bool, StoreError> {
        media::delete(&self.0, tenant, id).await
    }

    /// Whether a message may have the media it names: it is there, it is the tenant's, and it is of the kind.
    ///
    /// # Errors
    /// [`MisuseError`], naming the place.
    pub async fn media_fits(&self, tenant: TenantId, content: &Content) -> Result<(), MisuseError> {
        media::fits(&self.0, tenant, content).await
    }
}
