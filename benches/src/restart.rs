//! How long a Kabar that was ended with a full outbox takes until it sends again: a million messages pending in a folder, the
//! whole server started on it, and a provider in a process of its own that says when the first call came. Not a kill: what was
//! on the wire then is `prove kill`'s.

use crate::child::{self, Process, TOKEN};
use crate::figures::{Goal, rounded};
use crate::store::{SESSION, TENANT, node};
use crate::{Options, cpu, machine, store_paths};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kabar_api::config::Config;
use kabar_api::serve;
use kabar_engine::time::Timestamp;
use kabar_schema::journal::OnFailure;
use kabar_schema::records::{MetaApp, Session, Tenant};
use kabar_schema::seal::MasterKey;
use kabar_schema::store::{EmbeddedOptions, Store};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// Messages pending when nothing else is said.
const MESSAGES: u64 = 1_000_000;
/// Seconds from the start to the first call.
const FIRST_SEND: Goal = Goal { floor: 10.0, aim: 1.0 };
/// The app of the one session.
const APP: u64 = 1;

struct Figures {
    filled: Duration,
    ready: Duration,
    first: Duration,
    resident_mb: u64,
    folder_mb: u64,
}

/// Fills, ends, starts and prints.
///
/// # Errors
/// It could not be measured, or takes too long.
pub fn run(options: Options, messages: Option<u64>) -> Result<()> {
    let pending = messages.unwrap_or_else(|| options.scaled(MESSAGES)).max(1_000);
    cpu::pin(0)?;
    let provider = Process::start(&["first"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let figures = runtime.block_on(measured(provider, pending))?;
    let Figures { filled, ready, first, resident_mb, folder_mb } = figures;
    println!(
        "restart with {pending} pending, filled in {:.0} s, {folder_mb} MB of files, all on core 0",
        filled.as_secs_f64()
    );
    println!(
        "the server listens after {:.2} s; {resident_mb} MB resident at the first send",
        ready.as_secs_f64()
    );
    println!("{}", FIRST_SEND.beside("first send, seconds after the start", first.as_secs_f64()));
    let holds = FIRST_SEND.holds(first.as_secs_f64());
    if options.json {
        let all = json!({
            "pending": pending,
            "listens_ms": rounded(ready.as_secs_f64() * 1e3),
            "first_send_ms": rounded(first.as_secs_f64() * 1e3),
            "resident_mb": resident_mb,
            "folder_mb": folder_mb,
            "holds": holds,
            "machine": machine::machine(),
            "commit": machine::commit(),
        });
        println!("{all}");
    }
    ensure!(holds, "the first send within {} s of a start", FIRST_SEND.floor);
    Ok(())
}

async fn measured(mut provider: Process, pending: u64) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let (master, base_url) = (MasterKey::random(), provider.first_line.clone());
    let begun = Instant::now();
    let before = node(folder.path(), &master).await?;
    store_paths::fill(&before, pending).await?;
    before.shutdown().await;
    drop(before);
    // Only now: with its records, the session's actor would have sent all of it already.
    link(folder.path(), &master, base_url).await?;
    let filled = begun.elapsed();
    let folder_mb = size(folder.path()) / 1_000_000;
    let mut config = Config::defaults();
    config.server.listen = "127.0.0.1:0".parse()?;
    config.store.folder = folder.path().to_owned();
    config.store.master_key = Some(master.to_hex());
    config.auth.operator_key = Some("operator-of-the-benches".to_owned());
    let heard = tokio::task::spawn_blocking(move || {
        let first = provider.hear();
        (first, Instant::now(), provider)
    });
    let began = Instant::now();
    let running = serve::start(config).await?;
    let ready = began.elapsed();
    let (line, at, mut provider) = heard.await?;
    let resident_mb = cpu::resident_mb();
    ensure!(line? == "first", "the provider says something else");
    running.shutdown().await;
    // Who was called must be called with messages of the outbox.
    provider.tell("count")?;
    let calls: u64 = provider.hear()?.parse()?;
    ensure!((1..=pending).contains(&calls), "{calls} calls for {pending} messages");
    Ok(Figures { filled, ready, first: at - began, resident_mb, folder_mb })
}

/// The records without which nothing is sent.
async fn link(folder: &Path, master: &MasterKey, base_url: String) -> Result<()> {
    let options =
        EmbeddedOptions { fail: OnFailure::Exit, ..EmbeddedOptions::new(folder.to_owned(), master.clone()) };
    let store = Store::embedded(options).await?;
    store.keyring.load().await?;
    let created = Timestamp(1_790_000_000_000);
    let tenant = Tenant {
        id: TENANT,
        name: "bench".to_owned(),
        created,
        unknown_after_ms: 900_000,
        resend_unknown: false,
        reseller: None,
        weight: Tenant::WEIGHT,
        frequency_cap: None,
        meta: kabar_schema::records::MetaAnswers::default(),
        body_hash: String::new(),
    };
    let (app_secrets, verify_token) = (vec!["bench-app-secret".to_owned()], "bench-verify-token".to_owned());
    let app = MetaApp { id: APP, tenant: TENANT, app_secrets, verify_token, meta_id: None, created };
    let session = Session {
        id: SESSION,
        tenant: TENANT,
        name: "bench".to_owned(),
        app: APP,
        phone_number_id: child::number(0),
        display_phone_number: "15550200000".to_owned(),
        base_url: Some(base_url),
        api_version: "v26.0".to_owned(),
        access_token: TOKEN.to_owned(),
        messages_per_second: 1_000_000,
        pair_limit: false,
        created,
    };
    store.nouns.create(&tenant).await?;
    store.nouns.create(&app).await?;
    store.nouns.create(&session).await?;
    store.close().await;
    Ok(())
}

fn size(folder: &Path) -> u64 {
    let Ok(list) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    list.flatten().map(of).sum()
}

/// The provider: prints its address, `first` at the first call, and for each line it is told how many there were.
pub async fn child() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("http://{}", listener.local_addr()?))?;
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || {
        for _line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _heard = say(&counted.load(Ordering::Acquire).to_string());
        }
        std::process::exit(0);
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let _fast = stream.set_nodelay(true);
        let calls = Arc::clone(&calls);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| take(request, Arc::clone(&calls)));
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
        });
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

async fn take(request: Request<Incoming>, calls: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>> {
    let is_send = request.uri().path().ends_with("/messages");
    let body = request.into_body().collect().await?.to_bytes();
    let nth = if is_send { calls.fetch_add(1, Ordering::AcqRel) } else { u64::MAX };
    if nth == 0 {
        say("first")?;
    }
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let to = message["to"].as_str().context("a call without a recipient").unwrap_or_default();
    let answer = json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": to}],
        "messages": [{"id": format!("wamid.restart{nth}")}],
    });
    let body = Full::new(Bytes::from(answer.to_string()));
    Ok(Response::builder().header("content-type", "application/json").body(body)?)
}
