//! What a notice says of a number's health. A notice older than what is known changes nothing.

use super::{Blocks, Evidence, Health, Restriction, Standing, TemplateName, Told};
use crate::cause::Cause;
use crate::id::EventId;
use crate::notice::Notice;
use crate::time::{HOUR_MS, MINUTE_MS, Timestamp};
use serde_json::Value;

/// How long a template is held that is paused for a reason nobody told the length of: Meta's second pause.
const PAUSE_MS: i64 = 6 * HOUR_MS;

/// How a template stands after this code, and how long it is held; `None`: until it is told otherwise.
pub(super) fn held_by(cause: Cause) -> (&'static str, Option<i64>) {
    match cause.number() {
        132_016 => ("DISABLED", None),
        132_015 => ("PAUSED", Some(30 * MINUTE_MS)),
        134_101 => ("SYNCING", Some(10 * MINUTE_MS)),
        132_069 => ("THROTTLED", Some(10 * MINUTE_MS)),
        _ => ("REFUSED", Some(HOUR_MS)),
    }
}

impl Health {
    /// Takes over what a notice says; `false` when it says nothing new. `event` is the notice's own, `heard` when it came.
    pub fn hear(&mut self, notice: &Notice, event: EventId, heard: Timestamp) -> bool {
        let before = self.clone();
        let at = notice.at.unwrap_or(heard);
        self.take(&notice.field, &notice.read(), (at, Evidence::Event(event)));
        *self != before
    }

    fn take(&mut self, field: &str, value: &Value, (at, by): (Timestamp, Evidence)) {
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let told = |value: &str| Some(Told { value: value.to_owned(), at, by });
        // The reference's own sample of a template's quality stands under another field.
        if value.get("new_quality_score").is_some() {
            return self.template(value, (at, by));
        }
        match field {
            "message_template_status_update" => self.template(value, (at, by)),
            "phone_number_quality_update" => {
                match text("event") {
                    Some("THROUGHPUT_UPGRADE") => newer(&mut self.throughput, told("HIGH")),
                    Some("FLAGGED") => newer(&mut self.quality, told("RED")),
                    Some("UNFLAGGED") => newer(&mut self.quality, told("YELLOW")),
                    _ => {}
                }
                newer(&mut self.messaging_limit, limit(value).and_then(|limit| told(&limit)));
            }
            "business_capability_update" => {
                newer(&mut self.messaging_limit, limit(value).and_then(|limit| told(&limit)));
            }
            "phone_number_name_update" => newer(&mut self.display_name, text("decision").and_then(told)),
            "account_review_update" => newer(&mut self.review, text("decision").and_then(told)),
            "account_alerts" => newer(&mut self.alert, Notice::event(value).and_then(told)),
            "account_update" => {
                let restriction = restriction(value);
                newer(&mut self.restriction, restriction.map(|value| Told { value, at, by }));
            }
            _ => {}
        }
    }

    fn template(&mut self, value: &Value, (at, by): (Timestamp, Evidence)) {
        let Some(name) = Notice::template(value) else { return };
        let known = self.templates.get(&name.key());
        if known.is_some_and(|known| known.at > at) {
            return;
        }
        let mut standing = known.map_or_else(
            || Standing { state: "UNKNOWN".into(), quality: None, held: false, until: None },
            |known| known.value.clone(),
        );
        if let Some(quality) = value.get("new_quality_score").and_then(Value::as_str) {
            standing.quality = Some(quality.to_owned());
        } else if let Some(event) = value.get("event").and_then(Value::as_str) {
            let title = value.get("other_info").and_then(|info| info.get("title")).and_then(Value::as_str);
            event.clone_into(&mut standing.state);
            (standing.held, standing.until) = held(event, title, at);
        }
        self.put_template(&TemplateName { ..name }, Told { value: standing, at, by });
    }
}

fn newer<T>(slot: &mut Option<Told<T>>, told: Option<Told<T>>) {
    let Some(told) = told else { return };
    if slot.as_ref().is_none_or(|known| known.at <= told.at) {
        *slot = Some(told);
    }
}

/// Meta pauses for 3 hours, the second time for 6, the third time for ever.
fn held(event: &str, title: Option<&str>, at: Timestamp) -> (bool, Option<Timestamp>) {
    match (event, title) {
        (_, Some("UNPAUSE")) => (false, None),
        ("PAUSED", Some("FIRST_PAUSE")) => (true, Some(at.plus_ms(3 * HOUR_MS))),
        ("PAUSED", _) => (true, Some(at.plus_ms(PAUSE_MS))),
        ("DISABLED", _) => (true, None),
        _ => (false, None),
    }
}

/// A number in older versions, a word like `TIER_2K` in newer ones.
fn limit(value: &Value) -> Option<String> {
    let keys = [
        "max_daily_conversations_per_business",
        "max_daily_conversation_per_phone",
        "max_daily_conversations_per_phone",
        "current_limit",
    ];
    match keys.iter().find_map(|key| value.get(key))? {
        Value::String(word) if !word.is_empty() => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What an account update says of what the account may not do; `None`: nothing.
fn restriction(value: &Value) -> Option<Restriction> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let all = |kind: String, blocks| Some(Restriction { kind, blocks, until: None, answers: None });
    let event = text(value, "event")?;
    match event.as_str() {
        "DISABLED_UPDATE" => {
            let state = value.get("ban_info").and_then(|info| text(info, "waba_ban_state"))?;
            let blocks = if state == "DISABLE" { Blocks::All } else { Blocks::Nothing };
            all(state, blocks)
        }
        "ACCOUNT_DELETED" | "ACCOUNT_OFFBOARDED" => all(event, Blocks::All),
        "ACCOUNT_RECONNECTED" => all(event, Blocks::Nothing),
        "ACCOUNT_VIOLATION" => {
            let what = value.get("violation_info").and_then(|info| text(info, "violation_type"));
            all(what.unwrap_or(event), Blocks::Nothing)
        }
        "ACCOUNT_RESTRICTION" => {
            let list = value.get("restriction_info").and_then(Value::as_array)?;
            let kinds: Vec<String> = list.iter().filter_map(|one| text(one, "restriction_type")).collect();
            let most = kinds.iter().map(|kind| blocks(kind)).max().unwrap_or(Blocks::Nothing);
            // Each has its own end; one that says none lasts until it is told otherwise.
            let end = |least: Blocks| {
                let of =
                    |one: &&Value| text(one, "restriction_type").is_some_and(|kind| blocks(&kind) >= least);
                let ends = list.iter().filter(of).map(|one| moment(one.get("expiration")?));
                ends.collect::<Option<Vec<_>>>().and_then(|ends| ends.into_iter().max())
            };
            let until = (most > Blocks::Nothing).then(|| end(Blocks::Initiated)).flatten();
            let answers = (most == Blocks::All).then(|| end(Blocks::All)).flatten();
            Some(Restriction { kind: kinds.join(","), blocks: most, until, answers })
        }
        _ => None,
    }
}

/// Who may not even answer may not begin either: Meta takes the one away after the other. Other restrictions are about calls,
/// further numbers and the making of templates.
fn blocks(kind: &str) -> Blocks {
    match kind {
        "RESTRICTED_BIZ_INITIATED_MESSAGING" => Blocks::Initiated,
        "RESTRICTED_CUSTOMER_INITIATED_MESSAGING" => Blocks::All,
        _ => Blocks::Nothing,
    }
}

/// Seconds since 1970, as a number or its digits, or a date as Graph writes one: `2026-12-24T11:00:00+0000`.
fn moment(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_i64().or_else(|| value.as_str()?.parse().ok());
    if let Some(seconds) = seconds {
        return Some(Timestamp(seconds.checked_mul(1_000)?));
    }
    let text = value.as_str()?;
    let (date, minutes) = text.split_at_checked(text.len().checked_sub(2)?)?;
    Timestamp::from_rfc3339(text).or_else(|| Timestamp::from_rfc3339(&format!("{date}:{minutes}")))
}
