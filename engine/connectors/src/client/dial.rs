//! How a connection comes to be: DNS, the guard, TCP, TLS, all within one time limit. Not what is sent over it:
//! whatever fails here has written no byte of any request.

use super::guard::Guard;
use super::resolve::Resolve;
use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// What hyper-rustls and hyper-util speak of errors in.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DialError {
    #[error("the host name has no address")]
    Dns,
    #[error("the address is not of the public internet")]
    Blocked,
    #[error("no connection")]
    Refused,
    #[error("connecting took too long")]
    Timeout,
}

/// TCP with the guard.
#[derive(Clone)]
pub(super) struct Dial {
    guard: Guard,
    resolve: Arc<dyn Resolve>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { guard, resolve } = self.clone();
        Box::pin(async move { dial(&guard, &*resolve, &uri).await })
    }
}

/// The name is asked about once, and what is judged is what is connected: a name that means something else the next
/// time gains nothing.
async fn dial(guard: &Guard, resolve: &dyn Resolve, uri: &Uri) -> Result<TokioIo<TcpStream>, DialError> {
    let host = uri.host().ok_or(DialError::Dns)?;
    // An IPv6 literal stands in brackets in a URL and nowhere else.
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
    let found = resolve.resolve(host, port).await.map_err(|_| DialError::Dns)?;
    let mut failed = DialError::Dns;
    for address in found {
        if !guard.allows(address.ip()) {
            failed = DialError::Blocked;
            continue;
        }
        match connect(guard, address).await {
            Ok(stream) => return Ok(TokioIo::new(stream)),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn connect(guard: &Guard, address: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = TcpStream::connect(address).await.map_err(|_| DialError::Refused)?;
    // A request is one small write that waits for its answer: holding it back only costs time.
    stream.set_nodelay(true).map_err(|_| DialError::Refused)?;
    let peer = stream.peer_addr().map_err(|_| DialError::Refused)?;
    if guard.allows(peer.ip()) { Ok(stream) } else { Err(DialError::Blocked) }
}

/// TCP and TLS within one time limit.
#[derive(Clone)]
pub(super) struct Limited {
    secure: HttpsConnector<Dial>,
    limit: Duration,
}

impl Limited {
    /// TLS by rustls with ring and Mozilla's roots; HTTP/1.1 only, so that one connection carries one request
    /// at a time and a broken one leaves one outcome open, not hundreds.
    pub(super) fn new(guard: Guard, resolve: Arc<dyn Resolve>, limit: Duration) -> Self {
        let secure = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .expect("invariant: ring supports the default TLS versions")
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dial { guard, resolve });
        Self { secure, limit }
    }
}

impl Service<Uri> for Limited {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.secure.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.secure.call(uri);
        let limit = self.limit;
        Box::pin(async move {
            tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(DialError::Timeout.into()))
        })
    }
}
