//! One request to `/messages`, read and checked as Meta checks it: envelope, recipient, type.
//! What each type must contain stands in `content`.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::content;
use super::refusal::Refusal;
use crate::config::NumberConfig;
use crate::network::message::{Category, Kind};
use crate::network::phone::{self, Phones};

const REFERENCE_LIMIT: usize = 512;
/// What may stand beside the object of the type.
const BESIDE: [&str; 10] = [
    "messaging_product",
    "recipient_type",
    "to",
    "recipient",
    "type",
    "context",
    "biz_opaque_callback_data",
    "recipient_identity_key_hash",
    "access_token",
    "appsecret_proof",
];
/// What may stand in a read receipt.
const RECEIPT: [&str; 7] = [
    "messaging_product",
    "status",
    "message_id",
    "typing_indicator",
    "recipient_type",
    "access_token",
    "appsecret_proof",
];

/// What a request wants.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    /// A read receipt or typing indicator for this message.
    Receipt(&'a str),
    Message(Draft<'a>),
}

/// A message that passed the checks.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    /// The user: digits, or a user id no number is known for.
    pub(crate) to: Cow<'a, str>,
    pub(crate) kind: Kind,
    pub(crate) category: Category,
    pub(crate) reference: Option<&'a str>,
    /// The hash of who the user must still be.
    pub(crate) identity: Option<&'a str>,
    /// What the type says: the object under its name.
    pub(crate) object: &'a Value,
    pub(crate) by_user_id: bool,
    input: &'a str,
}

/// Reads a request for `number`; `rewrites`: whether numbers take the form WhatsApp knows them by.
pub(crate) fn read<'a>(
    body: &'a Value,
    number: &NumberConfig,
    phones: &Phones,
    rewrites: bool,
) -> Result<Request<'a>, Refusal> {
    let Some(fields) = body.as_object() else {
        return Err(Refusal::parameter("The request body must be an object."));
    };
    match fields.get("messaging_product").and_then(Value::as_str) {
        Some("whatsapp") => {}
        Some(_) => return Err(Refusal::parameter("Param messaging_product must be one of {WHATSAPP}")),
        None => return Err(Refusal::parameter("The parameter messaging_product is required.")),
    }
    if fields.contains_key("status") {
        expected(fields, &RECEIPT, |_| false)?;
        return receipt(body).map(Request::Receipt);
    }
    if fields.contains_key("category") || fields.contains_key("ttl_seconds") {
        return Err(Refusal::parameter("Direct Send isn't enabled for this account."));
    }
    expected(fields, &BESIDE, |key| Kind::named(key).is_some())?;
    let (to, input, by_user_id) = recipient(body, number, phones, rewrites)?;
    let kind = match fields.get("type") {
        None => Kind::Text,
        Some(name) => name.as_str().and_then(Kind::named).ok_or_else(|| {
            Refusal::parameter(
                "Param type must be one of {AUDIO, CONTACTS, DOCUMENT, IMAGE, INTERACTIVE, LOCATION, PIN, \
                 REACTION, STICKER, TEMPLATE, TEXT, VIDEO}",
            )
        })?,
    };
    let object = fields.get(kind.name()).ok_or_else(|| {
        Refusal::of(131_008).detail(format!("Parameter '{0}' is mandatory for type '{0}'", kind.name()))
    })?;
    content::check(kind, object)?;
    if let Some(context) = fields.get("context")
        && !context.get("message_id").is_some_and(Value::is_string)
    {
        return Err(Refusal::missing("context['message_id']"));
    }
    let reference = match fields.get("biz_opaque_callback_data") {
        None => None,
        Some(Value::String(text)) if text.chars().count() <= REFERENCE_LIMIT => Some(text.as_str()),
        Some(_) => {
            return Err(Refusal::parameter(
                "Param biz_opaque_callback_data must be a string at most 512 characters long.",
            ));
        }
    };
    let identity = match fields.get("recipient_identity_key_hash") {
        None => None,
        Some(Value::String(hash)) => Some(hash.as_str()),
        Some(_) => return Err(Refusal::parameter("Param recipient_identity_key_hash must be a string.")),
    };
    let category = category(kind, object);
    Ok(Request::Message(Draft { to, kind, category, reference, identity, object, by_user_id, input }))
}

/// Refuses a field that no request has.
fn expected(fields: &Map<String, Value>, known: &[&str], also: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    match fields.keys().find(|key| !known.contains(&key.as_str()) && !also(key)) {
        Some(unknown) => Err(Refusal::parameter(&format!("Unexpected key \"{unknown}\" on the request."))),
        None => Ok(()),
    }
}

/// Finds out who the message is for: the address, what the request called it, and how.
fn recipient<'a>(
    body: &'a Value,
    number: &NumberConfig,
    phones: &Phones,
    rewrites: bool,
) -> Result<(Cow<'a, str>, &'a str, bool), Refusal> {
    let text = |key: &str| match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Refusal::parameter(&format!("Param {key} must be a string."))),
    };
    match text("recipient_type")? {
        None | Some("individual") => {}
        Some("group") => return Err(Refusal::of(131_041)),
        Some(_) => return Err(Refusal::parameter("Param recipient_type must be one of {INDIVIDUAL, GROUP}")),
    }
    let (to, input, by_user_id) = match (text("to")?, text("recipient")?) {
        (Some(to), _) if !to.is_empty() => {
            let digits =
                Phones::wa_id(to).ok_or_else(|| Refusal::invalid("Recipient is not a valid phone number"))?;
            (if rewrites { phone::own_form(digits) } else { digits }, to, false)
        }
        (_, Some(user_id)) if is_user_id(user_id) => {
            let address = phones.behind(user_id).map_or(Cow::Borrowed(user_id), Cow::Owned);
            (address, user_id, true)
        }
        (_, Some(_)) => return Err(Refusal::invalid("Recipient is not a valid user id")),
        (_, None) => return Err(Refusal::parameter("The parameter to is required.")),
    };
    if to == number.display_phone_number {
        return Err(Refusal::of(131_021));
    }
    Ok((to, input, by_user_id))
}

/// Two capital letters, a dot, 1 to 128 letters and digits; `CC.ENT.` for a parent id.
fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else { return false };
    let rest = rest.strip_prefix("ENT.").unwrap_or(rest);
    country.len() == 2
        && country.bytes().all(|b| b.is_ascii_uppercase())
        && (1..=128).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn receipt(body: &Value) -> Result<&str, Refusal> {
    if body.get("status").and_then(Value::as_str) != Some("read") {
        return Err(Refusal::parameter("Param status must be one of {READ}"));
    }
    let id = match body.get("message_id") {
        None => return Err(Refusal::parameter("The parameter message_id is required.")),
        Some(Value::String(id)) if id.starts_with("wamid.") => id,
        Some(_) => return Err(Refusal::invalid("message_id is not a valid message id")),
    };
    match body.get("typing_indicator") {
        None => Ok(id),
        Some(indicator) if indicator.get("type").and_then(Value::as_str) == Some("text") => Ok(id),
        Some(_) => Err(Refusal::parameter("Param typing_indicator['type'] must be one of {TEXT}")),
    }
}

fn category(kind: Kind, object: &Value) -> Category {
    if kind != Kind::Template {
        return Category::Service;
    }
    let name = object.get("name").and_then(Value::as_str).unwrap_or_default();
    if name.contains("promo") || name.contains("marketing") {
        Category::Marketing
    } else if name.contains("otp") || name.contains("auth") {
        Category::Authentication
    } else {
        Category::Utility
    }
}

impl Draft<'_> {
    /// The body of the 200 that says the message was accepted.
    pub(crate) fn accepted(&self, wamid: &str, held: bool) -> String {
        let input = Value::from(self.input);
        let (known_as, address) =
            if self.by_user_id { ("user_id", self.input) } else { ("wa_id", self.to.as_ref()) };
        let held = match (self.kind, held) {
            (Kind::Template, true) => r#","message_status":"held_for_quality_assessment""#,
            (Kind::Template, false) => r#","message_status":"accepted""#,
            _ => "",
        };
        format!(
            r#"{{"messaging_product":"whatsapp","contacts":[{{"input":{input},"{known_as}":"{address}"}}],"messages":[{{"id":"{wamid}"{held}}}]}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_json(body: &Value) -> Result<String, u32> {
        match read(body, &NumberConfig::default(), &Phones::new(1), false) {
            Ok(Request::Receipt(_)) => Ok("receipt".into()),
            Ok(Request::Message(draft)) => Ok(draft.accepted("wamid.x", false)),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn an_accepted_message_is_answered_in_metas_shape() {
        let body = json!({"messaging_product": "whatsapp", "to": "+1 555 010-0001", "type": "text", "text": {"body": "Hi"}});
        assert_eq!(
            read_json(&body).unwrap(),
            r#"{"messaging_product":"whatsapp","contacts":[{"input":"+1 555 010-0001","wa_id":"15550100001"}],"messages":[{"id":"wamid.x"}]}"#
        );
        let template = json!({"messaging_product": "whatsapp", "recipient": "US.134", "type": "template",
            "template": {"name": "order_update", "language": {"code": "en_US"}}});
        assert_eq!(
            read_json(&template).unwrap(),
            r#"{"messaging_product":"whatsapp","contacts":[{"input":"US.134","user_id":"US.134"}],"messages":[{"id":"wamid.x","message_status":"accepted"}]}"#
        );
    }

    #[test]
    fn a_broken_envelope_is_refused_with_metas_code() {
        let whole = json!({"messaging_product": "whatsapp", "to": "15550100001", "type": "text", "text": {"body": "Hi"}});
        assert!(read_json(&whole).is_ok());
        let long = "x".repeat(513);
        for (change, code) in [
            (json!({"messaging_product": null}), 100),
            (json!({"to": null}), 100),
            (json!({"to": "abc"}), 131_009),
            (json!({"to": 15550100001_u64}), 100),
            (json!({"to": "15550200000"}), 131_021),
            (json!({"type": "poem"}), 100),
            (json!({"type": "image"}), 131_008),
            (json!({"recipient_type": "group"}), 131_041),
            (json!({"context": {}}), 131_008),
            (json!({"biz_opaque_callback_data": long}), 100),
            (json!({"foo": 1}), 100),
            (json!({"category": "utility", "ttl_seconds": 30}), 100),
            (json!({"ttl_seconds": 30}), 100),
        ] {
            let mut body = whole.clone();
            for (key, value) in change.as_object().unwrap() {
                body[key] = value.clone();
            }
            assert_eq!(read_json(&body), Err(code), "{change}");
        }
        assert_eq!(read_json(&json!([])), Err(100));
    }

    #[test]
    fn read_receipts_and_typing_are_no_messages() {
        let read = |change: Value| {
            let mut body =
                json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.abc"});
            for (key, value) in change.as_object().unwrap() {
                body[key] = value.clone();
            }
            read_json(&body)
        };
        assert_eq!(read(json!({})).unwrap(), "receipt");
        assert_eq!(read(json!({"typing_indicator": {"type": "text"}})).unwrap(), "receipt");
        assert_eq!(read(json!({"message_id": "x"})), Err(131_009));
        assert_eq!(read(json!({"status": "seen"})), Err(100));
        assert_eq!(read(json!({"foo": 1})), Err(100));
        assert_eq!(read(json!({"typing_indicator": {}})), Err(100));
    }
}
