//! The ledger: everything the sandbox received, in order, and what became of it; the oracle a test
//! compares Kabar's own figures with. It never forgets and never deduplicates.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::dice::key;
use super::fate::Act;
use super::message::{Category, Kind, Outgoing, Status};
use super::policy::Policy;
use super::price::Rate;
use super::stats::Stats;
use super::wamid::{self, Id};
use crate::config::NumberConfig;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// WhatsApp has the message, whatever the caller heard.
    Accepted,
    /// Refused with a Graph error.
    Rejected,
    /// Not accepted, and the caller heard no Graph error.
    Lost,
    /// A read receipt or typing indicator.
    Receipt,
}

/// What broke on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Connection reset, not accepted.
    ResetBeforeAccept,
    /// HTTP 429, not accepted.
    Throttled,
    /// HTTP 500 with a Graph body, not accepted.
    #[serde(rename = "graph_500")]
    Graph500,
    /// HTTP 502 without one; the outcome tells whether it was accepted.
    #[serde(rename = "bare_502")]
    Bare502,
    /// Accepted, connection closed without an answer.
    DroppedAfterAccept,
    /// Accepted, answered late.
    Slow,
    /// Refused in the answer by `fail_in_answer`.
    FailInAnswer,
}

/// One request as the ledger shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRow {
    /// Place in the ledger, from 1.
    pub seq: u64,
    /// When it came, Unix milliseconds of the sandbox's clock.
    pub at_ms: i64,
    /// The business number it came for.
    pub phone_number_id: String,
    /// The user: digits, or a user id; empty if the request named none.
    pub to: String,
    /// Kind of message.
    #[serde(rename = "type")]
    pub kind: String,
    /// `biz_opaque_callback_data`.
    pub reference: Option<String>,
    /// Message id, of accepted messages.
    pub wamid: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Error code, of rejected ones.
    pub code: Option<u32>,
    /// What broke on the way.
    pub fault: Option<FaultKind>,
    /// Whether `sent` was produced.
    pub sent: bool,
    /// Whether `delivered` was produced.
    pub delivered: bool,
    /// Whether `read` was produced.
    pub read: bool,
    /// Code of the `failed` that was produced.
    pub failed: Option<u32>,
    /// Whether the user answered.
    pub replied: bool,
}

/// Received messages can be marked read for 30 days.
const INBOX_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// Above this many, ids older than a day are forgotten.
const INBOX_KEPT: usize = 2_000_000;

const SENT: u8 = 1;
const DELIVERED: u8 = 2;
const READ: u8 = 4;
const FAILED: u8 = 8;
const REPLIED: u8 = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Row {
    at_ms: i64,
    to: Box<str>,
    reference: Option<Box<str>>,
    code: u32,
    number: u16,
    id: Id,
    kind: Kind,
    category: Category,
    outcome: Outcome,
    fault: Option<FaultKind>,
    marks: u8,
    rate: Rate,
    template: u64,
}

/// What is written into a row besides the message itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) at_ms: i64,
    pub(crate) id: Id,
    pub(crate) outcome: Outcome,
    pub(crate) code: u32,
    pub(crate) fault: Option<FaultKind>,
    pub(crate) rate: Rate,
}

/// A row's message, copied out so that nobody holds the ledger while telling of it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) number: usize,
    pub(crate) to: Box<str>,
    pub(crate) reference: Option<Box<str>>,
    pub(crate) id: Id,
    pub(crate) category: Category,
    pub(crate) rate: Rate,
    pub(crate) template: u64,
    /// When it was accepted, Unix milliseconds.
    pub(crate) at_ms: i64,
    /// Whether it arrived just now, for the first time.
    pub(crate) arrived: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Heard {
    messages: u64,
    last_ms: i64,
}

/// The rows, and what is counted over them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) generation: u32,
    rows: Vec<Row>,
    attempts: HashMap<u128, u64>,
    references: HashSet<u64>,
    recipients: HashSet<u64>,
    pairs: HashSet<u64>,
    heard: HashMap<u64, Heard>,
    /// When a message (number and id, hashed) was received.
    inbox: HashMap<u64, i64>,
    pub(crate) policy: Policy,
    stats: Stats,
    referenced: u64,
}

/// A ledger as a saved state holds it; what is counted over the rows is counted anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedLedger {
    rows: Vec<Row>,
    /// What was asked, in hexadecimal, and how often.
    attempts: Vec<(String, u64)>,
    heard: HashMap<u64, Heard>,
    inbox: HashMap<u64, i64>,
    policy: Policy,
    stats: Stats,
}

/// The hash of a pair (business number, user).
pub(crate) fn pair(number: usize, address: &str) -> u64 {
    hash(address) ^ (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(crate) fn hash(text: &str) -> u64 {
    key(&[text]) as u64
}

impl Ledger {
    /// How often this question was asked before.
    pub(crate) fn ordinal(&mut self, question: u128) -> u64 {
        let asked = self.attempts.entry(question).or_default();
        *asked += 1;
        *asked - 1
    }

    /// Writes a request down and returns its row.
    pub(crate) fn write(&mut self, message: &Outgoing<'_>, verdict: &Verdict) -> u64 {
        let stats = &mut self.stats;
        match verdict.outcome {
            Outcome::Accepted => {
                stats.accepted += 1;
                self.recipients.insert(hash(message.to));
                self.pairs.insert(pair(message.number, message.to));
                if let Some(reference) = message.reference {
                    self.referenced += 1;
                    self.references.insert(hash(reference));
                }
            }
            Outcome::Rejected => *stats.rejected.entry(verdict.code).or_default() += 1,
            Outcome::Lost => stats.lost += 1,
            Outcome::Receipt => stats.receipts += 1,
        }
        if let Some(fault) = verdict.fault {
            *stats.faults.entry(fault).or_default() += 1;
        }
        self.rows.push(Row {
            at_ms: verdict.at_ms,
            to: message.to.into(),
            reference: message.reference.map(Into::into),
            code: verdict.code,
            number: u16::try_from(message.number).unwrap_or(u16::MAX),
            id: verdict.id,
            kind: message.kind,
            category: message.category,
            outcome: verdict.outcome,
            fault: verdict.fault,
            marks: 0,
            rate: verdict.rate,
            template: message.template,
        });
        self.rows.len() as u64 - 1
    }

    /// Counts a refusal no row can be written for: its number or its token is unknown.
    pub(crate) fn stranger(&mut self, code: u32) {
        *self.stats.rejected.entry(code).or_default() += 1;
    }

    /// Marks a row with what happened, and hands out the message it happened to.
    pub(crate) fn note(&mut self, row: u64, act: Act) -> Option<Told> {
        let row = self.rows.get_mut(usize::try_from(row).ok()?)?;
        let settled = &mut self.stats.messages;
        let (mark, first): (u8, Option<&mut u64>) = match act {
            Act::Reply { .. } => {
                self.stats.replies += 1;
                (REPLIED, Some(&mut settled.replied))
            }
            Act::Block => {
                self.stats.blocks += 1;
                (0, None)
            }
            Act::Status { status, code, .. } => {
                *self.stats.statuses.entry(status.name().to_owned()).or_default() += 1;
                match status {
                    Status::Sent => (SENT, Some(&mut settled.sent)),
                    Status::Delivered => (DELIVERED, Some(&mut settled.delivered)),
                    Status::Read => (READ, Some(&mut settled.read)),
                    Status::Played => (0, None),
                    Status::Failed => {
                        row.code = code;
                        (FAILED, Some(&mut settled.failed))
                    }
                }
            }
        };
        if let Some(first) = first.filter(|_| row.marks & mark == 0) {
            *first += 1;
            if let (FAILED, Act::Status { code, .. }) = (mark, act) {
                *self.stats.failed.entry(code).or_default() += 1;
            }
        }
        // a phone that shows `read` had it, whether `delivered` was told or not
        let arrived = mark & (DELIVERED | READ) != 0 && row.marks & (DELIVERED | READ) == 0;
        row.marks |= mark;
        Some(Told {
            number: usize::from(row.number),
            to: row.to.clone(),
            reference: row.reference.clone(),
            id: row.id,
            category: row.category,
            rate: row.rate,
            template: row.template,
            at_ms: row.at_ms,
            arrived,
        })
    }

    /// Counts a phone that blocked a number without a message of its own.
    pub(crate) fn count_block(&mut self) {
        self.stats.blocks += 1;
    }

    /// A user wrote: returns how often it did before.
    pub(crate) fn hear(&mut self, number: usize, from: &str, at_ms: i64) -> u64 {
        self.stats.inbound += 1;
        self.policy.heard(number, from);
        let heard = self.heard.entry(pair(number, from)).or_default();
        heard.messages += 1;
        heard.last_ms = at_ms;
        heard.messages - 1
    }

    /// Remembers the id of a received message.
    pub(crate) fn note_inbound(&mut self, number: usize, wamid: &str, at_ms: i64) {
        if self.inbox.len() >= INBOX_KEPT {
            self.inbox.retain(|_, at| at_ms - *at < INBOX_MS / 30);
        }
        self.inbox.insert(pair(number, wamid), at_ms);
    }

    /// Whether the number received this message within 30 days.
    pub(crate) fn has_heard(&self, number: usize, wamid: &str, now_ms: i64) -> bool {
        self.inbox.get(&pair(number, wamid)).is_some_and(|at| now_ms - at < INBOX_MS)
    }

    /// When the user last wrote to the number, Unix milliseconds.
    pub(crate) fn last_heard(&self, number: usize, from: &str) -> Option<i64> {
        self.heard.get(&pair(number, from)).map(|heard| heard.last_ms)
    }

    /// The row of the accepted message with this id, newest first.
    pub(crate) fn find(&self, id: Id) -> Option<u64> {
        let accepted = |row: &Row| row.id == id && row.outcome == Outcome::Accepted;
        self.rows.iter().rposition(accepted).map(|at| at as u64)
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// At most `limit` rows after `seq`, in order.
    pub(crate) fn page(&self, after: u64, limit: usize, numbers: &[NumberConfig]) -> Vec<LedgerRow> {
        let skip = usize::try_from(after).unwrap_or(usize::MAX);
        self.rows.iter().enumerate().skip(skip).take(limit).map(|(at, row)| row.show(at, numbers)).collect()
    }

    /// Accepted messages per recipient.
    pub(crate) fn recipients(&self) -> BTreeMap<String, u64> {
        let mut counts: HashMap<&str, u64> = HashMap::with_capacity(self.recipients.len());
        for row in self.rows.iter().filter(|row| row.outcome == Outcome::Accepted) {
            *counts.entry(&row.to).or_default() += 1;
        }
        counts.into_iter().map(|(to, count)| (to.to_owned(), count)).collect()
    }

    /// What was counted so far; webhooks and the schedule are not the ledger's.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.unique_references = self.references.len() as u64;
        stats.unique_recipients = self.recipients.len() as u64;
        stats.repeated = self.referenced - stats.unique_references;
        stats.repeated_recipients = stats.accepted - self.pairs.len() as u64;
        stats
    }

    pub(crate) fn save(&self) -> SavedLedger {
        SavedLedger {
            rows: self.rows.clone(),
            attempts: self
                .attempts
                .iter()
                .map(|(question, asked)| (format!("{question:x}"), *asked))
                .collect(),
            heard: self.heard.clone(),
            inbox: self.inbox.clone(),
            policy: self.policy.clone(),
            stats: self.stats.clone(),
        }
    }

    /// Takes a saved ledger's place; events of before no longer find their row.
    pub(crate) fn load(&mut self, saved: SavedLedger) {
        let question = |(hex, asked): (String, u64)| Some((u128::from_str_radix(&hex, 16).ok()?, asked));
        let mut ledger = Self {
            generation: self.generation.wrapping_add(1),
            attempts: saved.attempts.into_iter().filter_map(question).collect(),
            heard: saved.heard,
            inbox: saved.inbox,
            policy: saved.policy,
            stats: saved.stats,
            ..Self::default()
        };
        for row in saved.rows.iter().filter(|row| row.outcome == Outcome::Accepted) {
            ledger.recipients.insert(hash(&row.to));
            ledger.pairs.insert(pair(usize::from(row.number), &row.to));
            if let Some(reference) = row.reference.as_deref() {
                ledger.referenced += 1;
                ledger.references.insert(hash(reference));
            }
        }
        ledger.rows = saved.rows;
        *self = ledger;
    }

    /// Forgets everything; events of before no longer find their row.
    pub(crate) fn clear(&mut self) {
        *self = Self { generation: self.generation.wrapping_add(1), ..Self::default() };
    }
}

impl Row {
    fn show(&self, at: usize, numbers: &[NumberConfig]) -> LedgerRow {
        let has = |mark| self.marks & mark != 0;
        LedgerRow {
            seq: at as u64 + 1,
            at_ms: self.at_ms,
            phone_number_id: numbers
                .get(usize::from(self.number))
                .map_or_else(String::new, |number| number.phone_number_id.clone()),
            to: self.to.to_string(),
            kind: self.kind.name().to_owned(),
            reference: self.reference.as_deref().map(str::to_owned),
            wamid: (self.outcome == Outcome::Accepted).then(|| wamid::outbound(&self.to, self.id)),
            outcome: self.outcome,
            code: (self.outcome == Outcome::Rejected).then_some(self.code),
            fault: self.fault,
            sent: has(SENT),
            delivered: has(DELIVERED),
            read: has(READ),
            failed: has(FAILED).then_some(self.code),
            replied: has(REPLIED),
        }
    }
}
