//! Every program in turn, each a process of its own, and one JSON object of all their figures at the end. Not a program that
//! measures anything itself.

use crate::{Options, machine};
use anyhow::{Result, ensure};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// In this order; the longest come last. `outbound` brings `inbound` and `rss`.
const PROGRAMS: [&str; 10] =
    ["outbound", "actors", "restart", "growth", "store", "import", "pacing", "overload", "reads", "fairness"];
/// What stands in its object and is a figure of its own here.
const BROUGHT: [&str; 2] = ["inbound", "rss"];

/// Runs them and prints what they came to.
///
/// # Errors
/// One of them could not measure, or does not hold; the others have run all the same.
pub fn run(options: Options) -> Result<()> {
    let mut figures = Map::new();
    let mut failed = Vec::new();
    for program in PROGRAMS {
        println!("== {program}");
        let began = Instant::now();
        let (mut told, well) = one(program, options)?;
        for brought in BROUGHT {
            if let Some(figure) = told.as_object_mut().and_then(|told| told.remove(brought)) {
                figures.insert(brought.to_owned(), figure);
            }
        }
        println!(
            "== {program}: {:.0} s{}",
            began.elapsed().as_secs_f64(),
            if well { "" } else { ", FAILED" }
        );
        if !well {
            failed.push(program);
        }
        figures.insert(program.to_owned(), told);
    }
    figures.insert("failed".to_owned(), json!(failed));
    figures.insert("quick".to_owned(), json!(options.quick));
    figures.insert("machine".to_owned(), json!(machine::machine()));
    figures.insert("commit".to_owned(), json!(machine::commit()));
    println!("{}", Value::Object(figures));
    ensure!(failed.is_empty(), "of the programs {} did not hold", failed.join(", "));
    Ok(())
}

/// One program: shows what it prints, keeps its object, and whether it ended well.
pub fn one(program: &str, options: Options) -> Result<(Value, bool)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([program, "--json"]).args(options.quick.then_some("--quick"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut told = Value::Null;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            match serde_json::from_str(&line) {
                Ok(object @ Value::Object(_)) => told = object,
                _ => println!("{line}"),
            }
        }
    }
    let well = child.wait()?.success();
    Ok((told, well))
}
