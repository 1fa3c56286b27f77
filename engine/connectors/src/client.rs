//! The one HTTP client towards third parties: pooled HTTP/1.1 connections, deadlines, a cap on answers, and a guard
//! on the connected address for URLs that tenants give. A call's redirect is an answer; only `fetch` follows some.
//!
//! Its heart is the difference between [`CallError::NotSent`] and [`CallError::Unclear`]: whether a byte of the
//! request can have reached the other side. It repeats nothing that was written; see `outcome` for how that
//! is known.

mod dial;
mod fetch;
mod guard;
mod load;
mod networks;
mod reading;
mod resolve;
mod spelt;

pub use fetch::FetchError;
pub use guard::Guard;
pub use load::{Broken, Flow};
pub use networks::Networks;
pub use reading::Reading;
pub use resolve::{Resolve, System};

use bytes::{Bytes, BytesMut};
use dial::{DialError, Limited};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use load::Load;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What the client allows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For DNS, TCP and TLS together, milliseconds.
    pub connect_ms: u64,
    /// An idle connection is closed after so many milliseconds; shorter than the other side keeps it, so that
    /// a request seldom meets a connection that is being closed.
    pub idle_ms: u64,
    /// Idle connections kept per host.
    pub idle_per_host: usize,
    /// Most bytes of an answer's body.
    pub answer_max: usize,
}

impl Default for Limits {
    /// 5 s to connect, 20 s idle, 512 idle connections per host, answers up to 1 MiB.
    fn default() -> Self {
        Self { connect_ms: 5_000, idle_ms: 20_000, idle_per_host: 512, answer_max: 1 << 20 }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status; 3xx too, redirects are not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`Limits::answer_max`] bytes.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Certainly no byte of the request was written.
    #[error("not sent: {0}")]
    NotSent(NotSent),
    /// The request may have been received and acted upon.
    #[error("no readable answer: {why}")]
    Unclear {
        /// What went wrong.
        why: Unclear,
        /// The status, when the answer's head had arrived.
        status: Option<StatusCode>,
    },
}

/// Why nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The host name has no address.
    #[error("the host name has no address")]
    Dns,
    /// The guard refused every address.
    #[error("the address is not of the public internet")]
    Blocked,
    /// Nobody accepts connections there.
    #[error("the connection was refused")]
    Refused,
    /// TLS failed: certificate, protocol, or the other side hung up meanwhile.
    #[error("TLS failed")]
    Tls,
    /// Time ended before there was a connection.
    #[error("connecting took too long")]
    Timeout,
    /// The connection closed before the request was taken up.
    #[error("the connection closed before the request was written")]
    Closed,
    /// The request itself cannot be sent: no absolute URL of http or https.
    #[error("the request has no absolute URL of http or https")]
    Request,
}

/// Why the outcome is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// The deadline passed after the request had a connection.
    #[error("the deadline passed")]
    Deadline,
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer did")]
    Closed,
    /// The answer is not HTTP.
    #[error("the answer is malformed")]
    Malformed,
    /// The answer is longer than allowed.
    #[error("the answer is too long")]
    TooLong,
}

/// The client. Cloning is cheap and shares the pool; one per [`Guard`] and process is enough.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Limited, Load>,
    answer_max: usize,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("answer_max", &self.answer_max).finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these limits and this guard. Opens nothing yet.
    #[must_use]
    pub fn new(limits: Limits, guard: Guard) -> Self {
        Self::with_resolver(limits, guard, Arc::new(System))
    }

    /// A client that asks this resolver what names mean.
    #[must_use]
    pub fn with_resolver(limits: Limits, guard: Guard, resolve: Arc<dyn Resolve>) -> Self {
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_millis(limits.idle_ms))
            .pool_max_idle_per_host(limits.idle_per_host)
            .build(Limited::new(guard, resolve, Duration::from_millis(limits.connect_ms)));
        Self { pool, answer_max: limits.answer_max }
    }

    /// A client for providers' base URLs, with the default limits.
    #[must_use]
    pub fn for_providers() -> Self {
        Self::new(Limits::default(), Guard::Open)
    }

    /// Makes one call and reads its answer to the end, all before `deadline` has passed.
    ///
    /// # Errors
    /// [`CallError`]; a status is never an error.
    pub async fn call(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Answer, CallError> {
        self.whole(request.map(Load::Whole), deadline).await
    }

    /// The same with a body of `length` bytes that is written as it comes. It is never in memory as a whole.
    ///
    /// # Errors
    /// [`CallError`]; a source that breaks off leaves the outcome unclear.
    pub async fn pour(
        &self,
        request: Request<()>,
        (flow, length): (Flow, u64),
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        self.whole(request.map(|()| Load::flowing(flow, length)), deadline).await
    }

    async fn whole(&self, request: Request<Load>, deadline: Duration) -> Result<Answer, CallError> {
        let until = Instant::now() + deadline;
        let response = self.begin(request, until).await?;
        let status = response.status();
        match timeout_at(until, self.read(response)).await.unwrap_or(Err(Unclear::Deadline)) {
            Ok(answer) => Ok(answer),
            Err(why) => Err(CallError::Unclear { why, status: Some(status) }),
        }
    }

    /// Makes the call; its answer's head is there, its body is not.
    async fn begin(
        &self,
        mut request: Request<Load>,
        until: Instant,
    ) -> Result<Response<Incoming>, CallError> {
        if !matches!(request.uri().scheme_str(), Some("http" | "https")) {
            return Err(CallError::NotSent(NotSent::Request));
        }
        let chosen = capture_connection(&mut request);
        match timeout_at(until, self.pool.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(outcome(&error)),
            Err(_) if chosen.connection_metadata().is_none() => Err(CallError::NotSent(NotSent::Timeout)),
            Err(_) => Err(CallError::Unclear { why: Unclear::Deadline, status: None }),
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Answer, Unclear> {
        let (head, mut body) = response.into_parts();
        if body.size_hint().lower() > self.answer_max as u64 {
            return Err(Unclear::TooLong);
        }
        // Nearly every answer is one frame, which is then taken as it is.
        let (mut first, mut all) = (Bytes::new(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unclear::Closed)?.into_data() else { continue };
            if first.len() + all.len() + data.len() > self.answer_max {
                return Err(Unclear::TooLong);
            }
            if first.is_empty() && all.is_empty() {
                first = data;
            } else {
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&data);
            }
        }
        let body = if all.is_empty() { first } else { all.freeze() };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// Every byte a query's value may not hold, as `%XX` (RFC 3986, unreserved characters stay).
pub(crate) fn escape(url: &mut String, value: &str) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            _ => write!(url, "%{byte:02X}").expect("invariant: writing to a String does not fail"),
        }
    }
}

/// Whether a failed request can have been written.
///
/// Source: hyper-util 0.1.21 `client/legacy/client.rs`, hyper 1.12 `client/dispatch.rs` and
/// `proto/h1/dispatch.rs`. The pool marks an error with the connection's data as soon as a connection was chosen
/// for the request; before that nothing can be written. After that hyper hands a request back with `Canceled`
/// only when the connection's task had not taken it from its queue, so again nothing was written; the pool tries
/// such a request again by itself if the connection was a kept one. Every other error came after the request was
/// taken up.
fn outcome(error: &legacy::Error) -> CallError {
    let source = std::error::Error::source(error);
    let http = source.and_then(|source| source.downcast_ref::<hyper::Error>());
    if error.connect_info().is_none() {
        return CallError::NotSent(no_connection(error, source));
    }
    match http {
        Some(http) if http.is_canceled() => CallError::NotSent(NotSent::Closed),
        Some(http) if http.is_parse() => CallError::Unclear { why: Unclear::Malformed, status: None },
        _ => CallError::Unclear { why: Unclear::Closed, status: None },
    }
}

fn no_connection(error: &legacy::Error, source: Option<&(dyn std::error::Error + 'static)>) -> NotSent {
    match source.and_then(|source| source.downcast_ref::<DialError>()) {
        Some(DialError::Dns) => NotSent::Dns,
        Some(DialError::Blocked) => NotSent::Blocked,
        Some(DialError::Refused) => NotSent::Refused,
        Some(DialError::Timeout) => NotSent::Timeout,
        // Of connecting, what is not ours is rustls'.
        None if error.is_connect() => NotSent::Tls,
        None if source.is_some() => NotSent::Closed,
        None => NotSent::Request,
    }
}
