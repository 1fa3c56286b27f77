//! One status of a webhook, and the errors it or a number carries. Not the status machine: that is the engine's.

use super::answer::cut;
use super::inbound::Beyond;
use super::webhook::{InboundStatus, NumberError};
use super::wire::{Number, Seconds, Text};
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::entry::StatusRest;
use kabar_engine::outgoing::Reference;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What every status of a message says of its recipient.
const AGAIN: [&str; 3] = [StatusRest::CONTACT, "parent_recipient_user_id", "recipient_type"];

/// A status as Meta writes it: what nearly every status is. One with a key that is not of these is read in another way, which
/// keeps it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Usual<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    timestamp: Seconds,
    #[serde(borrow, default)]
    recipient_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    recipient_user_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    biz_opaque_callback_data: Option<Text<'a>>,
    /// These two are told again as they came.
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
    #[serde(borrow, default)]
    conversation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pricing: Option<PricingWire<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PricingWire<'a> {
    #[serde(default)]
    billable: Option<bool>,
    #[serde(borrow, default)]
    pricing_model: Option<Text<'a>>,
    #[serde(borrow, default)]
    r#type: Option<Text<'a>>,
    #[serde(borrow, default)]
    category: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ConversationWire<'a> {
    #[serde(borrow, default)]
    origin: Option<OriginWire<'a>>,
}

#[derive(Deserialize)]
struct OriginWire<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
}

#[derive(Deserialize)]
struct ErrorWire<'a> {
    code: Number,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    message: Option<Text<'a>>,
    #[serde(borrow, default)]
    error_data: Option<ErrorData<'a>>,
}

#[derive(Deserialize)]
struct ErrorData<'a> {
    #[serde(borrow, default)]
    details: Option<Text<'a>>,
}

/// `None` for a word this version does not know, or a status without a message id.
pub(super) fn read(wire: &Usual<'_>, beyond: &Beyond<'_>) -> Option<InboundStatus> {
    told(wire, beyond, Vec::new())
}

/// A status of any shape. A price or a reason of an unknown shape is no reason to lose the status.
pub(super) fn read_late(raw: &RawValue, beyond: &Beyond<'_>) -> Option<InboundStatus> {
    let mut all: BTreeMap<Text<'_>, &RawValue> = serde_json::from_str(raw.get()).ok()?;
    all.retain(|_, raw| raw.get() != "null");
    let pricing = all.remove("pricing");
    let usual = pricing.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let odd = pricing.filter(|_| usual.is_none());
    let wire = Usual {
        id: text(&mut all, "id")?,
        status: text(&mut all, "status")?,
        timestamp: all.remove("timestamp").and_then(|raw| serde_json::from_str(raw.get()).ok())?,
        recipient_id: optional(&mut all, "recipient_id")?,
        recipient_user_id: optional(&mut all, "recipient_user_id")?,
        biz_opaque_callback_data: optional(&mut all, "biz_opaque_callback_data")?,
        errors: all.remove("errors"),
        conversation: all.remove("conversation"),
        pricing: usual.or_else(|| odd.map(PricingWire::odd)),
    };
    let odd = odd.map(|raw| ("pricing", raw.get()));
    told(&wire, beyond, odd.into_iter().chain(all.iter().map(|(key, raw)| (&**key, raw.get()))).collect())
}

/// A text, which then is there no more; `None` where it is none.
fn text<'a>(all: &mut BTreeMap<Text<'a>, &'a RawValue>, key: &str) -> Option<Text<'a>> {
    serde_json::from_str(all.remove(key)?.get()).ok()
}

/// The same of a text that may be missing.
fn optional<'a>(all: &mut BTreeMap<Text<'a>, &'a RawValue>, key: &str) -> Option<Option<Text<'a>>> {
    all.remove(key).map_or(Some(None), |raw| serde_json::from_str(raw.get()).ok())
}

/// What a status says, with whatever it says beyond that.
fn told(wire: &Usual<'_>, beyond: &Beyond<'_>, more: Vec<(&str, &str)>) -> Option<InboundStatus> {
    let status = match &*wire.status {
        "sent" => Status::Sent,
        "delivered" => Status::Delivered,
        "read" => Status::Read,
        "played" => Status::Played,
        "failed" => Status::Failed,
        _ => return None,
    };
    if wire.id.is_empty() {
        return None;
    }
    // Ahead of what nobody knows, where there is no room for everything.
    let known = [("errors", wire.errors), ("conversation", wire.conversation)];
    let contact = beyond.of(wire.recipient_id.as_ref(), wire.recipient_user_id.as_ref());
    let contact = contact.map(|contact| (StatusRest::CONTACT, contact));
    let known = known.into_iter().filter_map(|(key, raw)| Some((key, raw?.get()))).chain(contact);
    let all: Vec<(&str, &str)> = known.chain(more).collect();
    // What comes again with the delivery makes no news of `sent`, which the answer to the call tells.
    let again = status == Status::Sent && all.iter().all(|(key, _)| AGAIN.contains(key));
    let error = wire.errors.and_then(|raw| first(raw.get()));
    // A failure is a failure even without its reason.
    let cause = match (status, &error) {
        (Status::Failed, error) => {
            Some(error.as_ref().and_then(ErrorWire::cause).unwrap_or(Cause::UNREADABLE))
        }
        _ => None,
    };
    let conversation = wire.conversation.and_then(|raw| serde_json::from_str(raw.get()).ok());
    Some(InboundStatus {
        reference: wire.biz_opaque_callback_data.as_deref().and_then(Reference::parse),
        provider_id: wire.id.to_arc(),
        status,
        at: wire.timestamp.0,
        detail: cause.and(error.as_ref()).and_then(ErrorWire::detail),
        cause,
        pricing: pricing(wire.pricing.as_ref(), conversation.as_ref()),
        recipient: phone(wire.recipient_id.as_ref()).or_else(|| user_id(wire.recipient_user_id.as_ref())),
        rest: StatusRest::of(all.into_iter().filter(|_| !again)).map(Arc::new),
    })
}

/// The first of a list of errors. The others may be of any shape.
fn first(errors: &str) -> Option<ErrorWire<'_>> {
    let list: Vec<&RawValue> = serde_json::from_str(errors).ok()?;
    serde_json::from_str(list.first()?.get()).ok()
}

impl<'a> PricingWire<'a> {
    /// Of a price with keys that are not known, or with values that are not usual.
    fn odd(raw: &'a RawValue) -> Self {
        let mut all: BTreeMap<Text<'_>, &RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        Self {
            billable: all.remove("billable").and_then(|raw| serde_json::from_str(raw.get()).ok()),
            pricing_model: text(&mut all, "pricing_model"),
            r#type: text(&mut all, "type"),
            category: text(&mut all, "category"),
        }
    }
}

/// What the status says of its price, and of what began the conversation.
fn pricing(
    price: Option<&PricingWire<'_>>,
    conversation: Option<&ConversationWire<'_>>,
) -> Option<Arc<Pricing>> {
    let word = |text: Option<&Text<'_>>| Pricing::word(text.map_or("", |text| text));
    let origin = conversation.and_then(|conversation| conversation.origin.as_ref());
    let pricing = Pricing {
        billable: price.and_then(|price| price.billable),
        model: word(price.and_then(|price| price.pricing_model.as_ref())),
        kind: word(price.and_then(|price| price.r#type.as_ref())),
        category: word(price.and_then(|price| price.category.as_ref())),
        origin: word(origin.map(|origin| &origin.r#type)),
    };
    (pricing != Pricing::default()).then(|| Arc::new(pricing))
}

/// A trouble of the number; `None` without a code.
pub(super) fn error(raw: &RawValue) -> Option<NumberError> {
    let wire: ErrorWire<'_> = serde_json::from_str(raw.get()).ok()?;
    Some(NumberError { cause: wire.cause()?, detail: wire.detail(), raw: raw.get().to_owned() })
}

impl ErrorWire<'_> {
    fn cause(&self) -> Option<Cause> {
        self.code.to_u32().map(Cause::of_provider)
    }

    /// The most telling of Meta's words.
    fn detail(&self) -> Option<String> {
        let details = self.error_data.as_ref().and_then(|data| data.details.as_deref());
        details.or(self.message.as_deref()).or(self.title.as_deref()).map(|text| cut(text).to_owned())
    }
}

/// A phone number; `None` for a group's id, which may stand in the same field.
pub(super) fn phone(text: Option<&Text<'_>>) -> Option<Address> {
    text.and_then(|digits| Address::phone_digits(digits).ok())
}

/// A business-scoped user id.
pub(super) fn user_id(text: Option<&Text<'_>>) -> Option<Address> {
    text.and_then(|id| Address::user_id(id).ok())
}
