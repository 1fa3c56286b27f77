//! Memory: of a server that does nothing, of a session that is resident, and of one that was passivated. Resident memory as the
//! kernel counts it, so with everything the allocator holds back. Not under overload: that is `overload`.

use crate::child::Process;
use crate::figures::{Goal, rounded};
use crate::house::House;
use crate::{Options, cpu, machine, overload};
use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Sessions of a stage.
const SESSIONS: u64 = 10_000;
/// How often each session is read before: once by each of the store's connections, more or less.
const READ: usize = 4;
/// Requests at once.
const TOGETHER: usize = 16;
/// Nothing is looked at before this: what a start leaves to do is done then, and what it took is given back.
const SETTLED: Duration = Duration::from_secs(30);
/// How often the views are written. Rows leave memory so many flushes after they were wanted: sooner than usual.
const FLUSH_MS: u64 = 200;
/// Longest wait for the last session to leave its memory; they leave after a minute.
const PATIENCE: Duration = Duration::from_secs(180);

const IDLE_MB: Goal = Goal { floor: 60.0, aim: 25.0 };
const RESIDENT_KIB: Goal = Goal { floor: 16.0, aim: 10.0 };
/// Nothing: within what two looks at the same thing differ by.
const PASSIVATED_KIB: Goal = Goal { floor: 1.0, aim: 0.25 };

/// Runs it and prints it.
///
/// # Errors
/// It could not be measured, or one of the three does not hold.
pub fn run(options: Options) -> Result<()> {
    let idle_mb = idle()?;
    cpu::pin(0)?;
    let sessions = options.scaled(SESSIONS);
    let sandbox = Process::start(&["sandbox", &(5 * sessions + 16).to_string()])?;
    let provider = sandbox.first_line.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stages = runtime.block_on(stages(&provider, sessions))?;
    let per_session = |from: f64, to: f64| (to - from).max(0.0) / sessions as f64;
    let resident = per_session(stages.one_session_kib, stages.resident_kib);
    let passivated = per_session(stages.left_kib[0], stages.left_kib[2]) / 2.0;
    println!(
        "rss: {sessions} sessions a stage; a kernel's count of pages, the allocator's reserves included"
    );
    println!("{}", IDLE_MB.beside("idle server, MB", idle_mb));
    println!("{}", RESIDENT_KIB.beside("resident session, KiB", resident));
    println!("{}", PASSIVATED_KIB.beside("passivated session, KiB", passivated));
    let holds = IDLE_MB.holds(idle_mb) && RESIDENT_KIB.holds(resident) && PASSIVATED_KIB.holds(passivated);
    if options.json {
        let all = json!({
            "idle_mb": rounded(idle_mb),
            "resident_session_kib": rounded(resident),
            "passivated_session_kib": rounded(passivated),
            "sessions": sessions,
            "stages_kib": [stages.one_session_kib, stages.resident_kib],
            "left_kib": stages.left_kib,
            "holds": holds,
            "machine": machine::machine(),
            "commit": machine::commit(),
        });
        println!("{all}");
    }
    ensure!(holds, "memory within {}, {} and {}", IDLE_MB.floor, RESIDENT_KIB.floor, PASSIVATED_KIB.floor);
    Ok(())
}

/// A process that ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The real binary on an empty folder, once it has settled (MB).
fn idle() -> Result<f64> {
    let binary = std::env::current_exe()?.with_file_name("kabar");
    ensure!(
        binary.is_file(),
        "there is no `kabar` beside `kabar-benches`: run `cargo build --release -p kabar-api` first"
    );
    let folder = tempfile::tempdir()?;
    let mut server = Command::new(&binary);
    server
        .arg("serve")
        .env_clear()
        .env("KABAR__SERVER__LISTEN", "127.0.0.1:0")
        .env("KABAR__STORE__FOLDER", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut server = Server(server.spawn().with_context(|| binary.display().to_string())?);
    let mut lines = BufReader::new(server.0.stdout.take().context("the server says nothing")?).lines();
    let listens = |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("http://"));
    lines.find(listens).context("the server ended before it listened")??;
    // Somebody must hear what it says further, or it would wait for a reader.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    std::thread::sleep(SETTLED);
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1_024.0)
}

/// Resident memory (KiB) after each stage.
struct Stages {
    one_session_kib: f64,
    resident_kib: f64,
    /// When every session and every row has left memory, after three stages of as many sessions: the first like the others,
    /// since what an allocator holds back depends on what came before.
    left_kib: [f64; 3],
}

/// Stages of as many messages to as many people: all by one session, then three times each by one of its own. Before each
/// everything that can leave memory has left it.
async fn stages(provider: &str, sessions: u64) -> Result<Stages> {
    let mut house = House::with(provider, |config| config.engine.flush_ms = FLUSH_MS).await?;
    house.link(5 * sessions).await?;
    let all = house.senders.clone();
    let count = usize::try_from(sessions)?;
    let (one, rest) = all.split_first().context("no session")?;
    // The store keeps pages it has read, up to a bound: it has read them all before anything is measured.
    let paths: Vec<String> = all.iter().map(|id| format!("/v1/sessions/{id}")).collect();
    for _ in 0..READ {
        let reads = paths.iter().map(|path| async { house.client.get(path).await });
        stream::iter(reads).buffer_unordered(TOGETHER).try_for_each(|_| async { Ok(()) }).await?;
    }
    // What only the first ones pay, and what the stages themselves need in memory.
    stage(&house, provider, &vec![one.clone(); count], 0).await?;
    stage(&house, provider, &rest[..count], 1).await?;
    left(&house).await?;
    stage(&house, provider, &vec![one.clone(); count], 2).await?;
    let one_session_kib = kib();
    left(&house).await?;
    stage(&house, provider, &rest[count..2 * count], 3).await?;
    let resident_kib = kib();
    ensure!(resident(&house) >= count, "the sessions have left before they were measured");
    let mut left_kib = [left(&house).await?, 0.0, 0.0];
    for nth in 2..4 {
        stage(&house, provider, &rest[nth * count..(nth + 1) * count], nth + 2).await?;
        left_kib[nth - 1] = left(&house).await?;
    }
    house.close().await;
    Ok(Stages { one_session_kib, resident_kib, left_kib })
}

/// A message by each of these sessions, to people of the stage's own, sent.
async fn stage(house: &House, provider: &str, senders: &[String], nth: usize) -> Result<()> {
    let before = overload::provided(provider).await?.0;
    let sends = senders.iter().enumerate().map(|(place, session)| {
        let mut body = House::message();
        body["session"] = json!(session);
        body["to"] = json!(format!("+62814{nth}{place:07}"));
        async move { house.client.post("/v1/messages", &body).await }
    });
    let told: Vec<Result<Value, _>> = stream::iter(sends).buffer_unordered(TOGETHER).collect().await;
    for answer in told {
        answer?;
    }
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    let until = Instant::now() + PATIENCE;
    while overload::provided(provider).await?.0 < before + senders.len() as u64
        || house.running.node.stats().open_claims > 0
    {
        ensure!(Instant::now() < until, "not all messages leave");
        turn.tick().await;
    }
    house.running.node.flush().await;
    Ok(())
}

/// Sessions that live.
fn resident(house: &House) -> usize {
    let alive = house.running.node.stats().actors_alive;
    alive.iter().find(|(label, _)| *label == "session").map_or(0, |(_, count)| *count)
}

/// Waits until no session lives any more and what they did has left memory too; what is held then.
async fn left(house: &House) -> Result<f64> {
    let mut turn = tokio::time::interval(Duration::from_millis(200));
    let until = Instant::now() + PATIENCE;
    loop {
        turn.tick().await;
        let rows = house.running.node.stats().overlay_rows;
        if resident(house) == 0 && rows == 0 {
            // The allocator gives pages back a little later.
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Ok(kib());
        }
        if Instant::now() > until {
            bail!("{} sessions and {rows} rows stay", resident(house));
        }
    }
}

fn kib() -> f64 {
    cpu::resident_kib() as f64
}
