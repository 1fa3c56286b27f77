//! Campaigns made from others: a clone says and asks the same once more, a retry goes to those the other did not reach.
//! Both are drafts with the other as their origin.

use super::shown::Shown;
use super::wanted::senders;
use super::{found, made};
use crate::auth::For;
use crate::body::{Id, Idempotent, Json};
use crate::openapi::shapes;
use crate::problem::{Code, Problem};
use crate::routes::name;
use crate::secret;
use crate::state::ApiState;
use axum::extract::State;
use axum::response::Response;
use kabar_actors::view::CampaignState;
use kabar_engine::audience::Audience;
use kabar_engine::cause::Cause;
use kabar_engine::id::{CampaignId, SessionId, TenantId};
use kabar_schema::records::{Campaign, Origin, Relation, Timing};
use serde::Deserialize;
use utoipa::ToSchema;

/// Causes one retry may name.
const CAUSES_MAX: usize = 100;

/// What is other in the clone.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = CampaignClone, example = json!({"name": "Promo, once more"}))]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cloned {
    /// Its name; the other's when not said.
    name: Option<String>,
    /// Its senders; the other's when not said.
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    senders: Option<Vec<SessionId>>,
}

/// Who is tried again.
#[derive(Deserialize, ToSchema)]
#[schema(as = CampaignRetry, example = json!({"statuses": ["failed", "expired"], "causes": [131026]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Retried {
    /// The campaign's name; the other's when not said.
    name: Option<String>,
    /// Its senders; the other's when not said.
    #[schema(value_type = Option<Vec<shapes::SessionId>>)]
    senders: Option<Vec<SessionId>>,
    /// Which recipients of the other; the failed ones when not said. Nobody whose outcome is unknown: they may have it.
    #[schema(min_items = 1)]
    statuses: Option<Vec<Unreached>>,
    /// Of the failed those with one of these causes (numbers); all when it names none.
    #[serde(default)]
    #[schema(max_items = 100)]
    causes: Vec<u32>,
}

/// How a recipient was not reached.
#[derive(Deserialize, PartialEq, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Unreached {
    /// Refused or undeliverable.
    Failed,
    /// Not sent in time.
    Expired,
}

/// `POST /v1/campaigns/{id}/clone`
#[utoipa::path(post, path = "/v1/campaigns/{id}/clone", tag = "campaigns", operation_id = "cloneCampaign", summary = "Make a draft that is the same once more",
    params(("id" = shapes::CampaignId, Path, description = "The campaign.")), request_body = Cloned,
    responses((status = 201, body = Shown, description = "A draft; its start is taken off if it is over.")),
    extensions(("x-problems" = json!(["unknown_reference"]))))]
pub(crate) async fn clone(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Id(id): Id<CampaignId>,
    body: Json<Cloned>,
) -> Result<Response, Problem> {
    let other = found(&state, &whom, id).await?;
    let hash = hash("clone", id, &body.hash());
    let Cloned { name, senders } = body.value;
    let audience = other.audience.clone();
    let change = Change { name, senders, audience, relation: Relation::Clone, hash };
    made(&state, &key, change.of(&state, (&whom, &key), other).await?).await
}

/// `POST /v1/campaigns/{id}/retry`
#[utoipa::path(post, path = "/v1/campaigns/{id}/retry", tag = "campaigns", operation_id = "retryCampaign", summary = "Make a draft for those the campaign did not reach",
    params(("id" = shapes::CampaignId, Path, description = "The campaign; it has ended.")), request_body = Retried,
    responses((status = 201, body = Shown, description = "A draft, linked to the campaign by its origin.")),
    extensions(("x-problems" = json!(["unknown_reference", "wrong_phase"]))))]
pub(crate) async fn retry(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Id(id): Id<CampaignId>,
    body: Json<Retried>,
) -> Result<Response, Problem> {
    let other = found(&state, &whom, id).await?;
    let view = state.dispatcher.standing(&other).await?;
    let hash = hash("retry", id, &body.hash());
    let Retried { name, senders, statuses, causes } = body.value;
    if causes.len() > CAUSES_MAX {
        return Err(Problem::invalid("causes", format!("at most {CAUSES_MAX} numbers")));
    }
    let statuses = statuses.unwrap_or_else(|| vec![Unreached::Failed]);
    if statuses.is_empty() {
        return Err(Problem::invalid("statuses", "`failed`, `expired` or both"));
    }
    let audience = Audience::Unreached {
        campaign: id,
        failed: statuses.contains(&Unreached::Failed),
        expired: statuses.contains(&Unreached::Expired),
        causes: causes.into_iter().map(Cause).collect(),
    };
    let change = Change { name, senders, audience, relation: Relation::Retry, hash };
    let linked = change.of(&state, (&whom, &key), other).await?;
    // Asked last: what names nothing is wrong in every phase.
    if !view.is_some_and(|v| matches!(v.state, CampaignState::Finished | CampaignState::Cancelled)) {
        let detail = "Only a campaign that has ended can be tried again.";
        return Err(Problem::new(Code::WrongPhase, detail));
    }
    if state.dispatcher.recipients(whom.tenant, id).await?.is_none() {
        let detail = "The campaign was cancelled before it had recipients.";
        return Err(Problem::new(Code::WrongPhase, detail));
    }
    made(&state, &key, linked).await
}

/// The same body for another campaign or another verb is another request.
fn hash(verb: &str, id: CampaignId, body: &str) -> String {
    secret::digest_hex(format!("{verb} {id} {body}").as_bytes())
}

/// What a linked campaign has of its own.
struct Change {
    name: Option<String>,
    senders: Option<Vec<SessionId>>,
    audience: Audience,
    relation: Relation,
    hash: String,
}

impl Change {
    async fn of(
        self,
        state: &ApiState,
        (whom, key): (&For, &Idempotent),
        other: Campaign,
    ) -> Result<Campaign, Problem> {
        let (now, tenant): (_, TenantId) = (state.now(), other.tenant);
        let own = self.name.as_deref().map(name).transpose()?;
        let senders = match self.senders {
            Some(wanted) => senders(state, whom, wanted).await?,
            None => other.senders,
        };
        let start_at = other.timing.start_at.filter(|at| *at > now);
        // A retry is sent once, whatever the other did.
        let recurrence = other.timing.recurrence.filter(|_| self.relation == Relation::Clone);
        Ok(Campaign {
            id: key.id(|k| CampaignId::derived(tenant, k), |r| CampaignId::random(now, r)),
            name: own.unwrap_or(other.name),
            senders,
            audience: self.audience,
            timing: Timing { start_at, recurrence, ..other.timing },
            origin: Some(Origin { campaign: other.id, relation: self.relation }),
            body_hash: self.hash,
            created: now,
            ..other
        })
    }
}
