//! What a connector is asked to send and what it may answer: the engine's half of the connector seam. The
//! engine never sees an HTTP code.

use crate::address::Address;
use crate::cause::Cause;
use crate::content::Content;
use crate::id::{CampaignId, MessageId, SessionId, ShardId};
use crate::pacing::Throttle;
use std::sync::Arc;

/// Our name for one message on the wire, fixed by the claim before the call and echoed in every status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A message with a row of its own: `v1|shard|id`.
    Message(MessageId),
    /// A campaign's recipient by index: `v1|c|campaign|index`.
    Campaign(CampaignId, u32),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message(id) => write!(f, "v1|{}|{id}", id.shard().0),
            Self::Campaign(campaign, index) => write!(f, "v1|c|{campaign}|{index}"),
        }
    }
}

impl Reference {
    /// Reads what [`Display`](std::fmt::Display) wrote; `None` for anything of other hands.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("v1|")?;
        if let Some(campaign) = rest.strip_prefix("c|") {
            let (campaign, index) = campaign.split_once('|')?;
            return Some(Self::Campaign(campaign.parse().ok()?, index.parse().ok()?));
        }
        let (shard, id) = rest.split_once('|')?;
        let id: MessageId = id.parse().ok()?;
        (shard.parse::<u8>().ok().map(ShardId) == Some(id.shard())).then_some(Self::Message(id))
    }
}

/// One message on its way to a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The number it leaves from.
    pub session: SessionId,
    /// Our reference.
    pub reference: Reference,
    /// Who gets it.
    pub to: Address,
    /// What they get.
    pub content: Arc<Content>,
    /// The provider id of the message it quotes.
    pub context: Option<Arc<str>>,
    /// The provider's hash of who the recipient must still be.
    pub identity: Option<Arc<str>>,
}

/// The provider took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id of the message (Cloud: `wamid.…`).
    pub provider_id: Arc<str>,
    /// Whether the provider holds it back for a quality assessment.
    pub held: bool,
}

/// Why the provider will not take it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The catalogue's code.
    pub cause: Cause,
    /// The provider's own words, at most 512 characters; may be empty.
    pub detail: String,
    /// What names the call to the provider's support.
    pub trace: Option<String>,
}

/// What the provider said of a call in its own words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// At most 512 characters; may be empty.
    pub detail: String,
    /// What names the call to the provider's support.
    pub trace: Option<String>,
}

impl SendError {
    /// The provider's code, where it gave one.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::RetryAfter { cause, .. } => Some(*cause),
            Self::Rejected(reason) | Self::LinkLost(reason) | Self::Held { reason, .. } => Some(reason.cause),
            Self::Ambiguous => None,
        }
    }

    /// The provider's own words, where it said something.
    #[must_use]
    pub fn words(&self) -> Option<Words> {
        match self {
            Self::RetryAfter { words, .. } => words.as_deref().cloned(),
            Self::Rejected(reason) | Self::LinkLost(reason) | Self::Held { reason, .. } => {
                let (detail, trace) = (reason.detail.clone(), reason.trace.clone());
                // Kabar's own reasons are told by their cause.
                let said = reason.cause.is_provider() && !(detail.is_empty() && trace.is_none());
                said.then_some(Words { detail, trace })
            }
            Self::Ambiguous => None,
        }
    }
}

/// The closed set of failures of a send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Certainly not accepted, and a later try may succeed. `throttle` says which bucket is to slow down.
    #[error("not accepted, try again in {after_ms} ms")]
    RetryAfter {
        /// Which limit was met.
        throttle: Throttle,
        /// At least this long; 0 when the provider did not say.
        after_ms: u64,
        /// The provider's code.
        cause: Cause,
        /// The provider's own words; `None` when it was Kabar that held it back.
        words: Option<Box<Words>>,
    },
    /// Certainly not accepted, and a repeat cannot help.
    #[error("rejected with code {}", .0.cause.number())]
    Rejected(Reason),
    /// It may or may not have been accepted: timeout, reset after bytes, an answer without the provider's body.
    #[error("the outcome is not known")]
    Ambiguous,
    /// Certainly not accepted: the session's credentials or link do not work.
    #[error("the session's link is lost: code {}", .0.cause.number())]
    LinkLost(Reason),
    /// Certainly not accepted, and neither would others be: the account, the template or the person is held until somebody
    /// mends it or its time has passed. The message waits.
    #[error("held with code {}", .reason.cause.number())]
    Held {
        /// What is held.
        throttle: Throttle,
        /// At least this long; 0 when the provider did not say.
        after_ms: u64,
        /// The provider's code and words.
        reason: Reason,
    },
}

impl SendError {
    /// The link does not work, and no provider said why.
    #[must_use]
    pub fn link_lost() -> Self {
        Self::LinkLost(Reason { cause: Cause::LINK_LOST, detail: String::new(), trace: None })
    }

    /// Not tried: too many to this person lately, by our own account. After so many milliseconds it may go.
    #[must_use]
    pub fn too_early(after_ms: u64) -> Self {
        Self::RetryAfter { throttle: Throttle::Pair, after_ms, cause: Cause::PAIR_RATE, words: None }
    }

    /// The wait of what [came too early](Self::too_early); `None` where the provider spoke, which names no moment.
    #[must_use]
    pub fn own_wait(&self) -> Option<u64> {
        match self {
            Self::RetryAfter { throttle: Throttle::Pair, after_ms, words: None, .. } => {
                Some(*after_ms).filter(|ms| *ms > 0)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn references_go_there_and_back(id in 0..u64::MAX >> 1, index: u32) {
            for r in [Reference::Message(MessageId(id)), Reference::Campaign(CampaignId(id), index)] {
                prop_assert_eq!(Reference::parse(&r.to_string()), Some(r));
            }
        }

        #[test]
        fn foreign_references_are_none_and_never_panic(text in "\\PC*") {
            let parsed = Reference::parse(&text);
            prop_assert!(parsed.is_none() || parsed.map(|r| r.to_string()) == Some(text));
        }
    }

    #[test]
    fn a_reference_whose_shard_is_not_its_ids_is_foreign() {
        let id = MessageId(5 << 14);
        assert_eq!(Reference::parse(&format!("v1|5|{id}")), Some(Reference::Message(id)));
        assert_eq!(Reference::parse(&format!("v1|6|{id}")), None);
    }
}
