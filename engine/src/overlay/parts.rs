//! What waits in one part: counted from its marks when it is loaded, kept by the fold. Not stored.

use crate::id::CampaignId;
use crate::mark::{CHUNK, Mark, MarkState, MarksRow};
use crate::part::{CHUNKS, PartRow};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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
    /// How often the provider refused a recipient for now, and how often it was sent again unproven. Forgotten
    /// at a restart, which only makes Kabar more patient.
    tries: BTreeMap<u32, u32>,
    resent: BTreeMap<u32, u32>,
}

impl PartIndex {
    /// Counts a part anew. Moments of waiting are as coarse as marks keep them.
    pub(super) fn count<'a>(part: &PartRow, marks: impl Iterator<Item = &'a MarksRow>) -> Self {
        let mut index = Self::default();
        for row in marks {
            for (offset, mark) in row.iter().enumerate() {
                let at = row.chunk * CHUNK + u32::try_from(offset).unwrap_or(CHUNK);
                let since = mark.sent().begin(part.start.launched).unwrap_or(part.start.launched);
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
            _ => {}
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
    pub(super) fn waiting(&self, max: usize) -> Vec<u32> {
        let later = self.later.iter().map(|(_, index)| *index);
        let mut list: Vec<u32> = later.chain(self.pending.iter().copied()).take(max).collect();
        list.sort_unstable();
        list
    }

    /// Parked since `before` or longer.
    pub(super) fn unproven(&self, before: Timestamp, max: usize) -> Vec<u32> {
        let old = self.parked.iter().take_while(|(since, _)| *since <= before);
        let mut list: Vec<u32> = old.map(|(_, index)| *index).take(max).collect();
        list.sort_unstable();
        list
    }

    /// When something happens here by itself.
    pub(super) fn wake(&self, proof_ms: i64) -> Option<Timestamp> {
        let due = self.later.first().map(|(at, _)| *at);
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

    /// A recipient is sent once more without proof.
    pub(super) fn sent_again(&mut self, index: u32) {
        *self.resent.entry(index).or_default() += 1;
    }

    /// How often a recipient was refused for now.
    pub(super) fn tries(&self, index: u32) -> u32 {
        self.tries.get(&index).copied().unwrap_or(0)
    }

    /// How often a recipient was sent again without proof.
    pub(super) fn resent(&self, index: u32) -> u32 {
        self.resent.get(&index).copied().unwrap_or(0)
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
