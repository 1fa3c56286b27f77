//! What a node knows of records for a few seconds: sessions with their connectors, apps, tenants' policies. Not a
//! truth of its own: whatever is older than that is read again.

use super::{Node, PROOF_MS, TRUST_MS};
use crate::plant::Plant;
use kabar_connectors::cloud::{CloudApi, CloudConfig, ConfigError, Graph, GraphConfig, Proofs};
use kabar_connectors::{Connector, Secret};
use kabar_engine::address::Address;
use kabar_engine::frequency::FrequencyCap;
use kabar_engine::health::Health;
use kabar_engine::id::{SessionId, ShardId, TenantId};
use kabar_schema::error::StoreError;
use kabar_schema::records::{MetaAnswers, MetaApp, Session as SessionRecord, Tenant};
use std::sync::Arc;

/// A session's record with the connector that serves it.
pub struct Link {
    /// The record.
    pub session: SessionRecord,
    /// How the number does in the provider's eyes.
    pub health: Arc<Health>,
    /// Whether Meta raised its throughput, and no later look found it lowered again.
    upgraded: bool,
    /// Who speaks for it.
    pub connector: Arc<dyn Connector>,
    read_at: i64,
}

/// Meta's standard throughput of a number, messages a second.
const STANDARD: u32 = 80;
/// What Meta raises it to.
const HIGH: u32 = 1_000;

impl Link {
    /// Messages a second. A number at the standard throughput goes as fast as it may after Meta's upgrade; another pace is
    /// the tenant's own choice and stays.
    #[must_use]
    pub fn rate(&self) -> u32 {
        match self.session.messages_per_second.max(1) {
            STANDARD if self.upgraded => HIGH,
            chosen => chosen,
        }
    }
}

/// Makes the connector of a session.
type Made = dyn Fn(&SessionRecord) -> Arc<dyn Connector> + Send + Sync;

/// Who speaks for a session: the Cloud API, or a provider that a test puts in its place.
#[derive(Clone, Default)]
pub struct Connectors(Option<Arc<Made>>);

impl Connectors {
    /// A test's own.
    #[must_use]
    pub fn given(make: impl Fn(&SessionRecord) -> Arc<dyn Connector> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(make)))
    }
}

impl std::fmt::Debug for Connectors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connectors").field(&self.0.is_some()).finish()
    }
}

/// What a tenant decided for all its sessions.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long proof of an ambiguous send is waited for (ms).
    pub proof_ms: i64,
    /// Whether it is then sent once more instead of becoming unknown.
    pub resend: bool,
    /// What its turns count for beside other tenants'.
    pub weight: u32,
    /// How much marketing one person gets.
    pub cap: Option<FrequencyCap>,
    /// How its programs are answered that speak Meta's dialect.
    pub meta: MetaAnswers,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            proof_ms: PROOF_MS,
            resend: false,
            weight: Tenant::WEIGHT,
            cap: None,
            meta: MetaAnswers::default(),
        }
    }
}

impl Policy {
    fn of(tenant: &Tenant) -> Self {
        Self {
            proof_ms: i64::try_from(tenant.unknown_after_ms).unwrap_or(PROOF_MS),
            resend: tenant.resend_unknown,
            weight: tenant.weight,
            cap: tenant.frequency_cap,
            meta: tenant.meta,
        }
    }
}

impl Node {
    /// What a tenant decided for all its sessions.
    pub async fn policy(&self, tenant: TenantId) -> Policy {
        let now = self.clock.now_ms();
        if let Some(known) = self.policies.get(&tenant)
            && (now - known.1).abs() < TRUST_MS
        {
            return known.0;
        }
        let record = self.store.nouns.get::<Tenant>(tenant, tenant.0).await.ok().flatten();
        let mut policy = record.map_or_else(Policy::default, |found| Policy::of(&found.noun));
        policy.proof_ms = self.options.proof_ms.unwrap_or(policy.proof_ms);
        if self.options.plant == Plant::ResendAmbiguous {
            (policy.proof_ms, policy.resend) = (1, true);
        }
        self.policies.insert(tenant, (policy, now));
        policy
    }

    /// Held while marketing to a person is counted and accepted: two at once could not see each other.
    pub(crate) async fn marketing_turn(
        &self,
        tenant: TenantId,
        to: &Address,
    ) -> tokio::sync::MutexGuard<'_, ()> {
        self.marketing[usize::from(ShardId::of_address(tenant, to).0)].lock().await
    }

    /// The link of a session; `None` when there is no such record or it cannot be read now.
    pub async fn link(&self, tenant: TenantId, session: SessionId) -> Option<Arc<Link>> {
        let now = self.clock.now_ms();
        if let Some(link) = self.links.get(&session)
            && (now - link.read_at).abs() < TRUST_MS
        {
            return (link.session.tenant == tenant).then(|| Arc::clone(&link));
        }
        let record = self.store.nouns.get::<SessionRecord>(tenant, session.0).await.ok()??.noun;
        let link = self.make_link(record, now).await.ok()?;
        self.links.insert(session, Arc::clone(&link));
        Some(link)
    }

    async fn make_link(&self, session: SessionRecord, read_at: i64) -> Result<Arc<Link>, StoreError> {
        let health = Arc::new(self.health(session.tenant, session.id).await?);
        let upgraded = health.is_upgraded() && {
            let number = self.accounts.number(self, session.tenant, session.id).await?;
            let newest = number.map(|number| number.newest(&health)).unwrap_or_default();
            newest.throughput.is_none_or(|word| word.value == "HIGH")
        };
        if let Some(make) = &self.options.connectors.0 {
            return Ok(Arc::new(Link { connector: make(&session), session, health, upgraded, read_at }));
        }
        let config = CloudConfig {
            base_url: base_url(&session),
            api_version: session.api_version.clone(),
            phone_number_id: session.phone_number_id.clone(),
            access_token: Secret::new(session.access_token.clone()),
            proofs: self.proofs(&session).await?,
            deadline_ms: self.options.call_deadline_ms,
        };
        let connector: Arc<dyn Connector> = Arc::new(CloudApi::new(self.client.clone(), config));
        Ok(Arc::new(Link { session, health, upgraded, connector, read_at }))
    }

    /// The Graph API as a session's token sees it, for what is no send.
    ///
    /// # Errors
    /// The record names no place that could be called.
    pub async fn graph(&self, session: &SessionRecord) -> Result<Graph, ConfigError> {
        let config = GraphConfig {
            base_url: base_url(session),
            api_version: session.api_version.clone(),
            access_token: Secret::new(session.access_token.clone()),
            // Without the store a call goes without a proof: an app that demands one says so.
            proofs: self.proofs(session).await.unwrap_or_default(),
            deadline_ms: self.options.call_deadline_ms,
        };
        Graph::new(self.client.clone(), config)
    }

    /// The proofs of a session's token. Which of them Meta takes is remembered until the token or a secret changes.
    async fn proofs(&self, session: &SessionRecord) -> Result<Arc<Proofs>, StoreError> {
        let app = self.app(session.app).await?.filter(|app| app.tenant == session.tenant);
        let secrets = app.as_ref().map_or(&[][..], |app| &app.app_secrets);
        let made_of = xxhash_rust::xxh3::xxh3_64(
            &serde_json::to_vec(&(secrets, &session.access_token)).unwrap_or_default(),
        );
        let known =
            self.proofs.get(&session.id).filter(|known| known.0 == made_of).map(|known| Arc::clone(&known.1));
        Ok(known.unwrap_or_else(|| {
            let proofs = Arc::new(Proofs::of(secrets, &Secret::new(session.access_token.clone())));
            self.proofs.insert(session.id, (made_of, Arc::clone(&proofs)));
            proofs
        }))
    }

    /// The session of a provider's number.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn link_by_number(&self, number: &str) -> Result<Option<Arc<Link>>, StoreError> {
        let now = self.clock.now_ms();
        if let Some(known) = self.numbers.get(number)
            && (now - known.1).abs() < TRUST_MS
        {
            return Ok(known.0.clone());
        }
        let record = self.store.nouns.find::<SessionRecord>(SessionRecord::PHONE_NUMBER_ID, number).await?;
        let link = match record {
            Some(record) => Some(self.make_link(record.noun, now).await?),
            None => None,
        };
        // A number nobody has may get its session any moment.
        if link.is_some() {
            self.numbers.insert(number.to_owned(), (link.clone(), now));
        }
        Ok(link)
    }

    /// What is remembered of a session's record is read anew, and its actor is told.
    pub(crate) fn relink(&self, session: SessionId) {
        self.links.remove(&session);
        self.numbers.retain(|_, (link, _)| link.as_ref().is_none_or(|link| link.session.id != session));
        if let Some(actor) = self.live_session(session) {
            let _ended = actor.force(crate::session::Message::Relink);
        }
    }

    /// A provider's app.
    ///
    /// # Errors
    /// The store could not be read.
    pub async fn app(&self, app: u64) -> Result<Option<Arc<MetaApp>>, StoreError> {
        let now = self.clock.now_ms();
        if let Some(known) = self.apps.get(&app)
            && (now - known.1).abs() < TRUST_MS
        {
            return Ok(known.0.clone());
        }
        let record = self.store.nouns.find::<MetaApp>(MetaApp::APP, &app.to_string()).await?;
        let found = record.map(|r| Arc::new(r.noun));
        if found.is_some() {
            self.apps.insert(app, (found.clone(), now));
        }
        Ok(found)
    }
}

/// What was remembered is read again when it was changed here.
impl Node {
    /// An app was changed.
    pub fn forget_app(&self, app: u64) {
        self.apps.remove(&app);
    }

    /// A session's actor has ended: what was kept at hand for it is read again by the next one.
    pub(crate) fn session_left(&self, session: SessionId) {
        if let Some((_, link)) = self.links.remove(&session) {
            self.numbers.remove(&link.session.phone_number_id);
        }
        self.proofs.remove(&session);
        self.accounts.forget(session);
        // Who counts holds it as well.
        self.on_wire.remove_if(&session, |_, calls| {
            Arc::strong_count(calls) == 1 && calls.load(std::sync::atomic::Ordering::Acquire) == 0
        });
    }

    /// A session was changed or taken away.
    pub fn forget_session(&self, session: SessionId, number: &str) {
        self.links.remove(&session);
        self.numbers.remove(number);
        self.proofs.remove(&session);
        self.accounts.forget(session);
    }
}

/// Where a session's provider is reached.
fn base_url(session: &SessionRecord) -> String {
    session.base_url.clone().unwrap_or_else(|| "https://graph.facebook.com".to_owned())
}
