//! Where a content names media: the payload itself, headers, parameters of templates, cards. One shape stands at every
//! place, `{"type": "image", "image": {…}}`, so that one walk finds them all. Not what the media is.

use super::{Content, Media};
use crate::media::MediaKind;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Deeper than any message of Meta's.
pub const DEPTH: usize = 12;

/// One use of media by an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaUse {
    /// Where the id stands, as in the JSON, e.g. `interactive.header.image.id`.
    pub path: String,
    /// What the message makes of it.
    pub kind: MediaKind,
    /// The id: ours, Meta's, or a pattern that becomes one.
    pub id: String,
}

impl Content {
    /// Every use of media by an id.
    #[must_use]
    pub fn media_uses(&self) -> Vec<MediaUse> {
        let mut uses = Vec::new();
        let mut note = |path: &str, kind: MediaKind, id: &str| {
            uses.push(MediaUse { path: format!("{path}.id"), kind, id: id.to_owned() });
        };
        if let (Some(media), Some(kind)) = (self.media(), MediaKind::of_word(self.kind())) {
            if let Some(id) = &media.id {
                note(kind.word(), kind, id);
            }
            return uses;
        }
        let mut object = |path: &str, kind: MediaKind, media: &Map<String, Value>| {
            if let Some(id) = media.get("id").and_then(Value::as_str) {
                note(path, kind, id);
            }
        };
        match self {
            Self::Interactive(value) => walk(value, "interactive", DEPTH, &mut object),
            Self::Template(template) => {
                for (at, component) in template.components.iter().enumerate() {
                    walk(component, &format!("template.components[{at}]"), DEPTH, &mut object);
                }
            }
            _ => {}
        }
        uses
    }

    /// Whether any media stands in it whose id this accepts. Without an allocation: asked for every message.
    #[must_use]
    pub fn has_media_id(&self, accept: impl Fn(&str) -> bool) -> bool {
        let here = |media: &Media| media.id.as_deref().is_some_and(&accept);
        match self {
            Self::Image(m) | Self::Video(m) | Self::Audio(m) | Self::Document(m) | Self::Sticker(m) => {
                here(m)
            }
            Self::Interactive(value) => any(value, DEPTH, &accept),
            Self::Template(template) => template.components.iter().any(|c| any(c, DEPTH, &accept)),
            _ => false,
        }
    }

    /// The same with other ids where `other` has one.
    #[must_use]
    pub fn with_media_ids(&self, other: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut content = self.clone();
        match &mut content {
            Self::Image(m) | Self::Video(m) | Self::Audio(m) | Self::Document(m) | Self::Sticker(m) => {
                if let Some(id) = m.id.as_deref().and_then(other) {
                    m.id = Some(id);
                }
            }
            Self::Interactive(value) => replace(value, DEPTH, other),
            Self::Template(template) => template.components.iter_mut().for_each(|c| replace(c, DEPTH, other)),
            _ => {}
        }
        content
    }
}

/// The kind and the media of an object that is a place.
fn place(fields: &Map<String, Value>) -> Option<(MediaKind, &Map<String, Value>)> {
    let kind = MediaKind::of_word(fields.get("type")?.as_str()?)?;
    Some((kind, fields.get(kind.word())?.as_object()?))
}

/// Told of a media object: where it stands, what is made of it, its fields.
pub type Tell<'a> = &'a mut dyn FnMut(&str, MediaKind, &Map<String, Value>);

/// Tells of every media object of a message or a part of one, with its path.
pub fn walk(value: &Value, path: &str, depth: usize, tell: Tell<'_>) {
    descend(value, &mut path.to_owned(), depth, tell);
}

/// One path for the whole walk: it grows on the way down and shrinks on the way up.
fn descend(value: &Value, path: &mut String, depth: usize, tell: Tell<'_>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let here = path.len();
    match value {
        Value::Object(fields) => {
            if let Some((kind, media)) = place(fields) {
                join(path, kind.word());
                tell(path, kind, media);
                path.truncate(here);
            }
            for (field, value) in fields.iter().filter(|(_, value)| has_parts(value)) {
                join(path, field);
                descend(value, path, depth, tell);
                path.truncate(here);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate().filter(|(_, item)| has_parts(item)) {
                let _ = write!(path, "[{at}]");
                descend(item, path, depth, tell);
                path.truncate(here);
            }
        }
        _ => {}
    }
}

/// Nothing stands in a text or a number.
fn has_parts(value: &Value) -> bool {
    matches!(value, Value::Object(_) | Value::Array(_))
}

fn join(path: &mut String, field: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(field);
}

fn any(value: &Value, depth: usize, accept: &dyn Fn(&str) -> bool) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match value {
        Value::Object(fields) => {
            place(fields).and_then(|(_, media)| media.get("id")?.as_str()).is_some_and(accept)
                || fields.values().any(|value| any(value, depth, accept))
        }
        Value::Array(items) => items.iter().any(|item| any(item, depth, accept)),
        _ => false,
    }
}

fn replace(value: &mut Value, depth: usize, other: &dyn Fn(&str) -> Option<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(fields) => {
            if let Some(kind) = place(fields).map(|(kind, _)| kind)
                && let Some(id) = fields.get_mut(kind.word()).and_then(|media| media.get_mut("id"))
                && let Some(new) = id.as_str().and_then(other)
            {
                *id = Value::String(new);
            }
            fields.values_mut().for_each(|value| replace(value, depth, other));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, depth, other)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(message: &Value) -> Content {
        Content::from_json(message).unwrap()
    }

    fn everywhere() -> [(Value, &'static [&'static str]); 6] {
        [
            (json!({"type": "image", "image": {"id": "med_1", "caption": "c"}}), &["image.id"]),
            (json!({"type": "sticker", "sticker": {"id": "med_1"}}), &["sticker.id"]),
            (
                json!({"type": "interactive", "interactive": {"type": "button", "body": {"text": "?"},
                    "header": {"type": "document", "document": {"id": "med_1", "filename": "a.pdf"}}}}),
                &["interactive.header.document.id"],
            ),
            (
                json!({"type": "interactive", "interactive": {"type": "carousel", "action": {"cards": [
                    {"card_index": 0, "type": "cta_url", "header": {"type": "image", "image": {"link": "https://a"}}},
                    {"card_index": 1, "type": "cta_url", "header": {"type": "video", "video": {"id": "med_1"}}}]}}}),
                &["interactive.action.cards[1].header.video.id"],
            ),
            (
                json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
                    {"type": "header", "parameters": [{"type": "image", "image": {"id": "med_1"}}]},
                    {"type": "body", "parameters": [{"type": "text", "text": "med_1"}]}]}}),
                &["template.components[0].parameters[0].image.id"],
            ),
            (
                json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
                    {"type": "carousel", "cards": [{"card_index": 0, "components": [
                        {"type": "header", "parameters": [{"type": "image", "image": {"id": "med_1"}}]}]},
                        {"card_index": 1, "components": [
                        {"type": "header", "parameters": [{"type": "image", "image": {"id": "77"}}]}]}]}]}}),
                &[
                    "template.components[0].cards[0].components[0].parameters[0].image.id",
                    "template.components[0].cards[1].components[0].parameters[0].image.id",
                ],
            ),
        ]
    }

    #[test]
    fn media_is_found_wherever_a_message_may_name_it() {
        for (message, paths) in everywhere() {
            let uses = content(&message).media_uses();
            assert_eq!(uses.iter().map(|u| u.path.as_str()).collect::<Vec<_>>(), paths, "{message}");
            assert!(content(&message).has_media_id(|id| id == "med_1"), "{message}");
            assert!(!content(&message).has_media_id(|id| id == "med_2"));
        }
        let plain = json!({"type": "text", "text": {"body": "med_1"}});
        assert!(content(&plain).media_uses().is_empty() && !content(&plain).has_media_id(|_| true));
    }

    #[test]
    fn an_id_is_replaced_in_its_place_and_nothing_else_changes() {
        let other = |id: &str| (id == "med_1").then(|| "9001".to_owned());
        for (message, _) in everywhere() {
            let text = message.to_string();
            let expected = match message["type"].as_str() {
                // The word stands in a text as well, which is none of our business.
                Some("template") => text.replace(r#""id":"med_1""#, r#""id":"9001""#),
                _ => text.replace("med_1", "9001"),
            };
            assert_eq!(
                content(&message).with_media_ids(&other).to_json(),
                serde_json::from_str::<Value>(&expected).unwrap()
            );
        }
    }
}
