//! Whether the figures agree: with each other, and with the ledger of the simulated WhatsApp, which shares no code
//! with Kabar. Every difference is an error.

use super::figures::{Figures, count};
use kabar_sandbox::{Outcome, Sandbox};
use serde_json::Value;
use std::collections::HashSet;

/// Rows of the ledger read at once.
const PAGE: usize = 10_000;
/// Refusals that only delay a message.
const THROTTLES: [u32; 3] = [80_007, 130_429, 131_056];
/// Meta's own codes begin here.
const META: u64 = 1_000;

/// What the ledger says of the messages it took. A message is told by its reference.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Messages taken.
    accepted: u64,
    /// Distinct ones.
    unique: u64,
    /// Of them, those that failed later.
    failed: u64,
    /// Of them, those on the phone, also when only `read` was told.
    delivered: u64,
    read: u64,
    replied: u64,
    /// Requests refused for good.
    refused: u64,
    /// Recipients that got more than one message.
    doubled: u64,
}

impl Seen {
    /// Reads the whole ledger.
    pub(super) fn of(sandbox: &Sandbox) -> Self {
        let mut seen = Self::default();
        let (mut references, mut after) = (HashSet::new(), 0);
        loop {
            let rows = sandbox.ledger_page(after, PAGE);
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in rows {
                let throttled = row.code.is_some_and(|code| THROTTLES.contains(&code));
                seen.refused += u64::from(row.outcome == Outcome::Rejected && !throttled);
                if row.outcome != Outcome::Accepted {
                    continue;
                }
                seen.accepted += 1;
                if !references.insert(row.reference.unwrap_or_default()) {
                    continue;
                }
                seen.unique += 1;
                seen.failed += u64::from(row.failed.is_some());
                seen.delivered += u64::from(row.delivered || row.read);
                seen.read += u64::from(row.read);
                seen.replied += u64::from(row.replied);
            }
        }
        seen.doubled = sandbox.recipients().values().filter(|messages| **messages > 1).count() as u64;
        seen
    }
}

/// One sentence per difference; none when all is well.
pub(super) fn differences(figures: &Figures, campaign: &Value, seen: &Seen) -> Vec<String> {
    let f = figures;
    let mut found = Vec::new();
    let mut same = |what: &str, left: u64, right: u64| {
        if left != right {
            found.push(format!("{what}: {left} against {right}"));
        }
    };
    same(
        "imported + duplicate + invalid against rows_read",
        f.imported + f.duplicate + f.invalid,
        f.rows_read,
    );
    same("audience against imported", count(campaign, "contacts"), f.imported);
    let left = f.imported.saturating_sub(f.opted_out + f.missing_variable);
    same("recipients against imported - opted_out - missing_variable", f.recipients, left);
    same(
        "sent + failed + expired + unknown against recipients",
        f.sent + f.failed + f.expired + f.unknown,
        f.recipients,
    );
    same("delivered", f.delivered, seen.delivered);
    same("read", f.read, seen.read);
    same("replied", f.replied, seen.replied);
    same("messages WhatsApp took twice against none", seen.accepted - seen.unique, 0);
    same("recipients WhatsApp wrote to twice against none", seen.doubled, 0);
    // Taken and not failed later is `sent`; of an `unknown` one nobody here knows whether it was taken.
    let good = seen.unique - seen.failed;
    if !(f.sent..=f.sent + f.unknown).contains(&good) {
        found.push(format!(
            "sent: {} (and {} unknown) against {good} that WhatsApp took and did not fail",
            f.sent, f.unknown
        ));
    }
    let causes = campaign["totals"]["causes"].as_array().cloned().unwrap_or_default();
    let provider = |cause: &&Value| count(cause, "number") >= META;
    let told: u64 = causes.iter().filter(provider).map(|cause| count(cause, "count")).sum();
    if !(seen.failed..=seen.failed + seen.refused).contains(&told) {
        found.push(format!(
            "failed at WhatsApp: {told} against {} that failed later and {} that it refused",
            seen.failed, seen.refused
        ));
    }
    let all: u64 = causes.iter().map(|cause| count(cause, "count")).sum();
    if all != f.failed {
        found.push(format!("causes of failure: {all} against {} failed", f.failed));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_sandbox::Stats;
    use serde_json::json;
    use std::time::Duration;

    fn campaign() -> Value {
        json!({
            "contacts": 90, "opted_out": 5, "missing_variable": 5,
            "totals": {"recipients": 80, "sent": 74, "delivered": 70, "read": 50, "replied": 4, "failed": 5,
                "expired": 0, "unknown": 1, "causes": [{"number": 131_026, "count": 3}, {"number": 2, "count": 2}]}
        })
    }

    fn seen() -> Seen {
        Seen {
            accepted: 77,
            unique: 77,
            failed: 3,
            delivered: 70,
            read: 50,
            replied: 4,
            refused: 0,
            doubled: 0,
        }
    }

    fn figures(campaign: &Value) -> Figures {
        let import = json!({"rows_read": 100, "imported": 90, "duplicate": 6, "invalid": 4});
        Figures::read(&import, campaign, Duration::from_secs(2), &Stats::default())
    }

    #[test]
    fn figures_that_agree_are_found_to_agree() {
        let campaign = campaign();
        assert_eq!(differences(&figures(&campaign), &campaign, &seen()), Vec::<String>::new());
        assert_eq!(figures(&campaign).per_second, 40.0);
        // The unknown one may have been taken.
        let taken = Seen { accepted: 78, unique: 78, ..seen() };
        assert!(differences(&figures(&campaign), &campaign, &taken).is_empty());
    }

    #[test]
    fn every_single_difference_is_named() {
        for (field, word) in [
            ("recipients", "recipients"),
            ("sent", "sent"),
            ("delivered", "delivered"),
            ("read", "read"),
            ("replied", "replied"),
            ("failed", "causes of failure"),
            ("expired", "expired"),
        ] {
            let mut wrong = campaign();
            wrong["totals"][field] = json!(count(&wrong["totals"], field) + 2);
            let found = differences(&figures(&wrong), &wrong, &seen());
            assert!(found.iter().any(|f| f.contains(word)), "{field}: {found:?}");
        }
        let campaign = campaign();
        for (wrong, word) in [
            (Seen { accepted: 78, ..seen() }, "twice"),
            (Seen { doubled: 1, ..seen() }, "wrote to twice"),
            (Seen { unique: 70, accepted: 70, ..seen() }, "did not fail"),
            (Seen { failed: 4, ..seen() }, "failed at WhatsApp"),
        ] {
            let found = differences(&figures(&campaign), &campaign, &wrong);
            assert!(found.iter().any(|f| f.contains(word)), "{wrong:?}: {found:?}");
        }
    }

    #[test]
    fn the_object_has_exactly_the_promised_keys() {
        let json = figures(&campaign()).json();
        let keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut promised = [
            "rows_read",
            "imported",
            "duplicate",
            "invalid",
            "opted_out",
            "missing_variable",
            "recipients",
            "sent",
            "delivered",
            "read",
            "replied",
            "failed",
            "expired",
            "unknown",
            "seconds",
            "per_second",
            "sandbox",
        ];
        promised.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, promised);
        assert_eq!(json["sandbox"].as_object().unwrap().len(), 2);
    }
}
