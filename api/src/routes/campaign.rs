//! `/v1/campaigns`: one content to a list of contacts. The spec is a record; where it stands and its totals are
//! asked from the shards at every read.

use super::{Explained, name};
use crate::auth::For;
use crate::body::{Id, Idempotent, Json, Query};
use crate::create::{answer, create};
use crate::openapi::{content, shapes};
use crate::page::{Ask, Page, Time, records};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use kabar_actors::view::{CampaignState, CampaignView};
use kabar_engine::campaign::Verb;
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, ImportId, SessionId, TenantId};
use kabar_engine::part::Totals;
use kabar_engine::schedule::SendWindow;
use kabar_engine::template::ContentPattern;
use kabar_engine::time::{DAY_MS, SECOND_MS};
use kabar_schema::records::{Campaign, Import, ImportState};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Sessions one campaign may leave from.
const SENDERS_MAX: usize = 100;
/// How long a campaign is tried when nothing is said: three days.
const VALID_FOR_S: i64 = 3 * DAY_MS / SECOND_MS;
/// Thirty days.
const VALID_FOR_MAX_S: i64 = 30 * DAY_MS / SECOND_MS;

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewCampaign, example = json!({"name": "Promo", "senders": ["ses_0dwd35p6e5amv"], "list": "imp_0dwd35p6e5amv",
    "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"}}},
    "options": {"valid_for_seconds": 86400, "send_window": {"from_minute": 540, "until_minute": 1080, "days": [true, true, true, true, true, false, false]}}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    #[schema(value_type = Vec<shapes::SessionId>)]
    senders: Vec<SessionId>,
    #[schema(value_type = shapes::ImportId)]
    list: ImportId,
    #[schema(value_type = content::Content)]
    message: Value,
    #[serde(default)]
    options: Options,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = NewCampaignOptions)]
#[serde(deny_unknown_fields, default)]
struct Options {
    spintax: bool,
    valid_for_seconds: Option<i64>,
    #[schema(value_type = Option<shapes::SendWindow>)]
    send_window: Option<SendWindow>,
}

/// A campaign as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Campaign)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::CampaignId)]
    id: CampaignId,
    name: String,
    #[serde(flatten)]
    live: Option<Live>,
    #[schema(value_type = Vec<shapes::SessionId>)]
    senders: Vec<SessionId>,
    #[schema(value_type = shapes::ImportId)]
    list: ImportId,
    #[schema(value_type = content::Content)]
    message: Value,
    options: ShownOptions,
    created: Time,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignOptions)]
struct ShownOptions {
    spintax: bool,
    valid_for_seconds: i64,
    #[schema(value_type = Option<shapes::SendWindow>)]
    send_window: Option<SendWindow>,
}

/// Where it stands now.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignNow)]
struct Live {
    #[schema(value_type = shapes::CampaignState)]
    state: CampaignState,
    launched: Option<Time>,
    ended: Option<Time>,
    audience: u64,
    opted_out: u64,
    missing_variable: u64,
    totals: ShownTotals,
}

/// `recipients = waiting + on_wire + parked + sent + failed + expired + unknown`, at every instant.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignTotals)]
struct ShownTotals {
    recipients: u64,
    waiting: u64,
    on_wire: u64,
    parked: u64,
    sent: u64,
    delivered: u64,
    read: u64,
    replied: u64,
    failed: u64,
    expired: u64,
    unknown: u64,
    causes: Vec<Counted>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CountedCause)]
struct Counted {
    count: u64,
    #[serde(flatten)]
    cause: Explained,
}

impl From<Totals> for ShownTotals {
    fn from(t: Totals) -> Self {
        let mut causes: Vec<_> =
            t.causes.into_iter().map(|(cause, count)| Counted { count, cause: cause.into() }).collect();
        causes.sort_by_key(|c| std::cmp::Reverse(c.count));
        Self {
            recipients: t.recipients,
            waiting: t.waiting,
            on_wire: t.on_wire,
            parked: t.parked,
            sent: t.sent,
            delivered: t.delivered,
            read: t.read,
            replied: t.replied,
            failed: t.failed,
            expired: t.expired,
            unknown: t.unknown,
            causes,
        }
    }
}

impl Live {
    fn new(view: Option<CampaignView>) -> Self {
        match view {
            Some(view) => Self {
                state: view.state,
                launched: Some(Time(view.launched)),
                ended: view.ended.map(Time),
                audience: view.audience,
                opted_out: view.opted_out,
                missing_variable: view.missing_variable,
                totals: view.totals.into(),
            },
            None => Self {
                state: CampaignState::Draft,
                launched: None,
                ended: None,
                audience: 0,
                opted_out: 0,
                missing_variable: 0,
                totals: Totals::default().into(),
            },
        }
    }
}

impl From<Campaign> for Shown {
    fn from(campaign: Campaign) -> Self {
        Self {
            id: campaign.id,
            name: campaign.name,
            live: None,
            senders: campaign.senders,
            list: campaign.list,
            message: campaign.content.to_json(),
            options: ShownOptions {
                spintax: campaign.spintax,
                valid_for_seconds: campaign.valid_for_ms / SECOND_MS,
                send_window: campaign.send_window,
            },
            created: Time(campaign.created),
        }
    }
}

/// `POST /v1/campaigns`: a draft; nothing is sent before its launch.
#[utoipa::path(post, path = "/v1/campaigns", tag = "campaigns", operation_id = "createCampaign", summary = "Make a campaign; nothing is sent before its launch",
    request_body = Wanted, responses((status = 201, body = Shown, description = "A draft, or the earlier answer.")),
    extensions(("x-problems" = json!(["invalid_content", "invalid_pattern", "unknown_reference"]))))]
pub(crate) async fn post(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    body: Json<Wanted>,
) -> Result<Response, Problem> {
    let (now, tenant, body_hash) = (state.now(), whom.tenant, body.hash());
    let wanted = body.value;
    let content = Content::from_json(&wanted.message).map_err(Problem::from)?;
    content.validate()?;
    ContentPattern::compile(&content, wanted.options.spintax)?;
    let campaign = Campaign {
        id: key.id(|k| CampaignId::derived(tenant, k), |r| CampaignId::random(now, r)),
        tenant,
        name: name(&wanted.name)?,
        content,
        spintax: wanted.options.spintax,
        senders: senders(&state, tenant, wanted.senders).await?,
        list: list_of(&state, tenant, wanted.list).await?,
        valid_for_ms: valid_for(wanted.options.valid_for_seconds)?,
        send_window: window(wanted.options.send_window)?,
        body_hash,
        created: now,
    };
    let created = create(&state, &key, campaign, |a, b| a.body_hash == b.body_hash).await?;
    let live = Some(Live::new(None));
    Ok(answer(StatusCode::CREATED, created.replayed, Shown { live, ..created.noun.into() }))
}

async fn senders(
    state: &ApiState,
    tenant: TenantId,
    senders: Vec<SessionId>,
) -> Result<Vec<SessionId>, Problem> {
    if !(1..=SENDERS_MAX).contains(&senders.len()) {
        return Err(Problem::invalid("senders", format!("1 to {SENDERS_MAX} session ids")));
    }
    for (place, sender) in senders.iter().enumerate() {
        if senders[..place].contains(sender) {
            return Err(Problem::invalid("senders", "session ids, each once"));
        }
        if !state.has_session(tenant, *sender).await? {
            return Err(Problem::unknown_reference(&format!("senders[{place}]"), "session"));
        }
    }
    Ok(senders)
}

async fn list_of(state: &ApiState, tenant: TenantId, list: ImportId) -> Result<ImportId, Problem> {
    match state.nouns().get::<Import>(tenant, list.0).await? {
        None => Err(Problem::unknown_reference("list", "import")),
        Some(import) if import.noun.state == ImportState::Done => Ok(list),
        Some(_) => Err(Problem::invalid("list", "an import that is done")),
    }
}

fn valid_for(seconds: Option<i64>) -> Result<i64, Problem> {
    let seconds = seconds.unwrap_or(VALID_FOR_S);
    if (1..=VALID_FOR_MAX_S).contains(&seconds) {
        Ok(seconds * SECOND_MS)
    } else {
        Err(Problem::invalid("options.valid_for_seconds", format!("from 1 to {VALID_FOR_MAX_S}")))
    }
}

fn window(window: Option<SendWindow>) -> Result<Option<SendWindow>, Problem> {
    if let Some(window) = &window {
        window.validate().map_err(|error| {
            Problem::new(Code::InvalidValue, format!("`options.send_window`: {error}."))
                .at("options.send_window")
        })?;
    }
    Ok(window)
}

/// `GET /v1/campaigns`: the specs; one of them alone tells where it stands.
#[utoipa::path(get, path = "/v1/campaigns", tag = "campaigns", operation_id = "listCampaigns", summary = "List campaigns",
    params(Ask), responses((status = 200, body = Page<Shown>, description = "The specs; one of them alone tells where it stands.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    records::<Campaign, _>(&state, whom.tenant, &ask).await
}

/// `GET /v1/campaigns/{id}`
#[utoipa::path(get, path = "/v1/campaigns/{id}", tag = "campaigns", operation_id = "getCampaign", summary = "Read a campaign with its totals",
    params(("id" = shapes::CampaignId, Path, description = "The campaign.")), responses((status = 200, body = Shown, description = "As it stands now; the totals add up at every instant.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<CampaignId>,
) -> Result<axum::Json<Shown>, Problem> {
    show(&state, whom.tenant, id).await
}

async fn show(state: &ApiState, tenant: TenantId, id: CampaignId) -> Result<axum::Json<Shown>, Problem> {
    let found = state.nouns().get::<Campaign>(tenant, id.0).await?;
    let campaign = found.ok_or_else(|| Problem::no_such("campaign"))?.noun;
    let live = Some(Live::new(state.dispatcher.campaign(tenant, id).await?));
    Ok(axum::Json(Shown { live, ..campaign.into() }))
}

/// `POST /v1/campaigns/{id}/{launch,pause,resume,cancel}`. With an idempotency key, what holds already is answered
/// like the first time; without one it is a refusal.
#[utoipa::path(post, path = "/v1/campaigns/{id}/{verb}", tag = "campaigns", operation_id = "moveCampaign", summary = "Launch, pause, resume or cancel a campaign",
    params(("id" = shapes::CampaignId, Path, description = "The campaign."), ("verb" = shapes::Verb, Path, description = "What is wanted.")),
    responses((status = 200, body = Shown, description = "As it stands now.")), extensions(("x-problems" = json!(["wrong_phase"]))))]
pub(crate) async fn act(
    State(state): State<ApiState>,
    whom: For,
    key: Idempotent,
    Path((id, verb)): Path<(String, String)>,
) -> Result<axum::Json<Shown>, Problem> {
    let id: CampaignId = id.parse().map_err(|_| Problem::no_such("campaign"))?;
    let verb = match verb.as_str() {
        "launch" => Verb::Launch,
        "pause" => Verb::Pause,
        "resume" => Verb::Resume,
        "cancel" => Verb::Cancel,
        _ => return Err(Problem::new(Code::NotFound, "Nothing is at this address.")),
    };
    let tenant = whom.tenant;
    let found = state.nouns().get::<Campaign>(tenant, id.0).await?;
    found.ok_or_else(|| Problem::no_such("campaign"))?;
    let done = match verb {
        Verb::Launch => state.dispatcher.launch(tenant, id).await,
        verb => state.dispatcher.move_campaign(tenant, id, verb).await,
    };
    if let Err(error) = done {
        let view = state.dispatcher.campaign(tenant, id).await?;
        let refused = Problem::from(error);
        match view {
            Some(view) if key.0.is_some() && holds(verb, view.state) => {}
            Some(_) => return Err(refused),
            None if verb == Verb::Launch => return Err(refused),
            None => return Err(Problem::new(Code::WrongPhase, "The campaign was never launched.")),
        }
    }
    show(&state, tenant, id).await
}

/// Whether a campaign already is what the verb asks for.
fn holds(verb: Verb, state: CampaignState) -> bool {
    use CampaignState::{Cancelled, Draft, Freezing, Paused, Running, Settling};
    match verb {
        Verb::Launch => state != Draft,
        Verb::Pause => state == Paused,
        Verb::Resume => matches!(state, Freezing | Running | Settling),
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

    #[test]
    fn validity_and_window_stay_in_their_ranges() {
        assert_eq!(valid_for(None).unwrap(), 3 * DAY_MS);
        assert!(valid_for(Some(0)).is_err() && valid_for(Some(VALID_FOR_MAX_S + 1)).is_err());
        let never = SendWindow { from_minute: 1, until_minute: 2, days: [false; 7] };
        assert!(window(Some(never)).is_err() && window(None).unwrap().is_none());
    }

    #[test]
    fn the_most_frequent_cause_stands_first() {
        let mut totals = Totals::default();
        totals.causes.insert(kabar_engine::cause::Cause::OPTED_OUT, 2);
        totals.causes.insert(kabar_engine::cause::Cause(131_026), 9);
        let shown = serde_json::to_value(ShownTotals::from(totals)).unwrap();
        assert_eq!(shown["causes"][0]["code"], "undeliverable");
        assert_eq!(
            (shown["causes"][0]["count"].as_u64(), shown["causes"][1]["number"].as_u64()),
            (Some(9), Some(2))
        );
    }
}
