//! What a campaign would be: the message one person would get, and the pre-flight report over its whole audience. Both
//! look only.

use super::found;
use crate::auth::For;
use crate::body::{Id, Query};
use crate::openapi::{content, shapes};
use crate::page::Time;
use crate::problem::{Code, Problem};
use crate::routes::Filled;
use crate::state::ApiState;
use axum::extract::State;
use kabar_actors::{Preflight, contact_value};
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, ContactId, SessionId};
use kabar_engine::schedule::{Zone, zone_of};
use kabar_engine::spintax;
use kabar_engine::template::ContentPattern;
use kabar_schema::records::Campaign;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// The query of a preview.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ForWhom {
    /// The person.
    #[param(value_type = shapes::ContactId)]
    contact: String,
}

/// What one person would get.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignPreview)]
pub(crate) struct Previewed {
    /// The very message the campaign would send; null while something is missing.
    #[schema(value_type = Option<content::Content>)]
    message: Option<Value>,
    variables: Vec<Filled>,
    /// Every variable with neither value nor default: the person would be left out.
    missing: Vec<String>,
    /// Whether the person has opted out and would be left out.
    opted_out: bool,
    #[schema(value_type = shapes::Zone)]
    zone: Zone,
    /// When it could arrive by the campaign's hours; null when they never open.
    would_arrive: Option<Time>,
}

/// `GET /v1/campaigns/{id}/preview?contact=`
#[utoipa::path(get, path = "/v1/campaigns/{id}/preview", tag = "campaigns", operation_id = "previewCampaign", summary = "Show what one contact would get; nothing is sent",
    params(("id" = shapes::CampaignId, Path, description = "The campaign."), ForWhom),
    responses((status = 200, body = Previewed, description = "The message, or what is missing for it.")),
    extensions(("x-problems" = json!(["invalid_pattern", "unknown_reference"]))))]
pub(crate) async fn preview(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<CampaignId>,
    Query(asked): Query<ForWhom>,
) -> Result<axum::Json<Previewed>, Problem> {
    let campaign = found(&state, &whom, id).await?;
    let contact: ContactId = asked
        .contact
        .parse()
        .map_err(|_| Problem::new(Code::InvalidQuery, "`contact` must be a contact's id."))?;
    let contact = state.node.store().contacts.get(whom.tenant, contact).await?;
    let contact = contact.ok_or_else(|| Problem::unknown_reference("contact", "contact"))?;
    let pattern = ContentPattern::compile(&campaign.content, campaign.spintax)?;
    let value = |name: &str| contact_value(&contact, name);
    let missing: Vec<String> = pattern.missing(&value).map(str::to_owned).collect();
    let seed = spintax::seed(id, &contact.address);
    let rendered = missing.is_empty().then(|| pattern.render(seed, &value).ok()).flatten();
    let zone = zone_of(&contact.address, contact.zone.as_deref());
    let begins = campaign.begins(state.now());
    let would_arrive = match campaign.timing.hours.wait(&zone.name, begins) {
        Ok(None) => Some(Time(begins)),
        Ok(Some(wait)) => Some(Time(wait.until)),
        Err(_) => None,
    };
    Ok(axum::Json(Previewed {
        message: rendered.map(|content| content.to_json()),
        variables: Filled::all(&pattern, &value),
        missing,
        opted_out: state.dispatcher.opted_out(whom.tenant, &contact.address).await?,
        zone,
        would_arrive,
    }))
}

/// The pre-flight report.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignPreflight)]
pub(crate) struct Report {
    /// People of the audience; `contacts = valid + opted_out + missing_variable + frequency_capped`.
    contacts: u64,
    /// Those who would be sent to.
    valid: u64,
    /// Rows of the list's file without a valid address; they are no contacts.
    invalid: u64,
    /// Rows of the list's file that stood there before.
    duplicate: u64,
    opted_out: u64,
    missing_variable: u64,
    /// Those who have had enough marketing by the tenant's frequency cap.
    frequency_capped: u64,
    /// Which variables are missing, for how many people.
    missing: Vec<Missing>,
    /// Of the valid ones those whose turn would come after their validity.
    capped: u64,
    /// When it would begin.
    begins: Time,
    /// When the last one in time would be sent, at the senders' paces and in the campaign's hours.
    expected_finish: Time,
    /// The valid ones by time zone.
    zones: Vec<InZone>,
    senders: Vec<Sender>,
    /// The template that is named, as far as it is known, at each sender's account.
    templates: Vec<AtSender>,
    /// Whether the content needs people who wrote within 24 hours; who did not fails with `window_closed`.
    needs_window: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MissingCount)]
struct Missing {
    variable: String,
    contacts: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ZoneCount)]
struct InZone {
    zone: String,
    recipients: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SenderForecast)]
struct Sender {
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    messages_per_second: u32,
    recipients: u64,
    expected_finish: Time,
}

/// The template at one sender's account. Where nothing is known of it, Meta will say.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignTemplate)]
struct AtSender {
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    /// APPROVED, PAUSED …; null: it is not known.
    status: Option<String>,
    quality: Option<String>,
    category: Option<String>,
    /// When Meta last said something new of it.
    seen: Option<Time>,
    /// Why a launch would be refused; null: nothing that is known speaks against it.
    problem: Option<AgainstIt>,
}

/// What speaks against a launch.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignTemplateProblem)]
struct AgainstIt {
    /// template_unusable or template_mismatch.
    code: &'static str,
    detail: String,
}

async fn templates(state: &ApiState, campaign: &Campaign) -> Result<Vec<AtSender>, Problem> {
    let mut shown = Vec::new();
    if !matches!(campaign.content, Content::Template(_)) {
        return Ok(shown);
    }
    for session in &campaign.senders {
        let (tenant, content) = (campaign.tenant, &campaign.content);
        let barrier = state.dispatcher.template_barrier(tenant, *session, content).await?;
        let known = state.dispatcher.named_template(tenant, *session, content).await?;
        let known = known.as_deref();
        shown.push(AtSender {
            session: *session,
            status: known.map(|known| known.status.clone()),
            quality: known.and_then(|known| known.quality.clone()),
            category: known.and_then(|known| known.category.clone()),
            seen: known.map(|known| Time(known.seen)),
            problem: barrier.map(|barrier| {
                let (code, detail) = Problem::from(barrier).words();
                AgainstIt { code, detail }
            }),
        });
    }
    Ok(shown)
}

/// Refuses a campaign whose template is known not to take its messages.
pub(super) async fn check_template(state: &ApiState, campaign: &Campaign) -> Result<(), Problem> {
    for session in &campaign.senders {
        let (tenant, content) = (campaign.tenant, &campaign.content);
        if let Some(barrier) = state.dispatcher.template_barrier(tenant, *session, content).await? {
            return Err(Problem::from(barrier).with("session", &session.to_string()));
        }
    }
    Ok(())
}

/// `GET /v1/campaigns/{id}/preflight`: reads the whole audience, so it takes as long as that takes.
#[utoipa::path(get, path = "/v1/campaigns/{id}/preflight", tag = "campaigns", operation_id = "preflightCampaign", summary = "Report what would become of the campaign if it were launched now",
    params(("id" = shapes::CampaignId, Path, description = "The campaign.")),
    responses((status = 200, body = Report, description = "The whole audience was looked at.")),
    extensions(("x-problems" = json!(["invalid_pattern"]))))]
pub(crate) async fn preflight(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<CampaignId>,
) -> Result<axum::Json<Report>, Problem> {
    let campaign = found(&state, &whom, id).await?;
    let report: Preflight = state.dispatcher.preflight(&campaign).await?;
    let missing = report.missing.into_iter().map(|(variable, contacts)| Missing { variable, contacts });
    let zones = report.zones.into_iter().map(|(zone, recipients)| InZone { zone, recipients });
    let senders = report.senders.into_iter().map(|sender| Sender {
        session: sender.session,
        messages_per_second: sender.messages_per_second,
        recipients: sender.recipients,
        expected_finish: Time(sender.finish),
    });
    Ok(axum::Json(Report {
        contacts: report.contacts,
        valid: report.valid,
        invalid: report.invalid,
        duplicate: report.duplicate,
        opted_out: report.opted_out,
        missing_variable: report.missing_variable,
        frequency_capped: report.frequency_capped,
        missing: missing.collect(),
        capped: report.capped,
        begins: Time(report.begins),
        expected_finish: Time(report.finish),
        zones: zones.collect(),
        senders: senders.collect(),
        templates: templates(&state, &campaign).await?,
        needs_window: campaign.content.needs_window(),
    }))
}
