//! What a claimed message becomes before it is called: a call, or the answer it gets instead of one. Calls nobody.

use super::Pace;
use crate::media::may_name;
use crate::node::Link;
use crate::wire::{Parcel, pair_key};
use kabar_engine::cause::Cause;
use kabar_engine::health::TemplateName;
use kabar_engine::id::MessageId;
use kabar_engine::outgoing::{Outgoing, Reason, Reference, SendError};
use kabar_engine::pacing::Throttle;
use kabar_engine::time::Timestamp;

/// A claimed message; what it is answered instead of a call when its template is held or this recipient got too many in a
/// short time.
pub(super) fn parcel(outgoing: Outgoing, pace: &mut Pace, now: Timestamp) -> Option<Parcel<MessageId>> {
    let Reference::Message(key) = outgoing.reference else { return None };
    let instead = template_held(&outgoing, &pace.link, now).or_else(|| {
        let limits = pace.link.session.pair_limit;
        let until = limits.then(|| pace.pairs.check(now, pair_key(&outgoing)).err()).flatten()?;
        Some(SendError::too_early(u64::try_from(until.since_ms(now)).unwrap_or(1).max(1)))
    });
    let dressed = may_name(&outgoing.content);
    Some(Parcel { key, message: Some(key), outgoing, dressed, marketing: false, instead })
}

/// What a message is answered whose template the provider holds.
fn template_held(outgoing: &Outgoing, link: &Link, now: Timestamp) -> Option<SendError> {
    let until = link.health.holds(&TemplateName::of(&outgoing.content)?, now)?;
    let after_ms = until.and_then(|until| u64::try_from(until.since_ms(now)).ok()).unwrap_or(0);
    let reason = Reason { cause: Cause::TEMPLATE_PAUSED, detail: String::new(), trace: None };
    Some(SendError::Held { throttle: Throttle::Template, after_ms, reason })
}
