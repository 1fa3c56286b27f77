//! Webhook delivery: batches updates, signs them, posts many at once, and repeats the same bytes
//! until the receiver says 2xx or seven days are over. No order, no exactly-once, as Meta.

mod saved;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use saved::SavedDelivery;

use super::agenda::{Agenda, Errand};
use super::envelope::{self, InboundLine, StatusLine, Update};
use super::subscription::Routes;
use crate::behaviour::BehaviourCell;
use crate::config::{NumberConfig, SandboxConfig};
use crate::network::clock::{Clock, ms};
use crate::network::fate::Act;
use crate::network::ledger::Told;
use crate::network::phone::Phones;
use crate::network::policy::Judged;
use crate::network::stats::WebhookStats;
use crate::network::{Face, Reply, pause, wamid};

const KEPT_NS: u64 = 7 * 24 * 3_600 * 1_000_000_000;
const ANSWER_LIMIT: usize = 64 * 1024;

/// Why a receiver was not taken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WebhookRefused {
    /// Not an `http://` URL with a host; the sandbox speaks no TLS.
    #[error("`{0}` is not an http:// URL with a host")]
    NotAUrl(String),
    /// No answer.
    #[error("the receiver did not answer the verification request")]
    Unreachable,
    /// Another status than 200.
    #[error("the receiver answered the verification request with HTTP {0} instead of 200")]
    Status(u16),
    /// Not the challenge.
    #[error("the receiver did not answer with the challenge")]
    Challenge,
}

#[derive(Debug)]
struct Post {
    due_ns: u64,
    order: u64,
    body: Bytes,
    signature: String,
    updates: u64,
    failures: usize,
    first_ns: u64,
    generation: u64,
    /// Whose news they are: number, and whether the account's.
    of: (usize, bool),
}

impl Post {
    fn rank(&self) -> (u64, u64) {
        (self.due_ns, self.order)
    }
}

impl PartialEq for Post {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Post {}

impl PartialOrd for Post {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Post {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

enum Job {
    Fresh { updates: Vec<Update>, order: u64, first_ns: u64, generation: u64, of: (usize, bool) },
    Again(Post),
}

#[derive(Default)]
struct State {
    url: Option<Uri>,
    routes: Routes,
    paused: bool,
    waiting: VecDeque<(u64, Update)>,
    later: BinaryHeap<Reverse<Post>>,
    in_flight: usize,
    generation: u64,
    order: u64,
    stats: WebhookStats,
}

impl Job {
    fn of(&self) -> (usize, bool) {
        match self {
            Self::Fresh { of, .. } => *of,
            Self::Again(post) => post.of,
        }
    }

    fn updates(&self) -> u64 {
        match self {
            Self::Fresh { updates, .. } => updates.len() as u64,
            Self::Again(post) => post.updates,
        }
    }
}

impl State {
    /// Where such news go; `None`: nobody is subscribed.
    fn target(&self, numbers: &[NumberConfig], of: (usize, bool)) -> Option<Uri> {
        if self.routes.is_plain() {
            return self.url.clone();
        }
        self.routes.target((of.0, numbers.get(of.0)?), of.1, self.url.as_ref())
    }

    fn listens(&self, numbers: &[NumberConfig], of: (usize, bool)) -> bool {
        if self.routes.is_plain() { self.url.is_some() } else { self.target(numbers, of).is_some() }
    }

    /// Takes what goes into the next body: at most `most`, and with several receivers of one number alone.
    fn batch(&mut self, most: usize, now: u64) -> Job {
        let of = self.waiting.front().map_or((0, false), |(_, update)| update.of());
        let most = self.waiting.len().min(most);
        let count = if self.routes.is_plain() {
            most
        } else {
            self.waiting.iter().take(most).take_while(|(_, update)| update.of() == of).count()
        };
        self.order += 1;
        self.stats.offered += 1;
        let updates = self.waiting.drain(..count).map(|(_, update)| update).collect();
        Job::Fresh { updates, order: self.order, first_ns: now, generation: self.generation, of }
    }
}

/// The updates of one sandbox on their way to its receiver.
pub(crate) struct Delivery {
    numbers: Arc<[NumberConfig]>,
    phones: Phones,
    clock: Arc<Clock>,
    behaviour: Arc<BehaviourCell>,
    secret: Vec<u8>,
    verify_token: String,
    client: Client<HttpConnector, Full<Bytes>>,
    agenda: Arc<Agenda>,
    state: Mutex<State>,
    wake: Notify,
}

impl Delivery {
    pub(crate) fn new(
        config: &SandboxConfig,
        numbers: Arc<[NumberConfig]>,
        clock: Arc<Clock>,
        behaviour: Arc<BehaviourCell>,
        agenda: Arc<Agenda>,
    ) -> Result<Self, WebhookRefused> {
        let url = config.webhook_url.as_deref().map(parse).transpose()?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Ok(Self {
            numbers,
            phones: Phones::new(config.seed),
            clock,
            behaviour,
            secret: config.app_secret.clone().into_bytes(),
            verify_token: config.verify_token.clone(),
            client: Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            agenda,
            state: Mutex::new(State { url, ..State::default() }),
            wake: Notify::new(),
        })
    }

    /// Takes one update to be delivered; gone if nobody is subscribed.
    pub(crate) fn offer(&self, update: Update) {
        let now = self.clock.now_ns();
        let mut state = self.state.lock();
        if !state.listens(&self.numbers, update.of()) {
            state.stats.unsubscribed += 1;
            return;
        }
        state.stats.updates += 1;
        state.stats.pending += 1;
        state.waiting.push_back((now, update));
        drop(state);
        self.wake.notify_one();
    }

    /// Posts what is due, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken, tasks: TaskTracker) {
        loop {
            let (jobs, next) = self.due();
            for (url, job) in jobs {
                let (own, stop) = (Arc::clone(&self), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = own.attempt(url, job) => {}
                    }
                });
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = pause(next.map(|due| self.clock.until(due))) => {}
            }
        }
    }

    /// Takes what may be posted now, and when to look again.
    fn due(&self) -> (Vec<(Uri, Job)>, Option<u64>) {
        let behaviour = self.behaviour.get();
        let now = self.clock.now_ns();
        let mut jobs = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.paused || (state.url.is_none() && state.routes.is_plain()) {
            return (jobs, None);
        }
        let mut next = None;
        while state.in_flight < behaviour.webhook_concurrency {
            let again = state.later.peek().map(|post| post.0.due_ns);
            let full = state.waiting.len() >= behaviour.webhook_batch_max;
            let linger = if full { 0 } else { ms(behaviour.webhook_linger_ms) };
            let fresh = state.waiting.front().map(|(at, _)| at.saturating_add(linger));
            let first = again.into_iter().chain(fresh).min();
            if first.is_none_or(|first| first > now) {
                next = first;
                break;
            }
            let job = if again == first {
                let Some(Reverse(post)) = state.later.pop() else { break };
                state.stats.retried += 1;
                Job::Again(post)
            } else {
                state.batch(behaviour.webhook_batch_max, now)
            };
            let Some(url) = state.target(&self.numbers, job.of()) else {
                // nobody is subscribed to it any more
                state.stats.unsubscribed += job.updates();
                state.stats.pending -= job.updates();
                continue;
            };
            state.in_flight += 1;
            jobs.push((url, job));
        }
        (jobs, next)
    }

    async fn attempt(&self, url: Uri, job: Job) {
        let post = match job {
            Job::Again(post) => post,
            Job::Fresh { updates, order, first_ns, generation, of } => {
                let body = envelope::envelope(
                    &updates,
                    &self.numbers,
                    self.clock.unix_ms(self.clock.now_ns()) / 1_000,
                );
                let body = Bytes::from(envelope::escape(&body, self.behaviour.get().escape));
                let signature = envelope::signature(&self.secret, &body);
                let updates = updates.len() as u64;
                Post { due_ns: 0, order, body, signature, updates, failures: 0, first_ns, generation, of }
            }
        };
        let timeout = Duration::from_millis(self.behaviour.get().webhook_timeout_ms);
        let acked = tokio::time::timeout(timeout, self.post(url, &post)).await.unwrap_or(false);
        self.settle(post, acked);
    }

    async fn post(&self, url: Uri, post: &Post) -> bool {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, "facebookexternalua")
            .header("x-hub-signature-256", &post.signature)
            .body(Full::new(post.body.clone()));
        let Ok(request) = request else { return false };
        let Ok(answer) = self.client.request(request).await else { return false };
        let good = answer.status().is_success();
        // read to the end so that the connection can be used again; 2xx counts whatever follows
        let _ = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
        good
    }

    fn settle(&self, mut post: Post, acked: bool) {
        let behaviour = self.behaviour.get();
        let now = self.clock.now_ns();
        let mut state = self.state.lock();
        state.in_flight -= 1;
        if post.generation == state.generation {
            let schedule = &behaviour.retry_schedule_ms;
            let wait = schedule.get(post.failures).or(schedule.last()).copied().unwrap_or(1_000);
            post.due_ns = now.saturating_add(ms(wait));
            post.failures += 1;
            if acked {
                state.stats.acked += 1;
                state.stats.pending -= post.updates;
            } else if post.due_ns - post.first_ns > KEPT_NS {
                tracing::warn!(updates = post.updates, "webhook abandoned after seven days");
                state.stats.abandoned += 1;
                state.stats.pending -= post.updates;
            } else {
                state.later.push(Reverse(post));
            }
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Asks a receiver to prove that it is one, as Meta does when a callback is configured.
    pub(crate) async fn verify(&self, url: &str, token: &str) -> Result<(), WebhookRefused> {
        let base = parse(url)?;
        let challenge = (self.clock.unix_ms(self.clock.now_ns()) % 2_000_000_000).to_string();
        let sign = if base.query().is_some() { '&' } else { '?' };
        let asked = format!(
            "{url}{sign}hub.mode=subscribe&hub.challenge={challenge}&hub.verify_token={}",
            encoded(token)
        );
        let request = Request::get(asked).header(USER_AGENT, "facebookplatform/1.0").body(Full::default());
        let request = request.map_err(|_| WebhookRefused::NotAUrl(url.to_owned()))?;
        let timeout = Duration::from_millis(self.behaviour.get().webhook_timeout_ms);
        let answer = tokio::time::timeout(timeout, self.client.request(request)).await;
        let answer =
            answer.map_err(|_| WebhookRefused::Unreachable)?.map_err(|_| WebhookRefused::Unreachable)?;
        if answer.status() != 200 {
            return Err(WebhookRefused::Status(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect();
        let body = tokio::time::timeout(timeout, body).await.map_err(|_| WebhookRefused::Unreachable)?;
        let body = body.map_err(|_| WebhookRefused::Challenge)?.to_bytes();
        if body == challenge.as_bytes() { Ok(()) } else { Err(WebhookRefused::Challenge) }
    }

    /// The token of the app's own receiver.
    pub(crate) fn verify_token(&self) -> &str {
        &self.verify_token
    }

    pub(super) fn numbers(&self) -> &[NumberConfig] {
        &self.numbers
    }

    pub(crate) fn url(&self) -> Option<String> {
        self.state.lock().url.as_ref().map(Uri::to_string)
    }

    /// Looks at, or changes, who hears of what.
    pub(crate) fn routes<T>(&self, change: impl FnOnce(&mut Routes) -> T) -> T {
        change(&mut self.state.lock().routes)
    }

    /// Where webhooks go from now on, repetitions included; `None`: nowhere.
    pub(crate) fn subscribe(&self, url: Option<&str>) -> Result<(), WebhookRefused> {
        let url = url.map(parse).transpose()?;
        self.state.lock().url = url;
        self.wake.notify_one();
        Ok(())
    }

    pub(crate) fn hold(&self, paused: bool) {
        self.state.lock().paused = paused;
        self.wake.notify_one();
    }

    /// Behaviour or clock changed: look again.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(crate) fn stats(&self) -> WebhookStats {
        self.state.lock().stats
    }

    /// Forgets every update; what is in flight no longer counts.
    pub(crate) fn reset(&self) {
        let mut state = self.state.lock();
        state.waiting.clear();
        state.later.clear();
        state.routes = Routes::default();
        state.generation += 1;
        state.stats = WebhookStats::default();
    }
}

impl Face for Delivery {
    fn status(&self, told: &Told, act: Act, unix_s: i64) {
        let Act::Status { status, code, priced } = act else { return };
        let line = StatusLine {
            wamid: &wamid::outbound(&told.to, told.id),
            to: &told.to,
            reference: told.reference.as_deref(),
            status: status.name(),
            code,
            price: priced.then_some((told.category, told.rate)),
            sent_ms: told.at_ms,
            unix_s,
        };
        self.offer(envelope::status(told.number, &line, &self.phones, &self.behaviour.get()));
    }

    fn reply(&self, told: &Told, reply: &Reply) {
        let quoted = wamid::outbound(&told.to, told.id);
        let line = InboundLine {
            wamid: &wamid::inbound(&told.to, reply.id),
            from: &told.to,
            user_id: None,
            name: self.phones.name(&told.to),
            unix_s: reply.unix_s,
            quote: reply
                .quote
                .then(|| (self.numbers[told.number].display_phone_number.as_str(), quoted.as_str())),
            content: &serde_json::json!({"type": "text", "text": {"body": reply.text}}),
        };
        self.offer(envelope::inbound(told.number, &line, &self.phones, self.behaviour.get().user_ids));
    }

    fn judged(&self, judged: Judged) {
        self.agenda.add(0, Errand::from(judged));
    }
}

pub(super) fn parse(url: &str) -> Result<Uri, WebhookRefused> {
    let parsed = url.parse::<Uri>().ok();
    let usable =
        |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty());
    parsed.filter(usable).ok_or_else(|| WebhookRefused::NotAUrl(url.to_owned()))
}

fn encoded(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
