//! A session as it is shown: what the tenant said, how it does now, what Meta said of its number. Never its token.

use super::health;
use crate::openapi::shapes;
use crate::page::Time;
use crate::problem::Problem;
use crate::routes::app::AppId;
use crate::state::ApiState;
use kabar_actors::view::SessionView;
use kabar_engine::health::Health;
use kabar_engine::id::SessionId;
use kabar_schema::records::{AsOf, Newest, Number, Session};
use serde::Serialize;
use utoipa::ToSchema;

/// A session as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::SessionId)]
    id: SessionId,
    name: String,
    #[schema(value_type = shapes::AppId)]
    app: AppId,
    phone_number_id: String,
    display_phone_number: String,
    api_version: String,
    messages_per_second: u32,
    pair_limit: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_url: Option<String>,
    created: Time,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    number: Option<AtMeta>,
    /// How it does in WhatsApp's eyes; told of a session that is read alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<health::Shown>,
}

/// What is known of it at Meta; told of a session that is read alone.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionAtMeta)]
struct AtMeta {
    /// Meta's id of the WhatsApp Business Account the number is of, when it is known.
    waba_id: Option<String>,
    /// When the token was last seen to work for the number; null: never.
    validated: Option<Time>,
    /// When the token ends; null: never, or Meta did not tell.
    token_expires: Option<Time>,
    /// The name people see.
    verified_name: Option<String>,
    /// GREEN, YELLOW, RED or NA: as the last look or a later webhook said.
    quality: Option<String>,
    quality_at: Option<Time>,
    /// STANDARD, HIGH, likewise.
    throughput: Option<String>,
    throughput_at: Option<Time>,
    /// How many people may be written to first within 24 hours: TIER_250 … TIER_UNLIMITED, likewise.
    tier: Option<String>,
    tier_at: Option<Time>,
    /// CONNECTED, FLAGGED, RESTRICTED ….
    number_status: Option<String>,
    /// The last look after `validated`, when it failed.
    failed: Option<Failed>,
}

/// A look at Meta that failed.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionLookFailed)]
struct Failed {
    at: Time,
    /// The code of the problem, e.g. token_refused.
    why: String,
    /// Meta's words.
    detail: String,
    trace: Option<String>,
}

impl AtMeta {
    fn of(number: &Number, health: &Health) -> Self {
        let Newest { quality, throughput, tier } = number.newest(health);
        let told = |word: Option<AsOf>| word.map(|word| (word.value, Time(word.at))).unzip();
        let ((quality, quality_at), (throughput, throughput_at), (tier, tier_at)) =
            (told(quality), told(throughput), told(tier));
        let failed = number.failed.clone().map(|failed| Failed {
            at: Time(failed.at),
            why: failed.why,
            detail: failed.detail,
            trace: failed.trace,
        });
        Self {
            waba_id: number.waba_id.clone(),
            validated: number.validated.map(Time),
            token_expires: number.token_expires.map(Time),
            verified_name: number.verified_name.clone(),
            quality,
            quality_at,
            throughput,
            throughput_at,
            tier,
            tier_at,
            number_status: number.status.clone(),
            failed,
        }
    }
}

impl Shown {
    /// With how it does now and what is known of it at Meta.
    pub(crate) async fn of(state: &ApiState, session: Session) -> Result<Self, Problem> {
        let (tenant, id, created) = (session.tenant, session.id, session.created);
        let live = state.dispatcher.session(tenant, id).await?.map(Live::from);
        let number = state.dispatcher.number(tenant, id).await?;
        let unknown = Number::unknown(tenant, id, created);
        let health = state.node.health(tenant, id).await?;
        let number = Some(AtMeta::of(number.as_deref().unwrap_or(&unknown), &health));
        let health = Some(health.into());
        Ok(Self { live, number, health, ..session.into() })
    }
}

/// How it does now.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionNow)]
struct Live {
    #[schema(value_type = shapes::SessionState)]
    state: &'static str,
    outbox: usize,
    paused_until: Option<Time>,
    last_success: Option<Time>,
}

impl From<SessionView> for Live {
    fn from(view: SessionView) -> Self {
        Self {
            state: view.state,
            outbox: view.outbox,
            paused_until: view.paused_until.map(Time),
            last_success: view.last_success.map(Time),
        }
    }
}

impl From<Session> for Shown {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            name: session.name,
            app: AppId(session.app),
            phone_number_id: session.phone_number_id,
            display_phone_number: session.display_phone_number,
            api_version: session.api_version,
            messages_per_second: session.messages_per_second,
            pair_limit: session.pair_limit,
            base_url: session.base_url,
            created: Time(session.created),
            live: None,
            number: None,
            health: None,
        }
    }
}
