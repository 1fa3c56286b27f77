//! End to end in one process: real actors, a real store, a real sandbox on loopback, and names that say the
//! promise. The real binary with real kills is `prove`; the rules of one room are tested in that room.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

mod append;
mod fault;
mod frequency;
mod health;
mod house;
mod media;
mod optout;
mod panic;
mod pause;
mod provider_template;
mod received;
mod receiver;
mod rest;
mod restart;
mod status;
mod subscription;
mod tenant;
mod timing;
mod validity;
mod why;
