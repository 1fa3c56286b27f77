//! What the proof came to: the kills, the counts, the broken promises, and how they are told.

use super::hook::Brought;
use super::kill::{NEAR_MS, NEAR_ON_CLUSTER_MS};
use super::options::Options;
use super::world::SESSIONS;
use kabar_engine::outgoing::Reference;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// One kill.
#[derive(Debug, Clone)]
pub(super) struct Kill {
    /// Claims without a result at that instant.
    pub(super) open: BTreeSet<Reference>,
    /// Webhooks that were not acknowledged at that instant.
    pub(super) unacknowledged: u64,
    /// Milliseconds since the last claim.
    pub(super) claim_ago: i64,
    /// Milliseconds since the last flush.
    pub(super) flush_ago: i64,
    /// How long the next start took.
    pub(super) start_ms: u128,
    /// Whether it counts.
    pub(super) counts: bool,
}

impl Kill {
    fn is_near(&self, ms: i64) -> bool {
        self.claim_ago <= ms || self.flush_ago <= ms
    }
}

impl std::fmt::Display for Kill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { open, unacknowledged, claim_ago, flush_ago, start_ms, counts } = self;
        let counts = if *counts { "" } else { " (does not count)" };
        write!(
            f,
            "{} claims open, {unacknowledged} webhooks unacknowledged, {claim_ago} ms after a claim, {flush_ago} ms \
             after a flush, ready again in {start_ms} ms{counts}",
            open.len()
        )
    }
}

/// What the proof came to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    wanted: u32,
    seed: u64,
    pub(super) is_planted: bool,
    near_ms: i64,
    pub(super) kills: Vec<Kill>,
    /// Messages whose 202 arrived.
    pub(super) accepted: u64,
    /// Of them, those Kabar does not know.
    pub(super) accepted_lost: u64,
    /// Statuses and messages the sandbox told.
    pub(super) webhooks: u64,
    /// Of them, those that left no trace.
    pub(super) webhooks_lost: u64,
    /// Messages beyond the first that reached the same person.
    pub(super) duplicates: u64,
    /// Everything that ended unknown.
    pub(super) unknown: u64,
    /// Of them, those that are owed to a fault of the sandbox and not to a kill.
    pub(super) unknown_by_fault: u64,
    /// How often the picture of the campaigns was uploaded.
    pub(super) uploads: u64,
    /// Whether every total is the sum of its items and agrees with the ledger.
    pub(super) totals_exact: bool,
    /// Messages and recipients there were in all, those that failed and those that expired.
    pub(super) items: u64,
    pub(super) failed: u64,
    pub(super) expired: u64,
    /// References of requests that an outage cut off: nobody can know what became of them.
    pub(super) cut: BTreeSet<String>,
    /// What webhooks brought to the tenant.
    pub(super) brought: Brought,
    /// How long it took.
    pub(super) seconds: u64,
    /// Every promise that broke, in words.
    pub broken: Vec<String>,
}

impl Verdict {
    pub(super) fn new(options: &Options) -> Self {
        let is_planted = options.plant.is_some();
        let near_ms = if options.cql.is_some() { NEAR_ON_CLUSTER_MS } else { NEAR_MS };
        Self { wanted: options.kills, seed: options.seed, is_planted, near_ms, ..Self::default() }
    }

    /// Of a scene: nothing is asked of its kills.
    pub(super) fn of_scene(options: &Options) -> Self {
        Self { wanted: 0, ..Self::new(options) }
    }

    pub(super) fn counted(&self) -> u32 {
        u32::try_from(self.kills.iter().filter(|kill| kill.counts).count()).unwrap_or(u32::MAX)
    }

    /// Kills that count and were near a claim or a flush.
    pub(super) fn near(&self) -> usize {
        self.kills.iter().filter(|kill| kill.counts && kill.is_near(self.near_ms)).count()
    }

    /// Claims open at the kills, summed over all of them.
    pub(super) fn open_claims(&self) -> u64 {
        self.kills.iter().map(|kill| kill.open.len() as u64).sum()
    }

    /// Notes a promise unless it holds.
    pub(super) fn promise(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(broken());
        }
    }

    /// What follows from the counts; called once, when all of them are known.
    pub(super) fn judge(&mut self) {
        let (counted, wanted) = (self.counted(), self.wanted);
        let near = self.near();
        let open = self.open_claims();
        self.promise(counted >= wanted, || format!("only {counted} of {wanted} kills count"));
        self.promise(wanted == 0 || near * 2 >= counted as usize, || {
            format!("only {near} kills were near a claim or a flush")
        });
        let (lost, of) = (self.accepted_lost, self.accepted);
        self.promise(lost == 0, || format!("{lost} of {of} acknowledged messages are lost"));
        let (lost, of) = (self.webhooks_lost, self.webhooks);
        self.promise(lost == 0, || format!("{lost} of {of} acknowledged webhook items are lost"));
        let twice = self.duplicates;
        self.promise(twice == 0, || format!("{twice} messages reached a person twice"));
        let by_kill = self.unknown.saturating_sub(self.unknown_by_fault);
        self.promise(by_kill <= open, || format!("{by_kill} are unknown, only {open} claims were open"));
        // Once for each number, once more where a kill came between an upload and its record, and where its answer was lost.
        let (uploads, most) = (self.uploads, SESSIONS as u64 * (2 + self.kills.len() as u64));
        self.promise((1..=most).contains(&uploads), || format!("the picture was uploaded {uploads} times"));
        let exact = self.totals_exact;
        self.promise(exact, || "the totals are not exact".to_owned());
    }

    /// Whether every promise held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    /// One line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        self.figures().to_string()
    }

    /// The same as a value.
    #[must_use]
    pub fn figures(&self) -> Value {
        json!({
            "kills": self.counted(),
            "accepted": self.accepted,
            "accepted_lost": self.accepted_lost,
            "webhooks": self.webhooks,
            "webhooks_lost": self.webhooks_lost,
            "duplicates": self.duplicates,
            "unknown": self.unknown,
            "open_claims": self.open_claims(),
            "uploads": self.uploads,
            "totals_exact": self.totals_exact,
            "seed": self.seed,
            "kills_near": self.near(),
            "unknown_by_fault": self.unknown_by_fault,
            "events": self.brought.events,
            "events_lost": self.brought.lost,
            "events_again": self.brought.again,
            "seconds": self.seconds,
            "holds": self.holds(),
            "broken": self.broken,
        })
    }

    /// Tells it on stderr.
    pub fn tell(&self) {
        eprintln!(
            "{} kills counted; {} messages acknowledged, {} lost; {} webhook items, {} lost; {} duplicates; {} unknown \
             ({} by faults of the sandbox), {} claims were open at the kills, a picture uploaded {} times; totals exact: {}; \
             {} events brought to the tenant, {} lost, {} of them brought again",
            self.counted(),
            self.accepted,
            self.accepted_lost,
            self.webhooks,
            self.webhooks_lost,
            self.duplicates,
            self.unknown,
            self.unknown_by_fault,
            self.open_claims(),
            self.uploads,
            self.totals_exact,
            self.brought.events,
            self.brought.lost,
            self.brought.again,
        );
        for broken in &self.broken {
            eprintln!("BROKEN: {broken}");
        }
        if self.holds() {
            eprintln!("every promise held (seed {})", self.seed);
        } else if self.wanted > 0 {
            eprintln!(
                "seed {}: run `prove kill --kills {} --seed {}` again",
                self.seed, self.wanted, self.seed
            );
        }
    }
}
