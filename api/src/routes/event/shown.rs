//! An event as it is shown. What a type's `data` holds never loses a field; a new field may come.

use crate::openapi::shapes;
use crate::page::Time;
use crate::routes::Explained;
use crate::routes::pricing::Shown as Pricing;
use kabar_actors::dispatcher::Event;
use kabar_engine::entry::ConsentSource;
use kabar_engine::event::{About, OfMessage};
use kabar_engine::id::{
    CampaignId, ConversationId, EventId, MediaId, MessageId, SessionId, TenantId, WebhookId,
};
use kabar_engine::notice::Notice;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The version of every type's `data`.
const VERSION: u32 = 1;

/// An event.
#[derive(Serialize, ToSchema)]
#[schema(as = Event, example = json!({
    "id": "evt_0dwd35p6e5amv", "seq": 41, "occurred_at": "2026-12-24T11:00:00.000Z", "type": "message.delivered",
    "version": 1, "tenant": "ten_0dwd35p6e5amv", "session": "ses_0dwd35p6e5amv",
    "data": {"message": "msg_0dwd35p6e5amv", "conversation": "cnv_0dwd35p6e5amv", "address": "+6281234567890",
        "campaign": null, "reported_at": "2026-12-24T10:59:59.000Z", "error": null, "biz_opaque_callback_data": null}}))]
pub(super) struct Shown {
    /// The same at every reading.
    #[schema(value_type = shapes::EventId)]
    id: EventId,
    /// Rises within a session, and within a campaign; several events can share one.
    seq: u64,
    /// When Kabar learned it.
    occurred_at: Time,
    #[serde(rename = "type")]
    #[schema(value_type = shapes::EventType)]
    kind: &'static str,
    version: u32,
    #[schema(value_type = shapes::TenantId)]
    tenant: TenantId,
    /// The number it belongs to; null for contacts and campaigns.
    #[schema(value_type = Option<shapes::SessionId>)]
    session: Option<SessionId>,
    data: Data,
}

/// What the type says more; see `api/docs/events.md`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EventData)]
enum Data {
    Message(Box<OfOneMessage>),
    Conversation(OfConversation),
    Contact(OfContact),
    Campaign(OfCampaign),
    Frozen(OfFrozen),
    Webhook(OfWebhook),
    Notice(Box<OfNotice>),
}

/// Of `message.*` and `media.*`.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfMessage)]
struct OfOneMessage {
    #[schema(value_type = Option<shapes::MessageId>)]
    message: Option<MessageId>,
    /// Null for a campaign's message that was not answered.
    #[schema(value_type = Option<shapes::ConversationId>)]
    conversation: Option<ConversationId>,
    /// Null for a campaign's message that was not answered; the message itself tells it.
    address: Option<String>,
    /// The campaign it is a message of.
    campaign: Option<Recipient>,
    /// When it happened by WhatsApp's clock, where WhatsApp said it.
    reported_at: Option<Time>,
    error: Option<Explained>,
    /// The sender's own word for the message, as it was given.
    biz_opaque_callback_data: Option<String>,
    /// Of `media.stored` alone: the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::MediaId>)]
    media: Option<MediaId>,
    /// What it costs, where WhatsApp said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    /// Of `message.received`: the advertisement or post the person came from, in Meta's shape.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    referral: Option<Value>,
}

/// A recipient of a campaign.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventRecipient)]
struct Recipient {
    #[schema(value_type = shapes::CampaignId)]
    id: CampaignId,
    index: u32,
}

/// Of `conversation.*`.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfConversation)]
struct OfConversation {
    #[schema(value_type = shapes::ConversationId)]
    conversation: ConversationId,
    address: String,
}

/// Of `contact.*`.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfContact)]
struct OfContact {
    address: String,
    /// Where it was said.
    #[schema(value_type = shapes::ConsentSource)]
    source: &'static str,
}

/// Of `campaign.*`.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfCampaign)]
struct OfCampaign {
    #[schema(value_type = shapes::CampaignId)]
    campaign: CampaignId,
}

/// Of `webhook.*`.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfWebhook)]
struct OfWebhook {
    #[schema(value_type = shapes::WebhookId)]
    webhook: WebhookId,
    /// Since when no delivery has succeeded.
    since: Time,
}

/// Of `template.*`, `number.*`, `account.*`, `flow.*`, `call.*`, `group.*`, `link.*`, `phone.*`, `agent.*` and
/// `provider.*`: what WhatsApp told beside messages.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfNotice)]
struct OfNotice {
    /// WhatsApp's name for the field.
    field: String,
    /// The WhatsApp Business Account, where it is named.
    account: Option<String>,
    /// WhatsApp's word for what happened within the field.
    event: Option<String>,
    /// The template it is about.
    template: Option<OfTemplate>,
    /// When it happened by WhatsApp's clock, where WhatsApp said it.
    reported_at: Option<Time>,
    /// As it came; null when it was longer than 20 KiB.
    #[schema(value_type = Option<Object>)]
    value: Value,
}

/// A template at WhatsApp.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventTemplate)]
struct OfTemplate {
    name: String,
    language: String,
}

/// Of `campaign.frozen`.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EventOfFrozenCampaign)]
struct OfFrozen {
    #[schema(value_type = shapes::CampaignId)]
    campaign: CampaignId,
    /// People in the audience.
    contacts: u64,
    /// Of them opted out.
    opted_out: u64,
    /// Of the rest, those without a value for a variable.
    missing_variable: u64,
    /// Of the rest, those that have had enough marketing.
    frequency_capped: u64,
    /// Those it is sent to.
    recipients: u64,
}

impl Shown {
    /// A tenant's event.
    pub(super) fn of(tenant: TenantId, event: Event) -> Self {
        Self {
            id: event.id,
            seq: event.seq,
            occurred_at: Time(event.at),
            kind: event.kind.word(),
            version: VERSION,
            tenant,
            session: event.session(),
            data: event.about.into(),
        }
    }
}

impl From<About> for Data {
    fn from(about: About) -> Self {
        match about {
            About::Message(of) => Self::Message(Box::new((*of).into())),
            About::Conversation { conversation, address, .. } => {
                Self::Conversation(OfConversation { conversation, address: address.to_text() })
            }
            About::Contact { address, source } => {
                Self::Contact(OfContact { address: address.to_text(), source: said(source) })
            }
            About::Campaign(campaign) => Self::Campaign(OfCampaign { campaign }),
            About::Notice(notice) => Self::Notice(Box::new((*notice).into())),
            About::Webhook { webhook, since } => Self::Webhook(OfWebhook { webhook, since: Time(since) }),
            About::Frozen {
                campaign,
                contacts,
                opted_out,
                missing_variable,
                frequency_capped,
                recipients,
            } => Self::Frozen(OfFrozen {
                campaign,
                contacts,
                opted_out,
                missing_variable,
                frequency_capped,
                recipients,
            }),
        }
    }
}

impl From<OfMessage> for OfOneMessage {
    fn from(of: OfMessage) -> Self {
        Self {
            message: of.message,
            conversation: of.conversation,
            address: of.address.map(|address| address.to_text()),
            campaign: of.recipient.map(|(id, index)| Recipient { id, index }),
            reported_at: of.reported_at.map(Time),
            error: of.cause.map(Explained::from),
            biz_opaque_callback_data: of.tag.as_deref().map(str::to_owned),
            media: of.media,
            pricing: of.pricing.as_deref().map(Pricing::from),
            referral: of.referral.map(|referral| *referral),
        }
    }
}

impl From<Notice> for OfNotice {
    fn from(notice: Notice) -> Self {
        let value = notice.read();
        let template = Notice::template(&value).map(|of| OfTemplate { name: of.name, language: of.language });
        Self {
            field: notice.field.as_ref().to_owned(),
            account: notice.account.as_deref().map(str::to_owned),
            event: Notice::event(&value).map(str::to_owned),
            template,
            reported_at: notice.at.map(Time),
            value,
        }
    }
}

fn said(source: ConsentSource) -> &'static str {
    match source {
        ConsentSource::Word => "word",
        ConsentSource::Provider => "provider",
        ConsentSource::Api => "api",
    }
}
