//! What a webhook's failures say of more than their message: the account or the template is held, the number is too fast. Not
//! the messages themselves, which have failed.

use crate::node::Node;
use crate::session;
use kabar_connectors::cloud::{InboundStatus, NumberError, aftermath};
use kabar_engine::health::{TemplateName, Trouble};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::outgoing::Reference;
use kabar_engine::pacing::Throttle;
use kabar_engine::time::{MINUTE_MS, Timestamp};
use kabar_schema::records::Campaign;
use std::sync::Arc;

/// A failure that is older says nothing of now: the provider repeats webhooks for days.
const FRESH_MS: i64 = 5 * MINUTE_MS;
/// Troubles of one body that are looked at: they are much the same.
const MOST: usize = 8;

/// An error of a number that belongs to no message.
pub(super) fn of_number(error: &NumberError) -> Trouble {
    let detail = error.detail.clone().unwrap_or_default();
    Trouble { holds: aftermath(error.cause), cause: error.cause, detail, template: None }
}

/// What a failed status says beside its message.
pub(super) fn of_status(status: &InboundStatus, now: Timestamp) -> Option<(Trouble, Option<Reference>)> {
    let cause = status.cause?;
    let unknown = cause.is_provider() && !cause.is_known();
    let holds = aftermath(cause);
    if (holds.is_none() && !unknown) || now.since_ms(status.at) > FRESH_MS {
        return None;
    }
    let detail = status.detail.clone().unwrap_or_default();
    Some((Trouble { holds, cause, detail, template: None }, status.reference))
}

/// Notes each once, and tells the number's actor.
pub(super) async fn meet(
    node: &Arc<Node>,
    (tenant, session): (TenantId, SessionId),
    mut troubles: Vec<(Trouble, Option<Reference>)>,
) {
    troubles.dedup_by_key(|(trouble, reference)| (trouble.cause, campaign(*reference)));
    for (mut trouble, reference) in troubles.into_iter().take(MOST) {
        if trouble.holds == Some(Throttle::Template) {
            trouble.template = template(node, tenant, reference).await;
        }
        node.note(tenant, session, &trouble).await;
        if let (Some(throttle), Some(actor)) = (trouble.holds, node.live_session(session)) {
            let _ended = actor.force(session::Message::Throttled(throttle));
        }
    }
}

fn campaign(reference: Option<Reference>) -> Option<kabar_engine::id::CampaignId> {
    match reference {
        Some(Reference::Campaign(campaign, _)) => Some(campaign),
        _ => None,
    }
}

/// The template of the message that failed.
async fn template(node: &Arc<Node>, tenant: TenantId, reference: Option<Reference>) -> Option<TemplateName> {
    match reference? {
        Reference::Campaign(campaign, _) => {
            let spec = node.store().nouns.get::<Campaign>(tenant, campaign.0).await.ok()??.noun;
            TemplateName::of(&spec.content)
        }
        Reference::Message(id) => {
            let view = node.dispatcher().message(tenant, id).await.ok()??;
            TemplateName::of(view.row.content.as_deref()?)
        }
    }
}
