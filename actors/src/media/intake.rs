//! A file on its way in: looked at by its first bytes, streamed into the store, and known by the hash of what came.
//! Not where it comes from.

use super::MediaError;
use crate::node::Node;
use bytes::Bytes;
use futures::stream::{BoxStream, Fuse};
use futures::{StreamExt, TryStreamExt};
use kabar_engine::id::TenantId;
use kabar_engine::media::{HEAD, Look, MediaKind, Unfit, canonical, look};
use kabar_engine::time::Timestamp;
use kabar_schema::StoreError;
use kabar_schema::records::{Media, MediaOrigin};
use parking_lot::Mutex;
use std::sync::Arc;

/// A file's bytes on their way in.
pub type Source<'a> = BoxStream<'a, Result<Bytes, SourceError>>;

/// Why a file did not come whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// More bytes than may come at all.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// It broke off; what is known of why.
    #[error("it broke off: {0}")]
    Broken(String),
    /// It is not the file whose hash was said.
    #[error("its bytes have another SHA-256 than was said")]
    OtherHash,
}

/// What is said of a file.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its type.
    pub mime: Option<String>,
    /// What it is called.
    pub filename: Option<String>,
    /// What it shall be good for.
    pub kind: Option<MediaKind>,
    /// How it comes here.
    pub origin: MediaOrigin,
    /// The hash its bytes must have.
    pub sha256: Option<[u8; 32]>,
}

impl Wanted {
    /// Nothing but how it comes here.
    #[must_use]
    pub fn from(origin: MediaOrigin) -> Self {
        Self { mime: None, filename: None, kind: None, origin, sha256: None }
    }
}

/// A file that is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its record.
    pub media: Media,
    /// Whether it was not here before.
    pub fresh: bool,
}

/// Takes in a file. The same bytes of a tenant are one file, called as they were first.
pub(super) async fn keep(
    node: &Arc<Node>,
    tenant: TenantId,
    source: Source<'_>,
    wanted: Wanted,
) -> Result<Kept, MediaError> {
    // A short file ends before its head does, and is asked once more then.
    let mut source = source.fuse();
    let head = head_of(&mut source).await?;
    let seen = judge(&head, &wanted)?;
    let limit = match wanted.origin {
        MediaOrigin::Received => MediaKind::BYTES_MAX,
        _ => seen.kind.bytes_max(seen.animated),
    };
    // The store's seam knows no errors of sources: the last one is kept beside it.
    let (broken, came) = (Mutex::new(None), Mutex::new(0_u64));
    let content = futures::stream::iter(head.into_iter().map(Ok)).chain(source).map(|piece| {
        let piece = piece.map_err(|error| {
            *broken.lock() = Some(error);
            StoreError::Unavailable
        })?;
        *came.lock() += piece.len() as u64;
        Ok(piece)
    });
    node.store().keyring.ensure(tenant).await?;
    let put = node.store().blobs.put(tenant, content.boxed(), limit).await;
    let blob = match put {
        Ok(blob) => blob,
        Err(error) => {
            let (broken, bytes) = (broken.into_inner(), came.into_inner());
            return Err(match broken {
                Some(error) => error.into(),
                None if bytes > limit => Unfit::Size { kind: seen.kind, limit, bytes }.into(),
                None => error.into(),
            });
        }
    };
    let other = wanted.sha256.is_some_and(|hash| hash != blob.hash);
    let media = Media {
        tenant,
        sha256: blob.hash,
        bytes: blob.bytes,
        mime: seen.mime,
        kind: seen.kind,
        animated: seen.animated,
        filename: wanted.filename.as_deref().and_then(called),
        origin: wanted.origin,
        created: Timestamp(node.clock().now_ms()),
    };
    if other {
        discard(node, &media).await?;
        return Err(SourceError::OtherHash.into());
    }
    name(node, media).await
}

/// Gives bytes that are stored their record, unless they have one.
async fn name(node: &Node, media: Media) -> Result<Kept, MediaError> {
    let (store, id) = (node.store(), media.media_id());
    let _turn = node.media().turn(id).await;
    // They may have been deleted since they were written, by somebody who had them before.
    if store.blobs.get(media.tenant, media.sha256).await?.is_none() {
        return Err(StoreError::Conflict.into());
    }
    match store.nouns.create(&media).await {
        Ok(()) => Ok(Kept { media, fresh: true }),
        Err(StoreError::Conflict) => {
            let known = store.nouns.get::<Media>(media.tenant, id.0).await?.ok_or(StoreError::Conflict)?.noun;
            if known.sha256 == media.sha256 {
                Ok(Kept { media: known, fresh: false })
            } else {
                Err(StoreError::Conflict.into())
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes back bytes that shall not be kept, unless a file has the same.
async fn discard(node: &Node, media: &Media) -> Result<(), StoreError> {
    let (store, id) = (node.store(), media.media_id());
    let _turn = node.media().turn(id).await;
    if store.nouns.get::<Media>(media.tenant, id.0).await?.is_none() {
        store.blobs.delete(media.tenant, media.sha256).await?;
    }
    Ok(())
}

/// The first pieces: as many bytes as show what it is, or all there are.
async fn head_of(source: &mut Fuse<Source<'_>>) -> Result<Vec<Bytes>, SourceError> {
    let (mut head, mut length) = (Vec::new(), 0);
    while length < HEAD {
        let Some(piece) = source.try_next().await? else { break };
        length += piece.len();
        head.push(piece);
    }
    Ok(head)
}

/// What the file is. A received one is kept whatever it is: somebody else has judged it already.
fn judge(head: &[Bytes], wanted: &Wanted) -> Result<Look, Unfit> {
    let first: Vec<u8> = head.iter().flatten().copied().take(HEAD).collect();
    let seen = look(&first, wanted.mime.as_deref(), wanted.filename.as_deref());
    if wanted.origin == MediaOrigin::Received {
        let kind = wanted.kind.unwrap_or(MediaKind::Document);
        let said = wanted.mime.as_deref().map(canonical).filter(|mime| !mime.is_empty());
        let mime = said.unwrap_or_else(|| "application/octet-stream".to_owned());
        let animated = seen.is_ok_and(|seen| seen.animated);
        return Ok(Look { mime, kind, animated });
    }
    let seen = seen?;
    if let Some(kind) = wanted.kind {
        kind.takes(&seen.mime, 0, seen.animated)?;
    }
    Ok(seen)
}

/// A name without the folders some programs send along.
fn called(name: &str) -> Option<String> {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).take(Media::FILENAME_MAX).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_and_no_path() {
        assert_eq!(called("C:\\pics\\a b.jpg").as_deref(), Some("a b.jpg"));
        assert_eq!(called("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(called("a\r\nb").as_deref(), Some("ab"));
        assert_eq!((called(""), called("x/")), (None, None));
    }
}
