//! The proof of the leases: the protocol's machine (`kabar_engine::lease`) on a simulated table, three processes that are
//! paused, killed and stopped in order, clocks that run differently, and calls that are late, lost, or done although
//! nobody is told. What is written is an item of a shard's journal. With the journal's fence nothing stale may be
//! written; without it something must be, or the simulation shows nothing.
//!
//! Not the kill proof: no process and no clock of this machine is involved, so a seed always gives the same figures.

mod node;
mod table;
mod world;

use world::World;

/// Seeds of a whole proof: more than a million items.
pub const SEEDS: u32 = 64;
/// Simulated time of one seed (ms).
const LENGTH_MS: u64 = 30 * 60_000;

/// What one or more simulations came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Items written.
    pub items: u64,
    /// Items written under an epoch after a higher one had opened the shard, or over another's item.
    pub stale_writes: u64,
    /// Times a process believed its lease while the table named another owner. The fence has no part in it.
    pub overlaps: u64,
    /// From a kill to the next owner's opening (ms), one for each shard that was orphaned, in order of size.
    pub takeovers: Vec<u64>,
}

impl Figures {
    fn add(&mut self, other: Self) {
        self.items += other.items;
        self.stale_writes += other.stale_writes;
        self.overlaps += other.overlaps;
        self.takeovers.extend(other.takeovers);
        self.takeovers.sort_unstable();
    }

    fn takeover_ms(&self, percent: usize) -> u64 {
        let at = self.takeovers.len().saturating_sub(1) * percent / 100;
        self.takeovers.get(at).copied().unwrap_or(0)
    }
}

/// The same simulations with the fence and without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How many.
    pub seeds: u32,
    /// The first.
    pub seed: u64,
    /// With the fence.
    pub fenced: Figures,
    /// Without.
    pub unfenced: Figures,
}

impl Proof {
    /// Whether the leases keep their promise and the simulation would have shown it if they did not.
    #[must_use]
    pub fn holds(&self) -> bool {
        let calm = self.fenced.stale_writes == 0 && self.fenced.overlaps + self.unfenced.overlaps == 0;
        calm && self.unfenced.stale_writes > 0
    }

    /// The figures as one JSON object.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "seeds": self.seeds,
            "items": self.fenced.items,
            "stale_writes": self.fenced.stale_writes,
            "unfenced_stale_writes": self.unfenced.stale_writes,
            "overlaps": self.fenced.overlaps + self.unfenced.overlaps,
            "takeovers": self.fenced.takeovers.len(),
            "takeover_p50_ms": self.fenced.takeover_ms(50),
            "takeover_p99_ms": self.fenced.takeover_ms(99),
            "seed": self.seed,
        })
    }
}

/// Runs `seeds` simulations from `seed` on, each with the fence and without.
#[must_use]
pub fn run(seed: u64, seeds: u32) -> Proof {
    let mut proof = Proof { seeds, seed, fenced: Figures::default(), unfenced: Figures::default() };
    for nth in 0..u64::from(seeds) {
        proof.fenced.add(World::new(seed + nth, true).run(LENGTH_MS));
        proof.unfenced.add(World::new(seed + nth, false).run(LENGTH_MS));
    }
    proof
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_fence_nothing_stale_is_written_and_without_it_something_is() {
        let proof = run(1, 2);
        println!("{}", proof.json());
        assert!(proof.fenced.items > 20_000, "{}", proof.fenced.items);
        assert_eq!(proof.fenced.stale_writes, 0);
        assert_eq!(proof.fenced.overlaps + proof.unfenced.overlaps, 0, "two owners at one moment");
        assert!(proof.unfenced.stale_writes > 0, "the simulation is too kind to show anything");
        let (half, most) = (proof.fenced.takeover_ms(50), proof.fenced.takeover_ms(99));
        assert!(proof.fenced.takeovers.len() > 20 && half > 2_000 && half < 15_000 && most < 60_000);
    }

    #[test]
    fn a_seed_gives_the_same_figures_and_another_one_others() {
        let figures = |seed| World::new(seed, true).run(LENGTH_MS / 6);
        assert_eq!(figures(7), figures(7));
        assert_ne!(figures(7), figures(8));
    }
}
