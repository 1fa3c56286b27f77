//! The subscriptions that are served on this node, and who carries: how an event is written is told by the edge, how it
//! is called by the connectors. Not the deliveries themselves: each subscription has an actor.

use crate::dispatcher::Event;
use bytes::Bytes;
use dashmap::DashMap;
use futures::future::BoxFuture;
use kabar_connectors::client::{Client, Guard, Limits};
use kabar_connectors::webhook::{self, Delivered, Delivery};
use kabar_engine::id::{TenantId, WebhookId};
use kabar_engine::subscription::Envelope;
use kabar_schema::error::StoreError;
use kabar_schema::records::{Nouns, Subscription};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longest attempt.
const DEADLINE: Duration = Duration::from_secs(15);
/// Subscriptions read at once.
const PAGE: usize = 200;
/// The records are read anew this often (ms); what is made or changed here is heard at once.
const READ_MS: i64 = 60_000;
/// Idle connections kept towards one host.
const IDLE_PER_HOST: usize = 16;

/// Writes an event as its receivers see it; `None` when there are no words for it. An error is one of the store: it is
/// tried again.
pub type Render = Arc<
    dyn Fn(TenantId, Event, Envelope) -> BoxFuture<'static, Result<Option<Bytes>, StoreError>> + Send + Sync,
>;
/// Makes one attempt.
pub type Call = Arc<dyn Fn(Delivery) -> BoxFuture<'static, Delivered> + Send + Sync>;
/// Asks an address whether it is meant, with the token it was given: Meta's handshake.
pub type Verify = Arc<dyn Fn(String, String) -> BoxFuture<'static, bool> + Send + Sync>;

/// How events are written and called.
#[derive(Clone)]
pub struct Courier {
    /// The event's text.
    pub render: Render,
    /// The call.
    pub call: Call,
    /// The handshake.
    pub verify: Verify,
}

impl Courier {
    /// One that calls for real, where the guard allows it.
    #[must_use]
    pub fn calling(render: Render, guard: Guard) -> Self {
        let limits = Limits { idle_per_host: IDLE_PER_HOST, answer_max: 64 * 1024, ..Limits::default() };
        let client = Client::new(limits, guard);
        let asking = client.clone();
        let call = move |delivery| -> BoxFuture<'static, Delivered> {
            let client = client.clone();
            Box::pin(async move { webhook::deliver(&client, delivery, DEADLINE).await })
        };
        let verify = move |url: String, token: String| -> BoxFuture<'static, bool> {
            let (client, challenge) = (asking.clone(), rand::random::<u64>().to_string());
            Box::pin(async move { webhook::handshake(&client, &url, &token, &challenge, DEADLINE).await })
        };
        Self { render, call: Arc::new(call), verify: Arc::new(verify) }
    }
}

/// What is served.
pub(crate) struct Served {
    courier: OnceLock<Courier>,
    enabled: DashMap<WebhookId, TenantId>,
    read_at: AtomicI64,
}

impl Default for Served {
    fn default() -> Self {
        let (courier, enabled) = (OnceLock::new(), DashMap::new());
        Self { courier, enabled, read_at: AtomicI64::new(i64::MIN) }
    }
}

impl Served {
    /// Begins; the first courier stays.
    pub(crate) fn begin(&self, courier: Courier) {
        let _ = self.courier.set(courier);
    }

    pub(crate) fn courier(&self) -> Option<&Courier> {
        self.courier.get()
    }

    /// It is served from now on.
    pub(crate) fn add(&self, tenant: TenantId, webhook: WebhookId) {
        self.enabled.insert(webhook, tenant);
    }

    /// It is served no more.
    pub(crate) fn remove(&self, webhook: WebhookId) {
        self.enabled.remove(&webhook);
    }

    /// Those that should have an actor.
    pub(crate) fn all(&self) -> Vec<(TenantId, WebhookId)> {
        self.enabled.iter().map(|line| (*line.value(), *line.key())).collect()
    }

    /// Reads the records when it is time.
    pub(crate) async fn refresh(&self, nouns: &Nouns, now: i64) -> Result<(), StoreError> {
        let read_at = self.read_at.load(Ordering::Acquire);
        if self.courier.get().is_none() || now.saturating_sub(read_at) < READ_MS {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = nouns.all::<Subscription>(after, PAGE).await?;
            for found in &page {
                if found.noun.disabled.is_none() {
                    self.add(found.noun.tenant, found.noun.id);
                }
            }
            after = page.last().map(|found| (found.noun.tenant, found.noun.id.0));
            if page.len() < PAGE {
                break;
            }
        }
        self.read_at.store(now, Ordering::Release);
        Ok(())
    }
}
