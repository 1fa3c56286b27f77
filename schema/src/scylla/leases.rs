//! The leases on a cluster: one row a shard, written by conditional writes alone and read in their order. Shared with
//! every other process, so that the protocol's waiting and renewing is needed here.
//!
//! Not the protocol: `kabar_engine::lease` says when what is asked.

use super::cluster::{Cluster, Lwt};
use super::fault;
use super::statement::Leases as Sql;
use crate::Answer;
use crate::error::{OpenError, StoreError};
use crate::journal::ShardSet;
use crate::leases::{Leases, Outcome};
use futures::future::BoxFuture;
use futures::stream::{StreamExt, TryStreamExt};
use kabar_engine::id::ShardId;
use kabar_engine::lease::{LeaseRow, Owner};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Conditional writes and reads of leases on the wire at once: each costs the cluster a round of Paxos, and 256 at once
/// would stand in the way of the journal's.
const AT_ONCE: usize = 16;
/// Tries to make a row whose outcome stays unknown; making it twice makes it once.
const BEGIN_TRIES: usize = 5;

/// The table of leases on a cluster.
#[derive(Debug)]
pub struct CqlLeases {
    cluster: Arc<Cluster>,
    sql: Sql,
    wire: Semaphore,
}

/// What a row holds beside its shard.
type Columns = (Option<String>, Option<i64>, Option<i64>);

/// What a taking binds: the new owner and epoch, the shard, and what it stands on.
type Taking<'a> = (&'a str, i64, i16, Option<&'a str>, i64, i64);

fn shard_key(shard: ShardId) -> i16 {
    i16::from(shard.0)
}

impl CqlLeases {
    /// Leases on `cluster`, whose tables are there. Makes the rows that are missing.
    ///
    /// # Errors
    /// The cluster refuses a statement, or does not answer.
    pub async fn open(cluster: Arc<Cluster>) -> Result<Self, OpenError> {
        let sql = Sql::prepare(&cluster).await?;
        let leases = Self { cluster, sql, wire: Semaphore::new(AT_ONCE) };
        let begun = ShardId::all().map(|shard| leases.begin(shard));
        futures::stream::iter(begun).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        Ok(leases)
    }

    async fn begin(&self, shard: ShardId) -> Result<(), StoreError> {
        if self.find(shard).await?.is_some() {
            return Ok(());
        }
        for _ in 1..BEGIN_TRIES {
            match self.cluster.lwt(&self.sql.begin, (shard_key(shard),)).await {
                Err(StoreError::Unknown) => {}
                done => return done.map(|_| ()),
            }
        }
        self.cluster.lwt(&self.sql.begin, (shard_key(shard),)).await.map(|_| ())
    }

    async fn find(&self, shard: ShardId) -> Result<Option<LeaseRow>, StoreError> {
        let row: Option<Columns> = self.cluster.row(&self.sql.row, (shard_key(shard),)).await?;
        let Some((owner, epoch, ctr)) = row else { return Ok(None) };
        let (Some(epoch), Some(ctr)) = (epoch, ctr) else {
            return Err(fault::damaged("a lease without an epoch"));
        };
        let owner = owner.map(|text| Owner::stored(&text));
        Ok(Some(LeaseRow { shard, owner, epoch: epoch.cast_unsigned(), ctr: ctr.cast_unsigned() }))
    }

    async fn row(&self, shard: ShardId) -> Result<LeaseRow, StoreError> {
        let _place = self.place().await?;
        // The row was made when the table was opened and nobody removes one.
        self.find(shard).await?.ok_or_else(|| fault::damaged("the lease of a shard is missing"))
    }

    async fn place(&self) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        self.wire.acquire().await.map_err(|_| StoreError::Unavailable)
    }

    /// The two servers give back different columns at a refusal, so what stands there is read.
    async fn told(&self, shard: ShardId, answer: Result<Lwt, StoreError>) -> Result<Outcome, StoreError> {
        match answer? {
            Lwt::Applied => Ok(Outcome::Done),
            // The refusal itself is certain: nothing was done.
            Lwt::Refused => self.find(shard).await?.map(Outcome::Refused).ok_or(StoreError::Unavailable),
        }
    }

    async fn take_one(&self, owner: &Owner, seen: &LeaseRow) -> Result<Outcome, StoreError> {
        let _place = self.place().await?;
        let taken = seen.taken_by(owner);
        let values: Taking<'_> = (
            owner.as_str(),
            taken.epoch.cast_signed(),
            shard_key(seen.shard),
            seen.owner.as_ref().map(Owner::as_str),
            seen.epoch.cast_signed(),
            seen.ctr.cast_signed(),
        );
        let answer = self.cluster.lwt(&self.sql.take, values).await;
        self.told(seen.shard, answer).await
    }
}

impl Leases for CqlLeases {
    fn exclusive(&self) -> bool {
        false
    }

    fn read<'a>(&'a self, shards: &'a ShardSet) -> Answer<'a, Vec<LeaseRow>> {
        // One by one: a read in the order of the conditional writes is of one partition.
        let rows = futures::stream::iter(shards.iter().map(|shard| self.row(shard)));
        Box::pin(rows.buffered(AT_ONCE).try_collect())
    }

    fn take<'a>(
        &'a self,
        owner: &'a Owner,
        seen: &'a [LeaseRow],
    ) -> BoxFuture<'a, Vec<Result<Outcome, StoreError>>> {
        let taken = futures::stream::iter(seen.iter().map(|seen| self.take_one(owner, seen)));
        Box::pin(taken.buffered(AT_ONCE).collect())
    }

    fn renew<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64, ctr: u64) -> Answer<'a, Outcome> {
        Box::pin(async move {
            let _place = self.place().await?;
            let (next, epoch, ctr) = ((ctr + 1).cast_signed(), epoch.cast_signed(), ctr.cast_signed());
            let values = (next, shard_key(shard), owner.as_str(), epoch, ctr);
            let answer = self.cluster.lwt(&self.sql.renew, values).await;
            self.told(shard, answer).await
        })
    }

    fn release<'a>(&'a self, shard: ShardId, owner: &'a Owner, epoch: u64) -> Answer<'a, Outcome> {
        Box::pin(async move {
            let _place = self.place().await?;
            let values = (shard_key(shard), owner.as_str(), epoch.cast_signed());
            let answer = self.cluster.lwt(&self.sql.release, values).await;
            self.told(shard, answer).await
        })
    }
}
