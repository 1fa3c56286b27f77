//! A campaign as it is shown: its spec, where it stands, its totals and what it waits for.

use crate::openapi::{content, shapes};
use crate::page::Time;
use crate::routes::Explained;
use crate::routes::pricing::Shown as Pricing;
use kabar_actors::view::{CampaignState, CampaignView, Wait, WaitReason};
use kabar_engine::audience::{Audience, Filter};
use kabar_engine::cause::Cause;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, SessionId};
use kabar_engine::part::Totals;
use kabar_engine::schedule::{Day, QuietHours, Recurrence, SendWindow};
use kabar_engine::time::SECOND_MS;
use kabar_schema::records::{Campaign, Origin, Relation};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

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
    audience: ShownAudience,
    #[schema(value_type = content::Content)]
    message: Value,
    options: ShownOptions,
    /// The campaign it was made from.
    origin: Option<ShownOrigin>,
    created: Time,
}

/// Whom it goes to.
#[derive(Serialize, ToSchema)]
#[schema(as = Audience)]
struct ShownAudience {
    #[schema(value_type = shapes::AudienceKind)]
    kind: &'static str,
    /// Of contacts: the list.
    #[schema(value_type = Option<shapes::ImportId>)]
    list: Option<ImportId>,
    /// Of contacts: what they fit.
    #[schema(value_type = Option<shapes::Filter>)]
    filter: Option<Filter>,
    /// Of named people: how many.
    named: Option<usize>,
    /// Of those another campaign did not reach: which campaign.
    #[schema(value_type = Option<shapes::CampaignId>)]
    campaign: Option<CampaignId>,
    /// Which of them: `failed`, `expired`.
    statuses: Vec<&'static str>,
    /// With which causes; all when it names none.
    causes: Vec<u32>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CampaignOptions)]
struct ShownOptions {
    spintax: bool,
    valid_for_seconds: i64,
    start_at: Option<Time>,
    #[schema(value_type = Option<shapes::SendWindow>)]
    send_window: Option<SendWindow>,
    #[schema(value_type = Option<shapes::QuietHours>)]
    quiet_hours: Option<QuietHours>,
    #[schema(value_type = Vec<String>)]
    blackout: Vec<Day>,
    #[schema(value_type = Option<shapes::Recurrence>)]
    recurrence: Option<Recurrence>,
    weight: u32,
    #[schema(value_type = shapes::Purpose)]
    purpose: Purpose,
}

/// Where a campaign comes from.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignOrigin)]
struct ShownOrigin {
    #[schema(value_type = shapes::CampaignId)]
    campaign: CampaignId,
    #[schema(value_type = shapes::Relation)]
    relation: Relation,
}

/// Where it stands now.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignNow)]
pub(super) struct Live {
    #[schema(value_type = shapes::CampaignState)]
    state: CampaignState,
    launched: Option<Time>,
    /// The launch, or the start it was given.
    begins: Option<Time>,
    ended: Option<Time>,
    /// People in the audience, once frozen; `contacts = opted_out + missing_variable +
    /// frequency_capped + totals.recipients`.
    contacts: u64,
    opted_out: u64,
    missing_variable: u64,
    /// Those who had had enough marketing by the tenant's frequency cap.
    frequency_capped: u64,
    totals: ShownTotals,
    /// What it waits for, the earliest known end first.
    waits: Vec<ShownWait>,
}

/// Something that is waited for.
#[derive(Serialize, ToSchema)]
#[schema(as = CampaignWait)]
struct ShownWait {
    #[schema(value_type = shapes::WaitReason)]
    reason: WaitReason,
    /// Until when, where that is known.
    until: Option<Time>,
    /// How many recipients wait for it; 0 before the audience is frozen.
    recipients: u64,
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
    /// Delivered recipients by what they cost in WhatsApp's words, as far as it said it.
    pricing: Vec<Priced>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CountedPricing)]
struct Priced {
    count: u64,
    #[serde(flatten)]
    pricing: Pricing,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CountedCause)]
struct Counted {
    count: u64,
    #[serde(flatten)]
    cause: Explained,
}

impl Shown {
    /// The spec with where it stands.
    pub(super) fn with(campaign: Campaign, view: Option<CampaignView>) -> Self {
        Self { live: Some(Live::new(view)), ..campaign.into() }
    }
}

impl From<Totals> for ShownTotals {
    fn from(t: Totals) -> Self {
        let mut causes: Vec<_> =
            t.causes.into_iter().map(|(cause, count)| Counted { count, cause: cause.into() }).collect();
        causes.sort_by_key(|c| std::cmp::Reverse(c.count));
        let priced = |(pricing, count)| Priced { count, pricing: Pricing::from(pricing) };
        let pricing = t.charged.iter().map(|(pricing, count)| priced((pricing, *count))).collect();
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
            pricing,
        }
    }
}

impl From<Wait> for ShownWait {
    fn from(wait: Wait) -> Self {
        Self { reason: wait.reason, until: wait.until.map(Time), recipients: wait.recipients }
    }
}

impl Live {
    fn new(view: Option<CampaignView>) -> Self {
        match view {
            Some(view) => Self {
                state: view.state,
                launched: Some(Time(view.launched)),
                begins: Some(Time(view.begins)),
                ended: view.ended.map(Time),
                contacts: view.audience,
                opted_out: view.opted_out,
                missing_variable: view.missing_variable,
                frequency_capped: view.frequency_capped,
                totals: view.totals.into(),
                waits: view.waits.into_iter().map(ShownWait::from).collect(),
            },
            None => Self {
                state: CampaignState::Draft,
                launched: None,
                begins: None,
                ended: None,
                contacts: 0,
                opted_out: 0,
                missing_variable: 0,
                frequency_capped: 0,
                totals: Totals::default().into(),
                waits: Vec::new(),
            },
        }
    }
}

impl From<Audience> for ShownAudience {
    fn from(audience: Audience) -> Self {
        let (list, filter, named, campaign) = (None, None, None, None);
        let nothing = Self {
            kind: "contacts",
            list,
            filter,
            named,
            campaign,
            statuses: Vec::new(),
            causes: Vec::new(),
        };
        match audience {
            Audience::Contacts { list, filter } => Self { list, filter, ..nothing },
            Audience::Named(people) => Self { kind: "named", named: Some(people.len()), ..nothing },
            Audience::Unreached { campaign, failed, expired, causes } => {
                let statuses = [(failed, "failed"), (expired, "expired")];
                Self {
                    kind: "unreached",
                    campaign: Some(campaign),
                    statuses: statuses.into_iter().filter_map(|(is, word)| is.then_some(word)).collect(),
                    causes: causes.into_iter().map(Cause::number).collect(),
                    ..nothing
                }
            }
        }
    }
}

impl From<Campaign> for Shown {
    fn from(campaign: Campaign) -> Self {
        let timing = campaign.timing;
        let origin = |Origin { campaign, relation }| ShownOrigin { campaign, relation };
        Self {
            id: campaign.id,
            name: campaign.name,
            live: None,
            senders: campaign.senders,
            audience: campaign.audience.into(),
            message: campaign.content.to_json(),
            options: ShownOptions {
                spintax: campaign.spintax,
                valid_for_seconds: timing.valid_for_ms / SECOND_MS,
                start_at: timing.start_at.map(Time),
                send_window: timing.hours.send_window,
                quiet_hours: timing.hours.quiet_hours,
                blackout: timing.hours.blackout,
                recurrence: timing.recurrence,
                weight: campaign.weight,
                purpose: campaign.purpose,
            },
            origin: campaign.origin.map(origin),
            created: Time(campaign.created),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
