//! A message that names our media, as the provider is to see it: with the provider's ids. Made right before the call,
//! and once more when the provider does not know one of them.

use super::copies::Here;
use super::{is_ours, ours};
use crate::node::{Link, Node};
use crate::wire::Told;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_engine::outgoing::{Outgoing, Reason, SendError};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// Meta's codes under which it refuses a media id, beside those of any other wrong value.
const DOUBTFUL: [Cause; 3] = [Cause(100), Cause(131_009), Cause::MEDIA_UPLOAD];

/// What a message was dressed in.
pub(crate) struct Refit {
    link: Arc<Link>,
    worn: BTreeMap<MediaId, Here>,
}

/// The message with the provider's ids in the place of ours.
///
/// # Errors
/// [`SendError`], never ambiguous: the message was not sent.
pub(crate) async fn dress(
    node: &Arc<Node>,
    (tenant, session): (TenantId, SessionId),
    plain: &Outgoing,
) -> Result<(Outgoing, Refit), SendError> {
    let link = node.link(tenant, session).await.ok_or_else(SendError::link_lost)?;
    let mut worn = BTreeMap::new();
    for name in plain.content.media_uses() {
        let Some(media) = ours(&name.id) else { continue };
        if let Entry::Vacant(place) = worn.entry(media) {
            place.insert(node.media().copies.of(node, &link, media).await?);
        }
    }
    let other = |id: &str| Some(worn.get(&ours(id)?)?.id.to_string());
    let content = Arc::new(plain.content.with_media_ids(&other));
    Ok((Outgoing { content, ..plain.clone() }, Refit { link, worn }))
}

impl Refit {
    /// Whether the message is worth another try in other clothes: it was certainly not accepted, because of its media,
    /// and a copy of it was old enough to be doubted.
    pub(crate) async fn is_outworn(&self, node: &Arc<Node>, told: &Told) -> bool {
        let Err(SendError::Rejected(reason)) = told else { return false };
        if !self.is_about_media(reason) {
            return false;
        }
        let mut again = false;
        for (media, here) in &self.worn {
            again |= node.media().copies.doubt(node, &self.link, *media, here).await;
        }
        again
    }

    /// Code 100 is for any wrong field: its words must be about media.
    fn is_about_media(&self, reason: &Reason) -> bool {
        let words = reason.detail.to_lowercase();
        let named = || self.worn.values().any(|here| reason.detail.contains(&*here.id));
        DOUBTFUL.contains(&reason.cause) && (reason.cause != Cause(100) || words.contains("media") || named())
    }
}

/// Whether a content, or what becomes of a pattern, may name media of ours: asked once for each content.
pub(crate) fn may_name(content: &Content) -> bool {
    content.has_media_id(|id| is_ours(id) || id.contains("{{"))
}
