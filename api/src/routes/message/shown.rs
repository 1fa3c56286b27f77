//! A message as it is shown: its timeline, what it waits for, what came with it. Not how it was asked for.

use crate::openapi::{content, shapes};
use crate::page::Time;
use crate::routes::Explained;
use crate::routes::pricing::Shown as Pricing;
use kabar_actors::view::{MediaState, MessageView, WaitReason};
use kabar_engine::beside::Beside;
use kabar_engine::content::Content;
use kabar_engine::id::{CampaignId, ConversationId, MediaId, MessageId, SessionId};
use kabar_engine::message::MessageRow;
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A message as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Message)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::MessageId)]
    id: MessageId,
    direction: &'static str,
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::ConversationId>)]
    conversation: Option<ConversationId>,
    address: String,
    #[schema(value_type = shapes::Status)]
    status: Status,
    timeline: Vec<Moment>,
    #[schema(value_type = shapes::Lane)]
    lane: Lane,
    attempts: u16,
    send_at: Time,
    valid_until: Time,
    provider_id: Option<String>,
    context: Option<String>,
    /// The caller's own word for it, as it was given.
    biz_opaque_callback_data: Option<String>,
    /// Who the recipient must still be, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient_identity_key_hash: Option<String>,
    /// What stands beside a received message.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<ShownBeside>,
    /// What it costs, by the last status that said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Pricing>,
    campaign: Option<OfCampaign>,
    /// What it waits for; told of a message that is read alone.
    wait: Option<ShownWait>,
    /// Of a received message: where the file is that came with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<ShownMedia>,
    error: Option<Explained>,
    #[schema(value_type = Option<content::Content>)]
    message: Option<Value>,
}

/// What stands beside a received message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageBeside)]
struct ShownBeside {
    forwarded: bool,
    /// More than five times.
    frequently_forwarded: bool,
    /// The product it asks about, in Meta's shape.
    #[schema(value_type = Option<Object>)]
    referred_product: Option<Value>,
    /// The advertisement or post the person came from, in Meta's shape.
    #[schema(value_type = Option<Object>)]
    referral: Option<Value>,
    /// The name the person chose at WhatsApp.
    username: Option<String>,
}

impl From<&Beside> for ShownBeside {
    fn from(beside: &Beside) -> Self {
        Self {
            forwarded: beside.forwarded,
            frequently_forwarded: beside.frequently_forwarded,
            referred_product: beside.referred_product.clone(),
            referral: beside.referral.clone(),
            username: beside.username.clone(),
        }
    }
}

/// What a message waits for.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageWait)]
struct ShownWait {
    #[schema(value_type = shapes::WaitReason)]
    reason: WaitReason,
    /// Until when, where that is known.
    until: Option<Time>,
}

/// Where a file is that a person sent.
#[derive(Serialize, ToSchema)]
#[schema(as = ReceivedMedia)]
struct ShownMedia {
    #[schema(value_type = shapes::MediaState)]
    state: &'static str,
    /// The file, when it is here.
    #[schema(value_type = Option<shapes::MediaId>)]
    id: Option<MediaId>,
    /// Why it will not be.
    error: Option<Explained>,
}

impl From<MediaState> for ShownMedia {
    fn from(state: MediaState) -> Self {
        match state {
            MediaState::Pending => Self { state: "pending", id: None, error: None },
            MediaState::Stored(id) => Self { state: "stored", id: Some(id), error: None },
            MediaState::Failed(cause) => Self { state: "failed", id: None, error: Some(cause.into()) },
        }
    }
}

/// A step of a message.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageMoment)]
struct Moment {
    #[schema(value_type = shapes::Status)]
    status: Status,
    at: Time,
}

/// Which campaign a message is of.
#[derive(Serialize, ToSchema)]
#[schema(as = MessageOfCampaign)]
struct OfCampaign {
    #[schema(value_type = shapes::CampaignId)]
    id: CampaignId,
    index: u32,
}

impl From<MessageView> for Shown {
    fn from(MessageView { row, wait, media }: MessageView) -> Self {
        Self {
            media: media.map(ShownMedia::from),
            wait: wait.map(|wait| ShownWait { reason: wait.reason, until: wait.until.map(Time) }),
            direction: if row.status == Status::Received { "in" } else { "out" },
            timeline: timeline(&row),
            id: row.id,
            session: row.session,
            conversation: (row.conversation.0 != 0).then_some(row.conversation),
            address: row.address.to_text(),
            status: row.status,
            lane: row.lane,
            attempts: row.attempts,
            send_at: Time(row.due),
            valid_until: Time(row.valid_until),
            provider_id: row.provider_id.as_deref().map(str::to_owned),
            context: row.context.as_deref().map(str::to_owned),
            biz_opaque_callback_data: row.tag.as_deref().map(str::to_owned),
            recipient_identity_key_hash: identity(&row),
            beside: received(&row).filter(|beside| beside.is_read()).map(ShownBeside::from),
            pricing: row.pricing.as_deref().map(Pricing::from),
            campaign: row.campaign.map(|(id, index)| OfCampaign { id, index }),
            error: row.cause.map(Explained::from),
            message: row.content.as_deref().map(Content::to_json),
        }
    }
}

/// What stands beside a message that came in.
fn received(row: &MessageRow) -> Option<&Beside> {
    row.beside.as_deref().filter(|_| row.status == Status::Received)
}

/// What its caller said of who the recipient must still be.
fn identity(row: &MessageRow) -> Option<String> {
    row.beside.as_ref()?.recipient_identity_key_hash.as_deref().map(str::to_owned)
}

/// What happened, in the order in which a message goes; a step that was never told of is left out.
fn timeline(row: &MessageRow) -> Vec<Moment> {
    let times = &row.times;
    let first = if row.status == Status::Received { Status::Received } else { Status::Queued };
    let steps = [
        (first, Some(times.accepted)),
        (Status::Sent, times.sent.filter(|_| first == Status::Queued)),
        (Status::Delivered, times.delivered),
        (Status::Read, times.read),
        (row.status, times.ended),
    ];
    steps.into_iter().filter_map(|(status, at)| Some(Moment { status, at: Time(at?) })).collect()
}
