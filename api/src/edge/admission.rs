//! Whether a request is taken up: not while the server ends, not when too much is in hand, not in a coding nobody
//! asked for. Whoever is taken up is held to that count until answered, and a panic on the way is an answer too.
//! Not who asks, and not what for.

use crate::config::Config;
use crate::metrics;
use crate::problem::{Code, Problem};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

/// What a request costs beside its body, bytes: its head, its answer, its way through the house.
const OVERHEAD: u64 = 16 << 10;
/// Always answered: who watches must see an overload and an end.
const WATCHED: &[&str] = &["/healthz", "/readyz", "/metrics"];

/// What is in hand, and how much may be.
#[derive(Debug)]
pub(crate) struct Admission {
    requests: AtomicUsize,
    bytes: AtomicU64,
    requests_max: usize,
    bytes_max: u64,
    /// More than this is never held of one body.
    body_max: u64,
    pub(crate) draining: CancellationToken,
}

/// A request in hand.
struct Taken {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.admission.requests.fetch_sub(1, Ordering::AcqRel);
        self.admission.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Admission {
    /// As it is configured. The largest body is a JSON body or a webhook's.
    pub(crate) fn of(config: &Config) -> Arc<Self> {
        let (edge, body) = (&config.edge, config.server.body_max_bytes.max(config.engine.webhook_max_bytes));
        Self::new(edge.in_flight_max, edge.in_flight_max_bytes, body as u64)
    }

    fn new(requests_max: usize, bytes_max: u64, body_max: u64) -> Arc<Self> {
        let (requests, bytes) = (AtomicUsize::new(0), AtomicU64::new(0));
        let draining = CancellationToken::new();
        Arc::new(Self { requests, bytes, requests_max, bytes_max, body_max, draining })
    }

    /// Requests in hand.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// `None`: there is no room now. One alone always has room.
    fn take(self: &Arc<Self>, headers: &HeaderMap) -> Option<Taken> {
        let bytes = self.cost(headers);
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        let held = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        // Counted first and looked at then, so that many at once cannot pass together; dropped it is counted back.
        let taken = Taken { admission: Arc::clone(self), bytes };
        let fits = before < self.requests_max && (before == 0 || held + bytes <= self.bytes_max);
        fits.then_some(taken)
    }

    /// What its body may come to.
    fn cost(&self, headers: &HeaderMap) -> u64 {
        let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        let unsaid = if headers.contains_key(TRANSFER_ENCODING) { self.body_max } else { 0 };
        OVERHEAD + length.unwrap_or(unsaid).min(self.body_max)
    }
}

/// The gate of every request; `inner` is what lies behind it.
pub(crate) async fn admit<F: Future<Output = Response>>(
    admission: &Arc<Admission>,
    request: Request,
    inner: impl FnOnce(Request) -> F,
) -> Response {
    if WATCHED.contains(&request.uri().path()) {
        return guarded(inner(request)).await;
    }
    if admission.draining.is_cancelled() {
        metrics::refused("draining");
        return Problem::new(Code::Unavailable, "The server is ending; nothing was done.").into_response();
    }
    if coded(request.headers()) {
        let detail = "Send the body as it is, without `Content-Encoding`.";
        return Problem::new(Code::UnsupportedMediaType, detail).into_response();
    }
    let Some(taken) = admission.take(request.headers()) else {
        metrics::refused("in_flight");
        return Problem::new(Code::Overloaded, "Too many requests are in hand.").into_response();
    };
    let response = guarded(inner(request)).await;
    drop(taken);
    response
}

/// A body in a coding would have to be unpacked, and a small one can unpack to anything.
fn coded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|v| !v.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// A panic ends this request and nothing else. State lives behind the dispatcher, where actors have their own guard.
pub(super) async fn guarded(answering: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(answering).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            metrics::panicked();
            let detail = "Something broke here; it may or may not have been done.";
            Problem::new(Code::Internal, detail).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn requests_and_their_bytes_are_counted_in_and_out() {
        let admission = Admission::new(3, 140 << 10, 64 << 10);
        let big = headers(&[("content-length", "60000")]);
        let first = admission.take(&big).unwrap();
        assert!(admission.take(&big).is_none(), "its body does not fit beside the first");
        let second = admission.take(&headers(&[])).unwrap();
        assert!(admission.take(&headers(&[("transfer-encoding", "chunked")])).is_none());
        drop((first, second));
        assert_eq!((admission.requests(), admission.bytes.load(Ordering::Acquire)), (0, 0));
        let alone = admission.take(&headers(&[("content-length", "99999999999")]));
        assert!(alone.is_some());
        let _more = [admission.take(&headers(&[])).unwrap(), admission.take(&headers(&[])).unwrap()];
        assert!(admission.take(&headers(&[])).is_none(), "three are in hand");
    }

    #[test]
    fn a_body_in_a_coding_is_seen_in_every_spelling() {
        for (value, refused) in
            [("gzip", true), ("identity", false), (" Identity ", false), ("identity, br", true), ("", true)]
        {
            assert_eq!(coded(&headers(&[("content-encoding", value)])), refused, "{value}");
        }
        assert!(coded(&headers(&[("content-encoding", "identity"), ("content-encoding", "zstd")])));
        assert!(!coded(&headers(&[])));
    }
}
