//! `kabar migrate-store`: everything of an embedded folder into a cluster's keyspace. The words and the bar; how it is
//! moved and compared is the schema's.

use crate::config::Config;
use crate::exit::Failure;
use crate::serve::{cql_options, master_key};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use kabar_schema::OpenError;
use kabar_schema::store::{EmbeddedOptions, Store};
use kabar_schema::transfer::{EmbeddedSource, Progress, Report, TransferError, transfer};
use serde_json::json;
use std::ops::ControlFlow;
use std::time::Instant;

#[derive(Debug, Args)]
pub(super) struct MigrateStoreArgs {
    /// Where from.
    #[arg(long)]
    from: From,
    /// Where to.
    #[arg(long)]
    to: To,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// The folder `store.folder`; no server may run on it meanwhile.
    Embedded,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// The keyspace `cql.keyspace`, empty, or with a part of the same move in it.
    Cql,
}

fn opening(side: &str, error: &OpenError) -> Failure {
    let sentence = format!("{side}: {error}");
    match error {
        OpenError::MasterKey => Failure::usage(sentence),
        _ => Failure::failed(sentence),
    }
}

/// What the caller can mend ends with another code.
fn failure(error: &TransferError) -> Failure {
    match error {
        TransferError::NotEmpty { .. } | TransferError::Another => Failure::usage(error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}

/// Moves, or goes on with a move that was broken off, and tells what it came to.
pub(super) async fn run(config: Config, args: MigrateStoreArgs) -> Result<(), Failure> {
    let (From::Embedded, To::Cql) = (args.from, args.to);
    let folder = &config.store.folder;
    let master = master_key(&config).map_err(|error| Failure::usage(error.to_string()))?;
    let source = EmbeddedSource::open(EmbeddedOptions::new(folder.clone(), master.clone())).await;
    let source = source.map_err(|error| opening("the folder", &error))?;
    let options = cql_options(&config, master);
    let keyspace = options.keyspace.clone();
    let target = Store::cql(options).await.map_err(|error| opening("the cluster", &error))?;
    let begun = Instant::now();
    let bar = ProgressBar::new(0);
    let style = "{prefix:9} {bar:30} {pos}/{len} {per_sec} {elapsed}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let listener = |Progress { phase, done, total }| {
        if bar.prefix() != phase.name() {
            bar.reset();
            bar.set_prefix(phase.name());
        }
        bar.set_length(total.max(done));
        bar.set_position(done);
        ControlFlow::Continue(())
    };
    let moved = transfer(&source, &target, &listener).await;
    bar.finish_and_clear();
    source.close().await;
    target.close().await;
    let report = moved.map_err(|error| failure(&error))?;
    let seconds = begun.elapsed().as_secs_f64();
    if args.json {
        println!("{}", told(&report, seconds));
        return Ok(());
    }
    for line in report.lines.iter().filter(|line| line.sum.rows > 0) {
        println!(
            "{:>20} {:>12} rows, the same on both sides ({:032x})",
            line.kind, line.sum.rows, line.sum.digest
        );
    }
    let again = if report.again { ", finished before" } else { "" };
    println!(
        "Moved {} to the keyspace {keyspace} in {seconds:.1} s{again}. Now set store.kind = \"cql\", with the same master \
         key. The folder is as it was: never start a server on it again, its open messages would go out twice.",
        folder.display()
    );
    Ok(())
}

fn told(report: &Report, seconds: f64) -> serde_json::Value {
    let kinds: Vec<_> = report
        .lines
        .iter()
        .map(|line| json!({"kind": line.kind, "rows": line.sum.rows, "digest": format!("{:032x}", line.sum.digest)}))
        .collect();
    json!({"moved": true, "again": report.again, "seconds": seconds, "kinds": kinds})
}
