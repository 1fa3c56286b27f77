//! The simulation: the real engine, shards, actors, projector and dispatcher on virtual time, with the memory store behind
//! wrappers that fail, a provider behind the connector seam that is never kind, and kills. A seed is a whole world; at its
//! end every promise is held against the provider's ledger and the journal, and the same seed tells the same story.
//!
//! Not real: the disk (the kill proof), HTTP and WhatsApp's own rules (the sandbox), several threads. What is not the same
//! in two runs of a seed, and touches nothing that is compared: keys and nonces of sealed records, the names of owners in
//! the table of leases, and the time the process has had, which the node's room listens to and which is always on time here.

mod book;
mod checks;
mod journal;
mod people;
mod post;
mod provider;
mod reader;
mod rebuild;
mod records;
mod story;
mod town;
mod views;
mod weather;

pub use checks::PROMISES;
pub use story::{Story, tell};

use kabar_actors::Plant;
use kabar_engine::plant::Plant as EnginePlant;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// Seeds of a whole proof.
pub const SEEDS: u32 = 200;
/// Failing seeds of which it is said what was broken.
const SAID: usize = 5;

/// Every bug that can be planted, by its name.
pub const PLANTS: [(&str, Plant); 8] = [
    ("resend_ambiguous", Plant::ResendAmbiguous),
    ("result_before_claim", Plant::ResultBeforeClaim),
    ("status_backwards", Plant::Engine(EnginePlant::StatusBackwards)),
    ("checkpoint_before_append", Plant::CheckpointBeforeAppend),
    ("views_ahead", Plant::ViewsAheadOfJournal),
    ("lost_wakeup", Plant::LostWakeup),
    ("optout_ignored", Plant::Engine(EnginePlant::OptoutIgnored)),
    ("total_from_older_row", Plant::Engine(EnginePlant::TotalFromOlderRow)),
];

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The first seed.
    pub seed: u64,
    /// How many.
    pub seeds: u32,
    /// A planted bug by name, or `all`.
    pub plant: Option<String>,
    /// Ends with one JSON object on stdout.
    pub json: bool,
}

/// What many seeds came to.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The first.
    pub seed: u64,
    /// Told seeds, by number.
    pub stories: BTreeMap<u64, Story>,
    /// How long it took (s).
    pub seconds: f64,
}

impl Proof {
    /// Whether every promise held in every seed.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Seeds in which one was broken.
    pub fn failed(&self) -> impl Iterator<Item = &Story> {
        self.stories.values().filter(|story| !story.broken.is_empty())
    }

    /// The figures as one JSON object.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let mut digest = Sha256::new();
        self.stories.values().for_each(|story| digest.update(&story.digest));
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let sum = |of: fn(&Story) -> u64| self.stories.values().map(of).sum::<u64>();
        serde_json::json!({
            "seeds": self.stories.len(),
            "seed": self.seed,
            "failed": self.failed().map(|story| story.seed).collect::<Vec<_>>(),
            "invariants": PROMISES,
            "calls": sum(|story| story.calls as u64),
            "ends": sum(|story| story.ends),
            "virtual_seconds": sum(|story| story.lasted_ms) / 1_000,
            "seconds": (self.seconds * 10.0).round() / 10.0,
            "digest": digest,
        })
    }

    /// Says what was broken in the first failing seeds.
    pub fn tell(&self) {
        for story in self.failed().take(SAID) {
            eprintln!("seed {}: broken (replay: simulate --seed {} --seeds 1)", story.seed, story.seed);
            for (promise, sentences) in &story.broken {
                sentences.iter().for_each(|sentence| eprintln!("  {promise}: {sentence}"));
            }
        }
    }
}

/// Tells `seeds` stories from `seed` on, as many at a time as there are cores; with `first` until one fails.
#[must_use]
pub fn simulate((seed, seeds): (u64, u32), plant: Plant, first: bool) -> Proof {
    let (began, next, enough) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    let stories = Mutex::new(BTreeMap::new());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !enough.load(Ordering::Acquire) {
                    let nth = next.fetch_add(1, Ordering::AcqRel);
                    if nth >= u64::from(seeds) {
                        return;
                    }
                    let story = tell(seed + nth, plant);
                    if first && !story.broken.is_empty() {
                        enough.store(true, Ordering::Release);
                    }
                    let mut stories = stories.lock().expect("invariant: nobody panics with the stories");
                    stories.insert(story.seed, story);
                    if stories.len() % 20 == 0 {
                        eprintln!("{} seeds, {:.0} s", stories.len(), began.elapsed().as_secs_f64());
                    }
                }
            });
        }
    });
    let stories = stories.into_inner().expect("invariant: nobody panics with the stories");
    Proof { seed, stories, seconds: began.elapsed().as_secs_f64() }
}

/// Proves what the settings say; whether it held. With a plant it holds when the plant was found.
#[must_use]
pub fn run(settings: &Settings) -> bool {
    let Some(name) = &settings.plant else {
        let proof = simulate((settings.seed, settings.seeds), Plant::None, false);
        proof.tell();
        if settings.json {
            println!("{}", proof.json());
        }
        return proof.holds();
    };
    plants(name, settings)
}

/// Plants bugs, one after the other; whether every one was found.
fn plants(name: &str, settings: &Settings) -> bool {
    let (mut all, mut found) = (true, serde_json::Map::new());
    for (plant, bug) in PLANTS.iter().filter(|(plant, _)| name == "all" || name == *plant) {
        let proof = simulate((settings.seed, settings.seeds), *bug, true);
        let promises: Vec<&str> = proof.failed().flat_map(|story| story.broken.keys().copied()).collect();
        all &= !proof.holds();
        let word = if proof.holds() { "NOT FOUND".to_owned() } else { promises.join(", ") };
        eprintln!("{plant:<26} {:>4} seeds {:>6.1} s  {word}", proof.stories.len(), proof.seconds);
        if name != "all" {
            proof.tell();
        }
        let line = serde_json::json!({
            "found": !proof.holds(),
            "seeds": proof.stories.len(),
            "seconds": (proof.seconds * 10.0).round() / 10.0,
            "broken": promises,
        });
        found.insert((*plant).to_owned(), line);
    }
    if settings.json {
        println!("{}", serde_json::json!({"seed": settings.seed, "found_all": all, "plants": found}));
    }
    all
}

#[cfg(test)]
mod tests;
