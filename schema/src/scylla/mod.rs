//! The store on ScyllaDB or Apache Cassandra 5: the same promises as the other backends, kept by a cluster. One
//! file a seam, their statements in [`statement`], the tables in `schema/cql/`.
//!
//! Not the meaning of anything (that is the engine's) and not the placement of shards.

mod blobs;
mod cluster;
mod contacts;
mod fault;
mod ledger;
mod migrate;
mod records;
mod sealed;
mod slices;
mod statement;
mod tls;

pub use blobs::CqlBlobs;
pub use cluster::{Cluster, CqlOptions, CqlTls};
pub use contacts::CqlContacts;
pub use ledger::CqlLedger;
pub use records::CqlRecords;
