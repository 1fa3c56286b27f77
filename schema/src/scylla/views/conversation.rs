//! Conversations, one row each, the name sealed; and the lists of a tenant's and of a session's. Not their messages.

use super::flush::Phase;
use super::{CqlViews, at_most, read};
use crate::codec::body;
use crate::codec::view::conversation::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::slices;
use crate::seal::Keyring;
use crate::sealing::{Place, open, seal};
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::conversation::ConversationRow;
use kabar_engine::id::{ConversationId, SessionId, TenantId};
use std::sync::Arc;

/// The list of all of a tenant's sessions.
const ALL: SessionId = SessionId(0);

/// Puts a conversation; into the lists only when it is `fresh`, since it never leaves them.
pub(super) fn put(
    to: &mut Phase<'_>,
    keyring: &Keyring,
    row: &ConversationRow,
    fresh: bool,
) -> Result<(), StoreError> {
    let sql = to.sql;
    let mut sealed = Vec::new();
    let kept = match body::profile(row) {
        Some(profile) => seal(keyring, row.tenant, Place::ConversationName(row.id.0), &mut sealed, |out| {
            out.extend_from_slice(&profile);
        })?,
        None => false,
    };
    let state = pack(row, kept.then_some(sealed.as_slice()));
    to.put(&sql.conversation, cells![row.id.0, state, row.upto.0]);
    if fresh {
        let slice = slices::of_id(row.tenant, row.id.0);
        for session in [ALL, row.session] {
            to.put(&sql.conversation_list, cells![row.tenant.0, session.0, slice, row.id.0, row.upto.0]);
        }
    }
    Ok(())
}

/// The conversation, if there is one.
pub(super) async fn one(views: &CqlViews, id: ConversationId) -> Result<Option<ConversationRow>, StoreError> {
    let found: Option<(Vec<u8>,)> = views.cluster.row(&views.reads.conversation, cells![id.0]).await?;
    let Some((state,)) = found else { return Ok(None) };
    let (mut row, profile) = read(unpack(id, &state))?;
    let plain = match profile {
        Some(sealed) => open(&views.keyring, row.tenant, Place::ConversationName(id.0), sealed)?,
        None => None,
    };
    if let Some(plain) = plain {
        read(body::read_profile(&mut row, &plain))?;
    }
    Ok(Some(row))
}

/// Ids of a list, behind `after`.
async fn ids(
    views: &CqlViews,
    (tenant, session): (TenantId, SessionId),
    after: Option<ConversationId>,
    limit: usize,
) -> Result<Vec<ConversationId>, StoreError> {
    let found = slices::merge(after, limit, |slice, after: Option<ConversationId>, count| async move {
        let after = after.map_or(-1, |id| id.0.cast_signed());
        let key = (tenant.0.cast_signed(), session.0.cast_signed(), slice, after, at_most(count));
        let rows: Vec<(i64,)> = views.cluster.rows(&views.reads.conversations, key).await?;
        Ok(rows.into_iter().map(|(id,)| (ConversationId(id.cast_unsigned()), ())).collect())
    });
    Ok(found.await?.into_iter().map(|(id, ())| id).collect())
}

/// A tenant's conversations by id. One that is listed by a flush that is not finished is passed over.
pub(super) async fn page(
    views: &CqlViews,
    (tenant, session): (TenantId, Option<SessionId>),
    mut after: Option<ConversationId>,
    limit: usize,
) -> Result<Vec<Arc<ConversationRow>>, StoreError> {
    let mut list: Vec<Arc<ConversationRow>> = Vec::new();
    while list.len() < limit {
        let asked = limit - list.len();
        let ids = ids(views, (tenant, session.unwrap_or(ALL)), after, asked).await?;
        after = ids.last().copied();
        let last = ids.len() < asked;
        let loads: Vec<_> = ids.into_iter().map(|id| one(views, id)).collect();
        let rows: Vec<_> = stream::iter(loads).buffered(super::AT_ONCE).try_collect().await?;
        let mine = |row: &ConversationRow| row.tenant == tenant && session.is_none_or(|s| row.session == s);
        list.extend(rows.into_iter().flatten().filter(mine).map(Arc::new));
        if last {
            break;
        }
    }
    Ok(list)
}
