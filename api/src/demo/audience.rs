//! Whom the demo writes to: the shipped file, a generated one or the user's own, sent to the import as a stream.
//! What is wrong with it is said in one sentence.

use super::generator::{Generator, HEADER};
use super::stage::Stage;
use super::{Demo, Figures, ROWS_MAX, SHIPPED};
use crate::client::ClientError;
use crate::exit::Failure;
use bytes::Bytes;
use futures::stream;
use serde_json::Value;
use std::path::Path;
use tokio_util::io::ReaderStream;

/// Rows of a generated chunk.
const CHUNK_ROWS: usize = 1_000;

/// An opened source of contacts.
pub(super) struct Audience {
    title: String,
    body: Body,
}

enum Body {
    Shipped,
    File(tokio::fs::File),
    Generated(Box<Generator>),
}

impl Audience {
    /// Opens it, before anything is started.
    pub(super) async fn open(demo: &Demo) -> Result<Self, Failure> {
        if let Some(path) = &demo.contacts {
            return Self::file(path).await;
        }
        Ok(match demo.rows {
            None => Self { title: "10,000 shipped contacts".to_owned(), body: Body::Shipped },
            Some(rows @ 1..=ROWS_MAX) => Self {
                title: format!("{rows} generated contacts"),
                body: Body::Generated(Box::new(Generator::new(rows, demo.seed))),
            },
            Some(_) => return Err(Failure::usage(format!("--rows takes a number from 1 to {ROWS_MAX}"))),
        })
    }

    async fn file(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let wrong = |why: String| {
            Failure::usage(format!("cannot read {shown}: {why}; give the path of a CSV file with --contacts"))
        };
        let file = tokio::fs::File::open(path).await.map_err(|error| wrong(error.to_string()))?;
        let about = file.metadata().await.map_err(|error| wrong(error.to_string()))?;
        if !about.is_file() {
            return Err(wrong("it is not a file".to_owned()));
        }
        Ok(Self { title: format!("the contacts of {shown}"), body: Body::File(file) })
    }

    /// What it is, for people.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// Sends it to the import; the import as the API shows it.
    pub(super) async fn import(self, demo: &Demo, stage: &Stage) -> Result<Value, Failure> {
        let mut query = format!("?name=demo&default_region={}", encoded(&demo.region));
        for (key, value) in [("phone_column", &demo.phone_column), ("name_column", &demo.name_column)] {
            if let Some(value) = value {
                query.push_str(&format!("&{key}={}", encoded(value)));
            }
        }
        let path = format!("/v1/contacts/import{query}");
        let import = match self.body {
            Body::Shipped => {
                let body = stream::once(std::future::ready(Ok(Bytes::from_static(SHIPPED))));
                stage.api.stream(&path, "text/csv", body).await
            }
            Body::File(file) => {
                stage.api.stream(&path, "text/csv", ReaderStream::with_capacity(file, 64 << 10)).await
            }
            Body::Generated(generator) => stage.api.stream(&path, "text/csv", chunks(*generator)).await,
        };
        let import = import.map_err(refused)?;
        if import["imported"] == 0 {
            return Err(Failure::usage(no_number(&import)));
        }
        Ok(import)
    }
}

fn chunks(
    generator: Generator,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static {
    stream::iter(Chunks { begun: false, generator })
}

/// A generated file, a thousand rows at a time: as large as one likes in constant memory.
struct Chunks {
    begun: bool,
    generator: Generator,
}

impl Iterator for Chunks {
    type Item = std::io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let head = if std::mem::replace(&mut self.begun, true) { "" } else { HEADER };
        let mut text = head.to_owned();
        text.extend(self.generator.by_ref().take(CHUNK_ROWS));
        (!text.is_empty()).then(|| Ok(Bytes::from(text)))
    }
}

/// What the import did not like, in the words of the command line.
fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { status, code, detail, .. } if status < 500 => {
            let hint = match code.as_str() {
                "import_header" => " Name the column with --phone-column.",
                "invalid_query" => " See kabar demo --help.",
                _ => "",
            };
            Failure::usage(format!("{detail}{hint}"))
        }
        other => Failure::failed(other.to_string()),
    }
}

fn no_number(import: &Value) -> String {
    let first = import["problems"].get(0).map_or_else(String::new, |problem| {
        let (row, message) = (&problem["row"], problem["message"].as_str().unwrap_or_default());
        format!(" (row {row}: {message})")
    });
    format!(
        "none of the {} rows holds a valid phone number{first}; name the right column with --phone-column, or the \
         country of numbers without + with --region",
        import["rows_read"]
    )
}

/// Nobody was left after the opted out and those without a variable.
pub(super) fn nobody(figures: &Figures) -> Failure {
    Failure::usage(format!(
        "nobody is left to write to: of {} contacts {} opted out and {} have no city; use a file with other contacts",
        figures.imported, figures.opted_out, figures.missing_variable
    ))
}

/// A value in a query string.
fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_stream_is_the_generated_file() {
        let mut whole = Vec::new();
        Generator::new(2_500, 3).write(&mut whole).unwrap();
        let chunks: Vec<_> = Chunks { begun: false, generator: Generator::new(2_500, 3) }.collect();
        assert_eq!(chunks.len(), 3);
        let streamed: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
        assert!(streamed == whole);
    }

    #[test]
    fn a_column_of_any_name_survives_the_query() {
        assert_eq!(encoded("No. HP & WA"), "No.%20HP%20%26%20WA");
        assert_eq!(encoded("é"), "%C3%A9");
    }
}
