//! One message or wish of a person, from a webhook. Not statuses; not what the message means.

use super::answer::cut;
use super::status::{phone, user_id};
use super::webhook::{InboundMessage, UserPreference};
use super::wire::{Seconds, Text};
use kabar_engine::address::Address;
use kabar_engine::content::Content;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// The people named beside the messages.
#[derive(Default)]
pub(super) struct Contacts<'a>(Vec<ContactWire<'a>>);

#[derive(Deserialize)]
struct ContactWire<'a> {
    #[serde(borrow, default)]
    profile: Option<Profile<'a>>,
    #[serde(borrow, default)]
    wa_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    user_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Profile<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
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
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).map(Self).unwrap_or_default()
    }

    /// The contact of this sender. A sender without any id is the only contact, or nobody.
    fn of(&self, wire: &MessageWire<'_>) -> Option<&ContactWire<'a>> {
        let same = |a: &Option<Text<'_>>, b: &Option<Text<'_>>| a.is_some() && a == b;
        match self.0.as_slice() {
            [only] if wire.from.is_none() && wire.from_user_id.is_none() => Some(only),
            contacts => {
                contacts.iter().find(|c| same(&c.wa_id, &wire.from) || same(&c.user_id, &wire.from_user_id))
            }
        }
    }
}

/// `None` when there is no sender, no id, no time or no content, and for groups: their messages belong to no
/// conversation with one person.
pub(super) fn message(raw: &RawValue, contacts: &Contacts<'_>) -> Option<InboundMessage> {
    let wire: MessageWire<'_> = serde_json::from_str(raw.get()).ok()?;
    if wire.id.is_empty() || wire.group_id.is_some() {
        return None;
    }
    let contact = contacts.of(&wire);
    let user_id = user_id(wire.from_user_id.as_ref())
        .or_else(|| user_id(contact.and_then(|contact| contact.user_id.as_ref())))
        // A user who hides the number may stand in `from` under the user id.
        .or_else(|| user_id(wire.from.as_ref()));
    let phone = phone(wire.from.as_ref())
        .or_else(|| wire.from.is_none().then(|| phone(contact?.wa_id.as_ref())).flatten());
    let (from, alias) = match (phone, user_id) {
        (Some(phone), alias) => (phone, alias),
        (None, Some(user_id)) => (user_id, None),
        (None, None) => return None,
    };
    let name = contact.and_then(|contact| contact.profile.as_ref()?.name.as_deref());
    Some(InboundMessage {
        provider_id: wire.id.to_arc(),
        from,
        alias,
        name: name.filter(|name| !name.is_empty()).map(|name| cut(name).to_owned()),
        at: wire.timestamp.0,
        content: content(raw)?,
        context: wire.context.and_then(|context| context.id).map(|id| id.to_arc()),
    })
}

fn content(raw: &RawValue) -> Option<Content> {
    let value: Value = serde_json::from_str(raw.get()).ok()?;
    match Content::from_json(&value).ok()? {
        // What Meta could not pass on has its reason beside the payload.
        Content::Other { kind, value: Value::Null } => {
            let reason = value.get("errors").cloned().unwrap_or(Value::Null);
            Some(Content::Other { kind, value: reason })
        }
        content => Some(content),
    }
}

/// `None` for another switch than that of marketing messages, or another wish than stop and resume.
pub(super) fn preference(raw: &RawValue) -> Option<UserPreference> {
    let wire: PreferenceWire<'_> = serde_json::from_str(raw.get()).ok()?;
    let stop = match (&*wire.category, &*wire.value) {
        ("marketing_messages", "stop") => true,
        ("marketing_messages", "resume") => false,
        _ => return None,
    };
    let address: Address = phone(wire.wa_id.as_ref()).or_else(|| user_id(wire.user_id.as_ref()))?;
    Some(UserPreference { address, stop, at: wire.timestamp.0 })
}
