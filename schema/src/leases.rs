//! Leases: the table of who owns which shard under which epoch. The changes it knows are those of the protocol in
//! `kabar_engine::lease`, each conditional on the row it stands on; when to ask for which is decided there.

use crate::Answer;
use crate::error::StoreError;
use crate::journal::ShardSet;
use futures::future::BoxFuture;
use kabar_engine::id::ShardId;
use kabar_engine::lease::{LeaseRow, Owner};

/// What became of a conditional change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// The condition did not hold. This stands there now.
    Refused(LeaseRow),
}

/// The table of leases: one row for each of the 256 shards, never removed.
pub trait Leases: Send + Sync {
    /// Whether no other process can have this table (memory, or a folder that one process locks). Then a shard is taken
    /// whoever stands there, nothing is waited for, and nothing has to be renewed or given back.
    fn exclusive(&self) -> bool;

    /// The rows of these shards by shard, as every finished change left them.
    fn read<'a>(&'a self, shards: &'a ShardSet) -> Answer<'a, Vec<LeaseRow>>;

    /// Takes each row for `owner` if it still stands as it was seen: the epoch rises by one, `ctr` begins at 0. Durable
    /// when `Done`; one answer for each row, in their order, and an `Unknown` among them may have been done.
    fn take<'a>(
        &'a self,
        owner: &'a Owner,
        seen: &'a [LeaseRow],
    ) -> BoxFuture<'a, Vec<Result<Outcome, StoreError>>>;

    /// Raises `ctr` by one, if `owner` has the shard under `epoch` and `ctr` is the counter.
    fn renew<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64, ctr: u64) -> Answer<'a, Outcome>;

    /// Gives the shard back, if `owner` has it under `epoch`: anybody may take it at once.
    fn release<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64) -> Answer<'a, Outcome>;
}

/// The three changes as functions of a row, for the backends that hold it in their hand: `None` when the condition
/// does not hold.
pub(crate) mod change {
    use kabar_engine::lease::{LeaseRow, Owner};

    pub(crate) fn take(row: &LeaseRow, owner: &Owner, seen: &LeaseRow) -> Option<LeaseRow> {
        (row == seen).then(|| row.taken_by(owner))
    }

    pub(crate) fn renew(row: &LeaseRow, owner: &Owner, epoch: u64, ctr: u64) -> Option<LeaseRow> {
        (row.is_held(owner, epoch) && row.ctr == ctr).then(|| LeaseRow { ctr: ctr + 1, ..row.clone() })
    }

    pub(crate) fn release(row: &LeaseRow, owner: &Owner, epoch: u64) -> Option<LeaseRow> {
        row.is_held(owner, epoch).then(|| LeaseRow { owner: None, ..row.clone() })
    }
}
