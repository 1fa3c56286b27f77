//! A simulated world: the memory that outlives every node, two tenants with their numbers, the provider and its post, and
//! the node, which is started, killed and stopped over it. Not what people and clients do there, and not the checks.

use super::book::Book;
use super::journal::{Claims, SimJournal};
use super::post::Post;
use super::provider::{DEADLINE_MS, Line, Provider};
use super::records::{Desk, SimLedger, SimRecords};
use super::views::{Seen, SimViews};
use super::weather::{Chance, Life, Rates, Weather, pass};
use kabar_actors::{Clock, Connectors, Dice, Node, NodeOptions, Plant, StartError};
use kabar_connectors::Connector;
use kabar_engine::id::{SessionId, ShardId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::memory::MemoryViews;
use kabar_schema::records::{MetaApp, Nouns, Session, Tenant};
use kabar_schema::store::Store;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// The first tenant's app; the second's is one more.
pub const APP: u64 = 5;
/// What the provider signs with.
pub const SECRET: &str = "simulated-app-secret";
/// Numbers of the first tenant; the second has one, in the shard of the first tenant's first.
pub const NUMBERS_OF_FIRST: usize = 2;
/// When every simulation begins.
const BEGINS: i64 = 1_790_000_000_000;

/// The provider's id of a number.
pub fn number_id(number: usize) -> String {
    format!("1060000000002{number:02}")
}

/// A node that lives.
#[derive(Clone)]
pub struct Alive {
    pub node: Arc<Node>,
    pub life: Arc<Life>,
    journal: Arc<SimJournal>,
    views: Arc<SimViews>,
}

/// What a kill must reach.
type Parts = (Arc<Life>, Arc<SimJournal>, Arc<SimViews>);

/// The world of one seed.
pub struct Town {
    pub clock: Clock,
    pub tenants: [TenantId; 2],
    /// Whose each number is.
    pub numbers: Vec<(TenantId, SessionId)>,
    /// What outlives every node, and never fails.
    pub base: Store,
    /// Its views.
    pub views: Arc<MemoryViews>,
    pub seen: Arc<Seen>,
    pub weather: Arc<Weather>,
    pub provider: Arc<Provider>,
    pub post: Arc<Post>,
    pub book: Book,
    seed: u64,
    chance: Arc<Chance>,
    options: NodeOptions,
    alive: Mutex<Option<Alive>>,
    /// Rung when a node has begun. Not a `watch`: that wakes who waits in an order of its own.
    begun: Notify,
    lives: Mutex<u64>,
}

impl Town {
    /// Furnishes it; no node lives there yet.
    pub async fn found(seed: u64, plant: Plant) -> Arc<Self> {
        let clock = Clock::virtual_at(BEGINS);
        let dice = Chance::new(seed, 1);
        let rates = Rates {
            append: dice.between(40, 400),
            flush: dice.between(2, 12),
            record: dice.between(8, 60),
            read: dice.between(60, 900),
            boot: dice.between(1_500, 9_000),
            call: dice.between(2, 9),
        };
        let weather = Arc::new(Weather::new(rates));
        let (claims, post) =
            (Arc::new(Claims::default()), Arc::new(Post::new(Chance::new(seed, 2), clock.clone())));
        let provider =
            Provider::new(Arc::clone(&weather), Chance::new(seed, 3), Arc::clone(&claims), Arc::clone(&post));
        let views = Arc::new(MemoryViews::default());
        let mut base = Store::memory();
        base.views = Arc::clone(&views) as _;
        let tenants = [TenantId(77), TenantId(78)];
        let options = NodeOptions {
            proof_ms: Some(i64::try_from(dice.between(2_000, 25_000)).expect("a small number fits")),
            call_deadline_ms: DEADLINE_MS,
            flush_ms: dice.pick(&[100, 250, 1_000, 2_500]),
            connections_per_session: usize::try_from(dice.pick(&[8, 32, 512])).expect("a small number fits"),
            plant,
            ..NodeOptions::default()
        };
        let town = Self {
            clock,
            tenants,
            numbers: numbers(tenants),
            base,
            views,
            seen: Arc::default(),
            weather,
            provider: Arc::new(provider),
            post,
            book: Book::default(),
            seed,
            chance: Arc::new(Chance::new(seed, 4)),
            options,
            alive: Mutex::new(None),
            begun: Notify::new(),
            lives: Mutex::new(0),
        };
        town.furnish(&dice).await.expect("invariant: the memory beneath does not fail");
        Arc::new(town)
    }

    async fn furnish(&self, dice: &Chance) -> Result<(), StoreError> {
        let (created, nouns) = (Timestamp(BEGINS), &self.base.nouns);
        for (nth, id) in (0..).zip(self.tenants) {
            let tenant = Tenant {
                id,
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
            nouns.create(&tenant).await?;
            let (app_secrets, verify_token) = (vec![SECRET.to_owned()], "token".to_owned());
            let app =
                MetaApp { id: APP + nth, tenant: id, app_secrets, verify_token, meta_id: None, created };
            nouns.create(&app).await?;
        }
        for (number, (tenant, id)) in self.numbers.iter().enumerate() {
            let session = Session {
                id: *id,
                tenant: *tenant,
                name: format!("Number {number}"),
                app: APP + super::post::number_tenant(number),
                phone_number_id: number_id(number),
                display_phone_number: format!("15550200{number:03}"),
                base_url: None,
                api_version: "v25.0".into(),
                access_token: "simulated-token".into(),
                messages_per_second: dice.pick(&[20, 80, 300]),
                pair_limit: false,
                created,
            };
            nouns.create(&session).await?;
        }
        Ok(())
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    /// The node that lives, waited for.
    pub async fn alive(&self) -> Alive {
        let mut begun = pin!(self.begun.notified());
        loop {
            begun.as_mut().enable();
            if let Some(alive) = self.slot().clone() {
                return alive;
            }
            begun.as_mut().await;
            begun.set(self.begun.notified());
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Alive>> {
        self.alive.lock().expect("invariant: nobody panics with the node in hand")
    }

    /// Starts a node over the memory; what fails is tried again. `false`: it can never start.
    pub async fn start(&self) -> bool {
        loop {
            let nth = {
                let mut lives = self.lives.lock().expect("invariant: nobody panics with the count in hand");
                *lives += 1;
                *lives
            };
            let ((life, journal, views), store) = self.fresh();
            let (provider, begun) = (Arc::clone(&self.provider), Arc::clone(&life));
            let numbers = self.numbers.clone();
            let connectors = Connectors::given(move |session| {
                let number = numbers.iter().position(|(_, id)| *id == session.id).unwrap_or(0);
                let (provider, life) = (Arc::clone(&provider), Arc::clone(&begun));
                Arc::new(Line { provider, life, number }) as Arc<dyn Connector>
            });
            let dice = Dice::seeded(self.seed.rotate_left(17) ^ nth);
            let options = NodeOptions { connectors, dice, ..self.options.clone() };
            match Node::start(options, store, self.clock.clone()).await {
                Ok(node) => {
                    *self.slot() = Some(Alive { node, life, journal, views });
                    self.begun.notify_waiters();
                    return true;
                }
                Err(error @ (StartError::ViewsAhead { .. } | StartError::JournalGap { .. })) => {
                    self.book.wrong("views_never_ahead", format!("the node does not start: {error}"));
                    return false;
                }
                Err(StartError::Store(_)) => {
                    life.end();
                    journal.kill();
                    pass(Duration::from_millis(300)).await;
                }
            }
        }
    }

    /// The store of a new life.
    fn fresh(&self) -> (Parts, Store) {
        let life = Arc::new(Life::begin());
        let parts = || (Arc::clone(&life), Arc::clone(&self.weather), Arc::clone(&self.chance));
        let claims = Arc::clone(&self.provider.claims);
        let journal = Arc::new(SimJournal::new(Arc::clone(&self.base.journal), parts(), claims));
        let views = Arc::new(SimViews::new(Arc::clone(&self.views), parts(), Arc::clone(&self.seen)));
        let desk = Desk {
            life: Arc::clone(&life),
            weather: Arc::clone(&self.weather),
            chance: Arc::clone(&self.chance),
        };
        let mut store = self.base.clone();
        store.journal = Arc::clone(&journal) as _;
        store.views = Arc::clone(&views) as _;
        store.records = Arc::new(SimRecords(Arc::clone(&self.base.records), desk.clone()));
        store.nouns = Nouns::new(Arc::clone(&store.records), Arc::clone(&self.base.keyring));
        store.ledger = Arc::new(SimLedger(Arc::clone(&self.base.ledger), desk));
        ((life, journal, views), store)
    }

    /// Kills the node that lives.
    pub async fn kill(&self) {
        let alive = self.alive().await;
        *self.slot() = None;
        alive.life.end();
        alive.journal.kill();
        alive.views.kill();
        alive.node.kill();
    }

    /// Stops the node that lives in order.
    pub async fn stop(&self) {
        let alive = self.alive().await;
        *self.slot() = None;
        alive.node.shutdown().await;
        alive.life.end();
    }
}

/// Two numbers of the first tenant in shards of their own, and one of the second in the first's shard.
fn numbers([first, second]: [TenantId; 2]) -> Vec<(TenantId, SessionId)> {
    let one = SessionId(900);
    let home = ShardId::of_session(first, one);
    let find = |tenant, right: &dyn Fn(ShardId) -> bool| {
        let mut ids = (901..).map(SessionId);
        ids.find(|id| right(ShardId::of_session(tenant, *id))).unwrap_or(one)
    };
    vec![(first, one), (first, find(first, &|at| at != home)), (second, find(second, &|at| at == home))]
}
