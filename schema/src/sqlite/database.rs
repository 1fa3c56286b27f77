//! One database file: a writing connection, a few reading ones, transactions on tokio's blocking threads, and how
//! SQLite's errors become ours. Knows no table.

use super::migrate::{Kind, migrate, prepare};
use crate::error::{OpenError, StoreError};
use crate::sealing::Unsealed;
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Reading connections kept open while nobody reads.
const READERS_KEPT: usize = 4;
/// Pages each reading connection may keep (KiB).
const READER_CACHE_KIB: u32 = 16 * 1024;
/// Prepared statements each connection keeps.
const STATEMENTS_KEPT: usize = 128;
/// Another connection's lock is waited for this long; only a checkpoint of a closing one takes any.
const BUSY: Duration = Duration::from_secs(5);
/// A reader that holds its snapshot longer stops checkpoints; it is told in the log.
const READ_AT_MOST: Duration = Duration::from_secs(1);

/// Why a transaction did not come to its end.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite refused.
    Sql(rusqlite::Error),
    /// Our own answer; everything is rolled back.
    Refused(StoreError),
    /// A stored row cannot be what this code wrote.
    Damaged(&'static str),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Unsealed> for Fault {
    fn from(error: Unsealed) -> Self {
        match error {
            Unsealed::Unavailable => Self::Refused(StoreError::Unavailable),
            Unsealed::Damaged(what) => Self::Damaged(what),
        }
    }
}

/// One open database.
pub struct Database {
    kind: Kind,
    path: PathBuf,
    /// `None` after closing.
    writer: Mutex<Option<Connection>>,
    readers: Mutex<Readers>,
    /// Commits that were tried: a snapshot from before the last one is old.
    commits: AtomicU64,
    /// A commit is under way. It may write its log into the file, and must find no snapshot that nobody reads.
    committing: AtomicBool,
}

struct Readers {
    idle: Vec<Reader>,
    closed: bool,
}

/// A reading connection.
struct Reader {
    connection: Connection,
    /// The commits before the snapshot that it still holds, if it holds one.
    snapshot: Option<u64>,
}

impl Reader {
    /// Lets go of the snapshot.
    fn end(&mut self) -> rusqlite::Result<()> {
        if self.snapshot.take().is_some() && !self.connection.is_autocommit() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database in `folder`, or makes it. Blocks.
    ///
    /// # Errors
    /// `Database` when SQLite refuses, `Newer` when a later version wrote it.
    pub fn open(folder: &Path, kind: Kind, cache_kib: u32) -> Result<Arc<Self>, OpenError> {
        let path = folder.join(kind.file());
        let refuse =
            |error: rusqlite::Error| OpenError::Database { file: path.clone(), what: error.to_string() };
        let mut connection = Connection::open(&path).map_err(refuse)?;
        settle(&connection).map_err(refuse)?;
        prepare(&connection, kind, cache_kib).map_err(refuse)?;
        migrate(&mut connection, kind, &path)?;
        let readers = Mutex::new(Readers { idle: Vec::new(), closed: false });
        let (commits, committing) = (AtomicU64::new(0), AtomicBool::new(false));
        let writer = Mutex::new(Some(connection));
        Ok(Arc::new(Self { kind, path: path.clone(), writer, readers, commits, committing }))
    }

    /// Runs `work` in one writing transaction: all of it, or nothing. It is not taken back when the future is
    /// dropped.
    pub(super) async fn write<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(self);
        on_blocking_thread(move || database.write_here(work)).await
    }

    /// The same on a thread of its own that gives way to the others where there are more than cores: for what is long and
    /// what nobody waits for.
    pub(super) async fn write_quietly<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(self);
        let (tell, told) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new().name(self.kind.file().to_owned()).spawn(move || {
            give_way();
            // Who waited may be gone.
            let _ = tell.send(database.write_here(work));
        });
        if let Err(error) = thread {
            tracing::error!(%error, "the system gives no thread");
            return Err(StoreError::Overloaded);
        }
        told.await.unwrap_or_else(|_| {
            tracing::error!("a transaction was broken off");
            Err(StoreError::Unknown)
        })
    }

    fn write_here<R>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, Fault>,
    ) -> Result<R, StoreError> {
        let mut writer = self.writer.lock();
        let connection = writer.as_mut().ok_or(StoreError::Unavailable)?;
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| self.answer(Fault::Sql(error)))?;
        let result = work(&tx).map_err(|fault| self.answer(fault))?;
        self.committing.store(true, Ordering::SeqCst);
        self.end_snapshots();
        let committed = tx.commit();
        // Before anybody is told: who asks afterwards must not be answered from an older snapshot.
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.committing.store(false, Ordering::SeqCst);
        committed.map_err(|error| {
            tracing::error!(path = %self.path.display(), %error, "a transaction could not be committed");
            StoreError::Unknown
        })?;
        Ok(result)
    }

    /// A reader that cannot let go is closed.
    fn end_snapshots(&self) {
        self.readers.lock().idle.retain_mut(|reader| reader.end().is_ok());
    }

    /// Runs `work` on one snapshot.
    pub(super) async fn read<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Transaction<'_>) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, StoreError> {
        let database = Arc::clone(self);
        on_blocking_thread(move || database.read_here(work)).await
    }

    /// Runs `work` on one snapshot, on the caller's own thread: for the few rows a decision lacks. They are mostly in
    /// the page cache and cost microseconds; the hop to a thread that may block cost 20 µs and more. The snapshot is kept
    /// for the next glance until something is committed: to take one costs as much as a row.
    pub(super) fn glance<R>(
        &self,
        work: impl FnOnce(&Connection) -> Result<R, Fault>,
    ) -> Result<R, StoreError> {
        let mut reader = self.reader()?;
        let result = self.look(&mut reader).and_then(work);
        let result = result.map_err(|fault| self.answer(fault));
        if result.is_ok() {
            self.put_back(reader);
        }
        result
    }

    /// A snapshot that holds every commit there was before the call.
    fn look<'r>(&self, reader: &'r mut Reader) -> Result<&'r Connection, Fault> {
        let commits = self.commits.load(Ordering::SeqCst);
        if reader.snapshot != Some(commits) {
            reader.end()?;
            reader.connection.prepare_cached("BEGIN")?.execute([])?;
            reader.snapshot = Some(commits);
        }
        Ok(&reader.connection)
    }

    fn put_back(&self, mut reader: Reader) {
        let mut readers = self.readers.lock();
        // Under the lock: a commit that begins after this look finds the reader among the idle ones.
        let is_old = reader.snapshot.is_some_and(|commits| commits != self.commits.load(Ordering::SeqCst));
        let ended = match is_old || self.committing.load(Ordering::SeqCst) {
            true => reader.end().is_ok(),
            false => true,
        };
        if ended && !readers.closed && readers.idle.len() < READERS_KEPT {
            readers.idle.push(reader);
        }
    }

    fn read_here<R>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<R, Fault>) -> Result<R, StoreError> {
        let begun = Instant::now();
        let mut reader = self.reader()?;
        let result = reader
            .end()
            .and_then(|()| reader.connection.transaction())
            .map_err(Fault::Sql)
            .and_then(|tx| work(&tx))
            .map_err(|fault| self.answer(fault));
        let took = begun.elapsed();
        if took > READ_AT_MOST {
            let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(path = %self.path.display(), ms, "a read held its snapshot for longer than a second");
        }
        self.put_back(reader);
        result
    }

    fn reader(&self) -> Result<Reader, StoreError> {
        {
            let mut readers = self.readers.lock();
            if readers.closed {
                return Err(StoreError::Unavailable);
            }
            if let Some(reader) = readers.idle.pop() {
                return Ok(reader);
            }
        }
        let open = || -> rusqlite::Result<Reader> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags)?;
            settle(&connection)?;
            connection.pragma_update(None, "cache_size", -i64::from(READER_CACHE_KIB))?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(Reader { connection, snapshot: None })
        };
        open().map_err(|error| self.answer(Fault::Sql(error)))
    }

    fn answer(&self, fault: Fault) -> StoreError {
        match fault {
            Fault::Refused(error) => error,
            Fault::Damaged(what) => {
                tracing::error!(path = %self.path.display(), what, "a stored row cannot be read");
                StoreError::Unavailable
            }
            Fault::Sql(error) => {
                let code = error.sqlite_error_code();
                if matches!(code, Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)) {
                    return StoreError::Overloaded;
                }
                tracing::error!(path = %self.path.display(), %error, "the database refused");
                StoreError::Unavailable
            }
        }
    }

    /// Writes everything into the file itself and closes it; later calls answer `Unavailable`.
    pub async fn close(self: &Arc<Self>) {
        let database = Arc::clone(self);
        let closed = on_blocking_thread(move || {
            let idle = {
                let mut readers = database.readers.lock();
                readers.closed = true;
                std::mem::take(&mut readers.idle)
            };
            drop(idle);
            let Some(connection) = database.writer.lock().take() else { return Ok(()) };
            // Not needed for safety: the log is read at the next opening. It makes the folder tidy.
            if let Err(error) = connection.pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())) {
                tracing::warn!(path = %database.path.display(), %error, "no last checkpoint");
            }
            Ok(())
        });
        if closed.await.is_err() {
            tracing::warn!(kind = ?self.kind, "the runtime ended before the database was closed");
        }
    }
}

/// What every connection is told.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // A plan that depends on no bound value: otherwise SQLite parses a statement anew whenever the value of its
    // key changes, which made a read of a message cost 23 µs instead of 3.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// This thread gives way to others. Not so far that it gets nothing where they never rest.
fn give_way() {
    /// A third of what a usual thread gets beside it.
    const NICE: i32 = 5;
    // Elsewhere it would be of the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread that should give way does not");
    }
}

async fn on_blocking_thread<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, StoreError> + Send + 'static,
) -> Result<R, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!(%error, "a transaction was broken off");
            Err(StoreError::Unknown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    fn opened(folder: &Path) -> Arc<Database> {
        let database = Database::open(folder, Kind::Views, 1024).unwrap();
        let writer = database.writer.lock();
        writer.as_ref().unwrap().execute_batch("CREATE TABLE t (n, filler)").unwrap();
        drop(writer);
        database
    }

    fn put(database: &Database, n: i64) {
        let row = |tx: &Transaction<'_>| Ok(tx.execute("INSERT INTO t VALUES (?1, zeroblob(90000))", [n])?);
        database.write_here(row).unwrap();
    }

    fn seen(connection: &Connection) -> Result<i64, Fault> {
        Ok(connection.query_row("SELECT coalesce(max(n), 0) FROM t", [], |row| row.get(0))?)
    }

    #[test]
    fn a_glance_sees_every_commit_before_it_also_when_another_one_was_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path());
        assert_eq!(database.glance(seen), Ok(0));
        put(&database, 1);
        let inner = database.glance(|old| {
            assert_eq!(seen(old).unwrap(), 1);
            put(&database, 2);
            assert_eq!((seen(old).unwrap(), database.glance(seen)), (1, Ok(2)), "one snapshot each");
            Ok(())
        });
        assert_eq!((inner, database.glance(seen)), (Ok(()), Ok(2)));
        let refused = database.glance(|_| Err::<(), _>(Fault::Refused(StoreError::Conflict)));
        assert_eq!((refused, database.glance(seen)), (Err(StoreError::Conflict), Ok(2)));
    }

    #[test]
    fn a_kept_snapshot_does_not_keep_the_log_from_being_written_back() {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path());
        database.writer.lock().as_ref().unwrap().pragma_update(None, "wal_autocheckpoint", 100).unwrap();
        for n in 1..=200 {
            put(&database, n);
            assert_eq!(database.glance(seen), Ok(n));
        }
        let log = std::fs::metadata(folder.path().join("views.db-wal")).unwrap().len();
        assert!(log < 4 << 20, "18 MB were written, and the log has {log} bytes");
    }

    #[test]
    fn another_value_does_not_parse_a_statement_anew() {
        let mut connection = Connection::open_in_memory().unwrap();
        settle(&connection).unwrap();
        migrate(&mut connection, Kind::Views, Path::new("views.db")).unwrap();
        let sql = "SELECT m.id FROM message m JOIN message_state s ON s.id = m.id WHERE m.id = ?1 LIMIT ?2";
        let mut statement = connection.prepare(sql).unwrap();
        for n in 1..9 {
            assert!(!statement.exists([n, n]).unwrap());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
