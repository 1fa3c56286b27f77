//! One status of a webhook, and the errors it or a number carries. Not the status machine: that is the engine's.

use super::answer::cut;
use super::webhook::{InboundStatus, NumberError};
use super::wire::{Number, Seconds, Text};
use kabar_engine::address::Address;
use kabar_engine::cause::Cause;
use kabar_engine::outgoing::Reference;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// A status as Meta writes it, its price read with it: what nearly every status is.
pub(super) type Usual<'a> = StatusWire<'a, PricingWire<'a>, ConversationWire<'a>>;
/// The same with the price read late: one of an unknown shape is no reason to lose the status.
pub(super) type Late<'a> = StatusWire<'a, &'a RawValue, &'a RawValue>;

/// A status as Meta writes it.
#[derive(Deserialize)]
#[serde(bound(deserialize = "P: Deserialize<'de>, C: Deserialize<'de>"))]
pub(super) struct StatusWire<'a, P, C> {
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
    #[serde(borrow, default)]
    errors: Option<Vec<ErrorWire<'a>>>,
    pricing: Option<P>,
    conversation: Option<C>,
}

#[derive(Deserialize)]
pub(super) struct PricingWire<'a> {
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
pub(super) struct ConversationWire<'a> {
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
pub(super) fn read(wire: &Usual<'_>) -> Option<InboundStatus> {
    told(wire, pricing(wire.pricing.as_ref(), wire.conversation.as_ref()))
}

/// The same where the price could not be read with it.
pub(super) fn read_late(wire: &Late<'_>) -> Option<InboundStatus> {
    let price = wire.pricing.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let conversation = wire.conversation.and_then(|raw| serde_json::from_str(raw.get()).ok());
    told(wire, pricing(price.as_ref(), conversation.as_ref()))
}

fn told<P, C>(wire: &StatusWire<'_, P, C>, pricing: Option<Arc<Pricing>>) -> Option<InboundStatus> {
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
    let error = wire.errors.iter().flatten().next();
    // A failure is a failure even without its reason.
    let cause = match (status, error) {
        (Status::Failed, error) => Some(error.and_then(ErrorWire::cause).unwrap_or(Cause::UNREADABLE)),
        _ => None,
    };
    Some(InboundStatus {
        reference: wire.biz_opaque_callback_data.as_deref().and_then(Reference::parse),
        provider_id: wire.id.to_arc(),
        status,
        at: wire.timestamp.0,
        detail: cause.and(error).and_then(ErrorWire::detail),
        cause,
        pricing,
        recipient: phone(wire.recipient_id.as_ref()).or_else(|| user_id(wire.recipient_user_id.as_ref())),
    })
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
