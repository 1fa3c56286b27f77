//! The command line: what can be asked of the program, its exit codes, its log. Not what the commands do.

mod backup;
mod campaign;
mod contact;
mod events;
mod media;
mod migrate_store;
mod provider_template;
mod remote;
mod rotate_key;
mod sandbox;
mod serve;
mod session;
mod table;
mod why;

use crate::config::{Config, ConfigError, Log};
use crate::demo::{Demo, Generator, ROWS_MAX, SHIPPED_ROWS, SHIPPED_SEED};
use crate::exit::Failure;
use crate::telemetry::{self, Export};
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// WhatsApp gateway: one binary, no message lost, none sent twice unmarked.
///
/// Exit codes: 0 well, 1 failed, 2 wrong usage, configuration or input, 74 the disk of the journal failed.
#[derive(Debug, Parser)]
#[command(name = "kabar", version, arg_required_else_help = false)]
struct Cli {
    /// A TOML file; keys it leaves out keep their defaults, KABAR__SECTION__KEY in the environment goes first.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the server (also without a command).
    Serve,
    /// Shows a campaign from a contact file to the phones of a simulated WhatsApp.
    Demo(DemoArgs),
    /// Runs the simulated WhatsApp alone.
    Sandbox(sandbox::SandboxArgs),
    /// Copies the store's folder; a server may run on it meanwhile.
    Backup(backup::BackupArgs),
    /// Brings a backup back into a new folder, or checks it.
    Restore(backup::RestoreArgs),
    /// Checks the configuration and shows what is in force.
    CheckConfig,
    /// Brings the cluster's keyspace (`store.kind = "cql"`) to the version of this binary; `serve` does it as well.
    Migrate,
    /// Moves everything of an embedded folder into a cluster, compares both sides, and goes on where it was broken off.
    MigrateStore(migrate_store::MigrateStoreArgs),
    /// Puts everything under a new master key; the server is stopped. Goes on where it was broken off.
    RotateKey(rotate_key::RotateKeyArgs),
    /// Prints the description of the API (OpenAPI 3.1, JSON).
    Openapi,
    /// Prints the completion script of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Customers of the installation (the operator's key).
    Tenant(Remote<remote::Tenant>),
    /// Linked WhatsApp numbers.
    Session(Remote<session::Session>),
    /// The tenant's address book.
    Contact(Remote<contact::Contact>),
    /// Stored messages with variables.
    Template(Remote<remote::Template>),
    /// Templates that Meta keeps for the account of a number.
    ProviderTemplate(Remote<provider_template::ProviderTemplate>),
    /// Files that messages name.
    Media(Remote<media::Media>),
    /// Campaigns.
    Campaign(Remote<campaign::Campaign>),
    /// What happened, or what is new.
    Events {
        #[command(flatten)]
        access: remote::Access,
        #[command(flatten)]
        events: events::EventArgs,
    },
    /// Says why a message is where it is, step by step.
    Why {
        #[command(flatten)]
        access: remote::Access,
        /// The message.
        #[arg(value_name = "msg_…")]
        message: String,
    },
    /// Sends one message.
    Send {
        #[command(flatten)]
        access: remote::Access,
        #[command(flatten)]
        send: remote::SendArgs,
    },
}

/// A verb of a running Kabar.
#[derive(Debug, Args)]
struct Remote<V: Subcommand> {
    #[command(flatten)]
    access: remote::Access,
    #[command(subcommand)]
    verb: V,
}

#[derive(Debug, Args)]
struct DemoArgs {
    /// A CSV file of your own instead of the shipped one.
    #[arg(long, value_name = "FILE", conflicts_with = "rows")]
    contacts: Option<PathBuf>,
    /// The column with phone numbers; guessed when not named.
    #[arg(long, value_name = "COLUMN")]
    phone_column: Option<String>,
    /// The column with names; guessed when not named.
    #[arg(long, value_name = "COLUMN")]
    name_column: Option<String>,
    /// Where numbers without a country code belong.
    #[arg(long, value_name = "XX", default_value = "ID")]
    region: String,
    /// Generates so many rows instead of reading the shipped file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=ROWS_MAX))]
    rows: Option<u64>,
    /// Seed of the generated contacts and of the simulated WhatsApp.
    #[arg(long, value_name = "N", default_value_t = SHIPPED_SEED)]
    seed: u64,
    /// A folder to work in and keep; a temporary one when not named.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Stays up at the end, with an address and a key to try the API.
    #[arg(long)]
    keep: bool,
    /// Prints one JSON object as the last line of stdout; everything for people goes to stderr.
    #[arg(long)]
    json: bool,
    /// Only writes a generated contact file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["contacts", "keep", "data", "json"])]
    write_contacts: Option<PathBuf>,
}

/// The whole program.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("kabar: {failure}");
            ExitCode::from(failure.code)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let config = Config::load(cli.config.as_deref(), std::env::vars());
    let config = config.map_err(|error: ConfigError| Failure::usage(error.to_string()))?;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let spans = log_and_trace(&config);
            within(serve::run(config, spans))
        }
        Command::Demo(DemoArgs { write_contacts: Some(file), rows, seed, .. }) => {
            write_contacts(&file, rows.unwrap_or(SHIPPED_ROWS), seed)
        }
        Command::Demo(args) => {
            log(&config.log, "warn");
            within(demo(args))
        }
        Command::Sandbox(args) => {
            log(&config.log, "info");
            within(sandbox::run(args))
        }
        Command::Backup(args) => {
            log(&config.log, "warn");
            backup::backup(&config, args)
        }
        Command::Restore(args) => {
            log(&config.log, "warn");
            within(backup::restore(config, args))
        }
        Command::CheckConfig => {
            print!("{}", config.shown());
            eprintln!("kabar: the configuration is good");
            Ok(())
        }
        Command::Migrate => within(serve::migrate(config)),
        Command::MigrateStore(args) => {
            log(&config.log, "warn");
            within(migrate_store::run(config, args))
        }
        Command::RotateKey(args) => {
            log(&config.log, "warn");
            within(rotate_key::run(config, args))
        }
        Command::Tenant(Remote { access, verb }) => within(access.tenant(verb)),
        Command::Session(Remote { access, verb }) => within(access.session(verb)),
        Command::Contact(Remote { access, verb }) => within(access.contact(verb)),
        Command::Template(Remote { access, verb }) => within(access.template(verb)),
        Command::ProviderTemplate(Remote { access, verb }) => within(access.provider_template(verb)),
        Command::Media(Remote { access, verb }) => within(access.media(verb)),
        Command::Campaign(Remote { access, verb }) => within(access.campaign(verb)),
        Command::Events { access, events } => within(events.run(&access)),
        Command::Why { access, message } => within(async move { access.why(&message).await }),
        Command::Send { access, send } => within(access.send(send)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "kabar", &mut std::io::stdout());
            Ok(())
        }
        Command::Openapi => {
            println!("{:#}", crate::router::description());
            Ok(())
        }
    }
}

async fn demo(args: DemoArgs) -> Result<(), Failure> {
    let DemoArgs { contacts, phone_column, name_column, region, rows, seed, data, keep, json, .. } = args;
    Demo { contacts, phone_column, name_column, region, rows, seed, data, keep, json }.run().await
}

fn write_contacts(file: &PathBuf, rows: u64, seed: u64) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", file.display()));
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).map_err(wrong)?);
    let mut generator = Generator::new(rows, seed);
    generator.write(&mut out).map_err(wrong)?;
    std::io::Write::flush(&mut out).map_err(wrong)?;
    let e = generator.expected();
    eprintln!(
        "{} rows: {} valid numbers, {} duplicates, {} without a number; of the valid {} opted out, {} of the rest \
         without a city",
        e.rows_read, e.imported, e.duplicate, e.invalid, e.opted_out, e.missing_city
    );
    Ok(())
}

/// Runs a future on all cores.
fn within(future: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start threads: {error}")))?;
    runtime.block_on(future)
}

/// Logs as [`log`] does; and where the configuration names a receiver of spans, they go there as well.
fn log_and_trace(config: &Config) -> Option<Export> {
    let Some((spans, export)) = telemetry::begin(&config.telemetry) else {
        log(&config.log, "info");
        return None;
    };
    let (lines, chosen) = (tracing_subscriber::fmt::layer(), filter(&config.log, "info"));
    let lines = lines.with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match config.log.json {
        true => Box::new(lines.json().with_filter(chosen)),
        false => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            Box::new(lines.with_ansi(colours).with_filter(chosen))
        }
    };
    let _ = tracing_subscriber::registry().with(lines).with(spans.layer()).try_init();
    Some(export)
}

/// The configuration goes first, then RUST_LOG, then the command's own level.
fn filter(log: &Log, level: &str) -> EnvFilter {
    match &log.filter {
        Some(filter) => EnvFilter::new(filter),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)),
    }
}

/// Logs to stderr.
fn log(log: &Log, level: &str) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter(log, level)).with_writer(std::io::stderr);
    // A second try of the same process (tests) keeps the first one's log.
    let _ = if log.json {
        lines.json().try_init()
    } else {
        lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init()
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound_and_serves_by_default() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["kabar"]).unwrap();
        assert!(cli.command.is_none() && cli.config.is_none());
        let cli =
            Cli::try_parse_from(["kabar", "demo", "--rows", "50", "--json", "--config", "a.toml"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Demo(DemoArgs { rows: Some(50), json: true, .. }))));
        assert_eq!(cli.config, Some(PathBuf::from("a.toml")));
    }

    #[test]
    fn wrong_usage_ends_with_two() {
        for line in [
            vec!["kabar", "dance"],
            vec!["kabar", "demo", "--rows", "0"],
            vec!["kabar", "demo", "--rows", "5", "--contacts", "a.csv"],
        ] {
            assert_eq!(Cli::try_parse_from(line).unwrap_err().exit_code(), 2);
        }
    }
}
