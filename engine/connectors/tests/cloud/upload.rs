//! The resumable upload against raw sockets: whatever breaks, every byte arrives once and in order.

use bytes::Bytes;
use kabar_connectors::client::Client;
use kabar_connectors::cloud::{Graph, GraphConfig, GraphFailure, Handle, upload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const FILE: &[u8] = b"0123456789abcdefghij";

/// What the server does with the request that comes next.
enum Then {
    /// Answers with this status and body.
    Say(u16, &'static str),
    /// Hangs up without a word.
    HangUp,
}

/// What it heard: request line, headers, body.
type Heard = Vec<(String, String, Vec<u8>)>;

async fn hear(stream: &mut TcpStream) -> (String, String, Vec<u8>) {
    let mut seen = Vec::new();
    let end = loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        seen.push(stream.read_u8().await.unwrap());
    };
    let head = String::from_utf8(seen[..end].to_vec()).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    (line.to_owned(), headers.to_owned(), body)
}

/// A server of this script; a connection carries one request.
async fn server(script: Vec<Then>) -> (Graph, tokio::task::JoinHandle<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = GraphConfig {
        base_url: format!("http://{}", listener.local_addr().unwrap()),
        api_version: "v26.0".into(),
        access_token: "EAAG".into(),
        proofs: std::sync::Arc::default(),
        deadline_ms: 20_000,
    };
    let task = tokio::spawn(async move {
        let mut heard = Vec::new();
        for then in script {
            let (mut stream, _) = listener.accept().await.unwrap();
            heard.push(hear(&mut stream).await);
            if let Then::Say(status, body) = then {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        }
        heard
    });
    (Graph::new(Client::for_providers(), config).unwrap(), task)
}

async fn run(script: Vec<Then>) -> (Result<Handle, GraphFailure>, Heard) {
    let (graph, task) = server(script).await;
    let outcome = upload(&graph, "900", "image/jpeg", "h a.jpg", Bytes::from_static(FILE)).await;
    (outcome, task.await.unwrap())
}

const OPENED: Then = Then::Say(200, r#"{"id":"upload:MTph?sig=AR-_"}"#);
const DONE: Then = Then::Say(200, r#"{"h":"4::aW1h:ARb"}"#);

#[tokio::test]
async fn a_file_becomes_a_handle_in_two_calls() {
    let (outcome, heard) = run(vec![OPENED, DONE]).await;
    assert_eq!(outcome, Ok(Handle("4::aW1h:ARb".to_owned())));
    assert_eq!(
        heard[0].0,
        "post /v26.0/900/uploads?file_length=20&file_type=image%2fjpeg&file_name=h%20a.jpg http/1.1"
    );
    let (line, headers, body) = &heard[1];
    assert_eq!(line, "post /v26.0/upload:mtph?sig=ar-_ http/1.1");
    assert!(headers.contains("authorization: oauth eaag") && headers.contains("file_offset: 0"), "{headers}");
    assert_eq!(body, FILE);
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_meta_stands() {
    let here = Then::Say(200, r#"{"id":"upload:MTph?sig=AR-_","file_offset":"7"}"#);
    let later = Then::Say(200, r#"{"file_offset":20}"#);
    let busy = Then::Say(503, r#"{"error":{"code":2,"message":"m"}}"#);
    let (outcome, heard) = run(vec![OPENED, Then::HangUp, here, busy, later, DONE]).await;
    assert_eq!(outcome, Ok(Handle("4::aW1h:ARb".to_owned())));
    assert!(heard[2].0.starts_with("get /v26.0/upload:mtph") && heard[2].1.contains("oauth eaag"));
    assert!(heard[3].1.contains("file_offset: 7"), "{}", heard[3].1);
    assert_eq!(heard[3].2, &FILE[7..]);
    assert!(heard[5].1.contains("file_offset: 20") && heard[5].2.is_empty(), "{:?}", heard[5]);
}

#[tokio::test]
async fn a_refusal_for_good_and_a_place_outside_the_file_end_it() {
    let refused = r#"{"error":{"code":100,"message":"bad type"}}"#;
    let (outcome, heard) = run(vec![OPENED, Then::Say(400, refused)]).await;
    assert!(matches!(outcome, Err(GraphFailure::Refused(refusal)) if refusal.code == 100));
    assert_eq!(heard.len(), 2);
    let beyond = Then::Say(200, r#"{"file_offset":21}"#);
    let (outcome, _) = run(vec![OPENED, Then::HangUp, beyond]).await;
    assert_eq!(outcome, Err(GraphFailure::Unclear));
    let (outcome, _) = run(vec![Then::Say(200, r#"{"id":"900100"}"#)]).await;
    assert_eq!(outcome, Err(GraphFailure::Unclear), "no place to write to");
}

#[tokio::test]
async fn an_upload_that_always_breaks_is_given_up() {
    let mut script = vec![OPENED];
    for _ in 0..4 {
        script.extend([Then::HangUp, Then::Say(200, r#"{"file_offset":0}"#)]);
    }
    script.push(Then::HangUp);
    let (outcome, heard) = run(script).await;
    assert_eq!(outcome, Err(GraphFailure::Unclear));
    assert_eq!(heard.len(), 10);
}
