//! `kabar sandbox`: the simulated WhatsApp alone, for trying and for tests from outside.

use crate::exit::Failure;
use clap::{Args, ValueEnum};
use kabar_sandbox::{Behaviour, NumberConfig, Sandbox, SandboxConfig};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How it behaves.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Pace {
    /// Quick and a little untidy: statuses within seconds, some failures, some answers.
    Demo,
    /// Meta as it is in the field: long tails, faults, pauses of minutes.
    Realistic,
    /// No statuses, no limits, no faults.
    Quiet,
}

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Where it listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Same seed, same fates.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How it behaves.
    #[arg(long, value_enum, default_value_t = Pace::Demo)]
    behaviour: Pace,
    /// Where webhooks go; can be set later over its control API.
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Messages a second its number may send.
    #[arg(long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    messages_per_second: u32,
    /// Knobs of the behaviour to turn, as JSON: '{"integrity": {"marketing_cap": 2}}'.
    #[arg(long, value_name = "JSON")]
    set: Option<String>,
    /// Goes on where the file was saved, if it is there, and saves it at the end.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// When its clock starts, Unix seconds; otherwise now.
    #[arg(long, value_name = "SECONDS")]
    starts_at: Option<i64>,
    /// What URLs of media begin with, where callers reach it by another name.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Prints the OpenAPI document of its control API and ends.
    #[arg(long)]
    openapi: bool,
}

/// Runs until Ctrl-C or SIGTERM.
pub(super) async fn run(args: SandboxArgs) -> Result<(), Failure> {
    if args.openapi {
        let document = serde_json::to_string_pretty(&kabar_sandbox::openapi());
        println!("{}", document.map_err(|error| Failure::failed(error.to_string()))?);
        return Ok(());
    }
    let config = config(&args)?;
    let sandbox = match args.state.as_deref().map(read).transpose()?.flatten() {
        Some(saved) => Sandbox::start_from(config, &saved).await,
        None => Sandbox::start(config).await,
    };
    let sandbox = sandbox.map_err(|error| Failure::usage(format!("the sandbox does not start: {error}")))?;
    println!("{}\nCtrl-C ends it.", sandbox.banner());
    end().await;
    if let Some(file) = &args.state {
        write(file, &sandbox.state().await.map_err(Failure::failed)?)?;
    }
    sandbox.stop().await;
    Ok(())
}

fn config(args: &SandboxArgs) -> Result<SandboxConfig, Failure> {
    let number = NumberConfig { messages_per_second: args.messages_per_second, ..NumberConfig::default() };
    let pace = match args.behaviour {
        Pace::Demo => Behaviour::demo(),
        Pace::Realistic => Behaviour::realistic(),
        Pace::Quiet => Behaviour::quiet(),
    };
    let behaviour = match &args.set {
        None => pace,
        Some(text) => {
            let part = serde_json::from_str(text);
            let part: Value = part.map_err(|error| Failure::usage(format!("--set is not JSON: {error}")))?;
            pace.merged(&part).map_err(|error| Failure::usage(format!("--set: {error}")))?
        }
    };
    Ok(SandboxConfig {
        seed: args.seed,
        listen: args.listen,
        webhook_url: args.webhook.clone(),
        public_url: args.public_url.clone(),
        starts_at_ms: args.starts_at.map(|seconds| seconds.saturating_mul(1_000)),
        numbers: vec![number],
        behaviour,
        ..SandboxConfig::default()
    })
}

/// A saved state; `None` if the file is not there yet.
fn read(file: &Path) -> Result<Option<Value>, Failure> {
    let wrong = |what: String| Failure::usage(format!("the state {} cannot be read: {what}", file.display()));
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| wrong(error.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Writes a state beside its place and moves it there, so that a whole one is there at any time.
fn write(file: &Path, saved: &Value) -> Result<(), Failure> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".partial");
    let written = std::fs::write(&beside, saved.to_string()).and_then(|()| std::fs::rename(&beside, file));
    written
        .map_err(|error| Failure::failed(format!("the state {} cannot be written: {error}", file.display())))
}

/// Waits for Ctrl-C or SIGTERM; a signal that cannot be waited for ends it as if it had come.
async fn end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SandboxArgs,
    }

    fn args(line: &[&str]) -> SandboxArgs {
        Line::parse_from(std::iter::once("sandbox").chain(line.iter().copied())).args
    }

    #[test]
    fn knobs_turn_the_behaviour_and_a_wrong_one_is_the_callers_to_mend() {
        let turned =
            config(&args(&["--behaviour", "quiet", "--set", r#"{"integrity": {"marketing_cap": 2}}"#]));
        let behaviour = turned.expect("a knob there is").behaviour;
        assert_eq!(behaviour.integrity.marketing_cap, 2);
        assert_eq!(behaviour.statuses, Behaviour::quiet().statuses);
        for wrong in [r#"{"marketing_cap": 2}"#, "quiet", r#"{"reply_rate": 2}"#] {
            let refused = config(&args(&["--set", wrong])).expect_err(wrong);
            assert_eq!(refused.code, crate::exit::USAGE, "{wrong}");
        }
        let started = config(&args(&["--starts-at", "1790000000"])).expect("a moment");
        assert_eq!(started.starts_at_ms, Some(1_790_000_000_000));
    }

    #[tokio::test]
    async fn a_state_is_written_whole_and_the_next_sandbox_goes_on_from_it() {
        let folder = tempfile::tempdir().expect("a folder of its own");
        let file = folder.path().join("state.json");
        assert!(read(&file).expect("not there yet").is_none());
        let quick = args(&["--listen", "127.0.0.1:0", "--seed", "7"]);
        let first = Sandbox::start(config(&quick).expect("plain")).await.expect("it starts");
        first.advance(86_400_000);
        write(&file, &first.state().await.expect("a state")).expect("written");
        first.stop().await;
        let saved = read(&file).expect("readable").expect("there");
        let other = args(&["--listen", "127.0.0.1:0", "--seed", "8", "--webhook", "http://127.0.0.1:1/hook"]);
        let next = Sandbox::start_from(config(&other).expect("plain"), &saved).await.expect("it starts");
        assert_eq!(next.config().seed, 7, "the seed is the state's");
        let again = next.state().await.expect("a state");
        assert!(again["clock_ms"].as_i64() >= saved["clock_ms"].as_i64());
        assert_eq!(again["webhooks"]["url"], "http://127.0.0.1:1/hook", "a receiver that is named now");
        std::fs::write(&file, "{").expect("broken off");
        assert_eq!(read(&file).expect_err("no state").code, crate::exit::USAGE);
        assert!(!folder.path().join("state.json.partial").exists());
    }
}
