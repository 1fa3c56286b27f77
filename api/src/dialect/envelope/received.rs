//! What a person wrote, in Meta's words: as Meta told it, but that messages which were sent here have the ids their senders were
//! told, and files the ids under which they are read here.

use super::known::Person;
use super::{seconds, unread};
use crate::dialect::{media, wamid};
use kabar_actors::Node;
use kabar_actors::dispatcher::Named;
use kabar_engine::beside::{Beside, Rest};
use kabar_engine::content::Content;
use kabar_engine::message::MessageRow;
use kabar_engine::status::Status;
use kabar_schema::StoreError;
use kabar_schema::records::Session;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A received message.
pub(super) async fn message(
    node: &Arc<Node>,
    session: &Session,
    row: &MessageRow,
    person: &Person,
) -> Result<Option<Map<String, Value>>, StoreError> {
    let (Some(content), Some(id)) = (row.content.as_deref(), row.provider_id.as_deref()) else {
        return Ok(None);
    };
    let Value::Object(mut message) = content.to_json() else { return Ok(None) };
    as_meta_has_it(&mut message, content);
    message.insert("id".into(), id.into());
    message.insert("timestamp".into(), seconds(row.times.sent.unwrap_or(row.times.accepted)).into());
    person.put(&mut message, "from", "from_user_id");
    if let Some(quoted) = &row.context {
        message.insert("context".into(), json!({"from": session.display_phone_number, "id": &**quoted}));
    }
    if let Some(more) = &row.beside {
        beside(more, &mut message);
    }
    let rest = row.beside.as_deref().and_then(|beside| beside.rest.as_deref());
    if let Some(rest) = rest {
        Rest::lay(&mut message, &rest.message);
    }
    if let Some((kind, _)) = content.received_file() {
        let edit = content.kind() == "edit";
        let holder = if edit { &mut message["edit"]["message"] } else { &mut message[content.kind()] };
        let file = if edit { &mut holder[&*kind] } else { holder };
        if let Some(file) = file.as_object_mut() {
            file.insert("id".into(), media::received::id_of(row.id).into());
            // Meta's own address, which is read with Meta's token alone.
            file.remove("url");
        }
    }
    name_as_told(node, row, (&mut message, person)).await?;
    let mut value = Map::new();
    // Meta introduces nobody in a message of the system.
    if content.kind() != "system" {
        let mut contact = person.contact();
        if let Some(rest) = rest {
            Rest::lay(&mut contact, &rest.contact);
        }
        value.insert("contacts".into(), json!([contact]));
    }
    value.insert("messages".into(), json!([message]));
    Ok(Some(value))
}

/// Where Kabar's form of a content is another than Meta's.
fn as_meta_has_it(message: &mut Map<String, Value>, content: &Content) {
    match content {
        // A reaction that was taken back has none.
        Content::Reaction(reaction) if reaction.emoji.is_empty() => {
            if let Some(reaction) = message.get_mut("reaction").and_then(Value::as_object_mut) {
                reaction.remove("emoji");
            }
        }
        // Why Meta could not pass something on is kept in the payload, and stands beside it at Meta.
        Content::Other { kind, value: Value::Object(payload) } if payload.contains_key("errors") => {
            let payload = message.get_mut(kind).and_then(Value::as_object_mut);
            if let Some(errors) = payload.and_then(|payload| payload.remove("errors")) {
                message.insert("errors".into(), errors);
            }
        }
        Content::Other { kind, value: Value::Array(_) } if kind == "unsupported" => {
            if let Some(errors) = message.remove(kind) {
                message.insert("errors".into(), errors);
            }
        }
        _ => {}
    }
}

/// What stood beside a message, in Meta's places.
fn beside(beside: &Beside, message: &mut Map<String, Value>) {
    let context = message.remove("context");
    let mut context = match context {
        Some(Value::Object(context)) => context,
        _ => Map::new(),
    };
    let flags = [("forwarded", beside.forwarded), ("frequently_forwarded", beside.frequently_forwarded)];
    context.extend(flags.into_iter().filter(|(_, set)| *set).map(|(key, _)| (key.to_owned(), true.into())));
    context.extend(beside.referred_product.clone().map(|product| ("referred_product".to_owned(), product)));
    if !context.is_empty() {
        message.insert("context".into(), Value::Object(context));
    }
    message.extend(beside.referral.clone().map(|referral| ("referral".to_owned(), referral)));
}

/// Messages of ours that it names get the ids that their senders were told. What the person wrote is known by Meta's id, and so
/// is what is not found.
async fn name_as_told(
    node: &Arc<Node>,
    row: &MessageRow,
    (message, person): (&mut Map<String, Value>, &Person),
) -> Result<(), StoreError> {
    let places = [
        ("context", "id"),
        ("reaction", "message_id"),
        ("edit", "original_message_id"),
        ("revoke", "original_message_id"),
    ];
    for (holder, key) in places {
        let Some(object) = message.get_mut(holder) else { continue };
        let Some(named) = object.get(key).and_then(Value::as_str).map(str::to_owned) else { continue };
        match node.dispatcher().message_named(row, &named).await.map_err(unread)? {
            Some(Named::Known(of)) if of.status == Status::Received => {
                let from = person.phone.as_ref().or(person.user_id.as_ref());
                if let Some(from) = from.filter(|_| holder == "context") {
                    object["from"] = from.clone().into();
                }
            }
            Some(Named::Known(of)) => object[key] = wamid::of(&of.address, of.id).into(),
            // Inferred: of a campaign's message Meta's id is not kept. An id that says itself that a person wrote the message
            // is none of ours, and nobody edits or takes back what another wrote.
            Some(Named::Likely(of))
                if matches!(holder, "context" | "reaction") && !wamid::is_a_persons(&named) =>
            {
                object[key] = wamid::of(&of.address, of.id).into();
            }
            Some(Named::Likely(_)) | None => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: Value) -> Value {
        let content = Content::from_json(&content).unwrap();
        let Value::Object(mut message) = content.to_json() else { panic!("no object") };
        as_meta_has_it(&mut message, &content);
        Value::Object(message)
    }

    #[test]
    fn a_reaction_taken_back_has_no_emoji_and_errors_stand_beside_what_is_not_supported() {
        let back = json!({"type": "reaction", "reaction": {"message_id": "wamid.A"}});
        assert_eq!(told(back.clone()), back);
        let errors = json!([{"code": 131_051}]);
        let kept = json!({"type": "unsupported", "unsupported": {"type": "poll", "errors": errors}});
        let meant = json!({"type": "unsupported", "unsupported": {"type": "poll"}, "errors": errors});
        assert_eq!(told(kept), meant);
        let kept = json!({"type": "unsupported", "unsupported": errors});
        assert_eq!(told(kept), json!({"type": "unsupported", "errors": errors}));
    }
}
