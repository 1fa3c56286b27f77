//! How long a read takes over HTTP when much is stored: a campaign of nine tenths, single messages in 10,000
//! conversations for the rest, all of it sent by the real actors. Beside the ceiling: a request that reads nothing.

use crate::child::Process;
use crate::figures::rounded;
use crate::house::{House, text};
use crate::{Options, cpu, outbound, store_paths};
use anyhow::{Context, Result, ensure};
use kabar_engine::entry::StatusReport;
use kabar_engine::id::{CampaignId, MessageId, SessionId};
use kabar_engine::outgoing::Reference;
use kabar_engine::overlay::{Answer, Input, Key};
use kabar_engine::part::{PART, part_of};
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use serde_json::{Map, Value, json};
use std::io::Write;
use std::time::Instant;

/// Requests of each kind, and over how many connections.
const REQUESTS: usize = 2_000;
const CONNECTIONS: u64 = 8;
/// Messages stored when nothing else is said.
const MESSAGES: u64 = 1_000_000;
/// What p99 should stay under.
const FLOOR_P99_MS: u64 = 20;
/// Statuses in one input, and inputs at the same time.
const REPORTS: u64 = 256;
const TOGETHER: usize = 16;

/// One line of the result.
struct Line {
    name: &'static str,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us: f64,
}

/// Random enough to spread requests, and the same in every run.
struct Spread(u64);

impl Spread {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end.max(1)
    }

    fn paths(&mut self, from: &[String]) -> Vec<String> {
        (0..REQUESTS).map(|_| from[self.below(from.len())].clone()).collect()
    }
}

/// Builds, reads and prints.
pub fn run(options: Options, messages: Option<u64>) -> Result<()> {
    let messages = messages.unwrap_or_else(|| options.scaled(MESSAGES)).max(1_000);
    let sandbox = Process::start(&["sandbox"])?;
    let provider = sandbox.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let house = House::open(&provider).await?;
        let routes = stored(&house, messages).await?;
        println!("{:<24}{:>10}{:>10}{:>12}", "", "p50 ms", "p99 ms", "CPU us/req");
        let ceiling = measured(&house, "ceiling (healthz)", &["/healthz".to_owned()]).await?;
        show(&ceiling);
        let mut lines = Vec::new();
        for (name, paths) in &routes {
            let line = measured(&house, name, paths).await?;
            show(&line);
            lines.push(line);
        }
        house.close().await;
        print(options, messages, &ceiling, &lines);
        anyhow::Ok(())
    })
}

/// Stores the messages; the paths of every kind of read.
async fn stored(house: &House, messages: u64) -> Result<Vec<(&'static str, Vec<String>)>> {
    let began = Instant::now();
    let recipients = messages / 10 * 9;
    let campaign = outbound::prepared(house, recipients).await?;
    outbound::sent(house, &campaign, recipients).await?;
    let id: CampaignId = campaign.parse()?;
    for status in [Status::Delivered, Status::Read] {
        report(house, id, recipients, status).await?;
    }
    let singles = singles(house, messages - recipients).await?;
    outbound::emptied(house).await?;
    house.running.node.flush().await;
    println!("reads: {messages} messages stored after {:.0} s", began.elapsed().as_secs_f64());
    let message = |id: &MessageId| format!("/v1/messages/{id}");
    let conversations = walked(house, "/v1/conversations?limit=200", 50).await?;
    let talks: Vec<String> = conversations.0.iter().map(|id| format!("/v1/conversations/{id}")).collect();
    let pages = talks.iter().map(|talk| format!("{talk}/messages?limit=50")).collect();
    let contacts = walked(house, "/v1/contacts?limit=200", 200).await?.1;
    let contacts = contacts.iter().map(|after| format!("/v1/contacts?limit=100&after={after}")).collect();
    Ok(vec![
        ("message", singles.iter().map(message).collect()),
        ("campaign_message", recipients_of(house, id, recipients).await?.iter().map(message).collect()),
        ("conversation", talks),
        ("conversation_messages", pages),
        ("campaign", vec![format!("/v1/campaigns/{campaign}")]),
        ("contacts", contacts),
    ])
}

/// Single messages by the API's way into the shard; the session's actor sends them.
async fn singles(house: &House, count: u64) -> Result<Vec<MessageId>> {
    let node = &house.running.node;
    let session: SessionId = house.session.parse()?;
    let shard = node.shard_of_session(house.tenant, session);
    let mut ids = Vec::new();
    for batch in 0..count.div_ceil(REPORTS) {
        let now = Timestamp(node.clock().now_ms());
        let numbers = batch * REPORTS..count.min((batch + 1) * REPORTS);
        let sends =
            numbers.map(|n| store_paths::ask(&shard, store_paths::draft_of((house.tenant, session), n, now)));
        for sent in futures::future::join_all(sends).await {
            let Answer::Accepted { message, .. } = sent? else { anyhow::bail!("not accepted") };
            ids.push(message);
        }
    }
    Ok(ids)
}

/// One status of every recipient.
async fn report(house: &House, campaign: CampaignId, count: u64, status: Status) -> Result<()> {
    let node = &house.running.node;
    let (tenant, session): (_, SessionId) = (house.tenant, house.session.parse()?);
    let shard = node.shard_of_session(tenant, session);
    let starts: Vec<u64> = (0..count.div_ceil(REPORTS)).map(|n| n * REPORTS).collect();
    for group in starts.chunks(TOGETHER) {
        let at = Timestamp(node.clock().now_ms());
        let input = |start: &u64| {
            let of = |index: u64| StatusReport {
                of: Reference::Campaign(campaign, u32::try_from(index).unwrap_or(u32::MAX)),
                status,
                at,
                cause: None,
                provider_id: None,
                pricing: None,
                rest: None,
            };
            Input::Statuses {
                tenant,
                session,
                reports: (*start..count.min(start + REPORTS)).map(of).collect(),
            }
        };
        let told = group.iter().map(|start| store_paths::ask(&shard, input(start)));
        for answer in futures::future::join_all(told).await {
            answer?;
        }
    }
    Ok(())
}

/// Message ids of recipients all over the campaign.
async fn recipients_of(house: &House, campaign: CampaignId, count: u64) -> Result<Vec<MessageId>> {
    let shard = house.running.node.shard_of_session(house.tenant, house.session.parse()?);
    let (mut spread, mut ids) = (Spread(2), Vec::new());
    let mut parts = Vec::new();
    for part in 0..=part_of(u32::try_from(count - 1)?) {
        let row = shard.read(&[Key::Part(campaign, part)], |o| o.part(campaign, part)).await?;
        parts.push(row.context("a part is not in the session's shard")?);
    }
    for _ in 0..REQUESTS {
        let index = u32::try_from(spread.below(usize::try_from(count)?))?;
        let id = parts[usize::try_from(index / PART)?].message(index);
        ids.push(id.context("a recipient without an id")?);
    }
    Ok(ids)
}

/// The ids and the cursors of the first pages of a list.
async fn walked(house: &House, path: &str, pages: usize) -> Result<(Vec<String>, Vec<String>)> {
    let (mut ids, mut cursors, mut next) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..pages {
        let page = house.client.get(&format!("{path}{next}")).await?;
        for thing in page["data"].as_array().context("no page")? {
            ids.push(text(thing, "id")?);
        }
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&after={cursor}");
        cursors.push(cursor.to_owned());
    }
    Ok((ids, cursors))
}

/// Random reads of these paths from another process, so that only Kabar's processor time counts.
async fn measured(house: &House, name: &'static str, paths: &[String]) -> Result<Line> {
    ensure!(!paths.is_empty(), "nothing to read for {name}");
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(Spread(1).paths(paths).join("\n").as_bytes())?;
    let (authority, key) = (house.running.addr.to_string(), house.key.clone());
    let list = file.path().to_string_lossy().into_owned();
    let before = cpu::spent();
    let child = tokio::task::spawn_blocking(move || {
        Process::start(&["gets", &authority, &key, &CONNECTIONS.to_string(), &list])
            .map(|child| child.first_line.clone())
    });
    let told: Value = serde_json::from_str(&child.await??)?;
    let spent = cpu::spent() - before;
    ensure!(told["ok"] == json!(REQUESTS), "not every read of {name} was answered: {told}");
    let figure = |field: &str| told[field].as_f64().context("a figure is missing");
    Ok(Line {
        name,
        p50_ms: figure("p50_ms")?,
        p99_ms: figure("p99_ms")?,
        cpu_us: spent.as_secs_f64() * 1e6 / REQUESTS as f64,
    })
}

fn show(line: &Line) {
    println!("{:<24}{:>10.2}{:>10.2}{:>12.1}", line.name, line.p50_ms, line.p99_ms, line.cpu_us);
}

fn print(options: Options, messages: u64, ceiling: &Line, lines: &[Line]) {
    if !options.json {
        return;
    }
    let object = |line: &Line| {
        json!({
            "p50_ms": rounded(line.p50_ms),
            "p99_ms": rounded(line.p99_ms),
            "cpu_us": rounded(line.cpu_us),
        })
    };
    let routes: Map<_, _> = lines.iter().map(|line| (line.name.to_owned(), object(line))).collect();
    let ceiling = json!({"p50_ms": rounded(ceiling.p50_ms), "p99_ms": rounded(ceiling.p99_ms)});
    let all = json!({
        "messages": messages,
        "ceiling": ceiling,
        "routes": routes,
        "floor_p99_ms": FLOOR_P99_MS,
    });
    println!("{all}");
}
