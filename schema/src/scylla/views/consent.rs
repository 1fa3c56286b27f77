//! Consents, one row per (tenant, address, hearing shard): by address in slices, and by the minute they were heard, an
//! hour together. Not who may be written to, which the newest of them says.

use super::flush::Phase;
use super::{CqlViews, address, at_most};
use crate::codec::row::{wish_byte, wish_of};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::fault::damaged;
use crate::scylla::slices;
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::address::Address;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::entry::{ConsentSource, Position};
use kabar_engine::id::{ShardId, TenantId};
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;

/// Minutes of a partition of the list by time.
const HOUR: i64 = 60;

fn minute(at: Timestamp) -> i64 {
    i64::from(at.minute())
}

/// Puts a consent.
pub(super) fn put(to: &mut Phase<'_>, row: &SuppressedRow) {
    let sql = to.sql;
    let (tenant, key, shard, upto) = (row.tenant.0, row.address.key(), row.shard.0, row.upto.0);
    let (wish, at, source) = (wish_byte(row.wish), row.at.0, row.source as u8);
    let slice = slices::of_address(row.tenant, &row.address);
    to.put(&sql.suppressed, cells![tenant, slice, key.clone(), shard, wish, at, source, upto, upto]);
    let heard = minute(row.at);
    let hour = heard / HOUR;
    to.put(&sql.suppressed_at, cells![tenant, hour, heard, key, shard, wish, at, source, upto, upto]);
    to.put(&sql.suppressed_hour, cells![tenant, hour, upto]);
}

type Stored = (String, i16, i16, i64, i16, i64);

fn suppressed(tenant: TenantId, stored: Stored) -> Result<SuppressedRow, StoreError> {
    let (key, shard, wish, at, source, upto) = stored;
    let byte = |value: i16| u8::try_from(value).ok();
    Ok(SuppressedRow {
        tenant,
        address: address::parsed(&key)?,
        shard: byte(shard).map(ShardId).ok_or_else(|| damaged("a consent is of no shard"))?,
        wish: byte(wish).and_then(wish_of).ok_or_else(|| damaged("a consent has an unknown wish"))?,
        at: Timestamp(at),
        source: byte(source)
            .and_then(ConsentSource::from_byte)
            .ok_or_else(|| damaged("a consent has an unknown source"))?,
        upto: Position(upto.cast_unsigned()),
    })
}

/// All shards' rows of an address, by shard.
pub(super) async fn of_address(
    views: &CqlViews,
    tenant: TenantId,
    address: &Address,
) -> Result<Vec<SuppressedRow>, StoreError> {
    let key = cells![tenant.0, slices::of_address(tenant, address), address.key()];
    let found: Vec<Stored> = views.cluster.rows(&views.reads.consent, key).await?;
    found.into_iter().map(|stored| suppressed(tenant, stored)).collect()
}

/// A tenant's rows by (address, shard), the last address whole.
pub(super) async fn page(
    views: &CqlViews,
    tenant: TenantId,
    after: Option<&Address>,
    limit: usize,
) -> Result<Vec<SuppressedRow>, StoreError> {
    // Behind every shard of the address.
    let after = after.map(|address| (address.key(), i16::MAX));
    let fetch = |slice: i16, after: Option<(String, i16)>, count: usize| async move {
        let (address, shard) = after.unwrap_or_default();
        let key = (tenant.0.cast_signed(), slice, address, shard, at_most(count));
        let rows: Vec<Stored> = views.cluster.rows(&views.reads.consents, key).await?;
        Ok(rows.into_iter().map(|stored| ((stored.0.clone(), stored.1), stored)).collect())
    };
    let found = slices::merge(after, limit, fetch).await?;
    let rows = found.into_iter().map(|(_, stored)| suppressed(tenant, stored));
    let mut rows: Vec<SuppressedRow> = rows.collect::<Result<_, _>>()?;
    if let Some(last) = rows.last().filter(|_| rows.len() == limit).cloned() {
        let whole = of_address(views, tenant, &last.address).await?;
        rows.extend(whole.into_iter().filter(|row| row.shard > last.shard));
    }
    Ok(rows)
}

/// A tenant's rows heard since the begin of `since`'s minute. Where a person was heard more than once, the older
/// rows are still listed under their minutes, and passed over here.
pub(super) async fn since(
    views: &CqlViews,
    tenant: TenantId,
    since: Timestamp,
) -> Result<Vec<SuppressedRow>, StoreError> {
    let (tenant_key, from) = (tenant.0.cast_signed(), minute(since));
    let hours: Vec<(i64,)> = views.cluster.rows(&views.reads.heard_hours, (tenant_key, from / HOUR)).await?;
    let reads =
        hours.into_iter().map(|(hour,)| views.cluster.rows(&views.reads.heard, (tenant_key, hour, from)));
    let reads: Vec<_> = reads.collect();
    let pages: Vec<Vec<Stored>> = stream::iter(reads).buffered(super::AT_ONCE).try_collect().await?;
    let mut newest: BTreeMap<(String, i16), Stored> = BTreeMap::new();
    for stored in pages.into_iter().flatten() {
        let known = newest.entry((stored.0.clone(), stored.1)).or_insert_with(|| stored.clone());
        if stored.5 > known.5 {
            *known = stored;
        }
    }
    newest.into_values().map(|stored| suppressed(tenant, stored)).collect()
}
