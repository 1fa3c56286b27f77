//! The leases in `records.db`. Exclusive: the folder's lock keeps every other process out, so a row tells only how high
//! the epoch has come. Not placement.

use super::database::{Database, Fault};
use super::number::{Columns, damaged, int};
use crate::Answer;
use crate::error::StoreError;
use crate::journal::ShardSet;
use crate::leases::{Leases, Outcome, change};
use futures::future::BoxFuture;
use kabar_engine::id::ShardId;
use kabar_engine::lease::{LeaseRow, Owner};
use rusqlite::{Row, Transaction};
use std::sync::Arc;

/// The embedded table of leases.
#[derive(Debug)]
pub struct SqliteLeases {
    database: Arc<Database>,
}

impl SqliteLeases {
    /// Leases kept in `database`, which is of the kind records.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    async fn change(
        &self,
        shard: ShardId,
        change: impl FnOnce(&LeaseRow) -> Option<LeaseRow> + Send + 'static,
    ) -> Result<Outcome, StoreError> {
        self.database.write(move |tx| apply(tx, shard, change)).await
    }
}

fn read(row: &Row<'_>) -> Result<LeaseRow, Fault> {
    let shard = u8::try_from(row.get::<_, i64>(0)?).map_err(|_| damaged("a lease of no shard"))?;
    let owner = row.get::<_, Option<String>>(1)?.map(|text| Owner::stored(&text));
    Ok(LeaseRow { shard: ShardId(shard), owner, epoch: row.id(2)?, ctr: row.id(3)? })
}

fn find(tx: &Transaction<'_>, shard: ShardId) -> Result<LeaseRow, Fault> {
    let mut one = tx.prepare_cached("SELECT shard, owner, epoch, ctr FROM lease WHERE shard = ?1")?;
    one.query_row([shard.0], |row| Ok(read(row)))?
}

fn apply(
    tx: &Transaction<'_>,
    shard: ShardId,
    change: impl FnOnce(&LeaseRow) -> Option<LeaseRow>,
) -> Result<Outcome, Fault> {
    let row = find(tx, shard)?;
    let Some(changed) = change(&row) else { return Ok(Outcome::Refused(row)) };
    let mut write =
        tx.prepare_cached("UPDATE lease SET owner = ?2, epoch = ?3, ctr = ?4 WHERE shard = ?1")?;
    let owner = changed.owner.as_ref().map(Owner::as_str);
    write.execute((shard.0, owner, int(changed.epoch), int(changed.ctr)))?;
    Ok(Outcome::Done)
}

impl Leases for SqliteLeases {
    fn exclusive(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, shards: &'a ShardSet) -> Answer<'a, Vec<LeaseRow>> {
        let shards = *shards;
        Box::pin(self.database.read(move |tx| shards.iter().map(|shard| find(tx, shard)).collect()))
    }

    /// All of them in one transaction: a start costs one sync and not 256.
    fn take<'a>(
        &'a self,
        owner: &'a Owner,
        seen: &'a [LeaseRow],
    ) -> BoxFuture<'a, Vec<Result<Outcome, StoreError>>> {
        Box::pin(async move {
            let (rows, owner) = (seen.to_vec(), owner.clone());
            let taken = self.database.write(move |tx| {
                let take = |seen: &LeaseRow| apply(tx, seen.shard, |row| change::take(row, &owner, seen));
                rows.iter().map(take).collect::<Result<Vec<_>, Fault>>()
            });
            match taken.await {
                Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); seen.len()],
            }
        })
    }

    fn renew<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64, ctr: u64) -> Answer<'a, Outcome> {
        let owner = owner.clone();
        Box::pin(self.change(shard, move |row| change::renew(row, &owner, epoch, ctr)))
    }

    fn release<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64) -> Answer<'a, Outcome> {
        let owner = owner.clone();
        Box::pin(self.change(shard, move |row| change::release(row, &owner, epoch)))
    }
}
