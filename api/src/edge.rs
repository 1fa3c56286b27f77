//! The HTTP server: takes connections, keeps their limits, and takes leave of them. hyper speaks HTTP/1.1 and HTTP/2;
//! what a request may cost is said in `edge/admission.rs`, what it means in `router.rs`.

pub(crate) mod admission;
pub(crate) mod flow;
mod pulse;
pub(crate) mod threshold;
mod wire;

use crate::config::Edge as Limits;
use crate::metrics;
use crate::router::Routes;
use axum::body::Body;
use flow::{Arriving, Busy, Held, Leaving, Patience};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use pulse::{Pulse, Terms, Verdict};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wire::Wire;

/// hyper's own limit of header lines, which costs nothing; another one costs an allocation per request.
const HEADERS: usize = 100;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// An HTTP/2 connection is asked this often whether it still lives.
const PING: Duration = Duration::from_secs(20);
/// The pause after the system had no socket for us.
const BREATH: Duration = Duration::from_millis(50);
/// What a connection too many is told, without a word of its request being read.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// The last answers' bytes have this long to leave at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Everything connections share.
struct Shared {
    routes: Routes,
    limits: Limits,
    terms: Terms,
    places: Arc<Semaphore>,
    busy: Arc<Busy>,
    /// No new work: connections end with the request they are at.
    draining: CancellationToken,
    /// The time of those in flight is over too.
    over: CancellationToken,
    builder: Builder<TokioExecutor>,
}

/// A server that listens.
pub(crate) struct Server {
    shared: Arc<Shared>,
    connections: TaskTracker,
}

impl Server {
    /// Listens until [`Server::drain`] has ended. `draining` is what the router was told about as well.
    pub(crate) fn start(
        listener: TcpListener,
        routes: Routes,
        limits: Limits,
        draining: CancellationToken,
    ) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        let timer = TokioTimer::new();
        // Its clock would run between requests too; the pulse has one for each.
        builder.http1().timer(timer.clone()).header_read_timeout(None).max_buf_size(limits.head_max_bytes);
        if limits.headers_max != HEADERS {
            builder.http1().max_headers(limits.headers_max);
        }
        let list = u32::try_from(limits.head_max_bytes).unwrap_or(u32::MAX);
        builder.http2().timer(timer).max_concurrent_streams(STREAMS).max_header_list_size(list);
        builder.http2().keep_alive_interval(PING).enable_connect_protocol();
        let shared = Arc::new(Shared {
            routes,
            terms: Terms::of(&limits),
            places: Arc::new(Semaphore::new(limits.connections_max)),
            busy: Arc::default(),
            draining,
            over: CancellationToken::new(),
            builder,
            limits,
        });
        let connections = TaskTracker::new();
        tokio::spawn(accept(listener, Arc::clone(&shared), connections.clone()));
        Self { shared, connections }
    }

    /// Takes no new work, lets what is in flight end within `limit`, then closes everything. Who comes meanwhile is
    /// still answered: that nothing is taken any more.
    pub(crate) async fn drain(self, limit: Duration) {
        self.shared.draining.cancel();
        if tokio::time::timeout(limit, self.shared.busy.none()).await.is_err() {
            tracing::warn!("requests were still in flight when their time was over");
        }
        self.connections.close();
        self.shared.over.cancel();
        let _ = tokio::time::timeout(FAREWELL * 2, self.connections.wait()).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, connections: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = shared.over.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&shared.places).try_acquire_owned() {
                Ok(place) => {
                    // Answers are small and wait for nobody; where this fails the connection fails anyway.
                    let _ = stream.set_nodelay(true);
                    let pulse = Arc::new(Pulse::new());
                    let wire = Wire::new(stream, Arc::clone(&pulse), place);
                    connections.spawn(serve(wire, peer, pulse, Arc::clone(&shared)));
                }
                Err(_) => refuse(&stream),
            },
            // The other side was gone before we came.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::error!(%error, "the system gives no socket");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn refuse(stream: &TcpStream) {
    metrics::closed("full");
    // A fresh socket has room for this; where it has not, closing says the same.
    let _ = stream.try_write(FULL);
}

async fn serve(wire: Wire, peer: SocketAddr, pulse: Arc<Pulse>, shared: Arc<Shared>) {
    let (of_service, of_requests) = (Arc::clone(&shared), Arc::clone(&pulse));
    let service = service_fn(move |request| answer(request, peer, &of_requests, &of_service));
    let connection = shared.builder.serve_connection_with_upgrades(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    // Who comes when the server ends is heard once, and told.
    let mut leaving = shared.draining.is_cancelled();
    let mut look = pin!(tokio::time::sleep(Duration::ZERO));
    let farewell = async {
        shared.over.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    let mut farewell = pin!(farewell);
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::trace!(error, "a connection ended");
                }
                return;
            }
            () = shared.draining.cancelled(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = farewell.as_mut(), if leaving => return,
            () = look.as_mut() => match pulse.verdict(shared.terms) {
                Verdict::Look(next) => look.as_mut().reset(next),
                Verdict::Idle if !leaving => {
                    leaving = true;
                    metrics::closed("idle");
                    connection.as_mut().graceful_shutdown();
                    look.as_mut().reset(tokio::time::Instant::now() + FAREWELL);
                }
                // It was told, and does not go.
                Verdict::Idle => return,
                Verdict::Close(reason) => return metrics::closed(reason),
            },
        }
    }
}

/// Hands a request to its route, and its answer back.
fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    pulse: &Arc<Pulse>,
    shared: &Arc<Shared>,
) -> impl Future<Output = Result<Response<Leaving>, Infallible>> + use<> {
    let held = Held::new(Arc::clone(pulse), Arc::clone(&shared.busy));
    let patience = Patience::of(&shared.limits);
    let of_body = Arc::clone(pulse);
    let request = request.map(|body| Body::new(Arriving::new(body, patience, of_body)));
    let closes = request.version() < Version::HTTP_2;
    let answering = shared.routes.answer(request, peer);
    let draining = shared.draining.clone();
    async move {
        let mut response = answering.await;
        if closes && draining.is_cancelled() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let end = endless(response.headers()).then(|| draining.cancelled_owned());
        Ok(response.map(|body| Leaving::new(body, end, held)))
    }
}

/// A stream of events ends with the server and not before.
fn endless(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem;
    use crate::telemetry::trace::Trace;
    use axum::Router;
    use axum::middleware::{Next, from_fn};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn served(router: Router) -> (SocketAddr, Server) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let limits = crate::config::Config::defaults().edge;
        (at, Server::start(listener, router.into(), limits, CancellationToken::new()))
    }

    async fn asked(at: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: kabar\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_with_a_trace_id_and_the_server_goes_on() {
        async fn broken() -> &'static str {
            panic!("planted by a test")
        }
        let router = Router::new()
            .route("/broken", get(broken))
            .route("/whole", get(|| async { "well" }))
            .layer(from_fn(|request, next: Next| admission::guarded(next.run(request))))
            .layer(from_fn(|request: axum::extract::Request, next: Next| {
                let trace = Trace::of(request.headers());
                problem::render("", trace, request, |request| next.run(request))
            }));
        let (at, server) = served(router).await;
        for _ in 0..2 {
            let text = asked(at, "/broken").await;
            assert!(text.starts_with("HTTP/1.1 500") && text.contains("\"code\":\"internal\""), "{text}");
            assert!(text.contains("trace-id: ") && !text.contains("planted"), "{text}");
        }
        assert!(asked(at, "/whole").await.ends_with("\r\n\r\nwell"));
        server.drain(Duration::ZERO).await;
    }

    #[tokio::test]
    async fn a_stream_of_events_ends_with_the_server_and_what_has_an_end_reaches_it() {
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        let told = Arc::new(parking(told));
        let endless = || async {
            let body = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, Infallible>>());
            ([(CONTENT_TYPE, "text/event-stream")], body)
        };
        let router = Router::new().route("/events", get(endless)).route(
            "/slow",
            get(move || {
                let told = Arc::clone(&told);
                async move {
                    let told = told.lock().await.take();
                    let _ = told.expect("asked once").await;
                    "done"
                }
            }),
        );
        let (at, server) = served(router).await;
        let events = tokio::spawn(asked(at, "/events"));
        let slow = tokio::spawn(asked(at, "/slow"));
        while server.shared.busy.count() < 2 {
            tokio::task::yield_now().await;
        }
        let drained = tokio::spawn(server.drain(Duration::from_secs(60)));
        let events = events.await.unwrap();
        assert!(
            events.starts_with("HTTP/1.1 200") && !slow.is_finished() && !drained.is_finished(),
            "{events}"
        );
        tell.send(()).unwrap();
        assert!(slow.await.unwrap().ends_with("done"));
        drained.await.unwrap();
    }

    fn parking<T>(value: T) -> tokio::sync::Mutex<Option<T>> {
        tokio::sync::Mutex::new(Some(value))
    }
}
