//! A provider's notice: what it tells of a number, a template or an account beside messages and their statuses, kept as it
//! came. Not what it comes to for a number: that is its health.

use crate::health::TemplateName;
use crate::id::SessionId;
use crate::time::Timestamp;
use serde_json::Value;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a value that stand in the journal; a longer one is kept as a stray.
pub const VALUE_BYTES: usize = 20 * 1024;
/// Stands before the name of what a number's value has beside its lists, under a key that nobody knows.
const OF_VALUE: &str = "messages.";
/// The same for what stands around a value: in its change (whose own name comes first), its entry, or the whole webhook.
const OF_CHANGE: &str = "change.";
const OF_ENTRY: &str = "entry.";
const OF_WEBHOOK: &str = "webhook.";
/// Characters of the provider's words for a field or an account that are kept.
const WORD_CHARS: usize = 64;
/// Characters of a key that nobody knows; what stands under a longer one is not kept.
pub const KEY_CHARS: usize = 128;
/// Characters of a field that names such a key and where it stood.
const ODD_CHARS: usize = WORD_CHARS + KEY_CHARS + 16;

/// One notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The number it is about, when it names one of ours.
    pub session: Option<SessionId>,
    /// The WhatsApp Business Account it is about, when it says so; at most 64 characters.
    pub account: Option<Arc<str>>,
    /// The provider's word for the kind, e.g. `account_update`, at most 64 characters; or what [`Odd`] makes of a key.
    pub field: Arc<str>,
    /// The value's JSON as it came; `None` when it was too long and is a stray.
    pub value: Option<Arc<str>>,
    /// The stray that has the rest.
    pub stray: Option<u64>,
    /// When it happened by the provider's clock, where it says so.
    pub at: Option<Timestamp>,
}

/// Where in a webhook a key stood that nobody knows, and what the key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd<'a> {
    /// In a number's value.
    Value(&'a str),
    /// Beside a value, in the change of this field.
    Change(&'a str, &'a str),
    /// Beside the changes, in their entry.
    Entry(&'a str),
    /// Beside the entries.
    Webhook(&'a str),
}

impl<'a> Odd<'a> {
    /// The field of its notice.
    #[must_use]
    pub fn field(self) -> String {
        match self {
            Self::Value(key) => format!("{OF_VALUE}{key}"),
            Self::Change(field, key) => {
                let field: String = field.chars().take(WORD_CHARS).collect();
                format!("{OF_CHANGE}{field}.{key}")
            }
            Self::Entry(key) => format!("{OF_ENTRY}{key}"),
            Self::Webhook(key) => format!("{OF_WEBHOOK}{key}"),
        }
    }

    /// Whether a notice's field names such a key. The provider's own fields have no dots.
    #[must_use]
    pub fn read(field: &'a str) -> Option<Self> {
        let of = |prefix: &str| field.strip_prefix(prefix);
        let change = || of(OF_CHANGE)?.split_once('.').map(|(field, key)| Self::Change(field, key));
        let value = || of(OF_VALUE).map(Self::Value);
        let entry = || of(OF_ENTRY).map(Self::Entry);
        change().or_else(value).or_else(entry).or_else(|| of(OF_WEBHOOK).map(Self::Webhook))
    }
}

impl Notice {
    /// A notice of this field; words are cut to what is kept.
    #[must_use]
    pub fn new(field: &str, account: Option<&str>, value: &str) -> Self {
        let cut = |text: &str| text.chars().take(WORD_CHARS).collect::<String>().into();
        let most = if Odd::read(field).is_some() { ODD_CHARS } else { WORD_CHARS };
        Self {
            session: None,
            account: account.map(cut),
            field: field.chars().take(most).collect::<String>().into(),
            value: Some(value.into()),
            stray: None,
            at: None,
        }
    }

    /// What a repeat is recognised by, 63 bits: the provider sends the same again after days.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let mut bytes = b"notice:".to_vec();
        for part in [Some(&self.field), self.account.as_ref(), self.value.as_ref()] {
            bytes.extend_from_slice(part.map_or("", |text| text).as_bytes());
            bytes.push(0);
        }
        let session = self.session.map_or(0, |session| session.0);
        let (stray, at) = (self.stray.unwrap_or(0).to_be_bytes(), self.at.unwrap_or_default().0);
        for number in [session.to_be_bytes(), stray, at.to_be_bytes()] {
            bytes.extend_from_slice(&number);
        }
        xxh3_64(&bytes) >> 1
    }

    /// The value, read; null when it is not here.
    #[must_use]
    pub fn read(&self) -> Value {
        self.value.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
    }

    /// The provider's word for what happened, within the field. Of an item in its list beside `contacts` it is the item's.
    #[must_use]
    pub fn event(value: &Value) -> Option<&str> {
        let others = || value.as_object().into_iter().flatten().filter(|(key, _)| *key != "contacts");
        let list = others().next().and_then(|(_, list)| list.as_array()).filter(|_| others().count() == 1);
        let value = list.filter(|list| list.len() == 1).map_or(value, |list| &list[0]);
        ["event", "decision", "new_quality_score", "new_category", "status"]
            .iter()
            .find_map(|key| value.get(key)?.as_str())
            .or_else(|| value.get("alert_info")?.get("alert_type")?.as_str())
    }

    /// The template it names.
    #[must_use]
    pub fn template(value: &Value) -> Option<TemplateName> {
        let text = |key: &str| value.get(key)?.as_str();
        let name = text("message_template_name")?;
        Some(TemplateName::new(name, text("message_template_language").unwrap_or_default()))
    }

    /// The number it names, as digits.
    #[must_use]
    pub fn display_phone_number(value: &Value) -> Option<String> {
        let text = value
            .get("display_phone_number")
            .or_else(|| value.get("metadata")?.get("display_phone_number"))
            .and_then(Value::as_str)?;
        Some(text.chars().filter(char::is_ascii_digit).collect::<String>())
            .filter(|digits| !digits.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_key_stood_is_read_from_its_notices_field() {
        for odd in [
            Odd::Value("ctwa"),
            Odd::Value("a.b"),
            Odd::Change("account_update", "origin"),
            Odd::Change("messages", "a.b"),
            Odd::Entry("uid"),
            Odd::Webhook("sent_by"),
        ] {
            assert_eq!(Odd::read(&odd.field()), Some(odd));
        }
        for field in ["messages", "account_update", "change", "entry"] {
            assert_eq!(Odd::read(field), None);
        }
        let (long, key) = ("f".repeat(99), "k".repeat(KEY_CHARS));
        let notice = Notice::new(&Odd::Change(&long, &key).field(), None, "1");
        assert_eq!(Odd::read(&notice.field), Some(Odd::Change(&long[..WORD_CHARS], &key)), "a key is whole");
    }

    #[test]
    fn what_happened_is_read_from_an_item_beside_the_people_too() {
        let read = |text: &str| {
            let value: Value = serde_json::from_str(text).unwrap();
            Notice::event(&value).map(str::to_owned)
        };
        assert_eq!(read(r#"{"event":"A"}"#).as_deref(), Some("A"));
        assert_eq!(read(r#"{"contacts":[{"wa_id":"1"}],"statuses":[{"status":"B"}]}"#).as_deref(), Some("B"));
        assert_eq!(read(r#"{"contacts":[],"statuses":[{"status":"B"},{"status":"C"}]}"#), None);
    }

    #[test]
    fn the_same_again_is_recognised_and_another_is_not() {
        let notice = Notice::new("account_update", Some("102"), r#"{"event":"X"}"#);
        assert_eq!(notice.hash(), notice.clone().hash());
        for other in [
            Notice { session: Some(SessionId(1)), ..notice.clone() },
            Notice { at: Some(Timestamp(1)), ..notice.clone() },
            Notice { account: None, ..notice.clone() },
            Notice { value: None, stray: Some(3), ..notice.clone() },
        ] {
            assert_ne!(other.hash(), notice.hash(), "{other:?}");
        }
        assert_eq!(Notice::new(&"é".repeat(200), None, "{}").field.chars().count(), WORD_CHARS);
    }
}
