//! How near Kabar's pace comes to what a number may: campaigns against a simulated WhatsApp that enforces 80 and 1,000 messages a
//! second, and single messages against one that enforces the limit of a pair (45 at once, then one every six seconds). What
//! came when, and what was refused, is read from its ledger. No figure of speed: time is what is waited for.

use crate::figures::rounded;
use crate::house::{House, text};
use crate::{Options, child, machine};
use anyhow::{Result, ensure};
use kabar_sandbox::{Behaviour, LedgerRow, NumberConfig, Outcome, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::time::Duration;

/// How long the campaigns take at the allowed rate (s).
const SECONDS: u64 = 60;
/// Messages a second that the numbers may send.
const RATES: [u32; 2] = [80, 1_000];
/// People of the pair limit, and messages each of them gets.
const PAIRS: u64 = 20;
const EACH: u64 = 60;
/// What a pair may have at once, and how often after that (s).
const BURST: u64 = 45;
const EVERY: f64 = 6.0;
/// What must hold: the share of the allowed rate, and of throttled answers among all.
const REACHED_MIN: f64 = 0.97;
const THROTTLED_MAX: f64 = 0.01;
/// Codes of the two limits.
const THROTTLED: [u32; 2] = [130_429, 131_056];

/// What one limit came to.
struct Figure {
    name: String,
    accepted: usize,
    throttled: usize,
    seconds: f64,
    reached: f64,
}

/// Runs everything at once and prints it.
///
/// # Errors
/// It could not be measured, or the promise does not hold.
pub fn run(options: Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(measured(options))?;
    print(&figures, options)
}

async fn measured(options: Options) -> Result<Vec<Figure>> {
    let rates = RATES.into_iter().chain([1_000]);
    let number = |(nth, rate)| NumberConfig {
        phone_number_id: child::number(nth),
        display_phone_number: format!("1555020{nth:04}"),
        messages_per_second: rate,
        ..NumberConfig::default()
    };
    let behaviour = Behaviour { throughput_limit: true, pair_limit: true, ..Behaviour::quiet() };
    let sandbox = Sandbox::start(SandboxConfig {
        numbers: (1..).zip(rates).map(number).collect(),
        access_tokens: vec![child::TOKEN.to_owned()],
        behaviour,
        ..SandboxConfig::default()
    })
    .await?;
    let house = House::open(&sandbox.base_url()).await?;
    let seconds = options.scaled(SECONDS).max(10);
    let mut wanted = 0;
    for (nth, rate) in (1..).zip(RATES) {
        let count = u64::from(rate) * seconds;
        campaign(&house, (nth, rate), count).await?;
        wanted += count;
    }
    let (pairs, each) = (PAIRS, if options.quick { BURST + 5 } else { EACH });
    single(&house, 3, pairs, each).await?;
    wanted += pairs * each;
    let mut turn = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..2_000 {
        turn.tick().await;
        if sandbox.stats().accepted >= wanted {
            break;
        }
    }
    let ledger = sandbox.ledger();
    let mut figures: Vec<Figure> =
        (1..).zip(RATES).map(|(nth, rate)| throughput(&ledger, nth, rate)).collect();
    figures.push(pair(&ledger, 3, each));
    let accepted: usize = figures.iter().map(|figure| figure.accepted).sum();
    ensure!(accepted as u64 == wanted, "{accepted} of {wanted} messages arrived");
    house.close().await;
    sandbox.stop().await;
    Ok(figures)
}

/// A campaign over one number at its rate.
async fn campaign(house: &House, (nth, rate): (u64, u32), count: u64) -> Result<()> {
    let session = house.paced(nth, rate, true).await?;
    let rows = (0..count).map(|n| Ok(format!("+62812{nth}{n:07}\n").into()));
    let head = std::iter::once(Ok::<_, std::io::Error>("phone\n".into()));
    let body = futures::stream::iter(head.chain(rows).collect::<Vec<_>>());
    let import = house.client.stream(&format!("/v1/contacts/import?name=n{nth}"), "text/csv", body).await?;
    ensure!(import["imported"] == json!(count), "the import: {import}");
    let campaign = json!({"name": format!("{rate} a second"), "senders": [session],
        "audience": {"list": text(&import, "id")?}, "message": House::message()});
    let id = text(&house.client.post("/v1/campaigns", &campaign).await?, "id")?;
    house.client.post(&format!("/v1/campaigns/{id}/launch"), &json!({})).await?;
    Ok(())
}

/// Single messages to a few people, all at once.
async fn single(house: &House, nth: u64, pairs: u64, each: u64) -> Result<()> {
    let session = house.paced(nth, 1_000, true).await?;
    for _ in 0..each {
        for to in 0..pairs {
            let mut message = House::message();
            message["session"] = json!(session);
            message["to"] = json!(format!("+628139{to:07}"));
            house.client.post("/v1/messages", &message).await?;
        }
    }
    Ok(())
}

/// The accepted rows of a number, and how many were throttled.
fn rows(ledger: &[LedgerRow], nth: u64) -> (Vec<&LedgerRow>, usize) {
    let of: Vec<_> = ledger.iter().filter(|row| row.phone_number_id == child::number(nth)).collect();
    let throttled = of.iter().filter(|row| row.code.is_some_and(|code| THROTTLED.contains(&code))).count();
    (of.into_iter().filter(|row| row.outcome == Outcome::Accepted).collect(), throttled)
}

fn span(rows: &[&LedgerRow]) -> f64 {
    let first = rows.iter().map(|row| row.at_ms).min().unwrap_or_default();
    let last = rows.iter().map(|row| row.at_ms).max().unwrap_or_default();
    (last - first) as f64 / 1_000.0
}

fn throughput(ledger: &[LedgerRow], nth: u64, rate: u32) -> Figure {
    let (accepted, throttled) = rows(ledger, nth);
    let seconds = span(&accepted);
    let reached = accepted.len().saturating_sub(1) as f64 / seconds / f64::from(rate);
    Figure { name: format!("{rate} a second"), accepted: accepted.len(), throttled, seconds, reached }
}

/// The slowest pair against the time that its messages need at least.
fn pair(ledger: &[LedgerRow], nth: u64, each: u64) -> Figure {
    let (accepted, throttled) = rows(ledger, nth);
    let mut people: Vec<&str> = accepted.iter().map(|row| row.to.as_str()).collect();
    people.sort_unstable();
    people.dedup();
    let of = |who: &str| accepted.iter().filter(|row| row.to == who).copied().collect::<Vec<_>>();
    let slowest = people.iter().map(|who| span(&of(who))).fold(0.0, f64::max);
    let least = (each - BURST) as f64 * EVERY;
    Figure {
        name: "one pair".to_owned(),
        accepted: accepted.len(),
        throttled,
        seconds: slowest,
        reached: least / slowest,
    }
}

fn print(figures: &[Figure], options: Options) -> Result<()> {
    println!(
        "{:<16}{:>10}{:>10}{:>10}{:>22}",
        "limit", "accepted", "throttled", "seconds", "of the allowed rate"
    );
    let share = |figure: &Figure| figure.throttled as f64 / (figure.accepted + figure.throttled) as f64;
    for figure in figures {
        let Figure { name, accepted, throttled, seconds, reached } = figure;
        println!("{name:<16}{accepted:>10}{throttled:>10}{seconds:>10.1}{:>20.1} %", reached * 100.0);
    }
    let holds = figures.iter().all(|f| f.reached >= REACHED_MIN && share(f) <= THROTTLED_MAX);
    if options.json {
        let line = |figure: &Figure| {
            json!({"limit": figure.name, "accepted": figure.accepted, "throttled": figure.throttled,
                "throttled_share": rounded(share(figure)), "seconds": rounded(figure.seconds), "reached": rounded(figure.reached)})
        };
        let lines: Vec<Value> = figures.iter().map(line).collect();
        println!(
            "{}",
            json!({"limits": lines, "holds": holds, "machine": machine::machine(), "commit": machine::commit()})
        );
    }
    ensure!(
        holds,
        "every limit must be reached to {} % with at most {} % of the answers throttled",
        REACHED_MIN * 100.0,
        THROTTLED_MAX * 100.0
    );
    Ok(())
}
