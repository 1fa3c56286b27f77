//! The leases in memory: a row per shard, as long as the store lives. Exclusive: whoever has the store has the process.

use crate::Answer;
use crate::error::StoreError;
use crate::journal::ShardSet;
use crate::leases::{Leases, Outcome, change};
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use kabar_engine::id::ShardId;
use kabar_engine::lease::{LeaseRow, Owner};
use parking_lot::Mutex;

/// The memory backend's table of leases.
#[derive(Debug)]
pub struct MemoryLeases(Mutex<Vec<LeaseRow>>);

impl Default for MemoryLeases {
    fn default() -> Self {
        Self(Mutex::new(ShardId::all().map(LeaseRow::fresh).collect()))
    }
}

impl MemoryLeases {
    fn change(&self, shard: ShardId, change: impl FnOnce(&LeaseRow) -> Option<LeaseRow>) -> Outcome {
        let row = &mut self.0.lock()[usize::from(shard.0)];
        match change(row) {
            Some(changed) => {
                *row = changed;
                Outcome::Done
            }
            None => Outcome::Refused(row.clone()),
        }
    }
}

impl Leases for MemoryLeases {
    fn exclusive(&self) -> bool {
        true
    }

    fn read<'a>(&'a self, shards: &'a ShardSet) -> Answer<'a, Vec<LeaseRow>> {
        let rows = self.0.lock();
        ready(Ok(shards.iter().map(|shard| rows[usize::from(shard.0)].clone()).collect())).boxed()
    }

    fn take<'a>(
        &'a self,
        owner: &'a Owner,
        seen: &'a [LeaseRow],
    ) -> BoxFuture<'a, Vec<Result<Outcome, StoreError>>> {
        let take = |seen: &LeaseRow| Ok(self.change(seen.shard, |row| change::take(row, owner, seen)));
        ready(seen.iter().map(take).collect()).boxed()
    }

    fn renew<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64, ctr: u64) -> Answer<'a, Outcome> {
        ready(Ok(self.change(shard, |row| change::renew(row, owner, epoch, ctr)))).boxed()
    }

    fn release<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64) -> Answer<'a, Outcome> {
        ready(Ok(self.change(shard, |row| change::release(row, owner, epoch)))).boxed()
    }
}
