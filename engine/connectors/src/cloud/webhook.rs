//! Reading a webhook of the Cloud API: envelope, entries, changes, items, grouped by number in order. Not the
//! signature, and not what the items mean for a conversation.
//!
//! Nothing is lost and nothing is contagious: an item that is malformed or unknown is kept as it came, and the
//! others are read as if it were not there. So a body is first read in one go, as nearly every one is; whatever is not
//! as usual in it, it is read once more from the outside in, each piece kept raw until it is its turn.

use super::inbound::{self, Contacts};
use super::status::{self, Usual};
use super::wire::{Seconds, Text};
use crate::metrics;
use kabar_engine::address::Address;
use kabar_engine::beside::Beside;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::entry::StatusRest;
use kabar_engine::hash::HashMap;
use kabar_engine::notice::OF_VALUE;
use kabar_engine::outgoing::Reference;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The fields whose value is one of a number's.
const VALUES: [&str; 2] = ["messages", "user_preferences"];

/// One part of a webhook.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// What happened to one of our numbers; at most one per number and body.
    Number(NumberEvents),
    /// What this version does not read, or what names no number.
    Unknown {
        /// Meta's name of the field, e.g. `account_update`; `entry` or `change` for a malformed envelope.
        field: String,
        /// The value's JSON as it came.
        raw: String,
        /// The WhatsApp Business Account it is about, when it says so.
        account: Option<String>,
        /// Meta's time of it, where the entry has one.
        at: Option<Timestamp>,
    },
}

/// Everything a body says about one number, in the body's order within each list.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NumberEvents {
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// The WhatsApp Business Account the number is of, when it says so.
    pub account: Option<String>,
    /// What became of messages sent.
    pub statuses: Vec<InboundStatus>,
    /// What people wrote.
    pub messages: Vec<InboundMessage>,
    /// WhatsApp's own switch for marketing messages.
    pub preferences: Vec<UserPreference>,
    /// Troubles of the number that belong to no message.
    pub errors: Vec<NumberError>,
    /// Items that could not be read, as they came.
    pub unknown: Vec<UnknownItem>,
}

/// One status of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundStatus {
    /// Our reference, echoed; `None` when the message was not sent by Kabar.
    pub reference: Option<Reference>,
    /// Meta's id of the message.
    pub provider_id: Arc<str>,
    /// Sent, delivered, read, played or failed.
    pub status: Status,
    /// Meta's time of it, exact to the second.
    pub at: Timestamp,
    /// Why, when failed.
    pub cause: Option<Cause>,
    /// Meta's words for it, at most 512 characters.
    pub detail: Option<String>,
    /// Who it was sent to, when it says so; `None` for groups.
    pub recipient: Option<Address>,
    /// What it costs, when it says so.
    pub pricing: Option<Arc<Pricing>>,
    /// What else it says.
    pub rest: Option<Arc<StatusRest>>,
}

/// One message from a person.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundMessage {
    /// Meta's id of the message: repeats are recognised by it.
    pub provider_id: Arc<str>,
    /// The phone if it is shown, else the user id.
    pub from: Address,
    /// The user id beside a phone.
    pub alias: Option<Address>,
    /// Further addresses: the parent user id, and the new ones after a change of number.
    pub others: Vec<Address>,
    /// The name the person shows, at most 512 characters.
    pub name: Option<String>,
    /// Meta's time of it, exact to the second.
    pub at: Timestamp,
    /// What it says.
    pub content: Content,
    /// Meta's id of the message it quotes.
    pub context: Option<Arc<str>>,
    /// What stands beside the content.
    pub beside: Option<Box<Beside>>,
}

/// A person used WhatsApp's own switch for marketing messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserPreference {
    /// The person.
    pub address: Address,
    /// No more marketing messages, or again.
    pub stop: bool,
    /// Meta's time of it.
    pub at: Timestamp,
}

/// A trouble of the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberError {
    /// Meta's code.
    pub cause: Cause,
    /// Meta's words, at most 512 characters.
    pub detail: Option<String>,
    /// Its JSON as it came.
    pub raw: String,
}

/// An item that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownItem {
    /// Which list it stood in, e.g. `messages`; a whole key of the value has [`OF_VALUE`] before its name.
    pub field: String,
    /// Its JSON as it came.
    pub raw: String,
}

/// Why a body is no webhook at all. Shows nothing of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not UTF-8.
    #[error("the body is not JSON (line {line}, column {column})")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// JSON without a list `entry`.
    #[error("the body has no list `entry`")]
    Envelope,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "E: Deserialize<'de>"))]
struct Envelope<E> {
    entry: Vec<E>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
struct Entry<'a, C> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    /// Read late: an odd time costs nothing but itself.
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
    changes: Vec<C>,
}

impl<C> Entry<'_, C> {
    fn about(&self) -> About<'_> {
        let at = self.time.and_then(|raw| serde_json::from_str::<Seconds>(raw.get()).ok());
        About { account: self.id.as_deref(), at: at.map(|Seconds(at)| at) }
    }
}

/// What an entry says of all its changes.
#[derive(Clone, Copy, Default)]
struct About<'a> {
    account: Option<&'a str>,
    at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct ChangeWire<'a> {
    #[serde(borrow)]
    field: Text<'a>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// A change of the usual kind.
#[derive(Deserialize)]
struct UsualChange<'a> {
    #[serde(borrow)]
    field: Text<'a>,
    #[serde(borrow)]
    value: Value<'a, Usual<'a>>,
}

/// A number's value. One with a key that is not of these is read in another way, which keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "S: Deserialize<'de>"))]
struct Value<'a, S> {
    #[serde(borrow, default, rename = "messaging_product")]
    _product: Option<&'a RawValue>,
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow, default)]
    contacts: Option<&'a RawValue>,
    #[serde(default = "none")]
    statuses: Option<Vec<S>>,
    #[serde(borrow, default)]
    messages: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    user_preferences: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    errors: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    user_actions: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    phone_number_id: Text<'a>,
}

/// What a value of any shape has under its keys.
type Keys<'a> = BTreeMap<Text<'a>, &'a RawValue>;

impl<'a> Value<'a, &'a RawValue> {
    /// Of a value of any shape, with the keys that nobody knows; `None` when it is none of a number's.
    fn odd(raw: &'a RawValue) -> Option<(Self, Keys<'a>)> {
        let mut all: Keys<'a> = serde_json::from_str(raw.get()).ok()?;
        let value = Self {
            _product: all.remove("messaging_product"),
            metadata: serde_json::from_str(all.remove("metadata")?.get()).ok()?,
            contacts: all.remove("contacts"),
            statuses: list(&mut all, "statuses")?,
            messages: list(&mut all, "messages")?,
            user_preferences: list(&mut all, "user_preferences")?,
            errors: list(&mut all, "errors")?,
            user_actions: list(&mut all, "user_actions")?,
        };
        Some((value, all))
    }
}

/// A list that may be missing; `None` where something else stands in its place.
fn list<'a>(all: &mut Keys<'a>, key: &str) -> Option<Option<Vec<&'a RawValue>>> {
    all.remove(key).map_or(Some(None), |raw| serde_json::from_str(raw.get()).ok())
}

/// serde's `default` would ask `Default` of what the list holds.
fn none<S>() -> Option<Vec<S>> {
    None
}

/// Reads a body: every entry, change and item of it. The body must have been verified before.
///
/// # Errors
/// [`ParseError`] only when the body as a whole is no webhook.
pub fn parse(body: &[u8]) -> Result<Vec<Change>, ParseError> {
    let sheaf = in_one_go(body).map_or_else(|| piece_by_piece(body), Ok)?;
    sheaf.count();
    Ok(sheaf.changes)
}

/// `None`: something is not as usual.
fn in_one_go(body: &[u8]) -> Option<Sheaf> {
    // Seen to be text once, not string by string.
    let text = std::str::from_utf8(body).ok()?;
    let envelope: Envelope<Entry<'_, UsualChange<'_>>> = serde_json::from_str(text).ok()?;
    let mut sheaf = Sheaf::default();
    for entry in &envelope.entry {
        for change in &entry.changes {
            sheaf.usual(entry.about(), change)?;
        }
    }
    Some(sheaf)
}

/// Something in it is not as usual: keep that, read the rest.
fn piece_by_piece(body: &[u8]) -> Result<Sheaf, ParseError> {
    let mut sheaf = Sheaf::default();
    let whole: &RawValue = serde_json::from_slice(body)
        .map_err(|error| ParseError::Json { line: error.line(), column: error.column() })?;
    let envelope: Envelope<&RawValue> =
        serde_json::from_str(whole.get()).map_err(|_| ParseError::Envelope)?;
    for raw in envelope.entry {
        let Ok(entry) = serde_json::from_str::<Entry<'_, &RawValue>>(raw.get()) else {
            sheaf.unknown(About::default(), "entry", raw);
            continue;
        };
        for raw in &entry.changes {
            match serde_json::from_str::<ChangeWire<'_>>(raw.get()) {
                Ok(change) => sheaf.change(entry.about(), &change),
                Err(_) => sheaf.unknown(entry.about(), "change", raw),
            }
        }
    }
    Ok(sheaf)
}

/// What has been read so far.
#[derive(Default)]
struct Sheaf {
    changes: Vec<Change>,
    /// Where the events of a number stand in `changes`.
    places: HashMap<String, usize>,
}

impl Sheaf {
    fn usual(&mut self, about: About<'_>, change: &UsualChange<'_>) -> Option<()> {
        if !VALUES.contains(&&*change.field) {
            return None;
        }
        let value = &change.value;
        let events = self.number(&value.metadata.phone_number_id, about);
        let wires = value.statuses.as_deref().unwrap_or_default();
        events.statuses.reserve(wires.len());
        for wire in wires {
            events.statuses.push(status::read(wire)?);
        }
        (read_lists(events, value) || !wires.is_empty()).then_some(())
    }

    fn change(&mut self, about: About<'_>, change: &ChangeWire<'_>) {
        if !VALUES.contains(&&*change.field) || !self.value(about, &change.field, change.value) {
            self.unknown(about, &change.field, change.value);
        }
    }

    /// `false`: not even the number can be read.
    fn value(&mut self, about: About<'_>, field: &str, raw: &RawValue) -> bool {
        let Some((value, odd)) = Value::odd(raw) else { return false };
        let events = self.number(&value.metadata.phone_number_id, about);
        let statuses = value.statuses.as_deref().unwrap_or_default();
        for raw in statuses {
            match status::read_late(raw) {
                Some(status) => events.statuses.push(status),
                None => events.keep("statuses", raw),
            }
        }
        if !read_lists(events, &value) && statuses.is_empty() {
            events.keep(field, raw);
            return true;
        }
        for (key, raw) in &odd {
            events.keep(&format!("{OF_VALUE}{}", &**key), raw);
        }
        true
    }

    fn number(&mut self, id: &str, about: About<'_>) -> &mut NumberEvents {
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                let (phone_number_id, account) = (id.to_owned(), about.account.map(str::to_owned));
                let events = NumberEvents { phone_number_id, account, ..NumberEvents::default() };
                self.changes.push(Change::Number(events));
                self.places.insert(id.to_owned(), self.changes.len() - 1);
                self.changes.len() - 1
            }
        };
        match &mut self.changes[place] {
            Change::Number(events) => events,
            Change::Unknown { .. } => unreachable!("invariant: places point to numbers"),
        }
    }

    fn unknown(&mut self, about: About<'_>, field: &str, raw: &RawValue) {
        let (field, raw, account) =
            (field.to_owned(), raw.get().to_owned(), about.account.map(str::to_owned));
        self.changes.push(Change::Unknown { field, raw, account, at: about.at });
    }

    /// Counts what is of no kind of its own further on: whether a status or a message is news is not known here.
    fn count(&self) {
        let (mut preferences, mut errors, mut unknown) = (0, 0, 0);
        for change in &self.changes {
            match change {
                Change::Number(events) => {
                    preferences += events.preferences.len();
                    errors += events.errors.len();
                    unknown += events.unknown.len();
                }
                Change::Unknown { .. } => unknown += 1,
            }
        }
        metrics::items("preference", preferences);
        metrics::items("error", errors);
        metrics::items("unknown", unknown);
    }
}

impl NumberEvents {
    fn keep(&mut self, field: &str, raw: &RawValue) {
        self.unknown.push(UnknownItem { field: field.to_owned(), raw: raw.get().to_owned() });
    }
}

/// Reads every list but the statuses; `false` when there is none.
fn read_lists<S>(events: &mut NumberEvents, value: &Value<'_, S>) -> bool {
    let items = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
    if let Some(messages) = &value.messages {
        let contacts = Contacts::read(value.contacts);
        for raw in messages {
            match inbound::message(raw, &contacts) {
                Some(message) => events.messages.push(message),
                None => events.keep("messages", raw),
            }
        }
    }
    for raw in value.user_preferences.iter().flatten() {
        match inbound::preference(raw) {
            Some(preference) => events.preferences.push(preference),
            None => events.keep("user_preferences", raw),
        }
    }
    for raw in value.errors.iter().flatten() {
        match status::error(raw) {
            Some(error) => events.errors.push(error),
            None => events.keep("errors", raw),
        }
    }
    for raw in value.user_actions.iter().flatten() {
        events.keep("user_actions", raw);
    }
    [&value.messages, &value.user_preferences, &value.errors, &value.user_actions]
        .into_iter()
        .any(|l| items(l) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_in_one_go_says_the_same_piece_by_piece() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz/corpus/webhook");
        let mut usual = 0;
        for file in std::fs::read_dir(corpus).unwrap() {
            let path = file.unwrap().path();
            let body = std::fs::read(&path).unwrap();
            let Some(sheaf) = in_one_go(&body) else { continue };
            assert_eq!(sheaf.changes, piece_by_piece(&body).unwrap().changes, "{}", path.display());
            usual += sheaf.changes.len();
        }
        assert!(usual > 0, "none of them was as usual");
    }
}
