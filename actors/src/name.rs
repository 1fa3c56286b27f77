//! The names of actors on a node.

use kabar_engine::id::{CampaignId, SessionId, WebhookId};

/// Who an actor is. Conversations are named by the hash of their address, so that no name holds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A session: its outbox and its pace.
    Session(SessionId),
    /// A conversation.
    Conversation(SessionId, u64),
    /// A campaign's phase.
    Campaign(CampaignId),
    /// A campaign's part.
    Part(CampaignId, u32),
    /// A webhook subscription's deliveries.
    Webhook(WebhookId),
}

impl Name {
    /// The kind, as in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Session(_) => "session",
            Self::Conversation(..) => "conversation",
            Self::Campaign(_) => "campaign",
            Self::Part(..) => "part",
            Self::Webhook(_) => "webhook",
        }
    }
}
