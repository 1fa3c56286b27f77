//! Content ↔ Meta's message object. Not the limits: a value of the right shape may still be refused.

use super::{Content, ContentError};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// See [`Content::from_json`].
pub(super) fn read(message: &Value) -> Result<Content, ContentError> {
    let object =
        message.as_object().ok_or_else(|| invalid("message", "an object such as {\"type\": \"text\", …}"))?;
    let kind = match object.get("type") {
        None if object.contains_key("text") => "text",
        None => return Err(ContentError::Missing { path: "type".to_owned() }),
        Some(Value::String(kind)) if !kind.is_empty() => kind.as_str(),
        Some(_) => return Err(invalid("type", "a word such as \"text\"")),
    };
    Ok(match kind {
        "text" => Content::Text(payload(object, kind)?),
        "image" => Content::Image(payload(object, kind)?),
        "video" => Content::Video(payload(object, kind)?),
        "audio" => Content::Audio(payload(object, kind)?),
        "document" => Content::Document(payload(object, kind)?),
        "sticker" => Content::Sticker(payload(object, kind)?),
        "location" => Content::Location(payload(object, kind)?),
        "contacts" => Content::Contacts(payload(object, kind)?),
        "reaction" => Content::Reaction(payload(object, kind)?),
        "interactive" => Content::Interactive(Value::Object(payload(object, kind)?)),
        "template" => Content::Template(payload(object, kind)?),
        "button" => Content::Button(payload(object, kind)?),
        _ => {
            Content::Other { kind: kind.to_owned(), value: object.get(kind).cloned().unwrap_or(Value::Null) }
        }
    })
}

/// See [`Content::to_json`].
pub(super) fn write(content: &Content) -> Value {
    serde_json::to_value(content).expect("invariant: the parts of a content have string keys")
}

fn payload<T: DeserializeOwned>(object: &Map<String, Value>, kind: &str) -> Result<T, ContentError> {
    let value = object.get(kind).ok_or_else(|| ContentError::Missing { path: kind.to_owned() })?;
    T::deserialize(value).map_err(|error| {
        // serde names a missing field in backquotes; the path is then exact.
        let text = error.to_string();
        match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(field) => ContentError::Missing { path: format!("{kind}.{field}") },
            None => invalid(kind, &format!("of the documented shape ({text})")),
        }
    })
}

fn invalid(path: &str, expected: &str) -> ContentError {
    ContentError::Invalid { path: path.to_owned(), expected: expected.to_owned() }
}

impl Serialize for Content {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.kind();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", kind)?;
        match self {
            Self::Text(text) => map.serialize_entry(kind, text)?,
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => map.serialize_entry(kind, media)?,
            Self::Location(location) => map.serialize_entry(kind, location)?,
            Self::Contacts(cards) => map.serialize_entry(kind, cards)?,
            Self::Reaction(reaction) => map.serialize_entry(kind, reaction)?,
            Self::Interactive(value) => map.serialize_entry(kind, value)?,
            Self::Template(template) => map.serialize_entry(kind, template)?,
            Self::Button(button) => map.serialize_entry(kind, button)?,
            Self::Other { value: Value::Null, .. } => {}
            // A type called `type` would hide the tag.
            Self::Other { kind, value } if kind != "type" => map.serialize_entry(kind, value)?,
            Self::Other { .. } => {}
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        read(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Source: the message objects of Meta's Cloud API, one per type.
    const GOLDEN: &[&str] = &[
        r#"{"type":"text","text":{"body":"Your parcel is here: https://shop.example/t/81","preview_url":true}}"#,
        r#"{"type":"text","text":{"body":"hi","preview_url":false}}"#,
        r#"{"type":"image","image":{"id":"900100200300400","caption":"Blue, size M"}}"#,
        r#"{"type":"video","video":{"link":"https://cdn.example/a.mp4","caption":"Unboxing"}}"#,
        r#"{"type":"audio","audio":{"id":"900100200300401","voice":true}}"#,
        r#"{"type":"document","document":{"id":"900100200300402","caption":"Invoice","filename":"invoice-81.pdf"}}"#,
        r#"{"type":"sticker","sticker":{"id":"900100200300403"}}"#,
        r#"{"type":"location","location":{"latitude":"48.2082","longitude":"16.3738","name":"Shop","address":"Graben 1"}}"#,
        r#"{"type":"location","location":{"latitude":48.2082,"longitude":16.3738}}"#,
        r#"{"type":"contacts","contacts":[{"birthday":"1990-04-01","emails":[{"email":"ana@example.org","type":"WORK"}],"name":{"first_name":"Ana","formatted_name":"Ana Diaz","last_name":"Diaz"},"phones":[{"phone":"+15550100009","type":"WORK","wa_id":"15550100009"}]}]}"#,
        r#"{"type":"reaction","reaction":{"message_id":"wamid.HBgL...","emoji":"👍"}}"#,
        r#"{"type":"reaction","reaction":{"message_id":"wamid.HBgL...","emoji":""}}"#,
        r#"{"type":"interactive","interactive":{"action":{"buttons":[{"reply":{"id":"keep","title":"Keep"},"type":"reply"},{"reply":{"id":"move","title":"Move"},"type":"reply"}]},"body":{"text":"Keep the appointment?"},"footer":{"text":"Clinic"},"header":{"image":{"id":"900100200300404"},"type":"image"},"type":"button"}}"#,
        r#"{"type":"template","template":{"name":"order_update","language":{"code":"en_US"},"components":[{"parameters":[{"parameter_name":"first_name","text":"Ana","type":"text"}],"type":"body"},{"index":"1","parameters":[{"payload":"STOP_UPDATES","type":"payload"}],"sub_type":"quick_reply","type":"button"}]}}"#,
        r#"{"type":"template","template":{"name":"hello","language":{"code":"id","policy":"deterministic"}}}"#,
        r#"{"type":"button","button":{"text":"Stop updates","payload":"STOP_UPDATES"}}"#,
        r#"{"type":"image","image":{"id":"1","mime_type":"image/jpeg","sha256":"29ed"}}"#,
        r#"{"type":"sticker","sticker":{"id":"1","mime_type":"image/webp","animated":false}}"#,
        r#"{"type":"order","order":{"catalog_id":"700700","product_items":[]}}"#,
        r#"{"type":"unsupported"}"#,
    ];

    #[test]
    fn golden_shapes_go_there_and_back_to_the_byte() {
        for golden in GOLDEN {
            let content: Content = serde_json::from_str(golden).unwrap();
            assert_eq!(serde_json::to_string(&content).unwrap(), *golden);
            assert_eq!(Content::from_json(&content.to_json()).unwrap(), content);
        }
    }

    #[test]
    fn a_whole_message_object_of_meta_is_read() {
        let webhook = json!({"from": "15550100001", "id": "wamid.X", "timestamp": "1790000000", "type": "text",
            "text": {"body": "hi"}, "context": {"id": "wamid.Y"}});
        assert_eq!(Content::from_json(&webhook), Ok(Content::plain("hi")));
        let untyped = json!({"messaging_product": "whatsapp", "to": "15550100001", "text": {"body": "hi"}});
        assert_eq!(Content::from_json(&untyped), Ok(Content::plain("hi")));
    }

    #[test]
    fn a_wrong_shape_names_its_path() {
        for (message, error) in [
            (json!([]), "`message` must be an object such as {\"type\": \"text\", …}"),
            (json!({}), "`type` is missing or empty"),
            (json!({"type": 3}), "`type` must be a word such as \"text\""),
            (json!({"type": "text"}), "`text` is missing or empty"),
            (json!({"type": "text", "text": {}}), "`text.body` is missing or empty"),
            (
                json!({"type": "template", "template": {"name": "a"}}),
                "`template.language` is missing or empty",
            ),
        ] {
            assert_eq!(Content::from_json(&message).unwrap_err().to_string(), error);
        }
        let wrong = json!({"type": "interactive", "interactive": "x"});
        assert!(Content::from_json(&wrong).unwrap_err().to_string().starts_with("`interactive` must be"));
    }

    #[test]
    fn an_unknown_type_is_kept_whatever_its_name() {
        for kind in ["type", "pin", "日本"] {
            let content = Content::Other { kind: kind.to_owned(), value: Value::Null };
            assert_eq!(Content::from_json(&content.to_json()).unwrap().kind(), kind);
        }
    }
}
