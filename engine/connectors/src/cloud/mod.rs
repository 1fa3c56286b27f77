//! Meta's Cloud API, the Graph face of WhatsApp: sending, and reading what its webhooks bring.
//!
//! Not WhatsApp Web. Source: the public Cloud API reference.

mod answer;
mod classify;
mod graph;
mod inbound;
mod media;
mod send;
mod signature;
mod status;
mod upload;
mod webhook;
mod wire;

pub use graph::{Graph, GraphConfig, GraphFailure, Refusal};
pub use media::{File, MediaPlace, delete_media, find_media, open_media, read_sha256, upload_media};
pub use send::{CloudApi, CloudConfig, ConfigError};
pub use signature::{challenge, verify};
pub use upload::{Handle, upload};
pub use webhook::{
    Change, InboundMessage, InboundStatus, NumberError, NumberEvents, ParseError, UnknownItem,
    UserPreference, parse,
};
