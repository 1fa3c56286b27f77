//! Entries that say where they belong: what stands at a position of a shard can be computed, so that a test sees
//! at once what is lost, doubled or mixed up. Not real traffic.

use kabar_engine::address::Address;
use kabar_engine::content::Content;
use kabar_engine::entry::{Entry, Intent, Outcome, Position, Range, StatusReport, What};
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::pacing::Lane;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::journal::{Cursor, Fence, Journal, Page, ShardSet};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const TENANT: TenantId = TenantId(4_242);
pub const BEGIN: Timestamp = Timestamp(1_790_000_000_000);

pub fn fence(shard: u8, epoch: u64) -> Fence {
    Fence { shard: ShardId(shard), epoch }
}

/// The entry at a position of a shard: intents, claims, results, statuses and claims of recipients in turn.
pub fn entry(shard: ShardId, position: Position) -> Arc<Entry> {
    let id = (u64::from(shard.0) << 40) + position.0;
    let session = SessionId(id);
    let what = match position.0 % 5 {
        0 => What::Intent(Box::new(Intent {
            id: MessageId(id),
            session,
            conversation: ConversationId(id),
            to: Address::phone_digits(&format!("62{id:012}")).unwrap(),
            content: Arc::new(Content::plain(&format!("pesan {id} {}", "x".repeat((id % 300) as usize)))),
            lane: Lane::Transactional,
            due: BEGIN,
            valid_until: BEGIN.plus_ms(60_000),
            context: None,
            idempotency: None,
            by: None,
            tag: None,
            identity: None,
        })),
        1 => What::Claim { session, messages: vec![MessageId(id), MessageId(id + 1)], held: None },
        2 => What::Results(vec![(MessageId(id), Outcome::Accepted(format!("wamid.{id}").into()))]),
        3 => What::Statuses(vec![StatusReport {
            of: MessageId(id),
            status: Status::Delivered,
            at: BEGIN,
            cause: None,
            provider_id: None,
            pricing: None,
            rest: None,
        }]),
        _ => What::PartClaim {
            campaign: CampaignId(id),
            ranges: vec![Range { first: 7, count: 9 }],
            held: None,
        },
    };
    let later = i64::try_from(position.0).unwrap();
    Arc::new(Entry { tenant: TENANT, at: BEGIN.plus_ms(later), what })
}

/// The entries at `count` positions from `base` on.
pub fn entries(shard: ShardId, base: Position, count: u64) -> Vec<Arc<Entry>> {
    (0..count).map(|place| entry(shard, base.plus(place))).collect()
}

/// Appends `count` entries behind `tip`; tells the new tip.
pub async fn grow(
    journal: &dyn Journal,
    fence: Fence,
    tip: Position,
    count: u64,
) -> Result<Position, StoreError> {
    let base = tip.plus(1);
    journal.append(fence, base, entries(fence.shard, base, count)).await?;
    Ok(tip.plus(count))
}

/// An entry of about this many bytes.
pub fn large(bytes: usize) -> Arc<Entry> {
    let mut large = (*entry(ShardId(1), Position(5))).clone();
    if let What::Intent(intent) = &mut large.what {
        intent.content = Arc::new(Content::plain(&"x".repeat(bytes)));
    }
    Arc::new(large)
}

/// Reads on from a cursor to the end, `max` at a time.
pub async fn read_on(journal: &dyn Journal, shards: &ShardSet, after: Cursor, max: usize) -> Page {
    let mut all = Page { entries: Vec::new(), cursor: after, end: false };
    while !all.end {
        let page = journal.read(shards, &all.cursor, max).await.unwrap();
        assert!(page.entries.len() <= max, "more than asked for");
        assert!(page.end || page.cursor != all.cursor, "a page that is not the end moves the cursor");
        all.entries.extend(page.entries);
        (all.cursor, all.end) = (page.cursor, page.end);
    }
    all
}

/// Everything from the beginning.
pub async fn read_all(journal: &dyn Journal) -> Page {
    read_on(journal, &ShardSet::all(), Cursor::default(), 1_000).await
}

/// The tips that a page ends at, after checking that each shard's positions follow one another from `after` on
/// and hold what belongs there.
pub fn check(page: &Page, after: &Cursor) -> Result<BTreeMap<ShardId, Position>, String> {
    let mut tips: BTreeMap<ShardId, Position> = after.0.clone();
    for (shard, position, found) in &page.entries {
        let tip = tips.entry(*shard).or_default();
        if *position != tip.plus(1) {
            return Err(format!("shard {}: {} follows {}", shard.0, position.0, tip.0));
        }
        if *found != entry(*shard, *position) {
            return Err(format!("shard {}: a foreign entry at {}", shard.0, position.0));
        }
        *tip = *position;
    }
    Ok(tips)
}
