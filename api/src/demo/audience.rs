//! Whom the demo writes to: the shipped file, a generated one or the user's own, sent to the import as a stream.
//! What is wrong with it is said in one sentence.

use super::generator::{Generator, HEADER};
use super::stage::Stage;
use super::{Demo, Figures, ROWS_MAX, SHIPPED};
use crate::client::ClientError;
use crate::exit::Failure;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
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
        let wrong = |why: String| Failure::usage(format!("cannot read {shown}: {why}; give the path of a CSV file with --contacts"));
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
            Body::File(file) => stage.api.stream(&path, "text/csv", ReaderStream::with_capacity(file, 64 << 10)).await,
            Body::Generated(generator) => stage.api.stream(&path, "text/csv", chunks(*generator)).await,
        };
        let import = import.map_err(refused)?;
        if import["imported"] == 0 {
            return Err(Failure::usage(no_number(&import)));
        }
        Ok(import)
    }
}

fn chunks(generator: Generator) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static {
    let begin = (Some(HEADER), generator);
    stream::iter(std::iter::successors(Some((String::new(), begin)), |(_, (header, generator))| {
        let _ = (header, generator);
        None
    }))
    .map_while_never()
}

/// Kept private to this file: the stream of a generator.
trait Never: Sized {
    fn map_while_never(self) -> BoxStream<'static, std::io::Result<Bytes>>;
}
