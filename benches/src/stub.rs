//! The provider of `outbound`, in a process of its own: answers a message as Meta's Graph API does, and reports it sent, delivered
//! and read in three webhooks of their own, each signed. It keeps the ledger that counts: what arrived, how often, and which
//! webhooks were taken. It decides nothing and checks nothing else, so that it stays cheaper than what is measured.

use crate::figures::Latencies;
use crate::hooks::sign;
use crate::raw::{Heard, Raw};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use memchr::memmem;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// A message's reports, and how long (ms) after its answer: late enough that each falls into another flush of the views.
const REPORTS: [(&str, u64); 3] = [("sent", 300), ("delivered", 1_300), ("read", 3_000)];
/// Webhooks at once.
const HOOKS: usize = 256;
/// How often what is due is looked for.
const TURN: Duration = Duration::from_millis(2);

/// One message that arrived.
#[derive(Clone)]
struct Message {
    reference: Bytes,
    to: Bytes,
    nth: u64,
}

/// Where webhooks go.
struct Target {
    authority: String,
    path: String,
    secret: String,
}

#[derive(Default)]
struct Ledger {
    /// How often each reference arrived.
    seen: HashMap<Bytes, u32>,
    arrived: u64,
    /// Per report, what is due later, in its order.
    later: [VecDeque<(Instant, Message)>; REPORTS.len()],
    due: VecDeque<(usize, Message)>,
    reported: u64,
    refused: u64,
    latencies: Latencies,
    target: Option<Rc<Target>>,
}

struct Stub {
    ledger: RefCell<Ledger>,
    due: Notify,
}

/// `stub`: prints its address, then hears lines: `hooks <authority> <path> <secret>`, `quiet`, `report`.
pub async fn child() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    let stub = Rc::new(Stub { ledger: RefCell::default(), due: Notify::new() });
    let mut lines = lines();
    let local = LocalSet::new();
    local.spawn_local(Rc::clone(&stub).serve(listener));
    local.spawn_local(Rc::clone(&stub).clock());
    for _ in 0..HOOKS {
        local.spawn_local(Rc::clone(&stub).hooks());
    }
    local
        .run_until(async move {
            while let Some(line) = lines.recv().await {
                stub.hear(&line)?;
            }
            anyhow::Ok(())
        })
        .await
}

/// What is written to this process, line by line.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (said, heard) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if said.send(line).is_err() {
                return;
            }
        }
    });
    heard
}

impl Stub {
    fn hear(&self, line: &str) -> Result<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let mut ledger = self.ledger.borrow_mut();
        match words[..] {
            ["hooks", authority, path, secret] => {
                let [authority, path, secret] = [authority, path, secret].map(str::to_owned);
                ledger.target = Some(Rc::new(Target { authority, path, secret }));
                println!("ok");
            }
            ["quiet"] => {
                ledger.target = None;
                println!("ok");
            }
            ["report"] => println!("{}", ledger.report()),
            ["latencies"] => println!("{}", ledger.quantiles()),
            _ => println!("?"),
        }
        Ok(std::io::stdout().flush()?)
    }

    async fn serve(self: Rc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let stub = Rc::clone(&self);
            spawn_local(async move {
                // A connection that breaks is the caller's to explain.
                let _ended = stub.connection(Raw::of(stream)?).await;
                anyhow::Ok(())
            });
        }
    }

    async fn connection(&self, mut raw: Raw) -> Result<()> {
        while let Some(request) = raw.hear().await? {
            let answer = self.take(&request)?;
            raw.write(answer.as_bytes()).await?;
        }
        Ok(())
    }

    /// Enters a message into the ledger and says what Meta would.
    fn take(&self, request: &Heard) -> Result<String> {
        let reference = field(&request.body, b"\"biz_opaque_callback_data\":\"")?;
        let to = field(&request.body, b"\"to\":\"")?;
        let mut ledger = self.ledger.borrow_mut();
        let nth = ledger.arrived;
        ledger.arrived += 1;
        *ledger.seen.entry(reference.clone()).or_default() += 1;
        let digits = std::str::from_utf8(&to)?.trim_start_matches('+').to_owned();
        let message = Message { reference, to: Bytes::from(digits.clone()), nth };
        if ledger.target.is_some() {
            let now = Instant::now();
            for (report, (_, after)) in REPORTS.iter().enumerate() {
                ledger.later[report].push_back((now + Duration::from_millis(*after), message.clone()));
            }
        }
        let wamid = wamid(nth);
        let body = format!(
            r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"{digits}","wa_id":"{digits}"}}],"messages":[{{"id":"{wamid}"}}]}}"#
        );
        Ok(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }

    /// Moves what is due to those who call.
    async fn clock(self: Rc<Self>) {
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = turn.tick().await;
            let mut ledger = self.ledger.borrow_mut();
            let Ledger { later, due, .. } = &mut *ledger;
            for (report, queue) in later.iter_mut().enumerate() {
                while queue.front().is_some_and(|(at, _)| *at <= now) {
                    due.extend(queue.pop_front().map(|(_, message)| (report, message)));
                    // One permit is kept however many are due: whoever takes one passes it on.
                    self.due.notify_one();
                }
            }
        }
    }

    /// One connection that delivers webhooks, one after the other.
    async fn hooks(self: Rc<Self>) -> Result<()> {
        let mut connection: Option<(Rc<Target>, Raw)> = None;
        loop {
            let next = self.ledger.borrow_mut().due.pop_front();
            let Some((report, message)) = next else {
                self.due.notified().await;
                continue;
            };
            self.due.notify_one();
            let target = self.ledger.borrow().target.clone().context("nobody to report to")?;
            if connection.as_ref().is_none_or(|(of, _)| !Rc::ptr_eq(of, &target)) {
                let raw = Raw::connect(&target.authority).await?;
                connection = Some((Rc::clone(&target), raw));
            }
            let Some((_, raw)) = connection.as_mut() else { continue };
            let request = hook(&target, report, &message)?;
            let at = Instant::now();
            raw.write(request.as_bytes()).await?;
            let answer = raw.hear().await?.context("Kabar closed the connection of a webhook")?;
            let mut ledger = self.ledger.borrow_mut();
            ledger.latencies.add(at.elapsed());
            if answer.status() == 200 {
                ledger.reported += 1;
            } else {
                ledger.refused += 1;
                // As Meta does: once more, later.
                ledger.later[report].push_back((Instant::now() + Duration::from_secs(1), message));
            }
        }
    }
}

impl Ledger {
    fn report(&self) -> Value {
        let pending = self.due.len() + self.later.iter().map(VecDeque::len).sum::<usize>();
        json!({
            "arrived": self.arrived,
            "different": self.seen.len(),
            "reported": self.reported,
            "refused": self.refused,
            "pending": pending,
            "cpu_seconds": crate::cpu::spent().as_secs_f64(),
        })
    }

    /// Not part of what is asked for twenty times a second: millions of them are sorted for it, and who waits for an answer
    /// of the provider would wait for that.
    fn quantiles(&mut self) -> Value {
        json!({"p50_ms": self.latencies.quantile_ms(0.5), "p99_ms": self.latencies.quantile_ms(0.99)})
    }
}

fn wamid(nth: u64) -> String {
    format!("wamid.HBgMNjI4MTI{nth:020}")
}

/// The text behind `name` up to the next quote.
fn field(body: &Bytes, name: &[u8]) -> Result<Bytes> {
    let begin = memmem::find(body, name).context("a call without what it must have")? + name.len();
    let end = memchr::memchr(b'"', &body[begin..]).context("a text without an end")?;
    ensure!(end > 0, "an empty text");
    // A copy: a slice would keep the whole request for as long as the ledger.
    Ok(Bytes::copy_from_slice(&body[begin..begin + end]))
}

/// A whole signed request with one status.
fn hook(target: &Target, report: usize, message: &Message) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let (status, _) = REPORTS[report];
    let (to, reference) = (std::str::from_utf8(&message.to)?, std::str::from_utf8(&message.reference)?);
    let wamid = wamid(message.nth);
    // Meta says the price with the first two.
    let pricing = if report < 2 {
        r#","pricing":{"billable":true,"pricing_model":"PMP","type":"regular","category":"marketing"}"#
    } else {
        ""
    };
    let number = crate::child::number(0);
    let body = format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"102000000000001","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550200000","phone_number_id":"{number}"}},"statuses":[{{"id":"{wamid}","status":"{status}","timestamp":"{now}","recipient_id":"{to}","biz_opaque_callback_data":"{reference}"{pricing}}}]}}}}]}}]}}"#
    );
    let signature = sign(&target.secret, body.as_bytes())?;
    Ok(format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        target.path,
        target.authority,
        body.len()
    ))
}
