//! `kabar backup` and `kabar restore`: the store's folder, copied while its server runs, and brought back. The words,
//! the bar and the keys; how it is done safely is the schema's.

use crate::config::Config;
use crate::exit::Failure;
use crate::serve::{MASTER_KEY, OPERATOR_KEY, master_key_file, next_key_file, operator_key_file};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kabar_actors::Clock;
use kabar_engine::time::Timestamp;
use kabar_schema::OpenError;
use kabar_schema::backup::{BackupError, Manifest, Plan, Step, Unpacked, Watch, verify};
use kabar_schema::seal::MasterKey;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where it goes: a folder that is empty or not there yet. It is there only when it is whole.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Puts the key files into it: whoever has the backup can then read everything.
    #[arg(long)]
    with_key: bool,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup; it is only read.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// Where the store goes: a folder that is empty or not there yet. It is there only when it is whole.
    #[arg(long, value_name = "FOLDER", required_unless_present = "check", conflicts_with = "check")]
    to: Option<PathBuf>,
    /// Only compares every byte of the backup with its manifest.
    #[arg(long)]
    check: bool,
    /// The master key it was written with; otherwise the backup's own, then the configured one.
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    master_key_file: Option<PathBuf>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// The bar, and how long it took.
struct Bar {
    bar: ProgressBar,
    begun: Instant,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, begun: Instant::now() }
    }

    fn step(&self, step: Step) {
        match step {
            Step::Ahead(bytes) => self.bar.set_length(bytes),
            Step::Moved(bytes) => self.bar.inc(bytes),
            Step::Again => {
                self.bar.reset();
                eprintln!("kabar: the server dropped an old file meanwhile: the backup begins anew");
            }
        }
    }

    /// Seconds it took.
    fn end(&self) -> f64 {
        self.bar.finish_and_clear();
        self.begun.elapsed().as_secs_f64()
    }
}

/// What the caller can mend ends with another code.
fn failure(error: BackupError) -> Failure {
    let sentence = error.to_string();
    match error {
        BackupError::Occupied { .. }
        | BackupError::NoStore { .. }
        | BackupError::NoBackup { .. }
        | BackupError::Newer { .. }
        | BackupError::Store(OpenError::MasterKey) => Failure::usage(sentence),
        _ => Failure::failed(sentence),
    }
}

/// Takes a backup; a server may run.
pub(super) fn backup(config: &Config, args: BackupArgs) -> Result<(), Failure> {
    let key = master_key_file(config);
    if key.as_deref().is_some_and(|file| next_key_file(file).exists()) {
        return Err(Failure::usage("the master key is being replaced: finish `kabar rotate-key` first"));
    }
    let keys = if args.with_key { keys(config, key.as_deref())? } else { Vec::new() };
    let plan = Plan {
        folder: config.store.folder.clone(),
        to: args.to.clone(),
        keys,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began: Timestamp(Clock::system().now_ms()),
    };
    let bar = Bar::new();
    let manifest = plan.run(Watch(&|step| bar.step(step))).map_err(failure)?;
    let seconds = bar.end();
    let key = key.map_or_else(|| "the configuration".to_owned(), |file| file.display().to_string());
    if args.json {
        let mut told = told(&manifest, seconds);
        told["backup"] = json!(args.to);
        told["master_key"] = json!(key);
        println!("{told}");
        return Ok(());
    }
    println!("Backup in {}: {}", args.to.display(), shown(&manifest, seconds));
    if manifest.with_key {
        println!("The master key is in it: whoever has this folder can read everything.");
    } else {
        println!(
            "The master key is NOT in it. It is in {key}: keep a copy of it elsewhere, without it the backup shows \
             nothing."
        );
    }
    Ok(())
}

/// The key files, by their names in a folder.
fn keys(config: &Config, master: Option<&Path>) -> Result<Vec<(String, PathBuf)>, Failure> {
    let master = master.ok_or_else(|| {
        Failure::usage("--with-key: the master key is in the configuration, not in a file: keep it yourself")
    })?;
    let mut keys = vec![(MASTER_KEY.to_owned(), master.to_owned())];
    let operator = operator_key_file(config).map_err(|error| Failure::usage(error.to_string()))?;
    if let Some(operator) = operator.filter(|file| file.exists()) {
        keys.push((OPERATOR_KEY.to_owned(), operator));
    }
    Ok(keys)
}

/// Brings a backup back, or only checks it.
pub(super) async fn restore(config: Config, args: RestoreArgs) -> Result<(), Failure> {
    let bar = Bar::new();
    let watch = |step| bar.step(step);
    let Some(to) = args.to else {
        let manifest = verify(&args.from, Watch(&watch)).map_err(failure)?;
        let seconds = bar.end();
        if args.json {
            println!("{}", told(&manifest, seconds));
        } else {
            println!("{} is whole: {}", args.from.display(), shown(&manifest, seconds));
        }
        return Ok(());
    };
    let key = find_key(&config, &args.from, args.master_key_file)?;
    let unpacked = Unpacked::copy(&args.from, &to, Watch(&watch)).map_err(failure)?;
    let proved = match key {
        Some(master) => unpacked.prove(master).await.map(|()| true).map_err(failure)?,
        None => false,
    };
    let manifest = unpacked.finish().map_err(failure)?;
    let seconds = bar.end();
    if args.json {
        let mut told = told(&manifest, seconds);
        told["folder"] = json!(to);
        told["opened"] = json!(proved);
        println!("{told}");
        return Ok(());
    }
    println!("Restored to {}: {}", to.display(), shown(&manifest, seconds));
    if proved {
        println!("It was opened once: every shard stands where it stood.");
    } else {
        println!(
            "Every byte was compared, but it was not opened: no master key was found (--master-key-file)."
        );
    }
    if !manifest.with_key {
        let place = to.join(MASTER_KEY);
        println!("Before it is started: put the master key into {}, or configure it.", place.display());
    }
    println!(
        "It knows nothing of what happened after {}. What was open then ({} messages, and campaigns that ran) will \
         be sent; if the original sent it afterwards, it goes out a second time. Never run both.",
        manifest.began, manifest.open
    );
    Ok(())
}

/// The named file, the backup's own, or what is configured; `None`: nowhere.
fn find_key(config: &Config, from: &Path, named: Option<PathBuf>) -> Result<Option<MasterKey>, Failure> {
    let within = Some(from.join(MASTER_KEY)).filter(|file| file.exists());
    let file = match (named.or(within), &config.store.master_key) {
        (Some(file), _) => file,
        (None, Some(hex)) => return Ok(MasterKey::from_hex(hex)),
        (None, None) => match master_key_file(config) {
            Some(file) if file.exists() => file,
            _ => return Ok(None),
        },
    };
    MasterKey::from_file(&file).map(Some).map_err(|error| Failure::usage(error.to_string()))
}

fn told(manifest: &Manifest, seconds: f64) -> serde_json::Value {
    json!({
        "began": manifest.began,
        "kabar": manifest.kabar,
        "bytes": manifest.bytes(),
        "files": manifest.files.len(),
        "seconds": seconds,
        "messages": manifest.messages,
        "open": manifest.open,
        "behind": manifest.behind,
        "shards": manifest.shards,
        "with_key": manifest.with_key,
    })
}

fn shown(manifest: &Manifest, seconds: f64) -> String {
    let megabytes = manifest.bytes() as f64 / 1e6;
    format!(
        "{} files, {megabytes:.1} MB in {seconds:.1} s ({:.0} MB/s); {} messages and {} later entries in {} shards, \
         as of {}",
        manifest.files.len(),
        megabytes / seconds.max(0.001),
        manifest.messages,
        manifest.behind,
        manifest.shards.len(),
        manifest.began,
    )
}
