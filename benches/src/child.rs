//! The other process of a bench, on the other core: the simulated WhatsApp, and the load that calls the API.

use crate::{cpu, load};
use anyhow::{Context, Result, bail};
use kabar_sandbox::{Behaviour, NumberConfig, Sandbox, SandboxConfig};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// The core of the child; Kabar has core 0.
pub const CORE: usize = 1;
/// The number the simulated WhatsApp serves.
pub const NUMBER: &str = "106000000000001";
/// Its token.
pub const TOKEN: &str = "sandbox-access-token";

/// The entry of a child process.
pub fn run(arguments: &[String]) -> Result<()> {
    cpu::pin(CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("sandbox") => runtime.block_on(sandbox()),
        Some("load") => runtime.block_on(load::child(&arguments[1..])),
        Some("gets") => runtime.block_on(load::gets(&arguments[1..])),
        _ => bail!("a child is `sandbox`, `load` or `gets`"),
    }
}

/// Serves until its standard input closes.
async fn sandbox() -> Result<()> {
    let number = NumberConfig {
        phone_number_id: NUMBER.to_owned(),
        messages_per_second: 1_000,
        ..NumberConfig::default()
    };
    let config = SandboxConfig {
        numbers: vec![number],
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
        let mut output = BufReader::new(child.stdout.take().context("the child has no output")?);
        let mut first_line = String::new();
        output.read_line(&mut first_line)?;
        first_line.truncate(first_line.trim_end().len());
        Ok(Self { child, stdin, first_line })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ended = self.child.wait();
    }
}
