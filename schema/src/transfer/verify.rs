//! Everything read back from the target through its seams and compared with the source, kind by kind: what is found by
//! key, and what is found by listing. Not the copying: nothing that it knew is believed here.

use super::copy::{PAGE, ROWS, part_key, tables};
use super::stream::is_placeholder;
use super::{Line, Mover, On, Phase, Side, Sum, TransferError, all};
use crate::Answer;
use crate::error::StoreError;
use crate::journal::{Cursor, ShardSet};
use crate::records::{Moved, Noun, Record};
use crate::sqlite::{Names, ViewTable};
use crate::store::Store;
use kabar_engine::id::{ConversationId, ImportId, SessionId, ShardId, TenantId};
use kabar_engine::overlay::{Key, OutboxLine};
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;

/// Reads at once.
const AT_ONCE: usize = 32;

const PHASE: Phase = Phase::Verify;

/// What the two sides came to, kind by kind.
#[derive(Default)]
struct Sums {
    kinds: Vec<&'static str>,
    sums: BTreeMap<&'static str, (Sum, Sum)>,
    rows: u64,
}

impl Sums {
    fn of(&mut self, kind: &'static str, side: Side) -> &mut Sum {
        if !self.sums.contains_key(kind) {
            self.kinds.push(kind);
        }
        self.rows += 1;
        let (source, target) = self.sums.entry(kind).or_default();
        if side == Side::Source { source } else { target }
    }

    fn tell(&self, m: &Mover<'_>) -> Result<(), TransferError> {
        m.tell(PHASE, self.rows, 0)
    }
}

/// Both stores, to be read alike.
fn sides<'m>(m: &Mover<'m>) -> [(Side, &'m Store); 2] {
    [(Side::Source, m.source), (Side::Target, m.target)]
}

/// Compares everything.
pub(super) async fn verify(m: &Mover<'_>) -> Result<Vec<Line>, TransferError> {
    m.tell(PHASE, 0, 0)?;
    let mut sums = Sums::default();
    records(m, &mut sums).await?;
    contacts(m, &mut sums).await?;
    ledger(m, &mut sums).await?;
    sums.sums.insert("blobs", super::blobs::sums(m).await?);
    sums.kinds.push("blobs");
    for (side, store) in sides(m) {
        journal(store, side, &mut sums).await.on(side, PHASE)?;
        sums.tell(m)?;
    }
    for table in tables(m, PHASE).await? {
        keyed(m, table, &mut sums).await?;
    }
    listed(m, &mut sums).await?;
    let line = |kind: &&'static str| {
        let (source_sum, target_sum) = sums.sums[*kind];
        if source_sum == target_sum {
            return Ok(Line { kind: (*kind).to_owned(), sum: source_sum });
        }
        Err(TransferError::Differs { kind: (*kind).to_owned(), source_sum, target_sum })
    };
    sums.kinds.iter().map(line).collect()
}

async fn records(m: &Mover<'_>, sums: &mut Sums) -> Result<(), TransferError> {
    let mut names = Names::default();
    for data_keys in [true, false] {
        let mut after = 0;
        loop {
            let page = m.export.records(names, (data_keys, after), PAGE).await;
            let (known, page) = page.on(Side::Source, PHASE)?;
            names = known;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            let ours: Vec<Record> =
                page.into_iter().map(|(_, r)| r).filter(|r| r.kind != Moved::KIND).collect();
            let reads = ours.iter().map(|r| m.target.records.get(r.kind, r.tenant, r.id)).collect();
            let there = all(AT_ONCE, reads).await.on(Side::Target, PHASE)?;
            there.iter().flatten().for_each(|r| sums.of("records", Side::Target).record(r));
            for record in &ours {
                sums.of("records", Side::Source).record(record);
                indexes(m, record, sums).await.on(Side::Target, PHASE)?;
            }
            sums.tell(m)?;
        }
    }
    Ok(())
}

/// What a record can be found by: in its tenant's pages, and across tenants.
async fn indexes(m: &Mover<'_>, r: &Record, sums: &mut Sums) -> Result<(), StoreError> {
    // The place right before the record in the order of a page.
    let before = match r.id.checked_sub(1) {
        Some(id) => (r.created, id),
        None => (r.created.plus_ms(-1), u64::MAX >> 1),
    };
    let mut lists = vec![None];
    lists.extend(r.indexes.iter().map(|(name, value)| Some((*name, value.as_str()))));
    for index in lists {
        let place = (r.kind, r.tenant, r.id, index);
        sums.of("record indexes", Side::Source).shown(&place, []);
        let page = m.target.records.page(r.kind, r.tenant, index, Some(before), 1).await?;
        let mut found = page.first().is_some_and(|first| first.id == r.id);
        if let Some((name, value)) = index {
            found &= m.target.records.find(r.kind, name, value).await?.is_some();
        }
        if found {
            sums.of("record indexes", Side::Target).shown(&place, []);
        }
    }
    Ok(())
}

async fn contacts(m: &Mover<'_>, sums: &mut Sums) -> Result<(), TransferError> {
    let tenants = m.export.tenants().await.on(Side::Source, PHASE)?;
    let mut lists: Vec<(TenantId, Option<ImportId>)> = tenants.into_iter().map(|t| (t, None)).collect();
    let imports = m.export.lists().await.on(Side::Source, PHASE)?;
    lists.extend(imports.into_iter().map(|(tenant, list)| (tenant, Some(list))));
    for (side, store) in sides(m) {
        for (tenant, list) in &lists {
            let mut after = None;
            loop {
                let page = store.contacts.page(*tenant, *list, after, PAGE).await.on(side, PHASE)?;
                let Some(last) = page.last() else { break };
                after = Some(last.address.clone());
                for contact in &page {
                    match list {
                        None => sums.of("contacts", side).contact(contact),
                        Some(list) => {
                            sums.of("contact lists", side).shown(&(tenant, list), [&contact.address]);
                        }
                    }
                }
                sums.tell(m)?;
            }
        }
    }
    Ok(())
}

async fn ledger(m: &Mover<'_>, sums: &mut Sums) -> Result<(), TransferError> {
    let mut after = [0; 4];
    loop {
        let page = m.export.parts(after, PAGE).await.on(Side::Source, PHASE)?;
        let Some(last) = page.last() else { break };
        after = *last;
        for (side, store) in sides(m) {
            for key in &page {
                let (tenant, campaign, attempt, part) = part_key(*key);
                let manifest =
                    store.ledger.get_part(tenant, campaign, attempt, part).await.on(side, PHASE)?;
                if let Some(manifest) = manifest {
                    sums.of("ledger parts", side).manifest(*key, &manifest);
                }
            }
        }
        sums.tell(m)?;
    }
    let mut after = 0;
    loop {
        let page = m.export.chunks(after, PAGE).await.on(Side::Source, PHASE)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        for (side, store) in sides(m) {
            for keys in page.chunks(AT_ONCE) {
                let reads = keys.iter().map(|(_, key)| store.ledger.get_chunk(*key)).collect();
                let chunks = all(AT_ONCE, reads).await.on(side, PHASE)?;
                for ((_, key), chunk) in keys.iter().zip(chunks) {
                    if let Some(chunk) = chunk {
                        sums.of("ledger chunks", side).chunk(key, &chunk);
                    }
                }
            }
        }
        sums.tell(m)?;
    }
}

async fn journal(store: &Store, side: Side, sums: &mut Sums) -> Result<(), StoreError> {
    let mut cursor = Cursor::default();
    loop {
        let page = store.journal.read(&ShardSet::all(), &cursor, ROWS).await?;
        for (shard, position, entry) in &page.entries {
            if !is_placeholder(entry) {
                sums.of("journal", side).entry(*shard, *position, entry);
            }
        }
        if page.end {
            return Ok(());
        }
        cursor = page.cursor;
    }
}

fn name(table: ViewTable) -> &'static str {
    match table {
        ViewTable::Messages => "messages",
        ViewTable::Conversations => "conversations",
        ViewTable::Addresses => "addresses",
        ViewTable::Seen(_) => "seen ids",
        ViewTable::Idempotency(_) => "idempotency keys",
        ViewTable::Campaigns => "campaigns",
        ViewTable::Parts => "parts",
        ViewTable::Marks => "marks",
        ViewTable::Runs => "runs",
        ViewTable::Consents => "consents",
    }
}

async fn keyed(m: &Mover<'_>, table: ViewTable, sums: &mut Sums) -> Result<(), TransferError> {
    let mut after = Some(Vec::new());
    while let Some(from) = after {
        let page = m.export.keys(table, from, ROWS).await.on(Side::Source, PHASE)?;
        after = page.after;
        let keys: Vec<Key> = page.keys.into_iter().map(|(_, key)| key).collect();
        for (side, store) in sides(m) {
            let rows = store.views.load(ShardId(0), keys.clone()).await.on(side, PHASE)?;
            rows.iter().for_each(|(_, row)| sums.of(name(table), side).row(row));
            if table == ViewTable::Conversations {
                let reads: Vec<Answer<'_, String>> = keys
                    .iter()
                    .filter_map(|key| match key {
                        Key::Conversation(id) => Some(Box::pin(history(store, *id)) as Answer<'_, String>),
                        _ => None,
                    })
                    .collect();
                let lines = all(AT_ONCE, reads).await.on(side, PHASE)?;
                lines.iter().for_each(|line| sums.of("histories", side).add(line.as_bytes()));
            }
        }
        sums.tell(m)?;
    }
    Ok(())
}

/// The order of a conversation's messages.
async fn history(store: &Store, id: ConversationId) -> Result<String, StoreError> {
    let (mut line, mut before) = (format!("{id:?}"), None);
    loop {
        let page = store.views.history(id, before, PAGE).await?;
        let Some(last) = page.last() else { return Ok(line) };
        before = Some(last.id);
        for row in &page {
            line.push_str(&format!(" {}", row.id.0));
        }
    }
}

/// What is found by listing; this sees also what is too much.
async fn listed(m: &Mover<'_>, sums: &mut Sums) -> Result<(), TransferError> {
    let tenants = m.export.tenants().await.on(Side::Source, PHASE)?;
    let (talking, sending) = m.export.sessions().await.on(Side::Source, PHASE)?;
    for (side, store) in sides(m) {
        for tenant in &tenants {
            of_tenant(store, side, *tenant, sums).await.on(side, PHASE)?;
            conversations(store, side, (*tenant, None), sums).await.on(side, PHASE)?;
        }
        for (tenant, session) in &talking {
            conversations(store, side, (*tenant, Some(*session)), sums).await.on(side, PHASE)?;
        }
        let keys = sending.iter().map(|session| Key::SessionParts(*session)).collect();
        let rows = store.views.load(ShardId(0), keys).await.on(side, PHASE)?;
        rows.iter().for_each(|(_, row)| sums.of("parts of sessions", side).row(row));
        for shard in ShardId::all() {
            of_shard(store, side, shard, sums).await.on(side, PHASE)?;
        }
        for mark in store.views.marks().await.on(side, PHASE)? {
            sums.of("shard marks", side).shown(&mark, []);
        }
        sums.tell(m)?;
    }
    Ok(())
}

async fn of_tenant(store: &Store, side: Side, tenant: TenantId, sums: &mut Sums) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.views.discovered(tenant, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.address.clone());
        page.iter().for_each(|row| sums.of("unknown senders", side).shown(row, [&row.address]));
    }
    let mut after = None;
    loop {
        let page = store.views.consents(tenant, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.address.clone());
        page.iter().for_each(|row| sums.of("consents listed", side).shown(row, [&row.address]));
    }
    let heard = store.views.consents_since(tenant, Timestamp(0)).await?;
    heard.iter().for_each(|row| sums.of("consents by time", side).shown(row, [&row.address]));
    Ok(())
}

async fn conversations(
    store: &Store,
    side: Side,
    (tenant, session): (TenantId, Option<SessionId>),
    sums: &mut Sums,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.views.conversations(tenant, session, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        page.iter()
            .for_each(|row| sums.of("conversations listed", side).shown(&(session, row.id, row.upto), []));
    }
}

async fn of_shard(store: &Store, side: Side, shard: ShardId, sums: &mut Sums) -> Result<(), StoreError> {
    for row in store.views.live_campaigns(shard).await? {
        sums.of("live campaigns", side).shown(&(shard, row.id, row.upto), []);
    }
    for row in store.views.open_parts(shard).await? {
        sums.of("open parts", side).shown(&(shard, row.start.campaign, row.start.part, row.upto), []);
    }
    let mut after = None;
    loop {
        let page = store.views.outbox(shard, after, PAGE).await?;
        let Some(OutboxLine::Open { key, .. }) = page.last().copied() else { return Ok(()) };
        after = Some(key);
        page.iter().for_each(|line| sums.of("outbox", side).shown(&(shard, line), []));
    }
}
