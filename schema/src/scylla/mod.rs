//! The store on ScyllaDB or Apache Cassandra 5: the same promises as the other backends, kept by a cluster. One
//! file a seam, their statements in [`statement`], the tables in `schema/cql/`.
//!
//! Not the meaning of anything (that is the engine's) and not the placement of shards.

mod cluster;
mod fault;
mod leases;
mod migrate;
mod statement;
mod tls;

pub use cluster::{Cluster, CqlOptions, CqlTls};
pub use leases::CqlLeases;
pub use migrate::run as migrate;
