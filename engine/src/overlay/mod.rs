//! The live state of one shard: what its entries came to, on top of what the views hold. The one place that
//! says what an entry means. It is not a store: what it does not know it names ([`Overlay::needs`]) and is told.
//!
//! One door for everybody: `needs` → load → `decide` → positions → `fold` → journal. Replies, transmits and
//! reads wait until the position they saw is durable; that waiting is the shard's, not the overlay's.

pub mod decide;
mod filing;
mod fold;
mod key;
mod lookup;
mod needs;
mod outbox;
mod parts;
mod table;

pub use decide::{Answer, Effect, Input, Picked, Refusal, Wake};
pub use key::{
    AddressRow, Changes, DiscoveredRow, IdempotencyRow, Key, OutboxKey, OutboxLine, Row, RunRow, SeenRow,
};
pub use outbox::Outbox;

use crate::address::Address;
use crate::campaign::CampaignRow;
use crate::chunk::{Chunk, ChunkKey};
use crate::consent::{SuppressedRow, newer};
use crate::conversation::ConversationRow;
use crate::entry::Position;
use crate::hash::{HashMap, HashSet};
use crate::id::{CampaignId, ConversationId, MessageId, Sequence, SessionId, ShardId, TenantId};
use crate::mark::MarksRow;
use crate::message::MessageRow;
use crate::optout::Wish;
use crate::part::{PartRow, Totals};
use crate::plant::Plant;
use crate::time::Timestamp;
use filing::Filing;
use parts::{Briefs, PartIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use table::Table;

/// What other shards wrote of an address is trusted this long (ms).
pub const CONSENT_TRUST_MS: i64 = 1_000;
/// Clean rows kept per kind before old ones are forgotten.
const CAPACITY: usize = 20_000;
/// So many looks of the projector without a change count as as many flushes.
const QUIET: u32 = 10;
/// Rows of each kind that are looked at in one go before anybody else may have the shard.
const LOOKS: usize = 128;
/// Clean chunks kept: 512 recipients each.
const CHUNK_CAPACITY: usize = 64;

/// What other shards heard of an address.
#[derive(Debug, Clone, Copy)]
struct Elsewhere {
    /// Their newest wish, and when it was said.
    wish: Option<(Wish, Timestamp)>,
    /// When that was told here.
    told: Timestamp,
}

/// The live state of one shard.
#[derive(Debug)]
pub struct Overlay {
    shard: ShardId,
    position: Position,
    sequence: Sequence,
    generation: u32,
    /// How often in a row the projector found nothing to write.
    quiet: u32,
    messages: Table<MessageId, MessageRow>,
    conversations: Table<ConversationId, ConversationRow>,
    addresses: Table<(SessionId, Address), AddressRow>,
    seen: Table<(SessionId, u64), SeenRow>,
    idempotency: Table<(SessionId, u128), IdempotencyRow>,
    campaigns: Table<CampaignId, CampaignRow>,
    parts: Table<(CampaignId, u32), PartRow>,
    marks: Table<(CampaignId, u32), MarksRow>,
    runs: Table<MessageId, RunRow>,
    consents: Table<(TenantId, Address), SuppressedRow>,
    discovered: Table<(TenantId, Address), DiscoveredRow>,
    chunks: Table<ChunkKey, Chunk>,
    /// Which parts of a session are known; complete when the session is in `sessions_known`.
    session_parts: HashMap<SessionId, Briefs>,
    sessions_known: HashSet<SessionId>,
    /// Campaigns whose actor has something to do.
    live: BTreeSet<CampaignId>,
    /// Every known part's totals: counted when all its marks are told, kept by the fold.
    counts: HashMap<(CampaignId, u32), Totals>,
    /// What waits in each part.
    part_index: BTreeMap<(CampaignId, u32), PartIndex>,
    /// What waits in each session's outbox.
    outbox: BTreeMap<SessionId, Outbox>,
    /// Outbox lines as the views hold them, to delete what moved.
    filing: Filing,
    /// Runs that began here lately: the views may not have them yet.
    fresh_runs: BTreeMap<MessageId, (u32, Arc<RunRow>)>,
    /// Other shards' wishes, handed in when they were needed.
    others: HashMap<(TenantId, Address), Elsewhere>,
    /// Wishes that were handed in for the parts that run here; kept while any does.
    noted: HashMap<(TenantId, Address), (Wish, Timestamp)>,
    /// From when until when `noted` holds everything the views knew of a tenant.
    listened: HashMap<TenantId, (Timestamp, Timestamp)>,
    /// Entries that could not be folded because they make no sense; counted, never fatal.
    impossible: u64,
    /// A bug planted by a test.
    plant: Plant,
}

impl Overlay {
    /// The overlay of a shard whose views stand at `position` and which has given ids up to `last_id`.
    #[must_use]
    pub fn new(shard: ShardId, position: Position, last_id: u64) -> Self {
        Self::bounded(shard, position, last_id, (CAPACITY, CHUNK_CAPACITY))
    }

    /// The same with other bounds: clean rows kept of each kind, and clean chunks.
    #[must_use]
    pub fn bounded(shard: ShardId, position: Position, last_id: u64, (rows, chunks): (usize, usize)) -> Self {
        let mut sequence = Sequence::default();
        sequence.seen(last_id);
        Self {
            shard,
            position,
            sequence,
            generation: 0,
            quiet: 0,
            messages: Table::new(rows),
            conversations: Table::new(rows),
            addresses: Table::new(rows),
            seen: Table::new(rows),
            idempotency: Table::new(rows),
            campaigns: Table::new(rows),
            parts: Table::new(rows),
            marks: Table::new(rows),
            runs: Table::new(rows),
            consents: Table::new(rows),
            discovered: Table::new(rows),
            chunks: Table::new(chunks),
            session_parts: HashMap::default(),
            sessions_known: HashSet::default(),
            live: BTreeSet::new(),
            counts: HashMap::default(),
            part_index: BTreeMap::new(),
            outbox: BTreeMap::new(),
            filing: Filing::default(),
            fresh_runs: BTreeMap::new(),
            others: HashMap::default(),
            noted: HashMap::default(),
            listened: HashMap::default(),
            impossible: 0,
            plant: Plant::None,
        }
    }

    /// Plants a bug, for a test.
    #[must_use]
    pub fn planted(self, plant: Plant) -> Self {
        Self { plant, ..self }
    }

    /// The shard.
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// The last entry folded.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// The highest id given.
    #[must_use]
    pub fn last_id(&self) -> u64 {
        self.sequence.last()
    }

    /// Entries that made no sense since this overlay was made.
    #[must_use]
    pub fn impossible(&self) -> u64 {
        self.impossible
    }

    /// Rows that wait for the projector.
    #[must_use]
    pub fn dirty(&self) -> usize {
        self.messages.dirty()
            + self.conversations.dirty()
            + self.marks.dirty()
            + self.addresses.dirty()
            + self.seen.dirty()
            + self.idempotency.dirty()
            + self.runs.dirty()
            + self.parts.dirty()
            + self.campaigns.dirty()
            + self.consents.dirty()
            + self.discovered.dirty()
            + self.filing.dirty()
    }

    /// Rows held, dirty or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.known()
            + self.conversations.known()
            + self.addresses.known()
            + self.seen.known()
            + self.idempotency.known()
            + self.marks.known()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names the moment a load from the views begins; to be handed to [`Overlay::insert`].
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Everything that changed since the last drain. The rows stay here, and count as clean; when the views
    /// hold them [`Overlay::flushed`] is to be called, and before the next drain.
    pub fn drain(&mut self) -> Changes {
        let messages = self.messages.drain();
        let outbox = self.outbox_lines(&messages);
        Changes {
            outbox,
            outbox_floor: self.filing.floor(),
            messages,
            conversations: self.conversations.drain(),
            addresses: self.addresses.drain(),
            seen: self.seen.drain(),
            idempotency: self.idempotency.drain(),
            campaigns: self.campaigns.drain(),
            parts: self.parts.drain(),
            marks: self.marks.drain(),
            runs: self.runs.drain(),
            suppressed: self.consents.drain(),
            discovered: self.discovered.drain(),
        }
    }

    /// What was drained is in the views now; what nobody wanted for a while may be forgotten ([`Overlay::sweep`]).
    pub fn flushed(&mut self) {
        self.quiet = 0;
        self.settled(1);
    }

    /// The projector came, and nothing had changed since the views were written. That counts as well, but rarely: a
    /// load that is under way then is done once more, and a store that is slow for a while is to be heard. Whether it
    /// was so now.
    pub fn unchanged(&mut self) -> bool {
        self.quiet += 1;
        let settled = self.quiet == QUIET;
        if settled {
            self.quiet = 0;
            self.settled(QUIET);
        }
        settled
    }

    fn settled(&mut self, flushes: u32) {
        // Two are enough for every load that began before.
        self.generation += flushes.min(2);
        self.messages.flushed(flushes);
        self.conversations.flushed(flushes);
        self.addresses.flushed(flushes);
        self.seen.flushed(flushes);
        self.idempotency.flushed(flushes);
        self.campaigns.flushed(flushes);
        self.parts.flushed(flushes);
        self.marks.flushed(flushes);
        self.runs.flushed(flushes);
        self.consents.flushed(flushes);
        self.discovered.flushed(flushes);
        self.chunks.flushed(flushes);
        // A run that was absent may be there now: absence is believed for one flush only.
        self.runs.forget_absent();
        let generation = self.generation;
        self.fresh_runs.retain(|_, (began, _)| *began + 3 > generation);
        if self.others.len() > CAPACITY {
            // They are read again by whoever needs them.
            self.others.clear();
        }
        if self.sessions_known.len() > CAPACITY {
            let parts = &mut self.session_parts;
            parts.retain(|_, briefs| !briefs.is_empty());
            self.sessions_known.retain(|session| parts.contains_key(session));
        }
        if self.part_index.is_empty() {
            self.noted.clear();
            self.listened.clear();
        }
    }

    /// Forgets some of what nobody wanted for a while; whether there is more to look at.
    pub fn sweep(&mut self) -> bool {
        let mut more = self.messages.sweep(LOOKS, |_, _| false);
        more |= self.conversations.sweep(LOOKS, |_, _| false);
        more |= self.addresses.sweep(LOOKS, |_, _| false);
        more |= self.seen.sweep(LOOKS, |_, _| false);
        more |= self.idempotency.sweep(LOOKS, |_, _| false);
        more |= self.campaigns.sweep(LOOKS, |_, row| row.is_some_and(CampaignRow::is_live));
        let (index, known) = (&self.part_index, self.parts.known());
        more |= self.parts.sweep(LOOKS, |key, _| index.contains_key(key));
        if self.parts.known() < known {
            let parts = &self.parts;
            self.counts.retain(|key, _| parts.get(key).is_some());
        }
        more |= self.marks.sweep(LOOKS, |key, _| index.contains_key(&(key.0, key.1 / crate::part::CHUNKS)));
        more |= self.runs.sweep(LOOKS, |_, _| false);
        // Parts do not ask for the consent of each recipient: what this shard heard itself stays while one runs.
        let parts_run = !index.is_empty();
        more |= self.consents.sweep(LOOKS, |_, row| parts_run && row.is_some());
        more |= self.discovered.sweep(LOOKS, |_, _| false);
        more | self.chunks.sweep(LOOKS, |_, _| false)
    }

    /// Every wish of a tenant that the views knew at `now` and that was heard at `since` or later, for the parts
    /// that run here. While there is no gap between such reads, parts launched after the first `since` need not
    /// ask for the consent of each recipient.
    pub fn hear_consents(
        &mut self,
        tenant: TenantId,
        (since, now): (Timestamp, Timestamp),
        rows: &[SuppressedRow],
    ) {
        let (from, until) = self.listened.get(&tenant).copied().unwrap_or((since, now));
        let from = if since <= until { from.min(since) } else { since };
        self.listened.insert(tenant, (from, now.max(until)));
        self.note_consents(rows);
    }

    /// Whether all wishes since `launched` were handed in.
    fn has_listened(&self, tenant: TenantId, launched: Timestamp) -> bool {
        self.listened.get(&tenant).is_some_and(|(from, _)| *from <= launched)
    }

    /// Some wishes the views knew, for the parts that run here; see [`Overlay::hear_consents`].
    pub fn note_consents(&mut self, rows: &[SuppressedRow]) {
        for row in rows {
            let heard = (row.wish, row.at);
            let slot = self.noted.entry((row.tenant, row.address.clone())).or_insert(heard);
            *slot = newer(*slot, heard);
        }
    }

    /// Whether the person has opted out, by the newest wish of any shard that is known here.
    #[must_use]
    pub fn opted_out(&self, tenant: TenantId, address: &Address) -> bool {
        let key = (tenant, address.clone());
        let own = self.consents.get(&key).map(|r| (r.wish, r.at));
        let other = self.others.get(&key).and_then(|o| o.wish);
        let noted = self.noted.get(&key).copied();
        let newest = [own, other, noted].into_iter().flatten().reduce(newer);
        newest.is_some_and(|(wish, _)| wish == Wish::OptOut)
    }
}
