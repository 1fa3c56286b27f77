//! The store on ScyllaDB or Apache Cassandra 5: the same promises as the other backends, kept by a cluster. One
//! file a seam, their statements in [`statement`], the tables in `schema/cql/`.
//!
//! Not the meaning of anything (that is the engine's) and not the placement of shards.

mod blobs;
mod cell;
mod cluster;
mod contacts;
mod fault;
mod journal;
mod leases;
mod ledger;
mod migrate;
mod records;
mod sealed;
mod slices;
mod statement;
mod tls;
mod views;

pub use blobs::CqlBlobs;
pub use cluster::{Cluster, CqlOptions, CqlTls};
pub use contacts::CqlContacts;
pub use journal::{BUCKET_BITS, CqlJournal};
pub use leases::CqlLeases;
pub use ledger::CqlLedger;
pub use records::CqlRecords;
pub use views::CqlViews;

use crate::error::OpenError;
use std::sync::Arc;

/// Connects to a cluster and brings its keyspace to the newest version.
///
/// # Errors
/// [`OpenError::Cluster`]: no node answers, the keyspace is of a newer version, or another migration does not end.
pub async fn connect(options: &CqlOptions) -> Result<Arc<Cluster>, OpenError> {
    migrated(options).await.map(|(cluster, _)| cluster)
}

/// The same; tells from which version to which the keyspace was brought.
///
/// # Errors
/// As [`connect`].
pub async fn upgrade(options: &CqlOptions) -> Result<(usize, usize), OpenError> {
    migrated(options).await.map(|(_, found)| (found, migrate::STEPS.len()))
}

async fn migrated(options: &CqlOptions) -> Result<(Arc<Cluster>, usize), OpenError> {
    let cluster = Arc::new(Cluster::connect(options).await?);
    let found = migrate::run(&cluster).await?;
    Ok((cluster, found))
}
