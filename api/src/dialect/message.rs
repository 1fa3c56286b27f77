//! `POST /{version}/{phone_number_id}/messages`: a send in Meta's words, accepted as one of `/v1` is: the answer is given when it
//! is durable, or when Meta has answered where the tenant wants that, and its id is ours in the shape of Meta's.

use super::speak::Fields;
use super::{Node, session, wamid};
use crate::auth::For;
use crate::body::Idempotent;
use crate::problem::{Code, Problem};
use crate::routes::message::Asked;
use crate::routes::{address, message};
use crate::state::ApiState;
use axum::extract::State;
use kabar_engine::address::{Address, AddressKind};
use kabar_engine::id::MessageId;
use kabar_engine::status::Status;
use kabar_schema::records::MetaAck;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Looks for the provider's id of a message that was accepted a moment ago, and the wait between them.
const LOOKS: u32 = 40;
const LOOK_MS: u64 = 50;
/// Longest wait for Meta's answer to a send.
const ANSWER_MS: i64 = 10_000;

/// The route.
pub(super) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Node(number): Node,
    key: Idempotent,
    body: Fields,
) -> Result<axum::Json<Value>, Problem> {
    let session = session(&state, &whom, &number).await?;
    let mut fields = body.value;
    match fields.get("messaging_product") {
        Some(product) if product == "whatsapp" => {}
        Some(_) => return Err(Problem::invalid("messaging_product", "`whatsapp`")),
        None => return Err(missing("messaging_product")),
    }
    if fields.contains_key("status") {
        return super::receipt::mark(&state, &session, &fields).await;
    }
    let (input, to) = recipient(&mut fields)?;
    let template = fields.get("type").is_some_and(|kind| kind == "template");
    whole(&fields)?;
    name_as_meta_does(&state, &whom, &mut fields).await?;
    super::media::name(&state, &whom, &mut fields).await?;
    let asked = Asked::of(session.id, to.clone(), fields);
    let accepted = message::paced(&state, &whom, asked, (key.0, &body.bytes)).await?;
    if state.node.policy(whom.tenant).await.meta.ack == MetaAck::Provider {
        answered(&state, &whom, accepted.id()).await?;
    }
    Ok(axum::Json(answer(&input, &to, accepted.id(), template)))
}

pub(super) fn missing(field: &str) -> Problem {
    Problem::new(Code::MissingField, format!("The parameter {field} is required.")).at(field)
}

/// A list of keys.
type Keys = &'static [&'static str];

/// The keys that a type's object must have, and those it may have beside them. What lies in the objects of types that are not
/// here is passed on as it is.
fn keys(kind: &str) -> Option<(Keys, Keys)> {
    Some(match kind {
        "text" => (&["body"], &["preview_url"]),
        // Bytes may stand in the object itself, as under `/v1`.
        "image" | "video" | "audio" | "document" | "sticker" => {
            (&[], &["id", "link", "caption", "filename", "voice", "base64", "mime_type"])
        }
        "location" => (&["latitude", "longitude"], &["name", "address"]),
        "reaction" => (&["message_id", "emoji"], &[]),
        // The namespace is of an older version, and has no meaning any more.
        "template" => (&["name", "language"], &["components", "namespace"]),
        _ => return None,
    })
}

/// What a type must have and has not is missing, which is another case than a wrong value; what it does not have would be lost
/// on the way, and is refused as at Meta.
fn whole(fields: &Map<String, Value>) -> Result<(), Problem> {
    let kind = fields.get("type").and_then(Value::as_str).unwrap_or("text");
    let Some((musts, others)) = keys(kind) else {
        let held = !matches!(kind, "interactive" | "contacts") || fields.contains_key(kind);
        return if held { Ok(()) } else { Err(missing(kind)) };
    };
    let Some(object) = fields.get(kind).ok_or_else(|| missing(kind))?.as_object() else { return Ok(()) };
    if let Some(must) = musts.iter().find(|must| object.get(**must).is_none_or(Value::is_null)) {
        return Err(missing(&format!("{kind}.{must}")));
    }
    let known = |key: &str| musts.contains(&key) || others.contains(&key);
    let Some(unknown) = object.keys().find(|key| !known(key)) else { return Ok(()) };
    let detail = format!("Unexpected key `{unknown}` on param `{kind}`.");
    Err(Problem::new(Code::UnknownField, detail).at(&format!("{kind}.{unknown}")))
}

/// Who gets it: as it was written, and as we know people. Where both stand, `to` wins.
fn recipient(fields: &mut Map<String, Value>) -> Result<(String, Address), Problem> {
    let text = |value: Value, field: &str| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Problem::invalid(field, "a text")),
    };
    let (to, user) = (fields.remove("to"), fields.remove("recipient"));
    if let Some(to) = to {
        let input = text(to, "to")?;
        // WhatsApp takes blanks, brackets and dashes, with and without the plus.
        let plain: String =
            input.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '+' | '.')).collect();
        return Ok((input, address(&plain)?));
    }
    let input = text(user.ok_or_else(|| missing("to"))?, "recipient")?;
    let to = Address::user_id(&input).map_err(Problem::from)?;
    Ok((input, to))
}

/// Ids of our own that quote or react become those that Meta knows.
async fn name_as_meta_does(
    state: &ApiState,
    whom: &For,
    fields: &mut Map<String, Value>,
) -> Result<(), Problem> {
    for holder in ["context", "reaction"] {
        let Some(named) = fields.get_mut(holder).and_then(|object| object.get_mut("message_id")) else {
            continue;
        };
        let Some(id) = named.as_str().and_then(wamid::ours) else { continue };
        if let Some(known) = provider_id(state, whom, id, holder).await? {
            *named = Value::String(known.to_string());
        }
    }
    Ok(())
}

/// What Meta calls a message of ours; one that was just accepted is waited for. `None`: it is none of ours after all.
async fn provider_id(
    state: &ApiState,
    whom: &For,
    id: MessageId,
    holder: &str,
) -> Result<Option<Arc<str>>, Problem> {
    for _ in 0..LOOKS {
        let Some(found) = state.dispatcher.message(whom.tenant, id).await? else { return Ok(None) };
        whom.check_session(found.row.session)?;
        if found.row.provider_id.is_some() {
            return Ok(found.row.provider_id);
        }
        if found.row.status.is_settled() {
            break;
        }
        state.node.clock().sleep_ms(LOOK_MS).await;
    }
    Err(Problem::invalid(&format!("{holder}.message_id"), "a message that WhatsApp has taken"))
}

/// Waits until Meta has answered, where the tenant's programs want to hear its refusals at once. What waits for longer is
/// answered as it is: it is durable, and webhooks tell what becomes of it.
async fn answered(state: &ApiState, whom: &For, id: MessageId) -> Result<(), Problem> {
    let until = state.now().plus_ms(ANSWER_MS.min(wait_max(state)));
    loop {
        let Some(found) = state.dispatcher.message(whom.tenant, id).await? else { return Ok(()) };
        match found.row.status {
            Status::Failed => return Err(Problem::ended(found.row.cause)),
            Status::Queued if found.row.provider_id.is_none() && state.now() < until => {}
            _ => return Ok(()),
        }
        state.node.clock().sleep_ms(LOOK_MS).await;
    }
}

/// Half of a request's time: the answer must still get out.
fn wait_max(state: &ApiState) -> i64 {
    i64::try_from(state.config.server.request_timeout_ms / 2).unwrap_or(ANSWER_MS)
}

fn answer(input: &str, to: &Address, id: MessageId, template: bool) -> Value {
    let contact = match to.kind() {
        AddressKind::UserId => json!({"input": input, "user_id": to.value()}),
        AddressKind::Phone | AddressKind::Lid => json!({"input": input, "wa_id": to.value()}),
    };
    let mut message = json!({"id": wamid::of(to, id)});
    if template {
        message["message_status"] = "accepted".into();
    }
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})
}
