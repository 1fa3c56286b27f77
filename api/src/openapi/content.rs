//! Meta's message object in the description: which kinds there are and what stands beside them. The inside of each
//! kind is Meta's own (Cloud API, `messages`); what WhatsApp would refuse is refused here with `invalid_content`.

use serde_json::{Value, json};
use std::borrow::Cow;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

/// The kinds that can be sent.
const KINDS: [&str; 11] = [
    "text",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "template",
];

fn read(schema: Value) -> RefOr<Schema> {
    serde_json::from_value::<Schema>(schema).expect("invariant: the shape is a schema").into()
}

fn kinds() -> serde_json::Map<String, Value> {
    let inside = |kind: &str| match kind {
        "text" => json!({"type": "object", "required": ["body"], "properties": {
            "body": {"type": "string", "minLength": 1, "maxLength": 4096}, "preview_url": {"type": "boolean"}}}),
        "contacts" => json!({"type": "array", "items": {"type": "object"}}),
        _ => json!({"type": "object"}),
    };
    KINDS.iter().map(|kind| ((*kind).to_owned(), inside(kind))).collect()
}

/// What is said, as Meta writes it.
pub(crate) struct Content;

impl PartialSchema for Content {
    fn schema() -> RefOr<Schema> {
        let mut properties = kinds();
        properties.insert("type".into(), json!({"type": "string"}));
        let what = "Meta's message object: `type` and the object of that name.";
        read(
            json!({"type": "object", "description": what, "properties": properties, "additionalProperties": true}),
        )
    }
}

impl ToSchema for Content {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Content")
    }
}

/// A message to send.
pub(crate) struct NewMessage;

impl PartialSchema for NewMessage {
    fn schema() -> RefOr<Schema> {
        let mut properties = kinds();
        let own = json!({
            "session": {"type": "string", "description": "The number it leaves from: ses_…."},
            "to": {"type": "string", "description": "Digits with the country code as Meta writes them, +… as people do, or user_id:…."},
            "messaging_product": {"type": "string", "const": "whatsapp"},
            "recipient_type": {"type": "string", "const": "individual"},
            "type": {"type": "string", "enum": KINDS, "description": "text when not said."},
            "context": {"type": "object", "required": ["message_id"], "additionalProperties": false, "description": "The message this one answers: msg_… or wamid.….",
                "properties": {"message_id": {"type": "string"}}},
            "biz_opaque_callback_data": {"type": "string", "maxLength": 512, "description": "Your own word for the message: it comes back in the message and in its events, as you gave it."},
            "recipient_identity_key_hash": {"type": "string", "minLength": 1, "maxLength": 256,
                "description": "The hash of the recipient's identity as a webhook told it: Meta sends only if it is still the same, else the message fails with `identity_changed`."},
            "options": {"type": "object", "additionalProperties": false, "properties": {
                "lane": {"$ref": "#/components/schemas/Lane"},
                "valid_for_seconds": {"type": ["integer", "null"], "minimum": 1, "maximum": 2_592_000, "description": "Ends as `expired` when not sent by then; one day when not said."},
                "send_at": {"type": ["string", "null"], "format": "date-time", "description": "Not before; at most a year ahead."},
                "idempotency_key": {"type": ["string", "null"], "description": "In a batch: the row's own key."}}},
        });
        properties.extend(own.as_object().cloned().unwrap_or_default());
        read(json!({
            "type": "object",
            "description": "Meta's message object with `session` and `options` beside it. Exactly the object that `type` names may stand in it.",
            "required": ["session", "to"],
            "properties": properties,
            "additionalProperties": false,
            "example": {"session": "ses_0dwd35p6e5amv", "to": "6281234567890", "type": "template",
                "template": {"name": "halo", "language": {"code": "id"}}, "options": {"valid_for_seconds": 3_600}},
        }))
    }
}

/// A row of a batch: anything is taken, and what is no message is refused in its row. Its shape is [`batch_row`].
pub(crate) struct BatchRow;

impl PartialSchema for BatchRow {
    fn schema() -> RefOr<Schema> {
        read(json!({"type": "object"}))
    }
}

impl ToSchema for BatchRow {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("BatchRow")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("NewMessage".to_owned(), NewMessage::schema()));
    }
}

/// The shape of a [`BatchRow`], which has no type of its own.
pub(super) fn batch_row() -> Value {
    json!({
        "description": "A message as POST /v1/messages takes it. A wrong one refuses its row and no other.",
        "anyOf": [{"$ref": "#/components/schemas/NewMessage"}, {"description": "Refused in its row."}],
    })
}

impl ToSchema for NewMessage {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("NewMessage")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("Lane".to_owned(), super::shapes::Lane::schema()));
    }
}
