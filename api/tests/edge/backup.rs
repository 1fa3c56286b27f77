//! `kabar backup` beside a real server that sends, a kill, `kabar restore`, and what the restored copy knows and does.

use super::house::{OPERATOR, template};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kabar_sandbox::{Behaviour, Delay, NumberConfig, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Longest wait; a test that needs it has failed.
const DEADLINE: Duration = Duration::from_secs(60);
/// Answers take so long that a kill always finds calls without an answer.
const ANSWER_MS: u64 = 6_000;
/// Messages that have ended when the backup is taken, and such as have been called and not answered.
const ENDED: u64 = 12;
const CALLED: u64 = 12;

/// The program with its folder.
fn kabar(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command
        .env("KABAR__STORE__FOLDER", folder)
        .env("KABAR__SERVER__LISTEN", "127.0.0.1:0")
        .env("KABAR__AUTH__OPERATOR_KEY", OPERATOR)
        .env("KABAR__ENGINE__PROOF_MS", "1000")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn run_verb(folder: &Path, args: &[&str]) -> Output {
    kabar(folder).args(args).output().await.unwrap()
}

/// Runs a verb that must end well and gives its JSON.
async fn told(folder: &Path, args: &[&str]) -> Value {
    let output = run_verb(folder, args).await;
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A server in a process of its own, and one tenant's view of it.
struct Server {
    child: Child,
    at: String,
    bearer: String,
}

impl Server {
    async fn start(folder: &Path, bearer: &str) -> Self {
        let mut child = kabar(folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the server did not start");
        let at = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        Self { child, at, bearer: bearer.to_owned() }
    }

    async fn call(&self, what: &str, headers: &[(&str, &str)], body: Value) -> Value {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.at));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    async fn ask(&self, what: &str, body: Value) -> Value {
        self.call(what, &[("authorization", &self.bearer)], body).await
    }

    /// A tenant with a number on the sandbox, as its operator makes it.
    async fn furnish(&mut self, sandbox: &Sandbox) -> String {
        let operator = format!("Bearer {OPERATOR}");
        let made = self.call("POST /v1/tenants", &[("authorization", &operator)], json!({"name": "A"})).await;
        let headers = [("authorization", operator.as_str()), ("kabar-tenant", made["id"].as_str().unwrap())];
        let key = self.call("POST /v1/keys", &headers, json!({"name": "test"})).await;
        self.bearer = format!("Bearer {}", key["secret"].as_str().unwrap());
        let config = sandbox.config();
        let app = json!({"app_secrets": [config.app_secret], "verify_token": config.verify_token});
        let app = self.ask("POST /v1/apps", app).await;
        let session = json!({
            "name": "test", "app": app["id"], "phone_number_id": config.numbers[0].phone_number_id,
            "display_phone_number": config.numbers[0].display_phone_number,
            "access_token": config.access_tokens[0], "messages_per_second": 200, "base_url": sandbox.base_url(),
        });
        self.call("POST /v1/sessions", &headers, session).await["id"].as_str().unwrap().to_owned()
    }

    async fn send(&self, session: &str, nth: u64) -> String {
        let sent = self.ask("POST /v1/messages", template(session, &format!("62812{nth:08}"))).await;
        sent["id"].as_str().unwrap_or_else(|| panic!("{sent}")).to_owned()
    }

    /// A message that is due in an hour.
    async fn later(&self, session: &str, nth: u64) -> String {
        let mut message = template(session, &format!("62812{nth:08}"));
        let now = kabar_actors::Clock::system().now_ms();
        let due = kabar_engine::time::Timestamp(now + 3_600_000);
        message["options"] = json!({"send_at": due.to_rfc3339()});
        self.ask("POST /v1/messages", message).await["id"].as_str().unwrap().to_owned()
    }

    async fn status(&self, message: &str) -> String {
        let found = self.ask(&format!("GET /v1/messages/{message}"), Value::Null).await;
        found["status"].as_str().unwrap_or_else(|| panic!("{message}: {found}")).to_owned()
    }

    /// Waits until the message's status is one of these.
    async fn until(&self, message: &str, wanted: &[&str]) -> String {
        let (mut turn, begin) = (tokio::time::interval(Duration::from_millis(50)), Instant::now());
        loop {
            turn.tick().await;
            let status = self.status(message).await;
            if wanted.contains(&status.as_str()) {
                return status;
            }
            assert!(begin.elapsed() < DEADLINE, "{message} stays {status}");
        }
    }
}

async fn sandbox() -> Sandbox {
    let behaviour = Behaviour { answer_ms: Delay::fixed(ANSWER_MS), pair_limit: false, ..Behaviour::quiet() };
    let number = NumberConfig { messages_per_second: 1_000, ..NumberConfig::default() };
    Sandbox::start(SandboxConfig { behaviour, numbers: vec![number], ..SandboxConfig::default() })
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_of_a_busy_server_knows_all_it_accepted_and_sends_nothing_twice_that_had_gone() {
    let (place, sandbox) = (tempfile::tempdir().unwrap(), sandbox().await);
    let at = |name: &str| place.path().join(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    let mut server = Server::start(&at("data"), "").await;
    let session = server.furnish(&sandbox).await;
    let mut ended = Vec::new();
    for nth in 0..ENDED {
        ended.push(server.send(&session, nth).await);
    }
    for message in &ended {
        server.until(message, &["sent"]).await;
    }
    let mut called = Vec::new();
    for nth in ENDED..ENDED + CALLED {
        called.push(server.send(&session, nth).await);
    }
    let later = server.later(&session, 900).await;
    let begin = Instant::now();
    let mut turn = tokio::time::interval(Duration::from_millis(20));
    while (sandbox.recipients().len() as u64) < ENDED + CALLED {
        turn.tick().await;
        assert!(begin.elapsed() < DEADLINE, "not every call is out");
    }
    // All of these are out, and none has its answer; more come in while the backup runs.
    let (data, to) = (at("data"), text("backup"));
    let backup = tokio::spawn(async move { told(&data, &["backup", "--to", &to, "--json"]).await });
    let mut during = 1_000;
    while !backup.is_finished() || during < 1_020 {
        server.send(&session, during).await;
        during += 1;
    }
    let manifest = backup.await.unwrap();
    assert_eq!(manifest["with_key"], false);
    assert!(manifest["master_key"].as_str().unwrap().ends_with("master.key"), "{manifest}");
    server.child.kill().await.unwrap();

    let told =
        told(&at("data"), &["restore", "--from", &text("backup"), "--to", &text("back"), "--json"]).await;
    assert_eq!(told["opened"], true, "{told}");
    assert_eq!(told["shards"], manifest["shards"]);
    // Without its key it does not start, and no new key is made that would hide why.
    let keyless = run_verb(&at("back"), &["serve"]).await;
    let said = String::from_utf8_lossy(&keyless.stderr).into_owned();
    assert!(keyless.status.code() == Some(2) && said.contains("put the key"), "{said}");
    assert!(!at("back/master.key").exists());
    std::fs::copy(at("data/master.key"), at("back/master.key")).unwrap();
    let mut back = Server::start(&at("back"), &server.bearer).await;
    for message in &ended {
        assert_eq!(back.status(message).await, "sent");
    }
    // What was called and had no answer when the backup was taken is not tried again.
    for message in &called {
        assert_eq!(back.until(message, &["sent", "unknown"]).await, "unknown");
    }
    assert_eq!(back.status(&later).await, "queued");
    let phones = sandbox.recipients();
    for nth in 0..ENDED + CALLED {
        assert_eq!(phones[&format!("62812{nth:08}")], 1, "person {nth}");
    }
    back.child.kill().await.unwrap();
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_killed_leaves_none_and_the_next_one_clears_up() {
    let place = tempfile::tempdir().unwrap();
    let (data, backup) = (place.path().join("data"), place.path().join("backup"));
    let mut server = Server::start(&data, "").await;
    // Something that takes a while to carry.
    std::fs::create_dir_all(data.join("media")).unwrap();
    let blob = std::fs::File::create(data.join("media/blob")).unwrap();
    blob.set_len(2 << 30).unwrap();
    let to = backup.to_str().unwrap();
    let mut run = kabar(&data).args(["backup", "--to", to]).stderr(Stdio::null()).spawn().unwrap();
    let mut turn = tokio::time::interval(Duration::from_millis(5));
    let begin = Instant::now();
    while !place.path().join("backup.partial/media").exists() {
        turn.tick().await;
        assert!(begin.elapsed() < DEADLINE, "the backup does not begin");
    }
    run.kill().await.unwrap();
    assert!(!backup.exists() && place.path().join("backup.partial").exists());
    std::fs::remove_file(data.join("media/blob")).unwrap();
    std::fs::write(data.join("media/small"), "a picture").unwrap();
    let with_key = told(&data, &["backup", "--to", to, "--with-key", "--json"]).await;
    assert_eq!(with_key["with_key"], true);
    assert!(!place.path().join("backup.partial").exists() && !backup.join("media/blob").exists());
    server.child.kill().await.unwrap();
    // With its key it starts as it is.
    let back = place.path().join("back");
    told(&data, &["restore", "--from", to, "--to", back.to_str().unwrap(), "--json"]).await;
    assert_eq!(std::fs::read(back.join("media/small")).unwrap(), b"a picture");
    let mut restored = Server::start(&back, "").await;
    restored.child.kill().await.unwrap();
    let again = run_verb(&data, &["backup", "--to", to]).await;
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    std::fs::write(backup.join("media/small"), "a pictura").unwrap();
    let damaged = run_verb(&data, &["restore", "--check", "--from", to]).await;
    let said = String::from_utf8_lossy(&damaged.stderr).into_owned();
    assert!(damaged.status.code() == Some(1) && said.contains("media/small"), "{said}");
}
