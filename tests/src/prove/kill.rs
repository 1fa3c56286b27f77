//! The kills: when, how often, and which of them count.
//!
//! A kill counts when both of these were so at its instant: a claim was open (the journal the node left holds a
//! claim without a result, read from a copy of the folder before the node starts again), and a webhook was not
//! acknowledged (the sandbox's own count, taken immediately before the signal). It is near when the journal's last
//! claim or the last write to the views lies at most 100 ms before it. Every second kill is aimed: it waits until
//! the sandbox has accepted something, which a claim precedes, and strikes within 100 ms; the others strike at any
//! time. Kills that do not count are repeated, at most three times as many as were asked for.

use super::load::Pace;
use super::options::Options;
use super::stage::Stage;
use super::verdict::{Kill, Verdict};
use anyhow::Result;
use kabar_engine::outgoing::Reference;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The node works at least and at most so long (ms) between its start and its kill.
const WORK_MS: std::ops::Range<u64> = 30..2_600;
/// An aimed kill strikes within this (ms) of a claim.
const AIM_MS: u64 = 100;
/// A kill this long (ms) after a claim or a flush is near one.
pub(super) const NEAR_MS: i64 = 100;
/// The same on a cluster, where a claim takes several milliseconds to be durable, and the last flush cannot be dated.
pub(super) const NEAR_ON_CLUSTER_MS: i64 = 500;
/// Kills for one that counts.
const TRIES: u32 = 3;

/// Runs the whole proof.
///
/// # Errors
/// The proof could not be made; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> Result<Verdict> {
    let plant = options.plant.map_or_else(String::new, |p| format!(", with {} planted", p.name()));
    eprintln!("kill proof: {} kills, seed {}{plant}", options.kills, options.seed);
    let stage = Stage::begin(options, Pace::of(options.kills), |_, _| Ok(())).await?;
    let mut hunt = Hunt { stage, rng: ChaCha8Rng::seed_from_u64(options.seed), begin: Instant::now() };
    let mut verdict = Verdict::new(options);
    if let Err(broken) = hunt.kills(options.kills, &mut verdict).await {
        verdict.broken.push(format!("{broken:#}"));
        return Ok(verdict);
    }
    eprintln!("the node stays up now; waiting until everything has settled");
    Box::pin(hunt.stage.finish(&mut verdict)).await?;
    verdict.seconds = hunt.begin.elapsed().as_secs();
    Ok(verdict)
}

struct Hunt {
    stage: Stage,
    rng: ChaCha8Rng,
    begin: Instant,
}

impl Hunt {
    async fn kills(&mut self, wanted: u32, verdict: &mut Verdict) -> Result<()> {
        for nth in 1..=wanted * TRIES {
            let near = verdict.near();
            if verdict.counted() >= wanted && near * 2 >= verdict.counted() as usize {
                return Ok(());
            }
            let kill = self.kill(nth % 2 == 0).await?;
            verdict.kills.push(kill);
            let (counted, spent) = (verdict.counted(), self.begin.elapsed().as_secs());
            let left = u64::from(wanted.saturating_sub(counted)) * spent / u64::from(counted.max(1));
            if let Some(kill) = verdict.kills.last() {
                eprintln!(
                    "kill {nth} ({counted} of {wanted} count, {spent} s, about {left} s to go): {kill}"
                );
            }
        }
        Ok(())
    }

    /// Lets it work, kills it, looks at what is left, starts it again.
    async fn kill(&mut self, aimed: bool) -> Result<Kill> {
        pass(self.rng.random_range(WORK_MS)).await;
        if aimed {
            let sandbox = &self.stage.world.sandbox;
            let before = sandbox.stats().accepted;
            let one_more = async || (sandbox.stats().accepted > before).then_some(());
            crate::wait::within(Duration::from_secs(2), one_more).await;
            pass(self.rng.random_range(0..AIM_MS)).await;
        }
        let kill = self.stage.kill().await?;
        Ok(Kill { start_ms: self.stage.start().await?, ..kill })
    }
}

/// Lets time pass; the instants of kills are the one thing here that is not an event.
pub(super) async fn pass(ms: u64) {
    let mut turn = tokio::time::interval(Duration::from_millis(ms.max(1)));
    turn.tick().await;
    turn.tick().await;
}

/// Every claim that was open at some kill.
pub(super) fn open_at_kills(kills: &[Kill]) -> BTreeSet<Reference> {
    kills.iter().flat_map(|kill| kill.open.iter().copied()).collect()
}
