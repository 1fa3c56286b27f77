//! The proofs behind the binary `prove`. The kill proof: the real binary on a real folder, a sandbox in this process, load from all sides, and SIGKILL at
//! random instants. What it needs stands one thing a file; nothing here is part of the product.

mod child;
mod client;
pub mod edge;
pub mod events;
pub mod kill;
pub mod leases;
mod load;
mod options;
pub mod outage;
mod place;
pub mod plants;
mod postmortem;
mod reckoning;
pub mod simulate;
mod verdict;
mod world;

pub use options::{Command, Options, Plant, read};
pub use verdict::Verdict;
