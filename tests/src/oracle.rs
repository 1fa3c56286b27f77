//! The oracle: what the sandbox's ledger says must be true of every reference, read without any of Kabar's code.
//! It knows nothing of Kabar's answer; the audit compares the two.

use kabar_sandbox::{FaultKind, LedgerRow, Outcome};
use std::collections::BTreeMap;

/// How far a message got by the sandbox's own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Taken; no status was told.
    Taken,
    /// Taken, and told so.
    Sent,
    /// Taken, then failed with this code.
    Failed(u32),
    /// On the phone.
    Delivered,
    /// Opened.
    Read,
}

/// Everything the ledger holds under one reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// How often it was accepted: more than once is a duplicate.
    pub accepted: u32,
    /// How far it got, once accepted.
    pub fate: Option<Fate>,
    /// A fault met one of its requests after which nobody can know whether it was accepted.
    pub doubtful: bool,
    /// The person answered it.
    pub replied: bool,
    /// Codes of refusals in the answer.
    pub refusals: Vec<u32>,
}

/// The ledger by reference.
#[derive(Debug, Clone, Default)]
pub struct Oracle {
    rows: BTreeMap<String, Seen>,
    /// Accepted messages beyond the first of their reference.
    pub duplicates: u64,
    /// Accepted requests that named no reference.
    pub nameless: u64,
}

impl Oracle {
    /// Reads a ledger.
    #[must_use]
    pub fn read(ledger: &[LedgerRow]) -> Self {
        let mut oracle = Self::default();
        for row in ledger.iter().filter(|row| row.outcome != Outcome::Receipt) {
            let Some(reference) = &row.reference else {
                oracle.nameless += u64::from(row.outcome == Outcome::Accepted);
                continue;
            };
            let seen = oracle.rows.entry(reference.clone()).or_default();
            seen.doubtful |= is_doubtful(row);
            seen.replied |= row.replied;
            seen.refusals.extend(row.code.filter(|_| row.outcome == Outcome::Rejected));
            if row.outcome == Outcome::Accepted {
                seen.accepted += 1;
                seen.fate = seen.fate.max(Some(fate(row)));
                oracle.duplicates += u64::from(seen.accepted > 1);
            }
        }
        oracle
    }

    /// What is known of a reference.
    #[must_use]
    pub fn of(&self, reference: &str) -> Seen {
        self.rows.get(reference).cloned().unwrap_or_default()
    }

    /// References that were accepted.
    pub fn accepted(&self) -> impl Iterator<Item = (&str, &Seen)> {
        self.rows.iter().filter(|(_, seen)| seen.accepted > 0).map(|(name, seen)| (name.as_str(), seen))
    }
}

fn fate(row: &LedgerRow) -> Fate {
    match row.failed {
        _ if row.read => Fate::Read,
        _ if row.delivered => Fate::Delivered,
        Some(code) => Fate::Failed(code),
        None if row.sent => Fate::Sent,
        None => Fate::Taken,
    }
}

fn is_doubtful(row: &LedgerRow) -> bool {
    let faults =
        [FaultKind::Bare502, FaultKind::DroppedAfterAccept, FaultKind::ResetBeforeAccept, FaultKind::Slow];
    row.fault.is_some_and(|fault| faults.contains(&fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(reference: &str, outcome: Outcome) -> LedgerRow {
        LedgerRow {
            seq: 1,
            at_ms: 0,
            phone_number_id: "1".into(),
            to: "62".into(),
            kind: "template".into(),
            reference: Some(reference.into()),
            wamid: None,
            outcome,
            code: None,
            fault: None,
            sent: true,
            delivered: false,
            read: false,
            failed: None,
            replied: false,
        }
    }

    #[test]
    fn a_second_acceptance_is_a_duplicate_and_the_furthest_fate_counts() {
        let read = LedgerRow { read: true, ..row("a", Outcome::Accepted) };
        let lost = LedgerRow { fault: Some(FaultKind::Bare502), ..row("b", Outcome::Lost) };
        let oracle = Oracle::read(&[row("a", Outcome::Accepted), read, lost]);
        assert_eq!(oracle.duplicates, 1);
        assert_eq!(oracle.of("a").fate, Some(Fate::Read));
        let b = oracle.of("b");
        assert!(b.accepted == 0 && b.doubtful && b.fate.is_none());
        assert_eq!(oracle.of("c"), Seen::default());
        assert_eq!(oracle.accepted().count(), 1);
    }
}
