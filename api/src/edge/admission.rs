//! Whether a request is taken up: not while the server ends, not when too much is in hand, not in a coding nobody
//! asked for. Whoever is taken up is held to that count until answered, and a panic on the way is an answer too. A body
//! counts as it comes: who only says how much it will be takes no room. Not who asks, and not what for.

use super::flow::Broken;
use crate::config::Config;
use crate::metrics;
use crate::problem::{Code, Problem};
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use hyper::body::{Body as Bodied, Frame, SizeHint};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

/// What a request costs beside its body, bytes: its head, its answer, its way through the house.
const OVERHEAD: u64 = 16 << 10;
/// A body that says it is no longer than this counts as it says: most are, and need no counting on their way.
const SMALL: u64 = 16 << 10;
/// Of all requests in hand, the part that may be webhooks whose bodies are still to come.
const WAITING_PART: usize = 4;
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
    /// Places of webhooks whose bodies are still to come.
    waiting: Semaphore,
    pub(crate) draining: CancellationToken,
}

/// A request in hand.
struct Taken {
    admission: Arc<Admission>,
    bytes: u64,
    /// What came of a body that is not small.
    arrived: Option<Arc<Arrived>>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.admission.requests.fetch_sub(1, Ordering::AcqRel);
        self.admission.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

/// The bytes of a body that came; counted back when neither the request nor the body is there any more.
struct Arrived {
    admission: Arc<Admission>,
    bytes: AtomicU64,
    /// Whether it was broken off for want of room.
    cut: AtomicBool,
}

impl Arrived {
    /// Whether there is room for so many more. Beyond the largest body nothing more is held at once.
    fn more(&self, bytes: usize) -> bool {
        let (of_all, before) = (&self.admission, self.bytes.load(Ordering::Acquire));
        let more = (bytes as u64).min(of_all.body_max.saturating_sub(before));
        if more == 0 {
            return true;
        }
        self.bytes.fetch_add(more, Ordering::AcqRel);
        let held = of_all.bytes.fetch_add(more, Ordering::AcqRel) + more;
        held <= of_all.bytes_max || of_all.requests() <= 1
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.admission.bytes.fetch_sub(self.bytes.load(Ordering::Acquire), Ordering::AcqRel);
    }
}

/// A body that is counted as it comes, and breaks off where there is no room for more of it.
struct Counted {
    body: Body,
    arrived: Arc<Arrived>,
}

impl Bodied for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        if self.arrived.more(came) {
            return Poll::Ready(frame);
        }
        metrics::refused("in_flight");
        self.arrived.cut.store(true, Ordering::Release);
        Poll::Ready(Some(Err(axum::Error::new(Broken::NoRoom))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
        let waiting = Semaphore::new((requests_max / WAITING_PART).max(1));
        Arc::new(Self { requests, bytes, requests_max, bytes_max, body_max, waiting, draining })
    }

    /// Requests in hand.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Acquire)
    }

    /// A place of a webhook whose body is still to come.
    pub(crate) fn wait(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.waiting.try_acquire().map_err(|_| {
            metrics::refused("in_flight");
            Problem::new(Code::Overloaded, "The bodies of too many webhooks are waited for.")
        })
    }

    /// `None`: there is no room now. One alone always has room.
    fn take(self: &Arc<Self>, body: &Body) -> Option<Taken> {
        let said = Self::said(body);
        let bytes = OVERHEAD + said.unwrap_or(0);
        let before = self.requests.fetch_add(1, Ordering::AcqRel);
        let held = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        // Counted first and looked at then, so that many at once cannot pass together; dropped it is counted back.
        let mut taken = Taken { admission: Arc::clone(self), bytes, arrived: None };
        let fits = before < self.requests_max && (before == 0 || held + bytes <= self.bytes_max);
        if said.is_none() && fits {
            let (admission, bytes, cut) = (Arc::clone(self), AtomicU64::new(0), AtomicBool::new(false));
            taken.arrived = Some(Arc::new(Arrived { admission, bytes, cut }));
        }
        fits.then_some(taken)
    }

    /// The size of a body that says it is small; `None` for every other. HTTP/2 says the size of a body or does not, and
    /// has no header for a body whose size it does not say.
    fn said(body: &Body) -> Option<u64> {
        body.size_hint().exact().filter(|length| *length <= SMALL)
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
    let Some(taken) = admission.take(request.body()) else {
        metrics::refused("in_flight");
        return Problem::new(Code::Overloaded, "Too many requests are in hand.").into_response();
    };
    let request = match &taken.arrived {
        Some(arrived) => {
            let arrived = Arc::clone(arrived);
            request.map(|body| Body::new(Counted { body, arrived }))
        }
        None => request,
    };
    let response = guarded(inner(request)).await;
    let cut = taken.arrived.as_ref().is_some_and(|arrived| arrived.cut.load(Ordering::Acquire));
    drop(taken);
    if cut { told_of_room(response) } else { response }
}

/// Who reads a file or a form sees only that it broke off, and would blame its sender; it was us.
fn told_of_room(mut response: Response) -> Response {
    let Some(problem) = response.extensions_mut().get_mut::<Problem>() else { return response };
    if problem.code() == Code::BodyUnreadable {
        *problem = Problem::new(Code::Overloaded, "The bodies of too many requests are in hand.");
        *response.status_mut() = problem.status();
    }
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
        let admission = Admission::new(3, 60 << 10, 64 << 10);
        let (none, small) = (Body::empty(), Body::from(vec![b' '; 16 << 10]));
        let first = admission.take(&small).unwrap();
        assert!(admission.take(&small).is_none(), "its body does not fit beside the first");
        let second = admission.take(&none).unwrap();
        drop((first, second));
        assert_eq!((admission.requests(), admission.bytes.load(Ordering::Acquire)), (0, 0));
        let alone = admission.take(&Body::from(vec![b' '; 1 << 20]));
        assert!(alone.is_some());
        let _more = [admission.take(&none).unwrap(), admission.take(&none).unwrap()];
        assert!(admission.take(&none).is_none(), "three are in hand");
    }

    #[test]
    fn a_large_body_counts_as_it_comes_and_not_as_it_says() {
        let admission = Admission::new(100, 200 << 10, 64 << 10);
        let said = Body::from(vec![b' '; 3_000_000]);
        // As HTTP/2 brings one without its length, and HTTP/1.1 one in chunks.
        let unsaid = Body::from_stream(futures::stream::pending::<Result<Bytes, axum::Error>>());
        let held: Vec<_> = (0..5).map(|_| admission.take(&said).unwrap()).collect();
        let other = admission.take(&unsaid).expect("nothing has come of the others");
        let arrived = |taken: &Taken| Arc::clone(taken.arrived.as_ref().unwrap());
        assert!(arrived(&other).more(64 << 10), "it fits beside six heads");
        // More than the largest body is never held of one.
        assert!(arrived(&other).more(1 << 30));
        assert!(!arrived(&held[0]).more(64 << 10));
        // A body that is read on after its request was given up still counts.
        let late = arrived(&other);
        drop((held, other));
        assert_eq!(admission.bytes.load(Ordering::Acquire), 64 << 10);
        drop(late);
        assert_eq!(admission.bytes.load(Ordering::Acquire), 0);
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
