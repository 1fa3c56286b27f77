//! Answers that are read as they come: large files, never whole in memory. Its bounds are the caller's: how many bytes,
//! and until when. Not for answers that are read to their end at once.

use super::{CallError, Client, Unclear};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// An answer whose body comes piece by piece.
#[derive(Debug)]
pub struct Reading {
    /// The status; 3xx too.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    left: u64,
    until: Instant,
}

impl Reading {
    fn of(response: Response<Incoming>, bytes_max: u64, until: Instant) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body, left: bytes_max, until }
    }

    /// The MIME type the answer says.
    #[must_use]
    pub fn mime(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE).and_then(|mime: &HeaderValue| mime.to_str().ok())
    }

    /// How many bytes the answer says it has.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// The next piece; `None` behind the last one.
    ///
    /// # Errors
    /// [`Unclear`]; nothing comes after it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Unclear> {
        loop {
            if self.body.size_hint().lower() > self.left {
                return Err(Unclear::TooLong);
            }
            let frame = timeout_at(self.until, self.body.frame()).await.map_err(|_| Unclear::Deadline)?;
            let Some(frame) = frame else { return Ok(None) };
            let Ok(data) = frame.map_err(|_| Unclear::Closed)?.into_data() else { continue };
            self.left = self.left.checked_sub(data.len() as u64).ok_or(Unclear::TooLong)?;
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }
}

impl Client {
    /// Makes one call, and gives its answer to be read within the same deadline, `bytes_max` bytes at most.
    ///
    /// # Errors
    /// [`CallError`]; a status is never an error.
    pub async fn open(
        &self,
        request: Request<Full<Bytes>>,
        bytes_max: u64,
        deadline: Duration,
    ) -> Result<Reading, CallError> {
        let until = Instant::now() + deadline;
        let response = self.begin(request.map(super::load::Load::Whole), until).await?;
        Ok(Reading::of(response, bytes_max, until))
    }
}
