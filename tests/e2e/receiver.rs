//! The loopback receiver: takes the sandbox's webhooks over HTTP and hands the raw bytes to the dispatcher, as the
//! api does. While it is closed it answers 503, and the sandbox repeats.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use kabar_actors::Dispatcher;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

type Door = Arc<Mutex<Option<Dispatcher>>>;

pub struct Receiver {
    base: String,
    door: Door,
    task: AbortHandle,
}

impl Receiver {
    pub async fn start(dispatcher: Dispatcher) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/hook", listener.local_addr().unwrap());
        let door: Door = Arc::new(Mutex::new(Some(dispatcher)));
        let own = Arc::clone(&door);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let door = Arc::clone(&own);
                let service = service_fn(move |request| answer(Arc::clone(&door), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { base, door, task: task.abort_handle() }
    }

    pub fn url(&self, app: u64) -> String {
        format!("{}/{app}", self.base)
    }

    pub fn close(&self) {
        *self.door.lock().unwrap() = None;
    }

    pub fn open(&self, dispatcher: Dispatcher) {
        *self.door.lock().unwrap() = Some(dispatcher);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(door: Door, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let dispatcher = door.lock().unwrap().clone();
    let app = head.uri.path().rsplit('/').next().and_then(|app| app.parse::<u64>().ok());
    let (Some(dispatcher), Some(app)) = (dispatcher, app) else { return Ok(said(503, String::new())) };
    if head.method == Method::GET {
        let query = head.uri.query().unwrap_or_default();
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let [mode, token, challenge] = ["hub.mode", "hub.verify_token", "hub.challenge"].map(value);
        let (mode, token, challenge) =
            (mode.unwrap_or_default(), token.unwrap_or_default(), challenge.unwrap_or_default());
        let answer = dispatcher.challenge(app, mode, token, challenge).await;
        return Ok(answer.ok().flatten().map_or_else(|| said(403, String::new()), |text| said(200, text)));
    }
    let signature = head.headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    let body = body.collect().await?.to_bytes();
    let taken = dispatcher.webhook(app, signature, body).await;
    Ok(said(if taken.is_ok() { 200 } else { 503 }, String::new()))
}

fn said(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status.try_into().unwrap();
    response
}
