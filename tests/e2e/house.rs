//! A whole house in one process: a sandbox, a node on a store of the test's choice, and the loopback receiver that
//! carries the sandbox's webhooks to the node's front door. What the tests say to it stands here, once.

use crate::receiver::Receiver;
use kabar_actors::view::{CampaignState, CampaignView};
use kabar_actors::{Clock, DispatchError, Dispatcher, Node, NodeOptions};
use kabar_engine::address::Address;
use kabar_engine::audience::Audience;
use kabar_engine::content::Content;
use kabar_engine::entry::Idempotency;
use kabar_engine::frequency::Purpose;
use kabar_engine::id::{CampaignId, ImportId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::overlay::decide::Draft;
use kabar_engine::pacing::Lane;
use kabar_engine::part::Totals;
use kabar_engine::schedule::Hours;
use kabar_engine::time::{DAY_MS, Timestamp};
use kabar_sandbox::{Behaviour, Delay, NumberConfig, Sandbox, SandboxConfig};
use kabar_schema::contacts::ContactDraft;
use kabar_schema::records::{Campaign, MetaApp, Session, Tenant, Timing};
use kabar_schema::store::Store;
use kabar_tests::audit::{self, Report};
use kabar_tests::gate::Gate;
use kabar_tests::oracle::Oracle;
use kabar_tests::{people, wait};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the sandbox and the tenant's records have in common.
pub const SECRET: &str = "sandbox-app-secret";
const TOKEN: &str = "sandbox-access-token";
const VERIFY: &str = "sandbox-verify-token";
/// Waits for proof this long.
pub const PROOF_MS: i64 = 1_000;

/// How a house is furnished.
#[derive(Clone)]
pub struct Plan {
    /// The sandbox's behaviour.
    pub behaviour: Behaviour,
    /// The node's.
    pub options: NodeOptions,
    /// Messages a second and session.
    pub rate: u32,
    /// Linked numbers.
    pub sessions: usize,
    /// The node reaches the sandbox through a gate that can be shut.
    pub gated: bool,
    /// Where a virtual clock begins, which moves with tokio's time; without it the clock is the machine's.
    pub begins: Option<Timestamp>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { behaviour: calm(), options: options(), rate: 1_000, sessions: 1, gated: false, begins: None }
    }
}

/// Answers after 20 ms, statuses soon after, nothing breaks.
pub fn calm() -> Behaviour {
    Behaviour {
        answer_ms: Delay::fixed(20),
        delivered_ms: Delay::fixed(20),
        read_ms: Delay::fixed(20),
        pair_limit: false,
        ..Behaviour::default()
    }
}

pub fn options() -> NodeOptions {
    NodeOptions { proof_ms: Some(PROOF_MS), flush_ms: 200, ..NodeOptions::default() }
}

/// A campaign to send: its people, its senders, its validity.
#[derive(Clone)]
pub struct Ask {
    pub list: ImportId,
    pub senders: Vec<SessionId>,
    pub valid_for_ms: i64,
    pub purpose: Purpose,
}

pub struct House {
    pub sandbox: Sandbox,
    pub gate: Option<Gate>,
    pub receiver: Receiver,
    pub node: Arc<Node>,
    pub tenant: TenantId,
    pub app: u64,
    pub sessions: Vec<SessionId>,
    options: NodeOptions,
    clock: Clock,
}

impl House {
    /// A house on a store in memory.
    pub async fn new(plan: Plan) -> Self {
        Self::on(Store::memory(), plan).await
    }

    /// A house on this store.
    pub async fn on(store: Store, plan: Plan) -> Self {
        let numbers = (0..plan.sessions).map(|nth| number(nth, plan.rate * 2)).collect();
        let config =
            SandboxConfig { seed: 11, numbers, behaviour: plan.behaviour, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(config).await.unwrap();
        let gate = match plan.gated {
            true => Some(Gate::new(sandbox.local_addr()).await.unwrap()),
            false => None,
        };
        let base = gate.as_ref().map_or_else(|| sandbox.base_url(), Gate::base_url);
        let (tenant, app) = (TenantId(77), 5);
        furnish(&store, tenant, app).await;
        let mut sessions = Vec::new();
        for nth in 0..plan.sessions {
            // Every session has a shard of its own: what crosses sessions crosses shards.
            let id = session_in(tenant, 900, |shard| {
                sessions.iter().all(|other| ShardId::of_session(tenant, *other) != shard)
            });
            let session = session(tenant, app, id, (&base, nth, plan.rate));
            store.nouns.create(&session).await.unwrap();
            sessions.push(id);
        }
        let clock = plan.begins.map_or_else(Clock::system, |at| Clock::virtual_at(at.0));
        let node = Node::start(plan.options.clone(), store, clock.clone()).await.unwrap();
        let receiver = Receiver::start(node.dispatcher()).await;
        sandbox.set_webhook(&receiver.url(app)).await.unwrap();
        Self { sandbox, gate, receiver, node, tenant, app, sessions, options: plan.options, clock }
    }

    pub fn desk(&self) -> Dispatcher {
        self.node.dispatcher()
    }

    /// Ends the node in order and starts another one on what it left.
    pub async fn restart(&mut self, store: impl AsyncFnOnce() -> Store) {
        self.receiver.close();
        self.node.shutdown().await;
        let store = store().await;
        self.node = Node::start(self.options.clone(), store, self.clock.clone()).await.unwrap();
        self.receiver.open(self.node.dispatcher());
    }

    /// Writes people into the address book, under a list of their own.
    pub async fn list(&self, first: u64, count: u64) -> ImportId {
        let list = ImportId(1_000_000 + first);
        let rows = (first..first + count).map(|nth| ContactDraft {
            address: person(nth),
            input: people::digits(nth),
            name: Some(format!("Person {nth}")),
            zone: None,
            fields: BTreeMap::new(),
        });
        let contacts = &self.node.store().contacts;
        contacts.upsert(self.tenant, Some(list), rows.collect(), self.now()).await.unwrap();
        list
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.node.clock().now_ms())
    }

    /// What a campaign from the first session to `count` people from `first` on asks for.
    pub async fn ask(&self, first: u64, count: u64) -> Ask {
        let list = self.list(first, count).await;
        Ask { list, senders: vec![self.sessions[0]], valid_for_ms: DAY_MS, purpose: Purpose::default() }
    }

    /// Writes the campaign's record and launches it.
    pub async fn launch(&self, ask: Ask) -> CampaignId {
        let timing = Timing {
            start_at: None,
            valid_for_ms: ask.valid_for_ms,
            hours: Hours::default(),
            recurrence: None,
        };
        self.launch_at(ask, timing).await
    }

    /// Writes a campaign's record with this timing and launches it.
    pub async fn launch_at(&self, ask: Ask, timing: Timing) -> CampaignId {
        self.launch_saying(ask, timing, content("{{name|default:\"kak\"}}")).await
    }

    /// The same with other words.
    pub async fn launch_saying(&self, ask: Ask, timing: Timing, content: Content) -> CampaignId {
        let id = CampaignId::random(self.now(), rand::random());
        let record = Campaign {
            id,
            tenant: self.tenant,
            name: "Proof".into(),
            content,
            spintax: false,
            senders: ask.senders,
            audience: Audience::Contacts { list: Some(ask.list), filter: None },
            timing,
            weight: Campaign::WEIGHT,
            purpose: ask.purpose,
            origin: None,
            body_hash: String::new(),
            created: self.now(),
        };
        self.node.store().nouns.create(&record).await.unwrap();
        self.desk().launch(self.tenant, id, None).await.unwrap();
        id
    }

    /// Moves a virtual clock on; calls are not under way then.
    pub async fn jump_to(&self, at: Timestamp) {
        let ms = u64::try_from(at.since_ms(self.now())).expect("time goes on");
        tokio::time::pause();
        tokio::time::advance(std::time::Duration::from_millis(ms)).await;
        tokio::time::resume();
    }

    pub async fn view(&self, campaign: CampaignId) -> CampaignView {
        audit::view(&self.node, self.tenant, campaign).await.unwrap()
    }

    /// Waits until the campaign's totals are so; what cannot be read now is asked again.
    pub async fn totals(&self, campaign: CampaignId, what: &str, so: impl Fn(&Totals) -> bool) -> Totals {
        let look = async || {
            let view = self.desk().campaign(self.tenant, campaign).await.ok()??;
            so(&view.totals).then_some(view.totals)
        };
        wait::until(what, look).await
    }

    pub async fn state(&self, campaign: CampaignId, state: CampaignState) -> CampaignView {
        let look = async || {
            let view = self.desk().campaign(self.tenant, campaign).await.ok()??;
            (view.state == state).then_some(view)
        };
        wait::until(&format!("the campaign is {state:?}"), look).await
    }

    /// Waits until nothing more will happen by itself in the sandbox and every webhook was taken.
    pub async fn settled(&self) {
        wait::so("the sandbox is settled", async || self.sandbox.stats().is_settled()).await;
    }

    /// The campaign has finished and everything was told: holds every recipient against the ledger.
    pub async fn audit(&self, campaign: CampaignId) -> Totals {
        self.audit_excusing(campaign, &|_| false).await
    }

    pub async fn audit_excusing(&self, campaign: CampaignId, excused: &dyn Fn(&str) -> bool) -> Totals {
        self.settled().await;
        self.report(campaign, excused).await.assert_clean();
        self.view(campaign).await.totals
    }

    pub async fn report(&self, campaign: CampaignId, excused: &dyn Fn(&str) -> bool) -> Report {
        let oracle = Oracle::read(&self.sandbox.ledger());
        assert_eq!(oracle.duplicates, 0, "a reference was accepted twice");
        assert_eq!(oracle.nameless, 0, "something went out without a reference");
        audit::campaign(&self.node, (self.tenant, campaign), &oracle, excused).await.unwrap()
    }

    pub fn draft(&self, nth: u64, key: u128) -> Draft {
        let now = self.now();
        Draft {
            tenant: self.tenant,
            session: self.sessions[0],
            to: person(nth),
            content: Arc::new(content(&format!("Pesanan {key}"))),
            lane: Lane::Transactional,
            due: now,
            valid_until: now.plus_ms(DAY_MS),
            context: None,
            idempotency: Some(Idempotency { key, body: key }),
            by: None,
            tag: None,
            identity: None,
            had_enough: false,
        }
    }

    /// Sends as a client does: after an unknown outcome, or when told to wait, the same key again.
    pub async fn send(&self, nth: u64, key: u128) -> MessageId {
        let look = async || match self.desk().send(self.draft(nth, key)).await {
            Ok(sent) => Some(sent.message),
            Err(DispatchError::Refused(refusal)) => panic!("refused: {refusal}"),
            Err(_) => None,
        };
        wait::until("the message is accepted", look).await
    }

    pub fn restarts(&self, kind: &str) -> u64 {
        self.node.stats().restarts.iter().find(|(label, _)| *label == kind).map_or(0, |(_, n)| *n)
    }
}

pub fn person(nth: u64) -> Address {
    Address::phone_digits(&people::digits(nth)).unwrap()
}

pub fn content(text: &str) -> Content {
    Content::from_json(&people::template(text)).unwrap()
}

pub fn number_id(nth: usize) -> String {
    format!("1060000000001{nth:02}")
}

fn number(nth: usize, messages_per_second: u32) -> NumberConfig {
    NumberConfig {
        phone_number_id: number_id(nth),
        display_phone_number: format!("155502001{nth:02}"),
        messages_per_second,
        ..NumberConfig::default()
    }
}

/// The first session id from `from` on whose shard is right.
pub fn session_in(tenant: TenantId, from: u64, right: impl Fn(ShardId) -> bool) -> SessionId {
    let mut ids = (from..).map(SessionId);
    ids.find(|id| right(ShardId::of_session(tenant, *id))).unwrap()
}

/// A tenant with an app whose secrets are the sandbox's.
pub async fn furnish(store: &Store, tenant: TenantId, app: u64) {
    let created = Timestamp(1_790_000_000_000);
    let record = Tenant {
        id: tenant,
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
    store.nouns.create(&record).await.unwrap();
    let (app_secrets, verify_token) = (vec![SECRET.to_owned()], VERIFY.to_owned());
    let app = MetaApp { id: app, tenant, app_secrets, verify_token, meta_id: None, created };
    store.nouns.create(&app).await.unwrap();
}

/// A session over the sandbox's `nth` number.
pub fn session(tenant: TenantId, app: u64, id: SessionId, (base, nth, rate): (&str, usize, u32)) -> Session {
    Session {
        id,
        tenant,
        name: format!("Number {nth}"),
        app,
        phone_number_id: number_id(nth),
        display_phone_number: format!("155502001{nth:02}"),
        base_url: Some(base.to_owned()),
        api_version: "v25.0".into(),
        access_token: TOKEN.into(),
        messages_per_second: rate,
        pair_limit: false,
        created: Timestamp(1_790_000_000_000),
    }
}
