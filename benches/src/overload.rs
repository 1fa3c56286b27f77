//! Memory under ten times the load the edge takes up: callers in another process, first as many as are in hand at once
//! (twice, so that what merely fills up is full), then ten times as many, who are refused in part and ask again at once. Kabar's memory is looked at all the while; what was accepted must
//! be at the provider in the end, once.

use crate::child::Process;
use crate::figures::rounded;
use crate::house::House;
use crate::{Options, cpu, machine, outbound};
use anyhow::{Context, Result, ensure};
use kabar_api::client::Client;
use kabar_sandbox::SandboxConfig;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Callers at once in the steady state, and the most requests in hand: one more is refused.
const CALLERS: u64 = 128;
const TIMES: u64 = 10;
/// Refusals are quick: so many times as many calls make the overload last as long as the steady state.
const LONGER: u64 = 4;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);

/// What must hold: the peak under overload, as a multiple of the steady one.
const RATIO_MAX: f64 = 2.0;

/// Runs both and prints them.
///
/// # Errors
/// It could not be measured, or a promise does not hold: memory, a refusal that does not say when to come again, an
/// accepted message that was not delivered exactly once.
pub fn run(options: Options) -> Result<()> {
    cpu::pin(0)?;
    let sandbox = Process::start(&["sandbox"])?;
    let provider = sandbox.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let count = options.scaled(200_000);
    let (idle_mb, first, steady, over) = runtime.block_on(async {
        let most = usize::try_from(CALLERS)?;
        let house = House::with(&provider, |config| config.edge.in_flight_max = most).await?;
        let idle_mb = cpu::resident_mb();
        let first = stage(&house, &provider, CALLERS, count).await?;
        let steady = stage(&house, &provider, CALLERS, count).await?;
        let over = stage(&house, &provider, CALLERS * TIMES, count * LONGER).await?;
        house.close().await;
        anyhow::Ok((idle_mb, first, steady, over))
    })?;
    let ratio = over.peak_mb as f64 / steady.peak_mb as f64;
    println!("idle: {idle_mb} MB resident");
    for (name, stage) in [("first", &first), ("steady", &steady), ("overload", &over)] {
        stage.print(name);
    }
    let holds = ratio <= RATIO_MAX && [&first, &steady, &over].iter().all(|stage| stage.holds());
    println!("ratio {ratio:.2} with {TIMES} times as many callers");
    if options.json {
        let all = json!({
            "idle_mb": idle_mb,
            "first": first.json(),
            "steady": steady.json(),
            "overload": over.json(),
            "ratio": rounded(ratio),
            "holds": holds,
            "machine": machine::machine(),
            "commit": machine::commit(),
        });
        println!("{all}");
    }
    ensure!(
        holds,
        "memory within {RATIO_MAX} times, refusals that say when, every accepted message there once"
    );
    Ok(())
}

struct Stage {
    peak_mb: u64,
    told: Value,
    /// Messages the provider got in this stage, and those it got again.
    delivered: u64,
    repeated: u64,
}

impl Stage {
    fn count(&self, name: &str) -> u64 {
        self.told[name].as_u64().unwrap_or(0)
    }

    /// Calls per second, answered how so ever.
    fn offered(&self) -> f64 {
        let seconds = self.told["seconds"].as_f64().unwrap_or(0.0);
        if seconds > 0.0 { (self.count("ok") + self.count("refused")) as f64 / seconds } else { 0.0 }
    }

    fn holds(&self) -> bool {
        let all_told_when = self.count("refused") == self.count("refused_429_retry_after");
        all_told_when && self.delivered == self.count("ok") && self.repeated == 0
    }

    fn print(&self, name: &str) {
        println!(
            "{name}: peak {} MB resident; {:.0} calls/s; {} accepted and {} of them at the provider; {} refused, {} with 429 and \
             Retry-After; p50 {} ms, p99 {} ms",
            self.peak_mb,
            self.offered(),
            self.count("ok"),
            self.delivered,
            self.count("refused"),
            self.count("refused_429_retry_after"),
            self.told["p50_ms"],
            self.told["p99_ms"]
        );
    }

    fn json(&self) -> Value {
        json!({
            "peak_mb": self.peak_mb,
            "calls_per_second": rounded(self.offered()),
            "delivered": self.delivered,
            "repeated": self.repeated,
            "load": self.told,
        })
    }
}

/// What the provider has: messages, and those of them that came again.
pub async fn provided(provider: &str) -> Result<(u64, u64)> {
    let control = Client::new(provider, &SandboxConfig::default().control_token);
    let stats = control.get("/_sim/stats").await?;
    let count = |name: &str| stats[name].as_u64().with_context(|| format!("no {name} in {stats}"));
    Ok((count("accepted")?, count("repeated")?))
}

/// So many callers send `count` messages; the highest memory until all that was accepted has left.
async fn stage(house: &House, provider: &str, callers: u64, count: u64) -> Result<Stage> {
    let before = provided(provider).await?;
    let mut body = House::message();
    body["session"] = json!(house.session);
    body["to"] = json!("+{to}");
    let (authority, body) = (house.running.addr.to_string(), body.to_string());
    let key = house.key.clone();
    let load = tokio::task::spawn_blocking(move || {
        let (callers, count) = (callers.to_string(), count.to_string());
        Process::start(&["load", &authority, "/v1/messages", &key, &callers, &count, &body])
            .map(|child| child.first_line.clone())
    });
    let peak = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&peak);
    let looks = tokio::spawn(async move {
        let mut turn = tokio::time::interval(LOOK);
        loop {
            turn.tick().await;
            seen.fetch_max(cpu::resident_mb(), Ordering::Relaxed);
        }
    });
    let told = serde_json::from_str(&load.await??)?;
    outbound::emptied(house).await?;
    looks.abort();
    let after = provided(provider).await?;
    let (delivered, repeated) = (after.0 - before.0, after.1 - before.1);
    Ok(Stage { peak_mb: peak.load(Ordering::Relaxed), told, delivered, repeated })
}
