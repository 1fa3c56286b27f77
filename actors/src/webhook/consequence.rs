//! What a failed status asks for beside its message, which has failed: a person who has had enough marketing rests, and a copy of
//! media that could not be used is forgotten. Not what is held because of it: that is [`super::trouble`]'s. A repeat of the
//! status asks for the same again and finds it done, so that a crash in between loses nothing.

use crate::dispatcher::DispatchError;
use crate::node::{Link, Node};
use crate::shard::DoorError;
use futures::stream::{self, StreamExt, TryStreamExt};
use kabar_connectors::cloud::InboundStatus;
use kabar_engine::cause::Cause;
use kabar_engine::health::TemplateName;
use kabar_engine::id::MessageId;
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::Key;
use kabar_engine::part::part_of;
use kabar_engine::time::{DAY_MS, Timestamp};
use std::sync::Arc;

/// Meta could not fetch what a message links to, or not use what it names.
const MEDIA: [Cause; 2] = [Cause(131_052), Cause::MEDIA_UPLOAD];
/// Of media nothing older is worth a look: the provider has forgotten the copy itself.
const MEDIA_MS: i64 = 30 * DAY_MS;
/// Messages that are looked up at the same time.
const AT_ONCE: usize = 8;

/// A failure that is about more than its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failure {
    of: Reference,
    cause: Cause,
    at: Timestamp,
}

impl Failure {
    pub(super) fn of(status: &InboundStatus, now: Timestamp) -> Option<Self> {
        let (cause, of, at) = (status.cause?, status.reference?, status.at);
        let lasts = match cause {
            Cause::ENOUGH_MARKETING => DAY_MS,
            cause if MEDIA.contains(&cause) => MEDIA_MS,
            _ => return None,
        };
        (now.since_ms(at) < lasts).then_some(Self { of, cause, at })
    }
}

/// Does what they ask for; when it returns it is durable.
pub(super) async fn follow(node: &Arc<Node>, link: &Link, failures: Vec<Failure>) -> Result<(), DoorError> {
    let each = failures.into_iter().map(|failure| one(node, link, failure));
    stream::iter(each).buffer_unordered(AT_ONCE).try_collect().await
}

async fn one(node: &Arc<Node>, link: &Link, failure: Failure) -> Result<(), DoorError> {
    let (tenant, session) = (link.session.tenant, link.session.id);
    let Some(id) = message(node, link, failure.of).await? else { return Ok(()) };
    let found = node.dispatcher().message(tenant, id).await.map_err(|error| match error {
        DispatchError::Refused(refusal) => DoorError::Refused(refusal),
        _ => DoorError::Unavailable,
    })?;
    let Some(row) = found.map(|view| view.row).filter(|row| row.session == session) else { return Ok(()) };
    if failure.cause == Cause::ENOUGH_MARKETING {
        let template = row.content.as_deref().and_then(TemplateName::of);
        let person = (&row.address, template.as_ref());
        return Ok(node.rests.note(node, tenant, person, failure.at).await?);
    }
    for named in row.content.iter().flat_map(|content| content.media_uses()) {
        if let Ok(media) = named.id.parse() {
            node.media().copies.suspect(node, link, media, failure.at).await;
        }
    }
    Ok(())
}

/// The message a reference names.
async fn message(node: &Arc<Node>, link: &Link, of: Reference) -> Result<Option<MessageId>, DoorError> {
    let (campaign, index) = match of {
        Reference::Message(id) => return Ok(Some(id)),
        Reference::Campaign(campaign, index) => (campaign, index),
    };
    let (tenant, part) = (link.session.tenant, part_of(index));
    let shard = node.shard_of_session(tenant, link.session.id);
    let row = shard.read(&[Key::Part(campaign, part)], move |overlay| overlay.part(campaign, part)).await?;
    Ok(row.filter(|row| row.tenant == tenant).and_then(|row| row.message(index)))
}
