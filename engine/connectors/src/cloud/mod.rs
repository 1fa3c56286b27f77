//! Meta's Cloud API, the Graph face of WhatsApp: sending, and reading what its webhooks bring.
//!
//! Beside them what manages an account: templates, numbers, profiles, blocked people, tokens. Not WhatsApp Web.
//! Source: the public Cloud API reference.

mod answer;
mod block;
mod classify;
mod graph;
mod inbound;
mod media;
mod number;
mod outline;
mod profile;
mod proof;
mod rest;
mod send;
mod signature;
mod status;
mod template;
mod token;
mod upload;
mod webhook;
mod wire;

pub use block::{BLOCKS_MAX, BlockDone, BlockFailed, BlockOutcome, BlockedPage, BlockedUser};
pub use classify::{Class, Shape, aftermath, classify};
pub use graph::{Graph, GraphConfig, GraphFailure, Refusal};
pub use media::{File, MediaPlace, delete_media, find_media, open_media, read_sha256, upload_media};
pub use number::{CodeMethod, NumberFacts, Override};
pub use profile::ProfileEdit;
pub use proof::Proofs;
pub use send::{CloudApi, CloudConfig, ConfigError};
pub use signature::{Claim, challenge, verify};
pub use template::{NewProviderTemplate, ProviderTemplate, ProviderTemplateEdit, TemplateCreated};
pub use token::{GranularScope, TokenFacts};
pub use upload::{Handle, upload};
pub use webhook::{
    Change, InboundMessage, InboundStatus, NumberError, NumberEvents, ParseError, UnknownItem,
    UserPreference, parse,
};
