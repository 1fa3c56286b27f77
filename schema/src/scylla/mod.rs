//! The store on ScyllaDB or Apache Cassandra 5: the same promises as the other backends, kept by a cluster. One
//! file a seam, their statements in [`statement`], the tables in `schema/cql/`.
//!
//! Not the meaning of anything (that is the engine's) and not the placement of shards.

mod cell;
mod cluster;
mod fault;
mod migrate;
mod slices;
mod statement;
mod tls;
mod views;

pub use cluster::{Cluster, CqlOptions, CqlTls};
pub use migrate::run as migrate;
pub use views::CqlViews;
