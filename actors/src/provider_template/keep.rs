//! The reading of whole accounts: every hour, by the node that owns the session's shard, and when somebody asks. The numbers
//! are looked at on the way. Not webhooks, which are faster and may be lost.

use super::{TemplateName, change, take};
use crate::account::{Account, AccountError, WhyNot, look, noted};
use crate::node::Node;
use futures::stream::{self, StreamExt};
use kabar_connectors::cloud::ProviderTemplate as Told;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::{HOUR_MS, MINUTE_MS, Timestamp};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Evidence, Number, ProviderTemplate, Session, TemplateSync};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// Between two looks for what is old (ms).
const TURN_MS: i64 = 5 * MINUTE_MS;
/// A whole account is read again after this (ms).
const OLD_MS: i64 = HOUR_MS;
/// Accounts that are read at once.
const AT_ONCE: usize = 4;
/// Records of one look at the store.
const PAGE: usize = 500;

/// Reads what is old, as long as the node lives.
pub(crate) async fn keep(node: Weak<Node>) {
    loop {
        let Some(node) = node.upgrade() else { return };
        if node.is_ready() && !node.is_draining() {
            match due(&node).await {
                Ok(due) => {
                    stream::iter(due).for_each_concurrent(AT_ONCE, |one| refresh(&node, one)).await;
                }
                Err(error) => tracing::debug!(%error, "what is known of numbers could not be read now"),
            }
        }
        let clock = node.clock().clone();
        drop(node);
        clock.sleep_ms(TURN_MS.unsigned_abs()).await;
    }
}

/// What has to be read: a number each, and of those that share an account one that reads its templates.
struct Due {
    tenant: TenantId,
    session: SessionId,
    waba: Option<String>,
    look: bool,
}

async fn due(node: &Node) -> Result<Vec<Due>, StoreError> {
    let (nouns, now) = (&node.store().nouns, Timestamp(node.clock().now_ms()));
    let old = |at: Option<Timestamp>| at.is_none_or(|at| now.since_ms(at).abs() >= OLD_MS);
    let (mut due, mut after) = (Vec::new(), None);
    let mut accounts: BTreeMap<(TenantId, String), ()> = BTreeMap::new();
    loop {
        let page = nouns.all::<Number>(after, PAGE).await?;
        after = page.last().map(|last| (last.noun.tenant, last.noun.session.0));
        for Number { tenant, session, waba_id, validated, failed, .. } in page.iter().map(|found| &found.noun)
        {
            let shard = node.shard_of_session(*tenant, *session);
            // A number that nobody ever asked Meta about is not asked about behind the tenant's back.
            if shard.is_broken() || !node.terms().holds(shard.id(), shard.epoch()) || validated.is_none() {
                continue;
            }
            let first =
                waba_id.as_ref().filter(|waba| accounts.insert((*tenant, (*waba).clone()), ()).is_none());
            let mut waba = None;
            if let Some(first) = first {
                let sync = nouns.get::<TemplateSync>(*tenant, TemplateSync::id_of(*tenant, first)).await?;
                waba = old(sync.map(|sync| sync.noun.tried)).then(|| first.clone());
            }
            let look = old((*validated).max(failed.as_ref().map(|failed| failed.at)));
            if waba.is_some() || look {
                due.push(Due { tenant: *tenant, session: *session, waba, look });
            }
        }
        if page.len() < PAGE {
            return Ok(due);
        }
    }
}

async fn refresh(node: &Arc<Node>, due: Due) {
    if due.look
        && let Ok(Some(found)) = node.store().nouns.get::<Session>(due.tenant, due.session.0).await
    {
        let seen = look(node, &found.noun, None).await;
        let seen = noted(node, (due.tenant, due.session), Some(seen.as_ref()), |_| {}).await;
        if let Err(error) = seen {
            tracing::debug!(%error, "what Meta says of a number could not be written now");
        }
    }
    if due.waba.is_some()
        && let Err(error) = sync(node, due.tenant, due.session).await
    {
        tracing::debug!(why = WhyNot::from(&error).word(), "an account's templates could not be read now");
    }
}

/// Reads every template of the session's account and writes down what is new; those that are gone are marked so.
///
/// # Errors
/// [`AccountError`]; that it failed is written down as well.
pub async fn sync(node: &Node, tenant: TenantId, session: SessionId) -> Result<TemplateSync, AccountError> {
    let account = Account::of(node, tenant, session).await?;
    let waba = account.waba()?;
    let began = Timestamp(node.clock().now_ms());
    let told = match account.graph().templates(waba, None).await {
        Ok(told) => told,
        Err(failure) => {
            let error = AccountError::from(failure);
            let word = WhyNot::from(&error).word().to_owned();
            tried(node, tenant, waba, began, |sync| sync.failed = Some(word.clone())).await?;
            return Err(error);
        }
    };
    write(node, tenant, waba, (&told, None), began).await?;
    let count = told.len() as u64;
    let whole = |sync: &mut TemplateSync| {
        (sync.at, sync.templates, sync.failed) = (Some(began), count, None);
    };
    Ok(tried(node, tenant, waba, began, whole).await?)
}

/// Writes what Meta says of an account's templates, or of those of one name. What was heard meanwhile is newer.
pub(super) async fn write(
    node: &Node,
    tenant: TenantId,
    waba: &str,
    (told, name): (&[Told], Option<&str>),
    began: Timestamp,
) -> Result<(), StoreError> {
    let mut known = known(node, tenant, waba, name).await?;
    for told in told {
        let id = ProviderTemplate::id_of(tenant, waba, &told.name, &told.language);
        let before = known.remove(&id);
        let mut after = before.clone();
        if let Some(after) = &mut after {
            take(after, told);
        }
        if before.as_ref().is_some_and(|before| before.seen > began) || (before.is_some() && before == after)
        {
            continue;
        }
        let of = TemplateName { waba, name: &told.name, language: &told.language, id: Some(&told.id) };
        change(node, tenant, of, |template| {
            take(template, told);
            template.evidence = Evidence::Sync;
        })
        .await?;
    }
    for gone in known.into_values().filter(|gone| gone.seen <= began && gone.status != DELETED) {
        let (name, language, id) = (&gone.name, &gone.language, gone.provider_id.as_deref());
        let of = TemplateName { waba, name, language, id };
        change(node, tenant, of, |template| {
            (template.status, template.evidence) = (DELETED.to_owned(), Evidence::Sync);
        })
        .await?;
    }
    Ok(())
}

/// Of a template that is no more.
pub(crate) const DELETED: &str = "DELETED";

async fn known(
    node: &Node,
    tenant: TenantId,
    waba: &str,
    name: Option<&str>,
) -> Result<BTreeMap<u64, ProviderTemplate>, StoreError> {
    let key = name.map_or_else(|| waba.to_owned(), |name| ProviderTemplate::name_key(waba, name));
    let index = if name.is_some() { ProviderTemplate::NAME } else { ProviderTemplate::WABA_ID };
    let (mut known, mut after) = (BTreeMap::new(), None);
    loop {
        let nouns = &node.store().nouns;
        let page = nouns.page::<ProviderTemplate>(tenant, Some((index, &key)), after, PAGE).await?;
        after = page.last().map(|last| (last.noun.created, last.noun.id));
        let ended = page.len() < PAGE;
        known.extend(page.into_iter().map(|found| (found.noun.id, found.noun)));
        if ended {
            return Ok(known);
        }
    }
}

async fn tried(
    node: &Node,
    tenant: TenantId,
    waba: &str,
    now: Timestamp,
    change: impl Fn(&mut TemplateSync),
) -> Result<TemplateSync, StoreError> {
    let (nouns, id) = (&node.store().nouns, TemplateSync::id_of(tenant, waba));
    for _ in 0..super::TRIES {
        let stored = nouns.get::<TemplateSync>(tenant, id).await?;
        let version = stored.as_ref().map(|stored| stored.version);
        let mut sync = stored.map_or_else(
            || TemplateSync {
                id,
                tenant,
                waba_id: waba.to_owned(),
                at: None,
                templates: 0,
                tried: now,
                failed: None,
                created: now,
            },
            |stored| stored.noun,
        );
        sync.tried = now;
        change(&mut sync);
        let written = match version {
            Some(version) => nouns.update(&sync, version).await.map(|_| ()),
            None => nouns.create(&sync).await,
        };
        node.accounts.forget_sync(tenant, id);
        match written {
            Ok(()) => return Ok(sync),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Conflict)
}
