//! Events in Meta's words: the webhook a program written for the Cloud API expects, one change a call. Ids of messages that
//! were sent here are ours in the shape of Meta's, as their senders were told; a tenant's own word stands where it was put.
//! Not their signing, and not when they are told.

use super::wamid;
use bytes::Bytes;
use futures::future::BoxFuture;
use kabar_actors::Node;
use kabar_actors::dispatcher::{DispatchError, Event};
use kabar_actors::subscription::Render;
use kabar_engine::address::{Address, AddressKind};
use kabar_engine::cause::Cause;
use kabar_engine::event::{About, Kind, OfMessage};
use kabar_engine::id::{ConversationId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::subscription::Envelope;
use kabar_engine::time::{SECOND_MS, Timestamp};
use kabar_schema::StoreError;
use kabar_schema::records::Session;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Weak};

/// Codes below are Kabar's own; Meta's word for those is "something went wrong", and the details say which.
const OWN: u32 = 1_000;
const WENT_WRONG: u32 = 131_000;
const HREF: &str = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// How events are written for those who deliver them.
pub(crate) fn renderer(node: &Arc<Node>) -> Render {
    let node = Arc::downgrade(node);
    Arc::new(move |tenant, event, envelope| -> BoxFuture<'static, Result<Option<Bytes>, StoreError>> {
        match envelope {
            Envelope::Kabar => {
                let text = crate::routes::event::rendered(tenant, event);
                Box::pin(std::future::ready(Ok(Some(text))))
            }
            Envelope::Meta => Box::pin(told(Weak::clone(&node), tenant, event)),
        }
    })
}

/// One event; `None` when Meta has no words for it, or what it is about is gone.
async fn told(node: Weak<Node>, tenant: TenantId, event: Event) -> Result<Option<Bytes>, StoreError> {
    let Some(node) = node.upgrade() else { return Err(StoreError::Unavailable) };
    let About::Message(of) = &event.about else { return Ok(None) };
    let (Some(session), Some(message)) = (of.session, of.message) else { return Ok(None) };
    let Some(link) = node.link(tenant, session).await else {
        let there = node.store().nouns.get::<Session>(tenant, session.0).await?.is_some();
        return if there { Err(StoreError::Unavailable) } else { Ok(None) };
    };
    let found = node.dispatcher().message(tenant, message).await;
    let Some(row) = found.map_err(unread)?.map(|view| view.row) else { return Ok(None) };
    let value = if event.kind == Kind::MessageReceived {
        let name = name(&node, tenant, row.conversation).await?;
        received(&link.session, &row, name.as_deref())
    } else {
        reported(&row, &event, of)
    };
    let number = node.dispatcher().number(tenant, session).await.map_err(unread)?;
    let account = number.as_ref().and_then(|number| number.waba_id.as_deref());
    Ok(value.map(|value| Bytes::from(enveloped(&link.session, account, value).to_string())))
}

fn unread(_: DispatchError) -> StoreError {
    StoreError::Unavailable
}

/// The name the person shows.
async fn name(node: &Arc<Node>, tenant: TenantId, id: ConversationId) -> Result<Option<String>, StoreError> {
    let found = node.dispatcher().conversation(tenant, id).await.map_err(unread)?;
    Ok(found.and_then(|row| row.name.clone()))
}

/// In the envelope of the account, which is named by the number where it never was learnt: programs tell accounts apart by it.
fn enveloped(session: &Session, account: Option<&str>, mut value: Map<String, Value>) -> Value {
    value.insert("messaging_product".into(), "whatsapp".into());
    value.insert(
        "metadata".into(),
        json!({"display_phone_number": session.display_phone_number, "phone_number_id": session.phone_number_id}),
    );
    let account = account.unwrap_or(&session.phone_number_id);
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": account, "changes": [{"field": "messages", "value": value}]}]})
}

fn seconds(at: Timestamp) -> String {
    at.0.div_euclid(SECOND_MS).to_string()
}

/// Whom it concerns, under the names Meta gives phones and user ids.
fn person(to: &mut Map<String, Value>, address: &Address, phone: &str, user: &str) {
    let key = if address.kind() == AddressKind::UserId { user } else { phone };
    to.insert(key.into(), address.value().into());
}

/// What a person wrote.
fn received(session: &Session, row: &MessageRow, name: Option<&str>) -> Option<Map<String, Value>> {
    let Value::Object(mut message) = row.content.as_deref()?.to_json() else { return None };
    message.insert("id".into(), row.provider_id.as_deref()?.into());
    message.insert("timestamp".into(), seconds(row.times.sent.unwrap_or(row.times.accepted)).into());
    person(&mut message, &row.address, "from", "from_user_id");
    if let Some(quoted) = &row.context {
        let from = &session.display_phone_number;
        message.insert("context".into(), json!({"from": from, "id": &**quoted}));
    }
    let mut contact = Map::new();
    contact.insert("profile".into(), json!({"name": name.unwrap_or_default()}));
    person(&mut contact, &row.address, "wa_id", "user_id");
    let mut value = Map::new();
    value.insert("contacts".into(), json!([contact]));
    value.insert("messages".into(), json!([message]));
    Some(value)
}

/// What became of a message that was sent.
fn reported(row: &MessageRow, event: &Event, of: &OfMessage) -> Option<Map<String, Value>> {
    let word = match event.kind {
        Kind::MessageSent => "sent",
        Kind::MessageDelivered => "delivered",
        Kind::MessageRead => "read",
        Kind::MessagePlayed => "played",
        Kind::MessageFailed | Kind::MessageExpired | Kind::MessageCancelled => "failed",
        _ => return None,
    };
    let mut status = Map::new();
    status.insert("id".into(), wamid::of(&row.address, row.id).into());
    status.insert("status".into(), word.into());
    status.insert("timestamp".into(), seconds(of.reported_at.unwrap_or(event.at)).into());
    person(&mut status, &row.address, "recipient_id", "recipient_user_id");
    if let Some(tag) = &row.tag {
        status.insert("biz_opaque_callback_data".into(), (**tag).into());
    }
    if word == "failed" {
        status.insert("errors".into(), json!([error(event.kind, of.cause)]));
    }
    let mut value = Map::new();
    value.insert("statuses".into(), json!([status]));
    Some(value)
}

fn error(kind: Kind, cause: Option<Cause>) -> Value {
    let (code, title, details) = match cause {
        Some(cause) => {
            let told = cause.explain();
            let code = if cause.0 < OWN { WENT_WRONG } else { cause.0 };
            (code, told.meaning, format!("{} {}", told.meaning, told.remedy))
        }
        None if kind == Kind::MessageExpired => {
            (WENT_WRONG, "Expired.", "Its validity passed before it could be sent.".to_owned())
        }
        None => (WENT_WRONG, "Something went wrong.", String::new()),
    };
    json!({"code": code, "title": title, "message": title, "error_data": {"details": details}, "href": HREF})
}
