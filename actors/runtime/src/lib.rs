//! The actor layer: names, admission, supervision, passivation, timers, clock, and the compute pool.
//!
//! *ractor owns names, actix owns cores.* Every actor is a ractor actor under the supervisor of its shard;
//! CPU-bound jobs run on a pool of threads owned by actix. This package is not a place for anything about
//! WhatsApp, storage or the network, and it keeps nothing global: several [`Node`]s live in one process and do not
//! see each other (so neither `ractor::registry` nor `ractor::pg` is used).
//!
//! What a caller may rely on:
//!
//! - An offered message is handled, or the offer was refused, or the actor failed (panicked, was killed, or its
//!   shard was stopped) while the message waited. In the last case an `ask` is answered [`Refused::Gone`], a plain
//!   message is lost: nothing may exist only in a mailbox.
//! - Passivation loses nothing: a message that races with it is handled or refused.
//! - Messages of one sender to one actor keep their order.
//! - A panicking actor comes back from its factory under the same key, and its [`Handle`]s stay valid.

pub mod actor;
mod admission;
mod cell;
pub mod clock;
pub mod compute;
pub mod directory;
pub mod handle;
mod host;
pub mod metrics;
pub mod node;
mod passivation;
pub mod restart;
pub mod supervisor;
pub mod timer;

pub use actor::{Actor, Context, Name, Next};
pub use clock::Clock;
pub use compute::{Compute, ComputeError, ComputeOptions};
pub use directory::Directory;
pub use handle::{Answer, Handle, Refused, Reply};
pub use node::{Limits, Node, NodeOptions, Tally};
pub use restart::RestartPolicy;
pub use supervisor::Supervisor;
pub use timer::Timer;
