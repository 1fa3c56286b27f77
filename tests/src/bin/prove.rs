//! `prove`: the proofs that need the real binary and real kills. `kill` kills it at random instants and counts what
//! was lost, doubled or told wrongly, `kill --scene` does the same with what else befalls a machine; `faults` runs it against
//! a provider that breaks; `plants` plants bugs and is content only if `kill` finds each; `leases` simulates the leases of
//! several nodes; `events` follows the events over kills and compares them one by one.

#![recursion_limit = "256"]

use kabar_tests::prove::{Command, Options, events, faults, kill, leases, outage, plants, read, scenes};
use std::process::ExitCode;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> ExitCode {
    let command = match read(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let held = match command {
        Command::Kill(options) => Box::pin(run(options)).await,
        Command::Scenes(options, scenes) => Box::pin(scenes::run(&options, &scenes)).await,
        Command::Faults { seed, json } => Box::pin(faults::run(seed, json)).await,
        Command::Plants(options) => Box::pin(plants::run(&options)).await,
        Command::Outage(options) => Box::pin(outage::run(&options)).await,
        Command::Events(options) => Box::pin(events::run(&options)).await.map(|verdict| {
            println!("{}", verdict.json());
            verdict.holds()
        }),
        Command::Leases { seed, seeds } => {
            let proof = leases::run(seed, seeds);
            println!("{}", proof.json());
            Ok(proof.holds())
        }
    };
    match held {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the proof could not be made: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(options: Options) -> anyhow::Result<bool> {
    let verdict = kill::run(&options).await?;
    verdict.tell();
    if options.json {
        println!("{}", verdict.json());
    }
    Ok(verdict.holds())
}
