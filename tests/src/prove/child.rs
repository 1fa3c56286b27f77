//! The node under proof: `kabar serve` as a process of its own, on one folder and one port for its whole life, killed
//! and started again. Its words go to a file, whose end is shown when it does not start.

use super::options::{Options, Plant};
use super::place::Place;
use anyhow::{Context, Result, bail};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child as Process, Command};

/// Longest start, with everything there is to replay.
const START: Duration = Duration::from_secs(40);
/// Longest orderly end.
const END: Duration = Duration::from_secs(40);
/// Lines of its log that are shown.
const TAIL: usize = 8;
/// How long (ms) the journal waits for company before it writes: the default, and ten times as long at every second
/// start, so that a kill finds more in memory that a mistake would lose.
const SYNC_GAPS_MS: [u32; 2] = [2, 20];
/// How long the node waits for proof of an ambiguous send.
pub(super) const PROOF_MS: u64 = 3_000;

/// The node's place and its secrets.
pub(super) struct Child {
    binary: PathBuf,
    folder: PathBuf,
    pub(super) place: Place,
    port: u16,
    plant: Option<Plant>,
    process: Option<Process>,
    starts: usize,
    pub(super) operator: String,
}

impl Child {
    /// A node that has never run, in `folder`, on a port that is free now.
    pub(super) fn new(folder: &Path, options: &Options) -> Result<Self> {
        let (seed, plant) = (options.seed, options.plant);
        // A run of the same seed on the same cluster begins anew.
        let keyspace = || format!("kabar_proof_{seed:x}_{:08x}", rand::random::<u32>());
        let place = Place {
            folder: folder.join("store"),
            cql: options.cql.clone().map(|node| (node, keyspace())),
            master: format!("{seed:064x}"),
        };
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            binary: binary()?,
            folder: folder.to_owned(),
            place,
            port,
            plant,
            process: None,
            starts: 0,
            operator: format!("operator-of-the-proof-{seed:016x}"),
        })
    }

    pub(super) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("kabar.log")
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&mut self) -> Result<()> {
        let gap = SYNC_GAPS_MS[self.starts % SYNC_GAPS_MS.len()];
        self.starts += 1;
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command
            .arg("serve")
            .env_clear()
            .env("KABAR__SERVER__LISTEN", format!("127.0.0.1:{}", self.port))
            .envs(self.place.environment())
            .env("KABAR__STORE__SYNC_GAP_MS", gap.to_string())
            .env("KABAR__AUTH__OPERATOR_KEY", &self.operator)
            .env("KABAR__ENGINE__PROOF_MS", PROOF_MS.to_string())
            .env("KABAR__LOG__FILTER", "warn")
            .env("KABAR__OUTBOUND__ALLOW_NETWORKS", "127.0.0.0/8")
            // A proof asks as fast as it can.
            .env("KABAR__LIMITS__API_PER_SECOND", "0")
            .env("KABAR__LIMITS__SEND_PER_SECOND", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        if let Some(plant) = self.plant {
            command.env("KABAR__TEST__PLANT", plant.name());
        }
        self.process = Some(command.spawn().with_context(|| self.binary.display().to_string())?);
        let client = super::client::Client::new(&self.base(), &self.operator);
        let process = self.process.as_mut().context("it was just started")?;
        let ready = crate::wait::within(START, async || match process.try_wait() {
            Ok(None) => {
                let told = client.get("/readyz").await;
                told.is_ok_and(|t| t.status == 200).then_some(Ok(()))
            }
            Ok(Some(status)) => Some(Err(format!("it ended at its start ({status})"))),
            Err(error) => Some(Err(error.to_string())),
        });
        match ready.await {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => bail!("{why}: {}", self.last_words()),
            None => bail!("it was not ready after {} s: {}", START.as_secs(), self.last_words()),
        }
    }

    /// SIGKILL; gone when this returns.
    pub(super) async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        if let Some(status) = process.try_wait()? {
            bail!("it ended by itself ({status}): {}", self.last_words());
        }
        process.kill().await.context("it could not be killed")
    }

    /// SIGTERM, and the orderly end that must follow.
    pub(super) async fn end(&mut self) -> Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        let id = process.id().context("it ended by itself")?;
        Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
        match tokio::time::timeout(END, process.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => bail!("it did not end in order ({}): {}", status?, self.last_words()),
            Err(_) => bail!("it did not end within {} s after SIGTERM: {}", END.as_secs(), self.last_words()),
        }
    }

    /// The end of what it said.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join(" | ")
    }
}

/// The product's binary, built beside this one.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let binary = own.with_file_name("kabar");
    if binary.is_file() {
        return Ok(binary);
    }
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    bail!("there is no `kabar` beside `prove`: run `cargo build{profile} -p kabar-api` first")
}
