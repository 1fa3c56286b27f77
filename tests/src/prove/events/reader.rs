//! A reader of `/v1/events/stream`: connects again whenever it is cut off, with the last `id:` it was told, and drops
//! what it has seen by the events' names. It keeps names only.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kabar_engine::id::EventId;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(20);
/// The begin of everything.
const BEGIN: &str = "since=2024-01-01T00:00:00Z";

/// What a reader has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Every event once, in the order in which it came first.
    pub(super) order: Vec<EventId>,
    /// How often it connected.
    pub(super) connections: u64,
    /// Events that came again.
    pub(super) repeats: u64,
}

/// The reader.
pub(super) struct Reader {
    seen: Arc<Mutex<Seen>>,
    count: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Begins to follow.
    pub(super) fn start(base: &str, key: &str) -> Self {
        let (seen, count) = (Arc::new(Mutex::default()), Arc::new(AtomicUsize::new(0)));
        let follow = Follow {
            pool: Client::builder(TokioExecutor::new()).build_http(),
            url: format!("{base}/v1/events/stream?{BEGIN}"),
            key: key.to_owned(),
            place: None,
            known: HashSet::new(),
            seen: Arc::clone(&seen),
            count: Arc::clone(&count),
        };
        Self { seen, count, task: tokio::spawn(follow.run()) }
    }

    /// Events seen so far.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stop(&self) {
        self.task.abort();
    }
}

struct Follow {
    pool: Client<HttpConnector, Empty<Bytes>>,
    url: String,
    key: String,
    /// The last place that was told.
    place: Option<String>,
    known: HashSet<EventId>,
    seen: Arc<Mutex<Seen>>,
    count: Arc<AtomicUsize>,
}

impl Follow {
    async fn run(mut self) {
        let mut turn = tokio::time::interval(AGAIN);
        loop {
            turn.tick().await;
            // However it ends, by a kill or by the server's own wish: it comes back.
            let _cut_off = self.connect().await;
        }
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        let mut request =
            Request::builder().uri(&self.url).header("authorization", format!("Bearer {}", self.key));
        if let Some(place) = &self.place {
            request = request.header("last-event-id", place);
        }
        let response = self.pool.request(request.body(Empty::new())?).await?;
        anyhow::ensure!(response.status().is_success(), "refused");
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
        let (mut body, mut text) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            text.extend_from_slice(&data);
            // Only whole blocks count: what was cut off in the middle was not received.
            let Some(end) = text.windows(2).rposition(|pair| pair == b"\n\n") else { continue };
            let rest = text.split_off(end + 2);
            let blocks = std::mem::replace(&mut text, rest);
            for block in std::str::from_utf8(&blocks)?.split("\n\n") {
                self.take(block)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, block: &str) -> anyhow::Result<()> {
        let mut place = None;
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("id", told)) => place = Some(told.to_owned()),
                Some(("data", data)) => {
                    let event: Value = serde_json::from_str(data)?;
                    let id: EventId = event["id"].as_str().unwrap_or_default().parse()?;
                    let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    if self.known.insert(id) {
                        seen.order.push(id);
                        self.count.fetch_add(1, Ordering::AcqRel);
                    } else {
                        seen.repeats += 1;
                    }
                }
                _ => {}
            }
        }
        self.place = place.or(self.place.take());
        Ok(())
    }
}
