//! The outline of a webhook: its entries, their changes, a number's value. What is usual is read in one go, and what is not from the
//! outside in, with the keys that nobody knows beside it. Not the items within: those stay as they came.

use super::status::Usual;
use super::wire::{Seconds, Text};
use kabar_engine::notice::KEY_CHARS;
use kabar_engine::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// A webhook of the usual kind. One with a key that is not of these, here or in an entry, a change or a value, is read in another
/// way, which keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, default, rename = "object")]
    _object: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) entry: Vec<Entry<'a, UsualChange<'a>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "C: Deserialize<'de>"))]
pub(super) struct Entry<'a, C> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    /// Read late: an odd time costs nothing but itself.
    #[serde(borrow, default)]
    time: Option<&'a RawValue>,
    pub(super) changes: Vec<C>,
}

impl<'a> Entry<'a, &'a RawValue> {
    /// Of an entry of any shape; `None` when it has no list of changes.
    pub(super) fn odd(raw: &'a RawValue) -> Option<(Self, Odds)> {
        let mut all: Keys<'a> = serde_json::from_str(raw.get()).ok()?;
        let (id, time) = (read(&mut all, "id")?, all.remove("time"));
        Some((Self { id, time, changes: read(&mut all, "changes")?? }, odds(all)))
    }
}

impl<C> Entry<'_, C> {
    pub(super) fn about(&self) -> About<'_> {
        let at = self.time.and_then(|raw| serde_json::from_str::<Seconds>(raw.get()).ok());
        About { account: self.id.as_deref(), at: at.map(|Seconds(at)| at) }
    }
}

/// The entries of a webhook of any shape; `None` when there is no list of them.
pub(super) fn entries(whole: &RawValue) -> Option<(Vec<&RawValue>, Odds)> {
    let mut all: Keys<'_> = serde_json::from_str(whole.get()).ok()?;
    let _object = all.remove("object");
    Some((read(&mut all, "entry")??, odds(all)))
}

/// What an entry says of all its changes.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    pub(super) account: Option<&'a str>,
    pub(super) at: Option<Timestamp>,
}

/// A change of any kind.
pub(super) struct ChangeWire<'a> {
    pub(super) field: Text<'a>,
    pub(super) value: &'a RawValue,
}

impl<'a> ChangeWire<'a> {
    /// Of a change of any shape; `None` without a field's name and its value.
    pub(super) fn odd(raw: &'a RawValue) -> Option<(Self, Odds)> {
        let mut all: Keys<'a> = serde_json::from_str(raw.get()).ok()?;
        Some((Self { field: read(&mut all, "field")??, value: all.remove("value")? }, odds(all)))
    }
}

/// A change of the usual kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsualChange<'a> {
    #[serde(borrow)]
    pub(super) field: Text<'a>,
    #[serde(borrow)]
    pub(super) value: Value<'a, Usual<'a>>,
}

/// A number's value. One with a key that is not of these is read in another way, which keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "S: Deserialize<'de>"))]
pub(super) struct Value<'a, S> {
    #[serde(borrow, default, rename = "messaging_product")]
    _product: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow, default)]
    pub(super) contacts: Option<&'a RawValue>,
    #[serde(default = "none")]
    pub(super) statuses: Option<Vec<S>>,
    #[serde(borrow, default)]
    pub(super) messages: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) user_preferences: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) errors: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default)]
    pub(super) user_actions: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata<'a> {
    #[serde(borrow)]
    pub(super) phone_number_id: Text<'a>,
    #[serde(borrow, default, rename = "display_phone_number")]
    _display: Option<&'a RawValue>,
}

impl<'a> Metadata<'a> {
    /// Of any shape; `None` when it names no number.
    fn odd(raw: &'a RawValue) -> Option<(Self, Odds)> {
        let mut all: Keys<'a> = serde_json::from_str(raw.get()).ok()?;
        let (phone_number_id, _display) =
            (read(&mut all, "phone_number_id")??, all.remove("display_phone_number"));
        Some((Self { phone_number_id, _display }, odds(all)))
    }
}

/// What an object of any shape has under its keys.
type Keys<'a> = BTreeMap<Text<'a>, &'a RawValue>;

/// What stands under keys that nobody knows, as it came.
pub(super) type Odds = Vec<(String, String)>;

impl<'a> Value<'a, &'a RawValue> {
    /// Of a value of any shape; `None` when it is none of a number's.
    pub(super) fn odd(raw: &'a RawValue) -> Option<(Self, Odds)> {
        let mut all: Keys<'a> = serde_json::from_str(raw.get()).ok()?;
        let (metadata, of_metadata) = Metadata::odd(all.remove("metadata")?)?;
        let value = Self {
            _product: all.remove("messaging_product"),
            metadata,
            contacts: all.remove("contacts"),
            statuses: read(&mut all, "statuses")?,
            messages: read(&mut all, "messages")?,
            user_preferences: read(&mut all, "user_preferences")?,
            errors: read(&mut all, "errors")?,
            user_actions: read(&mut all, "user_actions")?,
        };
        let mut odd = odds(all);
        if !of_metadata.is_empty() {
            let pieces =
                of_metadata.iter().map(|(key, raw)| format!("{}:{raw}", serde_json::Value::from(&**key)));
            odd.push(("metadata".to_owned(), format!("{{{}}}", pieces.collect::<Vec<_>>().join(","))));
        }
        Some((value, odd))
    }
}

/// What stands under a key, which then is there no more: it may be missing; `None` where something else stands in its place.
fn read<'a, T: Deserialize<'a>>(all: &mut Keys<'a>, key: &str) -> Option<Option<T>> {
    all.remove(key).map_or(Some(None), |raw| serde_json::from_str(raw.get()).ok())
}

/// What is left, but for what says nothing or cannot be named.
fn odds(all: Keys<'_>) -> Odds {
    let said = all.into_iter().filter(|(key, raw)| raw.get() != "null" && key.chars().count() <= KEY_CHARS);
    said.map(|(key, raw)| (key.to_string(), raw.get().to_owned())).collect()
}

/// serde's `default` would ask `Default` of what the list holds.
fn none<S>() -> Option<Vec<S>> {
    None
}
