//! Kabar's engine: **it decides**. Pure values and functions: told the time, handed its randomness, same
//! input, same output. It owns the aggregates, the [`entry::Entry`] vocabulary and [`overlay::Overlay`] with
//! `needs`, `decide` and `fold`, the one place that says what an entry means.
//!
//! It is not: a clock, a file, a socket, an environment, an async runtime. Nothing here waits.

pub mod address;
pub mod audience;
pub mod beside;
pub mod campaign;
pub mod cause;
pub mod chunk;
pub mod consent;
pub mod content;
pub mod conversation;
pub mod entry;
pub mod event;
pub mod fair;
pub mod frequency;
pub mod hash;
pub mod health;
pub mod id;
pub mod lease;
pub mod mark;
pub mod media;
pub mod message;
pub mod notice;
pub mod once;
pub mod optout;
pub mod outgoing;
pub mod overlay;
pub mod pacing;
pub mod part;
pub mod plant;
pub mod pricing;
pub mod provider_template;
pub mod schedule;
pub mod spintax;
pub mod status;
pub mod subscription;
pub mod template;
pub mod time;
pub mod why;
