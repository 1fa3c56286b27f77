//! A database copied while its owner writes on: one snapshot, page by page, and what it tells of itself. Not how
//! the copy becomes durable.

use super::migrate::{Kind, newest};
use crate::error::OpenError;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// Pages copied at once, between two looks of the caller.
const STEP: i32 = 1_024;
/// Another connection's lock is waited for this long.
const BUSY: Duration = Duration::from_secs(5);

/// What a copy of the views holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ViewsTold {
    pub(crate) positions: Vec<(ShardId, Position)>,
    pub(crate) messages: u64,
    pub(crate) open: u64,
}

/// Copies the database of `folder` into a new file; `step` hears of every few megabytes. The snapshot is held for as
/// long as it takes: the owner writes on, its log grows meanwhile.
pub(crate) fn copy(
    (folder, kind): (&Path, Kind),
    to: &Path,
    step: &mut dyn FnMut(u64) -> Result<(), OpenError>,
) -> Result<ViewsTold, OpenError> {
    let path = folder.join(kind.file());
    let refuse = |error: rusqlite::Error| OpenError::Database { file: path.clone(), what: error.to_string() };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(&path, flags).map_err(refuse)?;
    from.busy_timeout(BUSY).map_err(refuse)?;
    // Within a transaction of our own: without it the copy begins anew whenever the owner commits between two steps.
    from.execute_batch("BEGIN").map_err(refuse)?;
    let found: u32 = from.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(refuse)?;
    if found > newest(kind) {
        return Err(OpenError::Newer {
            file: path.clone(),
            found: u64::from(found),
            known: u64::from(newest(kind)),
        });
    }
    let page: u32 = from.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(refuse)?;
    let told = if kind == Kind::Views { told(&from).map_err(refuse)? } else { ViewsTold::default() };
    let write = |error: rusqlite::Error| OpenError::Database { file: to.to_owned(), what: error.to_string() };
    let mut target = Connection::open(to).map_err(write)?;
    // Nobody reads it before it is whole, and the caller syncs it: no log, no syncs of its own.
    target.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(())).map_err(write)?;
    target.pragma_update(None, "synchronous", "OFF").map_err(write)?;
    let backup = Backup::new(&from, &mut target).map_err(write)?;
    let mut left = None;
    loop {
        let done = backup.step(STEP).map_err(write)?;
        let progress = backup.progress();
        let before = left.replace(progress.remaining).unwrap_or(progress.pagecount);
        let pages = u64::try_from(before - progress.remaining).unwrap_or_default();
        step(pages * u64::from(page))?;
        match done {
            StepResult::Done => return Ok(told),
            // Neither is met in a snapshot of a database with a log; a file that somebody locks answers here.
            StepResult::Busy | StepResult::Locked => {
                let what = "another process holds it".to_owned();
                return Err(OpenError::Database { file: path.clone(), what });
            }
            _ => {}
        }
    }
}

fn told(from: &Connection) -> rusqlite::Result<ViewsTold> {
    let mut marks = from.prepare("SELECT shard, position FROM shard_mark ORDER BY shard")?;
    let positions = marks.query_map([], |row| {
        let position: i64 = row.get(1)?;
        Ok((ShardId(row.get(0)?), Position(position.cast_unsigned())))
    })?;
    let count = |table: &str| -> rusqlite::Result<u64> {
        let counted: i64 = from.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(counted.cast_unsigned())
    };
    Ok(ViewsTold {
        positions: positions.collect::<Result<_, _>>()?,
        messages: count("message_state")?,
        open: count("outbox")?,
    })
}
