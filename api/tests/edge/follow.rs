//! Following events, by stream and by socket: who comes back with its place misses nothing, who is too old is told so,
//! who does not read costs nobody else anything, and the end of the server is the end of both.

use super::house::{House, OPERATOR, Tenant, template};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kabar_engine::entry::Position;
use kabar_engine::id::ShardId;
use kabar_engine::time::Timestamp;
use kabar_schema::store::Store;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{timeout, timeout_at};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

const DEADLINE: Duration = Duration::from_secs(60);

fn tomorrow() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    Timestamp(i64::try_from(now).unwrap() + 86_400_000).to_rfc3339()
}

fn later(session: &str, to: &str) -> Value {
    let mut row = template(session, to);
    row["options"] = json!({"send_at": tomorrow(), "valid_for_seconds": 600});
    row
}

async fn send_later(tenant: &Tenant<'_>, session: &str) -> String {
    tenant.call("POST /v1/messages", later(session, "6281234567890")).await.id()
}

/// Many at once; every message is one event.
async fn send_many(tenant: &Tenant<'_>, session: &str, count: usize) {
    let rows = vec![later(session, "6281234567890"); count];
    let answer = tenant.call("POST /v1/messages/batch", json!({"messages": rows})).await;
    assert_eq!(answer.status, 200, "{}", &answer.text[..200]);
}

/// A stream that is open.
struct Stream {
    body: Incoming,
    text: String,
    /// The last place that was told.
    place: String,
}

impl Stream {
    async fn open(house: &House, tenant: &Tenant<'_>, query: &str, last: Option<&str>) -> Self {
        Self::at(house, tenant, &format!("/v1/events/stream?{query}"), last).await
    }

    /// As a browser asks.
    async fn at(house: &House, tenant: &Tenant<'_>, path: &str, last: Option<&str>) -> Self {
        let bearer = format!("Bearer {}", tenant.key);
        let mut request = Request::builder()
            .uri(format!("{}{path}", house.running.url()))
            .header("accept", "text/event-stream")
            .header("authorization", bearer);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["content-type"]),
            (hyper::StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
        Self { body: response.into_body(), text: String::new(), place: String::new() }
    }

    /// The next event; `None` at the end. A block without data only tells the place.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = None;
                for line in block.lines() {
                    match line.split_once(':') {
                        Some(("id", place)) => self.place = place.trim().to_owned(),
                        Some(("data", data)) => event = Some(serde_json::from_str(data).unwrap()),
                        _ => {}
                    }
                }
                self.text = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = timeout(DEADLINE, self.body.frame()).await.expect("an event in time")?;
            self.text.push_str(std::str::from_utf8(&frame.ok()?.into_data().unwrap()).unwrap());
        }
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn socket(house: &House, tenant: &Tenant<'_>, query: &str) -> Socket {
    socket_at(house, tenant, &format!("/v1/events/socket?{query}")).await
}

async fn socket_at(house: &House, tenant: &Tenant<'_>, path: &str) -> Socket {
    let tcp = TcpSocket::new_v4().unwrap();
    // So that a reader that stops is felt soon.
    tcp.set_recv_buffer_size(4_096).unwrap();
    let tcp = tcp.connect(house.running.addr).await.unwrap();
    let url = format!("ws://{}{path}", house.running.addr);
    let mut request = url.into_client_request().unwrap();
    let bearer = format!("Bearer {}", tenant.key).parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    client_async(request, tcp).await.unwrap().0
}

/// The next frame with events and its cursor, or the code of the close.
async fn frame(socket: &mut Socket) -> Result<(Vec<Value>, String), u16> {
    // Pings are no frames: they must not make a wait without an end.
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match timeout_at(end, socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                let events = frame["events"].as_array().unwrap().clone();
                return Ok((events, frame["cursor"].as_str().unwrap().to_owned()));
            }
            Some(Ok(Message::Close(Some(close)))) => return Err(close.code.into()),
            Some(Ok(_)) => {}
            None | Some(Err(_)) => return Err(0),
        }
    }
}

/// Waits until the server has let go of a connection on which nothing is read: its end is behind what nobody takes, so only
/// the kernel tells of it.
async fn left(house: &House, stream: &TcpStream) {
    let end = |addr: std::net::SocketAddr| match addr.ip() {
        std::net::IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), addr.port()),
        std::net::IpAddr::V6(ip) => panic!("{ip} is not in this table"),
    };
    let open = format!("{} {} 01", end(house.running.addr), end(stream.local_addr().unwrap()));
    let table = || std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    while table().contains(&open) {
        turn.tick().await;
        assert!(begun.elapsed() < DEADLINE, "a reader that takes nothing is still served");
    }
}

fn messages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["data"]["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_stream_that_is_cut_off_goes_on_with_its_last_id_and_misses_nothing() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let session = tenant.idle_session("106000000000001").await;
    let (mut sent, mut read, mut last) = (Vec::new(), Vec::new(), None);
    let mut silent = Stream::open(&house, &other, "", None).await;
    let mut place = Stream::open(&house, &tenant, "types=message.accepted", None).await;
    for turn in 1..6 {
        // Cut off in the middle of what there is; the rest comes again.
        for _ in 0..turn + 2 {
            sent.push(send_later(&tenant, &session).await);
        }
        for _ in 0..turn {
            let event = place.next().await.unwrap();
            assert_eq!((&event["type"], &event["tenant"]), (&json!("message.accepted"), &json!(tenant.id)));
            read.push((event["id"].clone(), event["data"]["message"].clone()));
        }
        last = if place.place.is_empty() { last } else { Some(place.place.clone()) };
        drop(place);
        place = Stream::open(&house, &tenant, "types=message.accepted", last.as_deref()).await;
    }
    while read.last().is_none_or(|(_, message)| Some(message) != sent.last().map(|s| json!(s)).as_ref()) {
        let event = place.next().await.unwrap();
        read.push((event["id"].clone(), event["data"]["message"].clone()));
    }
    let mut seen = std::collections::BTreeSet::new();
    read.retain(|(id, _)| seen.insert(id.as_str().unwrap().to_owned()));
    assert_eq!(read.iter().map(|(_, m)| m.as_str().unwrap()).collect::<Vec<_>>(), sent);
    // The end of the server is the end of the streams; another tenant's has told nothing.
    let begin = std::time::Instant::now();
    let House { running, .. } = house;
    let ended = tokio::join!(running.shutdown(), place.next(), silent.next());
    assert_eq!((ended.1, ended.2), (None, None));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_stream_reaches_back_to_a_moment_and_chooses_as_the_list_does() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let sessions =
        [tenant.idle_session("106000000000001").await, tenant.idle_session("106000000000002").await];
    let mut sent = Vec::new();
    for session in [&sessions[0], &sessions[1], &sessions[0]] {
        sent.push(send_later(&tenant, session).await);
    }
    let query = format!("since=2024-06-01T00:00:00Z&types=message.accepted&session={}", sessions[0]);
    let mut stream = Stream::open(&house, &tenant, &query, None).await;
    for message in [&sent[0], &sent[2]] {
        assert_eq!(stream.next().await.unwrap()["data"]["message"], **message);
    }
    for (query, code) in [("after=x", 400), ("types=dance", 400), ("limit=3", 400)] {
        let refused = tenant.get(&format!("/v1/events/stream?{query}")).await;
        assert_eq!(refused.status, code, "{refused:?}");
    }
    let plain = tenant.get("/v1/events/socket").await;
    assert_eq!(plain.problem(), (426, "upgrade_required".into()));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_follower_older_than_what_is_kept_is_told_so_and_the_end_is_still_good() {
    let store = Store::memory();
    let house = House::on(store.clone(), |_| {}).await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    send_later(&tenant, &session).await;
    let early = tenant.get("/v1/events?limit=1").await.json()["next"].as_str().unwrap().to_owned();
    let mut idle = socket(&house, &tenant, "").await;
    let (_, end) = frame(&mut idle).await.unwrap();
    let everything: Vec<_> = ShardId::all().map(|shard| (shard, Position(u64::MAX))).collect();
    store.journal.retire(&everything, Timestamp(i64::MAX)).await.unwrap();
    for path in ["/v1/events/stream", "/v1/events?"] {
        let glue = if path.ends_with('?') { "" } else { "?" };
        let refused = tenant.get(&format!("{path}{glue}after={early}")).await;
        assert_eq!(refused.problem(), (410, "cursor_expired".into()));
    }
    // Who stood at the end has missed nothing.
    let sent = send_later(&tenant, &session).await;
    let (events, _) = frame(&mut idle).await.unwrap();
    assert_eq!(messages(&events), [sent.as_str()]);
    let mut back = socket(&house, &tenant, &format!("after={end}")).await;
    assert_eq!(messages(&frame(&mut back).await.unwrap().0), [sent.as_str()]);
    // Named later, the old place closes the socket by its code.
    back.send(Message::text(json!({"after": early}).to_string())).await.unwrap();
    assert_eq!(frame(&mut back).await, Err(4_410));
    idle.send(Message::text("dance")).await.unwrap();
    assert_eq!(frame(&mut idle).await, Err(4_400));
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_socket_goes_on_behind_any_cursor_and_is_closed_when_the_server_ends() {
    let house = House::open().await;
    let (tenant, other) = (house.tenant("A").await, house.tenant("B").await);
    let session = tenant.idle_session("106000000000001").await;
    let mut reader = socket(&house, &tenant, "types=message.accepted").await;
    let (none, begin) = frame(&mut reader).await.unwrap();
    assert!(none.is_empty());
    let mut sent = Vec::new();
    let mut read = Vec::new();
    for _ in 0..4 {
        sent.push(send_later(&tenant, &session).await);
        read.extend(frame(&mut reader).await.unwrap().0);
    }
    assert_eq!(messages(&read), sent);
    // The same again, from where it began.
    reader.send(Message::text(json!({"after": begin}).to_string())).await.unwrap();
    assert_eq!(messages(&frame(&mut reader).await.unwrap().0), sent);
    let mut stranger = socket(&house, &other, &format!("after={begin}")).await;
    assert!(frame(&mut stranger).await.unwrap().0.is_empty());
    let House { running, .. } = house;
    let (_, mine, theirs) = tokio::join!(running.shutdown(), frame(&mut reader), frame(&mut stranger));
    assert_eq!((mine, theirs), (Err(1_001), Err(1_001)));
}

#[tokio::test]
async fn the_one_address_of_events_gives_a_page_a_stream_and_a_socket_as_it_is_asked() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut stream = Stream::at(&house, &tenant, "/v1/events", None).await;
    let mut reader = socket_at(&house, &tenant, "/v1/events?types=message.accepted").await;
    frame(&mut reader).await.unwrap();
    let message = send_later(&tenant, &session).await;
    let is_ours = |event: &Value| event["type"] == "message.accepted" && event["data"]["message"] == message;
    while !is_ours(&stream.next().await.unwrap()) {}
    assert!(is_ours(&frame(&mut reader).await.unwrap().0[0]));
    // Who comes back with its last id goes on there, as at the stream's own address.
    let place = stream.place.clone();
    let mut behind = Stream::at(&house, &tenant, "/v1/events?since=2020-01-01T00:00:00Z", Some(&place)).await;
    let next = send_later(&tenant, &session).await;
    while behind.next().await.unwrap()["data"]["message"] != next {}
    for accept in ["application/json", "*/*", "application/json, text/event-stream"] {
        let page = tenant.with("GET /v1/events", &[("accept", accept)], Value::Null).await;
        assert_eq!((page.status, &page.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    }
    let paged = [("accept", "text/event-stream")];
    let refused = tenant.with("GET /v1/events?limit=3", &paged, Value::Null).await;
    assert_eq!(refused.problem(), (400, "invalid_query".into()));
    house.running.shutdown().await;
}

/// Events come all the while, so nothing is ever silent for as long as a heartbeat.
#[tokio::test]
async fn a_stream_that_is_never_silent_ends_within_15_seconds_of_its_key_too() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let other = house.made_key(&[("kabar-tenant", &tenant.id)], json!({"name": "other"})).await;
    let mut stream = Stream::open(&house, &tenant, "", None).await;
    let later = later(&session, "6281234567890");
    let revoke = format!("DELETE /v1/keys/{}", tenant.key_id);
    for nth in 0..3 {
        let sent = house.by(&other.1, "POST /v1/messages", &[], later.clone()).await;
        assert_eq!(sent.status, 202, "{sent:?}");
        while stream.next().await.unwrap()["type"] != "message.accepted" {}
        if nth == 0 {
            let revoked = house.by(&other.1, &revoke, &[], Value::Null).await;
            assert_eq!(revoked.status, 200, "{revoked:?}");
        }
        // Twice seven seconds, and then two.
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs([7, 7, 2][nth])).await;
        tokio::time::resume();
    }
    let begin = std::time::Instant::now();
    assert_eq!(stream.next().await.unwrap()["code"], "invalid_key");
    assert_eq!(stream.next().await, None);
    assert!(begin.elapsed() < Duration::from_secs(5), "it ended after a silence");
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_stream_and_a_socket_do_not_outlive_their_key() {
    let house = House::open().await;
    let tenant = house.tenant("A").await;
    let mut stream = Stream::open(&house, &tenant, "", None).await;
    let mut reader = socket(&house, &tenant, "").await;
    frame(&mut reader).await.unwrap();
    let revoke = format!("DELETE /v1/keys/{}", tenant.key_id);
    let revoked = house.operator(&revoke, &[("kabar-tenant", &tenant.id)], Value::Null).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16)).await;
    tokio::time::resume();
    assert_eq!(stream.next().await.unwrap()["code"], "invalid_key");
    assert_eq!(stream.next().await, None);
    assert_eq!(frame(&mut reader).await.unwrap_err(), 4_401);
    house.running.shutdown().await;
}

#[tokio::test]
async fn a_socket_that_takes_nothing_is_closed_and_costs_the_others_nothing() {
    let house = House::with(|config| config.edge.write_stall_ms = 2_000).await;
    let tenant = house.tenant("A").await;
    let session = tenant.idle_session("106000000000001").await;
    let mut slow = socket(&house, &tenant, "types=message.accepted").await;
    let mut quick = socket(&house, &tenant, "types=message.accepted").await;
    let mut read = frame(&mut quick).await.unwrap().0.len();
    let (count, each) = (24, 1_000);
    let send = async {
        for _ in 0..count {
            send_many(&tenant, &session, each).await;
        }
    };
    let follow = async {
        while read < count * each {
            read += frame(&mut quick).await.unwrap().0.len();
        }
    };
    tokio::join!(send, follow);
    assert_eq!(read, count * each);
    // Whoever reads on before that is none that takes nothing.
    left(&house, slow.get_ref()).await;
    let mut taken = 0;
    let code = loop {
        match frame(&mut slow).await {
            Ok((events, _)) => taken += events.len(),
            Err(code) => break code,
        }
    };
    assert!(taken < count * each && [0, 4_408].contains(&code), "{taken} events, then {code}");
    let operator = format!("Bearer {OPERATOR}");
    assert_eq!(house.call("GET /v1/tenants", &[("authorization", &operator)], "").await.status, 200);
    house.running.shutdown().await;
}
