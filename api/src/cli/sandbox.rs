//! `kabar sandbox`: the simulated WhatsApp alone, for trying and for tests from outside.

use crate::exit::Failure;
use clap::{Args, ValueEnum};
use kabar_sandbox::{Behaviour, NumberConfig, Sandbox, SandboxConfig};
use std::net::SocketAddr;

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
}

/// Runs until Ctrl-C.
pub(super) async fn run(args: SandboxArgs) -> Result<(), Failure> {
    let number = NumberConfig { messages_per_second: args.messages_per_second, ..NumberConfig::default() };
    let config = SandboxConfig {
        seed: args.seed,
        listen: args.listen,
        webhook_url: args.webhook,
        numbers: vec![number],
        behaviour: match args.behaviour {
            Pace::Demo => Behaviour::demo(),
            Pace::Realistic => Behaviour::realistic(),
            Pace::Quiet => Behaviour::quiet(),
        },
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await;
    let sandbox = sandbox.map_err(|error| Failure::usage(format!("the sandbox does not start: {error}")))?;
    println!("{}\nCtrl-C ends it.", sandbox.banner());
    // A signal that cannot be waited for ends it as if it had come.
    let _ = tokio::signal::ctrl_c().await;
    sandbox.stop().await;
    Ok(())
}
