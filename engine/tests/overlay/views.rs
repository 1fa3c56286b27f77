//! The views as a model: rows by key, each newer by its `upto`, and flushes that may be torn after any write.
//! Not a store: nothing can fail here but what a test wants to fail.

use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::chunk::{Chunk, ChunkKey};
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::mark::MarksRow;
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{
    AddressRow, Changes, IdempotencyRow, Key, OutboxKey, OutboxLine, Row, RunRow, SeenRow,
};
use kabar_engine::part::PartRow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

type Rows<K, V> = BTreeMap<K, Arc<V>>;

/// Every view.
#[derive(Debug, Default)]
pub struct Views {
    pub messages: Rows<MessageId, MessageRow>,
    pub conversations: Rows<ConversationId, ConversationRow>,
    pub addresses: Rows<(SessionId, Address), AddressRow>,
    pub seen: Rows<(SessionId, u64), SeenRow>,
    pub idempotency: Rows<(SessionId, u128), IdempotencyRow>,
    pub campaigns: Rows<(ShardId, CampaignId), CampaignRow>,
    pub parts: Rows<(ShardId, CampaignId, u32), PartRow>,
    pub marks: Rows<(CampaignId, u32), MarksRow>,
    pub runs: Rows<MessageId, RunRow>,
    pub suppressed: Rows<(TenantId, Address, ShardId), SuppressedRow>,
    pub outbox: BTreeMap<(ShardId, OutboxKey), OutboxLine>,
    pub positions: BTreeMap<ShardId, (Position, u64)>,
    pub ledger: HashMap<ChunkKey, Arc<Chunk>>,
}

fn put<K: Ord, V>(rows: &mut Rows<K, V>, key: K, row: &Arc<V>, upto: impl Fn(&V) -> Position) {
    if rows.get(&key).is_none_or(|stored| upto(row) > upto(stored)) {
        rows.insert(key, Arc::clone(row));
    }
}

impl Views {
    /// Writes a flush. `keep` says which single writes survive; a conversation only when every message of the
    /// flush did, because messages are written before conversations.
    pub fn apply(&mut self, shard: ShardId, changes: &Changes, mut keep: impl FnMut() -> bool) {
        let mut whole = true;
        for row in &changes.messages {
            if keep() {
                put(&mut self.messages, row.id, row, |r| r.upto);
            } else {
                whole = false;
            }
        }
        for row in changes.conversations.iter().filter(|_| whole && keep()) {
            put(&mut self.conversations, row.id, row, |r| r.upto);
        }
        for row in changes.addresses.iter().filter(|_| keep()) {
            put(&mut self.addresses, (row.session, row.address.clone()), row, |r| r.upto);
        }
        for line in changes.outbox.iter().filter(|_| keep()) {
            match line {
                OutboxLine::Open { key, .. } => _ = self.outbox.insert((shard, *key), *line),
                OutboxLine::Gone(key) => _ = self.outbox.remove(&(shard, *key)),
            }
        }
        for row in changes.seen.iter().filter(|_| keep()) {
            put(&mut self.seen, (row.session, row.hash), row, |r| r.upto);
        }
        for row in changes.idempotency.iter().filter(|_| keep()) {
            put(&mut self.idempotency, (row.session, row.key), row, |r| r.upto);
        }
        for row in changes.campaigns.iter().filter(|_| keep()) {
            put(&mut self.campaigns, (shard, row.id), row, |r| r.upto);
        }
        for row in changes.parts.iter().filter(|_| keep()) {
            put(&mut self.parts, (shard, row.start.campaign, row.start.part), row, |r| r.upto);
        }
        for row in changes.marks.iter().filter(|_| keep()) {
            put(&mut self.marks, (row.campaign, row.chunk), row, |r| r.upto);
        }
        for row in changes.runs.iter().filter(|_| keep()) {
            put(&mut self.runs, row.base, row, |r| r.upto);
        }
        for row in changes.suppressed.iter().filter(|_| keep()) {
            put(&mut self.suppressed, (row.tenant, row.address.clone(), row.shard), row, |r| r.upto);
        }
    }

    fn part(&self, campaign: CampaignId, part: u32) -> Option<&Arc<PartRow>> {
        self.parts.iter().find(|((_, c, p), _)| (*c, *p) == (campaign, part)).map(|(_, row)| row)
    }

    /// What lies under a key.
    pub fn load(&self, key: &Key) -> Row {
        let row = match key {
            Key::Message(id) => self.messages.get(id).cloned().map(Row::Message),
            Key::Conversation(id) => self.conversations.get(id).cloned().map(Row::Conversation),
            Key::Address(s, a) => self.addresses.get(&(*s, a.clone())).cloned().map(Row::Address),
            Key::Seen(s, h) => self.seen.get(&(*s, *h)).cloned().map(Row::Seen),
            Key::Idempotency(s, k) => self.idempotency.get(&(*s, *k)).cloned().map(Row::Idempotency),
            Key::Campaign(id) => {
                let mut rows = self.campaigns.iter();
                rows.find(|((_, c), _)| c == id).map(|(_, row)| Row::Campaign(Arc::clone(row)))
            }
            Key::Part(campaign, part) => self.part(*campaign, *part).map(|row| {
                let marks = row.chunk_numbers().filter_map(|n| self.marks.get(&(*campaign, n)).cloned());
                Row::Part(Arc::clone(row), marks.collect())
            }),
            Key::Marks(campaign, chunk) => self.marks.get(&(*campaign, *chunk)).cloned().map(Row::Marks),
            Key::SessionParts(session) => {
                let rows = self.parts.values().filter(|p| p.start.session == *session);
                Some(Row::SessionParts(rows.cloned().collect()))
            }
            Key::Run(id) => {
                let at_or_before = self.runs.range(..=*id).next_back().map(|(_, run)| run);
                let inside = at_or_before.filter(|r| *id <= r.base.plus(r.count - 1));
                inside.cloned().map(Row::Run)
            }
            Key::Consent(tenant, address) => {
                let rows = self.suppressed.values();
                let of = rows.filter(|r| r.tenant == *tenant && r.address == *address);
                Some(Row::Consent(of.map(|r| (**r).clone()).collect()))
            }
            Key::Chunk(key) => self.ledger.get(key).cloned().map(Row::Chunk),
        };
        row.unwrap_or(Row::Absent)
    }
}
