//! Kabar's actors: **they act**. Shards with their state and its one door, session, conversation, campaign and
//! part actors, the projector, the dispatcher in front of them all, and the performing of the engine's effects.
//!
//! They decide nothing (the engine does), speak to nobody (the connectors do), know no SQL and no HTTP status.

pub mod account;
mod audience;
pub mod campaign;
mod contact_value;
pub mod conversation;
mod dice;
pub mod dispatcher;
mod freeze;
mod frequency;
mod health;
#[cfg(test)]
mod house;
pub mod import;
mod lease;
pub mod media;
pub mod metrics;
mod name;
pub mod node;
mod open;
pub mod part;
mod plant;
mod preflight;
mod projector;
pub mod provider_template;
mod recipients;
mod rest;
pub mod session;
pub mod shard;
pub mod subscription;
mod tide;
pub mod trace;
mod turn;
pub mod view;
pub mod webhook;
mod wire;

pub use contact_value::contact_value;
pub use dice::Dice;
pub use dispatcher::{Acted, DispatchError, Dispatcher, Told};
pub use kabar_connectors::client::{CallError, Client, Guard, Limits, Networks};
pub use kabar_runtime::{Clock, Compute};
pub use lease::Terms;
pub use name::Name;
pub use node::{Connectors, Node, NodeOptions, NodeStats, StartError};
pub use plant::Plant;
pub use preflight::{Preflight, SenderForecast};
pub use recipients::{Recipients, Standing};
