//! The figures of a demo, read from Kabar's API, and their one JSON object.

use kabar_sandbox::Stats;
use serde_json::{Value, json};
use std::time::Duration;

/// All of them. `sent` includes `delivered`, `delivered` includes `read`.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Rows of the file, the header not counted.
    pub rows_read: u64,
    /// Distinct valid addresses of the file, new or known.
    pub imported: u64,
    /// Rows whose address stood in an earlier row.
    pub duplicate: u64,
    /// Rows without a valid address.
    pub invalid: u64,
    /// Of the imported, opted out.
    pub opted_out: u64,
    /// Of the rest, without a variable that has no default.
    pub missing_variable: u64,
    /// Whom the campaign went to.
    pub recipients: u64,
    /// Taken by WhatsApp.
    pub sent: u64,
    /// On the phone.
    pub delivered: u64,
    /// Opened.
    pub read: u64,
    /// Answered.
    pub replied: u64,
    /// Refused or undeliverable.
    pub failed: u64,
    /// Not sent in time.
    pub expired: u64,
    /// No proof either way.
    pub unknown: u64,
    /// From the launch until every recipient had ended.
    pub seconds: f64,
    /// Recipients a second.
    pub per_second: f64,
    /// Distinct messages the simulated WhatsApp took.
    pub unique: u64,
    /// Messages it took more than once.
    pub repeated: u64,
}

/// A number in an answer of the API; 0 when it is not there, which the check then finds.
pub(super) fn count(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

impl Figures {
    /// From the import and the campaign as the API shows them.
    pub(super) fn read(import: &Value, campaign: &Value, took: Duration, sandbox: &Stats) -> Self {
        let totals = &campaign["totals"];
        let recipients = count(totals, "recipients");
        let seconds = took.as_secs_f64();
        let per_second = if seconds > 0.0 { recipients as f64 / seconds } else { 0.0 };
        Self {
            rows_read: count(import, "rows_read"),
            imported: count(import, "imported"),
            duplicate: count(import, "duplicate"),
            invalid: count(import, "invalid"),
            opted_out: count(campaign, "opted_out"),
            missing_variable: count(campaign, "missing_variable"),
            recipients,
            sent: count(totals, "sent"),
            delivered: count(totals, "delivered"),
            read: count(totals, "read"),
            replied: count(totals, "replied"),
            failed: count(totals, "failed"),
            expired: count(totals, "expired"),
            unknown: count(totals, "unknown"),
            seconds: (seconds * 1_000.0).round() / 1_000.0,
            per_second: (per_second * 10.0).round() / 10.0,
            unique: sandbox.unique_references,
            repeated: sandbox.repeated,
        }
    }

    /// The object of `--json`; exactly these keys.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "rows_read": self.rows_read,
            "imported": self.imported,
            "duplicate": self.duplicate,
            "invalid": self.invalid,
            "opted_out": self.opted_out,
            "missing_variable": self.missing_variable,
            "recipients": self.recipients,
            "sent": self.sent,
            "delivered": self.delivered,
            "read": self.read,
            "replied": self.replied,
            "failed": self.failed,
            "expired": self.expired,
            "unknown": self.unknown,
            "seconds": self.seconds,
            "per_second": self.per_second,
            "sandbox": {"unique": self.unique, "repeated": self.repeated},
        })
    }
}
