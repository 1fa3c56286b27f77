//! Unknown senders by address, in slices; the name sealed. Several shards may meet the same one and their positions
//! cannot be compared: the timestamp they are written under falls with the time of the meeting, so that the earliest
//! stands in whatever order they come. Not contacts.

use super::flush::Phase;
use super::{CqlViews, address, at_most, read};
use crate::codec::view::discovered::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::slices;
use crate::seal::Keyring;
use crate::sealing::{Place, open_text, seal};
use kabar_engine::address::Address;
use kabar_engine::id::TenantId;
use kabar_engine::overlay::DiscoveredRow;
use kabar_engine::time::Timestamp;

/// Timestamps count down from here: as microseconds, which the servers take them for, it lies in the past, because
/// ScyllaDB refuses those far in the future; as milliseconds no meeting is as late.
const DOWN_FROM: i64 = 1_000_000_000_000_000;

fn timestamp(at: Timestamp) -> i64 {
    DOWN_FROM - at.0.clamp(0, DOWN_FROM - 1)
}

/// Puts an unknown sender.
pub(super) fn put(to: &mut Phase<'_>, keyring: &Keyring, row: &DiscoveredRow) -> Result<(), StoreError> {
    let sql = to.sql;
    let key = row.address.key();
    let mut sealed = Vec::new();
    let kept = match &row.name {
        Some(name) => seal(keyring, row.tenant, Place::DiscoveredName(&key), &mut sealed, |out| {
            out.extend_from_slice(name.as_bytes());
        })?,
        None => false,
    };
    let state = pack(row, kept.then_some(sealed.as_slice()));
    let slice = slices::of_address(row.tenant, &row.address);
    to.put(&sql.discovered, cells![row.tenant.0, slice, key, state, timestamp(row.at)]);
    Ok(())
}

/// A tenant's unknown senders by address.
pub(super) async fn page(
    views: &CqlViews,
    tenant: TenantId,
    after: Option<&Address>,
    limit: usize,
) -> Result<Vec<DiscoveredRow>, StoreError> {
    let fetch = |slice: i16, after: Option<String>, count: usize| async move {
        let key = (tenant.0.cast_signed(), slice, after.unwrap_or_default(), at_most(count));
        views.cluster.rows::<(String, Vec<u8>)>(&views.reads.discovered, key).await
    };
    let found = slices::merge(after.map(Address::key), limit, fetch).await?;
    let rows = found.into_iter().map(|(key, state)| {
        let (mut row, name) = read(unpack(tenant, address::parsed(&key)?, &state))?;
        row.name = open_text(&views.keyring, tenant, Place::DiscoveredName(&key), name)?;
        Ok(row)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_meeting_has_the_greater_timestamp_and_none_lies_in_the_servers_future() {
        let stamps = [0, 1, 1_790_000_000_000, i64::MAX].map(|at| timestamp(Timestamp(at)));
        assert!(stamps.is_sorted_by(|a, b| a > b) && stamps[3] > 0, "{stamps:?}");
        assert!(stamps[0] < 1_700_000_000_000_000, "microseconds of the year 2023");
    }
}
