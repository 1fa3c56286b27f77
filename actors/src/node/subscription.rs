//! The actors of webhook subscriptions on this node: brought to life, and again. Not what they do.

use super::Node;
use crate::name::Name;
use crate::subscription::{self, Served, Subscription};
use kabar_engine::id::{ShardId, TenantId, WebhookId};
use kabar_runtime::{Handle, Limits};
use kabar_schema::error::StoreError;
use std::sync::Arc;

impl Node {
    pub(crate) fn served(&self) -> &Served {
        &self.served
    }

    /// A subscription's actor, activated if need be.
    pub(crate) async fn webhook_handle(
        self: &Arc<Self>,
        tenant: TenantId,
        webhook: WebhookId,
    ) -> Option<Handle<subscription::Message>> {
        let me = Arc::downgrade(self);
        let make = move || Subscription::new(me.clone(), tenant, webhook);
        let shard = u16::from(ShardId::of_webhook(tenant, webhook).0);
        let limits = Limits { mailbox: subscription::MAILBOX, idle_ms: None };
        let supervisor = self.runtime.supervisor(shard);
        supervisor.activate(Name::Webhook(webhook), subscription::LABEL, limits, make).await.ok()
    }

    /// Brings the actors of subscriptions to life that do not live.
    pub(crate) async fn keep_webhooks(self: &Arc<Self>) -> Result<(), StoreError> {
        self.served.refresh(&self.store.nouns, self.clock.now_ms()).await?;
        for (tenant, webhook) in self.served.all() {
            let live = self.runtime.directory().get::<subscription::Message>(&Name::Webhook(webhook));
            if live.is_none() && !self.is_draining() {
                let _broken = self.webhook_handle(tenant, webhook).await;
            }
        }
        Ok(())
    }
}
