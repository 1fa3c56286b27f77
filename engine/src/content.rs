//! What a message says, in the shape of Meta's message object: a tag `type` and the payload under the type's
//! name. The same value is the body of the API, of an entry and of a call to the provider.
//!
//! Not an envelope: who it goes to, what it quotes and which reference it carries stand elsewhere. Unknown keys
//! beside the payload are ignored, so that a whole message object of Meta can be read.

mod interactive;
mod limits;
mod node;
mod parts;
pub mod places;
mod shape;

pub use parts::{Button, Coordinate, Language, Location, Media, Reaction, TemplateMessage, Text};
pub use places::MediaUse;

use serde_json::Value;

/// The content of one message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(Text),
    /// A picture, jpeg or png.
    Image(Media),
    /// A film.
    Video(Media),
    /// A sound; with `voice` a voice message.
    Audio(Media),
    /// A file.
    Document(Media),
    /// A sticker, webp.
    Sticker(Media),
    /// A place.
    Location(Location),
    /// Contact cards, each in Meta's shape.
    Contacts(Vec<Value>),
    /// An emoji on an earlier message.
    Reaction(Reaction),
    /// Buttons, lists, flows and the rest, in Meta's shape; inbound the answer to them.
    Interactive(Value),
    /// A template that Meta approved: the only content allowed outside the 24-hour window.
    Template(TemplateMessage),
    /// Inbound: a tap on a template's quick-reply button.
    Button(Button),
    /// Inbound: a type kept as it came.
    Other {
        /// Meta's word for the type.
        kind: String,
        /// The payload under that word; null when there was none.
        value: Value,
    },
}

/// Why a content cannot be sent or read. Every path is written as in the JSON, e.g.
/// `interactive.action.buttons[2].reply.title`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A text is longer than WhatsApp takes.
    #[error("`{path}` has {value} characters, the limit is {limit}: shorten it")]
    TooLong {
        /// Where.
        path: String,
        /// Most characters.
        limit: usize,
        /// How many there are.
        value: usize,
    },
    /// A list has too few or too many items.
    #[error("`{path}` has {value} items, allowed are {min} to {max}")]
    Count {
        /// Where.
        path: String,
        /// Fewest items.
        min: usize,
        /// Most items.
        max: usize,
        /// How many there are.
        value: usize,
    },
    /// A required field is absent or empty.
    #[error("`{path}` is missing or empty")]
    Missing {
        /// Where.
        path: String,
    },
    /// A field that this type does not take.
    #[error("`{path}` is not allowed here: {reason}")]
    NotAllowed {
        /// Where.
        path: String,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// Two items share what must be unique.
    #[error("`{path}` repeats an earlier value: each must be unique")]
    Repeated {
        /// Where the second one stands.
        path: String,
    },
    /// A value of the wrong kind or outside its range.
    #[error("`{path}` must be {expected}")]
    Invalid {
        /// Where.
        path: String,
        /// What it must be.
        expected: String,
    },
}

impl ContentError {
    /// Where.
    #[must_use]
    pub fn path(&self) -> &str {
        let (Self::TooLong { path, .. }
        | Self::Count { path, .. }
        | Self::Missing { path }
        | Self::NotAllowed { path, .. }
        | Self::Repeated { path }
        | Self::Invalid { path, .. }) = self;
        path
    }
}

impl Content {
    /// A plain text without preview.
    #[must_use]
    pub fn plain(body: &str) -> Self {
        Self::Text(Text { body: body.to_owned(), preview_url: None })
    }

    /// Reads Meta's message object. Without `type` it is a text, as Meta reads it.
    ///
    /// # Errors
    /// [`ContentError`] with the path of what is missing or of the wrong kind.
    pub fn from_json(value: &Value) -> Result<Self, ContentError> {
        shape::read(value)
    }

    /// Meta's message object: `{"type": …, "<type>": …}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        shape::write(self)
    }

    /// Meta's word for the type, e.g. `text`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Reaction(_) => "reaction",
            Self::Interactive(_) => "interactive",
            Self::Template(_) => "template",
            Self::Button(_) => "button",
            Self::Other { kind, .. } => kind,
        }
    }

    /// Checks what WhatsApp would refuse of an outbound message, before anything is promised.
    ///
    /// # Errors
    /// The first [`ContentError`] found. Limits count Unicode characters.
    pub fn validate(&self) -> Result<(), ContentError> {
        limits::check(self)
    }

    /// What a person typed or tapped: body, caption, the text of a button or of a list's row. Opt-out words are
    /// looked for here.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(&text.body),
            Self::Image(media) | Self::Video(media) | Self::Document(media) => media.caption.as_deref(),
            Self::Button(button) => Some(&button.text),
            Self::Interactive(value) => ["button_reply", "list_reply"]
                .iter()
                .find_map(|reply| value.get(reply)?.get("title")?.as_str())
                .or_else(|| value.get("nfm_reply")?.get("body")?.as_str())
                .or_else(|| value.get("body")?.get("text")?.as_str()),
            _ => None,
        }
    }

    /// The id behind a tap: a quick reply's payload or the id of a button or row.
    #[must_use]
    pub fn reply_id(&self) -> Option<&str> {
        match self {
            Self::Button(button) => button.payload.as_deref(),
            Self::Interactive(value) => {
                ["button_reply", "list_reply"].iter().find_map(|reply| value.get(reply)?.get("id")?.as_str())
            }
            _ => None,
        }
    }

    /// The media of a picture, film, sound, file or sticker.
    #[must_use]
    pub fn media(&self) -> Option<&Media> {
        match self {
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => Some(media),
            _ => None,
        }
    }

    /// What an edited message says now.
    #[must_use]
    pub fn edited(&self) -> Option<Self> {
        let Self::Other { kind, value } = self else { return None };
        (kind == "edit").then(|| Self::from_json(value.get("message")?).ok())?
    }

    /// The file that came with it, or with what it was edited to, and the name of its type.
    #[must_use]
    pub fn received_file(&self) -> Option<(String, Media)> {
        let edited = self.edited();
        let content = edited.as_ref().unwrap_or(self);
        let media = content.media().filter(|media| media.id.is_some())?;
        // What an edit says is kept as it came, and is told again so.
        let raw = match self {
            Self::Other { value, .. } => value["message"].get(content.kind()).is_some_and(Value::is_object),
            _ => true,
        };
        raw.then(|| (content.kind().to_owned(), media.clone()))
    }

    /// Whether it may only be sent within 24 hours of the person's last message: everything but a template.
    #[must_use]
    pub fn needs_window(&self) -> bool {
        !matches!(self, Self::Template(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_a_template_goes_without_the_window() {
        let template = json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}}});
        assert!(!Content::from_json(&template).unwrap().needs_window());
        assert!(Content::plain("hi").needs_window());
    }

    #[test]
    fn what_a_person_typed_or_tapped_is_found() {
        for (message, text, id) in [
            (json!({"type": "text", "text": {"body": "STOP"}}), Some("STOP"), None),
            (json!({"type": "image", "image": {"id": "1", "caption": "stop"}}), Some("stop"), None),
            (json!({"type": "sticker", "sticker": {"id": "1"}}), None, None),
            (json!({"type": "button", "button": {"text": "Stop", "payload": "S"}}), Some("Stop"), Some("S")),
            (
                json!({"type": "interactive", "interactive": {"type": "button_reply",
                    "button_reply": {"id": "keep", "title": "Keep"}}}),
                Some("Keep"),
                Some("keep"),
            ),
            (
                json!({"type": "interactive", "interactive": {"type": "list_reply",
                    "list_reply": {"id": "t1", "title": "09-12", "description": "Morning"}}}),
                Some("09-12"),
                Some("t1"),
            ),
            (json!({"type": "reaction", "reaction": {"message_id": "w", "emoji": "👍"}}), None, None),
            (json!({"type": "unsupported"}), None, None),
        ] {
            let content = Content::from_json(&message).unwrap();
            assert_eq!((content.text(), content.reply_id()), (text, id), "{message}");
        }
    }
}
