//! A node for the tests of this room: a store in memory, a virtual clock, one number, and a provider that answers as a test
//! says. Nothing here is in the product, and nothing here judges.

use crate::{Clock, Connectors, Node, NodeOptions};
use kabar_connectors::{BoxFuture, Capabilities, Connector};
use kabar_engine::address::Address;
use kabar_engine::audience::Audience;
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::entry::Idempotency;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, MessageId, SessionId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::outgoing::{Accepted, Outgoing, SendError};
use kabar_engine::overlay::Key;
use kabar_engine::overlay::decide::Draft;
use kabar_engine::pacing::{Lane, Throttle};
use kabar_engine::schedule::Hours;
use kabar_engine::time::{DAY_MS, Timestamp};
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::{Campaign, Session, Tenant, Timing};
use kabar_schema::store::Store;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub const TENANT: TenantId = TenantId(77);
pub const SESSION: SessionId = SessionId(900);
/// When every house's clock begins.
pub const BEGINS: i64 = 1_790_000_000_000;
/// Waits for proof this long.
pub const PROOF_MS: i64 = 2_000;

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It may have been taken.
    Ambiguous,
    /// Not now: it comes back after a second.
    Later,
    /// It has no answer for as long as a test lasts.
    Silent,
}

/// A provider that takes everything at once, but for the next calls that a test says otherwise of.
#[derive(Default)]
pub struct Provider {
    fates: Mutex<VecDeque<Fate>>,
    /// Whom it was called for, in order.
    pub called: Mutex<Vec<Address>>,
}

impl Provider {
    /// The next call without a fate has this one.
    pub fn next(&self, fate: Fate) {
        self.fates.lock().push_back(fate);
    }
}

impl Connector for Provider {
    fn send<'a>(&'a self, m: &'a Outgoing) -> BoxFuture<'a, Result<Accepted, SendError>> {
        self.called.lock().push(m.to.clone());
        let (fate, provider_id) =
            (self.fates.lock().pop_front(), Arc::from(format!("wamid.{}", m.reference)));
        Box::pin(async move {
            match fate {
                None => Ok(Accepted { provider_id, held: false }),
                Some(Fate::Ambiguous) => Err(SendError::Ambiguous),
                Some(Fate::Later) => {
                    let (throttle, cause) = (Throttle::Transient, Cause(131_016));
                    Err(SendError::RetryAfter { throttle, after_ms: 1_000, cause, words: None })
                }
                Some(Fate::Silent) => std::future::pending().await,
            }
        })
    }

    fn capabilities(&self) -> &Capabilities {
        &CAPABILITIES
    }
}

static CAPABILITIES: Capabilities = Capabilities {
    name: "house",
    templates: true,
    window: true,
    media_by_link: false,
    media_by_id: false,
    polls: false,
    buttons: false,
    lists: false,
    reactions: false,
    quotes: false,
    read_receipts: false,
    typing: false,
    user_ids: false,
    lids: false,
    groups: false,
    idempotent: false,
    text_max: 4_096,
};

/// The node and what is around it.
pub struct House {
    pub node: Arc<Node>,
    pub provider: Arc<Provider>,
}

impl House {
    /// A furnished store in memory.
    pub async fn store() -> Store {
        let (store, created) = (Store::memory(), Timestamp(BEGINS));
        let tenant = Tenant {
            id: TENANT,
            name: "Toko".into(),
            created,
            unknown_after_ms: Tenant::UNKNOWN_AFTER_MS,
            resend_unknown: false,
            reseller: None,
            weight: Tenant::WEIGHT,
            frequency_cap: None,
            meta: kabar_schema::records::MetaAnswers::default(),
            body_hash: String::new(),
        };
        store.nouns.create(&tenant).await.unwrap();
        let session = Session {
            id: SESSION,
            tenant: TENANT,
            name: "Number".into(),
            app: 5,
            phone_number_id: "106000000000201".into(),
            display_phone_number: "15550200000".into(),
            base_url: None,
            api_version: "v25.0".into(),
            access_token: "token".into(),
            messages_per_second: 80,
            pair_limit: false,
            created,
        };
        store.nouns.create(&session).await.unwrap();
        store
    }

    /// A node on this store whose clock shows `at`; tokio's time must be paused.
    pub async fn on(store: Store, at: Timestamp, options: NodeOptions) -> Self {
        let provider = Arc::<Provider>::default();
        let speaks = Arc::clone(&provider);
        let connectors = Connectors::given(move |_| Arc::clone(&speaks) as Arc<dyn Connector>);
        let options = NodeOptions { connectors, proof_ms: Some(PROOF_MS), ..options };
        let node = Node::start(options, store, Clock::virtual_at(at.0)).await.unwrap();
        Self { node, provider }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.node.clock().now_ms())
    }

    /// Lets so much time pass.
    pub async fn pass(&self, ms: u64) {
        self.node.clock().sleep_ms(ms).await;
    }

    /// A message to the `nth` person, due in so many ms.
    pub fn draft(&self, nth: u64, in_ms: i64) -> Draft {
        let now = self.now();
        Draft {
            tenant: TENANT,
            session: SESSION,
            to: person(nth),
            content: Arc::new(template()),
            lane: Lane::Transactional,
            due: now.plus_ms(in_ms),
            valid_until: now.plus_ms(DAY_MS),
            context: None,
            idempotency: Some(Idempotency { key: nth.into(), body: nth.into() }),
            by: None,
            tag: None,
            identity: None,
            had_enough: false,
        }
    }

    /// Has it accepted.
    pub async fn send(&self, nth: u64, in_ms: i64) -> MessageId {
        self.node.dispatcher().send(self.draft(nth, in_ms)).await.unwrap().message
    }

    /// A campaign to the first so many people, launched.
    pub async fn launch(&self, count: u64) -> CampaignId {
        let (list, now) = (ImportId(1_000), self.now());
        let rows = (0..count).map(|nth| ContactDraft {
            address: person(nth),
            input: person(nth).value().to_owned(),
            name: None,
            zone: None,
            fields: BTreeMap::new(),
        });
        let store = self.node.store();
        store.contacts.upsert(TENANT, Some(list), rows.collect(), now).await.unwrap();
        let id = CampaignId::random(now, 1);
        let campaign = Campaign {
            id,
            tenant: TENANT,
            name: "Promo".into(),
            content: template(),
            spintax: false,
            senders: vec![SESSION],
            audience: Audience::Contacts { list: Some(list), filter: None },
            timing: Timing {
                start_at: None,
                valid_for_ms: DAY_MS,
                hours: Hours::default(),
                recurrence: None,
            },
            weight: Campaign::WEIGHT,
            purpose: Purpose::default(),
            origin: None,
            body_hash: String::new(),
            created: now,
        };
        store.nouns.create(&campaign).await.unwrap();
        self.node.dispatcher().launch(TENANT, id, None).await.unwrap();
        id
    }

    /// Messages that the actors of a kind have handled.
    pub fn handled(&self, kind: &str) -> u64 {
        self.node.stats().handled.iter().find(|(label, _)| *label == kind).map_or(0, |(_, count)| *count)
    }

    /// How a message stands in the live state, durable or not.
    pub fn row(&self, message: MessageId) -> Arc<MessageRow> {
        self.node.shard(message.shard()).peek(|o| o.message(message)).unwrap()
    }

    /// Whether the views have a message.
    pub async fn is_in_views(&self, message: MessageId) -> bool {
        let views = &self.node.store().views;
        let rows = views.load(message.shard(), vec![Key::Message(message)]).await.unwrap();
        rows.iter().any(|(_, row)| matches!(row, kabar_engine::overlay::Row::Message(_)))
    }
}

/// The `nth` person.
pub fn person(nth: u64) -> Address {
    Address::phone_digits(&format!("62812{nth:08}")).unwrap()
}

fn template() -> Content {
    let json = r#"{"type":"template","template":{"name":"halo","language":{"code":"id"}}}"#;
    Content::from_json(&serde_json::from_str(json).unwrap()).unwrap()
}
