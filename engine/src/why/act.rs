//! What an entry does to one message, whether it is a message of its own or a campaign's recipient; and what becomes
//! of its row or mark by it, so that the list can be held against what everybody sees.

use super::{MessageRow, Outcome, PartStart, Report, Shadow, Subject, TenantId, Timestamp, What, step};
use crate::cause::Cause;
use crate::entry::{Entry, Inbound, Intent, Range, StatusReport};
use crate::event::{About, drafts};
use crate::id::MessageId;
use crate::message::Stage;
use crate::part::part_of;
use crate::status::Status;
use std::collections::BTreeSet;

/// What happened to the message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act<'a> {
    Intent(&'a Intent),
    Inbound(&'a Inbound),
    Started(&'a PartStart),
    Claimed,
    Released,
    Parked,
    Answered(&'a Outcome),
    Reported(Report<'a>),
    Resolved { again: bool },
    Ended(Option<Cause>),
    Deferred { due: Timestamp },
    Touched,
}

impl<'a, K: Copy> From<&'a StatusReport<K>> for Report<'a> {
    fn from(report: &'a StatusReport<K>) -> Self {
        Self { status: report.status, at: report.at, cause: report.cause, rest: report.rest.as_deref() }
    }
}

/// What an entry does to it, each with its place in the entry.
pub(super) fn acts(subject: Subject, what: &What) -> Vec<(u32, Act<'_>)> {
    match subject {
        Subject::Message(id) => of_message(id, what),
        Subject::Recipient { campaign, index } => match what {
            What::PartStarted(start) if start.campaign == campaign && start.part == part_of(index) => {
                vec![(0, Act::Started(start))]
            }
            What::Touched { campaign: of, index: at, .. } if *of == campaign && *at == index => {
                vec![(0, Act::Touched)]
            }
            _ if of_campaign(what) == Some(campaign) => of_recipient(index, what),
            _ => Vec::new(),
        },
    }
}

fn of_message(id: MessageId, what: &What) -> Vec<(u32, Act<'_>)> {
    let one = |list: &[MessageId], act| match list.iter().position(|each| *each == id) {
        Some(at) => vec![(place(at), act)],
        None => Vec::new(),
    };
    match what {
        What::Intent(intent) if intent.id == id => vec![(0, Act::Intent(intent))],
        What::Inbound(inbound) if inbound.id == id => vec![(0, Act::Inbound(inbound))],
        What::Claim { messages, .. } => one(messages, Act::Claimed),
        What::Released { messages, .. } => one(messages, Act::Released),
        What::Parked { messages, .. } => one(messages, Act::Parked),
        What::Resolved { again, messages } => one(messages, Act::Resolved { again: *again }),
        What::Ended { cause, messages, .. } => one(messages, Act::Ended(*cause)),
        What::Results(results) => {
            let own = results.iter().enumerate().filter(|(_, (of, _))| *of == id);
            own.map(|(at, (_, outcome))| (place(at), Act::Answered(outcome))).collect()
        }
        What::Statuses(reports) => {
            let own = reports.iter().enumerate().filter(|(_, report)| report.of == id);
            own.map(|(at, report)| (place(at), Act::Reported(report.into()))).collect()
        }
        _ => Vec::new(),
    }
}

fn of_campaign(what: &What) -> Option<crate::id::CampaignId> {
    match what {
        What::PartClaim { campaign, .. }
        | What::PartReleased { campaign, .. }
        | What::PartParked { campaign, .. }
        | What::PartResults { campaign, .. }
        | What::PartStatuses { campaign, .. }
        | What::PartResolved { campaign, .. }
        | What::PartEnded { campaign, .. }
        | What::PartDeferred { campaign, .. } => Some(*campaign),
        _ => None,
    }
}

fn of_recipient(index: u32, what: &What) -> Vec<(u32, Act<'_>)> {
    let one = |ranges: &[Range], act| match nth(ranges, index) {
        Some(at) => vec![(at, act)],
        None => Vec::new(),
    };
    match what {
        What::PartClaim { ranges, .. } => one(ranges, Act::Claimed),
        What::PartReleased { ranges, .. } => one(ranges, Act::Released),
        What::PartParked { ranges, .. } => one(ranges, Act::Parked),
        What::PartResolved { again, ranges, .. } => one(ranges, Act::Resolved { again: *again }),
        What::PartEnded { cause, ranges, .. } => one(ranges, Act::Ended(*cause)),
        What::PartDeferred { due, ranges, .. } => one(ranges, Act::Deferred { due: *due }),
        What::PartResults { results, .. } => {
            let own = results.iter().enumerate().filter(|(_, (of, _))| *of == index);
            own.map(|(at, (_, outcome))| (place(at), Act::Answered(outcome))).collect()
        }
        What::PartStatuses { statuses, .. } => {
            let own = statuses.iter().enumerate().filter(|(_, report)| report.of == index);
            own.map(|(at, report)| (place(at), Act::Reported(report.into()))).collect()
        }
        _ => Vec::new(),
    }
}

/// The how manieth of the ranges' indexes it is.
fn nth(ranges: &[Range], index: u32) -> Option<u32> {
    let mut before = 0;
    for range in ranges {
        if index >= range.first && index - range.first < range.count {
            return Some(before + (index - range.first));
        }
        before += range.count;
    }
    None
}

fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The places in the entry of those of its public events that are of the message.
pub(super) fn events(subject: Subject, entry: &Entry) -> BTreeSet<u32> {
    let of = |about: &About| match (about, subject) {
        (About::Message(of), Subject::Message(id)) => of.message == Some(id),
        (About::Message(of), Subject::Recipient { campaign, index }) => {
            of.recipient == Some((campaign, index))
        }
        _ => false,
    };
    drafts(entry).filter(|draft| of(&draft.about)).map(|draft| draft.index).collect()
}

impl Shadow {
    pub(super) fn apply(&mut self, at: Timestamp, act: &Act<'_>, tenant: TenantId) {
        match self {
            Self::Row(row) => match (act, row.as_mut()) {
                (Act::Intent(intent), None) => {
                    *row = Some(Box::new(MessageRow::accepted(tenant, at, intent)));
                }
                (Act::Inbound(inbound), None) => {
                    *row = Some(Box::new(MessageRow::received(tenant, at, inbound)));
                }
                (_, Some(row)) => change(row, at, act),
                (_, None) => {}
            },
            Self::Mark(mark, launched) => {
                let now = step(*launched, at);
                match act {
                    Act::Claimed => mark.claimed(),
                    Act::Released => mark.released(now),
                    Act::Parked => mark.parked(now),
                    Act::Answered(outcome) => {
                        let since = if let Outcome::Retry { due, .. } = outcome { *due } else { at };
                        mark.answered(step(*launched, since), outcome);
                    }
                    Act::Reported(report) => {
                        if report.details_sent() {
                            mark.detail();
                        }
                        mark.heard(report.status, step(*launched, report.at), report.cause);
                    }
                    Act::Resolved { again } => mark.resolved(now, *again),
                    Act::Ended(cause) => mark.ended(now, *cause),
                    Act::Deferred { due } => mark.deferred(step(*launched, *due)),
                    Act::Touched | Act::Started(_) | Act::Intent(_) | Act::Inbound(_) => {}
                }
            }
        }
    }
}

fn change(row: &mut MessageRow, at: Timestamp, act: &Act<'_>) {
    match act {
        Act::Claimed => row.claimed(at),
        Act::Released => row.released(),
        Act::Parked => row.parked(at),
        Act::Answered(outcome) => row.answered(at, outcome),
        Act::Reported(report) => row.heard(report.status, report.at, report.cause),
        Act::Resolved { again } => row.resolved(at, *again),
        Act::Ended(cause) if row.stage == Stage::Waiting => {
            let status = if cause.is_some() { Status::Failed } else { Status::Expired };
            row.heard(status, at, *cause);
        }
        _ => {}
    }
}
