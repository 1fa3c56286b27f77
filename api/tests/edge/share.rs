//! Bodies that may take as long as they like: whoever sends many of them slowly holds its half of the places, the others
//! have theirs, and drops are not waited for.

use super::house::{House, OPERATOR, Tenant};
use super::limit::{SOON, answer, ask, connect, head, sent};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The begin of a request of this tenant's that says what its body will be.
fn begin(tenant: &Tenant<'_>, path: &str, kind: &str) -> String {
    let head = head("POST", path, &format!("content-type: {kind}\r\ncontent-length: 1000000\r\n"));
    head.replace(OPERATOR, &tenant.key)
}

/// One that has its place: its body is asked for.
async fn held(house: &House, tenant: &Tenant<'_>, path: &str, kind: &str) -> TcpStream {
    let mut stream =
        sent(house, &begin(tenant, path, kind).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")).await;
    let mut said = [0; 25];
    tokio::time::timeout(Duration::from_secs(30), stream.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn a_tenant_that_holds_all_the_files_it_can_leaves_the_others_theirs() {
    let house = House::with(|c| (c.server.imports_max, c.server.media_at_once) = (4, 4)).await;
    let (one, other) = (house.tenant("A").await, house.tenant("B").await);
    let form = "multipart/form-data; boundary=x";
    for (path, kind) in [("/v1/contacts/import", "text/csv"), ("/v1/media", form)] {
        let mut streams = Vec::new();
        for _ in 0..2 {
            streams.push(held(&house, &one, path, kind).await);
        }
        let (status, text) = ask(&mut connect(&house).await, &begin(&one, path, kind)).await;
        assert!(status == 429 && text.contains("overloaded"), "{path}: {text}");
        let mut theirs = vec![held(&house, &other, path, kind).await, held(&house, &other, path, kind).await];
        drop(theirs.pop());
        drop((streams, theirs));
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_comes_in_drops_is_given_up_though_it_never_stands_still() {
    let house = House::with(|c| c.edge.body_slow_ms = 2 * SOON).await;
    let tenant = house.tenant("A").await;
    let mut drops = sent(&house, &begin(&tenant, "/v1/contacts/import", "text/csv")).await;
    let (since, mut turn) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    let mut seen = [0];
    while drops.try_read(&mut seen).is_err() {
        turn.tick().await;
        assert!(since.elapsed() < Duration::from_secs(20), "it is still waited for");
        if drops.write_all(b"a").await.is_err() {
            break;
        }
    }
    assert!(since.elapsed() >= Duration::from_millis(2 * SOON), "{:?}", since.elapsed());
    assert_eq!(seen, *b"H");
    let (status, text) = answer(&mut drops).await;
    assert!(status == 0 || text.contains("slower than 1 KiB"), "{text}");
    house.running.shutdown().await;
}
