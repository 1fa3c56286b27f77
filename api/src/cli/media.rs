//! `kabar media`: files of a running Kabar, over its own API. They go and come piece by piece.

use super::remote::Access;
use crate::exit::Failure;
use bytes::Bytes;
use clap::{Subcommand, ValueEnum};
use futures::StreamExt;
use std::path::{Path, PathBuf};
use tokio_util::io::ReaderStream;

/// Files that messages name.
#[derive(Debug, Subcommand)]
pub(super) enum Media {
    /// Keeps a file; the same bytes are one file, whatever they are called.
    Put {
        file: PathBuf,
        /// Refused when it is not good for this.
        #[arg(long, value_name = "KIND")]
        kind: Option<Kind>,
    },
    /// Writes a file's bytes to standard output, or to a file.
    Get {
        /// The file.
        #[arg(value_name = "med_…")]
        id: String,
        /// Where to.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Lists files.
    List,
    /// Shows one, and the numbers it was uploaded for.
    Show {
        /// The file.
        #[arg(value_name = "med_…")]
        id: String,
    },
}

/// What a file is good for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Kind {
    /// A picture: jpeg, png.
    Image,
    /// A film: mp4, 3gp.
    Video,
    /// A sound.
    Audio,
    /// Text, PDF, Office.
    Document,
    /// A sticker: webp.
    Sticker,
}

impl Access {
    pub(super) async fn media(&self, verb: Media) -> Result<(), Failure> {
        match verb {
            Media::Put { file, kind } => self.put(&file, kind).await,
            Media::Get { id, out } => self.bytes_of(&id, out.as_deref()).await,
            Media::List => {
                self.list("/v1/media", &["id", "kind", "mime_type", "bytes", "filename", "created"]).await
            }
            Media::Show { id } => self.one(format!("/v1/media/{id}")).await,
        }
    }

    async fn put(&self, path: &Path, kind: Option<Kind>) -> Result<(), Failure> {
        let unreadable =
            |error: std::io::Error| Failure::usage(format!("cannot read {}: {error}", path.display()));
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let boundary = format!("kabar{:032x}", rand::random::<u128>());
        let mut head = String::new();
        if let Some(kind) = kind.and_then(|kind| Some(kind.to_possible_value()?.get_name().to_owned())) {
            head.push_str(&part(&boundary, "kind", ""));
            head.push_str(&format!("{kind}\r\n"));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().replace(['"', '\r', '\n'], "_"));
        let name = format!("; filename=\"{}\"", name.unwrap_or_default());
        head.push_str(&part(&boundary, "file", &name));
        let ends = |text: String| futures::stream::iter([Ok(Bytes::from(text))]);
        let tail = format!("\r\n--{boundary}--\r\n");
        let body = ends(head).chain(ReaderStream::new(file)).chain(ends(tail));
        let kind = format!("multipart/form-data; boundary={boundary}");
        self.show(&self.client()?.stream("/v1/media", &kind, body).await?, &[]);
        Ok(())
    }

    async fn bytes_of(&self, id: &str, out: Option<&Path>) -> Result<(), Failure> {
        let (client, path) = (self.client()?, format!("/v1/media/{id}/content"));
        let Some(place) = out else {
            return client.copy(&path, &mut std::io::stdout()).await.map_err(Failure::from);
        };
        let wrong =
            |error: std::io::Error| Failure::usage(format!("cannot write {}: {error}", place.display()));
        let mut file = std::fs::File::create(place).map_err(wrong)?;
        Ok(client.copy(&path, &mut file).await?)
    }
}

/// The head of a part of a form.
fn part(boundary: &str, name: &str, more: &str) -> String {
    format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n")
}
