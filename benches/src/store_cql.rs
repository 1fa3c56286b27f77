//! What a message costs on a cluster: one Apache Cassandra node on this machine, started for the bench. The paths of
//! the store bench, with the processor time of the client (this process) and of the server apart; acknowledgements
//! and frames of the journal; and beside them, with the bare driver, what the same frames cost without Kabar and what
//! the outbox claims cost that the journal replaced. On one machine with the server: ratios count, not times.

use crate::figures::{Latencies, rounded};
use crate::store::{SESSION, TENANT};
use crate::store_paths::{self, Mark};
use crate::{Options, cpu};
use anyhow::{Context, Result};
use futures::StreamExt;
use kabar_actors::{Clock, Node, NodeOptions};
use kabar_engine::id::SessionId;
use kabar_engine::time::Timestamp;
use kabar_schema::scylla::CqlOptions;
use kabar_schema::seal::MasterKey;
use kabar_schema::store::Store;
use kabar_tests::cassandra::{self, Cassandra};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::CqlValue;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Callers of the acknowledgement bench, each one after the other, over so many sessions.
const CALLERS: u64 = 64;
const SESSIONS: u64 = 16;
/// Rows of one outbox claim, as in the facts.
const CLAIMED: i64 = 50;
/// Bytes of a bare frame: about what 40 messages take.
const FRAME: usize = 16 * 1024;
/// Bare loops: writers side by side.
const WRITERS: i16 = 16;

struct Server {
    node: Cassandra,
}

impl Server {
    /// Processor time of the JVM so far.
    fn spent(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.node.process()))?;
        let behind = stat.rsplit_once(')').context("the JVM's line")?.1;
        let ticks = |at: usize| behind.split_whitespace().nth(at).and_then(|t| t.parse::<u64>().ok());
        let (user, system) = (ticks(11).context("user time")?, ticks(12).context("system time")?);
        Ok(Duration::from_millis((user + system) * 10))
    }

    fn options(&self, keyspace: &str) -> CqlOptions {
        CqlOptions::new(vec![self.node.address().to_owned()], keyspace, MasterKey::random())
    }

    async fn node(&self, keyspace: &str) -> Result<Arc<Node>> {
        let store = Store::cql(self.options(keyspace)).await?;
        let node = Node::start(NodeOptions::default(), store, Clock::system()).await?;
        node.store().keyring.ensure(TENANT).await?;
        Ok(node)
    }
}

/// What a stretch of work cost.
struct Cost {
    per_second: f64,
    client_us: f64,
    server_us: f64,
}

impl Cost {
    fn json(&self) -> Value {
        json!({
            "per_second": rounded(self.per_second),
            "client_us": rounded(self.client_us),
            "server_us": rounded(self.server_us),
        })
    }
}

struct Meter {
    begun: Instant,
    client: Duration,
    server: Duration,
}

impl Meter {
    fn new(server: &Server) -> Result<Self> {
        Ok(Self { begun: Instant::now(), client: cpu::spent(), server: server.spent()? })
    }

    fn cost(&self, server: &Server, count: u64) -> Result<Cost> {
        let count = count.max(1) as f64;
        let us = |spent: Duration| spent.as_secs_f64() * 1e6 / count;
        Ok(Cost {
            per_second: count / self.begun.elapsed().as_secs_f64(),
            client_us: us(cpu::spent() - self.client),
            server_us: us(server.spent()? - self.server),
        })
    }
}

/// Runs all of it and prints it.
pub fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(options))
}

async fn all(options: Options) -> Result<()> {
    let server = cassandra::Options { heap_mib: 2_048, ..cassandra::Options::default() };
    let server = Server { node: Cassandra::start(server).await? };
    println!("store on one Apache Cassandra node, commit log synced per batch, CPU us per message");
    let node = server.node("kabar_bench").await?;
    // The server compiles itself while it runs: what is measured comes after as much again.
    // Whole parts of campaigns, and whole batches.
    let (warm, stored) = (options.scaled(20_480), options.scaled(61_440));
    let mut told = serde_json::Map::new();
    println!("{:<22}{:>12}{:>14}{:>14}", "path", "per second", "client us", "server us");
    let paths = [
        ("api", path(&server, &node, Path::Api, [warm, stored]).await?),
        ("inbound", path(&server, &node, Path::Inbound, [warm, stored]).await?),
        ("campaign", path(&server, &node, Path::Campaign, [warm, stored]).await?),
    ];
    for (name, cost) in paths {
        show(name, &cost);
        told.insert(name.to_owned(), cost.json());
    }
    let ack = acknowledgement(&server, &node, options.scaled(30_000)).await?;
    node.shutdown().await;
    let session = bare(&server).await?;
    let ceiling = frames(&server, &session, options.scaled(6_000)).await?;
    let claims = claims(&server, &session, options.scaled(2_000)).await?;
    show("bare frame of 16 KiB", &ceiling);
    show("bare outbox claim (row)", &claims);
    if options.json {
        told.insert("ack".to_owned(), ack);
        told.insert("ceiling_frame".to_owned(), ceiling.json());
        told.insert("outbox_claim_row".to_owned(), claims.json());
        println!("{}", Value::Object(told));
    }
    Ok(())
}

fn show(name: &str, cost: &Cost) {
    println!("{name:<22}{:>12.0}{:>14.1}{:>14.1}", cost.per_second, cost.client_us, cost.server_us);
}

#[derive(Clone, Copy)]
enum Path {
    Api,
    Inbound,
    Campaign,
}

/// One path: a first stretch to warm up, then the one that is measured, views drained.
async fn path(server: &Server, node: &Arc<Node>, path: Path, [warm, stored]: [u64; 2]) -> Result<Cost> {
    let run = async |turn: u64, count: u64| -> Result<Vec<Mark>> {
        let marks = [count / 2, count];
        let node = Arc::clone(node);
        match path {
            Path::Api => store_paths::api(node, turn, marks).await,
            Path::Inbound => store_paths::inbound(node, turn, marks).await,
            Path::Campaign => store_paths::campaign(node, turn, marks).await,
        }
    };
    run(0, warm).await?;
    node.flush().await;
    let meter = Meter::new(server)?;
    run(1, stored).await?;
    node.flush().await;
    meter.cost(server, stored)
}

/// From the call to the durable answer, many callers over several shards; and how many frames that took.
async fn acknowledgement(server: &Server, node: &Arc<Node>, count: u64) -> Result<Value> {
    let before = node.store().journal.stats();
    let meter = Meter::new(server)?;
    let callers = (0..CALLERS).map(|caller| {
        let node = Arc::clone(node);
        async move {
            let mut taken = Vec::new();
            for n in 0..count / CALLERS {
                let session = SessionId(SESSION.0 + caller % SESSIONS);
                let shard = node.shard_of_session(TENANT, session);
                let nth = store_paths::first_of(2) + caller * 1_000_000 + n;
                let input = store_paths::draft_of((TENANT, session), nth, Timestamp(node.clock().now_ms()));
                let arrived = Instant::now();
                store_paths::ask(&shard, input).await?;
                taken.push(arrived.elapsed());
            }
            anyhow::Ok(taken)
        }
    });
    let mut latencies = Latencies::default();
    for taken in futures::future::try_join_all(callers).await? {
        taken.into_iter().for_each(|t| latencies.add(t));
    }
    let after = node.store().journal.stats();
    let cost = meter.cost(server, count)?;
    let frames = (after.syncs - before.syncs) as f64;
    let (p50, p99) = (latencies.quantile_ms(0.5), latencies.quantile_ms(0.99));
    let rate = frames * cost.per_second / count as f64;
    println!(
        "acknowledgement, {CALLERS} callers over {SESSIONS} sessions: {:.0}/s, p50 {p50:.1} ms, p99 {p99:.1} ms, {rate:.0} \
         frames/s of {:.1} messages",
        cost.per_second,
        count as f64 / frames,
    );
    Ok(json!({
        "per_second": rounded(cost.per_second),
        "p50_ms": rounded(p50),
        "p99_ms": rounded(p99),
        "frames_per_second": rounded(rate),
        "messages_per_frame": rounded(count as f64 / frames),
        "client_us": rounded(cost.client_us),
        "server_us": rounded(cost.server_us),
    }))
}

async fn bare(server: &Server) -> Result<Session> {
    let session = SessionBuilder::new().known_node(server.node.address()).tcp_nodelay(true).build().await?;
    for text in [
        "CREATE KEYSPACE bare WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': 1}",
        "CREATE TABLE bare.journal (shard smallint, bucket bigint, seq bigint, owner_epoch bigint static, frame blob, \
         PRIMARY KEY ((shard, bucket), seq))",
        "CREATE TABLE bare.outbox (shard smallint, slot bigint, mid bigint, owner_epoch bigint static, state tinyint, \
         claim_epoch bigint, attempt int, provider_ref text, payload blob, PRIMARY KEY ((shard, slot), mid))",
    ] {
        session.query_unpaged(text, ()).await?;
    }
    Ok(session)
}

/// The journal's own statement with frames of 16 KiB, one on the wire per shard: what no journal on this server beats.
async fn frames(server: &Server, session: &Session, count: u64) -> Result<Cost> {
    let append = "UPDATE bare.journal SET frame = ?, owner_epoch = 1 WHERE shard = ? AND bucket = 0 AND seq = ? \
                  IF owner_epoch = ? AND frame = null";
    let append = &session.prepare(append).await?;
    let frame = &vec![7_u8; FRAME];
    let each = i64::try_from(count)? / i64::from(WRITERS);
    let meter = Meter::new(server)?;
    let writers = (0..WRITERS).map(|shard| async move {
        for seq in 0..each {
            let seen = (seq > 0).then_some(1_i64);
            session.execute_unpaged(append, (frame, shard, seq, seen)).await?;
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(writers).await?;
    meter.cost(server, u64::try_from(each)? * WRITERS.unsigned_abs() as u64)
}

/// The design the journal replaced: 50 rows of an outbox claimed by one conditional batch. The cost is a row's; the
/// intents' inserts and the results that it needs as well are not in it.
async fn claims(server: &Server, session: &Session, count: u64) -> Result<Cost> {
    let fill =
        session.prepare("INSERT INTO bare.outbox (shard, slot, mid, payload) VALUES (?, ?, ?, ?)").await?;
    let guard = "UPDATE bare.outbox SET owner_epoch = 1 WHERE shard = ? AND slot = ? IF owner_epoch = ?";
    let claim = "UPDATE bare.outbox SET state = 1, claim_epoch = 1, attempt = 1, provider_ref = ? \
                 WHERE shard = ? AND slot = ? AND mid = ?";
    let (guard, claim) = (session.prepare(guard).await?, session.prepare(claim).await?);
    let (slots, payload) = (i64::try_from(count)? / CLAIMED, vec![7_u8; 300]);
    let rows = (0..slots).flat_map(|slot| (0..CLAIMED).map(move |mid| (slot, mid)));
    let mut filled = futures::stream::iter(rows)
        .map(|(slot, mid)| session.execute_unpaged(&fill, (1_i16, slot, mid, &payload)))
        .buffer_unordered(64);
    while let Some(done) = filled.next().await {
        done?;
    }
    let meter = Meter::new(server)?;
    let batches = futures::stream::iter(0..slots)
        .map(|slot| {
            let (guard, claim) = (&guard, &claim);
            async move {
                let mut batch = Batch::new(BatchType::Unlogged);
                batch.append_statement(guard.clone());
                let (shard, slot) = (Some(CqlValue::SmallInt(1)), Some(CqlValue::BigInt(slot)));
                let mut values: Vec<Vec<Option<CqlValue>>> = vec![vec![shard.clone(), slot.clone(), None]];
                for mid in 0..CLAIMED {
                    batch.append_statement(claim.clone());
                    let reference = Some(CqlValue::Text(format!("v1|1|{mid}")));
                    values.push(vec![reference, shard.clone(), slot.clone(), Some(CqlValue::BigInt(mid))]);
                }
                session.batch(&batch, values).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(8);
    let done: Vec<Result<()>> = batches.collect().await;
    done.into_iter().collect::<Result<()>>()?;
    meter.cost(server, u64::try_from(slots * CLAIMED)?)
}
