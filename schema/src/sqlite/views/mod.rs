//! The views in `views.db`: one file per kind of row. A flush is one transaction with its shard's position, so
//! that what a crash leaves is whole.
//!
//! Not the meaning of a row, and not the journal's tail that is not flushed yet.

mod address;
mod campaign;
mod consent;
mod conversation;
mod discovered;
mod generation;
mod mark;
mod message;
mod outbox;
mod part;
mod run;
mod sieve;

use super::database::{Database, Fault};
use super::number::{Columns, int};
use crate::Answer;
use crate::seal::Keyring;
use crate::sealing::ensure;
use crate::views::{HURRY_ROWS, ShardFlush, ShardMark, Views, tenants};
use generation::{Grown, Shelf, Tables};
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{Changes, DiscoveredRow, Key, OutboxKey, OutboxLine, Row};
use kabar_engine::part::PartRow;
use kabar_engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use sieve::Sieves;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The embedded views.
#[derive(Debug)]
pub struct SqliteViews {
    database: Arc<Database>,
    keyring: Arc<Keyring>,
    shelf: Arc<Shelf>,
}

impl SqliteViews {
    /// Views in `database`; the keyring must have loaded the keys of all tenants.
    #[must_use]
    pub fn new(database: Arc<Database>, keyring: Arc<Keyring>) -> Self {
        Self { database, keyring, shelf: Arc::default() }
    }

    fn read<'a, R: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Transaction<'_>, &Keyring) -> Result<R, Fault> + Send + 'static,
    ) -> Answer<'a, R> {
        let keyring = Arc::clone(&self.keyring);
        Box::pin(self.database.read(move |tx| work(tx, &keyring)))
    }
}

/// So many rows are read on the caller's thread.
const FEW: usize = 8;

/// Whether a key leads to one small row, or a few.
fn is_one_row(key: &Key) -> bool {
    !matches!(key, Key::Part(..) | Key::SessionParts(_))
}

fn read_mark(row: &rusqlite::Row<'_>) -> Result<ShardMark, Fault> {
    Ok(ShardMark { shard: ShardId(row.get(0)?), position: Position(row.id(1)?), last_id: row.id(2)? })
}

fn mark(tx: &Transaction<'_>, shard: ShardId) -> Result<ShardMark, Fault> {
    let mut read = tx.prepare_cached("SELECT shard, position, last_id FROM shard_mark WHERE shard = ?1")?;
    let mut rows = read.query([shard.0])?;
    let none = ShardMark { shard, position: Position::default(), last_id: 0 };
    rows.next()?.map_or(Ok(none), read_mark)
}

fn marks(tx: &Transaction<'_>) -> Result<Vec<ShardMark>, Fault> {
    let mut read = tx.prepare_cached("SELECT shard, position, last_id FROM shard_mark ORDER BY shard")?;
    collect(&mut read, [], read_mark)
}

/// All rows of a statement.
pub(super) fn collect<T>(
    statement: &mut rusqlite::Statement<'_>,
    parameters: impl rusqlite::Params,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut rows = statement.query(parameters)?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(read(row)?);
    }
    Ok(list)
}

/// The one row of a statement, if there is one.
fn one<T>(
    statement: &mut rusqlite::Statement<'_>,
    parameters: impl rusqlite::Params,
    read: impl Fn(&rusqlite::Row<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    statement.query_row(parameters, |row| Ok(read(row))).optional()?.transpose()
}

/// SQLite's LIMIT.
fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// A flush that is not late, with the highest id its shard had given at the flush before.
struct Current<'a> {
    flush: &'a ShardFlush,
    known_to: u64,
}

/// The rows of one kind with their shards, in the order of their keys: neighbours share a page.
fn sorted<'a, T, K: Ord>(
    flushes: &[Current<'a>],
    rows: impl Fn(&'a Changes) -> &'a [Arc<T>],
    key: impl Fn(&T) -> K,
) -> Vec<(ShardId, &'a T)> {
    let mut list: Vec<_> = flushes
        .iter()
        .flat_map(|c| rows(&c.flush.changes).iter().map(|row| (c.flush.mark.shard, &**row)))
        .collect();
    list.sort_by_key(|(_, row)| key(row));
    list
}

/// Rows that are written in one go.
const ROWS: u32 = 128;
/// A flush that takes longer has given way for long enough: what waits for the next one grows meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lets others have the processor now and then: a flush is long, and whoever waits for an answer waits for a thread.
struct Breath {
    rows: u32,
    until: Instant,
}

impl Breath {
    fn new() -> Self {
        Self { rows: 0, until: Instant::now() + PATIENCE }
    }

    /// One row more.
    fn take(&mut self) {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS) && Instant::now() < self.until {
            std::thread::yield_now();
        }
    }
}

fn apply(
    tx: &Transaction<'_>,
    (keyring, sieves): (&Keyring, &Sieves),
    flushes: &[ShardFlush],
) -> Result<Grown, Fault> {
    let mut current = Vec::with_capacity(flushes.len());
    for flush in flushes {
        let stored = mark(tx, flush.mark.shard)?;
        if flush.mark.position >= stored.position {
            current.push(Current { flush, known_to: stored.last_id });
        }
    }
    let mut breath = Breath::new();
    message::write(tx, keyring, &current, &mut breath)?;
    conversation::write(tx, keyring, &sorted(&current, |c| &c.conversations, |r| r.id))?;
    address::write(tx, &sorted(&current, |c| &c.addresses, |r| (r.session, r.address.clone())))?;
    outbox::write(tx, &current, &mut breath)?;
    let mut grown =
        generation::write_seen(tx, sieves, &sorted(&current, |c| &c.seen, |r| (r.hash, r.session)))?;
    grown |= generation::write_idempotency(
        tx,
        sieves,
        &sorted(&current, |c| &c.idempotency, |r| (r.key, r.session)),
    )?;
    campaign::write(tx, &sorted(&current, |c| &c.campaigns, |r| r.id))?;
    part::write(tx, &sorted(&current, |c| &c.parts, |r| (r.start.campaign, r.start.part)))?;
    mark::write(tx, &sorted(&current, |c| &c.marks, |r| (r.campaign, r.chunk)))?;
    run::write(tx, &sorted(&current, |c| &c.runs, |r| (r.base.shard(), r.base)))?;
    consent::write(tx, &sorted(&current, |c| &c.suppressed, |r| (r.tenant, r.address.clone())))?;
    discovered::write(tx, keyring, &sorted(&current, |c| &c.discovered, |r| (r.tenant, r.address.clone())))?;
    let mut put = tx.prepare_cached(
        "INSERT INTO shard_mark (shard, position, last_id) VALUES (?1, ?2, ?3) \
         ON CONFLICT (shard) DO UPDATE SET position = max(position, excluded.position), \
         last_id = max(last_id, excluded.last_id)",
    )?;
    for Current { flush: ShardFlush { mark, .. }, .. } in &current {
        put.execute(params![mark.shard.0, int(mark.position.0), int(mark.last_id)])?;
    }
    Ok(grown)
}

fn load(
    tx: &Connection,
    keyring: &Keyring,
    generations: (&Tables, &Sieves),
    key: &Key,
) -> Result<Row, Fault> {
    let row = match key {
        Key::Message(id) => message::read(tx, keyring, *id)?.map(|r| Row::Message(Arc::new(r))),
        Key::Conversation(id) => {
            conversation::read(tx, keyring, *id)?.map(|r| Row::Conversation(Arc::new(r)))
        }
        Key::Address(session, address) => {
            address::read(tx, *session, address)?.map(|r| Row::Address(Arc::new(r)))
        }
        Key::Seen(session, hash) => {
            generation::read_seen(tx, generations, *session, *hash)?.map(|r| Row::Seen(Arc::new(r)))
        }
        Key::Idempotency(session, key) => generation::read_idempotency(tx, generations, *session, *key)?
            .map(|r| Row::Idempotency(Arc::new(r))),
        Key::Campaign(id) => campaign::read(tx, *id)?.map(|r| Row::Campaign(Arc::new(r))),
        Key::Part(campaign, part) => match part::read(tx, *campaign, *part)? {
            Some(row) => {
                let marks = mark::of_part(tx, &row)?;
                Some(Row::Part(Arc::new(row), marks))
            }
            None => None,
        },
        Key::Marks(campaign, chunk) => mark::read(tx, *campaign, *chunk)?.map(|r| Row::Marks(Arc::new(r))),
        Key::SessionParts(session) => Some(Row::SessionParts(part::of_session(tx, *session)?)),
        Key::Run(id) => run::read(tx, *id)?.map(|r| Row::Run(Arc::new(r))),
        Key::Consent(tenant, address) => Some(Row::Consent(consent::read(tx, *tenant, address)?)),
        Key::Chunk(_) => None,
    };
    Ok(row.unwrap_or(Row::Absent))
}

impl Views for SqliteViews {
    fn marks(&self) -> Answer<'_, Vec<ShardMark>> {
        self.read(|tx, _| marks(tx))
    }

    fn load(&self, _shard: ShardId, keys: Vec<Key>) -> Answer<'_, Vec<(Key, Row)>> {
        let few = keys.len() <= FEW && keys.iter().all(is_one_row);
        let (shelf, changes) = (Arc::clone(&self.shelf), self.shelf.changes());
        let work = move |tx: &Connection, keyring: &Keyring| {
            let tables = match keys.iter().any(Tables::are_of) {
                true => shelf.tables(tx, changes)?,
                false => Arc::default(),
            };
            let answer = |key: Key| load(tx, keyring, (&tables, &shelf.sieves), &key).map(|row| (key, row));
            keys.into_iter().map(answer).collect()
        };
        if few {
            let found = self.database.glance(|tx| work(tx, &self.keyring));
            return Box::pin(std::future::ready(found));
        }
        self.read(move |tx, keyring| work(tx, keyring))
    }

    fn apply(&self, flushes: Vec<ShardFlush>) -> Answer<'_, ()> {
        Box::pin(async move {
            ensure(&self.keyring, tenants(&flushes)).await?;
            let keyring = Arc::clone(&self.keyring);
            let shelf = Arc::clone(&self.shelf);
            let rows: usize = flushes.iter().map(|flush| flush.changes.len()).sum();
            let write = move |tx: &Transaction<'_>| apply(tx, (&keyring, &shelf.sieves), &flushes);
            let grown = match rows <= HURRY_ROWS {
                true => self.database.write_quietly(write).await,
                false => self.database.write(write).await,
            };
            // What failed may have been done.
            if grown != Ok(false) {
                self.shelf.changed();
            }
            grown.map(drop)
        })
    }

    fn outbox(&self, shard: ShardId, after: Option<OutboxKey>, limit: usize) -> Answer<'_, Vec<OutboxLine>> {
        self.read(move |tx, _| outbox::page(tx, shard, after, limit))
    }

    fn live_campaigns(&self, shard: ShardId) -> Answer<'_, Vec<Arc<CampaignRow>>> {
        self.read(move |tx, _| campaign::live(tx, shard))
    }

    fn open_parts(&self, shard: ShardId) -> Answer<'_, Vec<Arc<PartRow>>> {
        self.read(move |tx, _| part::open(tx, shard))
    }

    fn consents(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<SuppressedRow>> {
        self.read(move |tx, _| consent::page(tx, tenant, after.as_ref(), limit))
    }

    fn consents_since(&self, tenant: TenantId, since: Timestamp) -> Answer<'_, Vec<SuppressedRow>> {
        self.read(move |tx, _| consent::since(tx, tenant, since))
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<MessageRow>>> {
        self.read(move |tx, keyring| message::history(tx, keyring, (conversation, before), limit))
    }

    fn conversations(
        &self,
        tenant: TenantId,
        session: Option<SessionId>,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<ConversationRow>>> {
        self.read(move |tx, keyring| conversation::page(tx, keyring, (tenant, session), (after, limit)))
    }

    fn discovered(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<DiscoveredRow>> {
        self.read(move |tx, keyring| discovered::page(tx, keyring, tenant, (after.as_ref(), limit)))
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        Box::pin(async move {
            let shelf = Arc::clone(&self.shelf);
            let swept = self.database.write(move |tx| generation::sweep(tx, &shelf.sieves, now)).await;
            self.shelf.changed();
            swept
        })
    }
}
