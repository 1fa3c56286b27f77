//! How many webhooks are taken per second, everything of Kabar on one core, each with one message or one status and answered
//! only when it is durable: beside a bare axum server on the same core that reads the body, verifies the signature and answers.
//! The provider is another process on another core. Not how fast what they say is delivered further.

use crate::child::Process;
use crate::figures::rounded;
use crate::house::House;
use crate::{Options, cpu, machine, outbound};
use anyhow::{Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use kabar_connectors::cloud::verify;
use serde_json::{Value, json};
use std::time::Duration;

/// Kabar's core.
const CORE: usize = 0;
/// Webhooks at once.
const CONNECTIONS: u64 = 64;
/// Of the benches' app.
pub const SECRET: &str = "bench-app-secret";
/// What must hold: Meta wants a median of 250 ms; this is asked of the slowest hundredth.
const P99_MAX_MS: f64 = 250.0;
const FLOOR: f64 = 4_000.0;

/// One line of the result.
struct Line {
    told: Value,
    count: u64,
    cpu: Duration,
}

impl Line {
    fn figure(&self, name: &str) -> f64 {
        self.told[name].as_f64().unwrap_or(0.0)
    }

    fn per_second(&self) -> f64 {
        self.count as f64 / self.figure("seconds").max(f64::MIN_POSITIVE)
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.count as f64
    }

    fn json(&self) -> Value {
        json!({"per_second": rounded(self.per_second()), "cpu_us": rounded(self.cpu_us()),
            "p50_ms": self.figure("p50_ms"), "p99_ms": self.figure("p99_ms"), "max_ms": self.figure("max_ms")})
    }
}

/// Runs all and prints them.
///
/// # Errors
/// It could not be measured, or p99 or the floor do not hold.
pub fn run(options: Options) -> Result<()> {
    cpu::pin(CORE)?;
    let sandbox = Process::start(&["sandbox"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let count = options.scaled(200_000);
    let lines = runtime.block_on(async {
        let ceiling = ceiling(count).await?;
        let house = House::open(&sandbox.first_line).await?;
        let authority = house.running.addr.to_string();
        let path = format!("/connectors/cloud/{}", app(1));
        // What only the first ones pay: conversations, connections, caches.
        fire((&authority, &path), "messages", count / 10).await?;
        let messages = fire((&authority, &path), "messages", count).await?;
        let campaign = outbound::prepared(&house, count).await?;
        outbound::sent(&house, &campaign, count).await?;
        let statuses = fire((&authority, &path), &campaign, count).await?;
        let now = house.client.get(&format!("/v1/campaigns/{campaign}")).await?;
        ensure!(now["totals"]["delivered"] == json!(count), "statuses are missing: {}", now["totals"]);
        ensure!(
            now["totals"]["pricing"][0]["count"] == json!(count),
            "prices are missing: {}",
            now["totals"]
        );
        cpu::check_pinned(CORE)?;
        house.close().await;
        anyhow::Ok([("bare axum", ceiling), ("one message each", messages), ("one status each", statuses)])
    })?;
    print(options, &lines)
}

/// How an app's id is written.
pub fn app(id: u64) -> String {
    let text = kabar_engine::id::TenantId(id).to_string();
    format!("app{}", &text[kabar_engine::id::TenantId::PREFIX.len()..])
}

async fn fire((authority, path): (&str, &str), of: &str, count: u64) -> Result<Line> {
    let before = cpu::spent();
    let (connections, shots) = (CONNECTIONS.to_string(), count.to_string());
    let arguments = ["hooks", authority, path, SECRET, of, &connections, &shots].map(str::to_owned);
    let child = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Process::start(&arguments).map(|child| child.first_line.clone())
    });
    let told: Value = serde_json::from_str(&child.await??)?;
    ensure!(told["stored"] == json!(count), "not every webhook was taken: {told}");
    Ok(Line { told, count, cpu: cpu::spent() - before })
}

/// A server that reads, verifies and answers.
async fn ceiling(count: u64) -> Result<Line> {
    let take = async |headers: HeaderMap, body: Bytes| {
        let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
        if verify(&[SECRET], signature, &body) { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let authority = listener.local_addr()?.to_string();
    let server =
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(take))).await });
    fire((&authority, "/"), "messages", count / 10).await?;
    let line = fire((&authority, "/"), "messages", count).await;
    server.abort();
    line
}

fn print(options: Options, lines: &[(&str, Line); 3]) -> Result<()> {
    println!(
        "inbound: Kabar on core {CORE}, every thread checked; the provider with {CONNECTIONS} connections on another"
    );
    println!(
        "{:<20}{:>12}{:>14}{:>12}{:>10}{:>10}{:>10}",
        "", "per second", "CPU us/hook", "% ceiling", "p50 ms", "p99 ms", "max ms"
    );
    let best = lines[0].1.per_second();
    for (name, line) in lines {
        let [p50, p99, max] = ["p50_ms", "p99_ms", "max_ms"].map(|name| line.figure(name));
        let share = 100.0 * line.per_second() / best;
        println!(
            "{name:<20}{:>12.0}{:>14.1}{share:>12.1}{p50:>10.2}{p99:>10.2}{max:>10.2}",
            line.per_second(),
            line.cpu_us()
        );
    }
    let stored = &lines[1..];
    let holds =
        stored.iter().all(|(_, line)| line.figure("p99_ms") < P99_MAX_MS && line.per_second() >= FLOOR);
    if options.json {
        let all = json!({"ceiling": lines[0].1.json(), "messages": lines[1].1.json(), "statuses": lines[2].1.json(),
            "holds": holds, "machine": machine::machine(), "commit": machine::commit()});
        println!("{all}");
    }
    ensure!(holds, "at least {FLOOR} webhooks a second, p99 below {P99_MAX_MS} ms");
    Ok(())
}
