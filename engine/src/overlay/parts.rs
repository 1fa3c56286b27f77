//! What waits in one part: counted from its marks when it is loaded, kept by the fold. And which part of a
//! session may hold an address. Neither is stored.

use crate::address::Address;
use crate::id::{CampaignId, TenantId};
use crate::mark::{CHUNK, Mark, MarkState, MarksRow};
use crate::part::{CHUNKS, PartRow};
use crate::time::{MARK_STEP_MS, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// One part's waiting recipients.
#[derive(Debug, Default)]
pub(super) struct PartIndex {
    /// Never claimed.
    pub(super) pending: BTreeSet<u32>,
    /// Put back, by the moment they are due.
    later: BTreeSet<(Timestamp, u32)>,
    /// On the wire.
    pub(super) claimed: BTreeSet<u32>,
    /// Outcome not known, by the moment that was learned.
    parked: BTreeSet<(Timestamp, u32)>,
    since: BTreeMap<u32, Timestamp>,
    /// How often the provider refused a recipient for now. Forgotten at a restart, which only makes Kabar more
    /// patient.
    tries: BTreeMap<u32, u32>,
}

impl PartIndex {
    /// Counts a part anew at `now`. Marks keep moments in steps: a retry comes at the step's end rather than
    /// too early, and proof is waited for from then, but no longer than if it were lost now.
    pub(super) fn count<'a>(
        part: &PartRow,
        marks: impl Iterator<Item = &'a MarksRow>,
        now: Timestamp,
    ) -> Self {
        let mut index = Self::default();
        for row in marks {
            for (offset, mark) in row.iter().enumerate() {
                let at = row.chunk * CHUNK + u32::try_from(offset).unwrap_or(CHUNK);
                let begin = mark.sent().begin(part.start.launched).unwrap_or(part.start.launched);
                let end = begin.plus_ms(MARK_STEP_MS - 1);
                let since = if mark.state() == MarkState::Parked { end.min(now) } else { end };
                index.file(at, mark, since);
            }
        }
        index
    }

    /// Files a recipient as its mark stands; `since` is when it came to wait.
    pub(super) fn file(&mut self, index: u32, mark: Mark, since: Timestamp) {
        self.pending.remove(&index);
        self.claimed.remove(&index);
        if let Some(was) = self.since.remove(&index) {
            self.later.remove(&(was, index));
            self.parked.remove(&(was, index));
        }
        match mark.state() {
            MarkState::Pending => _ = self.pending.insert(index),
            MarkState::Claimed => _ = self.claimed.insert(index),
            MarkState::Retry => {
                self.later.insert((since, index));
                self.since.insert(index, since);
            }
            MarkState::Parked => {
                self.parked.insert((since, index));
                self.since.insert(index, since);
            }
            _ => _ = self.tries.remove(&index),
        }
    }

    /// The next recipients to claim at `now`: those put back first.
    pub(super) fn next(&self, now: Timestamp, max: usize) -> Vec<u32> {
        let due = self.later.range(..=(now, u32::MAX)).map(|(_, index)| *index);
        let mut list: Vec<u32> = due.chain(self.pending.iter().copied()).take(max).collect();
        list.sort_unstable();
        list
    }

    /// Everything that waits to be sent.
    pub(super) fn waiting(&self) -> Vec<u32> {
        let later = self.later.iter().map(|(_, index)| *index);
        let mut list: Vec<u32> = later.chain(self.pending.iter().copied()).collect();
        list.sort_unstable();
        list
    }

    /// Whether something waits to be sent.
    pub(super) fn has_waiting(&self) -> bool {
        !self.pending.is_empty() || !self.later.is_empty()
    }

    /// Parked since `before` or longer.
    pub(super) fn unproven(&self, before: Timestamp, max: usize) -> Vec<u32> {
        let old = self.parked.iter().take_while(|(since, _)| *since <= before);
        let mut list: Vec<u32> = old.map(|(_, index)| *index).take(max).collect();
        list.sort_unstable();
        list
    }

    /// What is put back: until when, how many, one of them. Behind [`GROUPS`] different moments the rest is told as
    /// one, with the last moment.
    pub(super) fn put_back(&self) -> Vec<(Timestamp, u64, u32)> {
        let mut groups: Vec<(Timestamp, u64, u32)> = Vec::new();
        for (at, index) in &self.later {
            let full = groups.len() == GROUPS;
            match groups.last_mut() {
                Some(last) if last.0 == *at || full => {
                    last.0 = *at;
                    last.1 += 1;
                }
                _ => groups.push((*at, 1, *index)),
            }
        }
        groups
    }

    /// Until when a recipient is put back, if it is.
    pub(super) fn put_back_until(&self, index: u32) -> Option<Timestamp> {
        self.since.get(&index).copied().filter(|at| self.later.contains(&(*at, index)))
    }

    /// When something happens here by itself. What was put back until `now` or before is ready, and has no moment any more.
    pub(super) fn wake(&self, now: Timestamp, proof_ms: i64) -> Option<Timestamp> {
        let due = self.later.range((Bound::Excluded((now, u32::MAX)), Bound::Unbounded)).next();
        let due = due.map(|(at, _)| *at);
        let proof = self.parked.first().map(|(since, _)| since.plus_ms(proof_ms));
        [due, proof].into_iter().flatten().min()
    }

    /// Whether a claim at `now` would find something.
    pub(super) fn has_ready(&self, now: Timestamp) -> bool {
        !self.pending.is_empty() || self.later.first().is_some_and(|(at, _)| *at <= now)
    }

    /// The provider refused a recipient for now.
    pub(super) fn refused(&mut self, index: u32) {
        *self.tries.entry(index).or_default() += 1;
    }

    /// How often a recipient was refused for now.
    pub(super) fn tries(&self, index: u32) -> u32 {
        self.tries.get(&index).copied().unwrap_or(0)
    }

    /// Whether nothing waits, is on the wire or parked.
    pub(super) fn is_finished(&self) -> bool {
        self.pending.is_empty() && self.claimed.is_empty() && self.since.is_empty()
    }

    /// Claims and parked recipients, which is what a crash leaves undecided.
    pub(super) fn undecided(&self) -> usize {
        self.claimed.len() + self.parked.len()
    }
}

/// The part of a chunk's number.
pub(super) fn part_of_chunk(campaign: CampaignId, chunk: u32) -> (CampaignId, u32) {
    (campaign, chunk / CHUNKS)
}

/// Moments that are told apart when somebody asks what a part waits for.
const GROUPS: usize = 64;
/// Parts remembered per session; beyond it the oldest launch is forgotten.
const BRIEFS: usize = 1_024;
/// Campaigns of a session that an answer is matched against: the newest ones that could hold the address.
const MATCHED: usize = 16;

/// A part in its session's eyes.
#[derive(Debug, Clone)]
pub(super) struct Brief {
    tenant: TenantId,
    launched: Timestamp,
    campaign: CampaignId,
    part: u32,
    /// Its smallest address; a campaign's parts of one session are disjoint and sorted.
    first: Option<Address>,
}

impl Brief {
    /// What a part's begin says.
    pub(super) fn of(row: &PartRow) -> Self {
        Self {
            tenant: row.tenant,
            launched: row.start.launched,
            campaign: row.start.campaign,
            part: row.start.part,
            first: row.start.chunks.first().map(|c| c.first.clone()),
        }
    }
}

/// The parts a session is known to have had.
#[derive(Debug, Default)]
pub(super) struct Briefs {
    tenant: Option<TenantId>,
    list: Vec<Brief>,
}

impl Briefs {
    /// Whether no part goes out by the session.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a part, once.
    pub(super) fn add(&mut self, brief: Brief) {
        if self.list.iter().any(|b| (b.campaign, b.part) == (brief.campaign, brief.part)) {
            return;
        }
        self.tenant = Some(brief.tenant);
        self.list.push(brief);
        if self.list.len() > BRIEFS {
            let oldest = (0..self.list.len()).min_by_key(|i| self.list[*i].launched);
            oldest.into_iter().for_each(|i| _ = self.list.swap_remove(i));
        }
    }

    /// Whose session it is, once it had a part.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }

    /// The parts that may hold an address: one a campaign, the newest launch first.
    pub(super) fn holding(&self, tenant: TenantId, address: &Address) -> Vec<(CampaignId, u32)> {
        let list = self.all_holding(tenant, address);
        list.into_iter().take(MATCHED).map(|(_, campaign, part)| (campaign, part)).collect()
    }

    /// All of them, with their launch.
    pub(super) fn all_holding(
        &self,
        tenant: TenantId,
        address: &Address,
    ) -> Vec<(Timestamp, CampaignId, u32)> {
        let mut best: BTreeMap<CampaignId, &Brief> = BTreeMap::new();
        for brief in self.list.iter().filter(|b| b.tenant == tenant) {
            if brief.first.as_ref().is_some_and(|first| first <= address) {
                let slot = best.entry(brief.campaign).or_insert(brief);
                if slot.first < brief.first {
                    *slot = brief;
                }
            }
        }
        let mut list: Vec<&Brief> = best.into_values().collect();
        list.sort_unstable_by_key(|b| std::cmp::Reverse((b.launched, b.campaign)));
        list.into_iter().map(|b| (b.launched, b.campaign, b.part)).collect()
    }
}
