//! Used idempotency keys, which end by themselves. Not the messages they made.

use super::flush::Phase;
use super::{CqlViews, read};
use crate::codec::view::idempotency::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::views::IDEMPOTENCY_KEPT_MS;
use kabar_engine::id::SessionId;
use kabar_engine::overlay::IdempotencyRow;

/// Puts a used key.
pub(super) fn put(to: &mut Phase<'_>, row: &IdempotencyRow) {
    let sql = to.sql;
    let (key, ttl) = (row.key.to_be_bytes().to_vec(), super::kept_s(IDEMPOTENCY_KEPT_MS));
    to.put(&sql.idempotency, cells![row.session.0, key, pack(row), ttl, row.upto.0]);
}

/// The used key, if it was and is not older than it is kept.
pub(super) async fn one(
    views: &CqlViews,
    session: SessionId,
    key: u128,
) -> Result<Option<IdempotencyRow>, StoreError> {
    let place = cells![session.0, key.to_be_bytes().to_vec()];
    let found: Option<(Vec<u8>,)> = views.cluster.row(&views.reads.idempotency, place).await?;
    let row = found.map(|(state,)| read(unpack(session, key, &state))).transpose()?;
    Ok(row.filter(|row| views.swept().since_ms(row.at) <= IDEMPOTENCY_KEPT_MS))
}
