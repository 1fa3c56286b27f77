//! The job of the sandbox's page, word for word: what a customer copies into their CI does what the page says. Only the ports are
//! others, so that tests can run side by side, and the customer's service and tests are made here.

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::get;
use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener as Reserved};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

type Heard = Arc<Mutex<Vec<String>>>;

/// What the page's `your-tests` stands for: a template with a button is made, sent, and answered by the phone.
const YOUR_TESTS: &str = r#"
your-tests() {
  graph() { curl -sf "http://127.0.0.1:8090/v23.0/$1" -H 'Authorization: Bearer sandbox-access-token' -H 'Content-Type: application/json' -d "$2"; }
  graph 102000000000001/message_templates '{"name": "visit", "language": "en", "category": "UTILITY", "components": [
    {"type": "BODY", "text": "You come at noon, do you?"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}]}]}'
  graph 106000000000001/messages '{"messaging_product": "whatsapp", "to": "6281234567890", "type": "template",
    "template": {"name": "visit", "language": {"code": "en"}}}'
  until curl -sf http://127.0.0.1:3000/answered; do sleep 0.1; done
}
kabar() { exec "$KABAR" "$@"; }
your-service() { exec sleep 60; }
"#;

fn job() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/sandbox.md")).unwrap();
    let job = page.split("## A job").nth(1).and_then(|rest| rest.split("```sh\n").nth(1)).unwrap();
    job.split("```").next().unwrap().to_owned()
}

async fn service() -> (SocketAddr, Heard) {
    let heard = Heard::default();
    let challenge = |Query(asked): Query<HashMap<String, String>>| async move {
        let known = asked.get("hub.verify_token").is_none_or(|token| token == "sandbox-verify-token");
        let challenge = asked.get("hub.challenge").filter(|_| known);
        challenge.cloned().unwrap_or_default()
    };
    let take = |State(heard): State<Heard>, body: String| async move { heard.lock().unwrap().push(body) };
    let answered = |State(heard): State<Heard>| async move {
        let all = heard.lock().unwrap().concat();
        let there = all.contains("\"type\":\"button\"") && all.contains("\"status\":\"read\"");
        if there { axum::http::StatusCode::OK } else { axum::http::StatusCode::NOT_FOUND }
    };
    let app = Router::new().route("/hook", get(challenge).post(take)).route("/answered", get(answered));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (address, heard)
}

#[tokio::test]
async fn the_job_of_the_sandboxs_page_runs_as_it_stands_there() {
    let (service, heard) = service().await;
    let free = Reserved::bind("127.0.0.1:0").unwrap();
    let sandbox = free.local_addr().unwrap();
    drop(free);
    let script = format!("set -eu\ntrap 'kill $(jobs -p)' EXIT\n{YOUR_TESTS}\n{}\nwait %1\n", job());
    let script = script
        .replace("127.0.0.1:8090", &sandbox.to_string())
        .replace("127.0.0.1:3000", &service.to_string());
    let folder = tempfile::tempdir().unwrap();
    let mut job = Command::new("bash");
    job.args(["-c", &script]).current_dir(folder.path()).env("KABAR", env!("CARGO_BIN_EXE_kabar"));
    let job = job.kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(50), job).await.expect("the job ends").unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stdout));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let ledger: serde_json::Value = serde_json::from_str(&read("ledger.json")).unwrap();
    let row = &ledger["rows"][0];
    assert_eq!(
        (&ledger["total"], &row["outcome"], &row["read"]),
        (&1.into(), &"accepted".into(), &true.into())
    );
    assert!(read("sandbox.log").contains("sandbox-access-token"));
    let all = heard.lock().unwrap().concat();
    for word in
        ["\"status\":\"sent\"", "\"status\":\"delivered\"", "\"status\":\"read\"", "\"type\":\"button\""]
    {
        assert!(all.contains(word), "{word}: {all}");
    }
    assert!(TcpStream::connect(sandbox).await.is_err(), "the sandbox has ended");
}
