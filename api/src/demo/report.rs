//! What people read at the end: a table that adds up, why messages failed, what to try next.

use super::figures::{Figures, count};
use super::stage::Stage;
use serde_json::Value;
use std::fmt::Write;

/// A number with thousands separated.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The table. Writing into a string cannot fail.
pub(super) fn table(f: &Figures, campaign: &Value, differences: &[String]) -> String {
    let mut text = String::from("\n");
    let mut line = |name: &str, value: u64, note: &str| {
        let _ = writeln!(text, "{}", format!("  {name:<20}{:>12}   {note}", grouped(value)).trim_end());
    };
    line("rows in the file", f.rows_read, "");
    line("imported", f.imported, "");
    line("duplicate", f.duplicate, "");
    line("invalid", f.invalid, "imported + duplicate + invalid = rows");
    line("opted out", f.opted_out, "");
    line("missing variable", f.missing_variable, "");
    line("recipients", f.recipients, "imported - opted out - missing variable");
    line("sent", f.sent, "");
    line("  delivered", f.delivered, "of the sent");
    line("  read", f.read, "of the delivered");
    line("  replied", f.replied, "");
    line("failed", f.failed, "");
    line("expired", f.expired, "");
    line("unknown", f.unknown, "sent + failed + expired + unknown = recipients");
    let _ =
        writeln!(text, "\n  {:.1} s for the campaign, {:.0} recipients a second", f.seconds, f.per_second);
    if differences.is_empty() {
        let taken = grouped(f.unique);
        let _ = writeln!(text, "  WhatsApp's own ledger agrees: {taken} messages taken, none of them twice");
    }
    for difference in differences {
        let _ = writeln!(text, "  DIFFERENCE  {difference}");
    }
    let causes = campaign["totals"]["causes"].as_array().cloned().unwrap_or_default();
    if !causes.is_empty() {
        text.push_str("\nWhy messages failed\n");
    }
    for cause in causes {
        let word = |field: &str| cause[field].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(
            text,
            "  {:>7}  {} ({}): {}\n           {}",
            grouped(count(&cause, "count")),
            word("code"),
            cause["number"],
            word("meaning"),
            word("remedy")
        );
    }
    text
}

/// What to do after the demo.
pub(super) fn next() -> &'static str {
    "\nTry next\n  kabar demo --contacts your.csv      your own contacts, still to a simulated WhatsApp\n  \
     kabar demo --rows 100000            more of them\n  kabar demo --keep                   stay up and try the API\n  \
     kabar serve                         the real thing: see README.md\n"
}

/// What to do while it stays up.
pub(super) fn stay(stage: &Stage, campaign: &Value) -> String {
    let (url, key, session) = (&stage.url, &stage.key, &stage.session);
    let id = campaign["id"].as_str().unwrap_or_default();
    format!(
        "\nStaying up until Ctrl-C\n  URL      {url}\n  API key  {key}\n\n\
         curl {url}/v1/campaigns/{id} -H 'Authorization: Bearer {key}'\n\
         curl '{url}/v1/contacts?limit=5' -H 'Authorization: Bearer {key}'\n\
         curl {url}/v1/messages -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d \
         '{{\"session\":\"{session}\",\"to\":\"6281234567890\",\"type\":\"template\",\"template\":{{\"name\":\"halo\",\
         \"language\":{{\"code\":\"id\"}}}}}}'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }
}
