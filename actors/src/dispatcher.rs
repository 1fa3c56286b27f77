//! The typed front door of the live system: finds the shard or actor that answers, here (or, later, on the
//! node that owns it). Not HTTP, not authorisation: the caller has authorised the tenant.

mod account;
mod campaign;
mod contact;
mod conversation;
mod event;
mod follow;
mod media;
mod message;
mod provider_template;
mod receipt;
mod subscription;
mod wait;
mod why;

pub use account::{Removal, RemoveError};
pub use contact::ContactWalk;
pub use conversation::Named;
pub use event::{Event, EventAsk, EventError, EventPage, EventPlace};
pub use follow::{Follow, Follower};
pub use subscription::{Replay, Replayed};
pub use why::{Attempt, Explanation, Missing};

use crate::conversation::{Message as Word, hash};
use crate::frequency::has_enough;
use crate::import::{Importer, ImporterParts};
use crate::metrics;
use crate::node::Node;
use crate::provider_template::{TemplateBarrier, barrier};
use crate::session;
use crate::shard::DoorError;
use crate::trace;
use crate::view::SessionView;
use crate::webhook::{self, Receipt, WebhookError};
use bytes::Bytes;
use kabar_engine::address::Address;
use kabar_engine::entry::{ConsentSource, Idempotency};
use kabar_engine::id::{MessageId, SessionId, ShardId, TenantId};
use kabar_engine::optout::Wish;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::overlay::{Answer, Input, Refusal};
use kabar_engine::pacing::Lane;
use kabar_runtime::{Refused, Reply};
use kabar_schema::records::Session as SessionRecord;
use std::sync::Arc;

/// What a caller is told to wait when the store does not answer.
const RETRY_MS: u64 = 1_000;
/// Tries to reach an actor that is being restarted; nothing is decided between them.
const TRIES: u32 = 40;
/// Wait between them.
const TRY_WAIT_MS: u64 = 25;

/// An accepted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub message: MessageId,
    /// Whether an idempotency key met its earlier request.
    pub replayed: bool,
}

/// An action that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acted {
    /// Whether that was earlier, under the same idempotency key; nothing was done now.
    pub replayed: bool,
}

impl From<Answer> for Acted {
    fn from(answer: Answer) -> Self {
        Self { replayed: matches!(answer, Answer::Replayed) }
    }
}

/// A person's wish as the tenant learned it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Through which session; an idempotency key counts in it, without one for the person alone.
    pub session: Option<SessionId>,
    /// The person.
    pub address: Address,
    /// In or out.
    pub wish: Wish,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The engine said no.
    #[error(transparent)]
    Refused(Refusal),
    /// There is no such thing, or it is another tenant's.
    #[error("not found")]
    NotFound,
    /// Too much at once.
    #[error("overloaded")]
    Overloaded {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Certainly not done.
    #[error("unavailable")]
    Unavailable {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// It may have been done: repeat with the same idempotency key.
    #[error("the outcome is not known")]
    Unknown,
    /// The template it names is known not to take it.
    #[error(transparent)]
    Template(Box<TemplateBarrier>),
}

impl From<DoorError> for DispatchError {
    fn from(error: DoorError) -> Self {
        match error {
            DoorError::Refused(Refusal::NotFound) => Self::NotFound,
            DoorError::Refused(refusal) => Self::Refused(refusal),
            DoorError::Overloaded => Self::Overloaded { retry_after_ms: RETRY_MS },
            DoorError::Unavailable => Self::Unavailable { retry_after_ms: RETRY_MS },
            DoorError::Unknown => Self::Unknown,
        }
    }
}

impl From<kabar_schema::error::StoreError> for DispatchError {
    fn from(error: kabar_schema::error::StoreError) -> Self {
        DoorError::from(error).into()
    }
}

/// The front door. Cheap to clone.
#[derive(Clone)]
pub struct Dispatcher(Arc<Node>);

impl Dispatcher {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self(node)
    }

    /// Accepts one message; when this answers it is durable.
    ///
    /// # Errors
    /// [`DispatchError`]; after `Unknown` a repeat with the same idempotency key tells.
    pub async fn send(&self, draft: Draft) -> Result<Sent, DispatchError> {
        let (tenant, session, talk) = (draft.tenant, draft.session, hash(&draft.to));
        let mut draft = Box::new(draft);
        let cap = match draft.lane {
            Lane::Broadcast => self.0.policy(tenant).await.cap,
            Lane::Reply | Lane::Transactional => None,
        };
        // Of two at once to one person the second sees the first.
        let _turn = match cap {
            Some(_) => Some(self.0.marketing_turn(tenant, &draft.to).await),
            None => None,
        };
        if let Some(cap) = cap {
            draft.had_enough = has_enough(&self.0, tenant, &draft.to, cap).await?;
        }
        // Told to the door the same way: a repeat of what was accepted is answered like the first, whatever holds now.
        let unfit = barrier(&self.0, (tenant, session), &draft.content).await?;
        draft.had_enough |= unfit.is_some();
        for _ in 0..TRIES {
            let (reply, answer) = Reply::channel();
            let message = Word::Send(draft.clone(), reply);
            match self.0.converse(tenant, session, talk, message).await {
                Ok(()) => {}
                Err(Refused::Overloaded { retry_after_ms }) if retry_after_ms > TRY_WAIT_MS => {
                    metrics::refused("mailbox");
                    return Err(DispatchError::Overloaded { retry_after_ms });
                }
                Err(_) => {
                    self.0.clock().sleep_ms(TRY_WAIT_MS).await;
                    continue;
                }
            }
            return match answer.await {
                Ok(Ok(Answer::Accepted { message, replayed })) => {
                    metrics::accepted();
                    trace::accepted(message, session, replayed);
                    Ok(Sent { message, replayed })
                }
                Ok(Ok(_)) => Err(DispatchError::Unknown),
                Ok(Err(DoorError::Refused(Refusal::FrequencyCap))) if unfit.is_some() => {
                    metrics::refused("template");
                    Err(unfit
                        .map_or(DispatchError::Unknown, |unfit| DispatchError::Template(Box::new(unfit))))
                }
                Ok(Err(error)) => {
                    if let DoorError::Refused(refusal) = &error {
                        metrics::refused(refusal.name());
                    }
                    Err(error.into())
                }
                // The actor died over it: with a key the caller can ask again, without one nobody knows.
                Err(_) => Err(DispatchError::Unknown),
            };
        }
        metrics::refused("restarting");
        Err(DispatchError::Overloaded { retry_after_ms: RETRY_MS })
    }

    /// Cancels a message that was not sent yet. The key counts in its session, among those of sends.
    ///
    /// # Errors
    /// `NotFound`, or `WrongPhase` when it is on the wire or has ended.
    pub async fn cancel_message(
        &self,
        tenant: TenantId,
        message: MessageId,
        idempotency: Option<Idempotency>,
    ) -> Result<Acted, DispatchError> {
        let shard = self.0.shard(message.shard());
        Ok(shard.ask(Input::CancelMessage { tenant, message, idempotency }).await?.into())
    }

    /// Records a person's wish: in the named session's shard, without one in the address's own.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn consent(
        &self,
        tenant: TenantId,
        told: Told,
        idempotency: Option<Idempotency>,
    ) -> Result<Acted, DispatchError> {
        let Told { session, address, wish } = told;
        let home = session.map_or_else(
            || ShardId::of_address(tenant, &address),
            |session| ShardId::of_session(tenant, session),
        );
        let source = ConsentSource::Api;
        let input = Input::Consent { tenant, session, address, wish, source, idempotency };
        Ok(self.0.shard(home).ask(input).await?.into())
    }

    /// A session as it stands now; `None` when there is no such record.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn session(
        &self,
        tenant: TenantId,
        id: SessionId,
    ) -> Result<Option<SessionView>, DispatchError> {
        if self.0.store().nouns.get::<SessionRecord>(tenant, id.0).await?.is_none() {
            return Ok(None);
        }
        let shard = self.0.shard_of_session(tenant, id);
        let outbox = shard.peek(|o| o.outbox(id).map_or(0, kabar_engine::overlay::Outbox::len));
        let look = match self.0.live_session(id) {
            Some(handle) => handle.ask(session::Message::Look).await.ok(),
            None => None,
        };
        let state = match look {
            Some(l) if l.link_lost => "link_lost",
            Some(l) if l.restricted => "restricted",
            Some(l) if l.paused_until.is_some() => "throttled",
            Some(l) if l.in_flight > 0 || outbox > 0 => "working",
            _ => "idle",
        };
        Ok(Some(SessionView {
            outbox,
            state,
            paused_until: look.and_then(|l| l.paused_until),
            last_success: look.and_then(|l| l.last_success),
        }))
    }

    /// Looks at what a provider's webhook says before its body, which is then worth reading.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn expect_webhook(
        &self,
        app: u64,
        signature: Option<&str>,
    ) -> Result<webhook::Expected, WebhookError> {
        webhook::expect(&self.0, app, signature).await
    }

    /// Takes the body of a provider's webhook; `Ok` only when everything in it is durable.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn take_webhook(
        &self,
        expected: webhook::Expected,
        body: Bytes,
    ) -> Result<Receipt, WebhookError> {
        webhook::receive(&self.0, expected, &body).await
    }

    /// Takes a provider's webhook that is whole; `Ok` only when everything in it is durable.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn webhook(
        &self,
        app: u64,
        signature: Option<&str>,
        body: Bytes,
    ) -> Result<Receipt, WebhookError> {
        self.take_webhook(self.expect_webhook(app, signature).await?, body).await
    }

    /// Answers a provider's verification of the webhook address; `None` when the token is wrong.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn challenge(
        &self,
        app: u64,
        mode: &str,
        token: &str,
        challenge: &str,
    ) -> Result<Option<String>, DispatchError> {
        let app = self.0.app(app).await?.ok_or(DispatchError::NotFound)?;
        Ok(kabar_connectors::cloud::challenge(&app.verify_token, Some(mode), Some(token), Some(challenge)))
    }

    /// Reads contact files.
    #[must_use]
    pub fn importer(&self) -> Importer {
        let (node, flushing) = (Arc::clone(&self.0), Arc::clone(&self.0));
        Importer::new(ImporterParts {
            contacts: Arc::clone(&self.0.store().contacts),
            nouns: self.0.store().nouns.clone(),
            compute: self.0.compute().clone(),
            clock: self.0.clock().clone(),
            opt_out: Arc::new(move |tenant, address| {
                let node = Arc::clone(&node);
                Box::pin(async move {
                    let shard = node.shard(ShardId::of_address(tenant, &address));
                    let (session, idempotency) = (None, None);
                    let (wish, source) = (Wish::OptOut, ConsentSource::Api);
                    let input = Input::Consent { tenant, session, address, wish, source, idempotency };
                    shard.ask(input).await.map(|_| ()).map_err(|error| match error {
                        DoorError::Unknown => kabar_schema::error::StoreError::Unknown,
                        DoorError::Overloaded => kabar_schema::error::StoreError::Overloaded,
                        _ => kabar_schema::error::StoreError::Unavailable,
                    })
                })
            }),
            settled: Arc::new(move || {
                let node = Arc::clone(&flushing);
                Box::pin(async move { node.flush().await })
            }),
        })
    }
}
