//! What the tests speak to a sandbox with: a raw hyper client, and a webhook receiver that keeps
//! the bytes it got. Shares nothing with the sandbox's own code.

#![expect(clippy::unwrap_used, reason = "test code: a panic is the report")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response};
use hyper_util::rt::TokioIo;
use kabar_sandbox::{Behaviour, Delay, NumberConfig, Sandbox, SandboxConfig, Stats};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub const NUMBER: &str = "106000000000001";
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A sandbox with one fast number.
pub async fn sandbox(behaviour: Behaviour) -> Sandbox {
    seeded(1, behaviour).await
}

pub async fn seeded(seed: u64, behaviour: Behaviour) -> Sandbox {
    let number = NumberConfig { messages_per_second: 1_000_000, ..NumberConfig::default() };
    let config = SandboxConfig { seed, numbers: vec![number], behaviour, ..SandboxConfig::default() };
    Sandbox::start(config).await.unwrap()
}

/// Statuses at once, limits off.
pub fn swift() -> Behaviour {
    Behaviour {
        sent_ms: Delay::NONE,
        delivered_ms: Delay::fixed(2),
        read_ms: Delay::fixed(2),
        reply_delay: Delay::fixed(2),
        webhook_linger_ms: 1,
        retry_schedule_ms: vec![0, 1, 5],
        pair_limit: false,
        throughput_limit: false,
        ..Behaviour::default()
    }
}

pub fn text(to: &str, reference: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hi"},
        "biz_opaque_callback_data": reference})
}

#[derive(Debug)]
pub struct Heard {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    pub fn code(&self) -> u64 {
        self.json()["error"]["code"].as_u64().unwrap_or(0)
    }

    pub fn wamid(&self) -> String {
        self.json()["messages"][0]["id"].as_str().unwrap_or_default().to_owned()
    }
}

/// One keep-alive connection, opened again after it was cut.
pub struct Client {
    address: SocketAddr,
    token: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub fn to(sandbox: &Sandbox) -> Self {
        let token = sandbox.config().access_tokens[0].clone();
        Self { address: sandbox.local_addr(), token, connection: None }
    }

    pub fn control(sandbox: &Sandbox) -> Self {
        Self { token: sandbox.config().control_token.clone(), ..Self::to(sandbox) }
    }

    pub fn with_token(sandbox: &Sandbox, token: &str) -> Self {
        Self { token: token.to_owned(), ..Self::to(sandbox) }
    }

    pub async fn try_call(&mut self, method: Method, path: &str, body: &[u8]) -> Result<Heard, hyper::Error> {
        self.call(method, path, &[("content-type", "application/json")], body).await
    }

    /// A call with a body of another type.
    pub async fn with_type(&mut self, method: Method, path: &str, kind: &str, body: &[u8]) -> Heard {
        self.call(method, path, &[("content-type", kind)], body).await.unwrap()
    }

    /// A step of a resumable upload.
    pub async fn offset(&mut self, path: &str, offset: u64, body: &[u8]) -> Heard {
        let offset = offset.to_string();
        let headers = [("content-type", "application/octet-stream"), ("file_offset", offset.as_str())];
        self.call(Method::POST, path, &headers, body).await.unwrap()
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Heard, hyper::Error> {
        let mut connection = match self.connection.take().filter(|open| !open.is_closed()) {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect(self.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (open, driver) = handshake(TokioIo::new(stream)).await?;
                tokio::spawn(driver);
                open
            }
        };
        connection.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sandbox")
            .header("authorization", format!("Bearer {}", self.token));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        let answer = connection.send_request(request).await?;
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await?.to_bytes();
        self.connection = Some(connection);
        Ok(Heard { status: head.status.as_u16(), headers: head.headers, bytes })
    }

    pub async fn get(&mut self, path: &str) -> Heard {
        self.try_call(Method::GET, path, b"").await.unwrap()
    }

    pub async fn post(&mut self, path: &str, body: &Value) -> Heard {
        self.try_call(Method::POST, path, body.to_string().as_bytes()).await.unwrap()
    }

    pub async fn try_send(&mut self, body: &Value) -> Result<Heard, hyper::Error> {
        let path = format!("/v25.0/{NUMBER}/messages");
        self.try_call(Method::POST, &path, body.to_string().as_bytes()).await
    }

    pub async fn send(&mut self, body: &Value) -> Heard {
        self.try_send(body).await.unwrap()
    }
}

/// Asks for the stats until they are as expected.
pub async fn until(sandbox: &Sandbox, what: impl Fn(&Stats) -> bool) -> Stats {
    let mut control = Client::control(sandbox);
    let asking = async {
        loop {
            let heard = control.get("/_sim/stats").await;
            let stats: Stats = serde_json::from_slice(&heard.bytes).unwrap();
            if what(&stats) {
                return stats;
            }
        }
    };
    match tokio::time::timeout(DEADLINE, asking).await {
        Ok(stats) => stats,
        Err(_) => panic!("not so within the deadline: {:?}", sandbox.stats()),
    }
}

#[derive(Clone, Debug)]
pub struct Post {
    pub signature: String,
    pub body: Bytes,
}

impl Post {
    pub fn changes(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let entries = body["entry"].as_array().unwrap().clone();
        entries.iter().flat_map(|entry| entry["changes"].as_array().unwrap().clone()).collect()
    }

    pub fn verifies(&self, secret: &str) -> bool {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&self.body);
        let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        self.signature == format!("sha256={hex}")
    }
}

#[derive(Default)]
struct Inbox {
    posts: Mutex<Vec<Post>>,
    /// How many posts to answer with 500 first.
    failures: AtomicUsize,
}

/// A webhook receiver on a port of its own.
pub struct Receiver {
    pub url: String,
    inbox: Arc<Inbox>,
    count: watch::Receiver<usize>,
    task: AbortHandle,
}

impl Receiver {
    /// Answers that many posts with 500 before it answers with 200.
    pub async fn failing(failures: usize) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), failures)
    }

    pub async fn start() -> Self {
        Self::failing(0).await
    }

    pub fn on(listener: TcpListener, failures: usize) -> Self {
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let inbox = Arc::new(Inbox { failures: AtomicUsize::new(failures), ..Inbox::default() });
        let (counter, count) = watch::channel(0);
        let (own, counter) = (Arc::clone(&inbox), Arc::new(counter));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (inbox, counter) = (Arc::clone(&own), Arc::clone(&counter));
                let service =
                    service_fn(move |request| receive(Arc::clone(&inbox), Arc::clone(&counter), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, inbox, count, task: task.abort_handle() }
    }

    pub fn posts(&self) -> Vec<Post> {
        self.inbox.posts.lock().clone()
    }

    /// Waits until the posts so far are as expected.
    pub async fn until(&mut self, what: impl Fn(&[Post]) -> bool) -> Vec<Post> {
        let inbox = Arc::clone(&self.inbox);
        let waiting = self.count.wait_for(|_| what(&inbox.posts.lock()));
        tokio::time::timeout(DEADLINE, waiting).await.expect("webhooks within the deadline").unwrap();
        self.posts()
    }

    /// Everything in one list of the values that came, in order of arrival.
    pub fn items(&self, list: &str) -> Vec<Value> {
        items(&self.posts(), list)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn items(posts: &[Post], list: &str) -> Vec<Value> {
    let changes = posts.iter().flat_map(Post::changes);
    changes.flat_map(|change| change["value"][list].as_array().cloned().unwrap_or_default()).collect()
}

async fn receive(
    inbox: Arc<Inbox>,
    counter: Arc<watch::Sender<usize>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    if head.method == Method::GET {
        let query = head.uri.query().unwrap_or_default();
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let known = value("hub.mode") == Some("subscribe")
            && value("hub.verify_token") == Some("sandbox-verify-token");
        let mut answer =
            Response::new(Full::new(Bytes::from(value("hub.challenge").unwrap_or_default().to_owned())));
        *answer.status_mut() = if known { 200 } else { 403 }.try_into().unwrap();
        return Ok(answer);
    }
    let signature = head.headers.get("x-hub-signature-256").map(|value| value.to_str().unwrap().to_owned());
    let post = Post { signature: signature.unwrap_or_default(), body: body.collect().await?.to_bytes() };
    inbox.posts.lock().push(post);
    let failed =
        inbox.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    counter.send_modify(|count| *count += 1);
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = if failed { 500 } else { 200 }.try_into().unwrap();
    Ok(answer)
}
