//! An import whose server is killed in the middle: the real binary, a real SIGKILL, the same file again.

use super::house::OPERATOR;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const ROWS: usize = 40_000;
const PATH: &str = "/v1/contacts/import?name=people&default_region=ID";

/// A server in a process of its own.
pub struct Server {
    pub child: Child,
    /// Its address and port.
    pub at: String,
}

impl Server {
    pub async fn start(folder: &Path) -> Self {
        Self::with(folder, &[], Stdio::null()).await
    }

    /// With more in its environment, and what it says on stderr.
    pub async fn with(folder: &Path, more: &[(&str, &str)], said: Stdio) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kabar"))
            .arg("serve")
            .env("KABAR__STORE__FOLDER", folder)
            .env("KABAR__SERVER__LISTEN", "127.0.0.1:0")
            .env("KABAR__AUTH__OPERATOR_KEY", OPERATOR)
            .envs(more.iter().copied())
            .stdout(Stdio::piped())
            .stderr(said)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the server did not start");
        let at = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
        Self { child, at }
    }

    pub async fn call(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> (u16, Value) {
        let (method, path) = what.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.at));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// What is no JSON.
    pub async fn text(&self, what: &str) -> (u16, String) {
        let uri = format!("http://{}{}", self.at, what.split_once(' ').unwrap().1);
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let response = client.get(uri.parse().unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// A new tenant's key.
    pub async fn tenant(&self) -> String {
        let operator = format!("Bearer {OPERATOR}");
        let (_, made) =
            self.call("POST /v1/tenants", &[("authorization", &operator)], r#"{"name":"Toko"}"#).await;
        let headers = [("authorization", operator.as_str()), ("kabar-tenant", made["id"].as_str().unwrap())];
        let (_, key) = self.call("POST /v1/keys", &headers, r#"{"name":"test"}"#).await;
        format!("Bearer {}", key["secret"].as_str().unwrap())
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// Ends it in order.
    pub async fn end(mut self) {
        self.terminate();
        assert!(self.child.wait().await.unwrap().success());
    }

    async fn import(&self, bearer: &str, file: &str) -> (u16, Value) {
        let headers =
            [("authorization", bearer), ("content-type", "text/csv"), ("idempotency-key", "the-file")];
        self.call(&format!("POST {PATH}"), &headers, file.to_owned()).await
    }

    /// Sends half of the file and then piece after piece, until some rows are known to be durable; and is killed.
    async fn killed_within(mut self, bearer: &str, file: &str) -> Value {
        let mut socket = TcpStream::connect(&self.at).await.unwrap();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nhost: {}\r\nauthorization: {bearer}\r\ncontent-type: text/csv\r\n\
             idempotency-key: the-file\r\ncontent-length: {}\r\n\r\n",
            self.at,
            file.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut pieces = file.as_bytes().chunks(file.len() / 80);
        for piece in pieces.by_ref().take(20) {
            socket.write_all(piece).await.unwrap();
        }
        let mut turn = tokio::time::interval(Duration::from_millis(50));
        let import = loop {
            turn.tick().await;
            let (_, page) = self.call("GET /v1/imports", &[("authorization", bearer)], "").await;
            if page["data"][0]["rows_read"].as_u64() > Some(0) {
                break page["data"][0].clone();
            }
            let piece = pieces.next().expect("no checkpoint in the whole file");
            socket.write_all(piece).await.unwrap();
        };
        self.child.kill().await.unwrap();
        import
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_killed_in_the_middle_is_finished_by_the_same_file_with_exact_totals() {
    let row = |n: usize| match n % 50 {
        7 => format!("Siti {n},12\n"),
        33 => format!("Again {n},0812{:08}\n", n - 1),
        _ => format!("Budi {n},0812{n:08}\n"),
    };
    let file: String = std::iter::once("name,phone\n".to_owned()).chain((0..ROWS).map(row)).collect();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path()).await;
    let bearer = server.tenant().await;
    let cut = server.killed_within(&bearer, &file).await;
    assert!(cut["state"] == "reading" && cut["rows_read"].as_u64() < Some(ROWS as u64), "{cut}");

    let server = Server::start(folder.path()).await;
    // Little more than the checkpoint: whoever is refused early may lose the answer while it still sends.
    let lines = 2_000 + usize::try_from(cut["rows_read"].as_u64().unwrap()).unwrap();
    let other: String = file.split_inclusive('\n').take(lines).collect();
    let (status, refused) = server.import(&bearer, &other.replacen("Budi 3,", "Bodi 3,", 1)).await;
    assert_eq!((status, &refused["code"]), (422, &"idempotency_mismatch".into()), "{refused}");
    let path = format!("GET /v1/imports/{}", cut["id"].as_str().unwrap());
    let (_, kept) = server.call(&path, &[("authorization", &bearer)], "").await;
    assert_eq!(kept["state"], "reading");

    let (status, import) = server.import(&bearer, &file).await;
    assert_eq!((status, &import["id"], &import["state"]), (201, &cut["id"], &"done".into()), "{import}");
    let count = |field: &str| import[field].as_u64().unwrap() as usize;
    assert_eq!((count("rows_read"), count("duplicate"), count("invalid")), (ROWS, ROWS / 50, ROWS / 50));
    let people = ROWS / 50 * 48;
    let counts = (count("imported"), count("created_contacts"), count("updated_contacts"));
    assert_eq!(counts, (people, people, 0));
    let mut server = server;
    server.child.kill().await.unwrap();
}
