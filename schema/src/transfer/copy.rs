//! What is copied and in which order, page by page. Everything is written so that the same again changes nothing. Not
//! the journal.

use super::{Mover, On, Phase, Side, TransferError, all};
use crate::records::{Moved, Noun};
use crate::sqlite::{Names, ViewTable};
use crate::views::{ShardFlush, ShardMark};
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ShardId, TenantId};
use kabar_engine::overlay::{Changes, Key, OutboxLine, Row};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one apply.
pub(super) const ROWS: usize = 5_000;
/// Records, contacts or chunks read at once.
pub(super) const PAGE: usize = 500;
/// Rows of these written at once.
const AT_ONCE: usize = 32;

/// The tables of views whose rows are found by key; generations oldest first.
pub(super) async fn tables(m: &Mover<'_>, phase: Phase) -> Result<Vec<ViewTable>, TransferError> {
    let generations = m.export.generations().await.on(Side::Source, phase)?;
    let fixed = [
        ViewTable::Messages,
        ViewTable::Conversations,
        ViewTable::Addresses,
        ViewTable::Campaigns,
        ViewTable::Parts,
        ViewTable::Marks,
        ViewTable::Runs,
        ViewTable::Consents,
    ];
    Ok(fixed.into_iter().chain(generations).collect())
}

/// Old messages of the source learn their numbers: other stores find a conversation's messages by them.
pub(super) async fn numbers(m: &Mover<'_>) -> Result<(), TransferError> {
    let (mut after, mut done) = (Some(-1), 0);
    while let Some(from) = after {
        let (numbered, next) = m.export.number(from).await.on(Side::Source, Phase::Numbers)?;
        done += numbered;
        after = next;
        m.tell(Phase::Numbers, done, 0)?;
    }
    Ok(())
}

/// Records with their versions; the keys of tenants first, so that what follows can be sealed.
pub(super) async fn records(m: &Mover<'_>) -> Result<(), TransferError> {
    let phase = Phase::Records;
    let (total, _, _) = m.export.counts().await.on(Side::Source, phase)?;
    let (mut names, mut done) = (Names::default(), 0);
    for data_keys in [true, false] {
        let mut after = 0;
        loop {
            let page = m.export.records(names, (data_keys, after), PAGE).await;
            let (known, page) = page.on(Side::Source, phase)?;
            names = known;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            done += page.len() as u64;
            let ours = page.into_iter().filter(|(_, record)| record.kind != Moved::KIND);
            let writes = ours.map(|(_, record)| m.target.records.restore(record)).collect();
            all(AT_ONCE, writes).await.on(Side::Target, phase)?;
            m.tell(phase, done, total)?;
        }
        if data_keys {
            m.target.keyring.load().await?;
        }
    }
    Ok(())
}

/// Contacts with their lists. Those of an erased tenant cannot be read any more and stay behind.
pub(super) async fn contacts(m: &Mover<'_>) -> Result<(), TransferError> {
    let phase = Phase::Contacts;
    let (_, total, _) = m.export.counts().await.on(Side::Source, phase)?;
    let (mut after, mut done) = (0, 0);
    loop {
        let page = m.export.contacts(after, PAGE as i64).await.on(Side::Source, phase)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        done += page.len() as u64;
        let readable = page.into_iter().filter_map(|(_, contact)| contact);
        let writes = readable.map(|(contact, lists)| m.target.contacts.restore(contact, lists)).collect();
        all(AT_ONCE, writes).await.on(Side::Target, phase)?;
        m.tell(phase, done, total)?;
    }
}

/// Frozen audiences, sealed anew.
pub(super) async fn ledger(m: &Mover<'_>) -> Result<(), TransferError> {
    let phase = Phase::Ledger;
    let (_, _, total) = m.export.counts().await.on(Side::Source, phase)?;
    let (mut after, mut done) = ([0; 4], 0);
    loop {
        let page = m.export.parts(after, PAGE).await.on(Side::Source, phase)?;
        let Some(last) = page.last() else { break };
        after = *last;
        for key in &page {
            let (tenant, campaign, attempt, part) = part_key(*key);
            let manifest = m.source.ledger.get_part(tenant, campaign, attempt, part).await;
            let Some(manifest) = manifest.on(Side::Source, phase)? else { continue };
            let put = m.target.ledger.put_part(tenant, campaign, attempt, part, manifest).await;
            put.on(Side::Target, phase)?;
        }
        done += page.len() as u64;
        m.tell(phase, done, total)?;
    }
    let mut after = 0;
    loop {
        let page = m.export.chunks(after, PAGE).await.on(Side::Source, phase)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        for keys in page.chunks(AT_ONCE) {
            let reads = keys.iter().map(|(_, key)| m.source.ledger.get_chunk(*key)).collect();
            let chunks = all(AT_ONCE, reads).await.on(Side::Source, phase)?;
            let pairs = keys.iter().zip(chunks).filter_map(|((_, key), chunk)| Some((*key, chunk?)));
            let writes = pairs.map(|(key, chunk)| m.target.ledger.put_chunk(key, chunk)).collect();
            all(AT_ONCE, writes).await.on(Side::Target, phase)?;
        }
        done += page.len() as u64;
        m.tell(phase, done, total)?;
    }
}

/// A part's key as the ledger takes it.
pub(super) fn part_key([tenant, campaign, attempt, part]: [u64; 4]) -> (TenantId, CampaignId, u32, u32) {
    let small = |n: u64| u32::try_from(n).expect("invariant: attempts and parts were written from 32 bits");
    (TenantId(tenant), CampaignId(campaign), small(attempt), small(part))
}

/// What flushes of the move have in common.
struct Flushes {
    /// The first minute with open lines, by shard.
    floors: BTreeMap<ShardId, u32>,
    /// Takes what belongs to no shard in particular.
    any: ShardId,
    pending: BTreeMap<ShardId, Changes>,
}

impl Flushes {
    async fn new(m: &Mover<'_>) -> Result<Self, TransferError> {
        let marks = m.source.views.marks().await.on(Side::Source, Phase::Views)?;
        let mut floors = BTreeMap::new();
        for mark in &marks {
            let first = m.source.views.outbox(mark.shard, None, 1).await.on(Side::Source, Phase::Views)?;
            if let Some(OutboxLine::Open { key, .. }) = first.first() {
                floors.insert(mark.shard, key.minute);
            }
        }
        let any = marks.first().map_or(ShardId(0), |mark| mark.shard);
        Ok(Self { floors, any, pending: BTreeMap::new() })
    }

    fn changes(&mut self, shard: Option<ShardId>) -> &mut Changes {
        self.pending.entry(shard.unwrap_or(self.any)).or_default()
    }

    fn put(&mut self, shard: Option<ShardId>, row: Row) {
        let changes = self.changes(shard);
        match row {
            Row::Message(row) => changes.messages.push(row),
            Row::Conversation(row) => changes.conversations.push(row),
            Row::Address(row) => changes.addresses.push(row),
            Row::Seen(row) => changes.seen.push(row),
            Row::Idempotency(row) => changes.idempotency.push(row),
            Row::Campaign(row) => changes.campaigns.push(row),
            Row::Part(row, _) => changes.parts.push(row),
            Row::Marks(row) => changes.marks.push(row),
            Row::Run(row) => changes.runs.push(row),
            // All shards' rows of a person come under each of them; each takes its own.
            Row::Consent(rows) => {
                let own = rows.into_iter().filter(|row| shard.is_none_or(|shard| row.shard == shard));
                changes.suppressed.extend(own.map(Arc::new));
            }
            Row::Absent | Row::Chunk(_) | Row::SessionParts(_) => {}
        }
    }

    /// The flush of a shard as it stands at `mark`.
    fn flush(&self, mark: ShardMark, changes: Changes) -> ShardFlush {
        let outbox_floor = self.floors.get(&mark.shard).copied();
        ShardFlush { mark, changes: Changes { outbox_floor, ..changes } }
    }

    /// Writes what waits. The shards stay at the begin: their marks come when all rows are there.
    async fn apply(&mut self, m: &Mover<'_>) -> Result<(), TransferError> {
        let pending = std::mem::take(&mut self.pending);
        let begin = |shard| ShardMark { shard, position: Position::default(), last_id: 0 };
        let flushes: Vec<_> = pending.into_iter().map(|(s, changes)| self.flush(begin(s), changes)).collect();
        m.target.views.apply(flushes).await.on(Side::Target, Phase::Views)
    }
}

/// All rows of all views.
pub(super) async fn views(m: &Mover<'_>) -> Result<(), TransferError> {
    let phase = Phase::Views;
    let mut flushes = Flushes::new(m).await?;
    let tables = tables(m, phase).await?;
    let (mut done, mut total) = (0, 0);
    for table in &tables {
        total += m.export.count(*table).await.on(Side::Source, phase)?;
    }
    for table in tables {
        let mut after = Some(Vec::new());
        while let Some(from) = after {
            let page = m.export.keys(table, from, ROWS).await.on(Side::Source, phase)?;
            after = page.after;
            done += page.keys.len() as u64;
            let (shards, keys): (Vec<Option<ShardId>>, Vec<Key>) = page.keys.into_iter().unzip();
            let rows = m.source.views.load(flushes.any, keys).await.on(Side::Source, phase)?;
            for (shard, (_, row)) in shards.into_iter().zip(rows) {
                flushes.put(shard, row);
            }
            flushes.apply(m).await?;
            m.tell(phase, done, total)?;
        }
    }
    discovered(m, &mut flushes).await?;
    outbox(m, &mut flushes).await
}

async fn discovered(m: &Mover<'_>, flushes: &mut Flushes) -> Result<(), TransferError> {
    for tenant in m.export.tenants().await.on(Side::Source, Phase::Views)? {
        let mut after = None;
        loop {
            let page = m.source.views.discovered(tenant, after, ROWS).await.on(Side::Source, Phase::Views)?;
            let Some(last) = page.last() else { break };
            after = Some(last.address.clone());
            for row in page {
                let shard = ShardId::of_session(row.tenant, row.session);
                flushes.changes(Some(shard)).discovered.push(Arc::new(row));
            }
            flushes.apply(m).await?;
        }
    }
    Ok(())
}

async fn outbox(m: &Mover<'_>, flushes: &mut Flushes) -> Result<(), TransferError> {
    let shards: Vec<ShardId> = flushes.floors.keys().copied().collect();
    for shard in shards {
        let mut after = None;
        loop {
            let page = m.source.views.outbox(shard, after, ROWS).await.on(Side::Source, Phase::Views)?;
            let Some(OutboxLine::Open { key, .. }) = page.last().copied() else { break };
            after = Some(key);
            flushes.changes(Some(shard)).outbox = page;
            flushes.apply(m).await?;
        }
    }
    Ok(())
}

/// How far the views are: told last, when everything they speak for is there.
pub(super) async fn marks(m: &Mover<'_>) -> Result<(), TransferError> {
    let flushes = Flushes::new(m).await?;
    let marks = m.source.views.marks().await.on(Side::Source, Phase::Marks)?;
    let (mut done, total) = (0, marks.len() as u64);
    for some in marks.chunks(32) {
        let last = some.iter().map(|mark| flushes.flush(*mark, Changes::default())).collect();
        m.target.views.apply(last).await.on(Side::Target, Phase::Marks)?;
        done += some.len() as u64;
        m.tell(Phase::Marks, done, total)?;
    }
    Ok(())
}
