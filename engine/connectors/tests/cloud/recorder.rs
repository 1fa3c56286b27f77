//! A server that writes down what it is asked and answers by a rule. Not the sandbox, which is the other side; here the very
//! bytes of a call are looked at. Not a test.

use kabar_connectors::client::Client;
use kabar_connectors::cloud::{Graph, GraphConfig};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A call as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Below the version, without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Status and body for a call.
type Rule = dyn Fn(&Seen) -> (u16, Value) + Send + Sync;

pub(crate) struct Recorder {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub(crate) async fn start(rule: impl Fn(&Seen) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (seen, rule): (Arc<Mutex<Vec<Seen>>>, Arc<Rule>) = (Arc::default(), Arc::new(rule));
        let notes = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&notes), Arc::clone(&rule)));
            }
        });
        Self { url, seen }
    }

    pub(crate) fn graph(&self) -> Graph {
        let config = GraphConfig {
            base_url: self.url.clone(),
            api_version: "v23.0".into(),
            access_token: "EAAG".into(),
            proofs: Arc::default(),
            deadline_ms: 10_000,
        };
        Graph::new(Client::for_providers(), config).unwrap()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, notes: Arc<Mutex<Vec<Seen>>>, rule: Arc<Rule>) {
    let mut stream = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(told) = line.strip_prefix("content-length: ") {
            length = told.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = path.strip_prefix("/v23.0/").unwrap().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let seen = Seen { method, path, query: query.to_owned(), body };
    let (status, answer) = rule(&seen);
    notes.lock().unwrap().push(seen);
    let answer = answer.to_string();
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    );
    stream.get_mut().write_all(text.as_bytes()).await.unwrap();
}
