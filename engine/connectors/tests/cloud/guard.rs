//! The guard through the real client: no spelling of an inside address, no name that means one, no redirect to one
//! leads to a connection. A trap listens where the attacks aim at, and counts.

use super::client::request;
use super::corpus::{DANGEROUS, FORMS, all};
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
    let (port, trap) = listen("127.0.0.1", ok()).await;
    let (told, spelt) = (Told::names(), |form: &str| form.replace("PORT", &port.to_string()));
    let (mut blocked, mut early) = (0, 0);
    for guard in [Guard::PublicOnly, outside_and("10.20.0.0/16, fd12::/16")] {
        let client = client(guard.clone(), &told);
        for form in all() {
            let why = refusal(&client, &spelt(form)).await;
            // What the client cannot read it cannot reach either; all that has an address is refused for the address.
            assert!(
                matches!(why, None | Some(NotSent::Blocked | NotSent::Dns | NotSent::Request)),
                "{form}: {why:?}"
            );
            if why == Some(NotSent::Blocked) {
                blocked += 1;
                let uri: Uri = spelt(form).parse().unwrap();
                let host = uri.host().unwrap();
                // What no name server had to be asked for is told before anybody calls.
                let name = told.next(host).is_some() && !host.to_lowercase().contains("localhost");
                assert_eq!(guard.refuses_text(host), !name, "{form}");
                early += usize::from(!name);
            }
        }
    }
    assert_eq!(trap.load(Ordering::SeqCst), 0);
    println!("{} forms of {} kinds", all().count(), FORMS.len());
    for kind in FORMS {
        println!("  {:>2} {}", kind.forms.len(), kind.name);
    }
    println!("of these {} got as far as an address, {} showed it in their text", blocked / 2, early / 2);
    assert!(all().count() >= 60 && FORMS.len() >= 20, "{} forms of {} kinds", all().count(), FORMS.len());
    assert!(blocked >= 2 * 60, "only {blocked} got as far as an address");
    let open = client(Guard::Open, &told);
    for form in DANGEROUS {
        assert!(all().any(|other| other == *form), "{form}");
        assert!(open.call(request(&spelt(form)), DEADLINE).await.is_ok(), "{form} is no danger");
    }
    assert_eq!(trap.load(Ordering::SeqCst), DANGEROUS.len());
}

#[tokio::test]
async fn no_spelling_of_an_inside_address_is_reached_by_a_redirect() {
    let (port, trap) = listen("127.0.0.1", ok()).await;
    let told = Told::names();
    let allowed = client(outside_and("127.0.0.2/32"), &told);
    let (mut places, mut blocked) = (0, 0);
    for form in all() {
        let (hop, seen) = listen("127.0.0.2", moved(&form.replace("PORT", &port.to_string()))).await;
        let url = format!("http://127.0.0.2:{hop}/");
        // A webhook's redirect is its answer; a file's is followed, and stopped at the door.
        let answer = allowed.call(request(&url), DEADLINE).await.unwrap();
        assert_eq!((answer.status.as_u16(), seen.load(Ordering::SeqCst)), (302, 1), "{form}");
        match allowed.fetch(&url.parse().unwrap(), 3, DEADLINE).await.unwrap_err() {
            FetchError::Call(CallError::NotSent(NotSent::Blocked)) => blocked += 1,
            FetchError::Place | FetchError::Call(CallError::NotSent(NotSent::Dns | NotSent::Request)) => {
                places += 1
            }
            // Without a scheme it is a path, and the hop's own.
            FetchError::TooManyHops if form.starts_with("//") => places += 1,
            other => panic!("{form}: {other:?}"),
        }
    }
    assert_eq!((trap.load(Ordering::SeqCst), blocked + places), (0, all().count()));
    assert!(blocked >= 60, "only {blocked} got as far as an address");
    // Without a guard the same redirects lead into the trap.
    let open = client(Guard::Open, &told);
    for form in DANGEROUS {
        let (hop, _) = listen("127.0.0.2", moved(&form.replace("PORT", &port.to_string()))).await;
        let fetched = open.fetch(&format!("http://127.0.0.2:{hop}/").parse().unwrap(), 3, DEADLINE).await;
        assert!(fetched.is_ok(), "{form} is no danger");
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
