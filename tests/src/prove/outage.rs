//! The outages: the cluster under a working node is killed and started again, then frozen and thawed, each for some
//! seconds, in the middle of campaigns, single messages and webhooks. Nothing that was accepted may be lost, nothing
//! doubled; the API says 503 with Retry-After meanwhile; and it goes on by itself.

use super::child::Child;
use super::client::Ask;
use super::load::{Ack, Letter, Load, Pace};
use super::options::Options;
use super::postmortem::{Postmortem, now_ms};
use super::reckoning;
use super::verdict::{Kill, Verdict};
use super::world::{self, World};
use crate::cassandra::{self, Cassandra};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Between two probes.
const PROBE_EVERY: Duration = Duration::from_millis(200);
/// Probes write to people of their own.
const FIRST_PROBED: u64 = 80_000_000;
/// Accepted messages that show that everything works.
const WORKING: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// A claim this long (ms) before an outage may still be on the wire in it, and one this long after it may have been
/// decided in it.
const BEFORE_MS: i64 = 40_000;
const AFTER_MS: i64 = 20_000;

/// What one outage came to.
#[derive(Debug)]
struct Outage {
    kind: &'static str,
    began: i64,
    ended: i64,
    good: u64,
    unavailable: u64,
    with_retry_after: u64,
    other: u64,
    good_again_ms: u128,
}

impl Outage {
    fn json(&self) -> Value {
        json!({
            "kind": self.kind,
            "outage_ms": self.ended - self.began,
            "answers_good": self.good,
            "answers_503": self.unavailable,
            "with_retry_after": self.with_retry_after,
            "answers_other": self.other,
            "good_again_after_ms": u64::try_from(self.good_again_ms).unwrap_or(u64::MAX),
        })
    }
}

/// Runs the proof; whether every promise held.
///
/// # Errors
/// The proof could not be made.
pub async fn run(options: &Options) -> Result<bool> {
    eprintln!(
        "outage proof: {} s killed, {} s frozen, seed {}",
        options.seconds, options.seconds, options.seed
    );
    let server = cassandra::Options { heap_mib: 1_024, ..cassandra::Options::default() };
    let mut server = Cassandra::start(server).await?;
    let options = Options { cql: Some(server.address().to_owned()), kills: 2, ..options.clone() };
    let folder = tempfile::tempdir()?;
    let mut child = Child::new(folder.path(), &options)?;
    child.start().await?;
    let sandbox = world::sandbox(options.seed, Pace::FULL.rate).await?;
    let world = Arc::new(world::furnish(sandbox, &child, Pace::FULL.rate).await?);
    let mut load = Load::start(&world, Pace::FULL);
    let mut outages = Vec::new();
    for kind in ["killed", "frozen"] {
        works(&world).await?;
        outages.push(outage(kind, &options, &mut server, (&world, &load)).await?);
    }
    works(&world).await?;
    let mut verdict = Verdict::new(&options);
    reckoning::settle(&world, &mut load, &mut verdict).await?;
    let mut postmortem = Postmortem::default();
    let store = child.place.open().await?;
    postmortem.read(&*store.journal).await?;
    for one in &outages {
        verdict.kills.push(Kill {
            open: postmortem.claimed_between(one.began - BEFORE_MS, one.ended + AFTER_MS),
            unacknowledged: 1,
            claim_ago: 0,
            flush_ago: 0,
            start_ms: one.good_again_ms,
            counts: true,
        });
        verdict.promise(one.unavailable > 0, || format!("{}: nobody was told 503", one.kind));
        verdict.promise(one.with_retry_after == one.unavailable, || {
            format!("{}: a 503 without Retry-After", one.kind)
        });
    }
    reckoning::reckon((&world, &load.notes), &mut child, &mut postmortem, &mut verdict).await?;
    verdict.tell();
    if options.json {
        let mut told: Value = serde_json::from_str(&verdict.json())?;
        told["outages"] = outages.iter().map(Outage::json).collect();
        println!("{told}");
    }
    Ok(verdict.holds())
}

/// Waits until messages leave and nothing hinders them.
async fn works(world: &World) -> Result<()> {
    let before = world.sandbox.stats().accepted;
    let works = crate::wait::within(PATIENCE, async || {
        (world.sandbox.stats().accepted > before + WORKING).then_some(())
    });
    works.await.with_context(|| format!("fewer than {WORKING} messages left within {} s", PATIENCE.as_secs()))
}

async fn outage(
    kind: &'static str,
    options: &Options,
    server: &mut Cassandra,
    (world, load): (&Arc<World>, &Load),
) -> Result<Outage> {
    let (told, ends) = watch::channel(false);
    let began = now_ms();
    if kind == "killed" {
        server.kill().await?
    } else {
        server.freeze()?
    }
    eprintln!("the cluster is {kind}");
    let probes = tokio::spawn(probe(Arc::clone(world), Arc::clone(&load.notes), ends, began.unsigned_abs()));
    let mut over = interval(Duration::from_secs(options.seconds));
    over.tick().await;
    over.tick().await;
    if kind == "killed" {
        server.restart().await?
    } else {
        server.thaw()?
    }
    let (ended, back) = (now_ms(), Instant::now());
    eprintln!("the cluster is back");
    told.send_replace(true);
    let (mut outage, good_at) = probes.await??;
    outage.kind = kind;
    (outage.began, outage.ended) = (began, ended);
    outage.good_again_ms = good_at.saturating_duration_since(back).as_millis();
    eprintln!("{}", outage.json());
    Ok(outage)
}

/// Sends one message after the other, each with its own key, until one is good after the outage.
async fn probe(
    world: Arc<World>,
    notes: Arc<super::load::Notes>,
    over: watch::Receiver<bool>,
    first: u64,
) -> Result<(Outage, Instant)> {
    let mut outage = Outage {
        kind: "",
        began: 0,
        ended: 0,
        good: 0,
        unavailable: 0,
        with_retry_after: 0,
        other: 0,
        good_again_ms: 0,
    };
    let begun = Instant::now();
    let mut turn = interval(PROBE_EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for nth in 0.. {
        turn.tick().await;
        let person = FIRST_PROBED + first % 1_000_000 + nth;
        let letter = Letter { word: "Probe", nth, person, number: 0 };
        let key = format!("probe-{first}-{nth}");
        let late = *over.borrow();
        match world.client.ask(Ask::post("/v1/messages", key.clone(), &letter.body(&world.sessions))).await {
            Ok(told) if told.is_good() => {
                notes.acked(Ack { id: told.text("id")?, key, letter });
                outage.good += u64::from(!late);
                if late {
                    return Ok((outage, Instant::now()));
                }
            }
            Ok(told) if told.status == 503 => {
                outage.unavailable += 1;
                outage.with_retry_after += u64::from(told.retry_after.is_some());
            }
            _ => outage.other += 1,
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE * 2, "no message is taken after the outage");
    }
    unreachable!("the loop ends by itself only after 2^64 probes")
}
