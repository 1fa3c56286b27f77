//! A subscription as it is shown: without its secret, but in the answer that made it.

use crate::openapi::shapes;
use crate::page::Time;
use kabar_engine::id::{SessionId, WebhookId};
use kabar_engine::subscription::{BACKLOG, Envelope};
use kabar_schema::records::{Standing, Subscription, WhyDisabled};
use serde::Serialize;
use utoipa::ToSchema;

/// A subscription.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::WebhookId)]
    id: WebhookId,
    url: String,
    /// In whose words it is told.
    #[schema(value_type = shapes::Envelope)]
    envelope: Envelope,
    /// Null: all.
    #[schema(value_type = Option<Vec<shapes::EventType>>)]
    types: Option<Vec<String>>,
    /// Null: all events, also those of no number.
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    sessions: Option<Vec<SessionId>>,
    enabled: bool,
    /// Why it is not enabled.
    #[schema(value_type = Option<shapes::WhyDisabled>)]
    disabled: Option<&'static str>,
    /// When it was last enabled or disabled.
    switched: Time,
    /// Until then deliveries are signed with a replaced secret as well.
    old_secrets_until: Option<Time>,
    created: Time,
}

impl From<Subscription> for Shown {
    fn from(record: Subscription) -> Self {
        let disabled = record.disabled.map(|why| match why {
            WhyDisabled::Asked => "asked",
            WhyDisabled::Failing => "failing",
        });
        Self {
            id: record.id,
            url: record.url,
            envelope: record.envelope,
            types: record.types,
            sessions: record.sessions,
            enabled: disabled.is_none(),
            disabled,
            switched: Time(record.switched),
            old_secrets_until: record.old_secrets.iter().map(|old| old.until).max().map(Time),
            created: Time(record.created),
        }
    }
}

/// A subscription with its secret, which is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeWebhook)]
pub(crate) struct Made {
    #[serde(flatten)]
    pub(super) webhook: Shown,
    /// What signs, as the Standard Webhooks libraries take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub(super) secret: Option<String>,
}

/// A subscription and where its deliveries stand, as it was written down within the last second or two.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookStanding)]
pub(crate) struct Stands {
    #[serde(flatten)]
    webhook: Shown,
    /// Events that were read and are not delivered yet.
    #[schema(minimum = 0)]
    waiting: usize,
    /// Whether as many wait as may; what comes is read when some have ended.
    full: bool,
    /// Since when no delivery succeeds.
    failing_since: Option<Time>,
    /// Events before this moment were dropped undelivered: it was off or full for longer than events are kept.
    missed_before: Option<Time>,
}

impl Stands {
    pub(super) fn of(record: Subscription, standing: Option<Standing>) -> Self {
        let waiting = standing.as_ref().map_or(0, |standing| standing.waiting.len());
        let failing = standing.as_ref().and_then(|standing| standing.failing);
        Self {
            webhook: record.into(),
            waiting,
            full: waiting >= BACKLOG,
            failing_since: failing.map(|(since, _)| Time(since)),
            missed_before: standing.and_then(|standing| standing.missed).map(Time),
        }
    }
}
