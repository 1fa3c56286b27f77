//! Events in Meta's words: the webhook a program written for the Cloud API expects, one change a call. Ids of messages that
//! were sent here are ours in the shape of Meta's, as their senders were told; a tenant's own word stands where it was put.
//! Not their signing, and not when they are told.

mod known;
mod passed;
mod received;

use super::wamid;
use bytes::Bytes;
use futures::future::BoxFuture;
use kabar_actors::Node;
use kabar_actors::dispatcher::{DispatchError, Event};
use kabar_actors::subscription::Render;
use kabar_engine::beside::Rest;
use kabar_engine::cause::Cause;
use kabar_engine::entry::{ConsentSource, StatusRest};
use kabar_engine::event::{About, Kind, OfMessage};
use kabar_engine::id::{MessageId, TenantId};
use kabar_engine::pricing::Pricing;
use kabar_engine::subscription::Envelope;
use kabar_engine::time::{SECOND_MS, Timestamp};
use kabar_schema::StoreError;
use kabar_schema::records::Session;
use known::{Brief, Known, Person};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Weak};

/// Meta's word for what Kabar itself decided; the details say what that was.
const WENT_WRONG: u32 = 131_000;
/// What every webhook is about.
const OBJECT: &str = "whatsapp_business_account";
/// The field of a number's own values.
const MESSAGES: &str = "messages";
const HREF: &str = "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/";

/// How events are written for those who deliver them.
pub(crate) fn renderer(node: &Arc<Node>) -> Render {
    let (node, known) = (Arc::downgrade(node), Arc::new(Known::default()));
    Arc::new(move |tenant, event, envelope| -> BoxFuture<'static, Result<Option<Bytes>, StoreError>> {
        match envelope {
            Envelope::Kabar => {
                let text = crate::routes::event::rendered(tenant, event);
                Box::pin(std::future::ready(Ok(Some(text))))
            }
            Envelope::Meta => {
                let (node, known) = (Weak::clone(&node), Arc::clone(&known));
                Box::pin(async move {
                    let node = node.upgrade().ok_or(StoreError::Unavailable)?;
                    told(&node, &known, tenant, event).await
                })
            }
        }
    })
}

/// One event; `None` when Meta has no words for it, or what it is about is gone.
async fn told(
    node: &Arc<Node>,
    known: &Known,
    tenant: TenantId,
    event: Event,
) -> Result<Option<Bytes>, StoreError> {
    let of = match &event.about {
        About::Message(of) => of,
        About::Notice(notice) => return passed::notice(node, tenant, notice).await,
        About::Contact { address, source: ConsentSource::Provider } => {
            return passed::preference(node, known, tenant, (&event, address)).await;
        }
        _ => return Ok(None),
    };
    let (Some(session), Some(message)) = (of.session, of.message) else { return Ok(None) };
    let word = word(event.kind);
    if word.is_none() && event.kind != Kind::MessageReceived {
        return Ok(None);
    }
    let Some(link) = node.link(tenant, session).await else {
        let there = node.store().nouns.get::<Session>(tenant, session.0).await?.is_some();
        return if there { Err(StoreError::Unavailable) } else { Ok(None) };
    };
    let value = match word {
        Some(word) => {
            let Some(brief) = known.brief(node, (tenant, message), of).await? else { return Ok(None) };
            let person = known.person(node, (tenant, brief.conversation), &brief.address).await?;
            Some(reported((message, word), &brief, (&event, of), &person))
        }
        None => {
            let found = node.dispatcher().message(tenant, message).await;
            let Some(row) = found.map_err(unread)?.map(|view| view.row) else { return Ok(None) };
            // What they are called may have come with this very message.
            let person = known.ask(node, (tenant, row.conversation), &row.address).await?;
            received::message(node, &link.session, &row, &person).await?
        }
    };
    let number = node.dispatcher().number(tenant, session).await.map_err(unread)?;
    let account = number.as_ref().and_then(|number| number.waba_id.as_deref());
    Ok(value.map(|value| enveloped(&link.session, account, (MESSAGES, value))))
}

fn unread(_: DispatchError) -> StoreError {
    StoreError::Unavailable
}

impl Person {
    /// Under the names that phones and user ids have in an object.
    fn put(&self, to: &mut Map<String, Value>, phone: &str, user_id: &str) {
        let addresses = [(phone, &self.phone), (user_id, &self.user_id)];
        to.extend(addresses.into_iter().filter_map(|(key, value)| Some((key.into(), value.clone()?.into()))));
    }

    fn contact(&self) -> Map<String, Value> {
        let names = [("name", &self.name), ("username", &self.username)];
        let profile: Map<_, _> =
            names.into_iter().filter_map(|(key, name)| Some((key.into(), name.clone()?.into()))).collect();
        let mut contact = Map::new();
        if !profile.is_empty() {
            contact.insert("profile".into(), profile.into());
        }
        self.put(&mut contact, "wa_id", "user_id");
        contact
    }
}

/// In the envelope of the account, which is named by the number where it never was learnt: programs tell accounts apart by it.
fn enveloped(session: &Session, account: Option<&str>, told: (&str, Map<String, Value>)) -> Bytes {
    Bytes::from(envelope(session, account, told).to_string())
}

fn envelope(
    session: &Session,
    account: Option<&str>,
    (field, mut value): (&str, Map<String, Value>),
) -> Value {
    value.insert("messaging_product".into(), "whatsapp".into());
    // It may have brought keys that nobody knows.
    let metadata = value.entry("metadata").or_insert_with(|| json!({}));
    metadata["display_phone_number"] = session.display_phone_number.as_str().into();
    metadata["phone_number_id"] = session.phone_number_id.as_str().into();
    let account = account.unwrap_or(&session.phone_number_id);
    json!({"object": OBJECT, "entry": [{"id": account, "changes": [{"field": field, "value": value}]}]})
}

fn seconds(at: Timestamp) -> String {
    at.0.div_euclid(SECOND_MS).to_string()
}

/// Meta's word for what became of a message that was sent; for what it has none, nothing is told.
fn word(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::MessageSent | Kind::MessageSentDetails => Some("sent"),
        Kind::MessageDelivered => Some("delivered"),
        Kind::MessageRead => Some("read"),
        Kind::MessagePlayed => Some("played"),
        Kind::MessageFailed | Kind::MessageExpired | Kind::MessageCancelled => Some("failed"),
        // Also of `message.unknown`, which is provisional: told as `failed` it would make a program send again what may have
        // arrived. A status that comes after all is told like any other, and Meta itself is silent where it knows nothing.
        _ => None,
    }
}

/// What became of a message that was sent.
fn reported(
    (message, word): (MessageId, &str),
    brief: &Brief,
    (event, of): (&Event, &OfMessage),
    person: &Person,
) -> Map<String, Value> {
    let mut status = Map::new();
    status.insert("id".into(), wamid::of(&brief.address, message).into());
    status.insert("status".into(), word.into());
    status.insert("timestamp".into(), seconds(of.reported_at.unwrap_or(event.at)).into());
    person.put(&mut status, "recipient_id", "recipient_user_id");
    if let Some(tag) = &brief.tag {
        status.insert("biz_opaque_callback_data".into(), (**tag).into());
    }
    // As Meta said it, where it said more: its own reasons for a failure, the conversation, and what nobody knows yet.
    let mut rest = of.rest.as_ref().map(|rest| rest.read()).unwrap_or_default();
    let mut value = Map::new();
    let more = rest.remove(StatusRest::CONTACT);
    if word == "failed" {
        status.insert("errors".into(), json!([error(event.kind, of.cause)]));
    }
    // Meta introduces nobody beside a failure.
    if word != "failed" || more.is_some() {
        let mut contact = person.contact();
        Rest::lay(&mut contact, more.as_ref().and_then(Value::as_object).unwrap_or(&Map::new()));
        value.insert("contacts".into(), json!([contact]));
    }
    if let Some(pricing) = &of.pricing {
        status.insert("pricing".into(), priced(pricing));
    }
    Rest::lay(&mut status, &rest);
    value.insert("statuses".into(), json!([status]));
    value
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

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_actors::{Clock, NodeOptions};
    use kabar_engine::address::Address;
    use kabar_engine::content::Content;
    use kabar_engine::id::{EventId, SessionId, ShardId};
    use kabar_engine::overlay::decide::Draft;
    use kabar_engine::pacing::Lane;
    use kabar_schema::store::Store;
    use std::sync::atomic::Ordering;

    const TENANT: TenantId = TenantId(7);
    const SESSION: SessionId = SessionId(9);

    async fn node() -> Arc<Node> {
        let node = Node::start(NodeOptions::default(), Store::memory(), Clock::system()).await.unwrap();
        let session = json!({"id": SESSION, "tenant": TENANT, "name": "Shop", "app": 1, "phone_number_id": "106",
            "display_phone_number": "15550200000", "base_url": "http://127.0.0.1:9", "api_version": "v25.0",
            "access_token": "t", "messages_per_second": 80, "pair_limit": true, "created": Timestamp(0)});
        let session: Session = serde_json::from_value(session).unwrap();
        node.store().nouns.create(&session).await.unwrap();
        node
    }

    async fn sent(node: &Arc<Node>) -> MessageId {
        let now = Timestamp(node.clock().now_ms());
        let content = json!({"type": "template", "template": {"name": "halo", "language": {"code": "id"}}});
        let draft = Draft {
            tenant: TENANT,
            session: SESSION,
            to: Address::phone_digits("6281234567890").unwrap(),
            content: Arc::new(Content::from_json(&content).unwrap()),
            lane: Lane::Transactional,
            due: now.plus_ms(3_600_000),
            valid_until: now.plus_ms(7_200_000),
            context: None,
            idempotency: None,
            by: None,
            tag: Some("order-81".into()),
            identity: None,
            had_enough: false,
        };
        node.dispatcher().send(draft).await.unwrap().message
    }

    fn event(kind: Kind, of: &OfMessage) -> Event {
        let about = About::Message(Box::new(of.clone()));
        Event { id: EventId::of(ShardId(1), 7, 0), seq: 7, at: Timestamp(1_790_000_000_000), kind, about }
    }

    /// Statuses of one message, as they come, and how many messages and conversations were read for them.
    async fn reads(node: &Arc<Node>, of: &OfMessage) -> (u64, u64) {
        let known = Known::default();
        for kind in [Kind::MessageAccepted, Kind::MessageSent, Kind::MessageDelivered, Kind::MessageRead] {
            let text = told(node, &known, TENANT, event(kind, of)).await.unwrap();
            assert_eq!(text.is_some(), kind != Kind::MessageAccepted, "{kind:?}");
            if let Some(text) = text {
                let text: Value = serde_json::from_slice(&text).unwrap();
                let status = &text["entry"][0]["changes"][0]["value"]["statuses"][0];
                assert_eq!(status["recipient_id"], "6281234567890");
                assert_eq!(status["biz_opaque_callback_data"], "order-81");
            }
        }
        (known.reads.0.load(Ordering::Relaxed), known.reads.1.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_messages_statuses_read_its_person_once_and_itself_not_at_all() {
        let node = node().await;
        let message = sent(&node).await;
        let row = node.dispatcher().message(TENANT, message).await.unwrap().unwrap().row;
        // As the journal's reader fills an event in: a message with a row of its own.
        let whole = OfMessage {
            message: Some(message),
            session: Some(SESSION),
            conversation: Some(row.conversation),
            address: Some(row.address.clone()),
            tag: row.tag.clone(),
            ..OfMessage::default()
        };
        // Each of the four cost a read of both before.
        assert_eq!(reads(&node, &whole).await, (0, 1));
        // Of a campaign's recipient the event says neither whom it was for nor in what conversation.
        let bare = OfMessage { address: None, conversation: None, tag: None, ..whole };
        assert_eq!(reads(&node, &bare).await, (1, 1));
        node.shutdown().await;
    }

    #[tokio::test]
    async fn what_is_not_known_is_told_to_nobody_in_metas_words() {
        let node = node().await;
        let of =
            OfMessage { message: Some(sent(&node).await), session: Some(SESSION), ..OfMessage::default() };
        let known = Known::default();
        assert_eq!(told(&node, &known, TENANT, event(Kind::MessageUnknown, &of)).await, Ok(None));
        node.shutdown().await;
    }
}
