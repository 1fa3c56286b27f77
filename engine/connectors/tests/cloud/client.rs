//! The client against raw sockets: for everything that can break, whether a byte may have been received.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use kabar_connectors::client::{Answer, CallError, Client, Guard, Limits, NotSent, Unclear};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const DEADLINE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that does `serve` with each of its first `times` connections, and then accepts no more.
async fn server<F, R>(times: usize, serve: F) -> (String, tokio::task::JoinHandle<()>)
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/messages", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        for nth in 0..times {
            let (stream, _) = listener.accept().await.unwrap();
            serve(nth, stream).await;
        }
    });
    (url, task)
}

/// Reads one request; its body is the word `body`.
async fn hear(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"body") {
        let mut part = [0; 512];
        let count = stream.read(&mut part).await.unwrap();
        assert!(count > 0, "the request is complete");
        seen.extend_from_slice(&part[..count]);
    }
    String::from_utf8(seen).unwrap()
}

async fn say(stream: &mut TcpStream, text: &str) {
    hear(stream).await;
    stream.write_all(text.as_bytes()).await.unwrap();
}

pub(crate) fn request(url: &str) -> Request<Full<Bytes>> {
    Request::post(url).body(Full::new(Bytes::from_static(b"body"))).unwrap()
}

async fn call(url: &str, deadline: Duration) -> Result<Answer, CallError> {
    Client::new(Limits { answer_max: 1_000, ..Limits::default() }, Guard::Open)
        .call(request(url), deadline)
        .await
}

fn unclear(why: Unclear, status: Option<u16>) -> CallError {
    CallError::Unclear { why, status: status.map(|code| StatusCode::from_u16(code).unwrap()) }
}

fn not_sent<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> NotSent {
    match outcome {
        Err(CallError::NotSent(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// A port that is taken and refuses: nobody else can get it meanwhile.
pub(crate) fn refusing_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// A host name that no resolver can ask for: its first label is too long.
pub(crate) fn impossible_host() -> String {
    format!("{}.invalid", "a".repeat(64))
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let (_held, port) = refusing_port();
    assert_eq!(not_sent(call(&format!("http://127.0.0.1:{port}/"), DEADLINE).await), NotSent::Refused);
    assert_eq!(not_sent(call(&format!("http://{}/", impossible_host()), DEADLINE).await), NotSent::Dns);
    assert_eq!(not_sent(call("/no/host", DEADLINE).await), NotSent::Request);
}

#[tokio::test]
async fn a_failed_tls_handshake_sent_nothing() {
    let (url, _task) = server(1, |_, mut stream| async move {
        let mut hello = [0; 64];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    assert_eq!(not_sent(call(&url.replace("http:", "https:"), DEADLINE).await), NotSent::Tls);
}

#[tokio::test]
async fn a_handshake_that_never_ends_sent_nothing() {
    let (url, _task) = server(1, |_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let secure = url.replace("http:", "https:");
    assert_eq!(not_sent(call(&secure, SHORT).await), NotSent::Timeout, "by the deadline");
    let limits = Limits { connect_ms: 100, ..Limits::default() };
    let outcome = Client::new(limits, Guard::Open).call(request(&secure), DEADLINE).await;
    assert_eq!(not_sent(outcome), NotSent::Timeout, "by the limit for connecting");
}

#[tokio::test]
async fn a_request_that_was_heard_but_not_answered_is_unclear() {
    let (url, _task) = server(1, |_, mut stream| async move { _ = hear(&mut stream).await }).await;
    assert_eq!(call(&url, DEADLINE).await.unwrap_err(), unclear(Unclear::Closed, None));

    let (url, _task) = server(1, |_, mut stream| async move {
        hear(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    assert_eq!(call(&url, DEADLINE).await.unwrap_err(), unclear(Unclear::Closed, None));

    let (url, _task) = server(1, |_, mut stream| async move {
        hear(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(call(&url, SHORT).await.unwrap_err(), unclear(Unclear::Deadline, None));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_unclear_and_keeps_its_status() {
    for (text, expected) in [
        ("SMTP ready\r\n\r\n", unclear(Unclear::Malformed, None)),
        ("HTTP/1.1 200 OK\r\ncontent-le", unclear(Unclear::Closed, None)),
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", unclear(Unclear::Closed, Some(200))),
        ("HTTP/1.1 404 No\r\ncontent-length: 9\r\n\r\nhalf", unclear(Unclear::Closed, Some(404))),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n", unclear(Unclear::TooLong, Some(200))),
    ] {
        let (url, _task) = server(1, move |_, mut stream| async move { say(&mut stream, text).await }).await;
        assert_eq!(call(&url, DEADLINE).await.unwrap_err(), expected, "{text}");
    }
}

#[tokio::test]
async fn an_answer_without_a_length_is_cut_off_at_the_cap() {
    for (length, fits) in [(1_000, true), (1_001, false)] {
        let (url, _task) = server(1, move |_, mut stream| async move {
            say(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await;
            for byte in vec![b'x'; length].chunks(300) {
                if stream.write_all(byte).await.is_err() {
                    return;
                }
            }
        })
        .await;
        match call(&url, DEADLINE).await {
            Ok(answer) => assert!(fits && answer.body.len() == length),
            Err(error) => assert!(!fits && error == unclear(Unclear::TooLong, Some(200)), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_packed_was_not_asked_for_and_stays_as_it_is() {
    // The begin of a gzip file; of a bomb every byte stands for a thousand.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3][..], &[0; 90]].concat();
    let packed = bomb.clone();
    let (url, task) = server(1, move |_, mut stream| {
        let bomb = bomb.clone();
        async move {
            let asked = hear(&mut stream).await.to_ascii_lowercase();
            assert!(!asked.contains("accept-encoding") && !asked.contains("\r\nte:"), "{asked}");
            let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&bomb).await.unwrap();
        }
    })
    .await;
    assert_eq!(call(&url, DEADLINE).await.unwrap().body, packed);
    task.await.unwrap();
}

#[tokio::test]
async fn a_body_that_stalls_ends_at_the_deadline() {
    let (url, _task) = server(1, |_, mut stream| async move {
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(call(&url, SHORT).await.unwrap_err(), unclear(Unclear::Deadline, Some(200)));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (url, task) = server(1, |_, mut stream| async move {
        say(&mut stream, "HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
            .await;
    })
    .await;
    assert_eq!(call(&url, DEADLINE).await.unwrap().status, StatusCode::TEMPORARY_REDIRECT);
    task.await.unwrap();
}

#[tokio::test]
async fn connections_are_kept_and_one_closed_meanwhile_costs_nothing() {
    // The first connection answers twice and closes; the third call then needs the second connection.
    let (tell, mut closed) = tokio::sync::mpsc::unbounded_channel();
    let (url, task) = server(2, move |nth, mut stream| {
        let tell = tell.clone();
        async move {
            for _ in 0..(2 - nth) {
                say(&mut stream, OK).await;
            }
            drop(stream);
            tell.send(()).unwrap();
        }
    })
    .await;
    let client = Client::for_providers();
    let good = async || {
        let answer = client.call(request(&url), DEADLINE).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"ok"[..]));
    };
    good().await;
    good().await;
    closed.recv().await.unwrap();
    // Every turn of the runtime looks at the sockets: the client's own task learns of the close.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    good().await;
    task.await.unwrap();
}

#[tokio::test]
async fn what_was_written_to_a_kept_connection_is_never_written_again() {
    let (url, task) = server(2, |nth, mut stream| async move {
        assert_eq!(nth, 0, "the request came a second time");
        say(&mut stream, OK).await;
        hear(&mut stream).await;
    })
    .await;
    let client = Client::for_providers();
    client.call(request(&url), DEADLINE).await.unwrap();
    let second = client.call(request(&url), DEADLINE).await;
    assert_eq!(second.unwrap_err(), unclear(Unclear::Closed, None));
    // A repeat would have been accepted by the server, and its task would have ended.
    assert!(!task.is_finished());
}

#[tokio::test]
async fn the_guard_judges_the_address_behind_the_name() {
    let (url, _task) = server(3, |_, mut stream| async move { say(&mut stream, OK).await }).await;
    let public = Client::new(Limits::default(), Guard::PublicOnly);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433"] {
        let outcome = public.call(request(&url.replace("127.0.0.1", host)), DEADLINE).await;
        let why = not_sent(outcome);
        assert!(matches!(why, NotSent::Blocked | NotSent::Dns), "{host}: {why:?}");
    }
    assert_eq!(not_sent(public.call(request(&url), DEADLINE).await), NotSent::Blocked);
    assert!(Client::new(Limits::default(), Guard::Open).call(request(&url), DEADLINE).await.is_ok());
}
