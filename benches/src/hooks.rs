//! The provider of `inbound`, in a process of its own: connections that send one signed webhook after the other, each with one
//! message or one status, as the real one does. What it calls is told by its arguments; it checks nothing but the status.

use crate::child::number;
use crate::figures::Latencies;
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::Sha256;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;

/// What is sent, and where.
struct Order {
    authority: String,
    path: String,
    secret: String,
    /// `messages`, or the campaign whose recipients' statuses are sent.
    of: String,
    count: u64,
    /// Makes the ids of this run its own.
    run: u64,
}

/// `hooks <authority> <path> <secret> <messages|cmp_…> <connections> <count>`: sends them and prints what came of it.
pub async fn child(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() == 6, "a hooks child needs six arguments");
    let connections: u64 = arguments[4].parse()?;
    let order = Arc::new(Order {
        authority: arguments[0].clone(),
        path: arguments[1].clone(),
        secret: arguments[2].clone(),
        of: arguments[3].clone(),
        count: arguments[5].parse()?,
        run: SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64 % 1_000_000_007,
    });
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> =
        (0..connections).map(|_| tokio::spawn(connection(Arc::clone(&order), Arc::clone(&next)))).collect();
    let mut all = Latencies::default();
    for task in tasks {
        all.extend(&task.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    let line = json!({"stored": order.count, "seconds": seconds, "p50_ms": all.quantile_ms(0.5),
        "p99_ms": all.quantile_ms(0.99), "max_ms": all.quantile_ms(1.0)});
    println!("{line}");
    Ok(())
}

async fn connection(order: Arc<Order>, next: Arc<AtomicU64>) -> Result<Latencies> {
    let stream = TcpStream::connect(&order.authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut latencies = Latencies::default();
    loop {
        let nth = next.fetch_add(1, Ordering::Relaxed);
        if nth >= order.count {
            return Ok(latencies);
        }
        let body = order.body(nth)?;
        let request = Request::post(&order.path)
            .header("host", &order.authority)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sign(&order.secret, body.as_bytes())?)
            .body(Full::new(Bytes::from(body)))?;
        let at = Instant::now();
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let text = answer.into_body().collect().await?.to_bytes();
        latencies.add(at.elapsed());
        ensure!(status == 200, "a webhook was not taken: {status} {}", String::from_utf8_lossy(&text));
    }
}

impl Order {
    fn body(&self, nth: u64) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let (run, digits) = (self.run, format!("62812{:07}", nth % 10_000));
        // Written out: building a tree for each would cost the provider's core more than taking it costs Kabar's.
        let what = if self.of == "messages" {
            let user = format!("ID.{}", 1_000_000_000_000 + nth % 10_000);
            format!(
                r#""contacts":[{{"profile":{{"name":"Ana"}},"wa_id":"{digits}","user_id":"{user}"}}],"messages":[{{"from":"{digits}","from_user_id":"{user}","id":"wamid.HBgMNjI4MTI{run:010}{nth:010}","timestamp":"{now}","type":"text","text":{{"body":"Halo, apakah pesanan saya {nth} sudah dikirim? Terima kasih banyak."}}}}]"#
            )
        } else {
            let of = &self.of;
            format!(
                r#""statuses":[{{"id":"wamid.HBgMNjI4MTI{run:010}{nth:010}","status":"delivered","timestamp":"{now}","recipient_id":"{digits}","biz_opaque_callback_data":"v1|c|{of}|{nth}","pricing":{{"billable":true,"pricing_model":"PMP","type":"regular","category":"marketing"}}}}]"#
            )
        };
        let number = number(0);
        Ok(format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"102000000000001","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550200000","phone_number_id":"{number}"}},{what}}}}}]}}]}}"#
        ))
    }
}

/// The header of a signature.
pub fn sign(secret: &str, body: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("a key of any length")?;
    mac.update(body);
    let mut header = String::from("sha256=");
    for byte in mac.finalize().into_bytes() {
        write!(header, "{byte:02x}")?;
    }
    Ok(header)
}
