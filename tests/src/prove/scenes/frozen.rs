//! Frozen: SIGSTOP for 15 s in full swing, as a machine that swaps or a laptop that is closed does it; then SIGCONT. On a
//! cluster the leases lapse meanwhile and must be taken again.

use super::super::kill::pass;
use super::super::load::Pace;
use super::super::options::Options;
use super::super::stage::Stage;
use super::super::verdict::Verdict;
use super::{Seen, WORKING};
use anyhow::Result;
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// How long it is frozen.
const FROZEN: Duration = Duration::from_secs(15);
/// Longest wait until it answers again.
const AWAKE: Duration = Duration::from_secs(30);

pub(super) async fn play(options: &Options, verdict: &mut Verdict, seen: &mut Seen) -> Result<()> {
    let stage = Stage::begin(options, Pace::FULL, |_, _| Ok(())).await?;
    stage.works(WORKING).await?;
    let before = stage.world.sandbox.stats();
    stage.child.signal(Signal::SIGSTOP)?;
    let begin = Instant::now();
    if options.cql.is_none() {
        let refused = stage.child.twin()?.attempt().await?;
        let line = refused.err().map_or_else(|| "it started".to_owned(), |ended| ended.line);
        verdict.promise(line.contains("in use by another process"), || {
            format!("a second process on the folder of the frozen one: {line}")
        });
        seen.note(format!("a second process on its folder meanwhile: {line}"));
    }
    let left = FROZEN.saturating_sub(begin.elapsed());
    pass(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)).await;
    let stats = stage.world.sandbox.stats();
    seen.note(format!(
        "frozen for {} ms; {} webhooks were unacknowledged before and {} after it",
        begin.elapsed().as_millis(),
        before.webhooks.pending,
        stats.webhooks.pending
    ));
    stage.child.signal(Signal::SIGCONT)?;
    let (back, path) = (Instant::now(), format!("/v1/sessions/{}", stage.world.sessions[0]));
    let client = &stage.world.client;
    let good = async || client.get(&path).await.is_ok_and(|told| told.is_good()).then_some(());
    let awake = crate::wait::within(AWAKE, good).await;
    verdict.promise(awake.is_some(), || "it does not answer after SIGCONT".to_owned());
    let answers = back.elapsed().as_millis();
    stage.works(1).await?;
    let sends = back.elapsed().as_millis();
    seen.note(format!(
        "after SIGCONT it answered in {answers} ms and the next message left within {sends} ms"
    ));
    stage.works(WORKING).await?;
    stage.finish(verdict).await
}
