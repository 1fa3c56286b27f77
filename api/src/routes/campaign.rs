//! `/v1/campaigns`: one content to many people. The spec is a record; where it stands and its totals are asked from the
//! shards at every read. What is asked for stands in `wanted`, what is shown in `shown`.

pub(crate) mod linked;
pub(crate) mod recipient;
pub(crate) mod report;
mod shown;
mod wanted;

use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::shapes;
use crate::page::{Ask, Page, chosen};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kabar_actors::DispatchError;
use kabar_actors::view::CampaignState;
use kabar_engine::campaign::Verb;
use kabar_engine::id::CampaignId;
use kabar_engine::overlay::Refusal;
use kabar_schema::records::Campaign;
use serde::Deserialize;
use shown::Shown;
use utoipa::IntoParams;
use wanted::Wanted;

/// `POST /v1/campaigns`: a draft; nothing is sent before its launch.
#[utoipa::path(post, path = "/v1/campaigns", tag = "campaigns", operation_id = "createCampaign", summary = "Make a campaign; nothing is sent before its launch",
    request_body = Wanted, responses((status = 201, body = Shown, description = "A draft, or the earlier answer.")),
    extensions(("x-problems" = json!(["invalid_content", "invalid_pattern", "unknown_reference", "invalid_address"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let campaign = wanted::spec(&state, &whom, &key, body).await?;
    made(&state, &key, campaign).await
}

/// Writes a new campaign down and answers with it.
async fn made(state: &ApiState, key: &Idempotent, campaign: Campaign) -> Result<Response, Problem> {
    let created = create(state, key, campaign, |a, b| a.body_hash == b.body_hash).await?;
    Ok(answer(StatusCode::CREATED, created.replayed, Shown::with(created.noun, None)))
}

/// The query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listing {
    /// Campaigns on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
    /// Only those made from this campaign: its clones, retries and occurrences.
    #[param(value_type = Option<shapes::CampaignId>)]
    origin: Option<String>,
}

/// `GET /v1/campaigns`: the specs; one of them alone tells where it stands.
#[utoipa::path(get, path = "/v1/campaigns", tag = "campaigns", operation_id = "listCampaigns", summary = "List campaigns",
    params(Listing), responses((status = 200, body = Page<Shown>, description = "The specs; one of them alone tells where it stands.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(asked): Query<Listing>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let origin: Option<CampaignId> = match asked.origin.as_deref() {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| Problem::new(Code::InvalidQuery, "`origin` must be a campaign's id."))?,
        ),
    };
    if let Some(origin) = origin {
        found(&state, &whom, origin).await?;
    }
    let origin = origin.map(|id| id.to_string());
    let index = origin.as_deref().map(|id| (Campaign::ORIGIN, id));
    let own = |campaign: &Campaign| whom.check_sessions(campaign.senders.iter()).is_ok();
    chosen::<Campaign, _>(&state, whom.tenant, index, &Ask::new(asked.limit, asked.after), own).await
}

/// The tenant's campaign, from sessions the key is for.
async fn found(state: &ApiState, whom: &For, id: CampaignId) -> Result<Campaign, Problem> {
    let found = state.nouns().get::<Campaign>(whom.tenant, id.0).await?;
    let campaign = found.ok_or_else(|| Problem::no_such("campaign"))?.noun;
    whom.check_sessions(campaign.senders.iter())?;
    Ok(campaign)
}

/// `GET /v1/campaigns/{id}`
#[utoipa::path(get, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "getCampaign", summary = "Read a campaign with its totals",
    params(("id" = shapes::CampaignId, Path, description = "The campaign.")), responses((status = 200, body = Shown, description = "As it stands now; the totals add up at every instant.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<CampaignId>,
) -> Result<axum::Json<Shown>, Problem> {
    show(&state, &whom, id).await
}

async fn show(state: &ApiState, whom: &For, id: CampaignId) -> Result<axum::Json<Shown>, Problem> {
    let campaign = found(state, whom, id).await?;
    let view = state.dispatcher.standing(&campaign).await?;
    Ok(axum::Json(Shown::with(campaign, view)))
}

/// `POST /v1/campaigns/{id}/{launch,pause,resume,cancel}`. An idempotency key counts for the campaign: a repeat under it
/// changes nothing, also when a later verb has undone the first. With a key that was never used, what holds already is no
/// refusal; it changes nothing, so that the key stays unused.
#[utoipa::path(post, path = "/v1/campaigns/{id}/{verb}", tag = "campaigns", operation_id = "moveCampaign", summary = "Launch, pause, resume or cancel a campaign",
    params(("id" = shapes::CampaignId, Path, description = "The campaign."), ("verb" = shapes::Verb, Path, description = "What is wanted.")),
    responses((status = 200, body = Shown, description = "As it stands now.")), extensions(("x-problems" = json!(["wrong_phase", "template_unusable", "template_mismatch"]))))]
pub(crate) async fn act(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Path((id, verb)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id: CampaignId = id.parse().map_err(|_| Problem::no_such("campaign"))?;
    let asked = key.hashes(&[verb.as_bytes()]);
    let verb = match verb.as_str() {
        "launch" => Verb::Launch,
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "cancel" => Verb::Cancel,
        _ => return Err(Problem::new(Code::NotFound, "Nothing is at this address.")),
    };
    let tenant = whom.tenant;
    let campaign = found(&state, &whom, id).await?;
    if verb == Verb::Launch && state.dispatcher.standing(&campaign).await?.is_none() {
        report::check_template(&state, &campaign).await?;
    }
    let done = match verb {
        Verb::Launch => state.dispatcher.launch(tenant, id, asked).await,
        verb => state.dispatcher.move_campaign(tenant, id, verb, asked).await,
    };
    let replayed = match done {
        Ok(acted) => acted.replayed,
        Err(DispatchError::NotFound) if verb != Verb::Launch => {
            return Err(Problem::new(Code::WrongPhase, "The campaign was never launched."));
        }
        Err(DispatchError::Refused(Refusal::WrongPhase)) if key.0.is_some() => {
            let view = state.dispatcher.campaign(tenant, id).await?;
            if !view.is_some_and(|view| holds(verb, view.state)) {
                return Err(Refusal::WrongPhase.into());
            }
            false
        }
        Err(error) => return Err(error.into()),
    };
    Ok(answer(StatusCode::OK, replayed, show(&state, &whom, id).await?.0))
}

/// Whether a campaign already is what the verb asks for.
fn holds(verb: Verb, state: CampaignState) -> bool {
    use CampaignState::{Cancelled, Draft, Freezing, Paused, Running, Scheduled, Settling};
    match verb {
        Verb::Launch => state != Draft,
        Verb::Pause => state == Paused,
        Verb::Resume => matches!(state, Scheduled | Freezing | Running | Settling),
        Verb::Cancel => state == Cancelled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_verb_is_no_mistake_and_a_contrary_one_is() {
        assert!(
            holds(Verb::Launch, CampaignState::Finished) && holds(Verb::Cancel, CampaignState::Cancelled)
        );
        assert!(holds(Verb::Resume, CampaignState::Running) && holds(Verb::Pause, CampaignState::Paused));
        assert!(!holds(Verb::Pause, CampaignState::Finished) && !holds(Verb::Resume, CampaignState::Paused));
        assert!(!holds(Verb::Cancel, CampaignState::Finished));
    }
}
