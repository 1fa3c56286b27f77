//! The small tenant of `fairness`, in a process of its own: it sends at a steady pace whatever happens, and is the
//! provider its messages arrive at, so that one clock tells when a message was asked for and when it was there.
//! A send whose turn comes while the one before it still waits counts from its turn: waiting is not hidden.

use crate::figures::{Latencies, rounded};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval_at};

/// Connections, and how often each of them sends: 40 messages a second.
const CONNECTIONS: u64 = 4;
const TURN: Duration = Duration::from_millis(100);
/// Longest wait for the last message to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// When which recipient's message arrived.
type Arrived = Arc<Mutex<HashMap<String, Instant>>>;

/// One accepted message.
struct Sent {
    to: String,
    at: Instant,
    answered: Duration,
}

/// Prints the provider's address, then: an order (authority, token, body, in JSON) begins a stage, any line ends it,
/// and what came of it is printed. Ends with its standard input.
pub async fn child() -> Result<()> {
    let arrived = Arrived::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    tokio::spawn(provide(listener, Arc::clone(&arrived)));
    let (told, mut lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                break;
            }
        }
    });
    let mut first = 0;
    while let Some(line) = lines.recv().await {
        let order: Arc<Value> = Arc::new(serde_json::from_str(&line)?);
        let stop = watch::Sender::new(false);
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|nth| tokio::spawn(sender(Arc::clone(&order), first + nth, nth, stop.subscribe())))
            .collect();
        let _end = lines.recv().await;
        stop.send_replace(true);
        let (mut sent, mut refused) = (Vec::new(), 0);
        for task in tasks {
            let (accepted, not) = task.await??;
            sent.extend(accepted);
            refused += not;
        }
        first += 1_000_000;
        println!("{}", told_of(&sent, refused, &arrived).await?);
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// One connection's sends until it is told to stop: what was accepted, and how many were refused.
async fn sender(
    order: Arc<Value>,
    first: u64,
    nth: u64,
    mut stop: watch::Receiver<bool>,
) -> Result<(Vec<Sent>, u64)> {
    let word = |name: &str| order[name].as_str().with_context(|| format!("an order without {name}"));
    let (authority, token, body) = (word("authority")?, word("token")?, word("body")?);
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut sent, mut refused, mut next) = (Vec::new(), 0, first);
    let start = Instant::now() + TURN.mul_f64(nth as f64 / CONNECTIONS as f64);
    let (mut turn, mut free) = (interval_at(start, TURN), start);
    loop {
        let due = tokio::select! {
            due = turn.tick() => due,
            _ = stop.changed() => return Ok((sent, refused)),
        };
        let to = format!("62812{next:08}");
        next += CONNECTIONS;
        let at = if due < free { due } else { Instant::now() };
        let request = Request::post("/v1/messages")
            .header("host", authority)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("steady-{to}"))
            .body(Full::new(Bytes::from(body.replace("{to}", &to))))?;
        let answer = sender.send_request(request).await?;
        let good = answer.status().is_success();
        let text = answer.into_body().collect().await?.to_bytes();
        free = Instant::now();
        if good {
            sent.push(Sent { to, at, answered: free - at });
        } else {
            refused += 1;
            eprintln!("refused: {}", String::from_utf8_lossy(&text));
        }
    }
}

/// The figures of a stage, once the last of its messages has arrived.
async fn told_of(sent: &[Sent], refused: u64, arrived: &Arrived) -> Result<Value> {
    let missing = || {
        let there = arrived.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().filter(|message| !there.contains_key(&message.to)).count()
    };
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    let until = Instant::now() + PATIENCE;
    while missing() > 0 {
        ensure!(Instant::now() < until, "{} of {} messages never arrived", missing(), sent.len());
        turn.tick().await;
    }
    let there = arrived.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut answers, mut deliveries) = (Latencies::default(), Latencies::default());
    for message in sent {
        answers.add(message.answered);
        if let Some(at) = there.get(&message.to) {
            deliveries.add(*at - message.at);
        }
    }
    Ok(json!({
        "sends": sent.len(),
        "refused": refused,
        "p50_ms": rounded(answers.quantile_ms(0.5)),
        "p99_ms": rounded(answers.quantile_ms(0.99)),
        "max_ms": rounded(answers.quantile_ms(1.0)),
        "delivered_p50_ms": rounded(deliveries.quantile_ms(0.5)),
        "delivered_p99_ms": rounded(deliveries.quantile_ms(0.99)),
        "delivered_max_ms": rounded(deliveries.quantile_ms(1.0)),
    }))
}

/// The provider: takes every message at once and notes when it was there.
async fn provide(listener: TcpListener, arrived: Arrived) {
    while let Ok((stream, _)) = listener.accept().await {
        let _fast = stream.set_nodelay(true);
        let arrived = Arc::clone(&arrived);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| take(request, Arc::clone(&arrived)));
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

async fn take(request: Request<Incoming>, arrived: Arrived) -> Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let at = Instant::now();
    let message: Value = serde_json::from_slice(&body)?;
    let to = message["to"].as_str().context("a message without a recipient")?;
    arrived.lock().unwrap_or_else(PoisonError::into_inner).entry(to.to_owned()).or_insert(at);
    let answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": to}],
        "messages": [{"id": format!("wamid.steady{to}")}],
    });
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(answer.to_string())))?)
}
