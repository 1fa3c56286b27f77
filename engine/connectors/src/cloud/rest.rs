//! What Meta said of a message and its sender beyond what is read: kept as it came, so that it can be told again. The usual
//! message has none of it, and is looked through without being copied.

use super::inbound::ContactWire;
use kabar_engine::beside::Rest;
use serde_json::{Map, Value};

/// Keys of a message that are read wherever they stand.
const READ: [&str; 6] = ["from", "from_user_id", "id", "timestamp", "type", "referral"];
/// The same within `context`; its `from` follows from who wrote the quoted message.
const READ_OF_CONTEXT: [&str; 5] = ["from", "id", "forwarded", "frequently_forwarded", "referred_product"];

/// Keys of the payload of a type that are read; `None`: it is kept whole. A file's `url` is Meta's own and is read with Meta's
/// token alone, so nobody is told of it.
fn read_of(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "text" => &["body", "preview_url"],
        "image" | "video" | "audio" | "document" | "sticker" => {
            &["animated", "caption", "filename", "id", "link", "mime_type", "sha256", "url", "voice"]
        }
        "location" => &["address", "latitude", "longitude", "name", "url"],
        "reaction" => &["emoji", "message_id"],
        "button" => &["payload", "text"],
        _ => return None,
    })
}

/// What is left of an object without the keys that are read.
fn left(object: &Value, read: &[&str]) -> Map<String, Value> {
    let all = object.as_object().into_iter().flatten();
    all.filter(|(key, _)| !read.contains(&key.as_str())).map(|(key, v)| (key.clone(), v.clone())).collect()
}

/// Of a message.
fn of_message(value: &Value) -> Map<String, Value> {
    let kind = value["type"].as_str().unwrap_or("text");
    let read = read_of(kind);
    let mut rest = Map::new();
    for (key, item) in value.as_object().into_iter().flatten() {
        let more = match key.as_str() {
            key if READ.contains(&key) => continue,
            "context" => {
                let mut more = left(item, &READ_OF_CONTEXT);
                // Who quotes words of their own is named; else it is the business.
                let from = item.get("from").filter(|from| from.is_string());
                if from.is_some_and(|from| value.get("from") == Some(from)) {
                    more.extend(from.map(|from| ("from".to_owned(), from.clone())));
                }
                more
            }
            // Read into the payload of a type that is kept whole.
            "errors" if read.is_none() => continue,
            key if key == kind => match read {
                Some(read) => left(item, read),
                None => continue,
            },
            _ => {
                rest.insert(key.clone(), item.clone());
                continue;
            }
        };
        if !more.is_empty() {
            rest.insert(key.clone(), Value::Object(more));
        }
    }
    rest
}

/// Of a sender, whose name at WhatsApp is kept as `username`.
pub(super) fn of_contact(contact: &ContactWire<'_>, username: Option<&str>) -> Map<String, Value> {
    let mut rest = contact.more.clone();
    for (key, text) in
        [("parent_user_id", &contact.parent_user_id), ("identity_key_hash", &contact.identity_key_hash)]
    {
        rest.extend(text.as_ref().map(|text| (key.to_owned(), Value::from(&**text))));
    }
    if let Some(profile) = &contact.profile {
        let mut more = profile.more.clone();
        let said = profile.username.as_deref().filter(|said| Some(*said) != username);
        more.extend(said.map(|said| ("username".to_owned(), said.into())));
        if !more.is_empty() {
            rest.insert("profile".to_owned(), more.into());
        }
    }
    rest
}

/// Of both.
pub(super) fn of(value: &Value, contact: Option<&ContactWire<'_>>, username: Option<&str>) -> Rest {
    Rest {
        message: of_message(value),
        contact: contact.map(|contact| of_contact(contact, username)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::content::Content;
    use serde_json::json;

    #[test]
    fn what_is_said_to_be_read_is_told_again() {
        for kind in
            ["text", "image", "video", "audio", "document", "sticker", "location", "reaction", "button"]
        {
            let keys = read_of(kind).unwrap();
            let payload: Map<_, _> = keys
                .iter()
                .map(|key| {
                    let value = match *key {
                        "preview_url" | "voice" | "animated" => json!(true),
                        "latitude" | "longitude" => json!(1.5),
                        key => json!(key),
                    };
                    ((*key).to_owned(), value)
                })
                .collect();
            let mut told = Content::from_json(&json!({"type": kind, kind: payload})).unwrap().to_json();
            let told = told[kind].as_object_mut().unwrap();
            // Meta's own address is the one that is not.
            let own = payload.iter().filter(|(key, _)| kind == "location" || *key != "url");
            assert!(own.clone().all(|(key, value)| told.get(key) == Some(value)), "{kind}: {told:?}");
            assert_eq!(of_message(&json!({"type": kind, kind: payload})), Map::new());
        }
    }

    #[test]
    fn the_usual_message_leaves_nothing_and_the_unusual_whatever_is_new() {
        let usual = json!({"from": "1555", "from_user_id": "US.1", "id": "wamid.A", "timestamp": "1", "type": "image",
            "image": {"id": "9", "url": "https://lookaside", "mime_type": "image/png", "sha256": "x"},
            "context": {"from": "1666", "id": "wamid.B"}, "referral": {"source_id": "1"}});
        assert_eq!(of_message(&usual), Map::new());
        let mut odd = usual.clone();
        (odd["identity"], odd["image"]["of_2030"]) = (json!({"hash": "h"}), json!(1));
        odd["context"] = json!({"from": "1555", "id": "wamid.B", "of_2030": 2});
        let left = json!({"identity": {"hash": "h"}, "image": {"of_2030": 1}, "context": {"from": "1555", "of_2030": 2}});
        assert_eq!(Value::Object(of_message(&odd)), left);
        let order = json!({"type": "order", "order": {"of_2030": 1}, "errors": [1]});
        assert_eq!(of_message(&order), Map::new(), "it is kept whole");
    }
}
