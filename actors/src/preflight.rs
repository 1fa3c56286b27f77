//! The pre-flight report: what would become of a campaign if it were launched now. It walks the audience as the freezing
//! will and writes nothing down.

use crate::audience::{AudienceWalk, Fate};
use crate::contact_value::contact_value;
use crate::dispatcher::DispatchError;
use crate::freeze::sender_of;
use crate::frequency::{Lately, LatelyError};
use crate::node::Node;
use kabar_engine::audience::Audience;
use kabar_engine::id::SessionId;
use kabar_engine::schedule::{Forecast, forecast, zone_of};
use kabar_engine::template::ContentPattern;
use kabar_engine::time::Timestamp;
use kabar_schema::records::{Campaign as Spec, Import};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// People of the audience.
    pub contacts: u64,
    /// Of them those who would be sent to.
    pub valid: u64,
    /// Rows of the list's file without a valid address; they are no contacts.
    pub invalid: u64,
    /// Rows of the list's file that stood there before.
    pub duplicate: u64,
    /// People who opted out.
    pub opted_out: u64,
    /// People without a value for a variable that has no default.
    pub missing_variable: u64,
    /// People who have had enough marketing.
    pub frequency_capped: u64,
    /// How many people each such variable misses.
    pub missing: BTreeMap<String, u64>,
    /// Of the valid ones those whose turn would come after their validity.
    pub capped: u64,
    /// Valid ones by time zone.
    pub zones: BTreeMap<String, u64>,
    /// When it would begin.
    pub begins: Timestamp,
    /// When the last would be sent.
    pub finish: Timestamp,
    /// What each sender would do.
    pub senders: Vec<SenderForecast>,
}

/// What one sender would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderForecast {
    /// Which.
    pub session: SessionId,
    /// Its pace.
    pub messages_per_second: u32,
    /// Its recipients.
    pub recipients: u64,
    /// When it would be through.
    pub finish: Timestamp,
}

/// Walks the audience and counts.
pub async fn preflight(node: &Arc<Node>, spec: &Spec) -> Result<Preflight, DispatchError> {
    let unavailable = |_| DispatchError::Unavailable { retry_after_ms: 1_000 };
    let pattern = ContentPattern::compile(&spec.content, spec.spintax).map_err(unavailable)?;
    let mut report = Preflight::default();
    let mut dealt: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); spec.senders.len()];
    let lately = match Lately::of(node, spec, None).await {
        Ok(lately) => lately,
        Err(LatelyError::Store(error)) => return Err(error),
        Err(LatelyError::Earlier(_)) => None,
    };
    let mut walk = AudienceWalk::new(node, spec, &pattern, lately).await?;
    loop {
        let page = walk.page().await?;
        if page.is_empty() {
            break;
        }
        for (contact, fate) in page {
            report.contacts += 1;
            match fate {
                Fate::OptedOut => report.opted_out += 1,
                Fate::FrequencyCapped => report.frequency_capped += 1,
                Fate::MissingVariable => {
                    report.missing_variable += 1;
                    for name in pattern.missing(&|name| contact_value(&contact, name)) {
                        *report.missing.entry(name.to_owned()).or_default() += 1;
                    }
                }
                Fate::Recipient => {
                    report.valid += 1;
                    let zone = zone_of(&contact.address, contact.zone.as_deref()).name.into_owned();
                    *report.zones.entry(zone.clone()).or_default() += 1;
                    let place = sender_of(&contact.address, dealt.len());
                    *dealt[place].entry(zone).or_default() += 1;
                }
            }
        }
    }
    if let Audience::Contacts { list: Some(list), .. } = &spec.audience
        && let Some(import) = node.store().nouns.get::<Import>(spec.tenant, list.0).await?
    {
        (report.invalid, report.duplicate) = (import.noun.invalid, import.noun.duplicate);
    }
    forecasts(node, spec, &mut report, &dealt).await?;
    Ok(report)
}

async fn forecasts(
    node: &Arc<Node>,
    spec: &Spec,
    report: &mut Preflight,
    dealt: &[BTreeMap<String, u64>],
) -> Result<(), DispatchError> {
    let now = Timestamp(node.clock().now_ms());
    let begins = spec.begins(now);
    // A recurring one is looked at as its first time.
    let first =
        spec.timing.recurrence.as_ref().and_then(|r| r.next(begins, begins.plus_ms(-1)).ok().flatten());
    let begins = first.unwrap_or(begins);
    let until = begins.plus_ms(spec.timing.valid_for_ms);
    (report.begins, report.finish) = (begins, begins);
    for (session, zones) in spec.senders.iter().zip(dealt) {
        let pace = node.link(spec.tenant, *session).await.map_or(1, |link| link.rate());
        let hours = &spec.timing.hours;
        // Recipients of many zones over many days: some milliseconds of arithmetic.
        let Forecast { finish, late } = forecast(hours, (begins, until), pace, zones);
        report.capped += late;
        report.finish = report.finish.max(finish);
        let recipients = zones.values().sum();
        report.senders.push(SenderForecast {
            session: *session,
            messages_per_second: pace,
            recipients,
            finish,
        });
    }
    Ok(())
}
