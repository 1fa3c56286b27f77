//! Kabar's edge: **it listens**. HTTP status codes, JSON shapes, authorisation, configuration, the command line and
//! the binary `kabar`. The only room that knows any of them.
//!
//! It is not: a decision about a message (the engine's), a row or a file (the schema's), or a wait (the actors').

mod auth;
mod body;
mod cache;
pub mod cli;
pub mod client;
pub mod config;
mod create;
mod csv;
pub mod demo;
mod dialect;
mod edge;
pub mod exit;
mod files;
pub mod metrics;
mod openapi;
mod page;
mod problem;
mod router;
mod routes;
mod secret;
pub mod serve;
mod share;
mod state;
mod telemetry;
