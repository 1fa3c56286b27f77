//! The embedded backend's databases: `views.db` and `records.db`, each with one writing connection and a few
//! reading ones, used on the blocking threads of tokio. The only code that speaks SQL.
//!
//! Not the journal: what is acknowledged on the hot path is durable there, and `views.db` may be a flush behind.

mod contacts;
pub(crate) mod copy;
mod database;
mod export;
mod leases;
mod ledger;
mod migrate;
mod number;
mod records;
mod views;

pub use database::Database;
pub(crate) use export::{Export, Names, ViewTable};
pub use migrate::Kind;

pub use contacts::SqliteContacts;
pub use leases::SqliteLeases;
pub use ledger::SqliteLedger;
pub use records::SqliteRecords;
pub use views::SqliteViews;
