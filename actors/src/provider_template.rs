//! The copies of Meta's templates: written by whoever hears of one, which is a change made here, a webhook, or the reading of
//! a whole account. Not the stored messages of a tenant, and not Meta's review.

mod check;
mod keep;

pub use check::{TemplateBarrier, barrier};
pub use keep::sync;
pub(crate) use keep::{DELETED, keep};

use crate::node::Node;
use kabar_connectors::cloud::ProviderTemplate as Told;
use kabar_engine::id::TenantId;
use kabar_engine::notice::Notice;
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::records::{Evidence, ProviderTemplate};
use serde_json::Value;

/// Tries to write what others write at the same time.
const TRIES: u32 = 5;
/// What a template is whose status was never told.
const UNKNOWN: &str = "UNKNOWN";

/// Which template is meant.
#[derive(Debug, Clone, Copy)]
pub struct TemplateName<'a> {
    /// Meta's id of the account.
    pub waba: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its language, in either spelling.
    pub language: &'a str,
    /// Meta's id of it, when it was told.
    pub id: Option<&'a str>,
}

impl<'a> TemplateName<'a> {
    pub(crate) fn of(known: &'a ProviderTemplate) -> Self {
        let (waba, name, language) = (&known.waba_id, &known.name, &known.language);
        Self { waba, name, language, id: known.provider_id.as_deref() }
    }
}

/// What was heard of a template.
#[derive(Debug, Clone, PartialEq)]
pub enum TemplateNews {
    /// Its status changed: Meta's word for the event, and the reason where there is one.
    Status {
        /// `APPROVED`, `REJECTED`, `PAUSED`, `DISABLED`, `FLAGGED`, `REINSTATED` …
        event: String,
        /// `NONE` is no reason.
        reason: Option<String>,
    },
    /// Its quality changed.
    Quality(String),
    /// Its category changed.
    Category(String),
    /// Its components changed; to what is read at Meta the next time.
    Components,
}

/// A webhook that tells of a moment so long before the last reading is no news: Meta tries for days. Two clocks differ by less.
const LATE_MS: i64 = 60_000;

/// Notes what a webhook told of a template at Meta's moment. Twice comes to the same as once; what was known of it and is not
/// told stays, and so does what was seen well after that moment.
///
/// # Errors
/// What the store could not do.
pub async fn note_status(
    node: &Node,
    tenant: TenantId,
    of: TemplateName<'_>,
    (news, at): (&TemplateNews, Option<Timestamp>),
) -> Result<(), StoreError> {
    let id = ProviderTemplate::id_of(tenant, of.waba, of.name, of.language);
    let known = node.store().nouns.get::<ProviderTemplate>(tenant, id).await?;
    if known.is_some_and(|known| at.is_some_and(|at| at.plus_ms(LATE_MS) < known.noun.seen)) {
        return Ok(());
    }
    let heard = |template: &mut ProviderTemplate| {
        template.evidence = Evidence::Webhook;
        match news {
            TemplateNews::Status { event, reason } => {
                if let Some(status) = status_of(event) {
                    template.status = status.to_owned();
                }
                template.reason = reason.clone().filter(|reason| !reason.is_empty() && reason != "NONE");
            }
            TemplateNews::Quality(score) => template.quality = Some(score.clone()),
            TemplateNews::Category(category) => template.category = Some(category.clone()),
            TemplateNews::Components => template.components = None,
        }
    };
    change(node, tenant, of, heard).await.map(|_| ())
}

/// Takes over what a notice says of a template; of any other it says nothing.
pub(crate) async fn hear(node: &Node, tenant: TenantId, notice: &Notice) -> Result<(), StoreError> {
    let value = notice.read();
    let (Some(waba), Some(named)) = (notice.account.as_deref(), Notice::template(&value)) else {
        return Ok(());
    };
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let news = match (&*notice.field, Notice::event(&value)) {
        ("message_template_components_update", _) => TemplateNews::Components,
        ("template_category_update", Some(category)) => TemplateNews::Category(category.to_owned()),
        (_, Some(_)) if value.get("new_quality_score").is_some() => {
            TemplateNews::Quality(text("new_quality_score").unwrap_or_default())
        }
        ("message_template_status_update", Some(event)) => {
            TemplateNews::Status { event: event.to_owned(), reason: text("reason") }
        }
        _ => return Ok(()),
    };
    // Management webhooks write ids as numbers.
    let id =
        value.get("message_template_id").map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
    let of = TemplateName { waba, name: &named.name, language: &named.language, id: id.as_deref() };
    note_status(node, tenant, of, (&news, notice.at)).await
}

/// What an event makes of a template; `None`: what it was.
fn status_of(event: &str) -> Option<&str> {
    match event {
        "REINSTATED" | "UNARCHIVED" => Some("APPROVED"),
        "FLAGGED" | "LOCKED" => None,
        status => Some(status),
    }
}

/// Changes a template's copy, which is made when there is none.
pub(crate) async fn change(
    node: &Node,
    tenant: TenantId,
    of: TemplateName<'_>,
    heard: impl Fn(&mut ProviderTemplate) + Send + Sync,
) -> Result<ProviderTemplate, StoreError> {
    let (nouns, now) = (&node.store().nouns, Timestamp(node.clock().now_ms()));
    let id = ProviderTemplate::id_of(tenant, of.waba, of.name, of.language);
    for _ in 0..TRIES {
        let stored = nouns.get::<ProviderTemplate>(tenant, id).await?;
        let mut template = stored.as_ref().map_or_else(|| fresh(tenant, id, of, now), |s| s.noun.clone());
        if let Some(id) = of.id {
            template.provider_id = Some(id.to_owned());
        }
        heard(&mut template);
        template.seen = now;
        let written = match stored {
            Some(stored) => nouns.update(&template, stored.version).await.map(|_| ()),
            None => nouns.create(&template).await,
        };
        node.accounts.forget_template(tenant, id);
        match written {
            Ok(()) => return Ok(template),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}

fn fresh(tenant: TenantId, id: u64, of: TemplateName<'_>, now: Timestamp) -> ProviderTemplate {
    ProviderTemplate {
        id,
        tenant,
        waba_id: of.waba.to_owned(),
        name: of.name.to_owned(),
        language: ProviderTemplate::language(of.language),
        provider_id: None,
        status: UNKNOWN.to_owned(),
        quality: None,
        category: None,
        reason: None,
        parameter_format: None,
        ttl_seconds: None,
        components: None,
        said: serde_json::Map::new(),
        made: None,
        seen: now,
        evidence: Evidence::Sync,
        created: now,
    }
}

/// Takes over everything Meta says of a template.
fn take(template: &mut ProviderTemplate, told: &Told) {
    template.provider_id = Some(told.id.clone());
    template.status.clone_from(&told.status);
    template.quality = told.quality().map(str::to_owned);
    template.category = Some(told.category.clone()).filter(|category| !category.is_empty());
    template.reason = told.rejected_reason.clone().filter(|reason| reason != "NONE");
    template.parameter_format.clone_from(&told.parameter_format);
    template.ttl_seconds = told.message_send_ttl_seconds;
    template.components = Some(told.components.clone());
    template.said.clone_from(&told.rest);
}

/// Writes down what Meta answered of one.
pub(crate) async fn told(
    node: &Node,
    tenant: TenantId,
    waba: &str,
    told: &Told,
) -> Result<ProviderTemplate, StoreError> {
    let of = TemplateName { waba, name: &told.name, language: &told.language, id: Some(&told.id) };
    change(node, tenant, of, |template| {
        take(template, told);
        template.evidence = Evidence::Answer;
    })
    .await
}

/// What Meta's id of a template leads to.
///
/// # Errors
/// What the store could not do.
pub async fn by_id(
    node: &Node,
    tenant: TenantId,
    (waba, id): (&str, &str),
) -> Result<Option<ProviderTemplate>, StoreError> {
    let index = Some((ProviderTemplate::PROVIDER_ID, id));
    let found = node.store().nouns.page::<ProviderTemplate>(tenant, index, None, 8).await?;
    Ok(found.into_iter().map(|found| found.noun).find(|template| template.waba_id == waba))
}
