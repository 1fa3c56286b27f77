//! The tenant's own server in the events and kill proofs: takes what webhooks bring over all kills, refuses a few at their first
//! coming, and keeps every call. Not what should have come: that is the journal's to say.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kabar_engine::id::EventId;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Of so many events one is refused when it comes first: its conversation must wait for it.
const REFUSE_ONE_OF: usize = 701;

/// What came.
#[derive(Debug, Clone, Default)]
pub(super) struct Brought {
    /// Every call: the event it was named by, and whether it was taken.
    pub(super) calls: Vec<(EventId, bool)>,
    /// Calls whose name and body differ, or that are none.
    pub(super) strange: u64,
}

impl Brought {
    /// Calls that were taken beyond the first of their event.
    pub(super) fn repeats(&self) -> usize {
        let taken = self.calls.iter().filter(|(_, taken)| *taken);
        let once: HashSet<EventId> = taken.clone().map(|(event, _)| *event).collect();
        taken.count() - once.len()
    }

    pub(super) fn refused(&self) -> usize {
        self.calls.iter().filter(|(_, taken)| !taken).count()
    }

    /// What is wrong with it, when these events in this order should have come, each of its conversation if it has one.
    pub(super) fn compare(&self, events: &[(EventId, Option<String>)]) -> Vec<String> {
        let mut broken = Vec::new();
        let there: HashSet<EventId> = events.iter().map(|(event, _)| *event).collect();
        let taken: HashSet<EventId> =
            self.calls.iter().filter(|(_, taken)| *taken).map(|(event, _)| *event).collect();
        let missed: Vec<EventId> = there.difference(&taken).copied().collect();
        let foreign: Vec<EventId> = taken.difference(&there).copied().collect();
        for (what, list) in [("events no webhook brought", &missed), ("webhooks of no event", &foreign)] {
            if let Some(first) = list.first() {
                broken.push(format!("{what}: {}, such as {first}", list.len()));
            }
        }
        if self.strange > 0 {
            broken.push(format!("webhooks whose name is not their event's: {}", self.strange));
        }
        broken.extend(self.out_of_order(events));
        broken
    }

    /// The first call that came before an earlier event of its conversation had been taken.
    fn out_of_order(&self, events: &[(EventId, Option<String>)]) -> Option<String> {
        let (mut before, mut last) = (BTreeMap::new(), BTreeMap::new());
        for (event, conversation) in events {
            if let Some(conversation) = conversation
                && let Some(earlier) = last.insert(conversation, *event)
            {
                before.insert(*event, earlier);
            }
        }
        let mut taken = HashSet::new();
        for (event, good) in &self.calls {
            if let Some(earlier) = before.get(event).filter(|earlier| !taken.contains(*earlier)) {
                return Some(format!("{event} was brought before {earlier} of its conversation was taken"));
            }
            if *good {
                taken.insert(*event);
            }
        }
        None
    }
}

#[derive(Debug, Default)]
struct Inner {
    seen: Mutex<Seen>,
    /// Events that were taken.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Seen {
    brought: Brought,
    /// Every event that came, and those of them that were taken.
    known: HashSet<EventId>,
    taken: HashSet<EventId>,
}

/// The server.
pub(super) struct Receiver {
    inner: Arc<Inner>,
    url: String,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let inner = Arc::new(Inner::default());
        let own = Arc::clone(&inner);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&own);
                let service = service_fn(move |request| answer(Arc::clone(&inner), request));
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { inner, url, task })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Events taken so far.
    pub(super) fn count(&self) -> usize {
        self.inner.count.load(Ordering::Acquire)
    }

    /// Ends it; all that came.
    pub(super) fn end(self) -> Brought {
        self.task.abort();
        std::mem::take(&mut self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner).brought)
    }
}

async fn answer(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let name = head.headers.get("webhook-id").and_then(|name| name.to_str().ok()).map(str::to_owned);
    // What was cut off by a kill ends here and never came.
    let body = body.collect().await?.to_bytes();
    let good = inner.take(name.as_deref().unwrap_or_default(), &body);
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() =
        if good { hyper::StatusCode::OK } else { hyper::StatusCode::INTERNAL_SERVER_ERROR };
    Ok(response)
}

impl Inner {
    /// Notes a call; whether it is taken.
    fn take(&self, name: &str, body: &[u8]) -> bool {
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(event) = name.parse::<EventId>().ok().filter(|_| told["id"] == name) else {
            seen.brought.strange += 1;
            return true;
        };
        let new = seen.known.insert(event);
        let good = !new || seen.brought.calls.len() % REFUSE_ONE_OF != REFUSE_ONE_OF - 1;
        seen.brought.calls.push((event, good));
        if good && seen.taken.insert(event) {
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        good
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::id::ShardId;

    fn event(position: u64) -> EventId {
        EventId::of(ShardId(1), position, 0)
    }

    #[test]
    fn a_missed_a_foreign_and_an_early_event_are_each_found() {
        let one = |position| (event(position), Some("a".to_owned()));
        let events = [one(1), (event(2), Some("b".to_owned())), one(3), (event(4), None)];
        let of = |calls: &[(u64, bool)]| Brought {
            calls: calls.iter().map(|(position, taken)| (event(*position), *taken)).collect(),
            strange: 0,
        };
        let good = of(&[(4, true), (1, false), (2, true), (1, true), (3, true), (1, true)]);
        assert_eq!(good.compare(&events), Vec::<String>::new());
        assert_eq!((good.repeats(), good.refused()), (1, 1));
        for (calls, word) in [
            (vec![(1, true), (2, true), (3, true)], "no webhook brought"),
            (vec![(1, true), (2, true), (3, true), (4, true), (5, true)], "of no event"),
            (vec![(3, true), (1, true), (2, true), (4, true)], "before"),
            (vec![(1, false), (3, true), (1, true), (2, true), (4, true)], "before"),
        ] {
            let broken = of(&calls).compare(&events);
            assert!(broken.len() == 1 && broken[0].contains(word), "{word}: {broken:?}");
        }
        let strange = Brought { strange: 1, ..of(&[(1, true), (2, true), (3, true), (4, true)]) };
        assert_eq!(strange.compare(&events).len(), 1);
    }

    #[test]
    fn a_name_that_is_not_its_bodys_is_strange() {
        let (inner, name) = (Inner::default(), event(1).to_string());
        assert!(inner.take(&name, format!(r#"{{"id":"{name}"}}"#).as_bytes()));
        inner.take(&name, br#"{"id":"evt_1"}"#);
        inner.take("", b"{}");
        let seen = inner.seen.lock().unwrap();
        assert_eq!((seen.brought.calls.len(), seen.brought.strange), (1, 2));
    }
}
