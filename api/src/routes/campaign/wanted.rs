//! What is asked for when a campaign is made: read, checked, and turned into its spec. Not the answer.

use crate::auth::For;
use crate::body::{Idempotent, Json};
use crate::openapi::{content, shapes};
use crate::problem::{Code, Problem};
use crate::routes::{address, media, name, zone};
use crate::state::ApiState;
use kabar_engine::audience::{Audience, Filter, NAMED_MAX, Person};
use kabar_engine::content::Content;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, SessionId, TemplateId, TenantId};
use kabar_engine::schedule::{Day, Hours, QuietHours, Recurrence, ScheduleError, SendWindow};
use kabar_engine::template::ContentPattern;
use kabar_engine::time::{DAY_MS, SECOND_MS, Timestamp};
use kabar_schema::records::{Campaign, Import, ImportState, Template, Timing};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Sessions one campaign may leave from.
const SENDERS_MAX: usize = 100;
/// How long a campaign is tried when nothing is said: three days.
const VALID_FOR_S: i64 = 3 * DAY_MS / SECOND_MS;
/// Thirty days.
const VALID_FOR_MAX_S: i64 = 30 * DAY_MS / SECOND_MS;
/// How far ahead a campaign may start.
const AHEAD_MAX_MS: i64 = 366 * DAY_MS;
/// Values one named person may have.
const FIELDS_MAX: usize = 100;

/// A campaign to make.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewCampaign, example = json!({"name": "Promo", "senders": ["ses_0dwd35p6e5amv"],
    "audience": {"list": "imp_0dwd35p6e5amv", "filter": {"equals": {"field": "city", "value": "Bandung"}}},
    "message": {"type": "template", "template": {"name": "halo", "language": {"code": "id"}}},
    "options": {"valid_for_seconds": 86400, "start_at": "2026-12-24T02:00:00Z", "blackout": ["2026-12-25"],
        "send_window": {"from_minute": 540, "until_minute": 1080, "days": [true, true, true, true, true, false, false]},
        "quiet_hours": {"from_minute": 1260, "until_minute": 480},
        "recurrence": {"rule": "FREQ=WEEKLY;BYDAY=TH;COUNT=4", "zone": "Asia/Jakarta"}}}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    name: String,
    /// The sessions it leaves from; the same person always gets the same one.
    #[schema(value_type = Vec<shapes::SessionId>, min_items = 1, max_items = 100)]
    senders: Vec<SessionId>,
    audience: WantedAudience,
    /// What is said; or `template`.
    #[schema(value_type = Option<content::Content>)]
    message: Option<Value>,
    /// A template whose message and spintax are taken as they are now; or `message`.
    #[schema(value_type = Option<shapes::TemplateId>)]
    template: Option<TemplateId>,
    #[serde(default)]
    options: Options,
}

/// Whom it goes to: a list, a filter over the address book, or both; everybody; or recipients named here.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewAudience)]
#[serde(deny_unknown_fields)]
struct WantedAudience {
    /// The list an import brought.
    #[schema(value_type = Option<shapes::ImportId>)]
    list: Option<ImportId>,
    /// What the contacts fit.
    #[schema(value_type = Option<shapes::Filter>)]
    filter: Option<Filter>,
    /// Every contact.
    #[serde(default)]
    everyone: bool,
    /// People named one by one; they need be no contacts.
    #[schema(max_items = 1000)]
    recipients: Option<Vec<Named>>,
}

/// Somebody named with the campaign.
#[derive(Deserialize, ToSchema)]
#[schema(as = NamedRecipient)]
#[serde(deny_unknown_fields)]
struct Named {
    /// Who, as in a message's `to`.
    to: String,
    name: Option<String>,
    /// The IANA zone.
    zone: Option<String>,
    /// Values of variables.
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

#[derive(Default, Deserialize, ToSchema)]
#[schema(as = NewCampaignOptions)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// Whether `{a|b}` means alternatives.
    spintax: bool,
    /// Recipients not sent this long after it began expire; three days when not said.
    #[schema(minimum = 1, maximum = 2_592_000)]
    valid_for_seconds: Option<i64>,
    /// Not before; at most a year ahead.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_at: Option<String>,
    #[schema(value_type = Option<shapes::SendWindow>)]
    send_window: Option<SendWindow>,
    #[schema(value_type = Option<shapes::QuietHours>)]
    quiet_hours: Option<QuietHours>,
    /// Days on the recipient's calendar on which nothing is sent, `2026-12-25`.
    #[schema(value_type = Vec<String>, max_items = 366)]
    blackout: Vec<Day>,
    #[schema(value_type = Option<shapes::Recurrence>)]
    recurrence: Option<Recurrence>,
    /// What its turns count for where several campaigns leave from one sender; 10 when not said.
    #[schema(minimum = 1, maximum = 100)]
    weight: Option<u32>,
    /// `marketing` counts towards the tenant's frequency cap and is held to it; `utility` neither.
    #[schema(value_type = shapes::Purpose)]
    purpose: Purpose,
}

/// The spec that is asked for.
pub(super) async fn spec(
    state: &ApiState,
    whom: &For,
    key: &Idempotent,
    body: Json<Wanted>,
) -> Result<Campaign, Problem> {
    let (now, tenant, body_hash) = (state.now(), whom.tenant, body.hash());
    let wanted = body.value;
    let (content, spintax) = said(state, tenant, &wanted).await?;
    ContentPattern::compile(&content, spintax)?;
    Ok(Campaign {
        id: key.id(|k| CampaignId::derived(tenant, k), |r| CampaignId::random(now, r)),
        tenant,
        name: name(&wanted.name)?,
        content,
        spintax,
        senders: senders(state, whom, wanted.senders).await?,
        audience: audience(state, tenant, wanted.audience).await?,
        weight: weight(wanted.options.weight)?,
        purpose: wanted.options.purpose,
        timing: timing(wanted.options, now)?,
        origin: None,
        body_hash,
        created: now,
    })
}

/// A share beside others.
fn weight(wanted: Option<u32>) -> Result<u32, Problem> {
    let weight = wanted.unwrap_or(Campaign::WEIGHT);
    let range = 1..=Campaign::WEIGHT_MAX;
    if range.contains(&weight) { Ok(weight) } else { Err(Problem::invalid("options.weight", "1 to 100")) }
}

/// What is said, and whether spintax is read.
async fn said(state: &ApiState, tenant: TenantId, wanted: &Wanted) -> Result<(Content, bool), Problem> {
    match (&wanted.message, wanted.template) {
        (Some(message), None) => {
            let content = media::inline::read(state, tenant, &mut message.clone()).await?;
            Ok((content, wanted.options.spintax))
        }
        (None, Some(template)) => {
            let found = state.nouns().get::<Template>(tenant, template.0).await?;
            let template = found.ok_or_else(|| Problem::unknown_reference("template", "template"))?.noun;
            // It may have been deleted since the template was stored.
            media::inline::check(state, tenant, &template.content).await?;
            Ok((template.content, template.spintax || wanted.options.spintax))
        }
        _ => Err(Problem::invalid("message", "given, or `template` is; not both")),
    }
}

/// Senders that exist and that the key is for, each once.
pub(super) async fn senders(
    state: &ApiState,
    whom: &For,
    senders: Vec<SessionId>,
) -> Result<Vec<SessionId>, Problem> {
    if !(1..=SENDERS_MAX).contains(&senders.len()) {
        return Err(Problem::invalid("senders", format!("1 to {SENDERS_MAX} session ids")));
    }
    for (place, sender) in senders.iter().enumerate() {
        if senders[..place].contains(sender) {
            return Err(Problem::invalid("senders", "session ids, each once"));
        }
        if !state.has_session(whom.tenant, *sender).await? {
            return Err(Problem::unknown_reference(&format!("senders[{place}]"), "session"));
        }
    }
    whom.check_sessions(senders.iter())?;
    Ok(senders)
}

async fn audience(state: &ApiState, tenant: TenantId, wanted: WantedAudience) -> Result<Audience, Problem> {
    let WantedAudience { list, filter, everyone, recipients } = wanted;
    let contacts = list.is_some() || filter.is_some();
    if [contacts, everyone, recipients.is_some()].into_iter().filter(|given| *given).count() != 1 {
        let what = "one of: `list` and/or `filter`, `everyone`, `recipients`";
        return Err(Problem::invalid("audience", what));
    }
    if let Some(people) = recipients {
        return named(people).map(Audience::Named);
    }
    if let Some(filter) = &filter {
        filter.validate().map_err(|error| Problem::invalid("audience.filter", error))?;
    }
    if let Some(list) = list {
        match state.nouns().get::<Import>(tenant, list.0).await? {
            None => return Err(Problem::unknown_reference("audience.list", "import")),
            Some(import) if import.noun.state == ImportState::Done => {}
            Some(_) => return Err(Problem::invalid("audience.list", "an import that is done")),
        }
    }
    Ok(Audience::Contacts { list, filter })
}

/// In the order of their addresses, each once.
fn named(people: Vec<Named>) -> Result<Vec<Person>, Problem> {
    if !(1..=NAMED_MAX).contains(&people.len()) {
        return Err(Problem::invalid("audience.recipients", format!("1 to {NAMED_MAX} people")));
    }
    let mut seen = BTreeSet::new();
    let mut list = Vec::with_capacity(people.len());
    for (place, person) in people.into_iter().enumerate() {
        let path = |field: &str| format!("audience.recipients[{place}].{field}");
        let who = address(&person.to).map_err(|problem| problem.at(&path("to")))?;
        if !seen.insert(who.clone()) {
            return Err(Problem::invalid(&path("to"), "named once; it stands there twice"));
        }
        if person.fields.len() > FIELDS_MAX {
            return Err(Problem::invalid(&path("fields"), format!("at most {FIELDS_MAX} values")));
        }
        let given = person.zone.as_deref().map(|text| zone(&who, text)).transpose();
        let zone = given.map_err(|problem| problem.at(&path("zone")))?;
        let Named { name, fields, .. } = person;
        list.push((who.clone(), Person { key: who.key(), name, zone, fields }));
    }
    list.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(list.into_iter().map(|(_, person)| person).collect())
}

/// When, from what is asked at `now`.
pub(super) fn timing(options: Options, now: Timestamp) -> Result<Timing, Problem> {
    let at = |field: &'static str| {
        move |error: ScheduleError| {
            Problem::new(Code::InvalidValue, format!("`options.{field}`: {error}."))
                .at(&format!("options.{field}"))
        }
    };
    let seconds = options.valid_for_seconds.unwrap_or(VALID_FOR_S);
    if !(1..=VALID_FOR_MAX_S).contains(&seconds) {
        return Err(Problem::invalid("options.valid_for_seconds", format!("from 1 to {VALID_FOR_MAX_S}")));
    }
    let start_at = match options.start_at.as_deref() {
        None => None,
        Some(text) => {
            let read = Timestamp::from_rfc3339(text).filter(|at| at.since_ms(now) <= AHEAD_MAX_MS);
            let what = "a moment as RFC 3339, at most a year ahead";
            Some(read.ok_or_else(|| Problem::invalid("options.start_at", what))?)
        }
    };
    if let Some(window) = &options.send_window {
        window.validate().map_err(at("send_window"))?;
    }
    let Options { send_window, quiet_hours, blackout, recurrence, .. } = options;
    let quiet = Hours { quiet_hours, ..Hours::default() };
    quiet.validate().map_err(at("quiet_hours"))?;
    let hours = Hours { send_window, quiet_hours, blackout };
    hours.validate().map_err(at("blackout"))?;
    if let Some(rule) = &recurrence {
        rule.validate(start_at.unwrap_or(now)).map_err(at("recurrence"))?;
    }
    Ok(Timing { start_at, valid_for_ms: seconds * SECOND_MS, hours, recurrence })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn asked(options: Value) -> Result<Timing, String> {
        let options: Options = serde_json::from_value(options).map_err(|e| e.to_string())?;
        let now = Timestamp::from_rfc3339("2026-12-01T00:00:00Z").unwrap();
        timing(options, now).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn timing_stays_in_its_ranges_and_the_refusal_names_the_field() {
        assert_eq!(asked(json!({})).unwrap().valid_for_ms, 3 * DAY_MS);
        let every = [true; 7];
        for (options, field) in [
            (json!({"valid_for_seconds": 0}), "valid_for_seconds"),
            (json!({"valid_for_seconds": VALID_FOR_MAX_S + 1}), "valid_for_seconds"),
            (json!({"start_at": "tomorrow"}), "start_at"),
            (json!({"start_at": "2028-01-01T00:00:00Z"}), "start_at"),
            (
                json!({"send_window": {"from_minute": 1, "until_minute": 2, "days": vec![false; 7]}}),
                "send_window",
            ),
            (json!({"quiet_hours": {"from_minute": 5, "until_minute": 5}}), "quiet_hours"),
            (json!({"recurrence": {"rule": "FREQ=HOURLY", "zone": "UTC"}}), "recurrence"),
            (json!({"blackout": ["25-12-2026"]}), "2026-12-25"),
            (
                json!({"send_window": {"from_minute": 0, "until_minute": 60, "days": every},
                    "quiet_hours": {"from_minute": 0, "until_minute": 90}}),
                "does not open",
            ),
        ] {
            let refused = asked(options).unwrap_err();
            assert!(refused.contains(field), "{field}: {refused}");
        }
    }

    #[test]
    fn named_people_are_sorted_and_each_is_named_once() {
        let person = |to: &str| serde_json::from_value::<Named>(json!({ "to": to })).unwrap();
        let people = named(vec![person("+6281234567892"), person("6281234567891")]).unwrap();
        assert!(people[0].address().unwrap() < people[1].address().unwrap());
        let twice = named(vec![person("+6281234567891"), person("6281234567891")]).unwrap_err();
        assert!(format!("{twice:?}").contains("audience.recipients[1].to"));
        assert!(named(Vec::new()).is_err());
    }
}
