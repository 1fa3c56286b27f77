//! Measurements of Kabar: every figure beside the ceiling measured in the same run. Not tests: nothing here
//! fails because a machine is slow.
//!
//! `store` prints what a message costs in the store; `growth` whether that stays when much is stored; `outbound` how many leave
//! per second on one core; `inbound` how many webhooks are taken there; `overload` what ten times too much load costs in memory, `rss` what nothing and a session cost; `fairness` how long
//! a small tenant waits beside a large campaign; `restart` how long a full outbox takes to go on; `reads` how long a read takes when
//! much is stored; `import` what a row of a contact file costs; `actors` what an actor costs; `all` runs all of them.

mod actors;
mod all;
mod callers;
mod child;
mod cpu;
mod fairness;
mod figures;
mod growth;
mod hooks;
mod house;
mod import;
mod inbound;
mod load;
mod machine;
mod outbound;
mod overload;
mod pacing;
mod raw;
mod reads;
mod restart;
mod rss;
mod steady;
mod store;
mod store_cql;
mod store_paths;
mod stub;

use anyhow::{Context, Result, bail};

/// The one of the binary `kabar`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: kabar-benches <all|actors|rss|growth|restart|store|outbound|inbound|overload|fairness|pacing|reads|import> [--json] [--quick] [--messages N] [--rows N]
                     [--recipients N] [--senders N]

  all        every program in turn, and one JSON object of all figures; ends with 1 when one of them does
  actors     spawn, bytes, tell, ask and restart of an actor in tokio, ractor, actix and Kabar's layer
  rss        memory of an idle server (the real binary), of a resident and of a passivated session
  growth     CPU microseconds per message at 10^4, 10^5 … stored messages (--messages, 1,000,000); ends with 1 above 1.2 times
  restart    a start with 1,000,000 messages pending (--messages), until the provider has the first one; ends with 1 above 10 s
  store      CPU microseconds per message of the API, inbound and campaign paths at 10^5 and 10^6 stored,
             acknowledgement at 15,000/s, restart with 100,000 pending
  store --cql  the same paths on one Apache Cassandra node that is started for it (Java and Maven are needed): CPU of
             client and server, acknowledgements, frames, and the bare driver beside them
  outbound   a bare HTTP client loop, API sends and campaign sends with three webhooks for each message, everything of Kabar on
             one core, 60 s each and until all is written
  outbound --api  the API sends alone, for a profiler; --reports 0: without webhooks
  inbound    signed webhooks of one message or one status each, answered when durable, beside a bare axum server that
             reads and verifies; ends with 1 below 4,000 a second or with a p99 of 250 ms or more
  overload   memory under ten times the load the edge takes up, beside the load it does take up
  fairness   a small tenant's sends in quiet, and while another tenant's campaign runs (--recipients, 200,000; --senders, 4);
             ends with 1 when its p99 is more than 3 times the quiet one, or more than 40 ms
  pacing     how near campaigns come to 80 and 1,000 messages a second, and single messages to the limit of a pair, and
             what a provider that enforces all three throttles; ends with 1 below 97 % or above 1 %
  reads      p50, p99 and CPU of every kind of read over HTTP when N messages are stored (--messages, 1,000,000)
  import     rows per second, CPU per row and memory of a contact file through the importer (--rows, 1,000,000)
  --noisy    `outbound` measures although others use more than a tenth of the processor
  --quick    a tenth of the load, to see that it runs
  --json     one JSON object as the last line of standard output";

fn main() -> Result<()> {
    // As the binary does.
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_thp_disable(true)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| arguments.iter().any(|a| a == name);
    let options = Options { json: flag("--json"), quick: flag("--quick"), noisy: flag("--noisy") };
    match arguments.first().map(String::as_str) {
        Some("all") => all::run(options),
        Some("actors") => actors::run(options),
        Some("rss") => rss::run(options),
        Some("growth") => growth::run(options, number(&arguments, "--messages")?),
        Some("restart") => restart::run(options, number(&arguments, "--messages")?),
        Some("store") if flag("--cql") => store_cql::run(options),
        Some("store") => store::run(options),
        Some("outbound") if flag("--api") => {
            outbound::api_alone(options, number(&arguments, "--reports")?.unwrap_or(3))
        }
        Some("outbound") => outbound::run(options, number(&arguments, "--recipients")?),
        Some("inbound") => inbound::run(options),
        Some("overload") => overload::run(options),
        Some("fairness") => {
            fairness::run(options, number(&arguments, "--recipients")?, number(&arguments, "--senders")?)
        }
        Some("reads") => reads::run(options, number(&arguments, "--messages")?),
        Some("import") => import::run(options, number(&arguments, "--rows")?),
        Some("pacing") => pacing::run(options),
        Some("child") => child::run(&arguments[1..]),
        _ => bail!("{USAGE}"),
    }
}

/// The number behind a word, when it is there.
fn number(arguments: &[String], word: &str) -> Result<Option<u64>> {
    let Some(at) = arguments.iter().position(|a| a == word) else { return Ok(None) };
    let text = arguments.get(at + 1).with_context(|| format!("{word} wants a number"))?;
    Ok(Some(text.replace(['_', ','], "").parse().with_context(|| format!("{word} wants a number"))?))
}

/// How a bench is run.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Print one JSON object last.
    pub json: bool,
    /// A tenth of the load.
    pub quick: bool,
    /// Measure although others use the processor.
    pub noisy: bool,
}

impl Options {
    /// The load, cut to a tenth when only a look is wanted.
    #[must_use]
    pub fn scaled(self, load: u64) -> u64 {
        if self.quick { load / 10 } else { load }
    }
}
