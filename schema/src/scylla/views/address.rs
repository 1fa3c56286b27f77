//! Which conversation an address leads to. Not the conversation.

use super::CqlViews;
use super::flush::Phase;
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::fault::damaged;
use kabar_engine::address::Address;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, SessionId, TenantId};
use kabar_engine::overlay::AddressRow;

/// A stored address.
pub(super) fn parsed(key: &str) -> Result<Address, StoreError> {
    Address::from_key(key).map_err(|_| damaged("an address key has another form"))
}

/// Puts where an address leads.
pub(super) fn put(to: &mut Phase<'_>, row: &AddressRow) {
    let (sql, upto) = (to.sql, row.upto.0);
    let key = row.address.key();
    to.put(&sql.address, cells![row.session.0, key, row.tenant.0, row.conversation.0, upto, upto]);
}

/// Where the address leads, if anywhere.
pub(super) async fn one(
    views: &CqlViews,
    session: SessionId,
    address: &Address,
) -> Result<Option<AddressRow>, StoreError> {
    let key = cells![session.0, address.key()];
    let found: Option<(i64, i64, i64)> = views.cluster.row(&views.reads.address, key).await?;
    Ok(found.map(|(tenant, conversation, upto)| AddressRow {
        tenant: TenantId(tenant.cast_unsigned()),
        session,
        address: address.clone(),
        conversation: ConversationId(conversation.cast_unsigned()),
        upto: Position(upto.cast_unsigned()),
    }))
}
