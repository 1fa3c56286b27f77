//! What a kill and a scene are played on: a node as a process of its own, the sandbox, the tenant with its two numbers,
//! load from all sides, and a webhook subscription that listens from the first message on. At the end everything
//! settles and is counted. When something is done to the node is the proofs' own affair.

use super::child::Child;
use super::hook::Hook;
use super::load::{Load, Pace};
use super::options::Options;
use super::place::Place;
use super::postmortem::{Found, Postmortem, now_ms};
use super::reckoning;
use super::verdict::{Kill, Verdict};
use super::world::{self, World};
use crate::gate::Gate;
use anyhow::{Context, Result};
use kabar_sandbox::Behaviour;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest wait until messages leave.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it is played on.
pub(super) struct Ground {
    pub(super) pace: Pace,
    pub(super) behaviour: Behaviour,
    /// The provider is reached through a gate that can be shut.
    pub(super) gated: bool,
}

/// The stage.
pub(super) struct Stage {
    pub(super) load: Load,
    hook: Hook,
    pub(super) world: Arc<World>,
    pub(super) child: Child,
    pub(super) gate: Option<Gate>,
    postmortem: Postmortem,
    /// Goes last, when nothing works in it any more.
    _folder: TempDir,
}

impl Stage {
    /// Starts everything; `prepare` may change where and how the node runs, before its first start.
    pub(super) async fn begin(
        options: &Options,
        pace: Pace,
        prepare: impl FnOnce(&Path, &mut Child) -> Result<()>,
    ) -> Result<Self> {
        let ground = Ground { pace, behaviour: world::behaviour(), gated: false };
        // These futures are large, and every proof holds one.
        Box::pin(Self::begin_on(options, ground, prepare)).await
    }

    /// The same on another ground.
    pub(super) async fn begin_on(
        options: &Options,
        Ground { pace, behaviour, gated }: Ground,
        prepare: impl FnOnce(&Path, &mut Child) -> Result<()>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut child = Child::new(folder.path(), options)?;
        prepare(folder.path(), &mut child)?;
        child.start().await?;
        let sandbox = world::sandbox_with(options.seed, pace.rate, behaviour).await?;
        let gate = if gated { Some(Gate::new(sandbox.local_addr()).await?) } else { None };
        let base = gate.as_ref().map_or_else(|| sandbox.base_url(), Gate::base_url);
        let world = Arc::new(world::furnish_through(sandbox, &child, (pace.rate, &base)).await?);
        let hook = Hook::begin(&world.client).await?;
        let load = Load::start(&world, pace);
        Ok(Self { load, hook, world, child, gate, postmortem: Postmortem::default(), _folder: folder })
    }

    /// What waits to be sent.
    pub(super) async fn waiting(&self) -> Result<Vec<String>> {
        reckoning::waiting(&self.world, &self.load.notes.campaigns()).await
    }

    /// Waits until so many more messages have left.
    pub(super) async fn works(&self, messages: u64) -> Result<()> {
        let before = self.world.sandbox.stats().accepted;
        let works = crate::wait::within(PATIENCE, async || {
            (self.world.sandbox.stats().accepted >= before + messages).then_some(())
        });
        works
            .await
            .with_context(|| format!("fewer than {messages} messages left in {} s", PATIENCE.as_secs()))
    }

    /// SIGKILL.
    pub(super) async fn kill(&mut self) -> Result<Kill> {
        self.strike(|_| Ok(())).await
    }

    /// SIGKILL, and what befalls the files before anybody looks at them.
    pub(super) async fn strike(&mut self, then: impl FnOnce(&Place) -> Result<()>) -> Result<Kill> {
        let unacknowledged = self.world.sandbox.stats().webhooks.pending;
        self.load.is_up(false);
        let killed_at = now_ms();
        self.child.kill().await?;
        then(&self.child.place)?;
        let found = self.look(killed_at).await?;
        Ok(Kill {
            counts: !found.open.is_empty() && unacknowledged > 0,
            open: found.open,
            unacknowledged,
            claim_ago: found.claim_ago,
            flush_ago: found.flush_ago,
            start_ms: 0,
        })
    }

    /// What a node that is gone has left; nothing of it is changed.
    pub(super) async fn look(&mut self, gone_at: i64) -> Result<Found> {
        self.postmortem.look(&self.child.place, gone_at).await
    }

    /// Starts it again, in so many milliseconds.
    pub(super) async fn start(&mut self) -> Result<u128> {
        let begin = Instant::now();
        self.child.start().await.context("the node does not start again")?;
        self.load.is_up(true);
        Ok(begin.elapsed().as_millis())
    }

    /// Ends the load, waits until everything has settled and been brought, and counts.
    pub(super) async fn finish(self, verdict: &mut Verdict) -> Result<()> {
        let Self { mut load, hook, world, mut child, gate: _gate, mut postmortem, _folder } = self;
        reckoning::settle(&world, &mut load, verdict).await?;
        let (brought, broken) = hook.end(&world.client, verdict.is_planted).await?;
        verdict.brought = brought;
        verdict.broken.extend(broken);
        Box::pin(reckoning::reckon((&world, &load.notes), &mut child, &mut postmortem, verdict)).await
    }
}
