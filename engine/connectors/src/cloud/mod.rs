//! Meta's Cloud API, the Graph face of WhatsApp: sending, and reading what its webhooks bring.
//!
//! Not WhatsApp Web. Source: the public Cloud API reference.

mod answer;
mod classify;
mod graph;
mod inbound;
mod send;
mod signature;
mod status;
mod webhook;
mod wire;

pub use classify::{Class, Shape, aftermath, classify};
pub use graph::{Graph, GraphConfig, GraphFailure, Refusal};
pub use send::{CloudApi, CloudConfig, ConfigError};
pub use signature::{challenge, verify};
pub use webhook::{
    Change, InboundMessage, InboundStatus, NumberError, NumberEvents, ParseError, UnknownItem,
    UserPreference, parse,
};
