//! Everything that can be read of the views, in a form that can be compared. Not a suite.

use crate::world::{World, place};
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::mark::MarksRow;
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{
    AddressRow, DiscoveredRow, IdempotencyRow, Key, OutboxLine, Row, RunRow, SeenRow,
};
use kabar_engine::part::PartRow;
use kabar_engine::time::Timestamp;
use kabar_schema::views::{ShardMark, Views};
use std::sync::Arc;

/// A [`Row`] that can be compared.
#[derive(Debug, PartialEq)]
pub enum Held {
    Absent,
    Message(Arc<MessageRow>),
    Conversation(Arc<ConversationRow>),
    Address(Arc<AddressRow>),
    Seen(Arc<SeenRow>),
    Idempotency(Arc<IdempotencyRow>),
    Campaign(Arc<CampaignRow>),
    Part(Arc<PartRow>, Vec<Arc<MarksRow>>),
    Marks(Arc<MarksRow>),
    SessionParts(Vec<Arc<PartRow>>),
    Run(Arc<RunRow>),
    Consent(Vec<SuppressedRow>),
}

impl From<Row> for Held {
    fn from(row: Row) -> Self {
        match row {
            Row::Absent => Self::Absent,
            Row::Message(row) => Self::Message(row),
            Row::Conversation(row) => Self::Conversation(row),
            Row::Address(row) => Self::Address(row),
            Row::Seen(row) => Self::Seen(row),
            Row::Idempotency(row) => Self::Idempotency(row),
            Row::Campaign(row) => Self::Campaign(row),
            Row::Part(row, marks) => Self::Part(row, marks),
            Row::Marks(row) => Self::Marks(row),
            Row::SessionParts(rows) => Self::SessionParts(rows),
            Row::Run(row) => Self::Run(row),
            Row::Consent(rows) => Self::Consent(rows),
            Row::Chunk(_) => panic!("chunks are the ledger's"),
        }
    }
}

/// All reads at once.
#[derive(Debug, PartialEq, Default)]
pub struct Snapshot {
    pub marks: Vec<ShardMark>,
    pub rows: Vec<(Key, Held)>,
    pub outbox: Vec<Vec<OutboxLine>>,
    pub campaigns: Vec<Vec<Arc<CampaignRow>>>,
    pub parts: Vec<Vec<Arc<PartRow>>>,
    pub consents: Vec<Vec<SuppressedRow>>,
    pub histories: Vec<Vec<Arc<MessageRow>>>,
    pub conversations: Vec<Vec<Arc<ConversationRow>>>,
    pub discovered: Vec<Vec<DiscoveredRow>>,
}

/// What is held under the keys.
pub async fn load(views: &dyn Views, keys: Vec<Key>) -> Vec<(Key, Held)> {
    let rows = views.load(place(0).shard, keys).await.unwrap();
    rows.into_iter().map(|(key, row)| (key, row.into())).collect()
}

/// Reads everything the world can have put there, lists both whole and in pages of `page`.
pub async fn snapshot(views: &dyn Views, world: &World, page: usize) -> Snapshot {
    let mut all = Snapshot {
        marks: views.marks().await.unwrap(),
        rows: load(views, world.keys()).await,
        ..Snapshot::default()
    };
    for shard in World::shards() {
        all.campaigns.push(views.live_campaigns(shard).await.unwrap());
        all.parts.push(views.open_parts(shard).await.unwrap());
        let (mut lines, mut after) = (Vec::new(), None);
        loop {
            let next = views.outbox(shard, after, page).await.unwrap();
            let Some(OutboxLine::Open { key, .. }) = next.last().copied() else { break };
            after = Some(key);
            lines.extend(next);
        }
        all.outbox.push(lines);
    }
    for number in 0..4 {
        let here = place(number);
        all.consents.push(views.consents(here.tenant, None, 1_000).await.unwrap());
        all.consents.push(views.consents_since(here.tenant, Timestamp(0)).await.unwrap());
        all.consents.push(views.consents_since(here.tenant, world.now().plus_ms(-60_000)).await.unwrap());
        let (mut consents, mut after) = (Vec::new(), None);
        loop {
            let next = views.consents(here.tenant, after.clone(), page).await.unwrap();
            let Some(last) = next.last() else { break };
            after = Some(last.address.clone());
            consents.extend(next);
        }
        all.consents.push(consents);
        all.conversations.push(views.conversations(here.tenant, None, None, 1_000).await.unwrap());
        all.discovered.push(views.discovered(here.tenant, None, 1_000).await.unwrap());
        let (mut conversations, mut after) = (Vec::new(), None);
        loop {
            let next = views.conversations(here.tenant, Some(here.session), after, page).await.unwrap();
            let Some(last) = next.last() else { break };
            after = Some(last.id);
            conversations.extend(next);
        }
        all.conversations.push(conversations);
    }
    for conversation in world.conversations.values() {
        all.histories.push(views.history(conversation.id, None, 1_000).await.unwrap());
        let (mut messages, mut before) = (Vec::new(), None);
        loop {
            let next = views.history(conversation.id, before, page).await.unwrap();
            let Some(last) = next.last() else { break };
            before = Some(last.id);
            messages.extend(next);
        }
        all.histories.push(messages);
    }
    all
}
