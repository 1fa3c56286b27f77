//! What every handler is given: the node, the configuration, the small memories of the edge. No state of the
//! product: that lives in shards and records.

use crate::auth::For;
use crate::auth::ring::Ring;
use crate::cache::Cache;
use crate::config::Config;
use crate::edge::admission::Admission;
use crate::metrics::Exposition;
use crate::problem::Problem;
use crate::share::Share;
use kabar_actors::Node;
use kabar_actors::dispatcher::Dispatcher;
use kabar_engine::id::{ResellerId, SessionId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::records::{Nouns, Session, Tenant};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};

/// Sessions remembered at once.
const SESSIONS_MAX: usize = 10_000;
/// Tenants remembered at once.
const TENANTS_MAX: usize = 10_000;
/// That a session exists is remembered this long; a removal here is forgotten at once.
const SESSION_KEEP: Duration = Duration::from_secs(60);
/// Nor can a tenant go, or become another reseller's.
const TENANT_KEEP: Duration = Duration::from_secs(60);

/// Messages that are explained at once: each may read some ten thousand entries of the journal.
const WHYS_MAX: usize = 4;

/// Shared by every request of one server.
#[derive(Clone)]
pub(crate) struct ApiState(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) node: Arc<Node>,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) config: Config,
    pub(crate) operator_key: String,
    pub(crate) exposition: Exposition,
    /// The API keys that were met.
    pub(crate) ring: Arc<Ring>,
    tenants: Cache<TenantId, Option<ResellerId>>,
    sessions: Cache<(TenantId, SessionId), ()>,
    /// One place per contact file that may be read now.
    pub(crate) imports: Arc<Share>,
    /// One place per file that may be taken in now.
    pub(crate) media: Arc<Share>,
    /// One permit per message that may be explained now.
    pub(crate) whys: Semaphore,
    /// Held while a webhook subscription is counted and made, so that many at once cannot pass together.
    pub(crate) subscribing: Mutex<()>,
    /// What is in hand, and whether the server is ending.
    pub(crate) admission: Arc<Admission>,
}

impl std::ops::Deref for ApiState {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl ApiState {
    pub(crate) fn new(node: Arc<Node>, config: Config, operator_key: String, exposition: Exposition) -> Self {
        Self(Arc::new(Inner {
            dispatcher: node.dispatcher(),
            ring: Arc::new(Ring::new(Duration::from_millis(config.auth.key_cache_ms), config.limits)),
            tenants: Cache::new(TENANT_KEEP, TENANTS_MAX),
            sessions: Cache::new(SESSION_KEEP, SESSIONS_MAX),
            admission: Admission::of(&config),
            imports: Share::new(config.server.imports_max),
            media: Share::new(config.server.media_at_once),
            subscribing: Mutex::default(),
            whys: Semaphore::new(WHYS_MAX),
            node,
            config,
            operator_key,
            exposition,
        }))
    }

    /// The node's time.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.node.clock().now_ms())
    }

    /// The records.
    pub(crate) fn nouns(&self) -> &Nouns {
        &self.node.store().nouns
    }

    /// The number whose things are shown, when a filter names one or the key is for one alone. A filter that names a number
    /// the tenant has not is refused: an empty answer would hide a slip of the pen.
    pub(crate) async fn filtered(
        &self,
        whom: &For,
        session: Option<SessionId>,
    ) -> Result<Option<SessionId>, Problem> {
        if let Some(id) = session {
            if !self.has_session(whom.tenant, id).await? {
                return Err(Problem::no_such("session"));
            }
            whom.check_session(id)?;
            return Ok(session);
        }
        let Some(own) = whom.sessions() else { return Ok(None) };
        match (own.first(), own.len()) {
            (Some(only), 1) => Ok(Some(*only)),
            _ => Err(For::not_for("The key is for some sessions only: name one of them with `session`.")),
        }
    }

    /// Whose customer the tenant is (`Some(None)`: the operator's own); `None` when there is no such tenant.
    pub(crate) async fn reseller_of(
        &self,
        tenant: TenantId,
    ) -> Result<Option<Option<ResellerId>>, kabar_schema::StoreError> {
        if let Some(known) = self.tenants.get(&tenant) {
            return Ok(Some(known));
        }
        let found = self.nouns().get::<Tenant>(tenant, tenant.0).await?;
        let whose = found.map(|found| found.noun.reseller);
        if let Some(whose) = whose {
            self.tenants.put(tenant, whose);
        }
        Ok(whose)
    }

    /// A session was taken away.
    pub(crate) fn forget_session(&self, tenant: TenantId, id: SessionId) {
        self.sessions.forget(&(tenant, id));
    }

    /// Whether the session is there and this tenant's.
    pub(crate) async fn has_session(
        &self,
        tenant: TenantId,
        id: SessionId,
    ) -> Result<bool, kabar_schema::StoreError> {
        if self.sessions.get(&(tenant, id)).is_some() {
            return Ok(true);
        }
        let found = self.nouns().get::<Session>(tenant, id.0).await?.is_some();
        if found {
            self.sessions.put((tenant, id), ());
        }
        Ok(found)
    }
}
