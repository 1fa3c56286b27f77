//! What the overlay is told (rows from the views) and what can be read of it. Not decisions.

use super::decide::DueAt;
use super::parts::{Brief, PartIndex, part_of_chunk};
use super::{CONSENT_TRUST_MS, Elsewhere, Key, Overlay, Row};
use crate::campaign::CampaignRow;
use crate::chunk::{Chunk, ChunkKey};
use crate::consent::{SuppressedRow, newest};
use crate::conversation::ConversationRow;
use crate::entry::Position;
use crate::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use crate::mark::{Mark, MarksRow};
use crate::message::MessageRow;
use crate::part::{PartPhase, PartRow, Totals, chunk_of, part_of};
use crate::time::Timestamp;
use std::sync::Arc;

impl Overlay {
    /// Tells what the views hold under `key`, as read after [`Overlay::generation`] said `generation`. `false`:
    /// the read is too old to be trusted (two flushes have passed) and is to be repeated.
    pub fn insert(&mut self, generation: u32, key: Key, row: Row, now: Timestamp) -> bool {
        if self.generation.saturating_sub(generation) >= 2 {
            return false;
        }
        match (key, row) {
            (Key::Message(id), Row::Message(row)) => {
                self.messages.learn(id, Some(Arc::clone(&row)));
                self.row_told(id, &row);
            }
            (Key::Message(id), _) => {
                self.messages.learn(id, None);
                self.row_absent(id);
            }
            (Key::Conversation(id), Row::Conversation(row)) => self.conversations.learn(id, Some(row)),
            (Key::Conversation(id), _) => self.conversations.learn(id, None),
            (Key::Address(s, a), Row::Address(row)) => self.addresses.learn((s, a), Some(row)),
            (Key::Address(s, a), _) => self.addresses.learn((s, a), None),
            (Key::Seen(s, h), Row::Seen(row)) => self.seen.learn((s, h), Some(row)),
            (Key::Seen(s, h), _) => self.seen.learn((s, h), None),
            (Key::Idempotency(s, k), Row::Idempotency(row)) => self.idempotency.learn((s, k), Some(row)),
            (Key::Idempotency(s, k), _) => self.idempotency.learn((s, k), None),
            (Key::Campaign(id), Row::Campaign(row)) => {
                self.campaigns.learn(id, Some(row));
                self.note_live(id);
            }
            (Key::Campaign(id), _) => self.campaigns.learn(id, None),
            (Key::Part(c, p), Row::Part(row, marks)) => self.learn_part((c, p), row, marks, now),
            (Key::Part(c, p), _) => self.parts.learn((c, p), None),
            (Key::Marks(c, n), Row::Marks(row)) => self.marks.learn((c, n), Some(row)),
            (Key::Marks(c, n), _) => self.marks.learn((c, n), None),
            (Key::SessionParts(session), Row::SessionParts(rows)) => self.learn_session(session, rows),
            (Key::SessionParts(session), _) => self.learn_session(session, Vec::new()),
            (Key::Run(id), Row::Run(row)) => self.runs.learn(id, Some(row)),
            (Key::Run(id), _) => self.runs.learn(id, None),
            (Key::Consent(t, a), Row::Consent(rows)) => self.learn_consent((t, a), rows, now),
            (Key::Consent(t, a), _) => self.learn_consent((t, a), Vec::new(), now),
            (Key::Chunk(key), Row::Chunk(chunk)) => self.chunks.learn(key, Some(chunk)),
            (Key::Chunk(key), _) => self.chunks.learn(key, None),
        }
        true
    }

    /// Keeps the set of campaigns whose actor has something to do.
    pub(super) fn note_live(&mut self, id: CampaignId) {
        if self.campaigns.get(&id).is_some_and(CampaignRow::is_live) {
            self.live.insert(id);
        } else {
            self.live.remove(&id);
        }
    }

    fn learn_part(
        &mut self,
        key: (CampaignId, u32),
        row: Arc<PartRow>,
        marks: Vec<Arc<MarksRow>>,
        now: Timestamp,
    ) {
        for row in marks {
            self.marks.learn((row.campaign, row.chunk), Some(row));
        }
        for chunk in row.chunk_numbers() {
            self.marks.learn((key.0, chunk), None);
        }
        self.parts.learn(key, Some(row));
        self.keep_totals(key);
        let open = self.parts.get(&key).is_some_and(|p| !p.finished);
        // Told twice, the second time tells nothing: the index knows moments more exactly than the marks.
        if open && !self.part_index.contains_key(&key) {
            self.index_part(key, now);
        }
    }

    /// Counts a part's waiting recipients anew from its marks.
    pub(super) fn index_part(&mut self, key: (CampaignId, u32), now: Timestamp) {
        let Some(part) = self.parts.shared(&key) else { return };
        let rows: Vec<_> = part.chunk_numbers().filter_map(|n| self.marks.shared(&(key.0, n))).collect();
        self.part_index.insert(key, PartIndex::count(&part, rows.iter().map(AsRef::as_ref), now));
    }

    fn learn_session(&mut self, session: SessionId, rows: Vec<Arc<PartRow>>) {
        let list = self.session_parts.entry(session).or_default();
        rows.iter().for_each(|row| list.add(Brief::of(row)));
        self.sessions_known.insert(session);
    }

    fn learn_consent(
        &mut self,
        key: (TenantId, crate::address::Address),
        rows: Vec<SuppressedRow>,
        now: Timestamp,
    ) {
        let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(|r| r.shard == self.shard);
        self.consents.learn(key.clone(), own.into_iter().next().map(Arc::new));
        self.others.insert(key, Elsewhere { wish: newest(&others), told: now });
    }

    /// Whether other shards' wishes about the address were told recently enough.
    pub(super) fn consent_known(
        &mut self,
        key: &(TenantId, crate::address::Address),
        now: Timestamp,
    ) -> bool {
        let fresh = self.others.get(key).is_some_and(|o| now.since_ms(o.told).abs() < CONSENT_TRUST_MS);
        self.consents.want(key) && fresh
    }

    /// Whether what lies under `key` is known here, present or absent; marks it as wanted.
    pub fn knows(&mut self, key: &Key) -> bool {
        match key {
            Key::Message(id) => self.messages.want(id),
            Key::Conversation(id) => self.conversations.want(id),
            Key::Address(session, address) => self.addresses.want(&(*session, address.clone())),
            Key::Seen(session, hash) => self.seen.want(&(*session, *hash)),
            Key::Idempotency(session, key) => self.idempotency.want(&(*session, *key)),
            Key::Campaign(id) => self.campaigns.want(id),
            Key::Part(campaign, part) => self.knows_part(*campaign, *part),
            Key::Marks(campaign, chunk) => self.marks.want(&(*campaign, *chunk)),
            Key::SessionParts(session) => self.sessions_known.contains(session),
            Key::Run(id) => self.fresh_run(*id).is_some() || self.runs.want(id),
            Key::Consent(tenant, address) => self.consents.want(&(*tenant, address.clone())),
            Key::Chunk(key) => self.chunks.want(key),
        }
    }

    fn knows_part(&mut self, campaign: CampaignId, part: u32) -> bool {
        if !self.parts.want(&(campaign, part)) {
            return false;
        }
        let numbers = self.parts.shared(&(campaign, part)).map(|p| p.chunk_numbers());
        let known = numbers.is_none_or(|mut n| n.all(|chunk| self.marks.want(&(campaign, chunk))));
        if !known {
            // Its marks were forgotten: it is read again with them.
            self.parts.forget(&(campaign, part));
        }
        known
    }

    /// What this shard itself heard of a person's wish and still holds; what it has forgotten is in the views.
    #[must_use]
    pub fn own_consent(
        &self,
        tenant: TenantId,
        address: &crate::address::Address,
    ) -> Option<Arc<SuppressedRow>> {
        self.consents.shared(&(tenant, address.clone()))
    }

    /// The parts of a session launched since then that may hold an address, at most one a campaign.
    #[must_use]
    pub fn parts_holding(
        &self,
        (tenant, session): (TenantId, SessionId),
        address: &crate::address::Address,
        since: Timestamp,
    ) -> Vec<(CampaignId, u32)> {
        let all = self.session_parts.get(&session).map(|parts| parts.all_holding(tenant, address));
        let lately = all.unwrap_or_default().into_iter().filter(|(launched, ..)| *launched > since);
        lately.map(|(_, campaign, part)| (campaign, part)).collect()
    }

    /// The conversation of an address.
    #[must_use]
    pub fn conversation_of(
        &self,
        session: SessionId,
        address: &crate::address::Address,
    ) -> Option<ConversationId> {
        self.addresses.get(&(session, address.clone())).map(|a| a.conversation)
    }

    /// A message.
    #[must_use]
    pub fn message(&self, id: MessageId) -> Option<Arc<MessageRow>> {
        self.messages.shared(&id)
    }

    /// A conversation.
    #[must_use]
    pub fn conversation(&self, id: ConversationId) -> Option<Arc<ConversationRow>> {
        self.conversations.shared(&id)
    }

    /// A campaign.
    #[must_use]
    pub fn campaign(&self, id: CampaignId) -> Option<Arc<CampaignRow>> {
        self.campaigns.shared(&id)
    }

    /// A part.
    #[must_use]
    pub fn part(&self, campaign: CampaignId, part: u32) -> Option<Arc<PartRow>> {
        self.parts.shared(&(campaign, part))
    }

    /// The run a message id lies in.
    #[must_use]
    pub fn run(&self, id: MessageId) -> Option<Arc<super::RunRow>> {
        self.fresh_run(id).or_else(|| self.runs.shared(&id))
    }

    fn fresh_run(&self, id: MessageId) -> Option<Arc<super::RunRow>> {
        let (_, (_, run)) = self.fresh_runs.range(..=id).next_back()?;
        (run.count > 0 && id <= run.base.plus(run.count - 1)).then(|| Arc::clone(run))
    }

    /// A chunk that was told.
    #[must_use]
    pub fn chunk(&self, key: &ChunkKey) -> Option<Arc<Chunk>> {
        self.chunks.shared(key)
    }

    /// A recipient's mark.
    #[must_use]
    pub fn mark(&self, campaign: CampaignId, index: u32) -> Option<Mark> {
        let (chunk, offset) = chunk_of(index);
        self.marks.get(&(campaign, chunk)).and_then(|m| m.get(offset))
    }

    /// The last entry that changed a mark of the recipient's chunk.
    #[must_use]
    pub fn marks_upto(&self, campaign: CampaignId, index: u32) -> Option<Position> {
        self.marks.get(&(campaign, chunk_of(index).0)).map(|row| row.upto)
    }

    /// A part's totals as kept by the fold; `None` when the part is not known here.
    #[must_use]
    pub fn totals(&self, campaign: CampaignId, part: u32) -> Option<Totals> {
        let kept = self.counts.get(&(campaign, part)).cloned();
        let mut totals = kept.or_else(|| self.recounted(campaign, part))?;
        // It is the part's own, not its marks'.
        totals.charged = self.parts.get(&(campaign, part)).map(|row| row.charged.clone()).unwrap_or_default();
        Some(totals)
    }

    /// Counts a part's totals anew and keeps them, when all its marks are known.
    pub(super) fn keep_totals(&mut self, (campaign, part): (CampaignId, u32)) {
        match self.recounted(campaign, part) {
            Some(totals) => _ = self.counts.insert((campaign, part), totals),
            None => _ = self.counts.remove(&(campaign, part)),
        }
    }

    /// A part's totals, counted from its marks now; `None` when the part or one of its marks is not known here.
    fn recounted(&self, campaign: CampaignId, part: u32) -> Option<Totals> {
        let row = self.parts.get(&(campaign, part))?;
        let mut totals = Totals::default();
        for chunk in row.chunk_numbers() {
            for mark in self.marks.get(&(campaign, chunk))?.iter() {
                totals.count(mark);
            }
        }
        Some(totals)
    }

    /// The outbox of a session, when something is open in it.
    #[must_use]
    pub fn outbox(&self, session: SessionId) -> Option<&super::Outbox> {
        self.outbox.get(&session)
    }

    /// Sessions with something open in their outbox.
    pub fn open_sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.outbox.iter().filter(|(_, o)| !o.is_empty()).map(|(s, _)| *s)
    }

    /// Sessions whose outbox has something to do at `now`, however the waiting for proof is set.
    #[must_use]
    pub fn due_sessions(&self, now: Timestamp) -> Vec<(TenantId, SessionId)> {
        let due = self.outbox.iter().filter(|(_, o)| {
            o.has_ready(now) || o.holds_undecided() || o.wake(0).is_some_and(|at| at <= now)
        });
        due.filter_map(|(session, outbox)| outbox.tenant().map(|tenant| (tenant, *session))).collect()
    }

    /// Campaigns whose actor has something to do.
    pub fn live_campaigns(&self) -> impl Iterator<Item = Arc<CampaignRow>> + '_ {
        self.live.iter().filter_map(|id| self.campaigns.shared(id)).filter(|c| c.is_live())
    }

    /// Parts that are not finished, with their session.
    pub fn open_parts(&self) -> impl Iterator<Item = Arc<PartRow>> + '_ {
        self.part_index.keys().filter_map(|k| self.parts.shared(k)).filter(|p| !p.finished)
    }

    /// Whether a campaign's actor has something to do.
    #[must_use]
    pub fn is_live(&self, campaign: CampaignId) -> bool {
        self.campaigns.get(&campaign).is_some_and(CampaignRow::is_live)
    }

    /// Until when a recipient is put back, if it is.
    #[must_use]
    pub fn put_back_until(&self, campaign: CampaignId, index: u32) -> Option<Timestamp> {
        self.part_index.get(&(campaign, part_of(index)))?.put_back_until(index)
    }

    /// What of a part is put back: until when, how many, and the index of one of them.
    #[must_use]
    pub fn put_back(&self, campaign: CampaignId, part: u32) -> Vec<(Timestamp, u64, u32)> {
        self.part_index.get(&(campaign, part)).map(PartIndex::put_back).unwrap_or_default()
    }

    /// When a part has something to do by itself, and whether it could claim at `now`.
    #[must_use]
    pub fn part_due(&self, campaign: CampaignId, part: u32, now: Timestamp, proof_ms: i64) -> DueAt {
        let index = self.part_index.get(&(campaign, part));
        let ready = index.is_some_and(|i| i.has_ready(now));
        // What could go now is ended by the claim; what waits for later, or stands still, may be overtaken by the end of validity.
        let waits = index.is_some_and(PartIndex::has_waiting);
        let row = self.parts.get(&(campaign, part)).filter(|_| waits);
        let row = row.filter(|p| !ready || p.phase != PartPhase::Running);
        let expiry = row.map(|p| p.start.valid_until.plus_ms(1));
        DueAt {
            ready,
            next: [index.and_then(|i| i.wake(now, proof_ms)), expiry].into_iter().flatten().min(),
            finished: index.is_none_or(PartIndex::is_finished),
        }
    }

    /// Claims without a result, in outboxes and parts: what a crash now would leave undecided.
    #[must_use]
    pub fn open_claims(&self) -> usize {
        let outbox: usize = self.outbox.values().map(|o| o.claimed(usize::MAX).len()).sum();
        outbox + self.part_index.values().map(PartIndex::undecided).sum::<usize>()
    }

    pub(super) fn part_key_of(&self, campaign: CampaignId, index: u32) -> (CampaignId, u32) {
        debug_assert_eq!(part_of_chunk(campaign, chunk_of(index).0), (campaign, part_of(index)));
        (campaign, part_of(index))
    }
}
