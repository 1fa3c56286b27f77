//! How many messages leave per second, everything of Kabar on one core: beside a bare HTTP client that does
//! nothing but repeat the same call on the same core. The simulated WhatsApp (quiet: no statuses) and the
//! callers of the API are another process on another core.

use crate::child::{Process, TOKEN, number};
use crate::figures::rounded;
use crate::house::{House, text};
use crate::load::{Shot, fire};
use crate::{Options, cpu};
use anyhow::{Context, Result, ensure};
use futures::stream;
use hyper::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kabar's core.
const CORE: usize = 0;
const CONNECTIONS: u64 = 64;

/// One line of the result.
struct Line {
    per_second: f64,
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Runs all three and prints them.
pub fn run(options: Options) -> Result<()> {
    cpu::pin(CORE)?;
    let sandbox = Process::start(&["sandbox"])?;
    let provider = sandbox.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let ceiling = runtime.block_on(ceiling(&provider, options.scaled(150_000)))?;
    let (api, campaign, threads) = runtime.block_on(async {
        let house = House::open(&provider).await?;
        let api = api(&house, options.scaled(60_000)).await?;
        let campaign = campaign(&house, options.scaled(200_000)).await?;
        let threads = cpu::check_pinned(CORE)?;
        house.close().await;
        anyhow::Ok((api, campaign, threads))
    })?;
    print(options, &ceiling, &api, &campaign, threads);
    Ok(())
}

/// A bare client loop against the simulated WhatsApp.
async fn ceiling(provider: &str, count: u64) -> Result<Line> {
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
    fire(&shot, CONNECTIONS, count / 10).await?;
    let before = cpu::spent();
    let (mut hits, took) = fire(&shot, CONNECTIONS, count).await?;
    let spent = cpu::spent() - before;
    ensure!(hits.refused == 0, "the simulated WhatsApp refused {}", hits.refused);
    Ok(Line {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_us: micros(spent, count),
        p50_ms: hits.latencies.quantile_ms(0.5),
        p99_ms: hits.latencies.quantile_ms(0.99),
    })
}

fn authority(url: &str) -> Result<String> {
    Ok(url.strip_prefix("http://").context("the simulated WhatsApp's address")?.to_owned())
}

fn micros(spent: Duration, count: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / count as f64
}

/// Single messages by API, each with an idempotency key, until all of them have left.
async fn api(house: &House, count: u64) -> Result<Line> {
    let mut body = House::message();
    body["session"] = json!(house.session);
    body["to"] = json!("+{to}");
    let (authority, body) = (house.running.addr.to_string(), body.to_string());
    let (key, began, before) = (house.key.clone(), Instant::now(), cpu::spent());
    let (connections, shots) = (CONNECTIONS.to_string(), count.to_string());
    let load = tokio::task::spawn_blocking(move || {
        let path = "/v1/messages";
        Process::start(&["load", &authority, path, &key, &connections, &shots, &body])
            .map(|child| child.first_line.clone())
    });
    let told: Value = serde_json::from_str(&load.await??)?;
    ensure!(told["refused"] == json!(0), "Kabar refused: {told}");
    ensure!(told["ok"] == json!(count), "not every message was accepted: {told}");
    emptied(house).await?;
    let (took, spent) = (began.elapsed(), cpu::spent() - before);
    Ok(Line {
        per_second: count as f64 / took.as_secs_f64(),
        cpu_us: micros(spent, count),
        p50_ms: told["p50_ms"].as_f64().unwrap_or(0.0),
        p99_ms: told["p99_ms"].as_f64().unwrap_or(0.0),
    })
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

/// A campaign over an imported file, from launch to end.
async fn campaign(house: &House, count: u64) -> Result<Line> {
    let id = prepared(house, count).await?;
    let buckets = send_seconds(house).await?;
    let (took, spent) = sent(house, &id, count).await?;
    let (p50_ms, p99_ms) = between(&buckets, &send_seconds(house).await?);
    Ok(Line { per_second: count as f64 / took.as_secs_f64(), cpu_us: micros(spent, count), p50_ms, p99_ms })
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

/// Time and processor time from the frozen audience to the last answer.
async fn sending(house: &House, id: &str, count: u64) -> Result<(Duration, Duration)> {
    let path = format!("/v1/campaigns/{id}");
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    let mut begun = None;
    for _ in 0..6_000 {
        turn.tick().await;
        let now = house.client.get(&path).await?;
        let totals = &now["totals"];
        if begun.is_none() && totals["recipients"] == json!(count) {
            begun = Some((Instant::now(), cpu::spent()));
        }
        if totals["sent"] == json!(count) {
            let (at, spent) = begun.context("the campaign ended before it began")?;
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

fn print(options: Options, ceiling: &Line, api: &Line, campaign: &Line, threads: usize) {
    let percent = |line: &Line| 100.0 * line.per_second / ceiling.per_second;
    println!("outbound: Kabar on core {CORE} ({threads} threads, each checked), the rest on another core");
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>10}{:>10}",
        "", "per second", "CPU us/msg", "% ceiling", "p50 ms", "p99 ms"
    );
    for (name, line) in [("bare HTTP client", ceiling), ("API sends", api), ("campaign sends", campaign)] {
        println!(
            "{name:<28}{:>12.0}{:>12.1}{:>12.1}{:>10.2}{:>10.2}",
            line.per_second,
            line.cpu_us,
            percent(line),
            line.p50_ms,
            line.p99_ms
        );
    }
    println!("p50, p99: the bare call; API: request to 202; campaign: call to the provider and back");
    if options.json {
        let object = |line: &Line| {
            json!({
                "per_second": rounded(line.per_second),
                "cpu_us_per_message": rounded(line.cpu_us),
                "percent_of_ceiling": rounded(percent(line)),
                "p50_ms": rounded(line.p50_ms),
                "p99_ms": rounded(line.p99_ms),
            })
        };
        let all = json!({
            "ceiling_per_second": rounded(ceiling.per_second),
            "api": object(api),
            "campaign": object(campaign),
        });
        println!("{all}");
    }
}
