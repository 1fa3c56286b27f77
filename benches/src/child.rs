//! The other process of a bench, on the other core: the simulated WhatsApp, and the load that calls the API.

use crate::{actors, callers, cpu, hooks, load, restart, steady, stub};
use anyhow::{Context, Result, bail, ensure};
use kabar_sandbox::{Behaviour, NumberConfig, Sandbox, SandboxConfig};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The core of the child; Kabar has core 0.
pub const CORE: usize = 1;
/// Numbers the simulated WhatsApp serves.
const NUMBERS: u64 = 16;
/// Its token.
pub const TOKEN: &str = "sandbox-access-token";

/// The nth of its numbers.
#[must_use]
pub fn number(nth: u64) -> String {
    format!("106{:012}", nth + 1)
}

/// The entry of a child process.
pub fn run(arguments: &[String]) -> Result<()> {
    cpu::pin(CORE)?;
    if arguments.first().is_some_and(|name| name == "actors") {
        return actors::child(&arguments[1..]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("sandbox") => runtime.block_on(sandbox(arguments.get(1))),
        Some("load") => runtime.block_on(load::child(&arguments[1..])),
        Some("gets") => runtime.block_on(load::gets(&arguments[1..])),
        Some("first") => runtime.block_on(restart::child()),
        Some("steady") => runtime.block_on(steady::child()),
        Some("hooks") => runtime.block_on(hooks::child(&arguments[1..])),
        Some("stub") => runtime.block_on(stub::child()),
        Some("callers") => runtime.block_on(callers::child(&arguments[1..])),
        _ => bail!("no such child: {arguments:?}"),
    }
}

/// Serves until its standard input closes, so many numbers when it is told.
async fn sandbox(numbers: Option<&String>) -> Result<()> {
    let numbers = numbers.map_or(Ok(NUMBERS), |n| n.parse())?;
    let numbers = (0..numbers).map(|nth| NumberConfig {
        phone_number_id: number(nth),
        messages_per_second: 1_000,
        ..NumberConfig::default()
    });
    let config = SandboxConfig {
        numbers: numbers.collect(),
        access_tokens: vec![TOKEN.to_owned()],
        behaviour: Behaviour::quiet(),
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await?;
    println!("{}", sandbox.base_url());
    std::io::stdout().flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;
    sandbox.stop().await;
    Ok(())
}

/// A child process that ends with this value.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// The first line it printed.
    pub first_line: String,
}

impl Process {
    /// Starts this program again as a child.
    pub fn start(arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .arg("child")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the other process")?;
        let stdin = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("the child has no output")?);
        let mut process = Self { child, stdin, output, first_line: String::new() };
        process.first_line = process.hear()?;
        Ok(process)
    }

    /// Writes it a line.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the child hears nothing")?;
        writeln!(stdin, "{line}")?;
        Ok(stdin.flush()?)
    }

    /// Waits for the next line it prints.
    pub fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the other process ended");
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ended = self.child.wait();
    }
}
