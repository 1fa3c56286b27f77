//! What a node knows of numbers and templates for a few seconds. Not a truth of its own: whatever is older is read again.

use crate::node::Node;
use dashmap::DashMap;
use kabar_engine::hash::Hashing;
use kabar_engine::id::{SessionId, TenantId};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Number, ProviderTemplate, TemplateSync};
use std::sync::Arc;

/// Records are trusted this long (ms) before they are read again.
const TRUST_MS: i64 = 5_000;
/// Things of a kind that are remembered at once; names of templates come from callers.
const KNOWN_MAX: usize = 20_000;
/// Between two looks at Meta for the same name (ms).
const LOOK_MS: i64 = 60_000;

/// Read of a record, and when.
type Cached<T> = (Option<Arc<T>>, i64);

/// The memory.
#[derive(Default)]
pub struct Accounts {
    numbers: DashMap<SessionId, Cached<Number>, Hashing>,
    templates: DashMap<(TenantId, u64), Cached<ProviderTemplate>, Hashing>,
    syncs: DashMap<(TenantId, u64), Cached<TemplateSync>, Hashing>,
    /// When Meta was last asked for a name that did not fit.
    looked: DashMap<(TenantId, u64), i64, Hashing>,
}

impl Accounts {
    /// What is known of a session's number.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn number(
        &self,
        node: &Node,
        tenant: TenantId,
        session: SessionId,
    ) -> Result<Option<Arc<Number>>, StoreError> {
        let now = node.clock().now_ms();
        if let Some(found) = fresh(&self.numbers, &session, now) {
            return Ok(found.filter(|number| number.tenant == tenant));
        }
        let found = node.store().nouns.get::<Number>(tenant, session.0).await?;
        let found = found.map(|found| Arc::new(found.noun));
        keep(&self.numbers, session, &found, now);
        Ok(found)
    }

    pub(crate) async fn template(
        &self,
        node: &Node,
        tenant: TenantId,
        id: u64,
    ) -> Result<Option<Arc<ProviderTemplate>>, StoreError> {
        let now = node.clock().now_ms();
        if let Some(found) = fresh(&self.templates, &(tenant, id), now) {
            return Ok(found);
        }
        let found = node.store().nouns.get::<ProviderTemplate>(tenant, id).await?;
        let found = found.map(|found| Arc::new(found.noun));
        keep(&self.templates, (tenant, id), &found, now);
        Ok(found)
    }

    pub(crate) async fn sync(
        &self,
        node: &Node,
        tenant: TenantId,
        waba: &str,
    ) -> Result<Option<Arc<TemplateSync>>, StoreError> {
        let (now, id) = (node.clock().now_ms(), TemplateSync::id_of(tenant, waba));
        if let Some(found) = fresh(&self.syncs, &(tenant, id), now) {
            return Ok(found);
        }
        let found = node.store().nouns.get::<TemplateSync>(tenant, id).await?;
        let found = found.map(|found| Arc::new(found.noun));
        keep(&self.syncs, (tenant, id), &found, now);
        Ok(found)
    }

    /// Whether Meta may be asked for this template now; so often it may not.
    pub(crate) fn may_look(&self, tenant: TenantId, id: u64, now: i64) -> bool {
        if self.looked.len() >= KNOWN_MAX {
            self.looked.retain(|_, at| (now - *at).abs() < LOOK_MS);
        }
        if self.looked.len() >= KNOWN_MAX {
            return false;
        }
        let mut may = false;
        let mut entry = self.looked.entry((tenant, id)).or_insert_with(|| {
            may = true;
            now
        });
        if (now - *entry).abs() >= LOOK_MS {
            (*entry, may) = (now, true);
        }
        may
    }

    /// A session was changed or taken away.
    pub fn forget(&self, session: SessionId) {
        self.numbers.remove(&session);
    }

    pub(crate) fn forget_template(&self, tenant: TenantId, id: u64) {
        self.templates.remove(&(tenant, id));
    }

    pub(crate) fn forget_sync(&self, tenant: TenantId, id: u64) {
        self.syncs.remove(&(tenant, id));
    }
}

fn fresh<K: Eq + std::hash::Hash, T>(
    all: &DashMap<K, Cached<T>, Hashing>,
    key: &K,
    now: i64,
) -> Option<Option<Arc<T>>> {
    let known = all.get(key)?;
    ((now - known.1).abs() < TRUST_MS).then(|| known.0.clone())
}

fn keep<K: Eq + std::hash::Hash, T>(
    all: &DashMap<K, Cached<T>, Hashing>,
    key: K,
    found: &Option<Arc<T>>,
    now: i64,
) {
    if all.len() >= KNOWN_MAX {
        all.retain(|_, known| (now - known.1).abs() < TRUST_MS);
    }
    if all.len() < KNOWN_MAX {
        all.insert(key, (found.clone(), now));
    }
}
