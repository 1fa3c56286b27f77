//! A session's health as it is shown: each value with when it was so and what said it. Not how it does now: that is its state.

use crate::openapi::shapes;
use crate::page::Time;
use crate::routes::Explained;
use kabar_engine::health::{Blocks, Evidence, Health, LastError, Restriction, Standing, Told};
use kabar_engine::id::EventId;
use serde::Serialize;
use utoipa::ToSchema;

/// How a number does in WhatsApp's eyes; what was never told is null.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = SessionHealth)]
pub(super) struct Shown {
    /// The WhatsApp Business Account its webhooks name.
    account: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`.
    quality: Option<Word>,
    /// How many people may be written to first in 24 hours, e.g. `TIER_2K`.
    messaging_limit: Option<Word>,
    /// `HIGH` after the upgrade to 1,000 messages a second.
    throughput: Option<Word>,
    /// What became of the display name.
    display_name: Option<Word>,
    /// What became of the account's review.
    review: Option<Word>,
    /// The newest alert.
    alert: Option<Word>,
    restriction: Option<ShownRestriction>,
    /// Templates WhatsApp told something of, by name.
    templates: Vec<ShownTemplate>,
    last_error: Option<ShownError>,
}

/// What said it: a webhook, which is this event, or the code of an answer or a failed status.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthEvidence)]
struct ShownEvidence {
    #[schema(value_type = Option<shapes::EventId>)]
    event: Option<EventId>,
    code: Option<u32>,
}

/// A value in WhatsApp's words.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthWord)]
struct Word {
    value: String,
    at: Time,
    evidence: ShownEvidence,
}

/// What the account may not do.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthRestriction)]
struct ShownRestriction {
    /// WhatsApp's words, e.g. `RESTRICTED_BIZ_INITIATED_MESSAGING`.
    kind: String,
    #[schema(value_type = shapes::Blocks)]
    blocks: Blocks,
    until: Option<Time>,
    at: Time,
    evidence: ShownEvidence,
}

/// How a template stands.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthTemplate)]
struct ShownTemplate {
    name: String,
    language: String,
    /// WhatsApp's word, e.g. `PAUSED`.
    state: String,
    quality: Option<String>,
    /// Messages of it are held.
    held: bool,
    /// Until then; null while held: until WhatsApp says otherwise.
    until: Option<Time>,
    at: Time,
    evidence: ShownEvidence,
}

/// The newest error that was more than one message's.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthError)]
struct ShownError {
    error: Explained,
    /// WhatsApp's own words.
    detail: String,
    at: Time,
    evidence: ShownEvidence,
}

impl From<Evidence> for ShownEvidence {
    fn from(by: Evidence) -> Self {
        match by {
            Evidence::Event(event) => Self { event: Some(event), code: None },
            Evidence::Code(cause) => Self { event: None, code: Some(cause.number()) },
        }
    }
}

impl From<Told<String>> for Word {
    fn from(told: Told<String>) -> Self {
        Self { value: told.value, at: Time(told.at), evidence: told.by.into() }
    }
}

impl From<Told<Restriction>> for ShownRestriction {
    fn from(Told { value, at, by }: Told<Restriction>) -> Self {
        let Restriction { kind, blocks, until, .. } = value;
        Self { kind, blocks, until: until.map(Time), at: Time(at), evidence: by.into() }
    }
}

impl From<Told<LastError>> for ShownError {
    fn from(Told { value, at, by }: Told<LastError>) -> Self {
        Self { error: value.cause.into(), detail: value.detail, at: Time(at), evidence: by.into() }
    }
}

fn template((key, told): (String, Told<Standing>)) -> ShownTemplate {
    let (name, language) = key.split_once(' ').unwrap_or((&key, ""));
    let Told { value, at, by } = told;
    ShownTemplate {
        name: name.to_owned(),
        language: language.to_owned(),
        state: value.state,
        quality: value.quality,
        held: value.held,
        until: value.until.map(Time),
        at: Time(at),
        evidence: by.into(),
    }
}

impl From<Health> for Shown {
    fn from(health: Health) -> Self {
        Self {
            account: health.account,
            quality: health.quality.map(Word::from),
            messaging_limit: health.messaging_limit.map(Word::from),
            throughput: health.throughput.map(Word::from),
            display_name: health.display_name.map(Word::from),
            review: health.review.map(Word::from),
            alert: health.alert.map(Word::from),
            restriction: health.restriction.map(ShownRestriction::from),
            templates: health.templates.into_iter().map(template).collect(),
            last_error: health.last_error.map(ShownError::from),
        }
    }
}
