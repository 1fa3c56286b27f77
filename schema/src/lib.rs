//! Kabar's schema: **it remembers**. The store's seams (journal, views, records, ledger, contacts,
//! blobs, leases), the
//! bytes of an entry, sealing at rest, and the backends `memory` (the model) and embedded (`journal/` segment
//! files with `sqlite/` views behind them). The only room that speaks SQL or touches a data file.
//!
//! It is not: the meaning of an entry (that is the engine's fold), and not a decision about anything.

pub mod backup;
pub mod blobs;
pub mod codec;
pub mod contacts;
pub mod error;
pub mod journal;
pub mod leases;
pub mod ledger;
pub mod media;
pub mod memory;
pub mod metrics;
pub mod records;
pub mod rotate;
pub mod scylla;
pub mod seal;
mod sealing;
pub mod sqlite;
pub mod store;
pub mod transfer;
pub mod views;

pub use error::{OpenError, StoreError};

/// What every call of the store gives: a future that ends with a value or a [`StoreError`].
pub type Answer<'a, T> = futures::future::BoxFuture<'a, Result<T, StoreError>>;
