//! Views: everything anyone can look at, folded from the journal and written by the projector alone. The
//! backends are [`crate::memory`], [`crate::sqlite`] and [`crate::scylla`]; all keep each row's `upto`, so that a flush applied
//! twice, late or in pieces comes to the same.
//!
//! Not what an entry means (that is the engine's fold) and not the records.

use crate::Answer;
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{Changes, DiscoveredRow, Key, OutboxKey, OutboxLine, Row, RunRow};
use kabar_engine::part::PartRow;
use kabar_engine::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rows that wait for no turn: 30,000 messages, each with its conversation and address. So many are written before it, and
/// give way to nothing, or changes would come faster than they go.
pub const HURRY_ROWS: usize = 100_000;

/// The most parts `Key::SessionParts` answers, newest launch first.
pub const SESSION_PARTS_MAX: usize = 1_024;
/// Idempotency keys are kept at least this long (ms).
pub const IDEMPOTENCY_KEPT_MS: i64 = kabar_engine::time::DAY_MS;
/// Seen provider ids are kept at least this long (ms): longer than a provider repeats.
pub const SEEN_KEPT_MS: i64 = 8 * kabar_engine::time::DAY_MS;

/// How far a shard's views are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardMark {
    /// The shard.
    pub shard: ShardId,
    /// The last entry whose meaning the views hold.
    pub position: Position,
    /// The highest id the shard had given by then.
    pub last_id: u64,
}

/// What changed in a shard up to a position.
#[derive(Debug, Clone)]
pub struct ShardFlush {
    /// Where the shard stands with these changes.
    pub mark: ShardMark,
    /// The rows.
    pub changes: Changes,
}

/// Whether `id` is one of the run's; both must be of the same shard.
pub(crate) fn lies_in(run: &RunRow, id: MessageId) -> bool {
    run.base <= id && run.count > 0 && id <= run.base.plus(run.count - 1)
}

/// Whose rows with sealed columns the flushes carry.
pub(crate) fn tenants(flushes: &[ShardFlush]) -> BTreeSet<TenantId> {
    let changes = flushes.iter().map(|f| &f.changes);
    changes
        .flat_map(|c| {
            let messages = c.messages.iter().map(|r| r.tenant);
            let conversations = c.conversations.iter().map(|r| r.tenant);
            messages.chain(conversations).chain(c.discovered.iter().map(|r| r.tenant))
        })
        .collect()
}

/// The store of views. What is read here may be a flush old; what must be current is asked of the shard's owner.
pub trait Views: Send + Sync {
    /// Every shard that was ever flushed.
    fn marks(&self) -> Answer<'_, Vec<ShardMark>>;

    /// One answer per key, in order.
    ///
    /// `Chunk` is always absent: chunks are the ledger's. `SessionParts` has at most [`SESSION_PARTS_MAX`],
    /// newest launch first. `Run` answers the run of the id's shard that the id lies in. `Consent` has the rows
    /// of all shards. `Part` comes with the marks of its chunks, as far as they were written.
    fn load(&self, shard: ShardId, keys: Vec<Key>) -> Answer<'_, Vec<(Key, Row)>>;

    /// Writes the flushes; a shard's position is moved with, never before, its rows. A row that is not newer
    /// than the stored one (`upto`) is left out, and so is a flush whose position lies before the stored one.
    fn apply(&self, flushes: Vec<ShardFlush>) -> Answer<'_, ()>;

    /// The open outbox lines of a shard in key order, at most `limit`.
    fn outbox(&self, shard: ShardId, after: Option<OutboxKey>, limit: usize) -> Answer<'_, Vec<OutboxLine>>;

    /// A shard's campaigns that have something left to do ([`CampaignRow::is_live`]), by id.
    fn live_campaigns(&self, shard: ShardId) -> Answer<'_, Vec<Arc<CampaignRow>>>;

    /// A shard's parts that are not finished, by (campaign, part).
    fn open_parts(&self, shard: ShardId) -> Answer<'_, Vec<Arc<PartRow>>>;

    /// A tenant's consents by (address, shard), beginning behind an address. The shards of one address are
    /// never torn apart, so that up to 255 more than `limit` may come; fewer than `limit` means there are no
    /// more.
    fn consents(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<SuppressedRow>>;

    /// A tenant's consents heard since the begin of `since`'s minute, by (address, shard).
    fn consents_since(&self, tenant: TenantId, since: Timestamp) -> Answer<'_, Vec<SuppressedRow>>;

    /// A conversation's messages, newest first along the chain, from its last one or from behind `before`; none
    /// when `before` is no message of this conversation. At most `limit`. The caller compares the tenant.
    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<MessageRow>>>;

    /// A tenant's conversations by id (their begin), all or one session's, at most `limit`.
    fn conversations(
        &self,
        tenant: TenantId,
        session: Option<SessionId>,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<ConversationRow>>>;

    /// A tenant's unknown senders by address, at most `limit`; each as the session that met it first tells.
    fn discovered(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<DiscoveredRow>>;

    /// Drops idempotency keys and seen provider ids that are older than they are kept. Whole generations go, so
    /// some stay an hour (idempotency) or a day (seen) longer.
    fn sweep(&self, now: Timestamp) -> Answer<'_, ()>;
}
