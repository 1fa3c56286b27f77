//! One message or wish of a person, from a webhook. Not statuses; not what the message means.

use super::answer::cut;
use super::rest;
use super::status::{phone, user_id};
use super::webhook::{InboundMessage, UserPreference};
use super::wire::{Seconds, Text};
use kabar_engine::address::Address;
use kabar_engine::beside::{Beside, REST_BYTES};
use kabar_engine::content::Content;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Keys of a preference that are told again without being kept.
const READ_OF_PREFERENCE: [&str; 6] = ["wa_id", "user_id", "category", "value", "detail", "timestamp"];

/// The people named beside the messages.
#[derive(Default)]
pub(super) struct Contacts<'a>(Vec<ContactWire<'a>>);

/// A contact as Meta writes it. One with a key that is not of these is read in another way, which keeps it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactWire<'a> {
    #[serde(borrow, default)]
    pub(super) profile: Option<Profile<'a>>,
    #[serde(borrow, default)]
    wa_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) parent_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) identity_key_hash: Option<Text<'a>>,
    /// What has another key.
    #[serde(skip)]
    pub(super) more: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) username: Option<Text<'a>>,
    #[serde(skip)]
    pub(super) more: Map<String, Value>,
}

#[derive(Deserialize)]
struct MessageWire<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    timestamp: Seconds,
    #[serde(borrow, default)]
    from: Option<Text<'a>>,
    #[serde(borrow, default)]
    from_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    from_parent_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    group_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    context: Option<ContextWire<'a>>,
}

#[derive(Deserialize)]
struct ContextWire<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct PreferenceWire<'a> {
    #[serde(borrow, default)]
    wa_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    timestamp: Seconds,
}

impl<'a> Contacts<'a> {
    /// Names are an extra: contacts of an unknown shape cost only the names.
    pub(super) fn read(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw else { return Self::default() };
        match serde_json::from_str(raw.get()) {
            Ok(usual) => Self(usual),
            Err(_) => {
                let odd: Vec<Map<String, Value>> = serde_json::from_str(raw.get()).unwrap_or_default();
                Self(odd.into_iter().map(ContactWire::odd).collect())
            }
        }
    }

    /// The contact of this sender. A sender without any id is the only contact, or nobody.
    fn of(&self, (phone, user_id): (Option<&Text<'_>>, Option<&Text<'_>>)) -> Option<&ContactWire<'a>> {
        let same = |a: &Option<Text<'_>>, b: Option<&Text<'_>>| a.is_some() && a.as_ref() == b;
        match self.0.as_slice() {
            [only] if phone.is_none() && user_id.is_none() => Some(only),
            contacts => contacts.iter().find(|c| same(&c.wa_id, phone) || same(&c.user_id, user_id)),
        }
    }
}

/// What contacts say beyond the ids and names by which people are known, each as an object under these ids. Most say nothing.
#[derive(Default)]
pub(super) struct Beyond<'a>(BTreeMap<Text<'a>, Arc<str>>);

impl<'a> Beyond<'a> {
    pub(super) fn read(raw: Option<&'a RawValue>) -> Self {
        let mut all = BTreeMap::new();
        for contact in Contacts::read(raw).0 {
            let username = contact.profile.as_ref().and_then(|profile| profile.username.as_deref());
            let rest = rest::of_contact(&contact, username);
            if rest.is_empty() {
                continue;
            }
            let rest: Arc<str> = Value::Object(rest).to_string().into();
            for id in [contact.wa_id, contact.user_id].into_iter().flatten() {
                all.insert(id, Arc::clone(&rest));
            }
        }
        Self(all)
    }

    /// Of the person with one of these ids.
    pub(super) fn of(&self, phone: Option<&Text<'_>>, user_id: Option<&Text<'_>>) -> Option<&str> {
        let of = |id: Option<&Text<'_>>| self.0.get(&**id?).map(|rest| &**rest);
        of(phone).or_else(|| of(user_id))
    }
}

/// A text that stands in an object, which then has it no more; what is none stays.
fn take(from: &mut Map<String, Value>, key: &str) -> Option<Text<'static>> {
    let text = Text::deserialize(from.get(key)?.clone()).ok()?;
    from.remove(key);
    Some(text)
}

impl ContactWire<'_> {
    /// Of a contact with keys that are not known.
    fn odd(mut all: Map<String, Value>) -> Self {
        let profile = match all.remove("profile") {
            Some(Value::Object(mut more)) => {
                let (name, username) = (take(&mut more, "name"), take(&mut more, "username"));
                Some(Profile { name, username, more })
            }
            _ => None,
        };
        let mut contact = Self {
            profile,
            wa_id: take(&mut all, "wa_id"),
            user_id: take(&mut all, "user_id"),
            parent_user_id: take(&mut all, "parent_user_id"),
            identity_key_hash: take(&mut all, "identity_key_hash"),
            more: all,
        };
        // Copied for each of the person's messages: what is too much for one is dropped for all.
        let of_profile = contact.profile.as_mut().map(|profile| &mut profile.more);
        for more in of_profile.into_iter().chain([&mut contact.more]) {
            more.retain(|_, value| value.to_string().len() <= REST_BYTES);
        }
        contact
    }
}

/// `None` when there is no sender, no id, no time or no content, and for groups: their messages belong to no
/// conversation with one person.
pub(super) fn message(raw: &RawValue, contacts: &Contacts<'_>) -> Option<InboundMessage> {
    let wire: MessageWire<'_> = serde_json::from_str(raw.get()).ok()?;
    if wire.id.is_empty() || wire.group_id.is_some() {
        return None;
    }
    let contact = contacts.of((wire.from.as_ref(), wire.from_user_id.as_ref()));
    let user_id = user_id(wire.from_user_id.as_ref())
        .or_else(|| user_id(contact.and_then(|contact| contact.user_id.as_ref())))
        // A user who hides the number may stand in `from` under the user id.
        .or_else(|| user_id(wire.from.as_ref()));
    let phone = phone(wire.from.as_ref())
        .or_else(|| wire.from.is_none().then(|| phone(contact?.wa_id.as_ref())).flatten());
    let value: Value = serde_json::from_str(raw.get()).ok()?;
    let parent = [wire.from_parent_user_id.as_ref(), contact.and_then(|c| c.parent_user_id.as_ref())];
    let mut others: Vec<Address> = parent.into_iter().filter_map(self::user_id).collect();
    others.extend(moved(&value));
    let (from, alias) = match (phone, user_id) {
        (Some(phone), alias) => (phone, alias),
        (None, Some(user_id)) => (user_id, None),
        // Who may not show a number and has a new user id is known by the old one.
        (None, None) if !others.is_empty() => (others.remove(0), None),
        (None, None) => return None,
    };
    others.retain(|other| *other != from && Some(other) != alias.as_ref());
    others.dedup();
    let name = contact.and_then(|contact| contact.profile.as_ref()?.name.as_deref());
    Some(InboundMessage {
        provider_id: wire.id.to_arc(),
        from,
        alias,
        name: name.filter(|name| !name.is_empty()).map(|name| cut(name).to_owned()),
        at: wire.timestamp.0,
        content: content(&value)?,
        others,
        beside: beside(&value, contact),
        context: wire.context.and_then(|context| context.id).map(|id| id.to_arc()),
    })
}

fn content(value: &Value) -> Option<Content> {
    match Content::from_json(value).ok()? {
        // What Meta could not pass on has its reason beside the payload.
        Content::Other { kind, value: payload } => {
            let value = match (payload, value.get("errors")) {
                (Value::Null, Some(errors)) => errors.clone(),
                (Value::Object(mut payload), Some(errors)) => {
                    payload.entry("errors").or_insert_with(|| errors.clone());
                    Value::Object(payload)
                }
                (payload, _) => payload,
            };
            Some(Content::Other { kind, value })
        }
        content => Some(content),
    }
}

/// What stands beside the content.
fn beside(value: &Value, contact: Option<&ContactWire<'_>>) -> Option<Box<Beside>> {
    let context = value.get("context");
    let flag = |key: &str| context.and_then(|context| context.get(key)?.as_bool()).unwrap_or(false);
    let piece = |piece: Option<&Value>| piece.cloned().and_then(Beside::piece);
    let username = contact.and_then(|contact| contact.profile.as_ref()?.username.as_deref());
    let username = username.map(|name| name.trim_start_matches('@')).filter(|name| !name.is_empty());
    let username = username.map(|name| cut(name).to_owned());
    let rest = rest::of(value, contact, username.as_deref());
    Beside {
        forwarded: flag("forwarded") || flag("frequently_forwarded"),
        frequently_forwarded: flag("frequently_forwarded"),
        referred_product: piece(context.and_then(|context| context.get("referred_product"))),
        referral: piece(value.get("referral")),
        username,
        ..Beside::default()
    }
    .with_rest(rest)
    .told()
}

/// The addresses a message of the system names: the old user id, and the new ones.
fn moved(value: &Value) -> Vec<Address> {
    let Some(system) = value.get("system").filter(|_| value["type"] == "system") else { return Vec::new() };
    let text = |key: &str| system.get(key).and_then(Value::as_str);
    let ids = ["previous_user_id", "previous_parent_user_id", "user_id", "parent_user_id"];
    let mut found: Vec<Address> =
        ids.into_iter().filter_map(|key| Address::user_id(text(key)?).ok()).collect();
    found.extend(text("wa_id").and_then(|digits| Address::phone_digits(digits).ok()));
    found
}

/// The wish, and whether more is said of it; `None` for another switch than that of marketing messages, or another wish than
/// stop and resume.
pub(super) fn preference(raw: &RawValue) -> Option<(UserPreference, bool)> {
    let wire: PreferenceWire<'_> = serde_json::from_str(raw.get()).ok()?;
    let all: Map<String, Value> = serde_json::from_str(raw.get()).ok()?;
    let odd = all.keys().any(|key| !READ_OF_PREFERENCE.contains(&key.as_str()));
    let stop = match (&*wire.category, &*wire.value) {
        ("marketing_messages", "stop") => true,
        ("marketing_messages", "resume") => false,
        _ => return None,
    };
    let address: Address = phone(wire.wa_id.as_ref()).or_else(|| user_id(wire.user_id.as_ref()))?;
    Some((UserPreference { address, stop, at: wire.timestamp.0 }, odd))
}
