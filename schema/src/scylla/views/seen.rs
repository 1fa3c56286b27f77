//! Seen provider ids, which end by themselves. Not the messages they became.

use super::CqlViews;
use super::flush::Phase;
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::views::SEEN_KEPT_MS;
use kabar_engine::entry::Position;
use kabar_engine::id::{MessageId, SessionId};
use kabar_engine::overlay::SeenRow;
use kabar_engine::time::Timestamp;

/// Puts a seen id.
pub(super) fn put(to: &mut Phase<'_>, row: &SeenRow) {
    let (sql, upto) = (to.sql, row.upto.0);
    let ttl = super::kept_s(SEEN_KEPT_MS);
    to.put(&sql.seen, cells![row.session.0, row.hash, row.message.0, row.at.0, upto, ttl, upto]);
}

/// The seen id, if it was and is not older than it is kept.
pub(super) async fn one(
    views: &CqlViews,
    session: SessionId,
    hash: u64,
) -> Result<Option<SeenRow>, StoreError> {
    let found: Option<(i64, i64, i64)> =
        views.cluster.row(&views.reads.seen, cells![session.0, hash]).await?;
    let row = found.map(|(message, at, upto)| SeenRow {
        session,
        hash,
        message: MessageId(message.cast_unsigned()),
        at: Timestamp(at),
        upto: Position(upto.cast_unsigned()),
    });
    Ok(row.filter(|row| views.swept().since_ms(row.at) <= SEEN_KEPT_MS))
}
