//! The guard through the real client: no spelling of an inside address, no name that means one, no redirect to one
//! leads to a connection. A trap listens where the attacks aim at, and counts.

use super::client::request;
use futures::future::BoxFuture;
use http::Uri;
use kabar_connectors::client::{
    CallError, Client, FetchError, Guard, Limits, Networks, NotSent, Resolve, System,
};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const DEADLINE: Duration = Duration::from_secs(20);

/// URLs that must lead nowhere. PORT is the trap's, so that what passed would be seen there.
const REFUSED: &[&str] = &[
    // Addresses of this machine, as people write them.
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.8.9.1:PORT/",
    "http://127.255.255.254:PORT/",
    "http://0.0.0.0:PORT/",
    "http://[::1]:PORT/",
    "http://[::]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "https://127.0.0.1:PORT/",
    "http://127.0.0.1:22/",
    "http://127.0.0.1:65535/",
    // Octal, decimal, hexadecimal, short.
    "http://0177.0.0.1:PORT/",
    "http://0177.0000.0000.0001:PORT/",
    "http://00000177.1:PORT/",
    "http://2130706433:PORT/",
    "http://017700000001:PORT/",
    "http://0x7f000001:PORT/",
    "http://0X7F000001:PORT/",
    "http://0x7f.0x0.0x0.0x1:PORT/",
    "http://0x7f.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.65530:PORT/",
    "http://0:PORT/",
    "http://0x0:PORT/",
    "http://3232235777:PORT/",
    "http://0xA9FEA9FE:PORT/",
    "http://2852039166:PORT/latest/meta-data/",
    "http://0251.0376.0251.0376:PORT/",
    "http://425.510.425.510:PORT/",
    // Private, shared, link-local, multicast, reserved.
    "http://10.0.0.1:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.255:PORT/",
    "http://192.168.1.1:PORT/",
    "http://100.64.0.1:PORT/",
    "http://169.254.1.1:PORT/",
    "http://192.0.0.192:PORT/",
    "http://198.18.0.1:PORT/",
    "http://192.0.2.1:PORT/",
    "http://203.0.113.1:PORT/",
    "http://224.0.0.1:PORT/",
    "http://240.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
    "http://[fc00::1]:PORT/",
    "http://[fd00:ec2::254]:PORT/latest/meta-data/",
    "http://[fe80::1]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[fe80::1%lo]:PORT/",
    "http://[::1%25lo]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://[2001:db8::1]:PORT/",
    "http://[100::1]:PORT/",
    // Where clouds keep their secrets.
    "http://169.254.169.254/latest/meta-data/iam/security-credentials/",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16.:PORT/metadata",
    "http://metadata.google.internal:PORT/computeMetadata/v1/",
    // IPv4 in the clothes of IPv6.
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::ffff:169.254.169.254]:PORT/",
    "http://[0:0:0:0:0:ffff:10.0.0.1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::7f00:1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::a9fe:a9fe]:PORT/",
    "http://[64:ff9b:1::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:a9fe:a9fe::1]:PORT/",
    "http://[2001:0:7f00:1::]:PORT/",
    // Somebody else's name in front or behind.
    "http://1.1.1.1@127.0.0.1:PORT/",
    "http://user:pass@127.0.0.1:PORT/",
    "http://1.1.1.1:80@127.0.0.1:PORT/",
    "http://public.example@localhost:PORT/",
    "http://127.0.0.1:PORT#@1.1.1.1/",
    "http://127.0.0.1:PORT?@1.1.1.1/",
    "http://127.0.0.1:PORT\\@1.1.1.1/",
    "http://1.1.1.1&@127.0.0.1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127.0.0.1%00.public.example:PORT/",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:PORT/_GET",
    // Names, and letters that become them.
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://a.localhost:PORT/",
    "http://inside.example:PORT/",
    "http://inside6.example:PORT/",
    "http://mapped.example:PORT/",
    "http://both.example:PORT/",
    "http://127.0.0.1.nip.example:PORT/",
    "http://xn--bcher-kva.example:PORT/",
    "http://b\u{fc}cher.example:PORT/",
    "http://127\u{ff0e}0\u{ff0e}0\u{ff0e}1:PORT/",
    "http://127\u{3002}0\u{3002}0\u{3002}1:PORT/",
    "http://\u{2460}\u{2461}\u{2466}.0.0.1:PORT/",
    "http://\u{24db}ocalhost:PORT/",
    "http://[\u{ff1a}\u{ff1a}1]:PORT/",
];

/// Of those, some that a client without a guard follows into the trap.
const DANGEROUS: &[&str] = &[
    "http://127.0.0.1:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://127.1:PORT/",
    "http://0:PORT/",
    "http://1.1.1.1@127.0.0.1:PORT/",
    "http://localhost:PORT/",
    "http://inside.example:PORT/",
    "http://xn--bcher-kva.example:PORT/",
];

/// Knows what names mean, one answer after the other, the last one for good; spelt addresses are the system's to read.
#[derive(Default)]
struct Told(Mutex<HashMap<&'static str, Vec<Vec<IpAddr>>>>);

impl Told {
    fn names() -> Arc<Self> {
        let told = Self::default();
        for (name, means) in [
            ("localhost", "127.0.0.1"),
            ("localhost.", "127.0.0.1"),
            ("a.localhost", "127.0.0.1"),
            ("metadata.google.internal", "169.254.169.254"),
            ("inside.example", "127.0.0.1"),
            ("inside6.example", "::1"),
            ("mapped.example", "::ffff:127.0.0.1"),
            ("xn--bcher-kva.example", "127.0.0.1"),
        ] {
            told.tell(name, &[&[means]]);
        }
        told.tell("both.example", &[&["10.0.0.1", "127.0.0.1", "fe80::1"]]);
        told.tell("127.0.0.1.nip.example", &[&["127.0.0.1"]]);
        Arc::new(told)
    }

    fn tell(&self, name: &'static str, answers: &[&[&str]]) {
        let read = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        self.0.lock().unwrap().insert(name, answers.iter().map(read).collect());
    }

    fn next(&self, host: &str) -> Option<Vec<IpAddr>> {
        let mut names = self.0.lock().unwrap();
        let answers = names.get_mut(host.to_ascii_lowercase().as_str())?;
        Some(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() })
    }
}

impl Resolve for Told {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        if let Some(answer) = self.next(host) {
            let all = answer.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            return Box::pin(std::future::ready(Ok(all)));
        }
        // No question of a test goes to a name server.
        if host.contains(':')
            || host.trim_end_matches('.').bytes().all(|b| b.is_ascii_hexdigit() || b"xX.".contains(&b))
        {
            return System.resolve(host, port);
        }
        Box::pin(std::future::ready(Err(io::ErrorKind::NotFound.into())))
    }
}

/// Answers everybody, and counts them.
async fn listen(at: &str, answer: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((at, 0)).await.unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut seen = Vec::new();
            // Of a TLS handshake no head comes.
            while !seen.windows(4).any(|w| w == b"\r\n\r\n")
                && stream.read_buf(&mut seen).await.unwrap_or(0) > 0
            {}
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, seen)
}

fn ok() -> String {
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_owned()
}

fn moved(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn client(guard: Guard, told: &Arc<Told>) -> Client {
    Client::with_resolver(Limits::default(), guard, Arc::clone(told) as Arc<dyn Resolve>)
}

fn outside_and(networks: &str) -> Guard {
    Guard::PublicAnd(networks.parse::<Networks>().unwrap())
}

/// Why nothing was sent; `None` for what is no URL at all.
async fn refusal(client: &Client, url: &str) -> Option<NotSent> {
    url.parse::<Uri>().ok()?;
    match client.call(request(url), DEADLINE).await {
        Err(CallError::NotSent(why)) => Some(why),
        other => panic!("{url} was tried: {other:?}"),
    }
}

#[tokio::test]
async fn no_spelling_of_an_inside_address_is_connected() {
    assert!(REFUSED.len() >= 60, "{}", REFUSED.len());
    let (port, trap) = listen("127.0.0.1", ok()).await;
    let (told, spelt) = (Told::names(), |form: &str| form.replace("PORT", &port.to_string()));
    let mut blocked = 0;
    for guard in [Guard::PublicOnly, outside_and("10.20.0.0/16, fd12::/16")] {
        let client = client(guard, &told);
        for form in REFUSED {
            let why = refusal(&client, &spelt(form)).await;
            // What the client cannot read it cannot reach either; all that has an address is refused for the address.
            assert!(
                matches!(why, None | Some(NotSent::Blocked | NotSent::Dns | NotSent::Request)),
                "{form}: {why:?}"
            );
            blocked += usize::from(why == Some(NotSent::Blocked));
        }
    }
    assert_eq!(trap.load(Ordering::SeqCst), 0);
    assert!(blocked >= 2 * 60, "only {blocked} got as far as an address");
    let open = client(Guard::Open, &told);
    for form in DANGEROUS {
        assert!(REFUSED.contains(form), "{form}");
        assert!(open.call(request(&spelt(form)), DEADLINE).await.is_ok(), "{form} is no danger");
    }
    assert_eq!(trap.load(Ordering::SeqCst), DANGEROUS.len());
}

#[tokio::test]
async fn a_name_that_changes_its_meaning_gains_nothing() {
    let (port, trap) = listen("127.0.0.1", ok()).await;
    let (told, url) = (Told::names(), format!("http://rebind.example:{port}/"));
    told.tell("rebind.example", &[&["93.184.216.34"], &["127.0.0.1"]]);
    // Whoever looked at the name when the URL was given has seen a public address.
    let looked = told.resolve("rebind.example", port).await.unwrap();
    assert!(Guard::PublicOnly.allows(looked[0].ip()));
    assert_eq!(refusal(&client(Guard::PublicOnly, &told), &url).await, Some(NotSent::Blocked));
    assert_eq!(trap.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_allowed_network_is_reached_and_its_neighbours_are_not() {
    let (port, trap) = listen("127.0.0.1", ok()).await;
    let (near, seen) = listen("127.0.0.2", ok()).await;
    let told = Told::names();
    told.tell("two.example", &[&["127.0.0.1", "127.0.0.2"]]);
    let client = client(outside_and("127.0.0.2/32"), &told);
    for url in [format!("http://127.0.0.2:{near}/"), format!("http://two.example:{near}/")] {
        assert!(client.call(request(&url), DEADLINE).await.is_ok(), "{url}");
    }
    assert_eq!(refusal(&client, &format!("http://127.0.0.1:{port}/")).await, Some(NotSent::Blocked));
    assert_eq!((trap.load(Ordering::SeqCst), seen.load(Ordering::SeqCst)), (0, 2));
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_url_it_came_from() {
    let (port, trap) = listen("127.0.0.1", ok()).await;
    let told = Told::names();
    told.tell("rebind.example", &[&["127.0.0.1"]]);
    let allowed = client(outside_and("127.0.0.2/32"), &told);
    for to in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://rebind.example:{port}/"),
    ] {
        let (hop, _) = listen("127.0.0.2", moved(&to)).await;
        let url = format!("http://127.0.0.2:{hop}/");
        // A call's redirect is its answer; reading follows it and is stopped at the door.
        assert_eq!(allowed.call(request(&url), DEADLINE).await.unwrap().status, 302);
        let fetched = allowed.fetch(&url.parse().unwrap(), 3, DEADLINE).await;
        assert_eq!(fetched.unwrap_err(), FetchError::Call(CallError::NotSent(NotSent::Blocked)), "{to}");
    }
    for to in ["file:///etc/passwd", "gopher://127.0.0.2/", "", "http://"] {
        let (hop, _) = listen("127.0.0.2", moved(to)).await;
        let fetched = allowed.fetch(&format!("http://127.0.0.2:{hop}/").parse().unwrap(), 3, DEADLINE).await;
        assert_eq!(fetched.unwrap_err(), FetchError::Place, "{to}");
    }
    assert_eq!(trap.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_and_no_more() {
    let told = Told::names();
    let allowed = client(outside_and("127.0.0.2/32"), &told);
    let (end, _) = listen("127.0.0.2", ok()).await;
    let (hop, _) = listen("127.0.0.2", moved(&format!("http://127.0.0.2:{end}/"))).await;
    let url = format!("http://127.0.0.2:{hop}/").parse().unwrap();
    assert_eq!(&allowed.fetch(&url, 1, DEADLINE).await.unwrap().body[..], b"ok");
    assert_eq!(allowed.fetch(&url, 0, DEADLINE).await.unwrap_err(), FetchError::TooManyHops);
    let (round, seen) = listen("127.0.0.2", moved("/again")).await;
    let url = format!("http://127.0.0.2:{round}/").parse().unwrap();
    assert_eq!(allowed.fetch(&url, 3, DEADLINE).await.unwrap_err(), FetchError::TooManyHops);
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}
