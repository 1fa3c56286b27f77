//! How many messages leave per second, everything of Kabar on one core, while each is reported sent, delivered and read in three
//! signed webhooks of its own: beside a bare HTTP client that does nothing but repeat the same call on the same core. The
//! provider, whose ledger counts, and the callers of the API are other processes on another core. The clock stops when all
//! was sent, reported, and is written into the views.

use crate::child::{Process, TOKEN, number};
use crate::figures::rounded;
use crate::house::{House, text};
use crate::load::{Shot, fire};
use crate::{Options, all, cpu, inbound, machine};
use anyhow::{Context, Result, ensure};
use futures::stream;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kabar's core.
const CORE: usize = 0;
const CONNECTIONS: u64 = 64;
/// How long messages are accepted, and before that, unmeasured.
const SECONDS: u64 = 60;
const WARM_SECONDS: u64 = 10;
/// Webhooks of each message.
const REPORTS: u64 = 3;
/// Recipients of the campaign, of the one nobody reports, and of one before both that is not measured.
const RECIPIENTS: u64 = 700_000;
const ALONE: u64 = 2_000_000;
const WARM_RECIPIENTS: u64 = 100_000;
/// What others may use of the machine while it is measured.
const FOREIGN_MAX: f64 = 0.10;

/// One line of the result.
struct Line {
    messages: u64,
    took: Duration,
    cpu: Duration,
    p50_ms: f64,
    p99_ms: f64,
    syncs: u64,
    /// Share of both cores that others used.
    foreign: f64,
    hooks: Value,
}

impl Line {
    fn per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages as f64
    }

    fn json(&self, ceiling: &Self) -> Value {
        json!({
            "per_second": rounded(self.per_second()),
            "cpu_us_per_message": rounded(self.cpu_us()),
            "percent_of_ceiling": rounded(100.0 * self.per_second() / ceiling.per_second()),
            "p50_ms": rounded(self.p50_ms),
            "p99_ms": rounded(self.p99_ms),
            "messages": self.messages,
            "seconds": rounded(self.took.as_secs_f64()),
            "syncs_per_second": rounded(self.syncs as f64 / self.took.as_secs_f64()),
            "foreign_cpu_percent": rounded(100.0 * self.foreign),
            "webhooks": self.hooks,
        })
    }
}

/// Runs all three and prints them.
pub fn run(options: Options, recipients: Option<u64>) -> Result<()> {
    let recipients = recipients.unwrap_or_else(|| options.scaled(RECIPIENTS));
    cpu::pin(CORE)?;
    let mut stub = Process::start(&["stub"])?;
    let provider = stub.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (ceiling, api, campaign, alone, threads) = runtime.block_on(async {
        let ceiling = ceiling(&mut stub, &provider, options.scaled(1_500_000)).await?;
        let house = House::open(&provider).await?;
        campaign(&mut stub, &house, (options.scaled(WARM_RECIPIENTS), 0)).await?;
        let alone = campaign(&mut stub, &house, (options.scaled(ALONE), 0)).await?;
        report_to(&mut stub, &house)?;
        api(&mut stub, &house, (options.scaled(WARM_SECONDS), REPORTS)).await?;
        let api = api(&mut stub, &house, (options.scaled(SECONDS), REPORTS)).await?;
        let campaign = campaign(&mut stub, &house, (recipients, REPORTS)).await?;
        let threads = cpu::check_pinned(CORE)?;
        house.close().await;
        anyhow::Ok((ceiling, api, campaign, alone, threads))
    })?;
    print(options, [&ceiling, &api, &campaign, &alone], threads)?;
    let foreign =
        [&ceiling, &api, &campaign, &alone].into_iter().map(|line| line.foreign).fold(0.0, f64::max);
    ensure!(
        options.noisy || foreign <= FOREIGN_MAX,
        "others used {:.0} % of the processor meanwhile: close them, or say --noisy",
        foreign * 100.0
    );
    Ok(())
}

/// The API's messages alone, for a profiler: their figures in a line, compared with nothing.
pub fn api_alone(options: Options, reports: u64) -> Result<()> {
    cpu::pin(CORE)?;
    let mut stub = Process::start(&["stub"])?;
    let provider = stub.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let line = runtime.block_on(async {
        let house = House::open(&provider).await?;
        if reports > 0 {
            report_to(&mut stub, &house)?;
        }
        api(&mut stub, &house, (options.scaled(WARM_SECONDS), reports)).await?;
        let line = api(&mut stub, &house, (options.scaled(SECONDS), reports)).await?;
        house.close().await;
        anyhow::Ok(line)
    })?;
    println!("{}", line.json(&line));
    Ok(())
}

/// Has the provider report what becomes of each message from here on.
fn report_to(stub: &mut Process, house: &House) -> Result<()> {
    let path = format!("/connectors/cloud/{}", inbound::app(1));
    stub.tell(&format!("hooks {} {path} {}", house.running.addr, inbound::SECRET))?;
    stub.hear().map(drop)
}

/// What a run begins with.
struct Begin {
    at: Instant,
    cpu: Duration,
    everybody: Duration,
    stub: Value,
    syncs: u64,
}

impl Begin {
    fn now(stub: &mut Process, house: Option<&House>) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            cpu: cpu::spent(),
            everybody: cpu::everybody(),
            stub: report(stub)?,
            syncs: house.map_or(0, |house| house.running.node.stats().journal_syncs),
        })
    }

    /// The line, when all that was begun has ended; `callers` is what another child spent.
    fn end(&self, stub: &mut Process, house: Option<&House>, callers: f64) -> Result<Line> {
        let now = Self::now(stub, house)?;
        let figure = |of: &Self, name: &str| of.stub[name].as_f64().unwrap_or(0.0);
        let more = |name: &str| figure(&now, name) - figure(self, name);
        let twice = house.is_some() && more("arrived") as u64 != more("different") as u64;
        ensure!(!twice, "some arrived twice: {}", now.stub);
        let (took, cpu) = (now.at - self.at, now.cpu - self.cpu);
        let ours = cpu.as_secs_f64() + more("cpu_seconds") + callers;
        let foreign = (now.everybody - self.everybody).as_secs_f64() - ours;
        let latencies = told(stub, "latencies")?;
        Ok(Line {
            messages: more("arrived") as u64,
            took,
            cpu,
            p50_ms: 0.0,
            p99_ms: 0.0,
            syncs: now.syncs - self.syncs,
            foreign: (foreign / (2.0 * took.as_secs_f64())).max(0.0),
            hooks: json!({"taken": more("reported"), "refused": more("refused"),
                "per_second": rounded(more("reported") / took.as_secs_f64()),
                "p50_ms": latencies["p50_ms"], "p99_ms": latencies["p99_ms"]}),
        })
    }
}

/// What the provider's ledger says.
fn report(stub: &mut Process) -> Result<Value> {
    told(stub, "report")
}

/// What the provider answers.
fn told(stub: &mut Process, what: &str) -> Result<Value> {
    stub.tell(what)?;
    Ok(serde_json::from_str(&stub.hear()?)?)
}

/// A bare client loop against the same provider.
async fn ceiling(stub: &mut Process, provider: &str, count: u64) -> Result<Line> {
    let mut body = House::message();
    body["messaging_product"] = json!("whatsapp");
    body["to"] = json!("{to}");
    body["biz_opaque_callback_data"] = json!("v1|c|cmp_0000000000000|12345");
    let shot = Shot {
        authority: authority(provider)?,
        method: Method::POST,
        paths: Arc::from([format!("/v26.0/{}/messages", number(0))]),
        token: TOKEN.to_owned(),
        body: body.to_string(),
        keyed: false,
    };
    let begin = Begin::now(stub, None)?;
    let (mut hits, _) = fire(&shot, CONNECTIONS, count).await?;
    ensure!(hits.refused == 0, "the provider refused {}", hits.refused);
    let mut line = begin.end(stub, None, 0.0)?;
    (line.p50_ms, line.p99_ms) = (hits.latencies.quantile_ms(0.5), hits.latencies.quantile_ms(0.99));
    Ok(line)
}

fn authority(url: &str) -> Result<String> {
    Ok(url.strip_prefix("http://").context("the simulated WhatsApp's address")?.to_owned())
}

/// Single messages by API, each with an idempotency key, for so many seconds and until nothing of them is left to do.
async fn api(stub: &mut Process, house: &House, (seconds, reports): (u64, u64)) -> Result<Line> {
    let mut body = House::message();
    body["session"] = json!(house.session);
    body["to"] = json!("+{to}");
    let (authority, body, key) = (house.running.addr.to_string(), body.to_string(), house.key.clone());
    let (connections, seconds) = (CONNECTIONS.to_string(), seconds.max(1).to_string());
    let begin = Begin::now(stub, Some(house))?;
    let callers = tokio::task::spawn_blocking(move || {
        Process::start(&["callers", &authority, &key, &connections, &seconds, &body])
            .map(|child| child.first_line.clone())
    });
    let told: Value = serde_json::from_str(&callers.await??)?;
    ensure!(told["refused"] == json!(0), "Kabar refused: {told}");
    let count = told["calls"].as_u64().unwrap_or(0);
    settled(stub, house, &begin.stub, (count, reports)).await?;
    let mut line = begin.end(stub, Some(house), told["cpu_seconds"].as_f64().unwrap_or(0.0))?;
    ensure!(line.messages == count, "{count} were accepted, the provider has {}", line.messages);
    (line.p50_ms, line.p99_ms) =
        (told["p50_ms"].as_f64().unwrap_or(0.0), told["p99_ms"].as_f64().unwrap_or(0.0));
    Ok(line)
}

/// Waits until the provider has `count` more than `before` and told what became of each, and the views have it all.
async fn settled(
    stub: &mut Process,
    house: &House,
    before: &Value,
    (count, reports): (u64, u64),
) -> Result<()> {
    let more = |now: &Value, name: &str| now[name].as_u64().unwrap_or(0) - before[name].as_u64().unwrap_or(0);
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..12_000 {
        turn.tick().await;
        let now = report(stub)?;
        let stats = house.running.node.stats();
        if more(&now, "arrived") >= count
            && more(&now, "reported") >= reports * count
            && stats.open_claims == 0
            && stats.dirty_rows == 0
        {
            return Ok(());
        }
    }
    anyhow::bail!("it does not come to an end: {} of {count}", report(stub)?)
}

/// Waits until nothing is in the outbox.
pub async fn emptied(house: &House) -> Result<()> {
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..3_000 {
        turn.tick().await;
        let stats = house.running.node.stats();
        let path = format!("/v1/sessions/{}", house.session);
        if stats.open_claims == 0 && house.client.get(&path).await?["outbox"] == json!(0) {
            return Ok(());
        }
    }
    anyhow::bail!("the outbox does not empty")
}

/// A campaign over an imported file, from the frozen audience until nothing of it is left to do.
async fn campaign(stub: &mut Process, house: &House, (count, reports): (u64, u64)) -> Result<Line> {
    let id = prepared(house, count).await?;
    let buckets = send_seconds(house).await?;
    let before = report(stub)?;
    let path = format!("/v1/campaigns/{id}");
    house.client.post(&format!("{path}/launch"), &json!({})).await?;
    frozen(house, &path, count).await?;
    let begin = Begin::now(stub, Some(house))?;
    settled(stub, house, &before, (count, reports)).await?;
    let mut line = begin.end(stub, Some(house), 0.0)?;
    let totals = house.client.get(&path).await?["totals"].clone();
    let last = if reports > 0 { "read" } else { "sent" };
    ensure!(totals[last] == json!(count), "the totals are not those of the ledger: {totals}");
    (line.p50_ms, line.p99_ms) = between(&buckets, &send_seconds(house).await?);
    Ok(line)
}

/// A campaign over an imported file, not launched; its id.
pub async fn prepared(house: &House, count: u64) -> Result<String> {
    let rows = (0..count).map(|n| Ok(format!("+62813{:08},Name {n}\n", n).into()));
    let head = std::iter::once(Ok::<_, std::io::Error>("phone,name\n".into()));
    let body = stream::iter(head.chain(rows).collect::<Vec<_>>());
    let import = house.client.stream("/v1/contacts/import?name=bench", "text/csv", body).await?;
    ensure!(import["imported"] == json!(count), "the import: {import}");
    let mut message = House::message();
    message["template"]["components"][0]["parameters"][0]["text"] =
        json!("Dear {{name|title}}, your order is on its way and will arrive between nine and twelve.");
    let campaign = json!({
        "name": "bench",
        "senders": house.senders,
        "audience": {"list": text(&import, "id")?},
        "message": message,
    });
    text(&house.client.post("/v1/campaigns", &campaign).await?, "id")
}

/// Launches it and waits for the last answer: time and processor time from the frozen audience on.
pub async fn sent(house: &House, id: &str, count: u64) -> Result<(Duration, Duration)> {
    house.client.post(&format!("/v1/campaigns/{id}/launch"), &json!({})).await?;
    sending(house, id, count).await
}

/// Waits until everybody it goes to stands fast.
async fn frozen(house: &House, path: &str, count: u64) -> Result<()> {
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..6_000 {
        turn.tick().await;
        if house.client.get(path).await?["totals"]["recipients"] == json!(count) {
            return Ok(());
        }
    }
    anyhow::bail!("the campaign does not begin: {}", house.client.get(path).await?)
}

/// Time and processor time from the frozen audience to the last answer.
async fn sending(house: &House, id: &str, count: u64) -> Result<(Duration, Duration)> {
    let path = format!("/v1/campaigns/{id}");
    frozen(house, &path, count).await?;
    let (at, spent) = (Instant::now(), cpu::spent());
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..6_000 {
        turn.tick().await;
        if house.client.get(&path).await?["totals"]["sent"] == json!(count) {
            return Ok((at.elapsed(), cpu::spent() - spent));
        }
    }
    anyhow::bail!("the campaign does not end: {}", house.client.get(&path).await?)
}

/// The buckets of the time a call to the provider took: upper bound in seconds, calls so far.
async fn send_seconds(house: &House) -> Result<Vec<(f64, f64)>> {
    let text = scrape(&house.running.addr.to_string()).await?;
    let line = |l: &str| {
        let rest = l.strip_prefix("kabar_connector_send_seconds_bucket{")?;
        let bound = rest.split("le=\"").nth(1)?.split('"').next()?;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, rest.rsplit(' ').next()?.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

async fn scrape(authority: &str) -> Result<String> {
    use http_body_util::{BodyExt, Empty};
    let stream = tokio::net::TcpStream::connect(authority).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get("/metrics").header("host", authority);
    let request = request.body(Empty::<bytes::Bytes>::new())?;
    let body = sender.send_request(request).await?.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}

/// Median and 99th percentile in ms of what was counted between two looks, interpolated inside a bucket.
fn between(before: &[(f64, f64)], after: &[(f64, f64)]) -> (f64, f64) {
    let counted: Vec<(f64, f64)> = after
        .iter()
        .enumerate()
        .map(|(place, (bound, count))| (*bound, count - before.get(place).map_or(0.0, |b| b.1)))
        .collect();
    let all = counted.last().map_or(0.0, |c| c.1);
    let quantile = |share: f64| {
        let want = share * all;
        let (mut low, mut below) = (0.0, 0.0);
        for (bound, count) in &counted {
            if *count >= want && count > &below && bound.is_finite() {
                return (low + (bound - low) * (want - below) / (count - below)) * 1_000.0;
            }
            (low, below) = (*bound, *count);
        }
        low * 1_000.0
    };
    (rounded(quantile(0.5)), rounded(quantile(0.99)))
}

fn print(options: Options, lines: [&Line; 4], threads: usize) -> Result<()> {
    let [ceiling, api, campaign, alone] = lines;
    println!("outbound: Kabar on core {CORE} ({threads} threads, each checked), the rest on another core");
    println!(
        "{:<18}{:>10}{:>8}{:>11}{:>11}{:>9}{:>9}{:>9}{:>12}{:>12}{:>10}",
        "",
        "messages",
        "s",
        "per second",
        "CPU us/msg",
        "% ceil.",
        "p50 ms",
        "p99 ms",
        "syncs/s",
        "hooks/s",
        "foreign %"
    );
    let names = ["bare HTTP client", "API sends", "campaign sends", "  unreported"];
    for (name, line) in names.into_iter().zip(lines) {
        println!(
            "{name:<18}{:>10}{:>8.1}{:>11.0}{:>11.1}{:>9.1}{:>9.2}{:>9.2}{:>12.0}{:>12.0}{:>10.1}",
            line.messages,
            line.took.as_secs_f64(),
            line.per_second(),
            line.cpu_us(),
            100.0 * line.per_second() / ceiling.per_second(),
            line.p50_ms,
            line.p99_ms,
            line.syncs as f64 / line.took.as_secs_f64(),
            line.hooks["per_second"].as_f64().unwrap_or(0.0),
            100.0 * line.foreign,
        );
    }
    println!("p50, p99: the bare call; API: request to 202; campaign: call to the provider and back");
    println!("unreported: a campaign whose provider sends no webhooks, what sending alone costs");
    if options.json {
        let (inbound, rss) = (all::one("inbound", options)?, all::one("rss", options)?);
        let all = json!({
            "ceiling_per_second": rounded(ceiling.per_second()),
            "api": api.json(ceiling),
            "campaign": campaign.json(ceiling),
            "campaign_unreported": alone.json(ceiling),
            "inbound": inbound.0,
            "rss": rss.0,
            "machine": machine::machine(),
            "commit": machine::commit(),
        });
        println!("{all}");
        ensure!(inbound.1 && rss.1, "of inbound and rss not both hold");
    }
    Ok(())
}
