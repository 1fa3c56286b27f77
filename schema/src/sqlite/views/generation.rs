//! Seen provider ids and used idempotency keys: hashes at random places, so they live in tables small enough to
//! stay in the cache, newest first, each dropped whole once it is too old.

use super::super::database::Fault;
use super::super::number::{Columns, int};
use super::sieve::Sieves;
use super::{collect, one};
use crate::views::{IDEMPOTENCY_KEPT_MS, SEEN_KEPT_MS};
use kabar_engine::entry::Position;
use kabar_engine::id::{MessageId, SessionId, ShardId};
use kabar_engine::overlay::{IdempotencyRow, Key, SeenRow};
use kabar_engine::time::{DAY_MS, HOUR_MS, Timestamp};
use parking_lot::RwLock;
use rusqlite::{Connection, Transaction, params};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A generation of seen ids is closed at this many rows, or after a day.
const SEEN_ROWS: u64 = 1_000_000;
const SEEN: &str = "seen";
const IDEMPOTENCY: &str = "idempotency";

/// The tables of both kinds as one snapshot has them, newest first.
#[derive(Debug, Default)]
pub(super) struct Tables {
    seen: Vec<i64>,
    idempotency: Vec<i64>,
}

impl Tables {
    fn of(tx: &Connection) -> Result<Self, Fault> {
        let numbers =
            |kind| -> Result<Vec<i64>, Fault> { Ok(list(tx, kind)?.into_iter().map(|g| g.number).collect()) };
        Ok(Self { seen: numbers(SEEN)?, idempotency: numbers(IDEMPOTENCY)? })
    }

    /// Whether a key lies in one of them.
    pub(super) fn are_of(key: &Key) -> bool {
        matches!(key, Key::Seen(..) | Key::Idempotency(..))
    }
}

/// The tables as they were listed last: listing them for every question costs more than the question. A list may lag behind
/// by a flush. A table it lacks holds only rows that the overlay still has; one that was dropped is read as empty.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    listed: RwLock<Option<Arc<Tables>>>,
    changes: AtomicU64,
    /// What stands in none of them.
    pub(super) sieves: Sieves,
}

impl Shelf {
    /// How often the tables have changed; asked before a snapshot is taken.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The tables; listed where that is due, and kept when none has changed since the snapshot was taken.
    pub(super) fn tables(&self, tx: &Connection, changes: u64) -> Result<Arc<Tables>, Fault> {
        if let Some(tables) = self.listed.read().as_ref() {
            return Ok(Arc::clone(tables));
        }
        let tables = Arc::new(Tables::of(tx)?);
        let mut listed = self.listed.write();
        if self.changes() == changes {
            *listed = Some(Arc::clone(&tables));
        }
        Ok(tables)
    }

    /// Tables may have come or gone, and everybody can see it.
    pub(super) fn changed(&self) {
        let mut listed = self.listed.write();
        self.changes.fetch_add(1, Ordering::AcqRel);
        *listed = None;
    }
}

/// What a table says, nothing when it was dropped meanwhile.
fn unless_dropped<T>(found: Result<Option<T>, Fault>) -> Result<Option<T>, Fault> {
    match found {
        Err(Fault::Sql(error)) if error.to_string().contains("no such table") => Ok(None),
        found => found,
    }
}

struct Generation {
    number: i64,
    rows: u64,
    begun: Timestamp,
    newest: Timestamp,
}

/// The generations of a kind, newest first.
fn list(tx: &Connection, kind: &str) -> Result<Vec<Generation>, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT number, rows, begun, newest FROM generation WHERE kind = ?1 ORDER BY number DESC",
    )?;
    collect(&mut statement, [kind], |row| {
        Ok(Generation { number: row.get(0)?, rows: row.id(1)?, begun: row.time(2)?, newest: row.time(3)? })
    })
}

fn keep(tx: &Transaction<'_>, kind: &str, generation: &Generation) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(
        "INSERT INTO generation (kind, number, rows, begun, newest) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (kind, number) DO UPDATE SET rows = excluded.rows, newest = excluded.newest",
    )?;
    let Generation { number, rows, begun, newest } = generation;
    put.execute(params![kind, number, int(*rows), begun.0, newest.0])?;
    Ok(())
}

/// Whether a table was made.
pub(super) type Grown = bool;

fn mixed(key: u64, session: SessionId) -> u64 {
    key ^ session.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn folded(key: u128, session: SessionId) -> u64 {
    mixed((key >> 64) as u64 ^ key as u64, session)
}

/// Writes seen ids into the newest generation, sorted by hash.
pub(super) fn write_seen(
    tx: &Transaction<'_>,
    sieves: &Sieves,
    rows: &[(ShardId, &SeenRow)],
) -> Result<Grown, Fault> {
    let times = || rows.iter().map(|(_, row)| row.at);
    let (Some(oldest), Some(newest)) = (times().min(), times().max()) else { return Ok(false) };
    let last = list(tx, SEEN)?.into_iter().next();
    let open = last.as_ref().filter(|g| g.rows < SEEN_ROWS && newest.since_ms(g.begun) < DAY_MS).is_some();
    let mut generation = match last {
        Some(last) if open => last,
        last => {
            let number = last.map_or(1, |g| g.number + 1);
            tx.execute_batch(&format!(
                "CREATE TABLE seen_{number} (hash INTEGER NOT NULL, session INTEGER NOT NULL, \
                 message INTEGER NOT NULL, at INTEGER NOT NULL, upto INTEGER NOT NULL, \
                 PRIMARY KEY (hash, session)) STRICT, WITHOUT ROWID"
            ))?;
            sieves.begin(SEEN, number);
            Generation { number, rows: 0, begun: oldest, newest }
        }
    };
    sieves.note(SEEN, generation.number, rows.iter().map(|(_, row)| mixed(row.hash, row.session)));
    let mut put = tx.prepare_cached(&format!(
        "INSERT INTO seen_{} (hash, session, message, at, upto) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (hash, session) DO UPDATE SET message = excluded.message, at = excluded.at, \
         upto = excluded.upto WHERE excluded.upto > upto",
        generation.number
    ))?;
    for (_, row) in rows {
        let parameters =
            params![int(row.hash), int(row.session.0), int(row.message.0), row.at.0, int(row.upto.0)];
        generation.rows += put.execute(parameters)? as u64;
    }
    generation.newest = generation.newest.max(newest);
    keep(tx, SEEN, &generation)?;
    Ok(!open)
}

/// The seen id, if any generation has it.
pub(super) fn read_seen(
    tx: &Connection,
    (tables, sieves): (&Tables, &Sieves),
    session: SessionId,
    hash: u64,
) -> Result<Option<SeenRow>, Fault> {
    for number in &tables.seen {
        if sieves.lacks(SEEN, *number, mixed(hash, session)) {
            continue;
        }
        let look = || {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT message, at, upto FROM seen_{number} WHERE hash = ?1 AND session = ?2"
            ))?;
            one(&mut statement, [int(hash), int(session.0)], |row| {
                let (message, at, upto) = (MessageId(row.id(0)?), row.time(1)?, Position(row.id(2)?));
                Ok(SeenRow { session, hash, message, at, upto })
            })
        };
        let found = unless_dropped(look())?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Writes idempotency keys into the generations of their hours.
pub(super) fn write_idempotency(
    tx: &Transaction<'_>,
    sieves: &Sieves,
    rows: &[(ShardId, &IdempotencyRow)],
) -> Result<Grown, Fault> {
    let hour = |row: &IdempotencyRow| row.at.0.div_euclid(HOUR_MS);
    let mut by_hour: Vec<_> = rows.iter().map(|(_, row)| *row).collect();
    by_hour.sort_by_key(|row| hour(row));
    let mut grown = false;
    for rows in by_hour.chunk_by(|a, b| hour(a) == hour(b)) {
        grown |= write_hour(tx, sieves, hour(rows[0]), rows)?;
    }
    Ok(grown)
}

fn write_hour(
    tx: &Transaction<'_>,
    sieves: &Sieves,
    hour: i64,
    rows: &[&IdempotencyRow],
) -> Result<Grown, Fault> {
    let begun = Timestamp(hour * HOUR_MS);
    let known = list(tx, IDEMPOTENCY)?.into_iter().find(|g| g.number == hour);
    let grown = known.is_none();
    let mut generation = match known {
        Some(generation) => generation,
        None => {
            tx.execute_batch(&format!(
                "CREATE TABLE \"idempotency_{hour}\" (key BLOB NOT NULL, session INTEGER NOT NULL, \
                 body BLOB NOT NULL, message INTEGER NOT NULL, at INTEGER NOT NULL, upto INTEGER NOT NULL, \
                 PRIMARY KEY (key, session)) STRICT, WITHOUT ROWID"
            ))?;
            sieves.begin(IDEMPOTENCY, hour);
            Generation { number: hour, rows: 0, begun, newest: begun }
        }
    };
    sieves.note(IDEMPOTENCY, hour, rows.iter().map(|row| folded(row.key, row.session)));
    let mut put = tx.prepare_cached(&format!(
        "INSERT INTO \"idempotency_{hour}\" (key, session, body, message, at, upto) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key, session) DO UPDATE SET body = excluded.body, \
         message = excluded.message, at = excluded.at, upto = excluded.upto WHERE excluded.upto > upto"
    ))?;
    for row in rows {
        let (key, body) = (row.key.to_be_bytes(), row.body.to_be_bytes());
        let parameters =
            params![key, int(row.session.0), body, int(row.message.0), row.at.0, int(row.upto.0)];
        generation.rows += put.execute(parameters)? as u64;
        generation.newest = generation.newest.max(row.at);
    }
    keep(tx, IDEMPOTENCY, &generation)?;
    Ok(grown)
}

/// The used key, if any generation has it.
pub(super) fn read_idempotency(
    tx: &Connection,
    (tables, sieves): (&Tables, &Sieves),
    session: SessionId,
    key: u128,
) -> Result<Option<IdempotencyRow>, Fault> {
    for number in &tables.idempotency {
        if sieves.lacks(IDEMPOTENCY, *number, folded(key, session)) {
            continue;
        }
        let look = || {
            let mut statement = tx.prepare_cached(&format!(
                "SELECT body, message, at, upto FROM \"idempotency_{number}\" WHERE key = ?1 AND session = ?2"
            ))?;
            one(&mut statement, params![key.to_be_bytes(), int(session.0)], |row| {
                let body = u128::from_be_bytes(row.get(0)?);
                let (message, at, upto) = (MessageId(row.id(1)?), row.time(2)?, Position(row.id(3)?));
                Ok(IdempotencyRow { session, key, body, message, at, upto })
            })
        };
        let found = unless_dropped(look())?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Drops the generations whose newest row is too old.
pub(super) fn sweep(tx: &Transaction<'_>, sieves: &Sieves, now: Timestamp) -> Result<(), Fault> {
    for (kind, kept) in [(SEEN, SEEN_KEPT_MS), (IDEMPOTENCY, IDEMPOTENCY_KEPT_MS)] {
        for generation in list(tx, kind)? {
            if now.since_ms(generation.newest) > kept {
                let number = generation.number;
                tx.execute_batch(&format!("DROP TABLE \"{kind}_{number}\""))?;
                tx.execute("DELETE FROM generation WHERE kind = ?1 AND number = ?2", params![kind, number])?;
                sieves.forget(kind, number);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let table = "CREATE TABLE generation (kind TEXT, number INTEGER, rows INTEGER, begun INTEGER, \
                     newest INTEGER, PRIMARY KEY (kind, number))";
        connection.execute_batch(table).unwrap();
        connection
    }

    fn row(at: i64) -> IdempotencyRow {
        let (session, message) = (SessionId(1), MessageId(2));
        IdempotencyRow { session, key: 7, body: 8, message, at: Timestamp(at), upto: Position(3) }
    }

    fn read(tx: &Transaction<'_>, tables: &Tables) -> bool {
        read_idempotency(tx, (tables, &Sieves::default()), SessionId(1), 7).unwrap().is_some()
    }

    #[test]
    fn a_list_of_tables_is_kept_until_one_comes_and_a_dropped_one_reads_as_empty() {
        let (mut connection, shelf) = (empty(), Shelf::default());
        let tx = connection.transaction().unwrap();
        let before = shelf.tables(&tx, shelf.changes()).unwrap();
        assert!(
            write_idempotency(&tx, &shelf.sieves, &[(ShardId(0), &row(5))]).unwrap(),
            "the first of an hour makes a table"
        );
        assert!(
            !write_idempotency(&tx, &shelf.sieves, &[(ShardId(0), &row(6))]).unwrap(),
            "and no second one"
        );
        assert!(Arc::ptr_eq(&before, &shelf.tables(&tx, shelf.changes()).unwrap()), "the list is kept");
        shelf.changed();
        let after = shelf.tables(&tx, shelf.changes()).unwrap();
        assert!(read(&tx, &after) && !read(&tx, &before));
        sweep(&tx, &shelf.sieves, Timestamp(5 + IDEMPOTENCY_KEPT_MS + HOUR_MS)).unwrap();
        assert!(!read(&tx, &after), "dropped under a list that still names it");
    }

    #[test]
    fn a_list_from_before_a_change_is_not_kept() {
        let (mut connection, shelf) = (empty(), Shelf::default());
        let tx = connection.transaction().unwrap();
        let changes = shelf.changes();
        shelf.changed();
        shelf.tables(&tx, changes).unwrap();
        write_idempotency(&tx, &shelf.sieves, &[(ShardId(0), &row(5))]).unwrap();
        assert!(read(&tx, &shelf.tables(&tx, shelf.changes()).unwrap()));
    }
}
