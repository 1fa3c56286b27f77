//! The faults: a provider that throttles, breaks, is away or is slow, one after the other, each against a node of its own
//! under load. Whatever it answers, every message is delivered or explicitly failed, `unknown` is said only where an
//! answer left it open, the totals are exact, and after an outage everything is out within seconds.
//!
//! What happens to the node itself is the kills' and the scenes' affair.

use super::kill::pass;
use super::load::Pace;
use super::options::Options;
use super::stage::{Ground, Stage};
use super::verdict::Verdict;
use super::world;
use crate::gate::Gate;
use anyhow::{Context, Result};
use kabar_sandbox::{Behaviour, FaultKind, Faults};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The share of requests that meet a fault.
const SHARE: f64 = 0.2;
/// How long the load lasts against a provider that throttles or breaks.
const LOAD: Duration = Duration::from_secs(8);
/// How long the provider is away.
const OUTAGE: Duration = Duration::from_secs(3);
/// Everything that waited is out so long after it at the latest.
const DRAINED: Duration = Duration::from_secs(5);
/// How long its answers are slow, and how slow (ms).
const SLOW: Duration = Duration::from_secs(30);
const SLOW_MS: u64 = 3_000;
/// Messages that leave before anything happens.
const WORKING: u64 = 400;
/// So long the fault goes on while what waits is sent. One message in some thousands meets it six times in a row and waits half a
/// minute for its next try; nobody can say how long that goes on, so then it ends.
const UNDER_FAULT: Duration = Duration::from_secs(30);
/// Longest wait until everything has left after that: the next try of what met one of these faults is a minute away at most
/// (`backoff` of `Throughput` and `Transient`).
const PATIENCE: Duration = Duration::from_secs(120);

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Throttled,
    Graph500,
    Bare502,
    Outage,
    Slow,
}

impl Fault {
    const ALL: [Self; 5] = [Self::Throttled, Self::Graph500, Self::Bare502, Self::Outage, Self::Slow];

    fn name(self) -> &'static str {
        match self {
            Self::Throttled => "20% 429",
            Self::Graph500 => "20% 500 (Graph)",
            Self::Bare502 => "20% bare 502",
            Self::Outage => "3 s refused",
            Self::Slow => "30 s slow",
        }
    }

    /// From the first message on.
    fn behaviour(self) -> Behaviour {
        let faults = match self {
            Self::Throttled => Faults { rate_429: SHARE, ..Faults::default() },
            Self::Graph500 => Faults { rate_500_graph: SHARE, ..Faults::default() },
            Self::Bare502 => Faults { rate_bare_502: SHARE, ..Faults::default() },
            Self::Outage | Self::Slow => Faults::default(),
        };
        Behaviour { faults, ..world::behaviour() }
    }

    /// How much is asked. A throttled number slows down by itself, so it is asked less.
    fn pace(self) -> Pace {
        // One campaign: the next is made when nobody waits any more, and that is the end.
        let one = Pace { audience: 2_000, low: 0, ..Pace::FULL };
        match self {
            Self::Throttled => Pace { audience: 800, send_every: Duration::from_millis(100), ..one },
            _ => one,
        }
    }

    /// What the sandbox calls it.
    fn kind(self) -> Option<FaultKind> {
        match self {
            Self::Throttled => Some(FaultKind::Throttled),
            Self::Graph500 => Some(FaultKind::Graph500),
            Self::Bare502 => Some(FaultKind::Bare502),
            Self::Slow => Some(FaultKind::Slow),
            Self::Outage => None,
        }
    }

    /// Lets it happen; gives when it was over.
    async fn happen(self, stage: &Stage) -> Result<Instant> {
        let sandbox = &stage.world.sandbox;
        match self {
            Self::Throttled | Self::Graph500 | Self::Bare502 => wait(LOAD).await,
            Self::Outage => {
                stage.works(WORKING).await?;
                let gate = stage.gate.as_ref().context("an outage needs a gate")?;
                gate.shut().await?;
                wait(OUTAGE).await;
                gate.unshut();
            }
            Self::Slow => {
                stage.works(WORKING).await?;
                let slow = Faults { rate_slow: 1.0, slow_ms: SLOW_MS, ..Faults::default() };
                sandbox.set_behaviour(Behaviour { faults: slow, ..self.behaviour() })?;
                wait(SLOW).await;
                sandbox.set_behaviour(self.behaviour())?;
            }
        }
        Ok(Instant::now())
    }
}

async fn wait(time: Duration) {
    pass(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).await;
}

/// What one came to.
struct Line {
    fault: Fault,
    verdict: Verdict,
    /// Requests that met it.
    met: u64,
    /// Everything the sandbox was asked to send, and what it took.
    requests: u64,
    taken: u64,
    /// From its end until nothing waited any more.
    drained: Option<Duration>,
}

const HEAD: &str = "fault             messages  taken  failed  expired  unknown  lost  twice  met  requests  drained s  total s";

impl Line {
    fn row(&self) -> String {
        let (name, verdict) = (self.fault.name(), &self.verdict);
        let drained = self.drained.map_or_else(|| "never".to_owned(), |d| format!("{:.1}", d.as_secs_f64()));
        format!(
            "{name:<16}  {:>8}  {:>5}  {:>6}  {:>7}  {:>7}  {:>4}  {:>5}  {:>3}  {:>8}  {drained:>9}  {:>7}",
            verdict.items,
            self.taken,
            verdict.failed,
            verdict.expired,
            verdict.unknown,
            verdict.accepted_lost + verdict.webhooks_lost,
            verdict.duplicates,
            self.met,
            self.requests,
            verdict.seconds,
        )
    }

    fn json(&self) -> Value {
        let verdict = &self.verdict;
        let mut told = verdict.figures();
        told["fault"] = json!(self.fault.name());
        told["messages"] = json!(verdict.items);
        told["taken"] = json!(self.taken);
        told["failed"] = json!(verdict.failed);
        told["expired"] = json!(verdict.expired);
        told["met"] = json!(self.met);
        told["requests"] = json!(self.requests);
        told["cut"] = json!(verdict.cut.len());
        told["drained_s"] = json!(self.drained.map(|drained| drained.as_secs_f64()));
        told
    }
}

/// Runs all of them; whether every promise held.
///
/// # Errors
/// The proof could not be made, which is not the same as a broken promise.
pub async fn run(seed: u64, json: bool) -> Result<bool> {
    eprintln!("faults proof, seed {seed}");
    let mut lines = Vec::new();
    for fault in Fault::ALL {
        eprintln!("{}", fault.name());
        let line = one(fault, seed).await?;
        line.verdict.broken.iter().for_each(|broken| eprintln!("BROKEN: {broken}"));
        lines.push(line);
    }
    eprintln!("{HEAD}");
    lines.iter().for_each(|line| eprintln!("{}", line.row()));
    let holds = lines.iter().all(|line| line.verdict.holds());
    let word = if holds { "every promise held" } else { "a promise BROKE" };
    eprintln!("{word} (seed {seed})");
    if json {
        let faults: Vec<Value> = lines.iter().map(Line::json).collect();
        println!("{}", json!({"faults": faults, "holds": holds, "seed": seed}));
    }
    Ok(holds)
}

async fn one(fault: Fault, seed: u64) -> Result<Line> {
    let begin = Instant::now();
    let options = Options::plain(seed);
    let mut verdict = Verdict::of_scene(&options);
    let gated = fault == Fault::Outage;
    let ground = Ground { pace: fault.pace(), behaviour: fault.behaviour(), gated };
    let mut stage = Stage::begin_on(&options, ground, |_, _| Ok(())).await?;
    let over = fault.happen(&stage).await?;
    if let Err(refused) = stage.load.stop().await {
        verdict.broken.push(format!("{refused:#}"));
    }
    let empty = async || stage.waiting().await.ok()?.is_empty().then_some(());
    let mut drained = crate::wait::within(UNDER_FAULT, empty).await;
    if drained.is_none() {
        stage.world.sandbox.set_behaviour(Behaviour { faults: Faults::default(), ..fault.behaviour() })?;
        drained = crate::wait::within(PATIENCE, empty).await;
    }
    let drained = drained.map(|()| over.elapsed());
    if drained.is_none() {
        stage.waiting().await?.iter().for_each(|who| eprintln!("waits: {who}"));
    }
    let world = Arc::clone(&stage.world);
    verdict.cut = stage.gate.as_ref().map(Gate::cut).unwrap_or_default();
    stage.finish(&mut verdict).await?;
    let stats = world.sandbox.stats();
    let met = fault.kind().and_then(|kind| stats.faults.get(&kind).copied()).unwrap_or(0);
    let requests = stats.accepted + stats.lost + stats.rejected.values().sum::<u64>();
    judge(fault, (met, drained), &mut verdict);
    verdict.seconds = begin.elapsed().as_secs();
    Ok(Line { fault, verdict, met, requests, taken: stats.accepted, drained })
}

/// What was promised beyond what every reckoning asks.
fn judge(fault: Fault, (met, drained): (u64, Option<Duration>), verdict: &mut Verdict) {
    let may_be_unknown = match fault {
        Fault::Bare502 => met,
        _ => verdict.cut.len() as u64,
    };
    let unknown = verdict.unknown;
    verdict.promise(unknown <= may_be_unknown, || {
        format!("{unknown} are unknown, for at most {may_be_unknown} nothing could be known")
    });
    verdict.promise(fault == Fault::Outage || met > 0, || "no request met the fault".to_owned());
    verdict.promise(drained.is_some(), || {
        format!("messages wait {} s later", (UNDER_FAULT + PATIENCE).as_secs())
    });
    if let Some(drained) = drained.filter(|drained| fault == Fault::Outage && *drained > DRAINED) {
        verdict.broken.push(format!("drained {:.1} s after the outage", drained.as_secs_f64()));
    }
}
