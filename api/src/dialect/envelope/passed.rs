//! What Meta told beside messages and their statuses, told again: notices as they came, and the switch for marketing messages.
//! An item of a number's value was kept without the value around it, which is put around it again.

use super::known::{Known, Person};
use super::{MESSAGES, OBJECT, envelope, enveloped, unread};
use bytes::Bytes;
use kabar_actors::Node;
use kabar_actors::dispatcher::Event;
use kabar_engine::address::{Address, AddressKind};
use kabar_engine::event::Kind;
use kabar_engine::id::{ConversationId, ShardId, TenantId};
use kabar_engine::notice::{Notice, Odd};
use kabar_engine::time::{SECOND_MS, Timestamp};
use kabar_schema::StoreError;
use kabar_schema::records::Session;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Meta's field of the switch for marketing messages, which is also the name of its list.
const PREFERENCES: &str = "user_preferences";
/// Lists of a number's value, of which single items are kept as notices.
const LISTS: [&str; 5] = ["errors", "messages", "statuses", "user_actions", PREFERENCES];
/// Numbers of a tenant that are looked through at once for the one a person's wish was told to.
const PAGE: usize = 200;

/// What Meta itself told, as it came.
pub(super) async fn notice(
    node: &Arc<Node>,
    tenant: TenantId,
    notice: &Notice,
) -> Result<Option<Bytes>, StoreError> {
    let (field, value) = (notice.field.as_ref(), notice.read());
    let known = match notice.session {
        Some(session) => node.dispatcher().number(tenant, session).await.map_err(unread)?,
        None => None,
    };
    let account =
        notice.account.as_deref().or_else(|| known.as_ref().and_then(|number| number.waba_id.as_deref()));
    let odd = Odd::read(field);
    // A whole value that has no list names its number; an item, or what stood beside the lists, does not.
    let inner = LISTS.contains(&field) && value.get("metadata").is_none() || odd.is_some();
    // What was too long to be kept is nothing that a program could read.
    if inner && value.is_null() {
        return Ok(None);
    }
    let whole = match (notice.session.filter(|_| inner), odd) {
        (Some(session), odd) => {
            let found = node.store().nouns.get::<Session>(tenant, session.0).await?;
            let Some(found) = found else { return Ok(None) };
            match odd {
                Some(odd) => stray_key(odd, value, |told| envelope(&found.noun, account, told)),
                None => envelope(&found.noun, account, item(field, value)),
            }
        }
        (None, Some(odd)) => stray_key(odd, value, |told| of_account(account, notice.at, told)),
        (None, None) => of_account(account, notice.at, (field, value)),
    };
    Ok(Some(Bytes::from(whole.to_string())))
}

/// A change of an account.
fn of_account(
    account: Option<&str>,
    at: Option<Timestamp>,
    (field, value): (&str, impl Into<Value>),
) -> Value {
    let value: Value = value.into();
    let mut entry = json!({"id": account.unwrap_or_default(), "changes": [{"field": field, "value": value}]});
    if let Some(at) = at {
        entry["time"] = at.0.div_euclid(SECOND_MS).into();
    }
    json!({"object": OBJECT, "entry": [entry]})
}

/// A key that nobody knows, where it stood, in a webhook that says nothing else.
fn stray_key(odd: Odd<'_>, raw: Value, around: impl FnOnce((&str, Map<String, Value>)) -> Value) -> Value {
    let field = if let Odd::Change(field, _) = odd { field } else { MESSAGES };
    let (mut value, mut raw) = (Map::new(), Some(raw));
    if let Odd::Value(key) = odd {
        value.extend(raw.take().map(|raw| (key.to_owned(), raw)));
    }
    let mut whole = around((field, value));
    let (place, key) = match odd {
        Odd::Value(_) => return whole,
        Odd::Change(_, key) => (&mut whole["entry"][0]["changes"][0], key),
        Odd::Entry(key) => (&mut whole["entry"][0], key),
        Odd::Webhook(key) => (&mut whole, key),
    };
    place[key] = raw.into();
    whole
}

/// An item in its list, and the field the list is of. Where Meta named nobody beside it, who wrote a message is named by the ids
/// in it.
fn item(list: &str, item: Value) -> (&'static str, Map<String, Value>) {
    let field = if list == PREFERENCES { PREFERENCES } else { MESSAGES };
    let item = match item {
        Value::Object(value) if value.get(list).is_some_and(Value::is_array) => return (field, value),
        item => item,
    };
    let ids: &[(&str, &str)] = match list {
        "messages" => &[("wa_id", "from"), ("user_id", "from_user_id")],
        PREFERENCES => &[("wa_id", "wa_id"), ("user_id", "user_id")],
        _ => &[],
    };
    let contact: Map<_, _> =
        ids.iter().filter_map(|(key, from)| Some(((*key).to_owned(), item.get(from)?.clone()))).collect();
    let mut value = Map::new();
    if !contact.is_empty() {
        value.insert("contacts".into(), json!([contact]));
    }
    value.insert(list.to_owned(), json!([item]));
    (field, value)
}

/// A person stopped marketing messages at WhatsApp, or wants them again.
pub(super) async fn preference(
    node: &Arc<Node>,
    known: &Known,
    tenant: TenantId,
    (event, address): (&Event, &Address),
) -> Result<Option<Bytes>, StoreError> {
    let Some((session, talk)) = heard_by(node, tenant, (event.id.place().0, address)).await? else {
        return Ok(None);
    };
    let person = known.ask(node, (tenant, talk.unwrap_or(ConversationId(0))), address).await?;
    let number = node.dispatcher().number(tenant, session.id).await.map_err(unread)?;
    let account = number.as_ref().and_then(|number| number.waba_id.as_deref());
    let value = preferred(event, &person, address);
    Ok(Some(enveloped(&session, account, (PREFERENCES, value))))
}

fn preferred(event: &Event, person: &Person, address: &Address) -> Map<String, Value> {
    let (word, detail) = match event.kind {
        Kind::ContactOptedIn => ("resume", "User requested to resume marketing messages"),
        _ => ("stop", "User requested to stop marketing messages"),
    };
    let mut preference = Map::new();
    // The very address: a person with a new number has the switch of the old one under both.
    match address.kind() {
        AddressKind::UserId => _ = preference.insert("user_id".into(), address.value().into()),
        AddressKind::Phone | AddressKind::Lid => {
            preference.insert("wa_id".into(), address.value().into());
            preference.extend(person.user_id.clone().map(|id| ("user_id".to_owned(), id.into())));
        }
    }
    let seconds = event.at.0.div_euclid(SECOND_MS);
    for (key, value) in [("category", "marketing_messages"), ("value", word), ("detail", detail)] {
        preference.insert(key.into(), value.into());
    }
    // A number here, as Meta writes it.
    preference.insert("timestamp".into(), seconds.into());
    let mut value = Map::new();
    value.insert("contacts".into(), json!([person.contact()]));
    value.insert(PREFERENCES.into(), json!([preference]));
    value
}

/// The number that heard of a wish, and its conversation with the person. A wish is the tenant's and its entry names no
/// number, but it stands in the shard of the number that heard of it: of the tenant's numbers there (nearly always one) the
/// one that knows the person.
async fn heard_by(
    node: &Arc<Node>,
    tenant: TenantId,
    (shard, address): (ShardId, &Address),
) -> Result<Option<(Session, Option<ConversationId>)>, StoreError> {
    let (mut first, mut after) = (None, None);
    loop {
        let page = node.store().nouns.page::<Session>(tenant, None, after, PAGE).await?;
        let ended = page.len() < PAGE;
        after = page.last().map(|last| (last.noun.created, last.noun.id.0));
        for session in page.into_iter().map(|found| found.noun) {
            if ShardId::of_session(tenant, session.id) != shard {
                continue;
            }
            let talk = node.dispatcher().talk_of((tenant, session.id), address).await.map_err(unread)?;
            if talk.is_some() {
                return Ok(Some((session, talk)));
            }
            first.get_or_insert(session);
        }
        if ended {
            return Ok(first.map(|session| (session, None)));
        }
    }
}
