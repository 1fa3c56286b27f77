//! The journal of a simulation, read once the storm is over: what it says of claims, wishes, keys and people's messages, and
//! the views as they would be if nobody had ever written them before.

use kabar_engine::address::Address;
use kabar_engine::entry::{Entry, Position, Range, What};
use kabar_engine::id::{CampaignId, MessageId, ShardId, TenantId};
use kabar_engine::optout::Wish;
use kabar_engine::overlay::{Overlay, Row};
use kabar_engine::pacing::Lane;
use kabar_engine::part::{PartStart, chunk_of, part_of};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, ShardSet};
use kabar_schema::memory::MemoryViews;
use kabar_schema::store::Store;
use kabar_schema::views::{ShardFlush, ShardMark};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows that an overlay keeps without forgetting any.
const ALL: usize = 1 << 40;
/// Entries read at once.
const PAGE: usize = 4_096;

/// One entry and where it stands.
pub type Line = (ShardId, Position, Arc<Entry>);

/// Everything in the journal, in the order of its arrival.
pub async fn journal(base: &Store) -> Result<Vec<Line>, StoreError> {
    let (mut cursor, mut lines) = (Cursor::default(), Vec::new());
    loop {
        let page = base.journal.read(&ShardSet::all(), &cursor, PAGE).await?;
        lines.extend(page.entries);
        cursor = page.cursor;
        if page.end {
            return Ok(lines);
        }
    }
}

/// The views that the journal comes to.
pub fn fold(lines: &[Line]) -> MemoryViews {
    let mut overlays: BTreeMap<ShardId, Overlay> = BTreeMap::new();
    for (shard, at, entry) in lines {
        let fresh = || Overlay::bounded(*shard, Position(0), 0, (ALL, ALL));
        let overlay = overlays.entry(*shard).or_insert_with(fresh);
        loop {
            let missing = overlay.needs_of(entry);
            if missing.is_empty() {
                break;
            }
            for key in missing {
                overlay.insert(overlay.generation(), key, Row::Absent, entry.at);
            }
        }
        overlay.fold(*at, entry);
    }
    let views = MemoryViews::default();
    for (shard, mut overlay) in overlays {
        let mark = ShardMark { shard, position: overlay.position(), last_id: overlay.last_id() };
        let flush = ShardFlush { mark, changes: overlay.drain() };
        views.apply_at_most(&[flush], usize::MAX).expect("invariant: the whole flush is written");
    }
    views
}

/// A message or a recipient that was claimed.
pub struct Claimed {
    pub shard: ShardId,
    pub at: Timestamp,
    pub tenant: TenantId,
    pub address: Address,
    /// Somebody who has just written may be answered whatever they wish.
    pub is_answer: bool,
    /// Their last wish in this shard's journal before it.
    pub wish: Option<Wish>,
}

/// Every claim of everybody, with what was known of the person's wish where it was claimed.
pub async fn claims(base: &Store, lines: &[Line]) -> Result<Vec<Claimed>, StoreError> {
    let mut wishes: BTreeMap<(ShardId, TenantId, Address), Wish> = BTreeMap::new();
    let mut intents: BTreeMap<MessageId, (Address, Lane)> = BTreeMap::new();
    let mut parts: BTreeMap<(CampaignId, u32), PartStart> = BTreeMap::new();
    let mut claims = Vec::new();
    for (shard, _, entry) in lines {
        let (shard, tenant, at) = (*shard, entry.tenant, entry.at);
        let mut claimed = Vec::new();
        match &entry.what {
            What::Intent(intent) => _ = intents.insert(intent.id, (intent.to.clone(), intent.lane)),
            What::Consent { address, wish, .. } => {
                wishes.insert((shard, tenant, address.clone()), *wish);
            }
            What::PartStarted(start) => {
                parts.insert((start.campaign, start.part), (**start).clone());
            }
            What::Claim { messages, .. } => {
                claimed.extend(messages.iter().filter_map(|id| intents.get(id).cloned()));
            }
            What::PartClaim { campaign, ranges, .. } => {
                for index in Range::indexes(ranges) {
                    let Some(start) = parts.get(&(*campaign, part_of(index))) else { continue };
                    let person = recipient(base, tenant, start, index).await?;
                    claimed.extend(person.map(|address| (address, Lane::Broadcast)));
                }
            }
            _ => {}
        }
        for (address, lane) in claimed {
            let wish = wishes.get(&(shard, tenant, address.clone())).copied();
            claims.push(Claimed { shard, at, tenant, address, is_answer: lane == Lane::Reply, wish });
        }
    }
    Ok(claims)
}

async fn recipient(
    base: &Store,
    tenant: TenantId,
    start: &PartStart,
    index: u32,
) -> Result<Option<Address>, StoreError> {
    let (chunk, offset) = chunk_of(index);
    let (campaign, attempt) = (start.campaign, start.attempt);
    let key = kabar_engine::chunk::ChunkKey { tenant, campaign, attempt, chunk };
    let chunk = base.ledger.get_chunk(key).await?;
    Ok(chunk.and_then(|chunk| chunk.recipients.get(offset as usize).map(|r| r.address.clone())))
}
