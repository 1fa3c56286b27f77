//! The payloads of a content, as Meta names their fields. Not their limits.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Text of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// What it says, 1 to 4,096 characters.
    pub body: String,
    /// Whether the first link is shown with a preview; left out it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_url: Option<bool>,
}

/// A picture, film, sound, file or sticker: by `id` when it was uploaded, by `link` when the provider is to
/// fetch it. Inbound it has an id, a type and a hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// The provider's media id, or ours before it is uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A public http(s) address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Text below a picture, film or file, at most 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Name of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Inbound: the MIME type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Inbound: the hash of the bytes as the provider writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether a sound is a voice message (ogg, opus, mono).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
    /// Inbound: whether a sticker moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
}

/// Degrees of latitude or longitude. Meta takes a number or a string and so do we; a string may hold a variable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Coordinate {
    /// As a JSON number.
    Number(f64),
    /// As a JSON string.
    Text(String),
}

impl Coordinate {
    /// Degrees; `None` when the string is no finite number.
    #[must_use]
    pub fn degrees(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
        .filter(|degrees: &f64| degrees.is_finite())
    }
}

/// A place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Location {
    /// Degrees north, −90 to 90.
    pub latitude: Coordinate,
    /// Degrees east, −180 to 180.
    pub longitude: Coordinate,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Inbound: a page about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An emoji on an earlier message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reaction {
    /// The provider id of the message reacted to.
    pub message_id: String,
    /// One emoji; empty takes the reaction back (inbound Meta leaves it out then).
    #[serde(default)]
    pub emoji: String,
}

/// The language of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Language {
    /// Meta's code, e.g. `id` or `en_US`.
    pub code: String,
    /// `deterministic`, the only value; normally left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// The use of an approved template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateMessage {
    /// Its name.
    pub name: String,
    /// Which translation.
    pub language: Language,
    /// Values of its variables, in Meta's shape.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<Value>,
}

/// A tap on a template's quick-reply button.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What stands on the button.
    #[serde(default)]
    pub text: String,
    /// What the sender put behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}
