//! Figures of a node, for gauges and tests. Not metrics: those are counted where things happen.

use super::Node;
use crate::{campaign, conversation, part, session};

/// Figures of a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeStats {
    /// Actors alive, by kind.
    pub actors_alive: Vec<(&'static str, usize)>,
    /// Messages their actors handled, by kind: what timers and wakes brought about.
    pub handled: Vec<(&'static str, u64)>,
    /// Restarts after a panic, by kind.
    pub restarts: Vec<(&'static str, u64)>,
    /// Refused messages, by kind.
    pub refusals: Vec<(&'static str, u64)>,
    /// Syncs of the journal.
    pub journal_syncs: u64,
    /// How long the oldest change waits for the projector (ms).
    pub projector_lag_ms: u64,
    /// Rows that wait for the projector.
    pub dirty_rows: usize,
    /// Claims without a result.
    pub open_claims: usize,
    /// Rows in the overlays.
    pub overlay_rows: usize,
}

impl Node {
    /// How long the oldest change waits for the projector (ms).
    pub(crate) fn stats_lag_ms(&self) -> u64 {
        let now = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        let oldest = self.all_shards().map(|s| s.dirty_since()).filter(|at| *at > 0).min();
        oldest.map_or(0, |at| now.saturating_sub(at))
    }

    /// Figures of now.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        let labels = [session::LABEL, conversation::LABEL, campaign::LABEL, part::LABEL];
        let tallies: Vec<_> = labels.iter().map(|l| (*l, self.runtime.tally(l))).collect();
        let (mut dirty, mut claims, mut rows) = (0, 0, 0);
        for shard in self.all_shards() {
            shard.peek(|o| {
                dirty += o.dirty();
                claims += o.open_claims();
                rows += o.len();
            });
        }
        NodeStats {
            actors_alive: tallies.iter().map(|(l, t)| (*l, t.alive)).collect(),
            handled: tallies.iter().map(|(l, t)| (*l, t.handled)).collect(),
            restarts: tallies.iter().map(|(l, t)| (*l, t.restarts)).collect(),
            refusals: tallies.iter().map(|(l, t)| (*l, t.refusals)).collect(),
            journal_syncs: self.store.journal.stats().syncs,
            projector_lag_ms: self.stats_lag_ms(),
            dirty_rows: dirty,
            open_claims: claims,
            overlay_rows: rows,
        }
    }
}
