//! `/v1/conversations`: who a number talks with, and what was said. Conversations begin by themselves, with the first
//! message in or out; sending is `message.rs`.

use super::message::Shown as Message;
use crate::auth::For;
use crate::body::{Id, Query};
use crate::openapi::shapes;
use crate::page::{Ask, Page, Time, id_cursor};
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::extract::State;
use kabar_engine::address::Address;
use kabar_engine::beside::Referral;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::id::{ConversationId, MessageId, SessionId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The query of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Only this number's.
    #[param(value_type = Option<shapes::SessionId>)]
    session: Option<String>,
    /// Things on the page; 50 when not said.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// The `next` of the page before.
    after: Option<String>,
}

/// A conversation as it is shown.
#[derive(Serialize, ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct Shown {
    #[schema(value_type = shapes::ConversationId)]
    id: ConversationId,
    #[schema(value_type = shapes::SessionId)]
    session: SessionId,
    address: String,
    aliases: Vec<String>,
    name: Option<String>,
    /// The name the person chose at WhatsApp; it may change.
    username: Option<String>,
    /// Where the person came from: the first and the last advertisement or post.
    referrals: Option<ShownReferrals>,
    messages: u64,
    unread: u32,
    #[schema(value_type = Option<shapes::MessageId>)]
    last_message: Option<MessageId>,
    /// Free-form content may be sent until then.
    window_until: Option<Time>,
}

/// Where a person came from.
#[derive(Serialize, ToSchema)]
#[schema(as = Referrals)]
struct ShownReferrals {
    first: ShownReferral,
    last: ShownReferral,
}

/// A click on an advertisement or post.
#[derive(Serialize, ToSchema)]
#[schema(as = Referral)]
struct ShownReferral {
    /// When the person wrote, by WhatsApp's clock.
    at: Time,
    /// In Meta's shape: `source_url`, `source_id`, `source_type`, `headline`, `ctwa_clid` …
    #[schema(value_type = Object)]
    referral: serde_json::Value,
}

impl From<&Referral> for ShownReferral {
    fn from(one: &Referral) -> Self {
        Self { at: Time(one.at), referral: one.referral.clone() }
    }
}

impl From<&ConversationRow> for Shown {
    fn from(row: &ConversationRow) -> Self {
        Self {
            id: row.id,
            session: row.session,
            address: row.address.to_text(),
            aliases: row.aliases.iter().map(Address::to_text).collect(),
            name: row.name.clone(),
            username: row.username.clone(),
            referrals: row.referrals.as_ref().map(|known| ShownReferrals {
                first: ShownReferral::from(&known.first),
                last: ShownReferral::from(&known.last),
            }),
            messages: row.count,
            unread: row.unread,
            last_message: row.last,
            window_until: row.window_until.map(Time),
        }
    }
}

/// `GET /v1/conversations`: in the order in which they began, all or one session's. It may be a second old; a
/// single conversation is read as it stands now.
#[utoipa::path(get, path = "/v1/conversations", tag = "conversations", operation_id = "listConversations", summary = "List conversations; up to a second old",
    params(Which), responses((status = 200, body = Page<Shown>, description = "A page.")))]
pub(crate) async fn list(
    State(state): State<ApiState>,
    whom: For,
    Query(which): Query<Which>,
) -> Result<axum::Json<Page<Shown>>, Problem> {
    let ask = Ask::new(which.limit, which.after);
    let limit = ask.limit()?;
    let session = which.session.map(|text| {
        let refused = "`session` must be an id ses_….";
        text.parse::<SessionId>().map_err(|_| Problem::new(Code::InvalidQuery, refused))
    });
    let session = session.transpose()?;
    let session = state.filtered(&whom, session).await?;
    let after = ask.after_id()?.map(ConversationId);
    let views = &state.node.store().views;
    let found = views.conversations(whom.tenant, session, after, limit).await?;
    let cursor = found.last().map(|row| id_cursor(row.id.0));
    let data = found.iter().map(|row| Shown::from(row.as_ref())).collect();
    Ok(axum::Json(Page::new(data, limit, cursor)))
}

/// The tenant's conversation, of a session the key is for.
async fn found(state: &ApiState, whom: &For, id: ConversationId) -> Result<Arc<ConversationRow>, Problem> {
    let found = state.dispatcher.conversation(whom.tenant, id).await?;
    let found = found.ok_or_else(|| Problem::no_such("conversation"))?;
    whom.check_session(found.session)?;
    Ok(found)
}

/// `GET /v1/conversations/{id}`: as it stands now.
#[utoipa::path(get, path = "/v1/conversations/{id}", tag = "conversations", operation_id = "getConversation", summary = "Read a conversation as it stands now",
    params(("id" = shapes::ConversationId, Path, description = "The conversation.")), responses((status = 200, body = Shown, description = "The conversation.")))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ConversationId>,
) -> Result<axum::Json<Shown>, Problem> {
    Ok(axum::Json(Shown::from(found(&state, &whom, id).await?.as_ref())))
}

/// `GET /v1/conversations/{id}/messages`: newest first, as they stand now.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages", tag = "conversations", operation_id = "listConversationMessages", summary = "Read what was said, newest first",
    params(("id" = shapes::ConversationId, Path, description = "The conversation."), Ask), responses((status = 200, body = Page<Message>, description = "A page.")))]
pub(crate) async fn messages(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<ConversationId>,
    Query(ask): Query<Ask>,
) -> Result<axum::Json<Page<Message>>, Problem> {
    let limit = ask.limit()?;
    let before = ask.after_id()?.map(MessageId);
    if whom.sessions().is_some() {
        found(&state, &whom, id).await?;
    }
    let found = state.dispatcher.conversation_messages(whom.tenant, id, before, limit).await?;
    let found = found.ok_or_else(|| Problem::no_such("conversation"))?;
    let cursor = found.last().map(|message| id_cursor(message.row.id.0));
    Ok(axum::Json(Page::new(found.into_iter().map(Message::from).collect(), limit, cursor)))
}
