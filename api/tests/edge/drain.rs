//! The end of a server, on the real binary: SIGTERM takes nothing new, finishes what is in flight, closes what has no
//! end, and is over in time.

use super::house::{OPERATOR, template};
use super::killed::Server;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is promised of the whole end.
const PROMISED: Duration = Duration::from_secs(10);

async fn sent(server: &Server, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&server.at).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Everything up to the end of the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset ends it as well.
    let _ = tokio::time::timeout(PROMISED, stream.read_to_end(&mut text))
        .await
        .expect("the connection stays open");
    String::from_utf8(text).unwrap()
}

async fn read(stream: &mut TcpStream, length: usize) -> String {
    let mut text = vec![0; length];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_refuses_the_new_finishes_the_old_and_is_over_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path()).await;
    let bearer = server.tenant().await;
    let head = |method: &str, path: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: kabar\r\nauthorization: {bearer}\r\n{more}\r\n")
    };
    // One without a request, one in the middle of one, one whose file never ends.
    let mut idle = sent(&server, &head("GET", "/v1/templates", "")).await;
    assert!(read(&mut idle, 15).await.starts_with("HTTP/1.1 200 OK"));
    let template = r#"{"name": "halo", "message": {"type": "text", "text": {"body": "hi"}}}"#;
    let more = format!(
        "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n",
        template.len()
    );
    let mut slow = sent(&server, &head("POST", "/v1/templates", &more)).await;
    assert_eq!(read(&mut slow, 25).await, "HTTP/1.1 100 Continue\r\n\r\n");
    let more = "content-type: text/csv\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n";
    let mut endless = sent(&server, &head("POST", "/v1/contacts/import?name=endless", more)).await;
    assert_eq!(read(&mut endless, 25).await, "HTTP/1.1 100 Continue\r\n\r\n");
    endless.write_all(b"name,phone\nBudi,081234567890\n").await.unwrap();

    let begin = Instant::now();
    server.terminate();
    assert!(!rest(idle).await.contains("HTTP/1.1"), "it was told something it did not ask");
    let refused = rest(sent(&server, &head("GET", "/v1/templates", "")).await).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: "), "{refused}");
    assert!(
        refused.contains("connection: close") && refused.contains("\"code\":\"unavailable\""),
        "{refused}"
    );
    let unready = rest(sent(&server, &head("GET", "/readyz", "")).await).await;
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    let alive = rest(sent(&server, &head("GET", "/healthz", "")).await).await;
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
    slow.write_all(template.as_bytes()).await.unwrap();
    let made = rest(slow).await;
    assert!(made.starts_with("HTTP/1.1 201") && made.contains("connection: close"), "{made}");

    let status = tokio::time::timeout(PROMISED, server.child.wait()).await.expect("it does not end").unwrap();
    assert!(status.success() && begin.elapsed() < PROMISED, "{status} after {:?}", begin.elapsed());
    assert!(!rest(endless).await.contains("HTTP/1.1 201"));
    // What it had said yes to is there.
    let server = Server::start(folder.path()).await;
    let (_, page) = server.call("GET /v1/templates", &[("authorization", &bearer)], "").await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1, "{page}");
}

/// A session of the first tenant whose provider is at this address.
pub async fn session(server: &Server, bearer: &str, provider: &str) -> String {
    let app = json!({"app_secrets": ["secret"], "verify_token": "token"});
    let (_, app) = server.call("POST /v1/apps", &[("authorization", bearer)], app.to_string()).await;
    let operator = format!("Bearer {OPERATOR}");
    let (_, tenants) = server.call("GET /v1/tenants", &[("authorization", &operator)], "").await;
    let tenant = tenants["data"][0]["id"].as_str().unwrap();
    let session = json!({
        "name": "hangs", "app": app["id"], "phone_number_id": "106000000000001",
        "display_phone_number": "15550200000", "access_token": "t", "base_url": provider, "validate": false,
    });
    let headers = [("authorization", operator.as_str()), ("kabar-tenant", tenant)];
    let (_, made): (u16, Value) = server.call("POST /v1/sessions", &headers, session.to_string()).await;
    made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_in_time_also_with_a_body_that_stands_still_and_a_provider_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    // The body stands still for longer than the whole end may take.
    let more = [("KABAR__EDGE__BODY_STALL_MS", "60000"), ("KABAR__EDGE__BODY_SLOW_MS", "60000")];
    let mut server = Server::with(folder.path(), &more, std::process::Stdio::null()).await;
    let bearer = server.tenant().await;
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", provider.local_addr().unwrap());
    let session = session(&server, &bearer, &address).await;
    let message = template(&session, "6281234567890").to_string();
    let (status, sent_message) =
        server.call("POST /v1/messages", &[("authorization", &bearer)], message).await;
    assert_eq!(status, 202, "{sent_message}");
    // The call is made, and nobody answers it.
    let (mut called, _) = tokio::time::timeout(PROMISED, provider.accept()).await.unwrap().unwrap();
    assert!(read(&mut called, 5).await.starts_with("POST "));
    let head = format!(
        "POST /v1/templates HTTP/1.1\r\nhost: kabar\r\nauthorization: {bearer}\r\nexpect: 100-continue\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n"
    );
    let mut still = sent(&server, &head).await;
    assert_eq!(read(&mut still, 25).await, "HTTP/1.1 100 Continue\r\n\r\n");

    let begin = Instant::now();
    server.terminate();
    let status =
        tokio::time::timeout(2 * PROMISED, server.child.wait()).await.expect("it does not end").unwrap();
    let took = begin.elapsed();
    assert!(status.success() && took < PROMISED, "{status} after {took:?}");
    // It was waited for as long as it is said.
    assert!(took > Duration::from_secs(6), "{took:?}");
    drop((called, still));
}
