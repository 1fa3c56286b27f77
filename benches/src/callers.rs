//! The callers of `outbound`, in a process of their own: connections that send one message after the other, each with an
//! idempotency key, for so many seconds. Not the ceiling: that is `load`, which does the same with hyper.

use crate::figures::Latencies;
use crate::load::recipient;
use crate::raw::Raw;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::Instant;

struct Order {
    authority: String,
    token: String,
    body: String,
    until: Instant,
    next: Cell<u64>,
}

/// `callers <authority> <token> <connections> <seconds> <body>`: sends to `/v1/messages` and prints what came of it; `{to}` in the
/// body becomes the recipient.
pub async fn child(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() == 5, "callers need five arguments");
    let connections: u64 = arguments[2].parse()?;
    let began = Instant::now();
    let order = Rc::new(Order {
        authority: arguments[0].clone(),
        token: arguments[1].clone(),
        body: arguments[4].clone(),
        until: began + Duration::from_secs(arguments[3].parse()?),
        next: Cell::new(0),
    });
    let local = LocalSet::new();
    let tasks: Vec<_> = (0..connections).map(|_| local.spawn_local(connection(Rc::clone(&order)))).collect();
    let (mut latencies, mut refused) = (Latencies::default(), 0);
    local
        .run_until(async {
            for task in tasks {
                let (of, no) = task.await??;
                latencies.extend(&of);
                refused += no;
            }
            anyhow::Ok(())
        })
        .await?;
    let line = json!({"calls": order.next.get(), "refused": refused, "seconds": began.elapsed().as_secs_f64(),
        "cpu_seconds": crate::cpu::spent().as_secs_f64(),
        "p50_ms": latencies.quantile_ms(0.5), "p99_ms": latencies.quantile_ms(0.99)});
    println!("{line}");
    Ok(())
}

async fn connection(order: Rc<Order>) -> Result<(Latencies, u64)> {
    let mut raw = Raw::connect(&order.authority).await?;
    let (mut latencies, mut refused) = (Latencies::default(), 0);
    while Instant::now() < order.until {
        let n = order.next.replace(order.next.get() + 1);
        let body = order.body.replace("{to}", &recipient(n));
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\nidempotency-key: bench-{}-{n}\r\ncontent-length: {}\r\n\r\n{body}",
            order.authority,
            order.token,
            std::process::id(),
            body.len()
        );
        let at = Instant::now();
        raw.write(request.as_bytes()).await?;
        let answer = raw.hear().await?.context("Kabar closed a caller's connection")?;
        latencies.add(at.elapsed());
        if answer.status() >= 300 {
            refused += 1;
            ensure!(refused < 1_000, "refused: {}", String::from_utf8_lossy(&answer.body));
        }
    }
    Ok((latencies, refused))
}
