//! A tenant's own server: takes what webhooks bring, keeps it, and answers as a test says. Not a test.

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use serde_json::Value;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

/// What the receiver was told to know Meta by.
pub const VERIFY_TOKEN: &str = "verify & me";
const DEADLINE: Duration = Duration::from_secs(60);

/// One call.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    /// As Meta signs.
    pub hub_signature: String,
    pub body: Bytes,
    /// What it was answered with.
    pub status: u16,
}

impl Call {
    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

type Answer = dyn Fn(&Call, &[Call]) -> u16 + Send + Sync;

struct Inner {
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
    answer: Box<Answer>,
}

/// A server that takes webhooks.
pub struct Receiver {
    inner: Arc<Inner>,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
}

impl Receiver {
    /// Answers with the status that `answer` finds, told the call and those before it.
    pub async fn open(answer: impl Fn(&Call, &[Call]) -> u16 + Send + Sync + 'static) -> Self {
        let (calls, count) = (Mutex::default(), watch::Sender::new(0));
        let inner = Arc::new(Inner { calls, count, answer: Box::new(answer) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().route("/hook", post(take).get(challenge)).with_state(Arc::clone(&inner));
        let (stop, stopped) = oneshot::channel::<()>();
        let server = axum::serve(listener, app).with_graceful_shutdown(async move {
            let _ = stopped.await;
        });
        tokio::spawn(async move { server.await.unwrap() });
        Self { inner, address, stop }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.inner.calls.lock().unwrap().clone()
    }

    /// Waits until the calls are as wanted.
    pub async fn until(&self, wanted: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let mut count = self.inner.count.subscribe();
        let wait = async {
            while !wanted(&self.calls()) {
                count.changed().await.unwrap();
            }
        };
        if timeout(DEADLINE, wait).await.is_err() {
            panic!("waited in vain: {:#?}", self.calls());
        }
        self.calls()
    }

    pub fn stop(self) {
        let _ = self.stop.send(());
    }
}

/// Meta's handshake, for those who know the token.
async fn challenge(Query(asked): Query<HashMap<String, String>>) -> (StatusCode, String) {
    let of = |key: &str| asked.get(key).cloned().unwrap_or_default();
    if of("hub.mode") == "subscribe" && of("hub.verify_token") == VERIFY_TOKEN {
        (StatusCode::OK, of("hub.challenge"))
    } else {
        (StatusCode::FORBIDDEN, String::new())
    }
}

async fn take(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(text);
    let hub_signature = text("x-hub-signature-256");
    let mut call = Call { id, timestamp, signature, hub_signature, body, status: 0 };
    let mut calls = inner.calls.lock().unwrap();
    call.status = (inner.answer)(&call, &calls);
    let status = call.status;
    calls.push(call);
    inner.count.send_replace(calls.len());
    StatusCode::from_u16(status).unwrap()
}
