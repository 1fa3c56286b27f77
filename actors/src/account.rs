//! A session's account at Meta: its number, profile, block list, registration, and what is known of them. Each call is made
//! once, with the session's token. Not the sending of messages, and not templates ([`crate::provider_template`]).

mod known;
mod look;

pub use kabar_connectors::Secret;
pub use kabar_connectors::cloud::{
    BLOCKS_MAX, BlockOutcome, BlockedPage, CodeMethod, GraphFailure, NewProviderTemplate, NumberFacts,
    Override, ProfileEdit, ProviderTemplateEdit, Refusal, TokenFacts,
};
pub use known::Accounts;
pub use look::{NumberLook, Refused, WhyNot, look, noted, rate};

use crate::node::Node;
use bytes::BytesMut;
use futures::stream::StreamExt;
use kabar_connectors::cloud::{Graph, upload};
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Number, Session};
use serde_json::Value;
use std::sync::Arc;

/// A call that somebody waits for is given up after this (ms).
const ASK_MS: u64 = 8_000;
/// Largest sample: what a video in a message may have at most.
const SAMPLE_MAX: u64 = 16 << 20;

/// Why a call brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// There is no such session.
    #[error("there is no such session")]
    NoSession,
    /// Which account the number is of is not known.
    #[error("the account of the number is not known")]
    NoAccount,
    /// There is no such template.
    #[error("there is no such template")]
    NoTemplate,
    /// Meta's id of the app is not known.
    #[error("Meta's id of the app is not known")]
    NoApp,
    /// There is no such media.
    #[error("there is no such media")]
    NoMedia,
    /// The media is larger than a sample may be.
    #[error("the media is too large")]
    TooLarge,
    /// Meta answered that it did nothing, and perhaps why.
    #[error("not done: {0}")]
    NotDone(String),
    /// Meta said no, or nothing.
    #[error(transparent)]
    Graph(#[from] GraphFailure),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A session with its way to Meta.
pub struct Account {
    /// The session.
    pub session: Session,
    /// What is known of its number.
    pub number: Option<Arc<Number>>,
    graph: Graph,
}

impl Account {
    /// Of a session.
    ///
    /// # Errors
    /// `NoSession`, or what the store could not do.
    pub async fn of(node: &Node, tenant: TenantId, id: SessionId) -> Result<Self, AccountError> {
        let found = node.store().nouns.get::<Session>(tenant, id.0).await?;
        let session = found.ok_or(AccountError::NoSession)?.noun;
        let number = node.accounts.number(node, tenant, id).await?;
        let graph = graph(node, &session).await?;
        Ok(Self { session, number, graph })
    }

    /// Meta's id of the account.
    ///
    /// # Errors
    /// `NoAccount`.
    pub fn waba(&self) -> Result<&str, AccountError> {
        self.number.as_ref().and_then(|number| number.waba_id.as_deref()).ok_or(AccountError::NoAccount)
    }

    /// Meta's id of the app: the tenant's word, else the token's.
    ///
    /// # Errors
    /// `NoApp`, or what the store could not do.
    async fn app(&self, node: &Node) -> Result<String, AccountError> {
        let said = node.app(self.session.app).await?.and_then(|app| app.meta_id.clone());
        said.or_else(|| self.number.as_ref().and_then(|number| number.app_id.clone()))
            .ok_or(AccountError::NoApp)
    }

    /// Uploads media of ours to the app, and gives what Meta calls it by: for the sample of a template or the picture of a
    /// profile.
    ///
    /// # Errors
    /// `NoApp`, `NoMedia`, `TooLarge`, [`AccountError::Graph`].
    pub async fn upload(&self, node: &Node, media: MediaId) -> Result<String, AccountError> {
        let tenant = self.session.tenant;
        let opened = crate::media::open(node, tenant, media).await?.ok_or(AccountError::NoMedia)?;
        let app = self.app(node).await?;
        if opened.media.bytes > SAMPLE_MAX {
            return Err(AccountError::TooLarge);
        }
        let mut bytes = BytesMut::new();
        let mut parts = opened.bytes;
        while let Some(part) = parts.next().await {
            bytes.extend_from_slice(&part?);
        }
        let name = opened.media.filename.as_deref().unwrap_or("sample");
        let handle = upload(&self.graph, &app, &opened.media.mime, name, bytes.freeze()).await?;
        Ok(handle.0)
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    fn id(&self) -> &str {
        &self.session.phone_number_id
    }

    /// Chosen fields of the number, in Meta's shape; all it gives by itself when none are chosen.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn fields(&self, fields: Option<&str>) -> Result<Value, AccountError> {
        Ok(self.graph.number_fields(self.id(), fields).await?)
    }

    /// The account's numbers.
    ///
    /// # Errors
    /// `NoAccount`, [`AccountError::Graph`].
    pub async fn numbers(&self) -> Result<Vec<NumberFacts>, AccountError> {
        Ok(self.graph.numbers(self.waba()?).await?)
    }

    /// The number's profile, in Meta's shape.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn profile(&self) -> Result<Value, AccountError> {
        Ok(self.graph.profile(self.id()).await?)
    }

    /// Replaces what is said of it.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn set_profile(&self, edit: &ProfileEdit) -> Result<Value, AccountError> {
        done(self.graph.set_profile(self.id(), edit).await?)
    }

    /// A page of whom the number has blocked.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn blocked(&self, after: Option<&str>, limit: usize) -> Result<BlockedPage, AccountError> {
        Ok(self.graph.blocked(self.id(), after, limit).await?)
    }

    /// Blocks people, or takes it back.
    ///
    /// # Errors
    /// [`AccountError::Graph`] when nothing was done; a part that failed is in the outcome.
    pub async fn block(&self, users: &[String], back: bool) -> Result<BlockOutcome, AccountError> {
        let id = self.id();
        Ok(if back { self.graph.unblock(id, users).await? } else { self.graph.block(id, users).await? })
    }

    /// Has Meta send the code that proves the number.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn request_code(&self, method: CodeMethod, language: &str) -> Result<Value, AccountError> {
        done(self.graph.request_code(self.id(), method, language).await?)
    }

    /// Proves the number with that code.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn verify_code(&self, code: &Secret) -> Result<Value, AccountError> {
        done(self.graph.verify_code(self.id(), code).await?)
    }

    /// Registers the number with the Cloud API.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn register(&self, pin: &Secret, region: Option<&str>) -> Result<Value, AccountError> {
        done(self.graph.register(self.id(), pin, region).await?)
    }

    /// Takes it from the Cloud API.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn deregister(&self) -> Result<Value, AccountError> {
        done(self.graph.deregister(self.id()).await?)
    }

    /// Sets the two-step PIN.
    ///
    /// # Errors
    /// [`AccountError::Graph`].
    pub async fn set_pin(&self, pin: &Secret) -> Result<Value, AccountError> {
        done(self.graph.set_pin(self.id(), pin).await?)
    }

    /// The apps that get the account's webhooks, in Meta's shape.
    ///
    /// # Errors
    /// `NoAccount`, [`AccountError::Graph`].
    pub async fn subscribed_apps(&self) -> Result<Value, AccountError> {
        Ok(self.graph.subscribed_apps(self.waba()?).await?)
    }

    /// Has the token's app get them, at its own address or at another.
    ///
    /// # Errors
    /// `NoAccount`, [`AccountError::Graph`].
    pub async fn subscribe_app(&self, to: Option<&Override>) -> Result<Value, AccountError> {
        done(self.graph.subscribe_app(self.waba()?, to).await?)
    }

    /// Has the token's app get them no more.
    ///
    /// # Errors
    /// `NoAccount`, [`AccountError::Graph`].
    pub async fn unsubscribe_app(&self) -> Result<Value, AccountError> {
        done(self.graph.unsubscribe_app(self.waba()?).await?)
    }
}

/// An answer that says it was done, or at least not that it was not.
pub(crate) fn done(answer: Value) -> Result<Value, AccountError> {
    if answer["success"] != false {
        return Ok(answer);
    }
    let why = answer["reason"].as_str().or_else(|| answer["error"].as_str()).unwrap_or_default();
    Err(AccountError::NotDone(why.chars().take(512).collect()))
}

/// The way of a session to Meta for what somebody waits for.
async fn graph(node: &Node, session: &Session) -> Result<Graph, AccountError> {
    let graph = node.graph(session).await.map_err(|_| GraphFailure::NotReached)?;
    Ok(graph.within(ASK_MS))
}
