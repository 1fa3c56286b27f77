//! The conformance suite of the store, on every backend, and what only files promise. One binary.

mod backend;
mod disks;
mod entries;
mod journal_suite;
mod kill;
mod segments;
mod torn_tail;
