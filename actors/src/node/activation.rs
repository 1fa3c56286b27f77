//! A node's actors: found, activated when there is something to do, and told. Not what they do.

use super::{KEY_RETRY_MS, Node};
use crate::campaign::{self, Campaign};
use crate::conversation::{self, Conversation};
use crate::name::Name;
use crate::part::{self, Part, PartName};
use crate::session::{self, Session};
use kabar_engine::id::{SessionId, ShardId, TenantId};
use kabar_engine::overlay::Wake;
use kabar_runtime::{Handle, Limits, Refused};
use std::sync::Arc;

/// A session's actor leaves after this long without a word.
const SESSION_IDLE_MS: u64 = 60_000;

impl Node {
    /// The session's actor, if it lives.
    #[must_use]
    pub fn live_session(&self, session: SessionId) -> Option<Handle<session::Message>> {
        self.runtime.directory().get(&Name::Session(session))
    }

    /// The session's actor, activated if need be.
    pub async fn session_handle(
        self: &Arc<Self>,
        tenant: TenantId,
        session: SessionId,
    ) -> Option<Handle<session::Message>> {
        let me = Arc::downgrade(self);
        let make = move || Session::new(me.clone(), tenant, session);
        let shard = u16::from(ShardId::of_session(tenant, session).0);
        let key = Name::Session(session);
        let supervisor = self.runtime.supervisor(shard);
        supervisor.activate(key, session::LABEL, session_limits(), make).await.ok()
    }

    /// Tells a conversation's actor, activated if need be.
    ///
    /// # Errors
    /// Its mailbox is full, or it is being restarted.
    pub async fn converse(
        self: &Arc<Self>,
        tenant: TenantId,
        session: SessionId,
        talk: u64,
        message: conversation::Message,
    ) -> Result<(), Refused> {
        if !self.store.keyring.known(tenant) && self.store.keyring.ensure(tenant).await.is_err() {
            return Err(Refused::Overloaded { retry_after_ms: KEY_RETRY_MS });
        }
        let me = Arc::downgrade(self);
        let make = move || Conversation::new(me.clone(), tenant, session);
        let shard = u16::from(ShardId::of_session(tenant, session).0);
        let key = Name::Conversation(session, talk);
        let supervisor = self.runtime.supervisor(shard);
        supervisor.deliver(key, conversation::LABEL, conversation::limits(), make, message).await
    }

    /// Tells an actor that it has something to do; one that has a full mailbox will look anyway.
    pub fn wake(self: &Arc<Self>, wake: Wake) {
        if self.is_draining() {
            return;
        }
        let directory = self.runtime.directory();
        let told = match wake {
            Wake::Session(_, id) => {
                directory.get(&Name::Session(id)).map(|h| h.offer(session::Message::Work))
            }
            Wake::Campaign(_, id) => {
                directory.get(&Name::Campaign(id)).map(|h| h.offer(campaign::Message::Work))
            }
            Wake::Part(_, id, part, _) => {
                directory.get(&Name::Part(id, part)).map(|h| h.offer(part::Message::Work))
            }
        };
        if matches!(told, None | Some(Err(Refused::Gone))) {
            let node = Arc::clone(self);
            tokio::spawn(async move { node.activate(wake).await });
        }
    }

    /// Wakes an actor that does not live; one that does has its own timers.
    pub(crate) fn wake_if_absent(self: &Arc<Self>, wake: Wake) {
        let directory = self.runtime.directory();
        let lives = match wake {
            Wake::Session(_, id) => directory.get::<session::Message>(&Name::Session(id)).is_some(),
            Wake::Campaign(_, id) => directory.get::<campaign::Message>(&Name::Campaign(id)).is_some(),
            Wake::Part(_, id, part, _) => directory.get::<part::Message>(&Name::Part(id, part)).is_some(),
        };
        if !lives {
            self.wake(wake);
        }
    }

    /// A refused activation is not lost: the keeper looks for idle work every half second.
    async fn activate(self: Arc<Self>, wake: Wake) {
        let me = Arc::downgrade(&self);
        let limits = Limits { mailbox: 256, idle_ms: None };
        let told = match wake {
            Wake::Session(tenant, id) => {
                let Some(handle) = self.session_handle(tenant, id).await else { return };
                handle.offer(session::Message::Work)
            }
            Wake::Campaign(tenant, id) => {
                let supervisor = self.runtime.supervisor(u16::from(ShardId::of_campaign(tenant, id).0));
                let make = move || Campaign::new(me.clone(), tenant, id);
                let message = campaign::Message::Work;
                supervisor.deliver(Name::Campaign(id), campaign::LABEL, limits, make, message).await
            }
            Wake::Part(tenant, campaign, part, session) => {
                let supervisor = self.runtime.supervisor(u16::from(ShardId::of_session(tenant, session).0));
                let name = PartName { tenant, campaign, part, session };
                let make = move || Part::new(me.clone(), name);
                let message = part::Message::Work;
                supervisor.deliver(Name::Part(campaign, part), part::LABEL, limits, make, message).await
            }
        };
        if let Err(refused) = told {
            tracing::debug!(?refused, "an actor could not be woken now");
        }
    }

    /// Makes an actor panic; for the test that sees it come back. `false` when it does not live.
    #[must_use]
    pub fn plant_panic(&self, name: Name) -> bool {
        let directory = self.runtime.directory();
        let told = match name {
            Name::Session(_) => directory.get(&name).map(|h| h.force(session::Message::Panic)),
            Name::Conversation(..) => directory.get(&name).map(|h| h.force(conversation::Message::Panic)),
            Name::Campaign(_) => directory.get(&name).map(|h| h.force(campaign::Message::Panic)),
            Name::Part(..) => directory.get(&name).map(|h| h.force(part::Message::Panic)),
            Name::Webhook(_) => directory.get(&name).map(|h| h.force(crate::subscription::Message::Panic)),
        };
        matches!(told, Some(Ok(())))
    }
}

fn session_limits() -> Limits {
    Limits { mailbox: 4_096, idle_ms: Some(SESSION_IDLE_MS) }
}
