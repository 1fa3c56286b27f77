//! A file behind a link that a tenant gave: fetched through the guard, over a few redirects, bounded in size and time.
//! Not whether it is a file WhatsApp takes.

use super::{Source, SourceError, Wanted};
use futures::StreamExt;
use kabar_connectors::client::{CallError, Client, FetchError, Guard, NotSent, Reading, Unclear};
use kabar_engine::media::{MediaKind, canonical};
use std::time::Duration;

/// Redirects that are followed.
const HOPS: usize = 5;
/// All of it, redirects and bytes.
const DEADLINE: Duration = Duration::from_secs(100);
/// Types servers give to files they know nothing of.
const UNTOLD: [&str; 3] = ["", "application/octet-stream", "binary/octet-stream"];

/// Why a link leads to no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No absolute URL of http or https.
    #[error("it is no absolute http or https URL")]
    Url,
    /// It leads into a private network.
    #[error("it leads to an address that is not of the public internet")]
    Private,
    /// Nobody answered.
    #[error("it could not be reached: {0}")]
    Unreached(&'static str),
    /// The answer was no file.
    #[error("its server answered {0}")]
    Status(u16),
}

impl From<FetchError> for LinkError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Call(CallError::NotSent(NotSent::Blocked)) => Self::Private,
            FetchError::Call(CallError::NotSent(NotSent::Request)) | FetchError::Place => Self::Url,
            FetchError::Call(CallError::NotSent(NotSent::Dns)) => Self::Unreached("its host has no address"),
            FetchError::Call(CallError::NotSent(NotSent::Tls)) => Self::Unreached("TLS failed"),
            FetchError::Call(CallError::NotSent(_)) => Self::Unreached("no connection"),
            FetchError::Call(CallError::Unclear { .. }) => Self::Unreached("no answer came"),
            FetchError::TooManyHops => Self::Unreached("it is redirected too often"),
        }
    }
}

/// Opens what a link leads to; what the server says of it counts where the caller said nothing.
pub(super) async fn open(
    client: &Client,
    guard: &Guard,
    url: &str,
    mut wanted: Wanted,
) -> Result<(Source<'static>, Wanted), LinkError> {
    let url: http::Uri = url.parse().map_err(|_| LinkError::Url)?;
    let host = url.host().ok_or(LinkError::Url)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(LinkError::Url);
    }
    if guard.refuses_text(host) {
        return Err(LinkError::Private);
    }
    let reading = client.fetch_file(&url, (HOPS, MediaKind::BYTES_MAX + 1), DEADLINE).await?;
    if reading.status != http::StatusCode::OK {
        return Err(LinkError::Status(reading.status.as_u16()));
    }
    let said = reading.mime().map(canonical).filter(|mime| !UNTOLD.contains(&mime.as_str()));
    wanted.mime = wanted.mime.or(said);
    if wanted.filename.is_none() {
        wanted.filename = url.path().rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned);
    }
    Ok((source(reading), wanted))
}

/// An answer's bytes.
pub(super) fn source(reading: Reading) -> Source<'static> {
    let next = |mut reading: Reading| async move {
        match reading.next().await {
            Ok(Some(piece)) => Some((Ok(piece), reading)),
            Ok(None) => None,
            Err(Unclear::TooLong) => Some((Err(SourceError::TooLarge(MediaKind::BYTES_MAX)), reading)),
            Err(why) => Some((Err(SourceError::Broken(why.to_string())), reading)),
        }
    };
    futures::stream::unfold(reading, next).boxed()
}
