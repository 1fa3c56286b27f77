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
use kabar_engine::beside::Beside;
use kabar_engine::cause::Cause;
use kabar_engine::event::{About, Kind, OfMessage};
use kabar_engine::id::TenantId;
use kabar_engine::message::MessageRow;
use kabar_engine::notice::Notice;
use kabar_engine::pricing::Pricing;
use kabar_engine::subscription::Envelope;
use kabar_engine::time::{SECOND_MS, Timestamp};
use kabar_schema::StoreError;
use kabar_schema::records::Session;
use serde_json::{Map, Value, json};
use std::sync::{Arc, Weak};

/// Meta's word for what Kabar itself decided; the details say what that was.
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
    let of = match &event.about {
        About::Message(of) => of,
        About::Notice(notice) => return passed_on(&node, tenant, notice).await,
        _ => return Ok(None),
    };
    let (Some(session), Some(message)) = (of.session, of.message) else { return Ok(None) };
    let Some(link) = node.link(tenant, session).await else {
        let there = node.store().nouns.get::<Session>(tenant, session.0).await?.is_some();
        return if there { Err(StoreError::Unavailable) } else { Ok(None) };
    };
    let found = node.dispatcher().message(tenant, message).await;
    let Some(row) = found.map_err(unread)?.map(|view| view.row) else { return Ok(None) };
    let person = Person::of(&node, tenant, &row).await?;
    let value = if event.kind == Kind::MessageReceived {
        received(&link.session, &row, &person)
    } else {
        reported((&row, &event, of), &person)
    };
    let number = node.dispatcher().number(tenant, session).await.map_err(unread)?;
    let account = number.as_ref().and_then(|number| number.waba_id.as_deref());
    Ok(value.map(|value| Bytes::from(enveloped(&link.session, account, value).to_string())))
}

/// What Meta itself told, as it came.
async fn passed_on(node: &Arc<Node>, tenant: TenantId, notice: &Notice) -> Result<Option<Bytes>, StoreError> {
    let known = match notice.session {
        Some(session) => node.dispatcher().number(tenant, session).await.map_err(unread)?,
        None => None,
    };
    let account =
        notice.account.as_deref().or_else(|| known.as_ref().and_then(|number| number.waba_id.as_deref()));
    let (field, value) = (notice.field.as_ref(), notice.read());
    let mut entry = json!({"id": account.unwrap_or_default(), "changes": [{"field": field, "value": value}]});
    if let Some(at) = notice.at {
        entry["time"] = at.0.div_euclid(SECOND_MS).into();
    }
    Ok(Some(Bytes::from(json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string())))
}

fn unread(_: DispatchError) -> StoreError {
    StoreError::Unavailable
}

/// Whom it concerns: under every address they are known by.
struct Person {
    phone: Option<String>,
    user_id: Option<String>,
    name: Option<String>,
}

impl Person {
    async fn of(node: &Arc<Node>, tenant: TenantId, row: &MessageRow) -> Result<Self, StoreError> {
        // A campaign's message that was not answered is of no conversation.
        let known = match row.conversation.0 {
            0 => None,
            _ => node.dispatcher().conversation(tenant, row.conversation).await.map_err(unread)?,
        };
        let others = known.iter().flat_map(|talk| std::iter::once(&talk.address).chain(&talk.aliases));
        let all: Vec<&Address> = std::iter::once(&row.address).chain(others).collect();
        let first = |kind: AddressKind| all.iter().find(|a| a.kind() == kind).map(|a| a.value().to_owned());
        let (phone, user_id) = (first(AddressKind::Phone), first(AddressKind::UserId));
        Ok(Self { phone, user_id, name: known.as_ref().and_then(|talk| talk.name.clone()) })
    }

    /// Under the names that phones and user ids have in an object.
    fn put(&self, to: &mut Map<String, Value>, phone: &str, user_id: &str) {
        let addresses = [(phone, &self.phone), (user_id, &self.user_id)];
        to.extend(addresses.into_iter().filter_map(|(key, value)| Some((key.into(), value.clone()?.into()))));
    }

    fn contact(&self) -> Value {
        let mut contact = Map::new();
        if let Some(name) = &self.name {
            contact.insert("profile".into(), json!({ "name": name }));
        }
        self.put(&mut contact, "wa_id", "user_id");
        Value::Object(contact)
    }
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

/// What a person wrote.
fn received(session: &Session, row: &MessageRow, person: &Person) -> Option<Map<String, Value>> {
    let Value::Object(mut message) = row.content.as_deref()?.to_json() else { return None };
    message.insert("id".into(), row.provider_id.as_deref()?.into());
    message.insert("timestamp".into(), seconds(row.times.sent.unwrap_or(row.times.accepted)).into());
    person.put(&mut message, "from", "from_user_id");
    if let Some(quoted) = &row.context {
        let from = &session.display_phone_number;
        message.insert("context".into(), json!({"from": from, "id": &**quoted}));
    }
    if let Some(more) = &row.beside {
        beside(more, &mut message);
    }
    let mut value = Map::new();
    value.insert("contacts".into(), json!([person.contact()]));
    value.insert("messages".into(), json!([message]));
    Some(value)
}

/// What became of a message that was sent.
fn reported(
    (row, event, of): (&MessageRow, &Event, &OfMessage),
    person: &Person,
) -> Option<Map<String, Value>> {
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
    person.put(&mut status, "recipient_id", "recipient_user_id");
    if let Some(tag) = &row.tag {
        status.insert("biz_opaque_callback_data".into(), (**tag).into());
    }
    let mut value = Map::new();
    if word == "failed" {
        status.insert("errors".into(), json!([error(event.kind, of.cause)]));
    } else {
        value.insert("contacts".into(), json!([person.contact()]));
    }
    if let Some(pricing) = &of.pricing {
        status.insert("pricing".into(), priced(pricing));
    }
    value.insert("statuses".into(), json!([status]));
    Some(value)
}

/// A price in Meta's words.
fn priced(pricing: &Pricing) -> Value {
    let mut priced = Map::new();
    priced.extend(pricing.billable.map(|billable| ("billable".to_owned(), billable.into())));
    for (key, word) in
        [("pricing_model", &pricing.model), ("type", &pricing.kind), ("category", &pricing.category)]
    {
        if !word.is_empty() {
            priced.insert(key.into(), word.as_ref().into());
        }
    }
    Value::Object(priced)
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

fn error(kind: Kind, cause: Option<Cause>) -> Value {
    let (code, title, details) = match cause {
        Some(cause) => {
            let told = cause.explain();
            let code = if cause.is_provider() { cause.number() } else { WENT_WRONG };
            (code, told.meaning, format!("{} {}", told.meaning, told.remedy))
        }
        None if kind == Kind::MessageExpired => {
            (WENT_WRONG, "Expired.", "Its validity passed before it could be sent.".to_owned())
        }
        None => (WENT_WRONG, "Something went wrong.", String::new()),
    };
    json!({"code": code, "title": title, "message": title, "error_data": {"details": details}, "href": HREF})
}
