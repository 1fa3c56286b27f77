//! The actor table: what an actor costs in bare tokio, in ractor, in actix, and in Kabar's own layer over ractor. Each kind is
//! measured in a process of its own on one core: a spawn, the memory of an idle actor, a message told, a question answered, and
//! the way back after a failure. Not what Kabar's actors do: these only count.

mod actix_kind;
mod layer_kind;
mod ractor_kind;
mod tokio_kind;

use crate::child::Process;
use crate::figures::rounded;
use crate::{Options, cpu, machine};
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::time::Instant;

/// Idle actors, messages told, questions, and failures.
const ACTORS: u64 = 100_000;
const TOLD: u64 = 1_000_000;
const ASKED: u64 = 200_000;
const FAILURES: u64 = 1_000;
/// Messages told before it is asked whether they have arrived.
const BURST: u64 = 1_000;
/// The kinds, as a child is told them, and as they are shown.
const KINDS: [(&str, &str); 4] = [
    ("tokio", "tokio, task and channel"),
    ("ractor", "ractor"),
    ("actix", "actix"),
    ("layer", "Kabar's layer over ractor"),
];

/// One kind of actor. Every actor counts what it is told, and answers how many that were.
trait Kind {
    /// How it is reached.
    type Address;

    /// Starts one.
    async fn spawn(&mut self) -> Result<Self::Address>;

    /// Sends a message without waiting.
    fn tell(&self, to: &Self::Address) -> Result<()>;

    /// Asks and waits for the answer.
    async fn ask(&self, to: &Self::Address) -> Result<u64>;

    /// Lets one actor fail and come back so many times, each time until the new one answers.
    async fn fail(&mut self, times: u64) -> Result<()>;
}

/// Runs every kind and prints the table.
///
/// # Errors
/// It could not be measured.
pub fn run(options: Options) -> Result<()> {
    println!("actors: each kind in a process of its own on one core, {} idle actors", options.scaled(ACTORS));
    println!(
        "{:<28}{:>10}{:>14}{:>10}{:>10}{:>14}",
        "", "spawn us", "bytes/actor", "tell ns", "ask ns", "restart us"
    );
    let mut kinds = Map::new();
    for (kind, name) in KINDS {
        let scale = options.scaled(10).to_string();
        let told: Value = serde_json::from_str(&Process::start(&["actors", kind, &scale])?.first_line)?;
        let figure = |name: &str| told[name].as_f64().with_context(|| format!("no {name} of {kind}"));
        println!(
            "{name:<28}{:>10.2}{:>14.0}{:>10.0}{:>10.0}{:>14.1}",
            figure("spawn_us")?,
            figure("idle_bytes")?,
            figure("tell_ns")?,
            figure("ask_ns")?,
            figure("restart_us")?
        );
        kinds.insert(kind.to_owned(), told);
    }
    println!(
        "restart: from the failure to the next answer; actix cannot survive a panic, there the actor stops itself"
    );
    if options.json {
        println!("{}", json!({"kinds": kinds, "machine": machine::machine(), "commit": machine::commit()}));
    }
    Ok(())
}

/// `actors <kind> <tenths>`: measures one kind and prints its line.
pub fn child(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() == 2, "an actors child needs two arguments");
    let tenths: u64 = arguments[1].parse()?;
    // Failures are on purpose here: nobody wants to read a thousand of them.
    std::panic::set_hook(Box::new(|_| ()));
    let tokio = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let line = match arguments[0].as_str() {
        "tokio" => tokio()?.block_on(measured(tokio_kind::Tokio, tenths))?,
        "ractor" => tokio()?.block_on(measured(ractor_kind::Ractor, tenths))?,
        "layer" => tokio()?.block_on(async { measured(layer_kind::Layer::new(), tenths).await })?,
        "actix" => actix_kind::system(measured(actix_kind::Actix, tenths))?,
        other => bail!("`{other}` is no kind of actor"),
    };
    println!("{line}");
    Ok(())
}

async fn measured<K: Kind>(mut kind: K, tenths: u64) -> Result<Value> {
    let scaled = |count: u64| (count * tenths / 10).max(1);
    // What only the first one pays.
    let first = kind.spawn().await?;
    kind.ask(&first).await?;
    let count = scaled(ACTORS);
    let mut actors = Vec::with_capacity(usize::try_from(count)?);
    let (before, began) = (cpu::resident_kib(), Instant::now());
    for _ in 0..count {
        actors.push(kind.spawn().await?);
    }
    // The last one answers only when those before have begun as well.
    kind.ask(actors.last().context("an actor")?).await?;
    let spawn = began.elapsed();
    let bytes = (cpu::resident_kib() - before) * 1_024;
    let told = scaled(TOLD) / BURST * BURST;
    let began = Instant::now();
    for _ in 0..told / BURST {
        for _ in 0..BURST {
            kind.tell(&first)?;
        }
        kind.ask(&first).await?;
    }
    let tell = began.elapsed();
    let (asked, began) = (scaled(ASKED), Instant::now());
    let mut counted = 0;
    for _ in 0..asked {
        counted = kind.ask(&first).await?;
    }
    let ask = began.elapsed();
    ensure!(counted == told, "{counted} of {told} messages were counted");
    let (failures, began) = (scaled(FAILURES), Instant::now());
    kind.fail(failures).await?;
    let restart = began.elapsed();
    let micros = |took: std::time::Duration, count: u64| took.as_secs_f64() * 1e6 / count as f64;
    Ok(json!({
        "spawn_us": rounded(micros(spawn, count)),
        "idle_bytes": bytes / count,
        "tell_ns": rounded(micros(tell, told) * 1e3),
        "ask_ns": rounded(micros(ask, asked) * 1e3),
        "restart_us": rounded(micros(restart, failures)),
    }))
}
