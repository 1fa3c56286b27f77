//! The epoch of the one node, in `records.db`. Not placement.

use super::database::Database;
use super::number::Columns;
use crate::Answer;
use crate::leases::Leases;
use std::sync::Arc;

/// The embedded giver of epochs.
#[derive(Debug)]
pub struct SqliteLeases {
    database: Arc<Database>,
}

impl SqliteLeases {
    /// Epochs kept in `database`, which is of the kind records.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl Leases for SqliteLeases {
    fn take(&self) -> Answer<'_, u64> {
        Box::pin(self.database.write(|tx| {
            let mut raise =
                tx.prepare_cached("UPDATE lease SET epoch = epoch + 1 WHERE one = 1 RETURNING epoch")?;
            raise.query_row([], |row| Ok(row.id(0)))?
        }))
    }
}
