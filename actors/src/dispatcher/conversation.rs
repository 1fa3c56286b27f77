//! What the front door tells of a conversation: its row and its messages, as they stand now. It waits for no
//! projector: what is not in the views yet is in the shard's overlay. Not the list of a tenant's conversations
//! (that is the views').

use super::{DispatchError, Dispatcher, RETRY_MS};
use crate::shard::Shard;
use crate::view::MessageView;
use kabar_engine::address::Address;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{Key, Overlay};
use kabar_schema::views::Views;
use std::sync::Arc;

/// Reads of the views that may be overtaken by two flushes each before a caller is told to come again.
const OLDER_TRIES: usize = 8;

/// Messages before an answer among which the one it names is looked for, and those that are read at once.
const NAMED_WITHIN: usize = 200;
const NAMED_PAGE: usize = 50;

/// The message that an answer names by the provider's id of it.
#[derive(Debug, Clone)]
pub enum Named {
    /// The row that has the id.
    Known(Arc<MessageRow>),
    /// None of the rows has it. This is the nearest campaign's message before the answer: of a campaign's messages the
    /// provider's ids are kept nowhere, and the first answer joins the message to the conversation before itself.
    Likely(Arc<MessageRow>),
}

/// A walk along a conversation's chain, newest first.
struct Walk {
    rows: Vec<Arc<MessageRow>>,
    /// Where the chain goes on.
    next: Option<MessageId>,
}

impl Walk {
    /// From `next` on as far as the overlay holds the chain, at most `limit` messages.
    fn along(o: &Overlay, talk: ConversationId, mut next: Option<MessageId>, limit: usize) -> Self {
        let mut rows = Vec::new();
        while let Some(row) = next.filter(|_| rows.len() < limit).and_then(|id| o.message(id)) {
            if row.conversation != talk {
                // A chain never leaves its conversation: this is damage, and nothing behind it is shown.
                return Self { rows, next: None };
            }
            next = row.prev;
            rows.push(row);
        }
        Self { rows, next }
    }
}

impl Dispatcher {
    /// A conversation as it stands now.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn conversation(
        &self,
        tenant: TenantId,
        id: ConversationId,
    ) -> Result<Option<Arc<ConversationRow>>, DispatchError> {
        let shard = self.0.shard(home(id));
        let row = shard.read(&[Key::Conversation(id)], move |o| o.conversation(id)).await?;
        Ok(row.filter(|row| row.tenant == tenant))
    }

    /// The messages of a conversation that joined it before `before`, newest first, as they stand now; `None`
    /// when there is no such conversation, nothing when `before` is no message of it.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn conversation_messages(
        &self,
        tenant: TenantId,
        id: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Option<Vec<MessageView>>, DispatchError> {
        if self.conversation(tenant, id).await?.is_none() {
            return Ok(None);
        }
        let shard = self.0.shard(home(id));
        let rows = history(&shard, self.0.store().views.as_ref(), (id, before), limit).await?;
        let rows = rows.into_iter().filter(|r| r.tenant == tenant).map(Arc::unwrap_or_clone).collect();
        Ok(Some(self.complete_all(rows).await?))
    }

    /// The message that an answer names by the provider's id: a quoted one, or one that was reacted to. Looked for among the
    /// messages that joined the conversation before the answer, the newest 200 of them.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn message_named(
        &self,
        answer: &MessageRow,
        provider_id: &str,
    ) -> Result<Option<Named>, DispatchError> {
        let (talk, shard) = (answer.conversation, self.0.shard(home(answer.conversation)));
        let (mut before, mut likely, mut seen) = (answer.id, None, 0);
        while seen < NAMED_WITHIN {
            let place = (talk, Some(before));
            let rows = history(&shard, self.0.store().views.as_ref(), place, NAMED_PAGE).await?;
            let Some(last) = rows.last() else { break };
            (before, seen) = (last.id, seen + rows.len());
            for row in rows.into_iter().filter(|row| row.tenant == answer.tenant) {
                match &row.provider_id {
                    Some(id) if **id == *provider_id => return Ok(Some(Named::Known(row))),
                    None if row.campaign.is_some() && likely.is_none() => likely = Some(row),
                    _ => {}
                }
            }
        }
        Ok(likely.map(Named::Likely))
    }

    /// The conversation of the person behind an address.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn talk_of(
        &self,
        (tenant, session): (TenantId, SessionId),
        address: &Address,
    ) -> Result<Option<ConversationId>, DispatchError> {
        let whom = address.clone();
        let key = Key::Address(session, whom.clone());
        let shard = self.0.shard_of_session(tenant, session);
        Ok(shard.read(&[key], move |o| o.conversation_of(session, &whom)).await?)
    }

    /// The bare rows of the person behind an address; nothing when there is no conversation.
    pub(crate) async fn conversation_rows(
        &self,
        (tenant, session): (TenantId, SessionId),
        address: &Address,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<Arc<MessageRow>>, DispatchError> {
        let Some(talk) = self.talk_of((tenant, session), address).await? else { return Ok(Vec::new()) };
        let shard = self.0.shard_of_session(tenant, session);
        let rows = history(&shard, self.0.store().views.as_ref(), (talk, before), limit).await?;
        Ok(rows.into_iter().filter(|row| row.tenant == tenant).collect())
    }

    /// The same for the person behind an address; nothing when there is no conversation.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn conversation_history(
        &self,
        (tenant, session): (TenantId, SessionId),
        address: &Address,
        before: Option<MessageId>,
        limit: usize,
    ) -> Result<Vec<MessageView>, DispatchError> {
        let Some(talk) = self.talk_of((tenant, session), address).await? else { return Ok(Vec::new()) };
        Ok(self.conversation_messages(tenant, talk, before, limit).await?.unwrap_or_default())
    }
}

/// Ids of conversations and messages are given by one sequence, so both carry their shard alike.
fn home(id: ConversationId) -> ShardId {
    MessageId(id.0).shard()
}

/// The chain: from the overlay as far as it holds it, the rest from the views.
async fn history(
    shard: &Shard,
    views: &dyn Views,
    (talk, before): (ConversationId, Option<MessageId>),
    limit: usize,
) -> Result<Vec<Arc<MessageRow>>, DispatchError> {
    if before.is_some_and(|before| before.shard() != shard.id()) {
        // Another shard's message must never be loaded into this one's overlay.
        return Ok(Vec::new());
    }
    let from = before.map_or(Key::Conversation(talk), Key::Message);
    let begin = move |o: &Overlay| {
        let first = match before {
            Some(before) => o.message(before).filter(|r| r.conversation == talk).and_then(|r| r.prev),
            None => o.conversation(talk).and_then(|c| c.last),
        };
        Walk::along(o, talk, first, limit)
    };
    let Walk { mut rows, next } = shard.read(&[from], begin).await?;
    let Some(next) = next.filter(|_| rows.len() < limit) else { return Ok(rows) };
    // A message the overlay has forgotten is in the views, and so is everything behind it.
    let left = limit - rows.len();
    let on = shard.read(&[Key::Message(next)], move |o| Walk::along(o, talk, Some(next), left)).await?;
    let last = on.rows.last().map(|row| row.id);
    rows.extend(on.rows);
    let (Some(last), Some(_), true) = (last, on.next, rows.len() < limit) else { return Ok(rows) };
    rows.extend(older(shard, views, (talk, last), limit - rows.len()).await?);
    Ok(rows)
}

/// The rows behind `last`, as they stand now: from the views, and over them what the overlay holds.
async fn older(
    shard: &Shard,
    views: &dyn Views,
    (talk, last): (ConversationId, MessageId),
    limit: usize,
) -> Result<Vec<Arc<MessageRow>>, DispatchError> {
    for _ in 0..OLDER_TRIES {
        let begun = shard.peek(Overlay::generation);
        let older = views.history(talk, Some(last), limit).await?;
        // What changed since the last flush is in the overlay only, and stays there for two flushes more. When more
        // have passed since the views were read, a row may have changed, been written and been forgotten between.
        let newest = move |o: &Overlay| -> Option<Vec<_>> {
            let trusted = o.generation().saturating_sub(begun) < 2;
            let live = |row: &Arc<MessageRow>| o.message(row.id).unwrap_or_else(|| Arc::clone(row));
            trusted.then(|| older.iter().map(live).collect())
        };
        if let Some(rows) = shard.read(&[], newest).await? {
            return Ok(rows);
        }
    }
    Err(DispatchError::Unavailable { retry_after_ms: RETRY_MS })
}
