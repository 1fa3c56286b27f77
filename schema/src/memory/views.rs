//! Views in memory: the model the others are compared with, row by row with `upto`, so that a flush that is torn
//! after any single write and then repeated comes out whole. Nothing survives the process.

use crate::Answer;
use crate::error::StoreError;
use crate::views::{
    IDEMPOTENCY_KEPT_MS, SEEN_KEPT_MS, SESSION_PARTS_MAX, ShardFlush, ShardMark, Views, lies_in,
};
use futures::future::ready;
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::mark::MarksRow;
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{
    AddressRow, DiscoveredRow, IdempotencyRow, Key, OutboxKey, OutboxLine, Row, RunRow, SeenRow,
};
use kabar_engine::part::PartRow;
use kabar_engine::time::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

#[derive(Debug, Default)]
struct State {
    marks: BTreeMap<ShardId, ShardMark>,
    messages: HashMap<MessageId, Arc<MessageRow>>,
    conversations: BTreeMap<ConversationId, Arc<ConversationRow>>,
    addresses: HashMap<(SessionId, Address), Arc<AddressRow>>,
    outbox: BTreeMap<(ShardId, OutboxKey), OutboxLine>,
    seen: HashMap<(SessionId, u64), Arc<SeenRow>>,
    idempotency: HashMap<(SessionId, u128), Arc<IdempotencyRow>>,
    campaigns: BTreeMap<CampaignId, (ShardId, Arc<CampaignRow>)>,
    parts: BTreeMap<(CampaignId, u32), (ShardId, Arc<PartRow>)>,
    recipients: BTreeMap<(CampaignId, u32), Arc<MarksRow>>,
    runs: BTreeMap<(ShardId, MessageId), Arc<RunRow>>,
    suppressed: BTreeMap<(TenantId, Address, ShardId), Arc<SuppressedRow>>,
    discovered: BTreeMap<(TenantId, Address), Arc<DiscoveredRow>>,
}

/// The memory backend's views.
#[derive(Debug, Default)]
pub struct MemoryViews(Mutex<State>);

/// One single write of an apply.
enum Write<'a> {
    Row(Box<dyn FnOnce(&mut State) + 'a>),
    Mark(ShardMark),
}

/// The slot of a key, whichever map it is in.
trait Slots<K, V> {
    fn get_row(&self, key: &K) -> Option<&V>;
    fn put_row(&mut self, key: K, row: V);
}

impl<K: Eq + Hash, V> Slots<K, V> for HashMap<K, V> {
    fn get_row(&self, key: &K) -> Option<&V> {
        self.get(key)
    }
    fn put_row(&mut self, key: K, row: V) {
        self.insert(key, row);
    }
}

impl<K: Ord, V> Slots<K, V> for BTreeMap<K, V> {
    fn get_row(&self, key: &K) -> Option<&V> {
        self.get(key)
    }
    fn put_row(&mut self, key: K, row: V) {
        self.insert(key, row);
    }
}

/// The writes of one kind of row: each only where it is newer than what is stored.
fn newer<'a, K: 'a, V, M: Slots<K, Arc<V>> + 'a>(
    rows: &'a [Arc<V>],
    map: impl Fn(&mut State) -> &mut M + Copy + 'a,
    key: impl Fn(&V) -> K + Copy + 'a,
    upto: impl Fn(&V) -> Position + Copy + 'a,
) -> impl Iterator<Item = Write<'a>> {
    rows.iter().map(move |row| {
        Write::Row(Box::new(move |state: &mut State| {
            let map = map(state);
            let key = key(row);
            if map.get_row(&key).is_none_or(|stored| upto(row) > upto(stored)) {
                map.put_row(key, Arc::clone(row));
            }
        }))
    })
}

fn outbox_write(shard: ShardId, line: OutboxLine) -> Write<'static> {
    Write::Row(Box::new(move |state| {
        match line {
            OutboxLine::Open { key, .. } => state.outbox.insert((shard, key), line),
            OutboxLine::Gone(key) => state.outbox.remove(&(shard, key)),
        };
    }))
}

/// Every single write of a flush in order, the shard's mark last.
fn writes(flush: &ShardFlush) -> Vec<Write<'_>> {
    let (shard, c) = (flush.mark.shard, &flush.changes);
    let mut list: Vec<Write<'_>> = Vec::with_capacity(c.len() + 1);
    list.extend(newer(&c.messages, |s| &mut s.messages, |r| r.id, |r| r.upto));
    list.extend(newer(&c.conversations, |s| &mut s.conversations, |r| r.id, |r| r.upto));
    list.extend(newer(&c.addresses, |s| &mut s.addresses, |r| (r.session, r.address.clone()), |r| r.upto));
    list.extend(c.outbox.iter().map(|line| outbox_write(shard, *line)));
    list.extend(newer(&c.seen, |s| &mut s.seen, |r| (r.session, r.hash), |r| r.upto));
    list.extend(newer(&c.idempotency, |s| &mut s.idempotency, |r| (r.session, r.key), |r| r.upto));
    list.extend(c.campaigns.iter().map(|row| {
        Write::Row(Box::new(move |state: &mut State| {
            if state.campaigns.get(&row.id).is_none_or(|(_, stored)| row.upto > stored.upto) {
                state.campaigns.insert(row.id, (shard, Arc::clone(row)));
            }
        }))
    }));
    list.extend(c.parts.iter().map(|row| {
        Write::Row(Box::new(move |state: &mut State| {
            let key = (row.start.campaign, row.start.part);
            if state.parts.get(&key).is_none_or(|(_, stored)| row.upto > stored.upto) {
                state.parts.insert(key, (shard, Arc::clone(row)));
            }
        }))
    }));
    list.extend(newer(&c.marks, |s| &mut s.recipients, |r| (r.campaign, r.chunk), |r| r.upto));
    list.extend(newer(&c.runs, |s| &mut s.runs, |r| (r.base.shard(), r.base), |r| r.upto));
    let person = |r: &SuppressedRow| (r.tenant, r.address.clone(), r.shard);
    list.extend(newer(&c.suppressed, |s| &mut s.suppressed, person, |r| r.upto));
    list.extend(c.discovered.iter().map(|row| {
        Write::Row(Box::new(move |state: &mut State| {
            let key = (row.tenant, row.address.clone());
            // Positions of different shards cannot be compared: the earliest meeting stands.
            let first = |r: &DiscoveredRow| (r.at, r.session);
            if state.discovered.get(&key).is_none_or(|stored| first(row) < first(stored)) {
                state.discovered.insert(key, Arc::clone(row));
            }
        }))
    }));
    list.push(Write::Mark(flush.mark));
    list
}

impl State {
    fn mark(&mut self, mark: ShardMark) {
        let stored = self.marks.entry(mark.shard).or_insert(mark);
        stored.position = stored.position.max(mark.position);
        stored.last_id = stored.last_id.max(mark.last_id);
    }

    fn load(&self, key: &Key) -> Row {
        let row = match key {
            Key::Message(id) => self.messages.get(id).cloned().map(Row::Message),
            Key::Conversation(id) => self.conversations.get(id).cloned().map(Row::Conversation),
            Key::Address(session, address) => {
                self.addresses.get(&(*session, address.clone())).cloned().map(Row::Address)
            }
            Key::Seen(session, hash) => self.seen.get(&(*session, *hash)).cloned().map(Row::Seen),
            Key::Idempotency(session, key) => {
                self.idempotency.get(&(*session, *key)).cloned().map(Row::Idempotency)
            }
            Key::Campaign(id) => self.campaigns.get(id).map(|(_, row)| Row::Campaign(Arc::clone(row))),
            Key::Part(campaign, part) => self.parts.get(&(*campaign, *part)).map(|(_, row)| {
                let chunks = row.chunk_numbers();
                let marks = chunks.filter_map(|chunk| self.recipients.get(&(*campaign, chunk)).cloned());
                Row::Part(Arc::clone(row), marks.collect())
            }),
            Key::Marks(campaign, chunk) => self.recipients.get(&(*campaign, *chunk)).cloned().map(Row::Marks),
            Key::SessionParts(session) => Some(Row::SessionParts(self.session_parts(*session))),
            Key::Run(id) => self
                .runs
                .range((id.shard(), MessageId(0))..=(id.shard(), *id))
                .next_back()
                .filter(|(_, run)| lies_in(run, *id))
                .map(|(_, run)| Row::Run(Arc::clone(run))),
            Key::Consent(tenant, address) => {
                let all = (*tenant, address.clone(), ShardId(0))..=(*tenant, address.clone(), ShardId(255));
                Some(Row::Consent(self.suppressed.range(all).map(|(_, row)| (**row).clone()).collect()))
            }
            Key::Chunk(_) => None,
        };
        row.unwrap_or(Row::Absent)
    }

    fn session_parts(&self, session: SessionId) -> Vec<Arc<PartRow>> {
        let mut parts: Vec<_> = self
            .parts
            .values()
            .filter(|(_, row)| row.start.session == session)
            .map(|(_, row)| Arc::clone(row))
            .collect();
        parts.sort_by_key(|row| std::cmp::Reverse((row.start.launched, row.start.campaign, row.start.part)));
        parts.truncate(SESSION_PARTS_MAX);
        parts
    }

    fn consents(&self, tenant: TenantId, after: Option<&Address>, limit: usize) -> Vec<SuppressedRow> {
        let mut rows: Vec<SuppressedRow> = Vec::new();
        for row in self.suppressed.values().filter(|r| r.tenant == tenant) {
            let same_address = rows.last().is_some_and(|last| last.address == row.address);
            if rows.len() >= limit && !same_address {
                break;
            }
            if after.is_none_or(|after| row.address > *after) {
                rows.push((**row).clone());
            }
        }
        rows
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Vec<Arc<MessageRow>> {
        let message = |id| self.messages.get(&id).filter(|row| row.conversation == conversation);
        let mut next = match before {
            Some(before) => message(before).and_then(|row| row.prev),
            None => self.conversations.get(&conversation).and_then(|row| row.last),
        };
        let mut list = Vec::new();
        while let Some(row) = next.filter(|_| list.len() < limit).and_then(message) {
            next = row.prev;
            list.push(Arc::clone(row));
        }
        list
    }
}

impl MemoryViews {
    /// Every row as a line of text, without where the shards stand: what two views are compared by.
    #[must_use]
    pub fn lines(&self) -> BTreeSet<String> {
        fn all<'a, T: std::fmt::Debug + 'a>(rows: impl Iterator<Item = T>, lines: &mut BTreeSet<String>) {
            lines.extend(rows.map(|row| format!("{row:?}")));
        }
        let (state, mut lines) = (self.0.lock(), BTreeSet::new());
        all(state.messages.values(), &mut lines);
        all(state.conversations.values(), &mut lines);
        all(state.addresses.values(), &mut lines);
        all(state.outbox.iter(), &mut lines);
        all(state.seen.values(), &mut lines);
        all(state.idempotency.values(), &mut lines);
        all(state.campaigns.values(), &mut lines);
        all(state.parts.values(), &mut lines);
        all(state.recipients.values(), &mut lines);
        all(state.runs.values(), &mut lines);
        all(state.suppressed.values(), &mut lines);
        all(state.discovered.values(), &mut lines);
        lines
    }

    /// Applies the flushes, but stops after `writes` single writes (a row or a shard's mark).
    ///
    /// # Errors
    /// `Unknown` when it stopped early: what was written stays.
    pub fn apply_at_most(&self, flushes: &[ShardFlush], writes: usize) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        let stored = |state: &State, shard| state.marks.get(&shard).map_or(Position(0), |m| m.position);
        let current: Vec<_> =
            flushes.iter().filter(|f| f.mark.position >= stored(&state, f.mark.shard)).collect();
        let mut left = writes;
        for write in current.into_iter().flat_map(self::writes) {
            left = left.checked_sub(1).ok_or(StoreError::Unknown)?;
            match write {
                Write::Row(write) => write(&mut state),
                Write::Mark(mark) => state.mark(mark),
            }
        }
        Ok(())
    }
}

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    Box::pin(ready(Ok(value)))
}

impl Views for MemoryViews {
    fn marks(&self) -> Answer<'_, Vec<ShardMark>> {
        answer(self.0.lock().marks.values().copied().collect())
    }

    fn load(&self, _shard: ShardId, keys: Vec<Key>) -> Answer<'_, Vec<(Key, Row)>> {
        let state = self.0.lock();
        answer(
            keys.into_iter()
                .map(|key| {
                    let row = state.load(&key);
                    (key, row)
                })
                .collect(),
        )
    }

    fn apply(&self, flushes: Vec<ShardFlush>) -> Answer<'_, ()> {
        Box::pin(ready(self.apply_at_most(&flushes, usize::MAX)))
    }

    fn outbox(&self, shard: ShardId, after: Option<OutboxKey>, limit: usize) -> Answer<'_, Vec<OutboxLine>> {
        let state = self.0.lock();
        let lines =
            state.outbox.iter().filter(|((of, key), _)| *of == shard && after.is_none_or(|a| *key > a));
        answer(lines.map(|(_, line)| *line).take(limit).collect())
    }

    fn live_campaigns(&self, shard: ShardId) -> Answer<'_, Vec<Arc<CampaignRow>>> {
        let state = self.0.lock();
        let live = state.campaigns.values().filter(|(of, row)| *of == shard && row.is_live());
        answer(live.map(|(_, row)| Arc::clone(row)).collect())
    }

    fn open_parts(&self, shard: ShardId) -> Answer<'_, Vec<Arc<PartRow>>> {
        let state = self.0.lock();
        let open = state.parts.values().filter(|(of, row)| *of == shard && !row.finished);
        answer(open.map(|(_, row)| Arc::clone(row)).collect())
    }

    fn consents(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<SuppressedRow>> {
        answer(self.0.lock().consents(tenant, after.as_ref(), limit))
    }

    fn consents_since(&self, tenant: TenantId, since: Timestamp) -> Answer<'_, Vec<SuppressedRow>> {
        let state = self.0.lock();
        let rows = state.suppressed.values();
        let heard = rows.filter(|r| r.tenant == tenant && r.at.minute() >= since.minute());
        answer(heard.map(|row| (**row).clone()).collect())
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<MessageRow>>> {
        answer(self.0.lock().history(conversation, before, limit))
    }

    fn conversations(
        &self,
        tenant: TenantId,
        session: Option<SessionId>,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<ConversationRow>>> {
        let state = self.0.lock();
        let rows = state.conversations.values().filter(|r| r.tenant == tenant);
        let rows = rows.filter(|r| session.is_none_or(|s| r.session == s) && after.is_none_or(|a| r.id > a));
        answer(rows.take(limit).cloned().collect())
    }

    fn discovered(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<DiscoveredRow>> {
        let state = self.0.lock();
        let rows = state.discovered.values().filter(|r| r.tenant == tenant);
        let rows = rows.filter(|r| after.as_ref().is_none_or(|a| r.address > *a));
        answer(rows.take(limit).map(|row| (**row).clone()).collect())
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        let mut state = self.0.lock();
        state.seen.retain(|_, row| now.since_ms(row.at) <= SEEN_KEPT_MS);
        state.idempotency.retain(|_, row| now.since_ms(row.at) <= IDEMPOTENCY_KEPT_MS);
        answer(())
    }
}
