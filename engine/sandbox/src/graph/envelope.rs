//! The JSON of Meta's webhooks: statuses, inbound messages, the envelope around several of them,
//! the escaping and the signature over the bytes as they leave. Not their transport.

use std::collections::HashSet;
use std::fmt::Write;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

use crate::behaviour::{Behaviour, Escape, UserIds};
use crate::config::NumberConfig;
use crate::network::code;
use crate::network::dice::key;
use crate::network::message::Category;
use crate::network::phone::Phones;
use crate::network::price::{self, Rate};

const ERRORS_PAGE: &str = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// Which list of a webhook value an update stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum List {
    Statuses,
    Messages,
    /// News of the account, in a change of its own.
    Account,
}

/// One element of a webhook, ready to be put into an envelope.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) number: usize,
    pub(crate) list: List,
    pub(crate) json: String,
    pub(crate) contact: Option<String>,
}

impl Update {
    /// News of an account, told by one of its numbers: a whole value of a webhook field other than `messages`.
    pub(crate) fn account(number: usize, field: &str, value: &Value) -> Self {
        let json = format!(r#"{{"value":{value},"field":{}}}"#, Value::from(field));
        Self { number, list: List::Account, json, contact: None }
    }

    /// Whose news it is: the number, and whether its account's.
    pub(crate) fn of(&self) -> (usize, bool) {
        (self.number, self.list == List::Account)
    }
}

/// A status as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusLine<'a> {
    pub(crate) wamid: &'a str,
    /// Digits, or a user id; empty: not told.
    pub(crate) to: &'a str,
    pub(crate) reference: Option<&'a str>,
    pub(crate) status: &'a str,
    /// Error code of `failed`, else 0.
    pub(crate) code: u32,
    pub(crate) price: Option<(Category, Rate)>,
    /// When the message was accepted, Unix milliseconds.
    pub(crate) sent_ms: i64,
    pub(crate) unix_s: i64,
}

/// An inbound message as it is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboundLine<'a> {
    pub(crate) wamid: &'a str,
    /// Digits, or a user id.
    pub(crate) from: &'a str,
    /// Instead of the user id the sandbox would make.
    pub(crate) user_id: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) unix_s: i64,
    /// The quoted message: who wrote it, and its id.
    pub(crate) quote: Option<(&'a str, &'a str)>,
    /// `type`, its object, and whatever else the message carries.
    pub(crate) content: &'a Value,
}

/// Names of one user as this behaviour shows them: phone number and user id.
fn shown(
    address: &str,
    user_id: Option<&str>,
    phones: &Phones,
    mode: UserIds,
) -> (Option<String>, Option<String>) {
    if address.is_empty() {
        return (None, user_id.map(str::to_owned));
    }
    let is_phone = address.bytes().all(|b| b.is_ascii_digit());
    let id = user_id.map_or_else(|| phones.user_id(address), str::to_owned);
    match mode {
        UserIds::Phone if is_phone => (Some(address.to_owned()), None),
        UserIds::Both if is_phone => (Some(address.to_owned()), Some(id)),
        _ => (None, Some(id)),
    }
}

fn contact(name: &str, phone: Option<&str>, user_id: Option<&str>) -> String {
    let mut json = format!(r#"{{"profile":{{"name":{}}}"#, Value::from(name));
    put(&mut json, "wa_id", phone);
    put(&mut json, "user_id", user_id);
    json.push('}');
    json
}

/// Appends `,"key":"value"`; writing into a string cannot fail.
fn put(json: &mut String, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        let _ = write!(json, r#","{key}":{}"#, Value::from(value));
    }
}

/// The element of `statuses`.
pub(crate) fn status(number: usize, line: &StatusLine<'_>, phones: &Phones, behaviour: &Behaviour) -> Update {
    let (phone, user_id) = shown(line.to, None, phones, behaviour.user_ids);
    let mut json = String::with_capacity(400);
    let _ = write!(
        json,
        r#"{{"id":{},"status":{},"timestamp":"{}""#,
        Value::from(line.wamid),
        Value::from(line.status),
        line.unix_s
    );
    put(&mut json, "recipient_id", phone.as_deref());
    put(&mut json, "recipient_user_id", user_id.as_deref());
    put(&mut json, "biz_opaque_callback_data", line.reference);
    if let Some((category, rate)) = line.price {
        if behaviour.integrity.webhook_version < 24 || rate == Rate::FreeEntryPoint {
            conversation(&mut json, line, category, rate);
        }
        let _ = write!(
            json,
            r#","pricing":{{"billable":{},"pricing_model":"{}","type":"{}","category":"{}"}}"#,
            rate == Rate::Regular,
            price::model(line.sent_ms),
            rate.name(),
            category.name()
        );
    }
    if line.code != 0 {
        let known = code::describe(line.code);
        let title = Value::from(known.title);
        let _ = write!(
            json,
            r#","errors":[{{"code":{},"title":{title},"message":{title},"error_data":{{"details":{}}},"href":"{ERRORS_PAGE}"}}]"#,
            line.code,
            Value::from(known.details)
        );
    }
    json.push('}');
    let introduced = behaviour.status_contacts && line.code == 0 && !line.to.is_empty();
    let contact = introduced.then(|| contact(phones.name(line.to), phone.as_deref(), user_id.as_deref()));
    Update { number, list: List::Statuses, json, contact }
}

/// `conversation`, which older webhooks and free entry points carry; its id is the message's own.
fn conversation(json: &mut String, line: &StatusLine<'_>, category: Category, rate: Rate) {
    let (origin, hours) =
        if rate == Rate::FreeEntryPoint { ("referral_conversion", 72) } else { (category.name(), 24) };
    let id = key(&[line.wamid]);
    let _ = write!(json, r#","conversation":{{"id":"{id:032x}""#);
    if line.status == "sent" {
        let _ = write!(json, r#","expiration_timestamp":"{}""#, line.sent_ms / 1_000 + hours * 3_600);
    }
    let _ = write!(json, r#","origin":{{"type":"{origin}"}}}}"#);
}

/// The element of `messages`, with its contact.
pub(crate) fn inbound(number: usize, line: &InboundLine<'_>, phones: &Phones, mode: UserIds) -> Update {
    let (phone, user_id) = shown(line.from, line.user_id, phones, mode);
    let mut json = String::with_capacity(400);
    let _ = write!(json, r#"{{"id":{},"timestamp":"{}""#, Value::from(line.wamid), line.unix_s);
    put(&mut json, "from", phone.as_deref());
    put(&mut json, "from_user_id", user_id.as_deref());
    if let Some((author, quoted)) = line.quote {
        let _ = write!(json, r#","context":{{"from":{},"id":{}}}"#, Value::from(author), Value::from(quoted));
    }
    for (key, value) in line.content.as_object().into_iter().flatten() {
        let _ = write!(json, r#",{}:{value}"#, Value::from(key.as_str()));
    }
    json.push('}');
    // Meta introduces nobody in a system message
    let system = line.content.get("type").and_then(Value::as_str) == Some("system");
    let contact = (!system).then(|| contact(line.name, phone.as_deref(), user_id.as_deref()));
    Update { number, list: List::Messages, json, contact }
}

/// The body around several updates: one entry per business account, one change per number and list.
pub(crate) fn envelope(updates: &[Update], numbers: &[NumberConfig], unix_s: i64) -> String {
    let mut groups: Vec<(usize, List, Vec<&Update>)> = Vec::new();
    for update in updates {
        let same =
            |group: &&mut (usize, List, Vec<&Update>)| group.0 == update.number && group.1 == update.list;
        match groups.iter_mut().find(same) {
            Some(group) => group.2.push(update),
            None => groups.push((update.number, update.list, vec![update])),
        }
    }
    let mut accounts: Vec<&str> = Vec::new();
    for (number, ..) in &groups {
        let account = numbers[*number].waba_id.as_str();
        if !accounts.contains(&account) {
            accounts.push(account);
        }
    }
    let entries: Vec<String> = accounts
        .into_iter()
        .map(|account| {
            let own = || groups.iter().filter(|(number, ..)| numbers[*number].waba_id == account);
            let changes: Vec<String> =
                own().map(|(number, list, updates)| change(&numbers[*number], *list, updates)).collect();
            // Meta gives a time to news of accounts only
            let timed = own().any(|(_, list, _)| *list == List::Account);
            let time = if timed { format!(r#""time":{unix_s},"#) } else { String::new() };
            format!(r#"{{"id":"{account}",{time}"changes":[{}]}}"#, changes.join(","))
        })
        .collect();
    format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, entries.join(","))
}

fn change(number: &NumberConfig, list: List, updates: &[&Update]) -> String {
    if list == List::Account {
        let changes: Vec<&str> = updates.iter().map(|update| update.json.as_str()).collect();
        return changes.join(",");
    }
    let mut known = HashSet::new();
    let contacts: Vec<&str> =
        updates.iter().filter_map(|update| update.contact.as_deref()).filter(|c| known.insert(*c)).collect();
    let contacts =
        if contacts.is_empty() { String::new() } else { format!(r#","contacts":[{}]"#, contacts.join(",")) };
    let list = match list {
        List::Statuses => "statuses",
        List::Messages | List::Account => "messages",
    };
    let items: Vec<&str> = updates.iter().map(|update| update.json.as_str()).collect();
    format!(
        r#"{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"{}","phone_number_id":"{}"}}{contacts},"{list}":[{}]}},"field":"messages"}}"#,
        number.display_phone_number,
        number.phone_number_id,
        items.join(",")
    )
}

/// The bytes that leave: what is escaped only ever stands inside JSON strings.
pub(crate) fn escape(body: &str, mode: Escape) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len() + body.len() / 8);
    for character in body.chars() {
        match character {
            '/' if mode == Escape::UnicodeAndSigns => bytes.extend_from_slice(br"\/"),
            '<' | '>' | '&' | '%' | '@' if mode == Escape::UnicodeAndSigns => {
                unit(&mut bytes, character as u16)
            }
            plain if plain.is_ascii() => bytes.push(plain as u8),
            other if mode == Escape::None => {
                bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|half| unit(&mut bytes, *half)),
        }
    }
    bytes
}

fn unit(bytes: &mut Vec<u8>, unit: u16) {
    bytes.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
}

/// `sha256=<lower-case hex>` of HMAC-SHA256 over the bytes.
pub(crate) fn signature(secret: &[u8], bytes: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("invariant: HMAC takes keys of any length");
    mac.update(bytes);
    let mut text = String::with_capacity(71);
    text.push_str("sha256=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(code: u32) -> StatusLine<'static> {
        StatusLine {
            wamid: "wamid.x",
            to: "15550100001",
            reference: Some("v1|é\"|9"),
            status: if code == 0 { "sent" } else { "failed" },
            code,
            price: (code == 0).then_some((Category::Utility, Rate::Regular)),
            sent_ms: 1_790_000_000_000,
            unix_s: 1_790_000_000,
        }
    }

    #[test]
    fn statuses_of_two_numbers_and_a_message_share_one_body() {
        let numbers = [
            NumberConfig::default(),
            NumberConfig { phone_number_id: "107".into(), ..NumberConfig::default() },
            NumberConfig { phone_number_id: "108".into(), waba_id: "9".into(), ..NumberConfig::default() },
        ];
        let (phones, b) = (Phones::new(1), Behaviour::default());
        let hi = json!({"type": "text", "text": {"body": "Hi"}});
        let message = InboundLine {
            wamid: "wamid.in",
            from: "15550100001",
            user_id: None,
            name: "Zoë",
            unix_s: 1,
            quote: Some(("1555", "wamid.x")),
            content: &hi,
        };
        let updates = [
            status(0, &line(0), &phones, &b),
            status(1, &line(131_026), &phones, &b),
            inbound(0, &message, &phones, UserIds::Both),
            status(0, &line(0), &phones, &b),
            status(2, &line(0), &phones, &b),
        ];
        let body: Value =
            serde_json::from_slice(&escape(&envelope(&updates, &numbers, 1_790_000_000), Escape::Unicode))
                .unwrap();
        assert_eq!(body["entry"].as_array().unwrap().len(), 2);
        let changes = &body["entry"][0]["changes"];
        assert_eq!(changes.as_array().unwrap().len(), 3);
        let first = &changes[0]["value"];
        assert_eq!(first["statuses"].as_array().unwrap().len(), 2);
        assert_eq!(first["contacts"].as_array().unwrap().len(), 1);
        assert_eq!(first["statuses"][0]["biz_opaque_callback_data"], "v1|é\"|9");
        assert_eq!(first["statuses"][0]["pricing"]["category"], "utility");
        let failed = &changes[1]["value"];
        assert_eq!(failed["statuses"][0]["errors"][0]["code"], 131_026);
        assert!(failed.get("contacts").is_none());
        let inbound = &changes[2]["value"];
        assert_eq!(inbound["contacts"][0]["profile"]["name"], "Zoë");
        assert_eq!(inbound["messages"][0]["context"]["id"], "wamid.x");
        assert_eq!(inbound["messages"][0]["text"]["body"], "Hi");
        assert_eq!(inbound["messages"][0]["from_user_id"], inbound["contacts"][0]["user_id"]);
    }

    #[test]
    fn a_hidden_number_shows_only_its_user_id() {
        let (phones, b) = (Phones::new(1), Behaviour { user_ids: UserIds::UserId, ..Behaviour::default() });
        let told: Value = serde_json::from_str(&status(0, &line(0), &phones, &b).json).unwrap();
        assert!(told.get("recipient_id").is_none());
        assert!(told["recipient_user_id"].as_str().unwrap().starts_with("US."));
    }

    #[test]
    fn bodies_are_escaped_in_lower_case_and_signed_as_they_leave() {
        assert_eq!(escape("é/👍", Escape::Unicode), br"\u00e9/\ud83d\udc4d");
        assert_eq!(escape("é/@", Escape::UnicodeAndSigns), br"\u00e9\/\u0040");
        assert_eq!(escape("é/", Escape::None), "é/".as_bytes());
        // RFC 4231, test case 2
        assert_eq!(
            signature(b"Jefe", b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
