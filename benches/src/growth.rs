//! What a message costs in processor time when few and when many are stored: the API path of `store`, measured at 10^4, 10^5
//! and so on. The three figures must be alike; a cost that grows with what is stored shows here. Not how long reads take then.

use crate::figures::{Goal, rounded};
use crate::store_paths::{self, Mark};
use crate::{Options, cpu, machine, store};
use anyhow::{Result, ensure};
use kabar_schema::seal::MasterKey;
use serde_json::json;

/// Messages stored in the end when nothing else is said, and at the first mark.
const MESSAGES: u64 = 1_000_000;
const FIRST: u64 = 10_000;
/// The first mark is over in a moment: it is measured on so many nodes, and the middle one counts.
const TURNS: usize = 5;
/// The dearest mark as a multiple of the cheapest.
const SPREAD: Goal = Goal { floor: 1.20, aim: 1.05 };

/// Runs it and prints it.
///
/// # Errors
/// It could not be measured, or the cost is not flat.
pub fn run(options: Options, messages: Option<u64>) -> Result<()> {
    let last = messages.unwrap_or_else(|| options.scaled(MESSAGES)).max(FIRST * 10);
    cpu::pin(0)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let marks = runtime.block_on(measured(last))?;
    println!(
        "growth: CPU us per message of the API path (engine, journal, projector, views), everything on core 0"
    );
    println!("{:>12}{:>14}{:>16}", "stored", "CPU us/msg", "journal B/msg");
    for mark in &marks {
        println!("{:>12}{:>14.1}{:>16.0}", mark.stored, mark.cpu_us, mark.journal_bytes);
    }
    let costs = || marks.iter().map(|mark| mark.cpu_us);
    let spread = costs().fold(0.0, f64::max) / costs().fold(f64::INFINITY, f64::min);
    println!("{}", SPREAD.beside("dearest / cheapest", spread));
    let holds = SPREAD.holds(spread);
    if options.json {
        let line = |m: &Mark| json!({"stored": m.stored, "cpu_us": rounded(m.cpu_us), "journal_bytes": rounded(m.journal_bytes)});
        let all = json!({
            "marks": marks.iter().map(line).collect::<Vec<_>>(),
            "spread": rounded(spread),
            "peak_mb": cpu::peak_mb(),
            "holds": holds,
            "machine": machine::machine(),
            "commit": machine::commit(),
        });
        println!("{all}");
    }
    ensure!(holds, "a message's cost grows with what is stored");
    Ok(())
}

async fn measured(last: u64) -> Result<Vec<Mark>> {
    let mut first = Vec::new();
    for _ in 0..TURNS {
        first.extend(on_a_node(vec![FIRST]).await?);
    }
    first.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    let mut marks: Vec<Mark> = first.into_iter().skip(TURNS / 2).take(1).collect();
    let further =
        std::iter::successors(Some(FIRST * 10), |mark| Some(mark * 10)).take_while(|mark| *mark <= last);
    marks.extend(on_a_node(further.collect()).await?);
    Ok(marks)
}

async fn on_a_node(marks: Vec<u64>) -> Result<Vec<Mark>> {
    let folder = tempfile::tempdir()?;
    let node = store::node(folder.path(), &MasterKey::random()).await?;
    let done = store_paths::growing(node.clone(), marks).await;
    node.shutdown().await;
    done
}
