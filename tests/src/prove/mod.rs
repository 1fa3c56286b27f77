//! The proofs behind the binary `prove`, most of them on one stage: the real binary on a real folder, a sandbox in this
//! process, load from all sides. The kill proof strikes it with SIGKILL at random instants, its scenes with what else
//! befalls a machine, the faults with what befalls a provider. What they need stands one thing a file; nothing here is
//! part of the product.

mod child;
mod client;
pub mod edge;
pub mod events;
pub mod faults;
mod hook;
pub mod kill;
pub mod leases;
mod load;
mod options;
pub mod outage;
mod place;
pub mod plants;
mod postmortem;
mod receiver;
mod reckoning;
pub mod scenes;
pub mod simulate;
mod stage;
mod truth;
mod verdict;
mod world;

pub use options::{Command, Options, Plant, read};
pub use verdict::Verdict;
