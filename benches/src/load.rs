//! Load: bare HTTP/1.1 connections that repeat a request. The same loop is the ceiling (against the simulated
//! WhatsApp) and the caller of Kabar's API.

use crate::figures::Latencies;
use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What to repeat.
#[derive(Debug, Clone)]
pub struct Shot {
    /// `host:port`.
    pub authority: String,
    /// The method.
    pub method: Method,
    /// The paths, one a request, from the start again after the last.
    pub paths: Arc<[String]>,
    /// The bearer token.
    pub token: String,
    /// The body; `{to}` becomes the recipient.
    pub body: String,
    /// Also send an idempotency key.
    pub keyed: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Hits {
    /// Answers with a status below 300.
    pub ok: u64,
    /// Other answers.
    pub refused: u64,
    /// Those of them that are a 429 and say when to come again.
    pub told_when: u64,
    /// From request to answer.
    pub latencies: Latencies,
}

/// The recipient of the nth request: 10,000 people, again and again.
pub fn recipient(n: u64) -> String {
    format!("62812{:07}", n % 10_000)
}

/// `connections` connections repeat the shot until `count` are through.
pub async fn fire(shot: &Shot, connections: u64, count: u64) -> Result<(Hits, Duration)> {
    ensure!(!shot.paths.is_empty(), "nothing to ask for");
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::spawn(connection(shot.clone(), Arc::clone(&next), count))).collect();
    let mut all = Hits::default();
    for task in tasks {
        let hits = task.await??;
        all.ok += hits.ok;
        all.refused += hits.refused;
        all.told_when += hits.told_when;
        all.latencies.extend(&hits.latencies);
    }
    Ok((all, began.elapsed()))
}

async fn connection(shot: Shot, next: Arc<AtomicU64>, count: u64) -> Result<Hits> {
    let stream = TcpStream::connect(&shot.authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut hits = Hits::default();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= count {
            return Ok(hits);
        }
        let body = shot.body.replace("{to}", &recipient(n));
        let path = &shot.paths[usize::try_from(n)? % shot.paths.len()];
        let mut request = Request::builder()
            .method(shot.method.clone())
            .uri(path)
            .header("host", &shot.authority)
            .header("authorization", format!("Bearer {}", shot.token))
            .header("content-type", "application/json");
        if shot.keyed {
            request = request.header("idempotency-key", format!("bench-{}-{n}", std::process::id()));
        }
        let at = Instant::now();
        let answer = sender.send_request(request.body(Full::new(Bytes::from(body)))?).await?;
        let status = answer.status();
        let told_when = status == StatusCode::TOO_MANY_REQUESTS
            && answer
                .headers()
                .get("retry-after")
                .is_some_and(|wait| wait.to_str().is_ok_and(|s| s.parse::<u64>().is_ok()));
        let text = answer.into_body().collect().await?.to_bytes();
        hits.latencies.add(at.elapsed());
        if status.is_success() {
            hits.ok += 1;
        } else {
            // Who is told when to come again may be told as often as it comes.
            let plain = hits.refused - hits.told_when;
            ensure!(
                told_when || plain < 1_000,
                "the server refuses: {status} {}",
                String::from_utf8_lossy(&text)
            );
            hits.refused += 1;
            hits.told_when += u64::from(told_when);
        }
    }
}

/// `load <authority> <path> <token> <connections> <count> <body>`: fires at Kabar and prints what came of it.
pub async fn child(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() == 6, "a load child needs six arguments");
    let shot = Shot {
        authority: arguments[0].clone(),
        method: Method::POST,
        paths: Arc::from([arguments[1].clone()]),
        token: arguments[2].clone(),
        body: arguments[5].clone(),
        keyed: true,
    };
    told(&shot, arguments[3].parse()?, arguments[4].parse()?).await
}

/// `gets <authority> <token> <connections> <file>`: reads every path of the file, one a line, and prints what came
/// of it.
pub async fn gets(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() == 4, "a reading child needs four arguments");
    let lines = std::fs::read_to_string(&arguments[3])?;
    let paths: Arc<[String]> = lines.lines().map(str::to_owned).collect();
    let count = u64::try_from(paths.len())?;
    let shot = Shot {
        authority: arguments[0].clone(),
        method: Method::GET,
        paths,
        token: arguments[1].clone(),
        body: String::new(),
        keyed: false,
    };
    told(&shot, arguments[2].parse()?, count).await
}

async fn told(shot: &Shot, connections: u64, count: u64) -> Result<()> {
    let (mut hits, took) = fire(shot, connections, count).await?;
    let line = serde_json::json!({
        "ok": hits.ok,
        "refused": hits.refused,
        "refused_429_retry_after": hits.told_when,
        "seconds": took.as_secs_f64(),
        "p50_ms": hits.latencies.quantile_ms(0.5),
        "p99_ms": hits.latencies.quantile_ms(0.99),
    });
    println!("{line}");
    Ok(())
}
