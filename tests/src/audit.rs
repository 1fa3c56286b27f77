//! The audit: every recipient and every message of a node held against the oracle, one by one, and the totals
//! against the sum. It looks through the node's own door and changes nothing.

use crate::oracle::{Fate, Oracle, Seen};
use anyhow::{Context, Result};
use kabar_actors::Node;
use kabar_actors::view::{CampaignState, CampaignView};
use kabar_engine::cause::Cause;
use kabar_engine::entry::Frozen;
use kabar_engine::id::{CampaignId, TenantId};
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::Key;
use kabar_engine::part::{PART, Totals};
use kabar_engine::status::Status;

/// Findings that are spelled out; further ones are only counted.
const SPELLED: usize = 20;

/// One message or recipient as Kabar shows it.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it went out under.
    pub reference: String,
    /// Its status.
    pub status: Status,
    /// Why it failed.
    pub cause: Option<Cause>,
}

/// What an audit found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Items looked at.
    pub items: u64,
    /// What does not agree, the first ones spelled out.
    pub wrong: Vec<String>,
    /// How many do not agree.
    pub wrongs: u64,
    /// Items behind what the provider told.
    pub behind: u64,
    /// References that ended `unknown`.
    pub unknown: Vec<String>,
    /// Items that failed.
    pub failed: u64,
    /// Items that expired.
    pub expired: u64,
    /// Items whose person answered, by the ledger.
    pub replied: u64,
}

impl Report {
    /// Notes what does not agree.
    pub fn wrong(&mut self, sentence: String) {
        self.wrongs += 1;
        if self.wrong.len() < SPELLED {
            self.wrong.push(sentence);
        }
    }

    /// Holds one item against the oracle. `excused` tells which references may be `unknown` beside those that met
    /// a doubtful fault: the claims that were open at a kill.
    pub fn item(&mut self, item: &Item, oracle: &Oracle, excused: &dyn Fn(&str) -> bool) {
        self.items += 1;
        let seen = oracle.of(&item.reference);
        self.replied += u64::from(seen.replied);
        if item.status == Status::Unknown {
            self.unknown.push(item.reference.clone());
        }
        self.failed += u64::from(item.status == Status::Failed);
        self.expired += u64::from(item.status == Status::Expired);
        let doubtful = seen.doubtful || excused(&item.reference);
        if let Some(why) = disagreement(item, &seen, doubtful) {
            self.behind += u64::from(is_behind(item, &seen));
            self.wrong(format!("{}: {why}", item.reference));
        }
    }

    /// Takes another report in.
    pub fn add(&mut self, other: Self) {
        self.items += other.items;
        self.wrongs += other.wrongs;
        self.behind += other.behind;
        self.replied += other.replied;
        self.failed += other.failed;
        self.expired += other.expired;
        self.unknown.extend(other.unknown);
        let room = SPELLED.saturating_sub(self.wrong.len());
        self.wrong.extend(other.wrong.into_iter().take(room));
    }

    /// Fails with every finding.
    ///
    /// # Panics
    /// When something does not agree.
    pub fn assert_clean(&self) {
        let lines: Vec<_> = self.wrong.iter().map(|line| format!("\n  {line}")).collect();
        assert!(self.wrongs == 0, "{} of {} do not agree:{}", self.wrongs, self.items, lines.concat());
    }
}

/// What the provider told and Kabar does not show.
fn is_behind(item: &Item, seen: &Seen) -> bool {
    let shown = match item.status {
        Status::Sent => Some(Fate::Sent),
        Status::Delivered => Some(Fate::Delivered),
        Status::Read | Status::Played => Some(Fate::Read),
        Status::Failed => Some(Fate::Failed(item.cause.map_or(0, |c| c.0))),
        _ => None,
    };
    seen.fate.is_some_and(|fate| fate > Fate::Taken) && seen.fate > shown
}

/// Why the two do not agree, if they do not.
fn disagreement(item: &Item, seen: &Seen, doubtful: bool) -> Option<String> {
    let Item { status, cause, .. } = item;
    if seen.accepted > 1 {
        return Some(format!("accepted {} times", seen.accepted));
    }
    let fits = match seen.fate {
        None => match status {
            Status::Failed | Status::Expired => true,
            Status::Unknown => doubtful,
            _ => false,
        },
        Some(Fate::Taken) => *status == Status::Sent || *status == Status::Unknown && doubtful,
        Some(Fate::Sent) => *status == Status::Sent,
        Some(Fate::Failed(code)) => *status == Status::Failed && *cause == Some(Cause(code)),
        Some(Fate::Delivered) => *status == Status::Delivered,
        Some(Fate::Read) => *status == Status::Read,
    };
    let shown = cause.map_or_else(|| format!("{status:?}"), |c| format!("{status:?} ({})", c.0));
    (!fits).then(|| match seen.fate {
        None => format!("Kabar says {shown}, the ledger does not have it"),
        Some(fate) => format!("Kabar says {shown}, the ledger {fate:?}"),
    })
}

/// A campaign as Kabar shows it.
///
/// # Errors
/// It was never launched, or the store cannot be read.
pub async fn view(
    node: &std::sync::Arc<Node>,
    tenant: TenantId,
    campaign: CampaignId,
) -> Result<CampaignView> {
    node.dispatcher().campaign(tenant, campaign).await?.context("the campaign is not known")
}

/// Every recipient of a campaign, one by one from its mark, and the totals from their sum.
///
/// # Errors
/// The campaign is not frozen, or the store cannot be read.
pub async fn campaign(
    node: &std::sync::Arc<Node>,
    (tenant, campaign): (TenantId, CampaignId),
    oracle: &Oracle,
    excused: &dyn Fn(&str) -> bool,
) -> Result<Report> {
    let mut report = Report::default();
    let mut sum = Totals::default();
    let shard = node.shard_of_campaign(tenant, campaign);
    let row = shard.read(&[Key::Campaign(campaign)], move |o| o.campaign(campaign)).await?;
    let frozen = row.and_then(|r| r.frozen.clone()).context("the campaign is not frozen")?;
    for item in recipients(node, (tenant, campaign), &frozen).await? {
        report.item(&item, oracle, excused);
        add(&mut sum, &item);
    }
    let shown = view(node, tenant, campaign).await?;
    let ended = matches!(shown.state, CampaignState::Finished | CampaignState::Cancelled);
    if !ended {
        report.wrong(format!("{campaign}: still {:?}", shown.state));
    }
    // What was charged is no mark's to tell: each delivered recipient once, whatever came twice, where prices are told.
    let charged: u64 = shown.totals.charged.values().sum();
    if charged != 0 && charged != sum.delivered {
        report.wrong(format!("{campaign}: {charged} charged of {} delivered", sum.delivered));
    }
    let told = shown.totals.clone();
    let totals = Totals { replied: 0, causes: sum.causes.clone(), charged: sum.charged.clone(), ..told };
    if totals != sum || shown.totals.causes != sum.causes {
        report.wrong(format!("{campaign}: the totals {:?} are not the sum {sum:?}", shown.totals));
    }
    let kept = shown.audience.checked_sub(shown.opted_out + shown.missing_variable + shown.frequency_capped);
    if kept != Some(sum.recipients) {
        report.wrong(format!("{campaign}: {} recipients of {shown:?}", sum.recipients));
    }
    Ok(report)
}

async fn recipients(
    node: &std::sync::Arc<Node>,
    (tenant, campaign): (TenantId, CampaignId),
    frozen: &Frozen,
) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for (part, line) in (0_u32..).zip(&frozen.parts) {
        let shard = node.shard_of_session(tenant, line.session);
        let indexes = part * PART..part * PART + line.recipients;
        let look = move |o: &kabar_engine::overlay::Overlay| {
            indexes.clone().map(|index| (index, o.mark(campaign, index))).collect::<Vec<_>>()
        };
        for (index, mark) in shard.read(&[Key::Part(campaign, part)], look).await? {
            let mark = mark.unwrap_or_default();
            let reference = Reference::Campaign(campaign, index).to_string();
            items.push(Item { reference, status: mark.state().status(), cause: mark.cause() });
        }
    }
    Ok(items)
}

fn add(sum: &mut Totals, item: &Item) {
    sum.recipients += 1;
    match item.status {
        Status::Sent => sum.sent += 1,
        Status::Delivered => (sum.sent, sum.delivered) = (sum.sent + 1, sum.delivered + 1),
        Status::Read | Status::Played => {
            (sum.sent, sum.delivered, sum.read) = (sum.sent + 1, sum.delivered + 1, sum.read + 1);
        }
        Status::Failed => {
            sum.failed += 1;
            *sum.causes.entry(item.cause.unwrap_or(Cause::UNREADABLE)).or_default() += 1;
        }
        Status::Expired => sum.expired += 1,
        Status::Unknown => sum.unknown += 1,
        Status::Queued | Status::Received => sum.waiting += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: Status, cause: Option<u32>, fate: Option<Fate>, doubtful: bool) -> bool {
        let item = Item { reference: "r".into(), status, cause: cause.map(Cause) };
        let seen = Seen { accepted: u32::from(fate.is_some()), fate, ..Seen::default() };
        disagreement(&item, &seen, doubtful).is_none()
    }

    #[test]
    fn what_is_missing_in_the_ledger_is_never_called_sent() {
        for status in [Status::Sent, Status::Delivered, Status::Read, Status::Queued] {
            assert!(!verdict(status, None, None, true), "{status:?}");
        }
        assert!(verdict(Status::Unknown, None, None, true));
        assert!(!verdict(Status::Unknown, None, None, false), "nobody doubted it");
        assert!(verdict(Status::Failed, Some(131_026), None, false));
    }

    #[test]
    fn what_the_provider_told_is_what_kabar_shows() {
        assert!(verdict(Status::Read, None, Some(Fate::Read), false));
        assert!(!verdict(Status::Delivered, None, Some(Fate::Read), false));
        assert!(!verdict(Status::Unknown, None, Some(Fate::Sent), true), "a status was told");
        assert!(verdict(Status::Unknown, None, Some(Fate::Taken), true), "no status was told");
        assert!(verdict(Status::Failed, Some(131_026), Some(Fate::Failed(131_026)), false));
        assert!(!verdict(Status::Failed, Some(131_000), Some(Fate::Failed(131_026)), false));
    }
}
