//! `kabar rotate-key`: a new master key, and every data key wrapped anew under it. The key files, the words, and that no
//! server runs meanwhile; the wrapping is the schema's.

use crate::config::{Config, StoreKind};
use crate::exit::Failure;
use crate::serve::{cql_options, master_key, master_key_file, next_key_file, write_secret};
use clap::Args;
use kabar_actors::{Clock, Terms};
use kabar_engine::time::Timestamp;
use kabar_schema::OpenError;
use kabar_schema::rotate::{Rotated, rotate};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store, holds_data};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How far it is, is said after so many data keys.
const SAID: u64 = 50;
/// A killed process' leases are free after less; who holds them longer is alive.
const LEASES: Duration = Duration::from_secs(20);

#[derive(Debug, Args)]
pub(super) struct RotateKeyArgs {
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Rotates, or goes on with a rotation that was broken off.
pub(super) async fn run(config: Config, args: RotateKeyArgs) -> Result<(), Failure> {
    let file = master_key_file(&config);
    match &file {
        None if config.store.master_key_before.is_none() => {
            let how = "put the new key into store.master_key and the present one into store.master_key_before first";
            return Err(Failure::usage(format!("the master key is in the configuration: {how}")));
        }
        Some(file) => begin(&config, file)?,
        None => {}
    }
    let to = master_key(&config).map_err(|error| Failure::usage(error.to_string()))?;
    let store = open(&config, to.clone()).await?;
    let rotated = alone(&store, &to).await;
    store.close().await;
    drop(store);
    let rotated = rotated?;
    let kept = file.as_deref().map(finish).transpose()?;
    tell(rotated, kept.as_deref(), args.json);
    Ok(())
}

/// The next key stands beside the present one before anything is wrapped with it.
fn begin(config: &Config, file: &Path) -> Result<(), Failure> {
    if config.store.kind == StoreKind::Embedded && !holds_data(&config.store.folder) {
        return Err(Failure::usage(format!("there is no store in {}", config.store.folder.display())));
    }
    if !file.exists() {
        return Err(Failure::usage(format!("there is no master key in {}", file.display())));
    }
    let next = next_key_file(file);
    if next.exists() {
        return Ok(());
    }
    let failed = |error: &dyn std::fmt::Display| Failure::failed(error.to_string());
    write_secret(&next, &MasterKey::random().to_hex()).map_err(|error| failed(&error))?;
    sync_folder(file).map_err(|error| failed(&error))
}

async fn open(config: &Config, master: MasterKey) -> Result<Store, Failure> {
    let opened = match config.store.kind {
        StoreKind::Embedded => {
            Store::embedded(EmbeddedOptions::new(config.store.folder.clone(), master)).await
        }
        StoreKind::Cql => Store::cql(cql_options(config, master)).await,
    };
    opened.map_err(|error| match error {
        OpenError::MasterKey | OpenError::Locked { .. } => Failure::usage(error.to_string()),
        other => Failure::failed(other.to_string()),
    })
}

/// Nobody else writes data keys meanwhile: a folder is locked, a cluster's leases are taken.
async fn alone(store: &Store, to: &MasterKey) -> Result<Rotated, Failure> {
    let terms = if store.leases.exclusive() {
        None
    } else {
        let terms = Terms::new(Arc::clone(&store.leases), Clock::system());
        let taken = tokio::time::timeout(LEASES, terms.all()).await;
        match taken {
            Ok(Ok(_)) => Some(terms),
            Ok(Err(error)) => return Err(Failure::failed(error.to_string())),
            Err(_) => {
                terms.release().await;
                return Err(Failure::usage("a server runs on this keyspace: stop it first"));
            }
        }
    };
    let said = |rotated: Rotated| {
        let done = rotated.wrapped + rotated.before;
        if done.is_multiple_of(SAID) {
            eprintln!("kabar: {done} data keys");
        }
    };
    let rotated = rotate(&*store.records, to, &said).await;
    if let Some(terms) = terms {
        terms.release().await;
    }
    rotated.map_err(|error| Failure::failed(error.to_string()))
}

/// The next key takes the present one's place; that one is kept, because earlier backups need it. In this order a crash
/// between two steps leaves both keys or the new one alone, and everything is under the new one by now.
fn finish(file: &Path) -> Result<PathBuf, Failure> {
    let kept = file.with_extension(format!("before-{}", Timestamp(Clock::system().now_ms()).0 / 1_000));
    let done = std::fs::hard_link(file, &kept)
        .and_then(|()| std::fs::rename(next_key_file(file), file))
        .and_then(|()| sync_folder(file));
    done.map(|()| kept).map_err(|error| {
        Failure::failed(format!("cannot put the new key into {}: {error}; run this again", file.display()))
    })
}

/// Names are durable when their folder is.
fn sync_folder(file: &Path) -> std::io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

fn tell(Rotated { wrapped, before }: Rotated, kept: Option<&Path>, as_json: bool) {
    if as_json {
        let kept = kept.map(|file| file.display().to_string());
        println!(
            "{}",
            json!({"rotated": true, "wrapped": wrapped, "wrapped_before": before, "old_key": kept})
        );
        return;
    }
    let again = if before > 0 { format!(", {before} were already") } else { String::new() };
    println!("{wrapped} data keys are under the new master key{again}.");
    match kept {
        Some(file) => println!(
            "The old key opens nothing here any more. It is kept in {}: backups taken before need it. When none is \
             needed any more, destroy it. Take a backup now.",
            file.display()
        ),
        None => println!("Now take store.master_key_before out of the configuration."),
    }
}
