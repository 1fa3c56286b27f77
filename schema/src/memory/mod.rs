//! The memory backend: the model that the others are compared with, and the store of tests. Nothing survives the
//! process. [`fault`] wraps any backend and makes it fail on demand.

mod blobs;
mod contacts;
pub mod fault;
mod journal;
mod leases;
mod ledger;
mod records;
mod views;

pub use blobs::MemoryBlobs;
pub use contacts::MemoryContacts;
pub use journal::MemoryJournal;
pub use leases::MemoryLeases;
pub use ledger::MemoryLedger;
pub use records::MemoryRecords;
pub use views::MemoryViews;
