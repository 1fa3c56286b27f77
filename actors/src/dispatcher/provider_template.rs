//! Meta's templates through the front door: made, changed, deleted at Meta and then noted here, read from the copies. Bodies and
//! answers are in Meta's shape as well (`ProviderTemplate::to_meta`). Not the rules a template must keep: the engine's.

use super::{DispatchError, Dispatcher};
use crate::account::{AccountError, NewProviderTemplate, ProviderTemplateEdit, done};
use crate::provider_template::{self, TemplateBarrier, TemplateName, barrier, by_id, change};
use kabar_connectors::cloud::GraphFailure;
use kabar_engine::content::Content;
use kabar_engine::id::{SessionId, TenantId};
use kabar_schema::records::{Evidence, ProviderTemplate, TemplateSync};
use std::sync::Arc;

/// Meta's subcode for an object that is not there.
const NO_OBJECT: u32 = 33;
/// Languages of one name at most.
const LANGUAGES_MAX: usize = 200;

impl Dispatcher {
    /// Makes a template at Meta. `made_by` tells a repeat of the request from another one.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn create_provider_template(
        &self,
        (tenant, session): (TenantId, SessionId),
        wanted: &NewProviderTemplate,
        made_by: Option<String>,
    ) -> Result<ProviderTemplate, AccountError> {
        let account = self.account(tenant, session).await?;
        let waba = account.waba()?;
        let made = account.graph().create_template(waba, wanted).await?;
        let (name, language, id) = (&wanted.name, &wanted.language, Some(made.id.as_str()));
        let of = TemplateName { waba, name, language, id };
        let noted = |template: &mut ProviderTemplate| {
            template.status = made.status.clone().unwrap_or_else(|| "PENDING".to_owned());
            template.category = made.category.clone().or_else(|| Some(wanted.category.clone()));
            template.parameter_format.clone_from(&wanted.parameter_format);
            template.ttl_seconds = wanted.message_send_ttl_seconds;
            template.components = Some(wanted.components.clone());
            (template.reason, template.quality) = (None, None);
            template.made.clone_from(&made_by);
            template.evidence = Evidence::Answer;
        };
        Ok(change(&self.0, tenant, of, noted).await?)
    }

    /// Changes one at Meta.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn edit_provider_template(
        &self,
        (tenant, session): (TenantId, SessionId),
        id: &str,
        edit: &ProviderTemplateEdit,
    ) -> Result<ProviderTemplate, AccountError> {
        let account = self.account(tenant, session).await?;
        let known = self.copy_of(tenant, account.waba()?, id).await?;
        done(account.graph().edit_template(id, edit).await?)?;
        self.reread((tenant, session), &known, edit).await
    }

    /// Asks that a paused one goes again.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn unpause_provider_template(
        &self,
        (tenant, session): (TenantId, SessionId),
        id: &str,
    ) -> Result<ProviderTemplate, AccountError> {
        let account = self.account(tenant, session).await?;
        let known = self.copy_of(tenant, account.waba()?, id).await?;
        done(account.graph().unpause_template(id).await?)?;
        self.reread((tenant, session), &known, &ProviderTemplateEdit::default()).await
    }

    /// One by Meta's id; asked for at Meta when that is wanted or it is not known here.
    ///
    /// # Errors
    /// `NoTemplate`, or another [`AccountError`].
    pub async fn provider_template(
        &self,
        (tenant, session): (TenantId, SessionId),
        id: &str,
        refresh: bool,
    ) -> Result<ProviderTemplate, AccountError> {
        let account = self.account(tenant, session).await?;
        let known = self.copy_of(tenant, account.waba()?, id).await?;
        if !refresh {
            return Ok(known);
        }
        match account.graph().template(id).await {
            Ok(told) => Ok(provider_template::told(&self.0, tenant, &known.waba_id, &told).await?),
            Err(GraphFailure::Refused(no)) if no.subcode == Some(NO_OBJECT) || no.status == 404 => {
                Ok(self.gone(tenant, &known).await?)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Deletes every language of a name, or the one with this id.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn delete_provider_template(
        &self,
        (tenant, session): (TenantId, SessionId),
        name: &str,
        id: Option<&str>,
    ) -> Result<(), AccountError> {
        let account = self.account(tenant, session).await?;
        let waba = account.waba()?;
        done(account.graph().delete_template(waba, name, id).await?)?;
        for known in self.named(tenant, waba, name).await? {
            if id.is_none_or(|id| known.provider_id.as_deref() == Some(id)) {
                self.gone(tenant, &known).await?;
            }
        }
        Ok(())
    }

    /// Reads every template of the session's account at Meta.
    ///
    /// # Errors
    /// [`AccountError`].
    pub async fn sync_provider_templates(
        &self,
        tenant: TenantId,
        session: SessionId,
    ) -> Result<TemplateSync, AccountError> {
        provider_template::sync(&self.0, tenant, session).await
    }

    /// When that was last done.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn template_sync(
        &self,
        tenant: TenantId,
        waba: &str,
    ) -> Result<Option<Arc<TemplateSync>>, DispatchError> {
        Ok(self.0.accounts.sync(&self.0, tenant, waba).await?)
    }

    /// What is known that speaks against this content from this session.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn template_barrier(
        &self,
        tenant: TenantId,
        session: SessionId,
        content: &Content,
    ) -> Result<Option<TemplateBarrier>, DispatchError> {
        Ok(barrier(&self.0, (tenant, session), content).await?)
    }

    /// What is known of the template that this content names; `None` when it names none, or nothing is known of it.
    ///
    /// # Errors
    /// What the store could not do.
    pub async fn named_template(
        &self,
        tenant: TenantId,
        session: SessionId,
        content: &Content,
    ) -> Result<Option<Arc<ProviderTemplate>>, DispatchError> {
        let Content::Template(message) = content else { return Ok(None) };
        let number = self.number(tenant, session).await?;
        let Some(waba) = number.as_ref().and_then(|number| number.waba_id.as_deref()) else {
            return Ok(None);
        };
        let id = ProviderTemplate::id_of(tenant, waba, &message.name, &message.language.code);
        Ok(self.0.accounts.template(&self.0, tenant, id).await?)
    }

    async fn copy_of(
        &self,
        tenant: TenantId,
        waba: &str,
        id: &str,
    ) -> Result<ProviderTemplate, AccountError> {
        by_id(&self.0, tenant, (waba, id)).await?.ok_or(AccountError::NoTemplate)
    }

    /// The copies of a name, in every language.
    async fn named(
        &self,
        tenant: TenantId,
        waba: &str,
        name: &str,
    ) -> Result<Vec<ProviderTemplate>, AccountError> {
        let key = ProviderTemplate::name_key(waba, name);
        let index = Some((ProviderTemplate::NAME, key.as_str()));
        let found = self.0.store().nouns.page::<ProviderTemplate>(tenant, index, None, LANGUAGES_MAX).await?;
        Ok(found.into_iter().map(|found| found.noun).collect())
    }

    async fn gone(
        &self,
        tenant: TenantId,
        known: &ProviderTemplate,
    ) -> Result<ProviderTemplate, AccountError> {
        let deleted = |template: &mut ProviderTemplate| {
            (template.status, template.evidence) = (provider_template::DELETED.to_owned(), Evidence::Answer);
        };
        Ok(change(&self.0, tenant, TemplateName::of(known), deleted).await?)
    }

    /// What a change came to, as Meta has it; as it was asked for when Meta cannot be read now.
    async fn reread(
        &self,
        (tenant, session): (TenantId, SessionId),
        known: &ProviderTemplate,
        edit: &ProviderTemplateEdit,
    ) -> Result<ProviderTemplate, AccountError> {
        let account = self.account(tenant, session).await?;
        let id = known.provider_id.as_deref().unwrap_or_default();
        if let Ok(told) = account.graph().template(id).await {
            return Ok(provider_template::told(&self.0, tenant, &known.waba_id, &told).await?);
        }
        let asked = |template: &mut ProviderTemplate| {
            if let Some(components) = &edit.components {
                template.components = Some(components.clone());
            }
            template.category = edit.category.clone().or_else(|| template.category.clone());
            template.ttl_seconds = edit.message_send_ttl_seconds.or(template.ttl_seconds);
            template.evidence = Evidence::Answer;
        };
        Ok(change(&self.0, tenant, TemplateName::of(known), asked).await?)
    }
}
