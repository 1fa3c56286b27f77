//! What strangers may cost: over raw sockets, against a server whose limits are short. Every limit is met, says so,
//! and costs nobody else anything.

use super::dialect::{PNG, form};
use super::house::{House, OPERATOR};
use super::killed::Server;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);
/// A limit that is met soon.
pub const SOON: u64 = 300;
/// The size of the body nobody takes.
const HUGE: usize = 100 << 20;

pub async fn connect(house: &House) -> TcpStream {
    TcpStream::connect(house.running.addr).await.unwrap()
}

/// A connection that has sent this.
pub async fn sent(house: &House, text: &str) -> TcpStream {
    let mut stream = connect(house).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

pub fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: kabar\r\nauthorization: Bearer {OPERATOR}\r\n{more}\r\n")
}

/// One answer: its status and all of its text.
pub async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut seen = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&seen).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0_usize) {
                    return text;
                }
            }
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "it ended after: {text}");
        }
    };
    let text = tokio::time::timeout(DEADLINE, read).await.expect("no answer");
    (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
}

pub async fn ask(stream: &mut TcpStream, text: &str) -> (u16, String) {
    stream.write_all(text.as_bytes()).await.unwrap();
    answer(stream).await
}

/// Waits until the other side has closed, whatever it still says; how many bytes that was.
async fn closed(stream: &mut TcpStream) -> usize {
    let read = async {
        let (mut part, mut all) = (vec![0; 1 << 16], 0);
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            all += count;
        }
        all
    };
    tokio::time::timeout(DEADLINE, read).await.expect("the connection stays open")
}

async fn healthy(house: &House) {
    assert_eq!(ask(&mut connect(house).await, &head("GET", "/healthz", "")).await.0, 200);
}

/// A request that is taken up and waits for the rest of its body.
async fn waiting(house: &House) -> TcpStream {
    let mut stream =
        sent(house, &head("POST", "/v1/tenants", "content-length: 15\r\nexpect: 100-continue\r\n")).await;
    let mut said = vec![0; 25];
    // It is asked for only when a handler reads it.
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn a_head_that_comes_in_drops_is_not_waited_for() {
    let house = House::with(|c| c.edge.head_timeout_ms = SOON).await;
    let (mut slow, begin) = (sent(&house, "GET / HTTP/1.1\r\n").await, Instant::now());
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    loop {
        turn.tick().await;
        let mut end = [0];
        // The drops never end by themselves: only the server ends this.
        match slow.try_read(&mut end) {
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        let _ = slow.write_all(b"x: y\r\n").await;
        assert!(begin.elapsed() < DEADLINE, "it is still waited for");
    }
    assert!(begin.elapsed() >= Duration::from_millis(SOON));
    healthy(&house).await;
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_connection_nobody_uses_is_closed_and_one_at_work_is_not() {
    let house = House::with(|c| c.edge.idle_timeout_ms = SOON).await;
    let (mut never, mut once) = (connect(&house).await, connect(&house).await);
    assert_eq!(ask(&mut once, &head("GET", "/healthz", "")).await.0, 200);
    let mut busy = waiting(&house).await;
    assert_eq!(closed(&mut never).await + closed(&mut once).await, 0);
    assert_eq!(ask(&mut busy, r#"{"name": "Ana"}"#).await.0, 201);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_stands_still_is_given_up() {
    let house = House::with(|c| c.edge.body_stall_ms = SOON).await;
    let mut half = sent(&house, &head("POST", "/v1/tenants", "content-length: 15\r\n")).await;
    let (status, text) = ask(&mut half, "{").await;
    assert!(status == 400 && text.contains("body_unreadable") && text.contains("stood still"), "{text}");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_left() {
    let house = House::with(|c| c.edge.write_stall_ms = SOON).await;
    const TIMES: usize = 200;
    let one = ask(&mut connect(&house).await, &head("GET", "/openapi.json", "")).await.1.len();
    let mut never = sent(&house, &head("GET", "/openapi.json", "").repeat(TIMES)).await;
    let (begin, mut turn) = (Instant::now(), tokio::time::interval(Duration::from_millis(20)));
    while !house
        .call("GET /metrics", &[], "")
        .await
        .text
        .lines()
        .any(|l| l.strip_prefix("kabar_http_in_flight ").is_some())
        || begin.elapsed() < Duration::from_millis(3 * SOON)
    {
        turn.tick().await;
    }
    let taken = closed(&mut never).await;
    assert!(taken < one * TIMES, "all {TIMES} answers were kept for who takes none");
    healthy(&house).await;
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_head_larger_than_allowed_is_refused() {
    let house = House::with(|c| (c.edge.head_max_bytes, c.edge.headers_max) = (8 << 10, 16)).await;
    for more in [format!("x: {}\r\n", "y".repeat(9 << 10)), "x: y\r\n".repeat(17)] {
        let mut stream = sent(&house, &head("GET", "/healthz", &more)).await;
        assert_eq!(answer(&mut stream).await.0, 431);
    }
    assert_eq!(
        ask(&mut connect(&house).await, &head("GET", "/healthz", &"x: y\r\n".repeat(12))).await.0,
        200
    );
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_a_byte_of_it_came() {
    let house = House::open().await;
    let huge = format!("content-length: {HUGE}\r\n");
    for path in ["/v1/tenants", "/v1/contacts/import"] {
        let tenant = house.tenant("Toko").await;
        let more = format!("{huge}kabar-tenant: {}\r\n", tenant.id);
        let small = House::with(|c| c.server.import_max_bytes = 1 << 20).await;
        let other = small.tenant("Toko").await;
        let at = if path.ends_with("import") { &small } else { &house };
        let more = if path.ends_with("import") { more.replace(&tenant.id, &other.id) } else { more };
        let mut stream = sent(at, &head("POST", path, &more)).await;
        let (status, text) = answer(&mut stream).await;
        assert!(status == 413 && text.contains("body_too_large"), "{path}: {text}");
    }
    // Who sends all the same can still read why, and is cut off soon after.
    let mut stream = sent(&house, &head("POST", "/v1/tenants", &huge)).await;
    let mut left = HUGE;
    while left > 0 && stream.try_read(&mut []).is_ok_and(|n| n == 0) {
        match stream.write(&[b' '; 4_096]).await {
            Ok(count) => left -= count.min(left),
            Err(_) => break,
        }
        if HUGE - left > 2 << 20 {
            break;
        }
    }
    assert_eq!(answer(&mut stream).await.0, 413);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_body_of_unsaid_length_is_cut_off_at_the_limit() {
    let house = House::with(|c| c.server.import_max_bytes = 1 << 20).await;
    let tenant = house.tenant("Toko").await;
    for (path, key, row) in [
        ("/v1/tenants", OPERATOR, "                "),
        ("/v1/contacts/import", tenant.key.as_str(), "phone,name,note\n"),
    ] {
        let begin = head("POST", path, "transfer-encoding: chunked\r\n").replace(OPERATOR, key);
        let mut stream = sent(&house, &begin).await;
        let chunk = format!("10000\r\n{}\r\n", row.repeat(0x1000));
        for _ in 0..17 {
            stream.write_all(chunk.as_bytes()).await.unwrap();
        }
        let (status, text) = answer(&mut stream).await;
        assert!(status == 413 && text.contains("body_too_large"), "{path}: {text}");
        closed(&mut stream).await;
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_packed_body_is_refused_unopened() {
    let house = House::open().await;
    // Ten bytes that say they unpack to any size, in every coding, also one inside the other.
    for path in ["/v1/tenants", "/v1/contacts/import?name=x", "/connectors/cloud/app_0000000000001"] {
        for coding in ["gzip", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "gzip, gzip"] {
            let more = format!("content-length: 10\r\ncontent-encoding: {coding}\r\n");
            let mut stream = sent(&house, &(head("POST", path, &more) + "0123456789")).await;
            let (status, text) = answer(&mut stream).await;
            assert!(status == 415 && text.contains("unsupported_media_type"), "{path} {coding}: {text}");
        }
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_and_the_others_keep_theirs() {
    let house = House::with(|c| c.edge.connections_max = 16).await;
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = connect(&house).await;
        assert_eq!(ask(&mut stream, &head("GET", "/healthz", "")).await.0, 200);
        held.push(stream);
    }
    let mut more = connect(&house).await;
    let (status, text) = answer(&mut more).await;
    assert!(status == 503 && text.contains("Retry-After: 1"), "{text}");
    closed(&mut more).await;
    for stream in &mut held {
        assert_eq!(ask(stream, &head("GET", "/healthz", "")).await.0, 200);
    }
    // A place that is given up is somebody else's.
    drop(held.pop());
    let (begin, mut turn) = (Instant::now(), tokio::time::interval(Duration::from_millis(10)));
    loop {
        turn.tick().await;
        let mut next = connect(&house).await;
        if next.write_all(head("GET", "/healthz", "").as_bytes()).await.is_ok()
            && answer(&mut next).await.0 == 200
        {
            break;
        }
        assert!(begin.elapsed() < DEADLINE, "the place stays taken");
    }
    drop(held);
    house.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_idle_connections_are_held_and_others_are_answered_beside() {
    let house = House::open().await;
    let mut held = Vec::new();
    for _ in 0..5_000 {
        held.push(connect(&house).await);
    }
    // Each is taken, not only waiting at the door.
    for stream in held.iter_mut().step_by(50) {
        assert_eq!(ask(stream, &head("GET", "/healthz", "")).await.0, 200);
    }
    let tenant = house.tenant("Toko").await;
    let mut slowest = Duration::ZERO;
    for _ in 0..200 {
        let begin = Instant::now();
        assert_eq!(tenant.get("/v1/templates").await.status, 200);
        slowest = slowest.max(begin.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    for stream in &mut held {
        assert_eq!(ask(stream, &head("GET", "/healthz", "")).await.0, 200);
    }
    drop(held);
    house.running.shutdown().await;
}

#[tokio::test]
async fn more_than_can_be_in_hand_is_answered_with_when_to_come_back() {
    let house = House::with(|c| c.edge.in_flight_max = 4).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(waiting(&house).await);
    }
    let (status, text) = ask(&mut connect(&house).await, &head("GET", "/v1/tenants", "")).await;
    assert!(
        status == 429 && text.contains("\"code\":\"overloaded\"") && text.contains("retry-after: 1"),
        "{text}"
    );
    healthy(&house).await;
    for mut stream in held {
        assert_eq!(ask(&mut stream, r#"{"name": "Ana"}"#).await.0, 201);
    }
    assert_eq!(ask(&mut connect(&house).await, &head("GET", "/v1/tenants", "")).await.0, 200);
    house.running.shutdown().await;
}

#[tokio::test]
async fn bodies_are_counted_together_by_what_came_and_not_by_what_was_said() {
    let house = House::with(|c| c.edge.in_flight_max_bytes = 1 << 20).await;
    let large = head("POST", "/v1/tenants", &format!("content-length: {}\r\n", 1 << 20));
    // Between them these say four times what there is room for, and send nothing.
    let mut said = Vec::new();
    for _ in 0..4 {
        said.push(sent(&house, &large.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")).await);
        said.last_mut().unwrap().read_exact(&mut [0; 25]).await.unwrap();
    }
    assert_eq!(ask(&mut connect(&house).await, &head("GET", "/v1/tenants", "")).await.0, 200);
    let tenant = house.tenant("Toko").await;
    tenant.idle_session("106540352242922").await;
    let picture = [PNG, &vec![0; 1 << 20]].concat();
    let (form, file) = form(&[], Some(("image/png", &picture)));
    let rows = format!("name,phone\n{}", "Ana,+6281234567890\n".repeat(60_000));
    // Whoever reads them, and however far: it is told when to come back, not that the body was bad.
    for (path, kind, body, word) in [
        ("/v1/tenants", "application/json", &[b' '; 1 << 20][..], "\"overloaded\""),
        ("/v1/contacts/import", "text/csv", rows.as_bytes(), "\"overloaded\""),
        ("/v1/media", &form, &file, "\"overloaded\""),
        ("/v23.0/106540352242922/media", &form, &file, "\"code\":130429"),
        ("/v23.0/106540352242922/messages", "application/json", &[b' '; 1 << 20], "\"code\":130429"),
    ] {
        let of = if path == "/v1/tenants" { OPERATOR } else { &tenant.key };
        let more = format!("content-type: {kind}\r\ncontent-length: {}\r\n", body.len());
        let mut stream = sent(&house, &head("POST", path, &more).replace(OPERATOR, of)).await;
        // Its end may never be taken.
        let _ = stream.write_all(body).await;
        let (status, text) = answer(&mut stream).await;
        assert!(status == 429 && text.contains(word) && text.contains("retry-after: 1"), "{path}: {text}");
    }
    drop(said);
    assert_eq!(tenant.get("/v1/media").await.json()["data"], serde_json::json!([]));
    let alone = tenant.import(&rows).await;
    assert_eq!((&alone["rows_read"], &alone["imported"]), (&60_000.into(), &1.into()), "{alone}");
    house.running.shutdown().await;
}

/// The address of an app, and a whole webhook to it that its secret signs.
async fn webhook(house: &House) -> (String, String) {
    let tenant = house.tenant("Toko").await;
    let app = serde_json::json!({"app_secrets": ["secret"], "verify_token": "token"});
    let path = format!("/connectors/cloud/{}", tenant.call("POST /v1/apps", app).await.id());
    let body = r#"{"object": "whatsapp_business_account", "entry": []}"#;
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::Mac>::new_from_slice(b"secret").unwrap();
    hmac::Mac::update(&mut mac, body.as_bytes());
    let hex: String =
        hmac::Mac::finalize(mac).into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let more = format!("x-hub-signature-256: sha256={hex}\r\ncontent-length: {}\r\n", body.len());
    let whole = head("POST", &path, &more) + body;
    (path, whole)
}

#[tokio::test]
async fn a_strangers_webhook_is_answered_before_its_body_and_takes_no_place() {
    let house = House::with(|c| c.edge.in_flight_max = 8).await;
    let (known, whole) = webhook(&house).await;
    let wrong = "x-hub-signature-256: sha256=zz\r\n";
    for length in ["content-length: 10\r\n", "content-length: 3000000\r\n", "transfer-encoding: chunked\r\n"]
    {
        let mut held = Vec::new();
        for (path, more, status) in [
            ("/connectors/cloud/app_0000000000001", "", 404),
            (known.as_str(), "", 401),
            (known.as_str(), wrong, 401),
        ] {
            for _ in 0..4 {
                let mut stream = sent(&house, &head("POST", path, &format!("{more}{length}"))).await;
                let (seen, text) = answer(&mut stream).await;
                assert_eq!(seen, status, "{text}");
                held.push(stream);
            }
        }
        assert_eq!(ask(&mut connect(&house).await, &head("GET", "/v1/tenants", "")).await.0, 200);
        assert_eq!(ask(&mut connect(&house).await, &whole).await.0, 200);
    }
    house.running.shutdown().await;
}

#[tokio::test]
async fn webhooks_whose_bodies_do_not_come_take_a_few_places_and_not_for_long() {
    let house = House::with(|c| (c.edge.in_flight_max, c.edge.webhook_body_ms) = (8, 3 * SOON)).await;
    let (path, whole) = webhook(&house).await;
    // Anybody who knows the address can say this much.
    let more = format!("x-hub-signature-256: sha256={}\r\ncontent-length: 9\r\n", "0".repeat(64));
    let slow = head("POST", &path, &more);
    let begin = Instant::now();
    let mut held = Vec::new();
    for nth in 0..12 {
        let mut stream = sent(&house, &slow).await;
        if nth >= 2 {
            let (status, text) = answer(&mut stream).await;
            assert!(status == 429 && text.contains("overloaded"), "{nth}: {text}");
            continue;
        }
        // It waits before the next one comes.
        let waits = stream.readable();
        assert!(tokio::time::timeout(Duration::from_millis(50), waits).await.is_err(), "it is answered");
        held.push(stream);
    }
    assert_eq!(ask(&mut connect(&house).await, &head("GET", "/v1/tenants", "")).await.0, 200);
    // One that comes whole waits for nothing, so it needs no such place.
    assert_eq!(ask(&mut connect(&house).await, &whole).await.0, 200);
    assert!(begin.elapsed() < Duration::from_millis(3 * SOON), "too late to show anything");
    for mut stream in held {
        // A drop now and then is no body either.
        stream.write_all(b" ").await.unwrap();
        let (status, text) = answer(&mut stream).await;
        assert!(status == 400 && text.contains("body_unreadable"), "{text}");
    }
    let mut next = sent(&house, &slow).await;
    next.write_all(b"123456789").await.unwrap();
    assert_eq!(answer(&mut next).await.0, 401);
    house.running.shutdown().await;
}

/// The most memory a process had at once, MB.
fn peak_mb(server: &Server) -> u64 {
    let path = format!("/proc/{}/status", server.child.id().unwrap());
    let status = std::fs::read_to_string(path).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_100_mb_passes_through_a_fraction_of_its_size_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let bearer = server.tenant().await;
    // One person over and over, with much beside.
    let row = format!("Budi,081234567890,{}\n", "x".repeat(1_000));
    let (first, rows) = ("name,phone,note\n", HUGE / row.len());
    let block = row.repeat(64);
    let length = first.len() + rows / 64 * block.len();
    let mut stream = TcpStream::connect(&server.at).await.unwrap();
    let head = format!(
        "POST /v1/contacts/import?name=huge&default_region=ID HTTP/1.1\r\nhost: kabar\r\nauthorization: {bearer}\r\n\
         content-type: text/csv\r\ncontent-length: {length}\r\n\r\n{first}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Something was read before it is measured from here.
    stream.write_all(block.as_bytes()).await.unwrap();
    let before = peak_mb(&server);
    for _ in 1..rows / 64 {
        stream.write_all(block.as_bytes()).await.unwrap();
    }
    let (status, text) = answer(&mut stream).await;
    let read = format!("\"rows_read\":{}", rows / 64 * 64);
    assert!(status == 201 && text.contains(&read) && text.contains("\"imported\":1,"), "{text}");
    let more = peak_mb(&server) - before;
    // The allocator gives back late; a file held whole would be twice this and more.
    assert!(more < 64, "{more} MB more for a file of {} MB", HUGE >> 20);
    server.end().await;
}
