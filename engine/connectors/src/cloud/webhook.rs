//! Reading a webhook of the Cloud API: envelope, entries, changes, items, grouped by number in order. Not the
//! signature, and not what the items mean for a conversation.
//!
//! Nothing is lost and nothing is contagious: an item that is malformed or unknown is kept as it came, and the
//! others are read as if it were not there. So a body is first read in one go, as nearly every one is; whatever is not
//! as usual in it, it is read once more from the outside in, each piece kept raw until it is its turn.

use super::inbound::{self, Beyond, Contacts};
use super::outline::{self, About, ChangeWire, Entry, Envelope, Odds, UsualChange, Value};
use super::status;
use crate::metrics;
use kabar_engine::address::Address;
use kabar_engine::beside::Beside;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::entry::StatusRest;
use kabar_engine::hash::HashMap;
use kabar_engine::notice::{Odd, VALUE_BYTES};
use kabar_engine::outgoing::Reference;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The fields whose value is one of a number's.
const VALUES: [&str; 2] = ["messages", "user_preferences"];

/// Bytes of the people named in a value that are kept beside the items of a list, for all of these together.
const CONTACTS_BYTES: usize = 4 * 1024;
/// The same of what is written around them.
const AROUND_BYTES: usize = 40;

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
    /// Its JSON as it came; in its list, beside `contacts`, where the value names people.
    pub raw: String,
}

/// An item that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownItem {
    /// Which list it stood in, e.g. `messages`; a key that nobody knows is named as [`Odd`] names it.
    pub field: String,
    /// Its JSON as it came; in its list, beside `contacts`, where the value names people.
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
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
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
    let (entries, odd) = outline::entries(whole).ok_or(ParseError::Envelope)?;
    for raw in entries {
        match Entry::odd(raw) {
            Some((entry, odd)) => sheaf.entry(&entry, odd),
            None => _ = sheaf.unknown(About::default(), "entry", raw.get()),
        }
    }
    // Of the first number or account that the webhook is about.
    let first = sheaf.changes.first().map(|_| 0);
    for (key, raw) in odd {
        sheaf.aside(first, About::default(), (Odd::Webhook(&key), &raw));
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
        let beyond = Beyond::read(value.contacts.filter(|_| !wires.is_empty()));
        for wire in wires {
            events.statuses.push(status::read(wire, &beyond)?);
        }
        (read_lists(events, value) || !wires.is_empty()).then_some(())
    }

    fn entry(&mut self, entry: &Entry<'_, &RawValue>, odd: Odds) {
        let (about, mut first) = (entry.about(), None);
        for raw in &entry.changes {
            let place = match ChangeWire::odd(raw) {
                Some((change, odd)) => self.change(about, &change, odd),
                None => self.unknown(about, "change", raw.get()),
            };
            first = first.or(Some(place));
        }
        for (key, raw) in odd {
            self.aside(first, about, (Odd::Entry(&key), &raw));
        }
    }

    /// Tells where its events stand.
    fn change(&mut self, about: About<'_>, change: &ChangeWire<'_>, odd: Odds) -> usize {
        let place = match VALUES.contains(&&*change.field) {
            true => self.value(about, &change.field, change.value),
            false => None,
        };
        let place = place.unwrap_or_else(|| self.unknown(about, &change.field, change.value.get()));
        for (key, raw) in odd {
            self.aside(Some(place), about, (Odd::Change(&change.field, &key), &raw));
        }
        place
    }

    /// What stands around a value is of its number, or of its account where it has none.
    fn aside(&mut self, beside: Option<usize>, about: About<'_>, (odd, raw): (Odd<'_>, &str)) {
        let field = odd.field();
        match beside.and_then(|place| self.changes.get_mut(place)) {
            Some(Change::Number(events)) => events.keep(&field, raw),
            Some(Change::Unknown { account: Some(account), .. }) if about.account.is_none() => {
                let account = account.clone();
                _ = self.unknown(About { account: Some(&account), ..about }, &field, raw);
            }
            _ => _ = self.unknown(about, &field, raw),
        }
    }

    /// Where the number's events stand; `None`: not even the number can be read.
    fn value(&mut self, about: About<'_>, field: &str, raw: &RawValue) -> Option<usize> {
        let (value, odd) = Value::odd(raw)?;
        let id = &value.metadata.phone_number_id;
        let events = self.number(id, about);
        let statuses = value.statuses.as_deref().unwrap_or_default();
        let (beyond, people) = (Beyond::read(value.contacts), people(value.contacts, statuses.len()));
        for raw in statuses {
            match status::read_late(raw, &beyond) {
                Some(status) => events.statuses.push(status),
                None => events.keep_item("statuses", raw, people),
            }
        }
        if read_lists(events, &value) || !statuses.is_empty() {
            odd.iter().for_each(|(key, raw)| events.keep(&Odd::Value(key).field(), raw));
        } else {
            events.keep(field, raw.get());
        }
        self.places.get(&**id).copied()
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

    /// Tells where it stands.
    fn unknown(&mut self, about: About<'_>, field: &str, raw: &str) -> usize {
        let (field, raw, account) = (field.to_owned(), raw.to_owned(), about.account.map(str::to_owned));
        self.changes.push(Change::Unknown { field, raw, account, at: about.at });
        self.changes.len() - 1
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
    fn keep_item(&mut self, list: &str, raw: &RawValue, people: Option<&RawValue>) {
        self.keep(list, &item(list, raw, people));
    }

    fn keep(&mut self, field: &str, raw: &str) {
        self.unknown.push(UnknownItem { field: field.to_owned(), raw: raw.to_owned() });
    }
}

/// The people whom a value names, where they can be kept beside each item of a list.
fn people(contacts: Option<&RawValue>, items: usize) -> Option<&RawValue> {
    contacts.filter(|contacts| (contacts.get().len() + AROUND_BYTES) * items <= CONTACTS_BYTES)
}

/// An item of a list as it came: in its list, beside these people, if there are any.
fn item(list: &str, raw: &RawValue, people: Option<&RawValue>) -> String {
    match people.filter(|people| people.get().len() + raw.get().len() + AROUND_BYTES <= VALUE_BYTES) {
        Some(people) => format!(r#"{{"contacts":{people},"{list}":[{raw}]}}"#),
        None => raw.get().to_owned(),
    }
}

/// Reads every list but the statuses; `false` when there is none.
fn read_lists<S>(events: &mut NumberEvents, value: &Value<'_, S>) -> bool {
    let all = |list| list_of(list, value.contacts);
    let (messages, people) = all(&value.messages);
    let contacts = Contacts::read(value.contacts.filter(|_| !messages.is_empty()));
    for raw in messages {
        match inbound::message(raw, &contacts) {
            Some(message) => events.messages.push(message),
            None => events.keep_item("messages", raw, people),
        }
    }
    let (preferences, people) = all(&value.user_preferences);
    for raw in preferences {
        let read = inbound::preference(raw);
        // Read, but with keys that nobody knows: it is told as it came as well.
        if read.as_ref().is_none_or(|(_, odd)| *odd) {
            events.keep_item("user_preferences", raw, people);
        }
        events.preferences.extend(read.map(|(preference, _)| preference));
    }
    let (errors, people) = all(&value.errors);
    for raw in errors {
        match status::error(raw) {
            Some(error) => events.errors.push(NumberError { raw: item("errors", raw, people), ..error }),
            None => events.keep_item("errors", raw, people),
        }
    }
    let (actions, people) = all(&value.user_actions);
    for raw in actions {
        events.keep_item("user_actions", raw, people);
    }
    [messages, preferences, errors, actions].into_iter().any(|list| !list.is_empty())
}

/// The items of a list, and the people who can be kept beside each of them.
fn list_of<'a>(
    list: &'a Option<Vec<&'a RawValue>>,
    contacts: Option<&'a RawValue>,
) -> (&'a [&'a RawValue], Option<&'a RawValue>) {
    let items = list.as_deref().unwrap_or_default();
    (items, people(contacts, items.len()))
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
