//! Memory under ten times the load the edge takes up: callers in another process, first as many as are in hand at once,
//! then ten times as many, who are refused in part. Kabar's memory is looked at all the while.

use crate::child::Process;
use crate::house::House;
use crate::{Options, cpu};
use anyhow::Result;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Callers at once in the steady state, and the most requests in hand: one more is refused.
const CALLERS: u64 = 128;
const TIMES: u64 = 10;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);

/// Runs both and prints them.
pub fn run(options: Options) -> Result<()> {
    cpu::pin(0)?;
    let sandbox = Process::start(&["sandbox"])?;
    let provider = sandbox.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let count = options.scaled(200_000);
    let (steady, over) = runtime.block_on(async {
        let most = usize::try_from(CALLERS)?;
        let house = House::with(&provider, |config| config.edge.in_flight_max = most).await?;
        let steady = stage(&house, CALLERS, count).await?;
        let over = stage(&house, CALLERS * TIMES, count).await?;
        house.close().await;
        anyhow::Ok((steady, over))
    })?;
    let ratio = over.peak_mb as f64 / steady.peak_mb as f64;
    for (name, stage) in [("steady", &steady), ("overload", &over)] {
        println!(
            "{name}: peak {} MB resident, {} accepted, {} refused, p50 {} ms, p99 {} ms",
            stage.peak_mb,
            stage.told["ok"],
            stage.told["refused"],
            stage.told["p50_ms"],
            stage.told["p99_ms"]
        );
    }
    println!("ratio {ratio:.2} with {TIMES} times as many callers");
    if options.json {
        let line = |s: &Stage| json!({"peak_mb": s.peak_mb, "load": s.told});
        println!("{}", json!({"steady": line(&steady), "overload": line(&over), "ratio": ratio}));
    }
    Ok(())
}

struct Stage {
    peak_mb: u64,
    told: Value,
}

/// So many callers send `count` messages; the highest memory meanwhile.
async fn stage(house: &House, callers: u64, count: u64) -> Result<Stage> {
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
    looks.abort();
    Ok(Stage { peak_mb: peak.load(Ordering::Relaxed), told })
}
