//! What Meta's envelope needs to know beside the event, read once for the few events a message has within moments: a person's
//! addresses and name, and of a campaign's message whom it was for. Bounded in size and in time, and never the truth.

use super::unread;
use crate::cache::Cache;
use kabar_actors::Node;
use kabar_engine::address::{Address, AddressKind};
use kabar_engine::conversation::ConversationRow;
use kabar_engine::event::OfMessage;
use kabar_engine::id::{ConversationId, MessageId, TenantId};
use kabar_schema::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Whom a message is for never changes; that it was answered, and so is of a conversation, may be learnt so much later.
const BRIEF: Duration = Duration::from_secs(30);
/// A name or a further address may be learnt so much later.
const PERSON: Duration = Duration::from_secs(5);
/// What stands in a parent's user id behind the country.
const PARENT: &str = ".ENT.";
/// Of each kind.
const MOST: usize = 8_192;

/// What is told of a message in every status.
#[derive(Debug, Clone)]
pub(super) struct Brief {
    pub(super) address: Address,
    pub(super) conversation: ConversationId,
    pub(super) tag: Option<Arc<str>>,
}

/// Whom it concerns: under every address they are known by.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) phone: Option<String>,
    pub(super) user_id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) username: Option<String>,
}

/// What was read a moment ago.
pub(super) struct Known {
    briefs: Cache<(TenantId, MessageId), Arc<Brief>>,
    people: Cache<(TenantId, ConversationId), Arc<Person>>,
    /// Messages and conversations that were read.
    pub(super) reads: (AtomicU64, AtomicU64),
}

impl Default for Known {
    fn default() -> Self {
        let (briefs, people) = (Cache::new(BRIEF, MOST), Cache::new(PERSON, MOST));
        Self { briefs, people, reads: <(AtomicU64, AtomicU64)>::default() }
    }
}

impl Known {
    /// Of a message; its event says it of every message that has a row of its own. `None`: it is gone.
    pub(super) async fn brief(
        &self,
        node: &Arc<Node>,
        key: (TenantId, MessageId),
        of: &OfMessage,
    ) -> Result<Option<Arc<Brief>>, StoreError> {
        if let (Some(address), Some(conversation)) = (&of.address, of.conversation) {
            let (address, tag) = (address.clone(), of.tag.clone());
            return Ok(Some(Arc::new(Brief { address, conversation, tag })));
        }
        if let Some(brief) = self.briefs.get(&key) {
            return Ok(Some(brief));
        }
        self.reads.0.fetch_add(1, Ordering::Relaxed);
        let found = node.dispatcher().message(key.0, key.1).await.map_err(unread)?;
        let brief = found.map(|view| view.row).map(|row| {
            Arc::new(Brief { address: row.address, conversation: row.conversation, tag: row.tag })
        });
        if let Some(brief) = &brief {
            self.briefs.put(key, Arc::clone(brief));
        }
        Ok(brief)
    }

    /// The person of a conversation, as it was known within some seconds.
    pub(super) async fn person(
        &self,
        node: &Arc<Node>,
        key: (TenantId, ConversationId),
        address: &Address,
    ) -> Result<Arc<Person>, StoreError> {
        match self.people.get(&key) {
            Some(person) => Ok(person),
            None => self.ask(node, key, address).await,
        }
    }

    /// The person of a conversation, as it is known now.
    pub(super) async fn ask(
        &self,
        node: &Arc<Node>,
        (tenant, conversation): (TenantId, ConversationId),
        address: &Address,
    ) -> Result<Arc<Person>, StoreError> {
        // A campaign's message that was not answered is of no conversation.
        let talk = match conversation.0 {
            0 => None,
            _ => {
                self.reads.1.fetch_add(1, Ordering::Relaxed);
                node.dispatcher().conversation(tenant, conversation).await.map_err(unread)?
            }
        };
        let others = talk.iter().flat_map(|talk| std::iter::once(&talk.address).chain(&talk.aliases));
        let all: Vec<&Address> = std::iter::once(address).chain(others).collect();
        // The id of a parent account is one more address of the person, but not the one that programs know them by.
        let own = |a: &&&Address| !a.value().contains(PARENT);
        let first = |kind: AddressKind| {
            all.iter().filter(own).find(|a| a.kind() == kind).map(|a| a.value().to_owned())
        };
        let (phone, user_id) = (first(AddressKind::Phone), first(AddressKind::UserId));
        let of_talk = |text: fn(&ConversationRow) -> &Option<String>| {
            talk.as_deref().and_then(|talk| text(talk).clone())
        };
        let (name, username) = (of_talk(|talk| &talk.name), of_talk(|talk| &talk.username));
        let person = Arc::new(Person { phone, user_id, name, username });
        if conversation.0 != 0 {
            self.people.put((tenant, conversation), Arc::clone(&person));
        }
        Ok(person)
    }
}
