//! The shape of a database and its steps from version to version, each step once and whole. Not the data.

use crate::error::OpenError;
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Folded from the journal: may lose its newest commits at a power loss, never its consistency.
    Views,
    /// Durable at every commit.
    Records,
}

const VIEWS: &[&str] = &[
    include_str!("../../sql/views/001_begin.sql"),
    include_str!("../../sql/views/002_number.sql"),
    include_str!("../../sql/views/003_pricing.sql"),
];
const RECORDS: &[&str] =
    &[include_str!("../../sql/records/001_begin.sql"), include_str!("../../sql/records/002_lease.sql")];

impl Kind {
    /// The file's name in the folder.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Views => "views.db",
            Self::Records => "records.db",
        }
    }

    fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Views => VIEWS,
            Self::Records => RECORDS,
        }
    }

    /// Pages of views hold many small rows that are written together; records are touched here and there.
    fn page_bytes(self) -> u32 {
        match self {
            Self::Views => 8_192,
            Self::Records => 4_096,
        }
    }

    fn synchronous(self) -> &'static str {
        match self {
            Self::Views => "NORMAL",
            Self::Records => "FULL",
        }
    }
}

/// The newest version this code knows.
pub(super) fn newest(kind: Kind) -> u32 {
    u32::try_from(kind.steps().len()).expect("invariant: a few steps")
}

/// What every writing connection is told first.
pub(super) fn prepare(connection: &Connection, kind: Kind, cache_kib: u32) -> rusqlite::Result<()> {
    connection.pragma_update(None, "page_size", kind.page_bytes())?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", kind.synchronous())?;
    connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Brings the database to the newest version.
pub(super) fn migrate(connection: &mut Connection, kind: Kind, path: &Path) -> Result<(), OpenError> {
    let refuse =
        |error: rusqlite::Error| OpenError::Database { file: path.to_owned(), what: error.to_string() };
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refuse)?;
    let known = newest(kind);
    if found > known {
        let file = path.to_owned();
        return Err(OpenError::Newer { file, found: u64::from(found), known: u64::from(known) });
    }
    for (version, step) in (1_u32..).zip(kind.steps()).skip(found as usize) {
        let mut step = || -> rusqlite::Result<()> {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            tx.execute_batch(step)?;
            tx.pragma_update(None, "user_version", version)?;
            tx.commit()
        };
        step().map_err(refuse)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_newer_version_is_refused_and_left_alone() {
        let path = Path::new("records.db");
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, Kind::Records, path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let refused = migrate(&mut connection, Kind::Records, path);
        assert!(matches!(refused, Err(OpenError::Newer { found: 99, known: 2, .. })), "{refused:?}");
    }

    #[test]
    fn the_one_epoch_of_an_older_folder_is_the_floor_of_every_shards() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(RECORDS[0]).unwrap();
        connection.execute_batch("UPDATE lease SET epoch = 41; PRAGMA user_version = 1").unwrap();
        migrate(&mut connection, Kind::Records, Path::new("records.db")).unwrap();
        let told = "SELECT count(*), min(shard), max(shard), min(epoch), max(epoch), count(owner) FROM lease";
        let columns = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Vec<i64>> {
            (0..6).map(|at| row.get(at)).collect()
        };
        assert_eq!(connection.query_row(told, [], columns), Ok(vec![256, 0, 255, 41, 41, 0]));
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        for kind in [Kind::Views, Kind::Records] {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate(&mut connection, kind, Path::new("x")).unwrap();
            migrate(&mut connection, kind, Path::new("x")).unwrap();
        }
    }
}
