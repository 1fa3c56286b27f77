//! The conformance suite of the store, on every backend, and what only files promise. One binary.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod backend;
mod backup_suite;
mod blobs_suite;
mod contacts_suite;
mod disks;
mod entries;
mod fault_suite;
mod journal_suite;
mod keyspace;
mod kill;
mod leases_suite;
mod measure;
mod model;
mod records_suite;
mod seal_suite;
mod segments;
mod snapshot;
mod torn_tail;
mod transfer_suite;
mod views_suite;
mod world;
