//! `kabar contact`: the address book of a running Kabar and the files it comes from, over its own API.

use super::remote::Access;
use crate::exit::Failure;
use clap::{Args, Subcommand, ValueEnum};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

/// Bytes of a file that are read at once.
const CHUNK: usize = 64 * 1024;
/// Bytes of a file that are sent for a preview.
const PREVIEW: u64 = 1 << 20;

/// The tenant's address book.
#[derive(Debug, Subcommand)]
pub(super) enum Contact {
    /// Lists contacts in the order of their addresses.
    List,
    /// Imports a contact file; its id is the list a campaign goes to.
    Import {
        file: PathBuf,
        #[command(flatten)]
        reading: Reading,
        /// Why the people in it may be written to.
        #[arg(long, value_name = "BASIS")]
        consent_basis: Option<Basis>,
        /// Where their consent was given.
        #[arg(long, value_name = "TEXT")]
        consent_source: Option<String>,
    },
    /// Shows what an import would make of a file's first rows; stores nothing.
    Preview {
        file: PathBuf,
        #[command(flatten)]
        reading: Reading,
    },
    /// Prints the rows of an import that did not become contacts, as CSV to be corrected and imported again.
    Errors {
        /// The import.
        #[arg(value_name = "imp_…")]
        import: String,
    },
}

/// How a file is read.
#[derive(Debug, Args)]
pub(super) struct Reading {
    /// Where numbers without a country code belong.
    #[arg(long, value_name = "XX")]
    region: Option<String>,
    /// The column with phone numbers; guessed when not named.
    #[arg(long, value_name = "COLUMN")]
    phone_column: Option<String>,
    /// The column with names; guessed when not named.
    #[arg(long, value_name = "COLUMN")]
    name_column: Option<String>,
}

/// Why people may be written to.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Basis {
    /// They asked for it.
    OptIn,
    /// They have bought before.
    ExistingCustomer,
    /// An interest that weighs more than theirs.
    LegitimateInterest,
    /// Nobody said.
    Unknown,
}

impl Reading {
    /// The address with its query.
    fn path(self, base: &str, more: Vec<(&'static str, String)>) -> String {
        let own = [
            ("default_region", self.region),
            ("phone_column", self.phone_column),
            ("name_column", self.name_column),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let asked = own.chain(more).map(|(name, value)| format!("{name}={}", escaped(&value)));
        let asked = asked.collect::<Vec<_>>().join("&");
        if asked.is_empty() { base.to_owned() } else { format!("{base}?{asked}") }
    }
}

/// A text within a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let one = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

impl Access {
    pub(super) async fn contact(&self, verb: Contact) -> Result<(), Failure> {
        match verb {
            Contact::List => self.list("/v1/contacts", &["id", "address", "name", "zone"]).await,
            Contact::Import { file, reading, consent_basis, consent_source } => {
                let basis = consent_basis.and_then(|basis| basis.to_possible_value());
                let basis = basis.map(|basis| ("consent_basis", basis.get_name().to_owned()));
                let source = consent_source.map(|source| ("consent_source", source));
                let more = basis.into_iter().chain(source).collect();
                self.import(&file, &reading.path("/v1/contacts/import", more)).await
            }
            Contact::Preview { file, reading } => {
                self.preview(&file, &reading.path("/v1/contacts/import/preview", Vec::new())).await
            }
            Contact::Errors { import } => {
                let path = format!("/v1/imports/{import}/errors");
                Ok(self.client()?.copy(&path, &mut std::io::stdout()).await?)
            }
        }
    }

    async fn import(&self, file: &Path, path: &str) -> Result<(), Failure> {
        let wrong = |error| unreadable(file, &error);
        let open = tokio::fs::File::open(file).await.map_err(wrong)?;
        let size = open.metadata().await.map_err(wrong)?.len();
        let bar = ProgressBar::new(size);
        let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let seen = bar.clone();
        let stream = tokio_util::io::ReaderStream::with_capacity(open, CHUNK)
            .map(move |chunk| chunk.inspect(|bytes| seen.inc(bytes.len() as u64)));
        let imported = self.client()?.stream(path, "text/csv", stream).await;
        bar.finish_and_clear();
        self.show(&imported?, &[]);
        Ok(())
    }

    async fn preview(&self, file: &Path, path: &str) -> Result<(), Failure> {
        let open = tokio::fs::File::open(file).await.map_err(|error| unreadable(file, &error))?;
        let stream = tokio_util::io::ReaderStream::with_capacity(open.take(PREVIEW), CHUNK);
        let preview = self.client()?.stream(path, "text/csv", stream).await?;
        if self.is_json() {
            self.show(&preview, &[]);
            return Ok(());
        }
        self.show(
            &json!({"data": preview["columns"]}),
            &["name", "becomes", "variable", "confidence", "why"],
        );
        println!();
        let rows = preview["rows"].as_array().into_iter().flatten().map(flat);
        self.show(
            &json!({"data": rows.collect::<Vec<_>>()}),
            &["row", "outcome", "address", "name", "zone", "problem"],
        );
        Ok(())
    }
}

/// A row with texts for things.
fn flat(row: &Value) -> Value {
    let mut flat = row.clone();
    flat["zone"] = row["zone"]["name"].clone();
    flat["problem"] = row["problem"]["message"].clone();
    flat
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", file.display()))
}
