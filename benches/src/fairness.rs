//! How long a small tenant waits while another tenant's campaign takes all there is: its sends in quiet first, then
//! from the launch of the campaign to its last answer. Kabar has one core; the small tenant with its provider is one
//! process, the campaign's simulated WhatsApp another, both on the other core.

use crate::child::Process;
use crate::figures::rounded;
use crate::house::{House, Neighbour};
use crate::{Options, cpu, machine, outbound};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;

/// Recipients of the campaign, and the numbers it goes out by, when nothing else is said.
const RECIPIENTS: u64 = 200_000;
const SENDERS: u64 = 4;
/// How long the small tenant sends before anything counts, and in quiet.
const WARM: Duration = Duration::from_secs(5);
const QUIET: Duration = Duration::from_secs(30);
/// What must hold: p99 beside the campaign, as a multiple of the quiet one, and in milliseconds.
const RATIO_MAX: f64 = 3.0;
const P99_MAX_MS: f64 = 40.0;
/// Kabar's core.
const CORE: usize = 0;

/// Runs both stages and prints them.
///
/// # Errors
/// It could not be measured, or the promise does not hold.
pub fn run(options: Options, recipients: Option<u64>, senders: Option<u64>) -> Result<()> {
    let recipients = recipients.unwrap_or_else(|| options.scaled(RECIPIENTS));
    let senders = senders.unwrap_or(SENDERS).clamp(1, 16);
    cpu::pin(CORE)?;
    let sandbox = Process::start(&["sandbox"])?;
    let small = Process::start(&["steady"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let measured = runtime.block_on(async {
        let mut house = House::open(&sandbox.first_line).await?;
        house.link(senders).await?;
        let measured = measure(&house, small, recipients).await;
        cpu::check_pinned(CORE)?;
        house.close().await;
        measured
    })?;
    measured.print(options, recipients, senders)
}

struct Measured {
    quiet: Value,
    loaded: Value,
    per_second: f64,
}

async fn measure(house: &House, small: Process, recipients: u64) -> Result<Measured> {
    let campaign = outbound::prepared(house, recipients).await?;
    house.running.node.flush().await;
    let neighbour = house.neighbour(&small.first_line).await?;
    let mut stage = Stage { small, order: order(house, &neighbour) };
    stage.during(tokio::time::sleep(WARM)).await?;
    let (quiet, ()) = stage.during(tokio::time::sleep(QUIET)).await?;
    let (loaded, sent) = stage.during(outbound::sent(house, &campaign, recipients)).await?;
    let (took, _) = sent?;
    Ok(Measured { quiet, loaded, per_second: recipients as f64 / took.as_secs_f64() })
}

/// What the small tenant's process has to know.
fn order(house: &House, neighbour: &Neighbour) -> String {
    let mut body = House::message();
    body["session"] = json!(neighbour.session);
    body["to"] = json!("+{to}");
    json!({"authority": house.running.addr.to_string(), "token": neighbour.key, "body": body.to_string()})
        .to_string()
}

struct Stage {
    small: Process,
    order: String,
}

impl Stage {
    /// The small tenant sends while `work` goes on; what it came to, and what the work gave.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<(Value, T)> {
        self.small.tell(&self.order)?;
        let done = work.await;
        self.small.tell("end")?;
        let line = tokio::task::block_in_place(|| self.small.hear())?;
        Ok((serde_json::from_str(&line)?, done))
    }
}

impl Measured {
    fn print(&self, options: Options, recipients: u64, senders: u64) -> Result<()> {
        let figure = |stage: &Value, name: &str| stage[name].as_f64().with_context(|| format!("no {name}"));
        println!(
            "{:<10}{:>8}{:>9}{:>9}{:>9}{:>9}{:>16}{:>16}",
            "", "sends", "refused", "p50 ms", "p99 ms", "max ms", "there p50 ms", "there p99 ms"
        );
        for (name, stage) in [("quiet", &self.quiet), ("loaded", &self.loaded)] {
            let cell = |field: &str| stage[field].to_string();
            println!(
                "{name:<10}{:>8}{:>9}{:>9}{:>9}{:>9}{:>16}{:>16}",
                cell("sends"),
                cell("refused"),
                cell("p50_ms"),
                cell("p99_ms"),
                cell("max_ms"),
                cell("delivered_p50_ms"),
                cell("delivered_p99_ms")
            );
        }
        let (quiet, loaded) = (figure(&self.quiet, "p99_ms")?, figure(&self.loaded, "p99_ms")?);
        let ratio = loaded / quiet;
        let refused = figure(&self.quiet, "refused")? + figure(&self.loaded, "refused")?;
        let holds = ratio <= RATIO_MAX && loaded <= P99_MAX_MS && refused == 0.0;
        println!(
            "p99 of the 202: {ratio:.2} times the quiet one beside {:.0} campaign messages per second over {senders} numbers",
            self.per_second
        );
        if options.json {
            let all = json!({
                "quiet": self.quiet,
                "loaded": self.loaded,
                "ratio": rounded(ratio),
                "delivered_ratio":
                    rounded(figure(&self.loaded, "delivered_p99_ms")? / figure(&self.quiet, "delivered_p99_ms")?),
                "campaign_per_second": rounded(self.per_second),
                "campaign_recipients": recipients,
                "campaign_senders": senders,
                "holds": holds,
                "machine": machine::machine(),
                "commit": machine::commit(),
            });
            println!("{all}");
        }
        ensure!(
            holds,
            "a small tenant's p99 must stay within {RATIO_MAX} times the quiet one and within {P99_MAX_MS} ms, nothing refused"
        );
        Ok(())
    }
}
