//! Sessions and their accounts at Meta through the front door: looked at, changed, taken away. Not the calls themselves:
//! those are an [`Account`]'s.

use super::{DispatchError, Dispatcher};
use crate::account::{Account, AccountError, NumberLook, Refused, look, noted};
use crate::session;
use kabar_engine::campaign::Verb;
use kabar_engine::id::{CampaignId, MediaId, SessionId, TenantId};
use kabar_engine::overlay::{Input, Outbox, Refusal};
use kabar_schema::error::StoreError;
use kabar_schema::records::{Number, Session};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Numbers of one account at most.
const OF_ACCOUNT: usize = 200;
/// Tries to write what others write at the same time.
const TRIES: u32 = 5;

/// What stands in the way of taking a session away, or was ended with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removal {
    /// Messages that wait in its outbox.
    pub waiting: usize,
    /// Campaigns that are not over and leave from it as well.
    pub campaigns: BTreeSet<CampaignId>,
}

/// Why a session is not taken away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoveError {
    /// It has work to do.
    #[error("the session has work to do")]
    InUse(Removal),
    /// It could not be done.
    #[error(transparent)]
    Failed(#[from] DispatchError),
}

impl From<StoreError> for RemoveError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl Dispatcher {
    /// A session with its way to Meta.
    ///
    /// # Errors
    /// `NoSession`, or what the store could not do.
    pub async fn account(&self, tenant: TenantId, session: SessionId) -> Result<Account, AccountError> {
        Account::of(&self.0, tenant, session).await
    }

    /// Uploads media of ours to the app of a session, and gives what Meta calls it by.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn upload_sample(&self, account: &Account, media: MediaId) -> Result<String, AccountError> {
        account.upload(&self.0, media).await
    }

    /// What is known of a session's number; nothing is asked at Meta.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn number(
        &self,
        tenant: TenantId,
        session: SessionId,
    ) -> Result<Option<Arc<Number>>, DispatchError> {
        Ok(self.0.accounts.number(&self.0, tenant, session).await?)
    }

    /// Sessions of the tenant's whose numbers are of this account.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn sessions_of_waba(
        &self,
        tenant: TenantId,
        waba: &str,
    ) -> Result<Vec<SessionId>, DispatchError> {
        let index = Some((Number::WABA_ID, waba));
        let found = self.0.store().nouns.page::<Number>(tenant, index, None, OF_ACCOUNT).await?;
        Ok(found.into_iter().map(|found| found.noun.session).collect())
    }

    /// Asks Meta whether a session's token works for its number; the session need not be stored.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn look(&self, session: &Session, waba: Option<&str>) -> Result<NumberLook, Refused> {
        look(&self.0, session, waba).await
    }

    /// Writes down what was seen of a number, or that it failed.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn note_number(
        &self,
        (tenant, session): (TenantId, SessionId),
        seen: Result<&NumberLook, &Refused>,
        change: impl Fn(&mut Number) + Send + Sync,
    ) -> Result<Number, DispatchError> {
        Ok(noted(&self.0, (tenant, session), Some(seen), change).await?)
    }

    /// Writes down what was said of a number without a look at Meta.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn name_account(
        &self,
        (tenant, session): (TenantId, SessionId),
        change: impl Fn(&mut Number) + Send + Sync,
    ) -> Result<Number, DispatchError> {
        Ok(noted(&self.0, (tenant, session), None, change).await?)
    }

    /// Says that a session's record was changed: from now on what it says holds.
    pub fn session_changed(&self, session: &Session) {
        self.0.forget_session(session.id, &session.phone_number_id);
        if let Some(handle) = self.0.live_session(session.id) {
            let _restarting = handle.force(session::Message::Changed);
        }
    }

    /// What a session has to do.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn session_work(&self, tenant: TenantId, id: SessionId) -> Result<Removal, DispatchError> {
        let waiting = self.0.shard_of_session(tenant, id).peek(|o| o.outbox(id).map_or(0, Outbox::len));
        let mut live = BTreeSet::new();
        for shard in self.0.all_shards() {
            let own = |overlay: &kabar_engine::overlay::Overlay| {
                let campaigns = overlay.live_campaigns().filter(|row| row.tenant == tenant).map(|row| row.id);
                campaigns.collect::<Vec<_>>()
            };
            live.extend(shard.peek(own));
        }
        let mut campaigns = BTreeSet::new();
        for campaign in live {
            let spec = self.spec(tenant, campaign).await?;
            if spec.is_some_and(|spec| spec.senders.contains(&id)) {
                campaigns.insert(campaign);
            }
        }
        Ok(Removal { waiting, campaigns })
    }

    /// Takes a session away. With work to do only when it is forced: its campaigns are cancelled, what waits ends with the
    /// cause `session_removed`, what is on the wire ends by its answer.
    ///
    /// # Errors
    /// [`RemoveError`]; after a failure the same again goes on.
    pub async fn remove_session(
        &self,
        tenant: TenantId,
        id: SessionId,
        force: bool,
    ) -> Result<Removal, RemoveError> {
        let work = self.session_work(tenant, id).await?;
        if !force && (work.waiting > 0 || !work.campaigns.is_empty()) {
            return Err(RemoveError::InUse(work));
        }
        for campaign in &work.campaigns {
            match self.move_campaign(tenant, *campaign, Verb::Cancel, None).await {
                // It ended by itself meanwhile.
                Ok(_) | Err(DispatchError::NotFound | DispatchError::Refused(Refusal::WrongPhase)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let nouns = &self.0.store().nouns;
        for _ in 0..TRIES {
            let Some(found) = nouns.get::<Session>(tenant, id.0).await? else {
                return Err(DispatchError::NotFound.into());
            };
            match nouns.delete::<Session>(tenant, id.0, found.version).await {
                Ok(()) => {
                    self.session_changed(&found.noun);
                    self.clear(tenant, id).await?;
                    self.forget_number(tenant, id).await?;
                    return Ok(work);
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Ends what waits.
    async fn clear(&self, tenant: TenantId, id: SessionId) -> Result<(), DispatchError> {
        let shard = self.0.shard_of_session(tenant, id);
        while shard.peek(|o| o.outbox(id).is_some_and(|outbox| !outbox.waiting(1).is_empty())) {
            shard.ask(Input::Clear { tenant, session: id }).await?;
        }
        Ok(())
    }

    async fn forget_number(&self, tenant: TenantId, id: SessionId) -> Result<(), DispatchError> {
        let nouns = &self.0.store().nouns;
        if let Some(found) = nouns.get::<Number>(tenant, id.0).await? {
            match nouns.delete::<Number>(tenant, id.0, found.version).await {
                // Written anew by a look that was on its way; nobody finds it without its session.
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.0.accounts.forget(id);
        Ok(())
    }
}
