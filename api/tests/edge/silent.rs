//! Addresses outside that take a call and never answer: they cost nobody else anything, and not even the end of the
//! server waits for them longer than was promised.

use super::house::{House, OPERATOR, Tenant, template};
use super::killed::Server;
use super::receiver::{Call, Receiver};
use kabar_engine::time::Timestamp;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const DEADLINE: Duration = Duration::from_secs(60);
/// The whole end of a server, as it is promised.
const PROMISED: Duration = Duration::from_secs(10);
/// A delivery is given up after so long.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Reads whatever comes and says nothing.
struct Hole {
    url: String,
    /// Connections that sent something.
    heard: watch::Receiver<usize>,
}

impl Hole {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, heard) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let told = told.clone();
                tokio::spawn(async move {
                    let (mut part, mut first) = ([0; 4_096], true);
                    while let Ok(1..) = stream.read(&mut part).await {
                        if std::mem::take(&mut first) {
                            told.send_modify(|count| *count += 1);
                        }
                    }
                });
            }
        });
        Self { url, heard }
    }

    async fn until(&self, count: usize) {
        let mut heard = self.heard.clone();
        let wait = heard.wait_for(|heard| *heard >= count);
        tokio::time::timeout(DEADLINE, wait).await.expect("nobody called").unwrap();
    }
}

fn tomorrow() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    Timestamp(i64::try_from(now).unwrap() + 86_400_000).to_rfc3339()
}

/// Accepts some messages to as many people, not to be sent today.
async fn send(tenant: &Tenant<'_>, session: &str, from: u64, count: u64) {
    for nth in from..from + count {
        let mut later = template(session, &format!("62812345{nth:05}"));
        later["options"] = json!({"send_at": tomorrow(), "valid_for_seconds": 600});
        assert_eq!(tenant.call("POST /v1/messages", later).await.status, 202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_never_answers_costs_the_others_nothing() {
    let house = House::with(|config| config.outbound.allow_networks = "127.0.0.0/8".parse().unwrap()).await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let mine = tenant.idle_session("106000000000001").await;
    let theirs = other.idle_session("106000000000002").await;
    let hole = Hole::open().await;
    let (beside, strange) = (Receiver::open(|_, _| 200).await, Receiver::open(|_, _| 200).await);
    let types = json!(["message.accepted"]);
    let dead = tenant.call("POST /v1/webhooks", json!({"url": hole.url, "types": types})).await.id();
    tenant.call("POST /v1/webhooks", json!({"url": beside.url(), "types": types})).await.id();
    other.call("POST /v1/webhooks", json!({"url": strange.url(), "types": types})).await.id();
    send(&tenant, &mine, 0, 1).await;
    hole.until(1).await;
    let begin = Instant::now();
    tokio::join!(send(&tenant, &mine, 1, 40), send(&other, &theirs, 0, 40));
    let (own, foreign) =
        tokio::join!(beside.until(|calls| calls.len() == 41), strange.until(|calls| calls.len() == 40));
    // All this while the first calls of the hole are still held: nobody waited for one of them to end.
    assert!(begin.elapsed() < ATTEMPT, "{:?}", begin.elapsed());
    assert!(own.iter().chain(&foreign).all(|call| call.status == 200));
    let path = format!("/v1/webhooks/{dead}");
    let stands = tenant.until(&path, |seen| seen["waiting"] == 41).await;
    assert_eq!((&stands["enabled"], &stands["full"]), (&json!(true), &json!(false)));
    // And of those calls there are few.
    let held = *hole.heard.borrow();
    assert!((1..=4).contains(&held), "{held} calls are held");
    house.running.shutdown().await;
    beside.stop();
    strange.stop();
}

/// A tenant of a server in a process, with a session whose provider is this address.
async fn furnished(server: &Server, provider: &str) -> (String, String) {
    let bearer = server.tenant().await;
    let operator = format!("Bearer {OPERATOR}");
    let (_, tenants) = server.call("GET /v1/tenants", &[("authorization", &operator)], "").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap().to_owned();
    let app = r#"{"app_secrets": ["secret"], "verify_token": "token"}"#;
    let (_, app) = server.call("POST /v1/apps", &[("authorization", &bearer)], app).await;
    let session = json!({
        "name": "silent", "app": app["id"], "phone_number_id": "106000000000001",
        "display_phone_number": "15550200000", "access_token": "t", "base_url": provider, "validate": false,
    });
    let headers = [("authorization", operator.as_str()), ("kabar-tenant", tenant.as_str())];
    let (status, session) = server.call("POST /v1/sessions", &headers, session.to_string()).await;
    assert_eq!(status, 201, "{session}");
    (bearer, session["id"].as_str().unwrap().to_owned())
}

/// A stream of events that stays open; its head has come.
async fn stream(server: &Server, bearer: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.at).await.unwrap();
    let head = format!("GET /v1/events/stream HTTP/1.1\r\nhost: kabar\r\nauthorization: {bearer}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 15];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 200 OK");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_is_over_in_time_when_nobody_outside_answers_and_costs_no_message_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let more = [("KABAR__OUTBOUND__ALLOW_NETWORKS", "127.0.0.0/8"), ("KABAR__ENGINE__PROOF_MS", "1000")];
    let mut server = Server::with(folder.path(), &more, Stdio::null()).await;
    let (provider, address) = (Hole::open().await, Hole::open().await);
    let (bearer, session) = furnished(&server, &provider.url).await;
    let headers = [("authorization", bearer.as_str())];
    let wanted = json!({"url": address.url, "types": ["message.accepted"]}).to_string();
    let (_, webhook) = server.call("POST /v1/webhooks", &headers, wanted).await;
    let webhook = webhook["id"].as_str().unwrap().to_owned();
    let mut following = stream(&server, &bearer).await;
    let message = template(&session, "6281234567890").to_string();
    let (status, sent) = server.call("POST /v1/messages", &headers, message).await;
    assert_eq!(status, 202, "{sent}");
    let message = sent["id"].as_str().unwrap().to_owned();
    // Both calls are out and wait for an answer that never comes.
    provider.until(1).await;
    address.until(1).await;

    let begin = Instant::now();
    server.terminate();
    let status = tokio::time::timeout(PROMISED, server.child.wait()).await.expect("it does not end").unwrap();
    assert!(status.success() && begin.elapsed() < PROMISED, "{status} after {:?}", begin.elapsed());
    let mut rest = Vec::new();
    let end = tokio::time::timeout(PROMISED, following.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the stream of events stays open");

    let server = Server::with(folder.path(), &more, Stdio::null()).await;
    let receiver = Receiver::open(|_, _| 200).await;
    let change = json!({"url": receiver.url()}).to_string();
    let (status, changed) = server.call(&format!("PATCH /v1/webhooks/{webhook}"), &headers, change).await;
    assert_eq!(status, 200, "{changed}");
    let brought = |call: &Call| call.event()["data"]["message"] == message.as_str();
    receiver.until(|calls| calls.iter().any(brought)).await;
    // Nobody can say whether it was sent: it is told so, and not sent again.
    let (path, begin) = (format!("GET /v1/messages/{message}"), Instant::now());
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    loop {
        turn.tick().await;
        let (_, seen): (_, Value) = server.call(&path, &headers, "").await;
        if seen["status"] == "unknown" {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "{seen}");
    }
    assert_eq!(*provider.heard.borrow(), 1);
    server.end().await;
    receiver.stop();
}
