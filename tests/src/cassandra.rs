//! An Apache Cassandra of the tests' own: `deploy/cassandra/run` as a process, killed, started again, frozen and thawed.
//! Not a client: it only says whether the server answers. Not ScyllaDB, on which nothing here was ever run.

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

/// `host:port` of a running server that tests may use instead of starting one.
pub const RUNNING: &str = "KABAR_TEST_CQL";

/// Longest start, the first fetch of the jars included. The script itself gives up 120 s after the JVM began.
const START: Duration = Duration::from_secs(600);
/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_millis(500);
/// OPTIONS of protocol 4, and the opcode that answers it (SUPPORTED).
const QUESTION: [u8; 9] = [4, 0, 0, 0, 5, 0, 0, 0, 0];
const SUPPORTED: u8 = 6;

/// What becomes of an acknowledged write when the machine loses power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitLog {
    /// It is on disk.
    #[default]
    Batch,
    /// Up to 10 s of them are gone. The server's own default.
    Periodic,
}

/// How a server is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Largest heap of the JVM, in MiB.
    pub heap_mib: u32,
    /// When a write counts as written.
    pub commit_log: CommitLog,
}

impl Default for Options {
    fn default() -> Self {
        Self { heap_mib: 512, commit_log: CommitLog::default() }
    }
}

/// One node with its data, on one address for its whole life. Ends when dropped, and when this process dies.
#[derive(Debug)]
pub struct Cassandra {
    options: Options,
    address: String,
    // Before the folder: what runs in it must have ended when it is removed.
    running: Option<Running>,
    folder: tempfile::TempDir,
}

/// The script, and the JVM it started.
#[derive(Debug)]
struct Running {
    script: Child,
    jvm: Pid,
}

/// The server many tests of one process share: it is never killed or frozen.
#[derive(Debug)]
struct Shared {
    address: String,
    /// The script ends with its stdin, thus with this process; a static is never dropped.
    _own: Option<Running>,
}

static SHARED: OnceCell<Shared> = OnceCell::const_new();

impl Cassandra {
    /// A node with no data, on a loopback address nobody else has. Takes 5 to 15 s, the first time on a machine a
    /// minute more.
    ///
    /// # Errors
    /// When Java, Maven or the network is missing, or the server does not come up; the script's words are in the error.
    pub async fn start(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kabar-cassandra-").tempdir()?;
        let (running, address) = launch(&options, Some(folder.path()), None).await?;
        Ok(Self { options, address, running: Some(running), folder })
    }

    /// The address of a server that other tests use as well: the one `KABAR_TEST_CQL` names, else one that is started
    /// once per process. Take a keyspace of your own.
    ///
    /// # Errors
    /// When the named server does not answer, or as [`Cassandra::start`].
    pub async fn shared_or_start() -> Result<String> {
        let shared = SHARED.get_or_try_init(|| async {
            let shared = match std::env::var(RUNNING) {
                Ok(address) => Shared { address, _own: None },
                Err(_) => {
                    let (own, address) = launch(&Options::default(), None, None).await?;
                    Shared { address, _own: Some(own) }
                }
            };
            if !answers(&shared.address).await {
                bail!("no CQL server answers at {} ({RUNNING})", shared.address);
            }
            anyhow::Ok(shared)
        });
        Ok(shared.await?.address.clone())
    }

    /// `host:port` of its CQL.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The number of the JVM's process; 0 while it does not run.
    pub fn process(&self) -> i32 {
        self.running.as_ref().map_or(0, |running| running.jvm.as_raw())
    }

    /// Whether it answers a question of the protocol now.
    pub async fn answers(&self) -> bool {
        answers(&self.address).await
    }

    /// SIGKILL of the server; gone when this returns. Its data stay.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        let running = self.running.take();
        tokio::task::spawn_blocking(move || drop(running)).await.context("the script could not be awaited")
    }

    /// Starts it again after [`Cassandra::kill`], on the same data and address: the commit log is replayed.
    ///
    /// # Errors
    /// When it still runs, or as [`Cassandra::start`].
    pub async fn restart(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("it still runs");
        }
        let (running, _) = launch(&self.options, Some(self.folder.path()), Some(&self.address)).await?;
        self.running = Some(running);
        Ok(())
    }

    /// SIGSTOP: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT after [`Cassandra::freeze`].
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let running = self.running.as_ref().context("it does not run")?;
        kill(running.jvm, signal).context("it ended by itself")
    }
}

/// SIGKILL: the data of a test go with it, so that an orderly end (5 s) would be for nothing. Both are gone afterwards.
impl Drop for Running {
    fn drop(&mut self) {
        // The JVM is the script's child: its number is its own until the script has ended.
        if matches!(self.script.try_wait(), Ok(None)) {
            let _ = kill(self.jvm, Signal::SIGKILL);
        }
        let _ = self.script.wait();
    }
}

/// Runs the script until it says where the server is. `place` is where it was before. Without a folder the script has
/// one of its own, which it removes, and its words go where those of the test go.
async fn launch(options: &Options, folder: Option<&Path>, place: Option<&str>) -> Result<(Running, String)> {
    let words = folder.map(|folder| folder.join("script.log"));
    let heap = format!("{}m", options.heap_mib);
    let commit_log = match options.commit_log {
        CommitLog::Batch => "batch",
        CommitLog::Periodic => "periodic",
    };
    let mut command = Command::new(path());
    command.args(["--heap", &heap, "--commitlog", commit_log]);
    if let Some((address, port)) = place.and_then(|place| place.rsplit_once(':')) {
        command.args(["--address", address, "--port", port]);
    }
    if let (Some(folder), Some(words)) = (folder, &words) {
        command.arg("--dir").arg(folder).stderr(std::fs::File::create(words)?);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = command.spawn().with_context(|| path().display().to_string())?;
    let stdout = script.stdout.take().context("invariant: it was piped")?;
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        std::io::BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let told = tokio::time::timeout(START, line).await;
    let line = told.ok().and_then(Result::ok).and_then(Result::ok).unwrap_or_default();
    let said = serde_json::from_str::<serde_json::Value>(&line).unwrap_or_default();
    match (said["address"].as_str(), said["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())) {
        (Some(address), Some(pid)) => Ok((Running { script, jvm: Pid::from_raw(pid) }, address.to_owned())),
        _ => {
            script.kill()?;
            script.wait()?;
            bail!(
                "the server did not start: {}",
                words.and_then(|words| std::fs::read_to_string(words).ok()).unwrap_or_default()
            )
        }
    }
}

/// Beside this room, wherever the clone lies.
fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/cassandra/run")
}

/// Asks for the options of the protocol, on a connection of its own.
async fn answers(address: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&QUESTION).await?;
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head[4] == SUPPORTED)
    };
    matches!(tokio::time::timeout(ANSWER, ask).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_answers_is_killed_comes_back_is_frozen_and_leaves_nothing_behind() {
        let mut server = Cassandra::start(Options::default()).await.unwrap();
        let address = server.address().to_owned();
        let folder = server.folder.path().to_owned();
        assert!(server.answers().await);

        server.kill().await.unwrap();
        assert!(!server.answers().await, "a killed server answers");
        assert!(server.kill().await.is_err(), "a killed server was killed again");

        server.restart().await.unwrap();
        assert_eq!(server.address(), address);
        assert!(server.answers().await);

        server.freeze().unwrap();
        assert!(!server.answers().await, "a frozen server answers");
        server.thaw().unwrap();
        wait::so("a thawed server answers", async || server.answers().await).await;

        let jvm = server.running.as_ref().unwrap().jvm;
        drop(server);
        assert!(kill(jvm, None).is_err(), "it runs on");
        assert!(!folder.exists(), "its folder is left");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_server_that_cannot_start_says_why() {
        let told =
            Cassandra::start(Options { heap_mib: 1, ..Options::default() }).await.unwrap_err().to_string();
        assert!(told.contains("Too small maximum heap"), "{told}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_shared_server_answers_and_is_one() {
        let address = Cassandra::shared_or_start().await.unwrap();
        assert!(answers(&address).await);
        assert_eq!(Cassandra::shared_or_start().await.unwrap(), address);
    }
}
