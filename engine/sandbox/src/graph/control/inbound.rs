//! A user writes: the order, and the message it becomes. Media that come with it are kept like Meta keeps them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Graph;
use super::super::envelope::{self, InboundLine};
use super::super::media::kind_of;
use crate::network::wamid;

/// A user writes to a business number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inbound {
    /// The number written to.
    pub phone_number_id: String,
    /// Who writes: digits, or a user id if the phone is hidden.
    pub from: String,
    /// Profile name; otherwise the phone's own.
    #[serde(default)]
    pub name: Option<String>,
    /// A text message.
    #[serde(default)]
    pub text: Option<String>,
    /// Or a raw message object of Meta's: `{"type":"image","image":{…}}`; its keys win.
    #[serde(default)]
    pub message: Option<Value>,
    /// Or a file, told as the kind of message its type is for.
    #[serde(default)]
    pub media: Option<InboundMedia>,
    /// Id of the quoted message.
    #[serde(default)]
    pub context_id: Option<String>,
    /// Instead of the user id the sandbox would make.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// A file a user sends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboundMedia {
    /// MIME type; any is taken, the unknown ones as documents.
    pub mime_type: String,
    /// The bytes in base64.
    pub base64: String,
    /// `image`, `video`, `audio`, `document` or `sticker`, instead of what the MIME type says.
    pub kind: Option<String>,
    /// Text beside an image, a video or a document.
    pub caption: Option<String>,
    /// Name of a document.
    pub filename: Option<String>,
    /// Whether an audio is a voice message.
    pub voice: bool,
    /// Whether a sticker moves.
    pub animated: bool,
}

impl Graph {
    /// A user writes; returns the message's id.
    pub(crate) fn inbound(&self, order: &Inbound) -> Result<String, String> {
        let number = self.known(&order.phone_number_id)?;
        let mut content = match (&order.text, &order.message, &order.media) {
            (Some(text), None, None) => json!({"type": "text", "text": {"body": text}}),
            (None, Some(message), None) if message.is_object() => message.clone(),
            (None, None, Some(media)) => self.received(number, media)?,
            _ => return Err("give one of `text`, `message` (an object) and `media`".into()),
        };
        if self.blocks.has(number, &order.from) {
            return Err("the number has blocked this user: it hears nothing of them".into());
        }
        let (id, at_ms) = self.network.hear(number, &order.from);
        let fields = content.as_object_mut().ok_or("`message` must be an object")?;
        let own = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
        let wamid = own("id").unwrap_or_else(|| wamid::inbound(&order.from, id));
        let unix_s = own("timestamp").and_then(|text| text.parse().ok()).unwrap_or(at_ms / 1_000);
        self.network.note_inbound(number, &wamid, at_ms);
        for key in ["id", "timestamp", "from", "from_user_id"] {
            fields.remove(key);
        }
        if fields.contains_key("referral") {
            self.network.entered(number, &order.from, at_ms);
        }
        let author = self.network.numbers[number].display_phone_number.as_str();
        let line = InboundLine {
            wamid: &wamid,
            from: &order.from,
            user_id: order.user_id.as_deref(),
            name: order.name.as_deref().unwrap_or_else(|| self.network.phones.name(&order.from)),
            unix_s,
            quote: order.context_id.as_deref().map(|quoted| (author, quoted)),
            content: &content,
        };
        let mode = self.network.behaviour.get().user_ids;
        self.delivery.offer(envelope::inbound(number, &line, &self.network.phones, mode));
        Ok(wamid)
    }

    /// Keeps a user's file and makes the message of it.
    pub(in crate::graph) fn received(&self, number: usize, media: &InboundMedia) -> Result<Value, String> {
        let bytes = STANDARD.decode(&media.base64).map_err(|_| "`media.base64` is not base64")?;
        if media.mime_type.is_empty() {
            return Err("`media.mime_type` is needed".into());
        }
        let kind = match media.kind.as_deref() {
            Some(kind @ ("image" | "video" | "audio" | "document" | "sticker")) => kind,
            Some(_) => return Err("`media.kind` must be image, video, audio, document or sticker".into()),
            None => kind_of(&media.mime_type).map_or("document", |kind| kind.name()),
        };
        let mut object = self.receive_medium(number, &media.mime_type, bytes.into())?;
        for (key, text) in [("caption", &media.caption), ("filename", &media.filename)] {
            if let Some(text) = text {
                object[key] = text.as_str().into();
            }
        }
        match kind {
            "audio" => object["voice"] = media.voice.into(),
            "sticker" => object["animated"] = media.animated.into(),
            _ => {}
        }
        Ok(json!({"type": kind, kind: object}))
    }
}
