//! The node under proof: `kabar serve` as a process of its own, on one folder and one port for its whole life, killed
//! and started again. Its words go to a file, whose end is shown when it does not start.

use super::options::{Options, Plant};
use super::place::Place;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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
    /// Settings beside the usual ones.
    settings: Vec<(&'static str, String)>,
    /// What runs the binary, if it is not run directly.
    launcher: Vec<String>,
    /// Where in the log the words of this start begin.
    words_from: u64,
    pub(super) operator: String,
}

/// How it ended by itself.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    /// Its exit code; `None`: a signal.
    pub(super) code: Option<i32>,
    /// The last line it said.
    pub(super) line: String,
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
            settings: Vec::new(),
            launcher: Vec::new(),
            words_from: 0,
            operator: format!("operator-of-the-proof-{seed:016x}"),
        })
    }

    /// Another process for the same place, on a port of its own.
    pub(super) fn twin(&self) -> Result<Self> {
        let folder = self.folder.join("twin");
        std::fs::create_dir_all(&folder)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            binary: self.binary.clone(),
            folder,
            place: self.place.clone(),
            port,
            plant: self.plant,
            process: None,
            starts: 0,
            settings: self.settings.clone(),
            launcher: self.launcher.clone(),
            words_from: 0,
            operator: self.operator.clone(),
        })
    }

    pub(super) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("kabar.log")
    }

    /// A setting for all starts to come.
    pub(super) fn set(&mut self, key: &'static str, value: impl ToString) {
        self.settings.retain(|(known, _)| *known != key);
        self.settings.push((key, value.to_string()));
    }

    /// All starts to come are made by this program, with these words before the binary's.
    pub(super) fn launch_by(&mut self, words: &[&str]) {
        self.launcher = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Starts it and waits until it is ready.
    pub(super) async fn start(&mut self) -> Result<()> {
        match self.attempt().await? {
            Ok(()) => Ok(()),
            Err(ended) => bail!("it ended at its start ({:?}): {}", ended.code, self.last_words()),
        }
    }

    /// Starts it and waits until it is ready, or has refused to start.
    pub(super) async fn attempt(&mut self) -> Result<Result<(), Ended>> {
        match self.attempt_within(START).await? {
            Some(answer) => Ok(answer),
            None => bail!("it was not ready after {} s: {}", START.as_secs(), self.last_words()),
        }
    }

    /// The same; `None`: it is there and not ready after this time.
    pub(super) async fn attempt_within(&mut self, limit: Duration) -> Result<Option<Result<(), Ended>>> {
        self.spawn()?;
        let client = super::client::Client::new(&self.base(), &self.operator);
        let process = self.process.as_mut().context("it was just started")?;
        let ready = crate::wait::within(limit, async || match process.try_wait() {
            Ok(None) => {
                let told = client.get("/readyz").await;
                told.is_ok_and(|t| t.status == 200).then_some(Ok(None))
            }
            Ok(Some(status)) => Some(Ok(Some(status))),
            Err(error) => Some(Err(error)),
        });
        match ready.await {
            Some(Ok(None)) => Ok(Some(Ok(()))),
            Some(Ok(Some(status))) => {
                self.process = None;
                Ok(Some(Err(Ended { code: status.code(), line: self.last_line() })))
            }
            Some(Err(error)) => Err(error.into()),
            None => Ok(None),
        }
    }

    fn spawn(&mut self) -> Result<()> {
        let gap = SYNC_GAPS_MS[self.starts % SYNC_GAPS_MS.len()];
        self.starts += 1;
        let log = std::fs::File::options().create(true).append(true).open(self.log())?;
        self.words_from = log.metadata()?.len();
        let mut command = match self.launcher.split_first() {
            Some((program, words)) => {
                let mut command = Command::new(program);
                command.args(words).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
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
            .envs(self.settings.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        if let Some(plant) = self.plant.filter(|plant| plant.is_in_node()) {
            command.env("KABAR__TEST__PLANT", plant.name());
        }
        self.process = Some(command.spawn().with_context(|| self.binary.display().to_string())?);
        Ok(())
    }

    /// Waits until it ends by itself; `None` when it has not within this time.
    pub(super) async fn ended(&mut self, within: Duration) -> Result<Option<Ended>> {
        let process = self.process.as_mut().context("it does not run")?;
        let Ok(status) = tokio::time::timeout(within, process.wait()).await else { return Ok(None) };
        let code = status?.code();
        self.process = None;
        Ok(Some(Ended { code, line: self.last_line() }))
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.process.as_ref().and_then(Process::id).context("it does not run")?;
        kill(Pid::from_raw(i32::try_from(id)?), signal).with_context(|| format!("{signal} to {id}"))
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
        kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
        match tokio::time::timeout(END, process.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => bail!("it did not end in order ({}): {}", status?, self.last_words()),
            Err(_) => bail!("it did not end within {} s after SIGTERM: {}", END.as_secs(), self.last_words()),
        }
    }

    /// The last line of this start.
    pub(super) fn last_line(&self) -> String {
        let bytes = std::fs::read(self.log()).unwrap_or_default();
        let own =
            usize::try_from(self.words_from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
        String::from_utf8_lossy(own).lines().last().unwrap_or_default().to_owned()
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
