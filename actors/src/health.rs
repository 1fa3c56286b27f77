//! How numbers do in the provider's eyes: a notice is journaled and taken over into the health of whom it concerns, and so is
//! an error that was more than one message's. Not what a notice means: that is the engine's.

use crate::metrics;
use crate::node::Node;
use crate::provider_template;
use crate::shard::DoorError;
use kabar_engine::health::{Health, Trouble};
use kabar_engine::id::{SessionId, ShardId, TenantId};
use kabar_engine::notice::Notice;
use kabar_engine::overlay::{Answer, Input};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::records::{MetaApp, Session, SessionHealth};
use std::sync::Arc;

/// Two that change a record at once do it one after the other; so often the loser tries again.
const TRIES: usize = 8;
/// Sessions of a tenant that are looked through for whom a notice concerns.
const SESSIONS: usize = 2_000;
const PAGE: usize = 200;

/// Fields that are about templates and accounts, which say something of every number of the account.
const OF_ACCOUNT: [&str; 8] = [
    "message_template_status_update",
    "message_template_quality_update",
    "account_update",
    "account_review_update",
    "account_alerts",
    "business_capability_update",
    "template_category_update",
    "message_template_components_update",
];

impl Node {
    /// How a number does, as it was last told.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn health(&self, tenant: TenantId, session: SessionId) -> Result<Health, StoreError> {
        let found = self.store().nouns.get::<SessionHealth>(tenant, session.0).await?;
        Ok(found.map(|found| found.noun.health).unwrap_or_default())
    }

    /// Changes a number's health; `change` says whether it did.
    ///
    /// # Errors
    /// What the store could not do; nothing was changed then.
    pub(crate) async fn observe(
        &self,
        (tenant, session): (TenantId, SessionId),
        change: impl Fn(&mut Health) -> bool,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let found = self.store().nouns.get::<SessionHealth>(tenant, session.0).await?;
            let (mut noun, version) = match found {
                Some(found) => (found.noun, found.version),
                None => {
                    let (created, health) = (Timestamp(self.clock().now_ms()), Health::default());
                    (SessionHealth { session, tenant, created, health }, 0)
                }
            };
            if !change(&mut noun.health) {
                return Ok(());
            }
            let put = match version {
                0 => self.store().nouns.create(&noun).await,
                version => self.store().nouns.update(&noun, version).await.map(|_| ()),
            };
            match put {
                Ok(()) => {
                    self.relink(session);
                    return Ok(());
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }

    /// Notes an error that was more than one message's. It is told again, so nothing hangs on this one.
    pub(crate) async fn note(&self, tenant: TenantId, session: SessionId, trouble: &Trouble) {
        let now = Timestamp(self.clock().now_ms());
        tracing::warn!(%session, code = trouble.cause.number(), "the provider refuses more than one message");
        if let Err(error) = self.observe((tenant, session), |health| health.note(trouble, now)).await {
            tracing::warn!(%session, %error, "a number's health could not be written");
        }
    }
}

/// Journals a notice and takes it over into the health of the numbers it concerns. `of` is the number, when the webhook named
/// it. Tells whether it was news; when this returns it is durable.
pub(crate) async fn hear(
    node: &Arc<Node>,
    owner: &Arc<MetaApp>,
    of: Option<SessionId>,
    mut notice: Notice,
) -> Result<bool, DoorError> {
    let concerned = match of {
        Some(session) => vec![session],
        None => concerned(node, owner, &notice).await?,
    };
    let value = notice.read();
    if of.is_some() || Notice::display_phone_number(&value).is_some() {
        notice.session = concerned.first().copied();
    }
    let tenant = owner.tenant;
    let shard = match notice.session {
        Some(session) => node.shard_of_session(tenant, session),
        None => node.shard(ShardId::of_account(tenant, notice.account.as_deref().unwrap_or_default())),
    };
    node.store().keyring.ensure(tenant).await.map_err(DoorError::from)?;
    let boxed = Box::new(notice.clone());
    let Answer::Noticed { event, new } = shard.ask(Input::Notice { tenant, notice: boxed }).await? else {
        return Err(DoorError::Unknown);
    };
    if new {
        metrics::notice(kabar_engine::event::Kind::of_notice(&notice).word());
    }
    if new {
        provider_template::hear(node, tenant, &notice).await?;
    }
    let now = Timestamp(node.clock().now_ms());
    // Also of a repeat: the first may have ended between the journal and the record.
    for session in concerned {
        node.observe((tenant, session), |health| health.hear(&notice, event, now)).await?;
    }
    Ok(new)
}

/// The app's numbers a notice is about: the one it names, else those of its account.
async fn concerned(node: &Arc<Node>, owner: &MetaApp, notice: &Notice) -> Result<Vec<SessionId>, DoorError> {
    let value = notice.read();
    let id = value.get("metadata").and_then(|metadata| metadata.get("phone_number_id")?.as_str());
    if let Some(id) = id {
        let link = node.link_by_number(id).await?;
        let own = link.filter(|l| l.session.app == owner.id && l.session.tenant == owner.tenant);
        return Ok(own.map(|link| link.session.id).into_iter().collect());
    }
    let display = Notice::display_phone_number(&value);
    if display.is_none() && !OF_ACCOUNT.contains(&&*notice.field) {
        return Ok(Vec::new());
    }
    let sessions = sessions(node, owner).await?;
    if let Some(digits) = display {
        return Ok(sessions.iter().filter(|s| s.display_phone_number == digits).map(|s| s.id).collect());
    }
    let Some(account) = notice.account.as_deref() else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for session in &sessions {
        let known = node.health(owner.tenant, session.id).await?.account;
        // An app's only number is of its account before its first message says so.
        if known.as_deref() == Some(account) || (known.is_none() && sessions.len() == 1) {
            found.push(session.id);
        }
    }
    Ok(found)
}

async fn sessions(node: &Arc<Node>, owner: &MetaApp) -> Result<Vec<Session>, DoorError> {
    let (mut found, mut after, mut seen) = (Vec::new(), None, 0);
    loop {
        let page = node.store().nouns.page::<Session>(owner.tenant, None, after, PAGE).await?;
        let last = page.len() < PAGE;
        seen += page.len();
        after = page.last().map(|one| (one.noun.created, one.noun.id.0));
        found.extend(page.into_iter().map(|one| one.noun).filter(|session| session.app == owner.id));
        if last || seen >= SESSIONS {
            return Ok(found);
        }
    }
}
