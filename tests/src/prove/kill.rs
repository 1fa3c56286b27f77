//! The kills: when, how often, and which of them count.
//!
//! A kill counts when both of these were so at its instant: a claim was open (the journal the node left holds a
//! claim without a result, read from a copy of the folder before the node starts again), and a webhook was not
//! acknowledged (the sandbox's own count, taken immediately before the signal). It is near when the journal's last
//! claim or the last write to the views lies at most 100 ms before it. Every second kill is aimed: it waits until
//! the sandbox has accepted something, which a claim precedes, and strikes within 100 ms; the others strike at any
//! time. Kills that do not count are repeated, at most three times as many as were asked for.

use super::child::Child;
use super::load::Load;
use super::options::Options;
use super::postmortem::{Postmortem, now_ms};
use super::reckoning;
use super::verdict::{Kill, Verdict};
use super::world::{self, World};
use anyhow::Result;
use kabar_engine::outgoing::Reference;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

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
    let folder = tempfile::tempdir()?;
    let mut child = Child::new(folder.path(), options)?;
    child.start().await?;
    let sandbox = world::sandbox(options.seed).await?;
    let world = Arc::new(world::furnish(sandbox, &child).await?);
    let mut hunt = Hunt {
        load: Load::start(&world),
        world,
        child,
        postmortem: Postmortem::default(),
        rng: ChaCha8Rng::seed_from_u64(options.seed),
    };
    let mut verdict = Verdict::new(options);
    if let Err(broken) = hunt.kills(options.kills, &mut verdict).await {
        verdict.broken.push(format!("{broken:#}"));
        return Ok(verdict);
    }
    eprintln!("the node stays up now; waiting until everything has settled");
    let Hunt { mut load, world, mut child, mut postmortem, .. } = hunt;
    reckoning::settle(&world, &mut load, &mut verdict).await?;
    reckoning::reckon((&world, &load.notes), &mut child, &mut postmortem, &mut verdict).await?;
    Ok(verdict)
}

struct Hunt {
    load: Load,
    world: Arc<World>,
    child: Child,
    postmortem: Postmortem,
    rng: ChaCha8Rng,
}

impl Hunt {
    async fn kills(&mut self, wanted: u32, verdict: &mut Verdict) -> Result<()> {
        for nth in 1..=wanted * TRIES {
            let near = verdict.near();
            if verdict.counted() >= wanted && near * 2 >= verdict.counted() as usize {
                return Ok(());
            }
            let kill = self.kill(nth % 2 == 0).await?;
            eprintln!("kill {nth}: {kill}");
            verdict.kills.push(kill);
        }
        Ok(())
    }

    /// Lets it work, kills it, looks at what is left, starts it again.
    async fn kill(&mut self, aimed: bool) -> Result<Kill> {
        pass(self.rng.random_range(WORK_MS)).await;
        if aimed {
            let before = self.world.sandbox.stats().accepted;
            crate::wait::within(Duration::from_secs(2), async || {
                (self.world.sandbox.stats().accepted > before).then_some(())
            })
            .await;
            pass(self.rng.random_range(0..AIM_MS)).await;
        }
        let unacknowledged = self.world.sandbox.stats().webhooks.pending;
        self.load.is_up(false);
        let killed_at = now_ms();
        self.child.kill().await?;
        let found = self.postmortem.look(&self.child.place, killed_at).await?;
        let begin = tokio::time::Instant::now();
        self.child.start().await.map_err(|why| anyhow::anyhow!("the node does not start again: {why:#}"))?;
        self.load.is_up(true);
        Ok(Kill {
            counts: !found.open.is_empty() && unacknowledged > 0,
            open: found.open,
            unacknowledged,
            claim_ago: found.claim_ago,
            flush_ago: found.flush_ago,
            start_ms: begin.elapsed().as_millis(),
        })
    }
}

/// Lets time pass; the instants of kills are the one thing here that is not an event.
async fn pass(ms: u64) {
    let mut turn = tokio::time::interval(Duration::from_millis(ms.max(1)));
    turn.tick().await;
    turn.tick().await;
}

/// Every claim that was open at some kill.
pub(super) fn open_at_kills(kills: &[Kill]) -> BTreeSet<Reference> {
    kills.iter().flat_map(|kill| kill.open.iter().copied()).collect()
}
