//! Whether a message may be made of the template it names, as far as is known here: known to be missing, stopped, or of
//! another form. What is older than a day is not known, and before anything is refused Meta is asked once more. Where
//! Meta does not answer, it will say itself.

use super::keep::{DELETED, sync, write};
use crate::account::Account;
use crate::node::Node;
use kabar_engine::content::{Content, ContentError, TemplateMessage};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::provider_template::{Approved, fit};
use kabar_engine::time::{DAY_MS, MINUTE_MS, Timestamp};
use kabar_schema::error::StoreError;
use kabar_schema::records::{ProviderTemplate, TemplateSync};
use std::sync::Arc;

/// What is older is not known.
const KNOWN_MS: i64 = DAY_MS;
/// What is younger needs no second look.
const SURE_MS: i64 = MINUTE_MS;

/// What speaks against a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateBarrier {
    /// The account has no template of this name in this language.
    #[error("the account has no template `{name}` in the language `{language}`")]
    Missing {
        /// The name.
        name: String,
        /// The language.
        language: String,
    },
    /// It may not be sent now.
    #[error("the template `{name}` ({language}) is {status}")]
    Stopped {
        /// The name.
        name: String,
        /// The language.
        language: String,
        /// `REJECTED`, `PAUSED`, `DISABLED` …
        status: String,
        /// Why, in Meta's word.
        reason: Option<String>,
    },
    /// It has other variables.
    #[error("the message does not fit the template `{name}` ({language}): {error}")]
    Unfit {
        /// The name.
        name: String,
        /// The language.
        language: String,
        /// What does not fit.
        error: ContentError,
    },
}

/// What is known that speaks against this content from this session.
///
/// # Errors
/// What the store could not do.
pub async fn barrier(
    node: &Node,
    (tenant, session): (TenantId, SessionId),
    content: &Content,
) -> Result<Option<TemplateBarrier>, StoreError> {
    let Content::Template(message) = content else { return Ok(None) };
    let number = node.accounts.number(node, tenant, session).await?;
    let Some(waba) = number.as_ref().and_then(|number| number.waba_id.as_deref()) else { return Ok(None) };
    let id = ProviderTemplate::id_of(tenant, waba, &message.name, &message.language.code);
    let known = node.accounts.template(node, tenant, id).await?;
    let sync = node.accounts.sync(node, tenant, waba).await?;
    let now = Timestamp(node.clock().now_ms());
    let Some(found) = judge(message, known.as_ref(), sync.as_ref(), now) else {
        if known.is_some() || !filled(node, (tenant, session), waba, (sync.as_ref(), now)).await {
            return Ok(None);
        }
        let (known, sync) =
            (node.accounts.template(node, tenant, id).await?, node.accounts.sync(node, tenant, waba).await?);
        return Ok(judge(message, known.as_ref(), sync.as_ref(), now));
    };
    let seen = [known.as_ref().map(|known| known.seen), sync.as_ref().and_then(|sync| sync.at)];
    let sure = seen.into_iter().flatten().max().is_some_and(|seen| now.since_ms(seen) < SURE_MS);
    if sure {
        return Ok(Some(found));
    }
    if !node.accounts.may_look(tenant, id, now.0) {
        return Ok(Some(found));
    }
    // Perhaps it was made or mended at Meta meanwhile.
    let Ok(account) = Account::of(node, tenant, session).await else { return Ok(None) };
    let Ok(told) = account.graph().templates(waba, Some(&message.name)).await else { return Ok(None) };
    // Meta finds names that contain this one as well.
    let told: Vec<_> = told.into_iter().filter(|told| told.name == message.name).collect();
    write(node, tenant, waba, (&told, Some(&message.name)), now).await?;
    let known = node.accounts.template(node, tenant, id).await?;
    Ok(judge(message, known.as_ref(), sync.as_ref(), now))
}

/// Whether an account that showed no template when it was read has some now. It is read again, once in a while: one with
/// templates refuses what is not among them, and it may have got its first ones since.
async fn filled(
    node: &Node,
    (tenant, session): (TenantId, SessionId),
    waba: &str,
    (seen, now): (Option<&Arc<TemplateSync>>, Timestamp),
) -> bool {
    let Some(at) = seen.filter(|seen| seen.templates == 0).and_then(|seen| seen.at) else { return false };
    if now.since_ms(at) < SURE_MS || !node.accounts.may_look(tenant, TemplateSync::id_of(tenant, waba), now.0)
    {
        return false;
    }
    sync(node, tenant, session).await.is_ok_and(|sync| sync.templates > 0)
}

fn judge(
    message: &TemplateMessage,
    known: Option<&Arc<ProviderTemplate>>,
    sync: Option<&Arc<TemplateSync>>,
    now: Timestamp,
) -> Option<TemplateBarrier> {
    let young = |at: Timestamp| now.since_ms(at) < KNOWN_MS;
    let whole = sync.and_then(|sync| sync.at).is_some_and(young);
    // An account that shows no template at all is one the token may not look into, or a simulated one.
    let empty = sync.is_none_or(|sync| sync.templates == 0);
    let (name, language) = (message.name.clone(), message.language.code.clone());
    let Some(known) = known else {
        return (whole && !empty).then_some(TemplateBarrier::Missing { name, language });
    };
    if !whole && !young(known.seen) {
        return None;
    }
    match known.status.as_str() {
        DELETED | "PENDING_DELETION" => Some(TemplateBarrier::Missing { name, language }),
        "REJECTED" | "PAUSED" | "DISABLED" | "ARCHIVED" => {
            let (status, reason) = (known.status.clone(), known.reason.clone());
            Some(TemplateBarrier::Stopped { name, language, status, reason })
        }
        _ => {
            let components = known.components.as_deref()?;
            let (format, category) = (known.parameter_format.as_deref(), known.category.as_deref());
            let error = fit(Approved { components, format, category }, message).err()?;
            Some(TemplateBarrier::Unfit { name, language, error })
        }
    }
}
