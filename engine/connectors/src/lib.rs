//! Kabar's connectors: **they speak** to third parties, and nothing else does. One HTTP client towards
//! providers and tenants' URLs, and per provider a [`Connector`] that sends and a parser of what comes back.
//!
//! They are not: a decision (the engine's), a retry or a queue (the actors'), a store. Every call is made once;
//! what its outcome means for the message is said by [`SendError`] and nothing else.

pub mod client;
pub mod cloud;
mod metrics;
mod secret;
pub mod webhook;

pub use futures::future::BoxFuture;
pub use secret::Secret;

use kabar_engine::outgoing::{Accepted, Outgoing, SendError};

/// A provider that messages can be handed to.
pub trait Connector: Send + Sync {
    /// Hands over one message, once. Dropping the future may leave a request on the wire: the outcome is then
    /// ambiguous.
    ///
    /// # Errors
    /// [`SendError`]; only `Ambiguous` leaves open whether the provider has the message.
    fn send<'a>(&'a self, m: &'a Outgoing) -> BoxFuture<'a, Result<Accepted, SendError>>;

    /// What this provider can do, as data.
    fn capabilities(&self) -> &Capabilities;
}

/// What a provider can do. Data, not code: shown by the API and checked before a message is promised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The connector's name in routes, records and metrics.
    pub name: &'static str,
    /// Templates approved by the provider.
    pub templates: bool,
    /// Free-form content only within 24 hours of the person's last message.
    pub window: bool,
    /// The provider fetches media from a link.
    pub media_by_link: bool,
    /// Media is uploaded first and sent by its id.
    pub media_by_id: bool,
    /// Polls.
    pub polls: bool,
    /// Reply buttons.
    pub buttons: bool,
    /// Lists of rows.
    pub lists: bool,
    /// Emoji on an earlier message.
    pub reactions: bool,
    /// A message that quotes an earlier one.
    pub quotes: bool,
    /// Telling the person that their message was read.
    pub read_receipts: bool,
    /// Telling the person that an answer is being typed.
    pub typing: bool,
    /// Business-scoped user ids as recipients.
    pub user_ids: bool,
    /// LIDs as recipients.
    pub lids: bool,
    /// Groups.
    pub groups: bool,
    /// Whether the same message sent twice under one reference reaches the person once.
    pub idempotent: bool,
    /// Most characters of a text.
    pub text_max: u32,
}
