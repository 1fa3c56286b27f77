//! The conversation's actor: everything for one person over one number passes here one after the other, so
//! that sends and answers of a conversation keep their order. Activated by an input, passivated when idle. The
//! decision itself is the engine's, behind the shard's door.

use crate::node::Node;
use crate::shard::DoorError;
use kabar_engine::address::Address;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::overlay::decide::{Draft, Received};
use kabar_engine::overlay::{Answer, Input};
use kabar_runtime::{Actor, Context, Limits, Next, Reply};
use std::sync::Weak;

/// The actor's label.
pub const LABEL: &str = "conversation";
/// A conversation waits this long for the next word before its actor leaves.
const IDLE_MS: u64 = 30_000;

/// The bounds of a conversation's actor.
#[must_use]
pub fn limits() -> Limits {
    Limits { mailbox: 64, idle_ms: Some(IDLE_MS) }
}

/// What a conversation's actor is told.
pub enum Message {
    /// Send this.
    Send(Box<Draft>, Reply<Result<Answer, DoorError>>),
    /// The person wrote.
    Receive(Vec<Received>, Reply<Result<Answer, DoorError>>),
    /// A test makes it panic in the middle of work.
    Panic,
}

/// The name a conversation's actor is found under: never the number itself.
#[must_use]
pub fn hash(address: &Address) -> u64 {
    xxhash_rust::xxh3::xxh3_64(address.key().as_bytes())
}

/// The conversation's actor.
pub struct Conversation {
    node: Weak<Node>,
    tenant: TenantId,
    session: SessionId,
}

impl Conversation {
    /// An actor of a session.
    #[must_use]
    pub fn new(node: Weak<Node>, tenant: TenantId, session: SessionId) -> Self {
        Self { node, tenant, session }
    }
}

impl Actor for Conversation {
    type Message = Message;

    async fn handle(&mut self, message: Message, _ctx: &mut Context<Message>) -> Next {
        let Some(node) = self.node.upgrade() else { return Next::Stop };
        let shard = node.shard_of_session(self.tenant, self.session);
        match message {
            Message::Send(draft, reply) => {
                // Answers of different sends need not wait for each other's fsync: the door keeps the order.
                let asked = shard.ask_in_order(Input::Send(draft)).await;
                tokio::spawn(async move { reply.send(asked.conclude().await) });
            }
            Message::Receive(messages, reply) => {
                let (tenant, session) = (self.tenant, self.session);
                let asked = shard.ask_in_order(Input::Receive { tenant, session, messages }).await;
                tokio::spawn(async move { reply.send(asked.conclude().await) });
            }
            #[expect(clippy::panic, reason = "a test's way to see the supervisor at work")]
            Message::Panic => panic!("planted: a conversation's actor panics"),
        }
        Next::Continue
    }
}
