//! Reading what a URL of a tenant leads to, over a few redirects. Every hop is a call of its own: resolved anew, its
//! connected address judged anew. Not for calls that cause something: their redirects are answers.

use super::{Answer, CallError, Client, Reading};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use std::time::Duration;
use tokio::time::Instant;

/// Why there is no answer to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// A hop was not answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The chain is longer than allowed.
    #[error("too many redirects")]
    TooManyHops,
    /// A redirect names no place that may be gone to.
    #[error("the redirect leads to no absolute http or https URL, or from https to http")]
    Place,
}

impl Client {
    /// Reads with GET, over at most `hops` redirects, all before `deadline` has passed. Nothing of one hop is told
    /// to the next.
    ///
    /// # Errors
    /// [`FetchError`]; a status is never an error.
    pub async fn fetch(&self, url: &Uri, hops: usize, deadline: Duration) -> Result<Answer, FetchError> {
        let until = Instant::now() + deadline;
        let mut url = url.clone();
        for _ in 0..=hops {
            let answer = self.call(get(&url)?, until.saturating_duration_since(Instant::now())).await?;
            match answer.headers.get(header::LOCATION) {
                Some(place) if is_redirect(answer.status) => url = next(&url, place)?,
                _ => return Ok(answer),
            }
        }
        Err(FetchError::TooManyHops)
    }

    /// The same for a file: its answer is read as it comes, `bytes_max` bytes at most.
    ///
    /// # Errors
    /// [`FetchError`]; a status is never an error.
    pub async fn fetch_file(
        &self,
        url: &Uri,
        (hops, bytes_max): (usize, u64),
        deadline: Duration,
    ) -> Result<Reading, FetchError> {
        let until = Instant::now() + deadline;
        let mut url = url.clone();
        for _ in 0..=hops {
            let left = until.saturating_duration_since(Instant::now());
            let reading = self.open(get(&url)?, bytes_max, left).await?;
            match reading.headers.get(header::LOCATION) {
                Some(place) if is_redirect(reading.status) => url = next(&url, place)?,
                _ => return Ok(reading),
            }
        }
        Err(FetchError::TooManyHops)
    }
}

fn get(url: &Uri) -> Result<Request<Full<Bytes>>, FetchError> {
    Request::get(url.clone()).body(Full::new(Bytes::new())).map_err(|_| FetchError::Place)
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads: an absolute URL, or a path on the same host; never from TLS to plain text.
fn next(from: &Uri, place: &HeaderValue) -> Result<Uri, FetchError> {
    let place: Uri = place.to_str().ok().and_then(|p| p.parse().ok()).ok_or(FetchError::Place)?;
    let mut parts = place.into_parts();
    if parts.scheme.is_none() && parts.authority.is_none() {
        (parts.scheme, parts.authority) = (from.scheme().cloned(), from.authority().cloned());
    }
    let to = Uri::from_parts(parts).map_err(|_| FetchError::Place)?;
    match (from.scheme_str(), to.scheme_str()) {
        (_, Some("https")) | (Some("http"), Some("http")) => Ok(to),
        _ => Err(FetchError::Place),
    }
}
