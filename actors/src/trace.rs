//! What is told of single messages to logs and traces: one vocabulary of events, ids only. No numbers of people and no
//! bodies; what becomes of the events (lines, spans, nothing) is decided by who listens.
//!
//! Fields: `message_id`, `session`, `campaign`, `index`, `shard`, and what the event is about. `message` itself is the
//! event's name.

use crate::node::Node;
use crate::wire::Told;
use kabar_engine::cause::Cause;
use kabar_engine::entry::StatusReport;
use kabar_engine::id::{CampaignId, MessageId, SessionId, ShardId};
use kabar_engine::outgoing::{Reference, SendError};
use kabar_engine::part::part_of;
use std::time::Duration;
use tracing::Level;

/// The target of every event of a message.
pub const TARGET: &str = "kabar::message";

/// Whether anybody listens: what costs a look is left out otherwise.
pub(crate) fn is_heard() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

/// A message is durable; told within its request, so that the two stand in one line.
pub(crate) fn accepted(message: MessageId, session: SessionId, replayed: bool) {
    let shard = message.shard().0;
    tracing::debug!(target: TARGET, message_id = %message, %session, shard, replayed, "accepted");
}

/// A claim is durable: the message goes on the wire.
pub(crate) fn claimed(message: Option<MessageId>, session: SessionId, reference: Reference) {
    if !is_heard() {
        return;
    }
    let (campaign, index) = of(reference);
    let (message, shard) = (said(message), message.map(|id| id.shard().0));
    tracing::debug!(target: TARGET, message_id = message, %session, campaign, index, shard, "claimed");
}

/// A call to the provider is over.
pub(crate) fn called(
    message: Option<MessageId>,
    session: SessionId,
    reference: Reference,
    (told, took): (&Told, Duration),
) {
    if !is_heard() {
        return;
    }
    let (campaign, index) = of(reference);
    let (outcome, cause) = match told {
        Ok(_) => ("accepted", None),
        Err(SendError::Rejected(reason)) => ("rejected", Some(reason.cause.number())),
        Err(SendError::RetryAfter { cause, .. }) => ("retry", Some(cause.number())),
        Err(SendError::Held { reason, .. }) => ("held", Some(reason.cause.number())),
        Err(SendError::LinkLost(reason)) => ("link_lost", Some(reason.cause.number())),
        Err(SendError::Ambiguous) => ("ambiguous", None),
    };
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let (message, shard) = (said(message), message.map(|id| id.shard().0));
    tracing::debug!(
        target: TARGET, message_id = message, %session, campaign, index, shard, outcome, cause, took_us, "called"
    );
}

/// The provider's reports are durable.
pub(crate) fn reported(node: &Node, shard: ShardId, session: SessionId, reports: &[StatusReport<Reference>]) {
    if !is_heard() {
        return;
    }
    for report in reports {
        let message = match report.of {
            Reference::Message(id) => Some(id),
            Reference::Campaign(campaign, index) => recipient(node, shard, campaign, index),
        };
        let (campaign, index) = of(report.of);
        let (status, cause) = (report.status, report.cause.map(Cause::number));
        let (message, shard) = (said(message), shard.0);
        tracing::debug!(
            target: TARGET, message_id = message, %session, campaign, index, shard, ?status, cause, "status"
        );
    }
}

/// A recipient's message, when its part is in memory.
pub(crate) fn recipient(node: &Node, shard: ShardId, campaign: CampaignId, index: u32) -> Option<MessageId> {
    node.shard(shard).peek(|o| o.part(campaign, part_of(index))).and_then(|part| part.message(index))
}

fn said(message: Option<MessageId>) -> Option<String> {
    message.map(|id| id.to_string())
}

fn of(reference: Reference) -> (Option<String>, Option<u32>) {
    match reference {
        Reference::Message(_) => (None, None),
        Reference::Campaign(campaign, index) => (Some(campaign.to_string()), Some(index)),
    }
}
