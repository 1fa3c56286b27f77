//! What a message costs in the store, on the real code: the shard's door with engine, journal, projector and
//! views on a temporary folder, without HTTP and without a provider. The figures of facts/store.md again.

use crate::figures::{Latencies, rounded};
use crate::store_paths::{self, Mark};
use crate::{Options, cpu};
use anyhow::Result;
use kabar_actors::{Clock, Node, NodeOptions};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use kabar_schema::journal::OnFailure;
use kabar_schema::records::Tenant;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The tenant of every bench.
pub const TENANT: TenantId = TenantId(1);
/// Its session.
pub const SESSION: SessionId = SessionId(1);
/// Arrivals of the acknowledgement bench.
const RATE: u64 = 15_000;

/// A node on a folder.
pub async fn node(folder: &Path, master: &MasterKey) -> Result<Arc<Node>> {
    let options =
        EmbeddedOptions { fail: OnFailure::Exit, ..EmbeddedOptions::new(folder.to_owned(), master.clone()) };
    let store = Store::embedded(options).await?;
    let node = Node::start(NodeOptions::default(), store, Clock::system()).await?;
    node.store().keyring.ensure(TENANT).await?;
    Ok(node)
}

/// Runs all of it and prints it.
pub fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(options))
}

async fn all(options: Options) -> Result<()> {
    let marks = [options.scaled(100_000), options.scaled(1_000_000)];
    let mut paths = Vec::new();
    println!("store: CPU us per message (all threads of the process; engine, journal, projector, views)");
    println!("{:<12}{:>12}{:>14}{:>16}", "path", "stored", "CPU us/msg", "journal B/msg");
    for (name, result) in [
        ("api", with_node(|n| store_paths::api(n, 0, marks)).await?),
        ("inbound", with_node(|n| store_paths::inbound(n, 0, marks)).await?),
        ("campaign", with_node(|n| store_paths::campaign(n, 0, marks)).await?),
    ] {
        for mark in &result {
            println!("{name:<12}{:>12}{:>14.1}{:>16.0}", mark.stored, mark.cpu_us, mark.journal_bytes);
        }
        paths.push((name, result));
    }
    let ack = with_node(|n| acknowledgement(n, options.scaled(RATE * 10))).await?;
    println!(
        "acknowledgement at {RATE}/s: p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms ({:.0}/s arrived)",
        ack[0], ack[1], ack[2], ack[3]
    );
    let pending = 100_000;
    let restart = restart(pending).await?;
    println!(
        "restart with {pending} pending: ready after {:.0} ms, first 1,000 claimed after {:.0} ms, peak {} MB",
        restart.0,
        restart.1,
        cpu::peak_mb()
    );
    if options.json {
        let line = |m: &Mark| json!({"stored": m.stored, "cpu_us": rounded(m.cpu_us), "journal_bytes": rounded(m.journal_bytes)});
        let paths: serde_json::Map<_, _> = paths
            .iter()
            .map(|(name, marks)| ((*name).to_owned(), json!(marks.iter().map(line).collect::<Vec<_>>())))
            .collect();
        let all = json!({
            "paths": paths,
            "ack": {"per_second": rounded(ack[3]), "p50_ms": rounded(ack[0]), "p99_ms": rounded(ack[1])},
            "restart": {"pending": pending, "ready_ms": rounded(restart.0), "first_ms": rounded(restart.1)},
        });
        println!("{all}");
    }
    Ok(())
}

async fn with_node<T, F: Future<Output = Result<T>>>(work: impl FnOnce(Arc<Node>) -> F) -> Result<T> {
    let folder = tempfile::tempdir()?;
    let node = node(folder.path(), &MasterKey::random()).await?;
    let result = work(Arc::clone(&node)).await;
    node.shutdown().await;
    result
}

/// Accepts messages at a fixed rate and measures from arrival to the durable answer.
async fn acknowledgement(node: Arc<Node>, count: u64) -> Result<[f64; 4]> {
    let shard = node.shard_of_session(TENANT, SESSION);
    let begin = Instant::now();
    let mut turn = tokio::time::interval(Duration::from_millis(1));
    let (mut sent, mut waiting) = (0, Vec::with_capacity(usize::try_from(count)?));
    while sent < count {
        turn.tick().await;
        let due = (begin.elapsed().as_secs_f64() * RATE as f64) as u64;
        for n in sent..due.min(count) {
            let arrived = Instant::now();
            let shard = Arc::clone(&shard);
            let input = store_paths::draft(n, Timestamp(node.clock().now_ms()));
            waiting.push(tokio::spawn(async move { shard.ask(input).await.map(|_| arrived.elapsed()) }));
        }
        sent = due.min(count);
    }
    let rate = count as f64 / begin.elapsed().as_secs_f64();
    let mut latencies = Latencies::default();
    for task in waiting {
        latencies.add(task.await??);
    }
    Ok([latencies.quantile_ms(0.5), latencies.quantile_ms(0.99), latencies.quantile_ms(1.0), rate])
}

/// How long a node with a full outbox takes to be ready, and to claim the first thousand.
async fn restart(pending: u64) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let master = MasterKey::random();
    let node_a = node(folder.path(), &master).await?;
    // Without a tenant's record nobody would know how to resolve; without a session's record nothing is sent.
    let tenant = Tenant {
        id: TENANT,
        name: "bench".to_owned(),
        created: Timestamp(node_a.clock().now_ms()),
        unknown_after_ms: 900_000,
        resend_unknown: false,
        reseller: None,
        weight: Tenant::WEIGHT,
        frequency_cap: None,
        meta: kabar_schema::records::MetaAnswers::default(),
        body_hash: String::new(),
    };
    node_a.store().nouns.create(&tenant).await?;
    store_paths::fill(&node_a, pending).await?;
    node_a.shutdown().await;
    drop(node_a);
    let began = Instant::now();
    let node_b = node(folder.path(), &master).await?;
    let ready = began.elapsed();
    store_paths::claim(&node_b, 1_000).await?;
    let first = began.elapsed();
    node_b.shutdown().await;
    Ok((ready.as_secs_f64() * 1e3, first.as_secs_f64() * 1e3))
}
