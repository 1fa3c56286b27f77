//! Webhook subscriptions through the front door: beginning to serve them, telling their actors what has changed, and
//! delivering again what is asked for. Their records are the edge's.

use super::event::EventError;
use super::{DispatchError, Dispatcher, RETRY_MS};
use crate::subscription::{Courier, Message, clean, tips};
use bytes::Bytes;
use kabar_connectors::Secret;
use kabar_connectors::webhook::{Delivered, Delivery};
use kabar_engine::id::{EventId, TenantId, WebhookId};
use kabar_engine::overlay::Refusal;
use kabar_engine::subscription::{BACKLOG, Pending};
use kabar_engine::time::Timestamp;
use kabar_runtime::Refused;
use kabar_schema::error::StoreError;
use kabar_schema::records::{AttemptLog, AttemptOutcome, Standing, Subscription};
use std::collections::BTreeSet;

/// What is delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// One event.
    Event(EventId),
    /// Everything from this moment on, in order.
    Since(Timestamp),
    /// What was given up and never delivered since.
    Missed,
}

/// What will be delivered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// How many events were taken; `None` when nobody has counted them.
    pub events: Option<usize>,
    /// Whether there were more than there was room for.
    pub more: bool,
}

impl Dispatcher {
    /// Serves subscriptions from now on.
    pub fn serve_webhooks(&self, courier: Courier) {
        self.0.served().begin(courier);
    }

    /// Writes down where a subscription that is being made begins: now, before its record says that it is there.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn begin_webhook(&self, tenant: TenantId, webhook: WebhookId) -> Result<(), DispatchError> {
        let now = Timestamp(self.0.clock().now_ms());
        let standing = Standing::begin(tenant, webhook, tips(&self.0), now);
        match self.0.store().nouns.create(&standing).await {
            // The same request came before.
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A subscription's record was made, changed or deleted; its actor heeds it when this returns.
    ///
    /// # Errors
    /// What the store could not do; the actor hears of it later all the same.
    pub async fn webhook_changed(&self, tenant: TenantId, webhook: WebhookId) -> Result<(), DispatchError> {
        let record = self.0.store().nouns.get::<Subscription>(tenant, webhook.0).await?;
        if record.as_ref().is_some_and(|found| found.noun.disabled.is_none()) {
            self.0.served().add(tenant, webhook);
        }
        if let Some(handle) = self.0.webhook_handle(tenant, webhook).await {
            // One that ends over it has heeded it too.
            let _ended = handle.ask(Message::Changed).await;
        }
        if record.is_none() {
            clean(&self.0, (tenant, webhook)).await?;
        }
        Ok(())
    }

    /// Delivers something again, to a subscription that is served. What is answered is durable.
    ///
    /// # Errors
    /// `NotFound` for an event that is none, `Expired` for what is no longer kept, `WrongPhase` when it is not served.
    pub async fn replay(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        what: Replay,
    ) -> Result<Replayed, EventError> {
        let events = match what {
            Replay::Event(event) => vec![event],
            Replay::Missed => self.missed(tenant, webhook).await?,
            Replay::Since(since) => {
                let handle = self.served(tenant, webhook).await?;
                let done = handle.ask(|reply| Message::Rewind(since, reply)).await.map_err(busy)?;
                done?;
                return Ok(Replayed { events: None, more: false });
            }
        };
        let (wanted, now) = (events.len(), Timestamp(self.0.clock().now_ms()));
        let mut pending = Vec::new();
        for event in events.into_iter().take(BACKLOG) {
            match self.event(tenant, event).await {
                Ok(Some(found)) => {
                    pending.push(Pending { event, lane: found.about.lane(), attempts: 0, due: now });
                }
                // Of many, those that are no longer kept are left out.
                Ok(None) | Err(EventError::Expired) if what == Replay::Missed => {}
                Ok(None) => return Err(DispatchError::NotFound.into()),
                Err(error) => return Err(error),
            }
        }
        let found = pending.len();
        let handle = self.served(tenant, webhook).await?;
        let taken = handle.ask(|reply| Message::Again(pending, reply)).await.map_err(busy)??;
        Ok(Replayed { events: Some(taken), more: taken < found || wanted > BACKLOG })
    }

    /// What was given up and not delivered since, the oldest first.
    async fn missed(&self, tenant: TenantId, webhook: WebhookId) -> Result<Vec<EventId>, EventError> {
        let nouns = &self.0.store().nouns;
        let Some(standing) = nouns.get::<Standing>(tenant, webhook.0).await? else { return Ok(Vec::new()) };
        let (mut missed, mut order) = (BTreeSet::new(), Vec::new());
        for page in standing.noun.log_begin..=standing.noun.log_end {
            let page = nouns.get::<AttemptLog>(tenant, AttemptLog::id_of(webhook, page)).await?;
            for line in page.into_iter().flat_map(|page| page.noun.lines) {
                match line.outcome {
                    AttemptOutcome::Failed if missed.insert(line.event) => order.push(line.event),
                    AttemptOutcome::Delivered => _ = missed.remove(&line.event),
                    _ => {}
                }
            }
        }
        order.retain(|event| missed.remove(event));
        Ok(order)
    }

    async fn served(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
    ) -> Result<kabar_runtime::Handle<Message>, EventError> {
        let record = self.0.store().nouns.get::<Subscription>(tenant, webhook.0).await?;
        let record = record.ok_or(DispatchError::NotFound)?.noun;
        if record.disabled.is_some() {
            return Err(DispatchError::Refused(Refusal::WrongPhase).into());
        }
        Ok(self.0.webhook_handle(tenant, webhook).await.ok_or_else(|| busy(Refused::Gone))?)
    }

    /// Makes one attempt with a text of the edge's; it is not tried again and stands in no log.
    pub async fn try_webhook(&self, record: &Subscription, id: String, body: Bytes) -> Option<Delivered> {
        let at = Timestamp(self.0.clock().now_ms());
        let secrets = record.secrets(at).into_iter().map(Secret::from).collect();
        let delivery = Delivery { url: record.url.clone(), id, at, body, secrets, envelope: record.envelope };
        let call = self.0.served().courier()?.call.clone();
        Some(call(delivery).await)
    }
}

impl Dispatcher {
    /// Meta's handshake with an address that is to be told in Meta's words; `None` when nobody delivers here.
    pub async fn verify_webhook(&self, url: &str, token: &str) -> Option<bool> {
        let verify = self.0.served().courier()?.verify.clone();
        Some(verify(url.to_owned(), token.to_owned()).await)
    }
}

fn busy(_: Refused) -> DispatchError {
    DispatchError::Unavailable { retry_after_ms: RETRY_MS }
}
