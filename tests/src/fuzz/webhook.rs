//! Webhooks of the Cloud API: `kabar_connectors::cloud::parse`, and the checks before it.

use super::{about, kind};
use kabar_connectors::cloud::{Change, NumberEvents, ParseError, challenge, parse, verify};
use kabar_engine::beside::REST_BYTES;
use kabar_engine::notice::KEY_CHARS;
use kabar_engine::time::Timestamp;
use serde_json::{Value, json};
use std::collections::HashSet;

pub(super) const WORDS: &[&str] = &[
    "{\"object\":\"whatsapp_business_account\",\"entry\":[",
    "\"changes\":[",
    "\"field\":\"messages\"",
    "\"field\":\"user_preferences\"",
    "\"value\":{",
    "\"metadata\":{\"phone_number_id\":\"106000000000001\"}",
    "\"statuses\":[",
    "\"messages\":[",
    "\"contacts\":[",
    "\"errors\":[",
    "\"user_preferences\":[",
    "\"user_actions\":[",
    "\"timestamp\":\"1790000003\"",
    "\"status\":\"failed\"",
    "\"type\":\"text\"",
    "\"type\":\"system\"",
    "\"type\":\"unsupported\"",
    "\"biz_opaque_callback_data\":\"v1|",
    "\"pricing\":{\"billable\":true}",
    "\"id\":\"wamid.A\"",
    "\"from\":\"6281234567890\"",
    "\"user_id\":\"ID.1349120865530\"",
    "null",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
];

/// Lists of a change's value, each item of which must be found again.
const LISTS: [&str; 5] = ["statuses", "messages", "user_preferences", "errors", "user_actions"];
/// What stands beside them in every value.
const BESIDE: [&str; 3] = ["messaging_product", "metadata", "contacts"];
/// The last moment Meta's seconds may name, and the longest text that is kept of its words.
const LAST_MS: i64 = 253_402_300_799_000;
const WORDS_MAX: usize = 512;
/// Bytes of people's names and ids that are kept beside the items of a list.
const CONTACTS_MAX: usize = 4 * 1024;

/// Any bytes are a webhook or refused; of one that is well-formed every item is found again, read or as it came, under a number
/// that stands once; nothing is larger than what came.
///
/// # Panics
/// When one of these is not so.
pub fn webhook(data: &[u8]) -> u64 {
    doors(data);
    let told = parse(data);
    assert_eq!(told, parse(data), "the same again");
    let value: Option<Value> = serde_json::from_slice(data).ok();
    match (&told, &value) {
        (Err(ParseError::Json { line, column }), None) => assert!(*line >= 1 || *column == 0),
        (Err(ParseError::Json { .. }), Some(_)) => panic!("JSON is refused as none"),
        (Ok(_) | Err(ParseError::Envelope), _) => {}
    }
    if let Some(value) = &value {
        nothing_is_lost(value);
    }
    let Ok(changes) = &told else { return kind(format!("{:?}", told.map_err(plain))) };
    let mut seen = HashSet::new();
    let mut kept = 0;
    for change in changes {
        match change {
            Change::Unknown { raw, at, .. } => {
                kept += raw.len();
                assert!(at.is_none_or(in_time));
            }
            Change::Number(events) => {
                assert!(seen.insert(events.phone_number_id.as_str()), "a number stands once");
                kept += bounded(events);
            }
        }
    }
    // The people whom a value names are kept beside the items of each list.
    let of_entry = |entry: &Value| entry["changes"].as_array().map_or(0, Vec::len);
    let entries = value.iter().flat_map(|value| value["entry"].as_array()).flatten();
    let most = 2 * data.len() + LISTS.len() * CONTACTS_MAX * entries.map(of_entry).sum::<usize>();
    assert!(kept <= most, "{kept} bytes are kept of {}", data.len());
    kind(changes.iter().map(shape).collect::<Vec<_>>())
}

/// Without its place, which differs with every byte.
fn plain(error: ParseError) -> &'static str {
    match error {
        ParseError::Json { .. } => "json",
        ParseError::Envelope => "envelope",
    }
}

fn shape(change: &Change) -> String {
    match change {
        Change::Unknown { field, account, at, .. } => {
            format!("{} {} {}", field.chars().take(12).collect::<String>(), account.is_some(), at.is_some())
        }
        Change::Number(events) => {
            let sizes = [
                events.statuses.len(),
                events.messages.len(),
                events.preferences.len(),
                events.errors.len(),
                events.unknown.len(),
            ];
            let what: Vec<_> = events.messages.iter().map(|message| message.content.kind().len()).collect();
            let how: Vec<_> = events.statuses.iter().map(|s| (s.status, s.pricing.is_some())).collect();
            format!("{:?} {what:?} {how:?}", sizes.map(about))
        }
    }
}

fn in_time(at: Timestamp) -> bool {
    (0..=LAST_MS).contains(&at.0)
}

/// Checks what was read of a number; gives the bytes that were kept as they came.
fn bounded(events: &NumberEvents) -> usize {
    let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.chars().count() <= WORDS_MAX);
    for status in &events.statuses {
        assert!(in_time(status.at) && short(&status.detail) && !status.provider_id.is_empty());
        assert!(
            status
                .rest
                .as_ref()
                .is_none_or(|rest| rest.as_str().len() <= REST_BYTES && !rest.read().is_empty())
        );
        assert!(status.cause.is_some() == (status.status == kabar_engine::status::Status::Failed));
    }
    for message in &events.messages {
        assert!(in_time(message.at) && short(&message.name) && !message.provider_id.is_empty());
        assert!(message.others.len() <= 8, "{} further addresses", message.others.len());
        assert!(!message.others.contains(&message.from));
    }
    assert!(events.preferences.iter().all(|preference| in_time(preference.at)));
    assert!(events.errors.iter().all(|error| short(&error.detail)));
    let raw = events.unknown.iter().map(|item| item.raw.len()).sum::<usize>();
    raw + events.errors.iter().map(|error| error.raw.len()).sum::<usize>()
}

/// Of a well-formed body each item is counted, and found in what was read of the same body. It is written anew before, because a
/// key that stands twice means one thing here and another there.
fn nothing_is_lost(value: &Value) {
    let around = odd(value, &["object", "entry"]);
    let expected: Option<usize> = value
        .get("entry")
        .and_then(Value::as_array)
        .map(|entries| around + entries.iter().map(items_of_entry).sum::<usize>());
    let told = parse(value.to_string().as_bytes());
    let Some(expected) = expected else {
        assert_eq!(told, Err(ParseError::Envelope), "a body without entries");
        return;
    };
    let changes = told.expect("a body with entries");
    let found = changes.iter().map(|change| match change {
        Change::Unknown { .. } => 1,
        Change::Number(events) => {
            let NumberEvents { statuses, messages, preferences, errors, unknown, .. } = events;
            statuses.len() + messages.len() + preferences.len() + errors.len() + unknown.len()
        }
    });
    let found: usize = found.sum();
    assert_eq!(found, expected, "items are lost or doubled: {value}");
}

/// Keys of an object that nobody knows and that say something.
fn odd(object: &Value, known: &[&str]) -> usize {
    let all = object.as_object().into_iter().flatten();
    let named = |key: &str| !known.contains(&key) && key.chars().count() <= KEY_CHARS;
    all.filter(|(key, value)| named(key) && !value.is_null()).count()
}

/// A text, or a whole number that is read as one.
fn is_text(value: &Value) -> bool {
    value.is_string() || value.is_i64() || value.is_u64()
}

/// How many items an entry has; one that is none is one by itself.
fn items_of_entry(entry: &Value) -> usize {
    let named = entry.get("id").is_none_or(|id| id.is_null() || is_text(id));
    match entry.get("changes").and_then(Value::as_array).filter(|_| named) {
        Some(changes) => items_of(changes) + odd(entry, &["id", "time", "changes"]),
        None => 1,
    }
}

/// How many items the changes of an entry have; a change without any, or of another kind, is one by itself.
fn items_of(changes: &[Value]) -> usize {
    let of_change = |change: &Value| {
        let read = matches!(change["field"].as_str(), Some("messages" | "user_preferences"));
        let value = &change["value"];
        let number = &value["metadata"]["phone_number_id"];
        let beside = match is_text(&change["field"]) && change.get("value").is_some() {
            true => odd(change, &["field", "value"]),
            false => 0,
        };
        let lists = LISTS.iter().map(|name| value.get(name).filter(|list| !list.is_null()));
        let lengths: Option<Vec<usize>> = lists.flatten().map(|list| list.as_array().map(Vec::len)).collect();
        beside
            + match lengths {
                Some(lengths) if read && is_text(number) => match lengths.iter().sum::<usize>() {
                    0 => 1,
                    items => items + doubled(value) + in_value(value),
                },
                _ => 1,
            }
    };
    changes.iter().map(of_change).sum()
}

/// What a value says under keys that nobody knows; those of its metadata are one together.
fn in_value(value: &Value) -> usize {
    let of_metadata = odd(&value["metadata"], &["phone_number_id", "display_phone_number"]);
    odd(value, &[&LISTS[..], &BESIDE[..]].concat()) + of_metadata.min(1)
}

/// Preferences that are read and told as they came as well.
fn doubled(value: &Value) -> usize {
    let known = ["wa_id", "user_id", "category", "value", "detail", "timestamp"];
    let keys =
        |item: &Value| item.as_object().is_some_and(|all| all.keys().any(|key| !known.contains(&&**key)));
    let one = |item: &&Value| {
        let of_number = json!({"metadata": {"phone_number_id": "1"}, "user_preferences": [item]});
        let body = json!({"entry": [{"changes": [{"field": "user_preferences", "value": of_number}]}]});
        let told = parse(body.to_string().as_bytes());
        let read =
            |change: &Change| matches!(change, Change::Number(events) if !events.preferences.is_empty());
        keys(item) && told.is_ok_and(|changes| changes.iter().any(read))
    };
    value["user_preferences"].as_array().into_iter().flatten().filter(one).count()
}

/// The signature and the handshake take any bytes; neither lets them pass.
fn doors(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(!verify(&["secret"], Some(&text), b"another body"), "no text is a signature by chance");
    let none: [&str; 0] = [];
    assert!(!verify(&none, Some(&text), data), "without a secret nothing is verified");
    let asked = challenge("token-of-the-app", Some("subscribe"), Some(&text), Some("1"));
    assert!(asked.is_none() || text == "token-of-the-app");
}
