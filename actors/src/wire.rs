//! A claim on the wire: every message of a batch is handed to the connector at once, and the answers go back
//! to the shard in small batches as they come. A claim is always answered: a call that is cut off is ambiguous.

use crate::media::dress;
use crate::metrics;
use crate::node::Node;
use crate::rest;
use crate::shard::{DoorError, Shard};
use crate::trace;
use futures::stream::{FuturesUnordered, StreamExt};
use kabar_connectors::Connector;
use kabar_connectors::cloud::aftermath;
use kabar_engine::cause::Cause;
use kabar_engine::health::{TemplateName, Trouble};
use kabar_engine::id::{MessageId, TenantId};
use kabar_engine::outgoing::{Accepted, Outgoing, SendError};
use kabar_engine::overlay::Input;
use kabar_engine::pacing::Throttle;
use kabar_engine::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Calls begun at once: a large claim does not keep the processor to itself.
const BURST: usize = 8;
/// Answers in one batch to the shard.
const BATCH: usize = 128;
/// An answer waits at most this long for company.
const LINGER: Duration = Duration::from_millis(5);
/// Troubles of one batch that are remembered.
const TROUBLES: usize = 8;
/// Waits between tries to hand answers to a shard that is being reopened.
const REOPEN_WAIT_MS: u64 = 100;
/// Tries to hand answers over before they are given up; the claims are then adopted as ambiguous. A minute: a store
/// that was away for a while is not to make of every call in flight one whose outcome is not known.
const REOPEN_TRIES: u32 = 600;
/// A message that was held back because its shard's lease was gone waits this long.
const HELD_BACK_MS: u64 = 1_000;

/// What came back from the provider for one message.
pub type Told = Result<Accepted, SendError>;

/// What a batch's answers say about the pace.
#[derive(Debug, Clone, Default)]
pub struct Feedback {
    /// The number's throughput limit was met.
    pub slow_down: bool,
    /// Nothing may be sent for so many milliseconds.
    pub pause_ms: u64,
    /// The provider could not be reached.
    pub unreachable: bool,
    /// The link does not work.
    pub link_lost: bool,
    /// The account is held.
    pub account_held: bool,
    /// Refusals that were about more than one message, each once.
    pub troubles: Vec<Trouble>,
    /// Recipients (by hash) whose pair limit was met.
    pub pairs: Vec<u64>,
    /// Something was accepted.
    pub accepted: usize,
    /// Places among the session's own calls that are free again.
    pub done: u32,
    /// Answers could not be recorded: their claims stand open and must be adopted.
    pub lost: bool,
}

impl Feedback {
    fn hear(&mut self, to: u64, told: &Told, template: Option<TemplateName>) {
        if let Err(error) = told {
            self.trouble(error, template);
        }
        match told {
            Ok(_) => self.accepted += 1,
            // Our own account knows what it said itself.
            Err(error @ SendError::RetryAfter { throttle: Throttle::Pair, .. }) => {
                self.pairs.extend(error.own_wait().is_none().then_some(to));
            }
            Err(SendError::RetryAfter { throttle: Throttle::Throughput, after_ms, .. }) => {
                self.slow_down = true;
                self.pause_ms = self.pause_ms.max(*after_ms);
            }
            Err(SendError::RetryAfter { throttle: Throttle::Unreachable, .. }) => self.unreachable = true,
            Err(SendError::RetryAfter { throttle: Throttle::Maintenance, after_ms, .. }) => {
                self.pause_ms = self.pause_ms.max((*after_ms).max(10_000));
            }
            Err(SendError::RetryAfter { throttle: Throttle::RequestLimit, after_ms, .. }) => {
                self.pause_ms = self.pause_ms.max((*after_ms).max(60_000));
            }
            Err(SendError::Held { throttle: Throttle::Account, after_ms, .. }) => {
                self.account_held = true;
                self.pause_ms = self.pause_ms.max(*after_ms);
            }
            Err(SendError::LinkLost(_)) => self.link_lost = true,
            Err(
                SendError::RetryAfter { .. }
                | SendError::Held { .. }
                | SendError::Rejected(_)
                | SendError::Ambiguous,
            ) => {}
        }
    }

    /// Remembers what is about more than its message, or what nobody knows.
    fn trouble(&mut self, error: &SendError, template: Option<TemplateName>) {
        let (holds, reason) = match error {
            SendError::Held { throttle: Throttle::Person, .. } => return,
            SendError::Held { throttle, reason, .. } => (Some(*throttle), reason),
            SendError::LinkLost(reason) => (None, reason),
            SendError::Rejected(reason) if reason.cause.is_provider() => {
                let holds = aftermath(reason.cause);
                if holds.is_none() && reason.cause.is_known() {
                    return;
                }
                (holds, reason)
            }
            _ => return,
        };
        let template = template.filter(|_| holds == Some(Throttle::Template));
        let same = |known: &Trouble| known.cause == reason.cause && known.template == template;
        if self.troubles.len() < TROUBLES && !self.troubles.iter().any(same) {
            let (cause, detail) = (reason.cause, reason.detail.clone());
            self.troubles.push(Trouble { holds, cause, detail, template });
        }
    }
}

/// One message of a batch with what its answer is filed under.
pub struct Parcel<K> {
    /// Message id or index.
    pub key: K,
    /// Its message, where it is known at no cost.
    pub message: Option<MessageId>,
    /// What goes out.
    pub outgoing: Outgoing,
    /// Whether it may name media of ours, which the provider has under other ids.
    pub dressed: bool,
    /// Whether its campaign is marketing.
    pub marketing: bool,
    /// Set when it must not go out now after all: the answer is this.
    pub instead: Option<SendError>,
}

/// Holds a place among a session's calls, so that a new actor does not adopt what is still on the wire.
pub struct OnWire(Arc<AtomicUsize>);

impl OnWire {
    /// Takes a place.
    #[must_use]
    pub fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for OnWire {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a batch needs beside its parcels.
pub struct Route {
    /// The node, for the time it may still live.
    pub node: Arc<Node>,
    /// Whose messages they are.
    pub tenant: TenantId,
    /// The shard the answers go to.
    pub shard: Arc<Shard>,
    /// Who speaks to the provider.
    pub connector: Arc<dyn Connector>,
    /// Held until the last answer is filed.
    pub held: OnWire,
}

/// Sends every parcel and files every answer; `file` makes the input that tells the shard.
pub async fn transmit<K: Copy + Send + 'static>(
    route: Route,
    parcels: Vec<Parcel<K>>,
    file: impl Fn(Vec<(K, Told)>, u64) -> Input + Send,
) -> Feedback {
    let mut feedback =
        Feedback { done: u32::try_from(parcels.len()).unwrap_or(u32::MAX), ..Feedback::default() };
    let (mut calls, mut early) = (FuturesUnordered::new(), Vec::new());
    for burst in parcels.chunks(BURST) {
        calls.extend(burst.iter().map(|parcel| call(&route, parcel)));
        // They are written now; then it is the turn of whoever waits for the processor.
        while let Poll::Ready(Some(answer)) = futures::poll!(calls.next()) {
            early.push(answer);
        }
        tokio::task::yield_now().await;
    }
    let mut calls = futures::stream::iter(early).chain(calls);
    let mut batch: Vec<(K, Told)> = Vec::with_capacity(BATCH);
    while let Some((key, (to, template), told)) = calls.next().await {
        feedback.hear(to, &told, template);
        batch.push((key, told));
        let deadline = tokio::time::Instant::now() + LINGER;
        while batch.len() < BATCH {
            match tokio::time::timeout_at(deadline, calls.next()).await {
                Ok(Some((key, (to, template), told))) => {
                    feedback.hear(to, &told, template);
                    batch.push((key, told));
                }
                Ok(None) | Err(_) => break,
            }
        }
        feedback.lost |= !deliver(&route, std::mem::take(&mut batch), &file).await;
    }
    drop(calls);
    drop(route.held);
    feedback
}

/// One call.
async fn call<K: Copy>(route: &Route, parcel: &Parcel<K>) -> (K, (u64, Option<TemplateName>), Told) {
    let whose = (route.tenant, parcel.outgoing.session);
    let instead = match &parcel.instead {
        Some(error) => Some(error.clone()),
        None => rest::instead(&route.node, whose, &parcel.outgoing, parcel.marketing).await,
    };
    let told = match instead {
        Some(error) => Err(error),
        // The last look before the first byte: without the lease somebody else may own the claim.
        None if !route.shard.holds_lease() => Err(held_back()),
        None if parcel.dressed => dressed_call(route, parcel).await,
        None => told_call(route, parcel.message, &parcel.outgoing).await,
    };
    let refused = matches!(told, Err(SendError::Held { .. } | SendError::Rejected(_)));
    let template = refused.then(|| TemplateName::of(&parcel.outgoing.content)).flatten();
    if let Err(SendError::Held { throttle: Throttle::Person, .. }) = &told {
        let (node, now) = (&route.node, Timestamp(route.node.clock().now_ms()));
        let noted = node.rests.note(node, route.tenant, (&parcel.outgoing.to, template.as_ref()), now).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "that a person has had enough could not be written down");
        }
    }
    (parcel.key, (pair_key(&parcel.outgoing), template), told)
}

/// A call of a message that names media of ours. What the provider refuses because of a copy it does not know any more is
/// called once again with a new one: it was certainly not accepted.
async fn dressed_call<K>(route: &Route, parcel: &Parcel<K>) -> Told {
    let whose = (route.tenant, parcel.outgoing.session);
    let (outgoing, refit) = dress(&route.node, whose, &parcel.outgoing).await?;
    // An upload takes its time.
    if !route.shard.holds_lease() {
        return Err(held_back());
    }
    let told = told_call(route, parcel.message, &outgoing).await;
    if !refit.is_outworn(&route.node, &told).await {
        return told;
    }
    let (outgoing, _) = dress(&route.node, whose, &parcel.outgoing).await?;
    if !route.shard.holds_lease() {
        return Err(held_back());
    }
    told_call(route, parcel.message, &outgoing).await
}

/// The call itself, and how long it took.
async fn told_call(route: &Route, message: Option<MessageId>, outgoing: &Outgoing) -> Told {
    let (began, Outgoing { session, reference, .. }) = (Instant::now(), outgoing);
    trace::claimed(message, *session, *reference);
    let told = route.connector.send(outgoing).await;
    trace::called(message, *session, *reference, (&told, began.elapsed()));
    told
}

/// What a claim is answered that was not called because its shard's lease is gone: certainly not sent. If the shard
/// comes back to this node, the message waits and goes; if it does not, its next owner finds a claim without an
/// answer and parks it.
fn held_back() -> SendError {
    SendError::RetryAfter {
        throttle: Throttle::Transient,
        after_ms: HELD_BACK_MS,
        cause: Cause::INTERNAL,
        words: None,
    }
}

/// Hands answers to the shard's current owner; while the shard is being reopened they wait. `false`: given up.
async fn deliver<K: Copy + Send>(
    route: &Route,
    batch: Vec<(K, Told)>,
    file: &(impl Fn(Vec<(K, Told)>, u64) -> Input + Send),
) -> bool {
    count(&batch);
    let random = route.node.options().dice.throw();
    let id = route.shard.id();
    for _ in 0..REOPEN_TRIES {
        let shard = route.node.shard(id);
        match shard.ask(file(batch.clone(), random)).await {
            Ok(_) | Err(DoorError::Refused(_)) => return true,
            Err(error) => tracing::debug!(shard = id.0, %error, "answers wait for their shard"),
        }
        route.node.clock().sleep_ms(REOPEN_WAIT_MS).await;
    }
    tracing::error!(
        shard = id.0,
        count = batch.len(),
        "answers could not be recorded; their claims stay open"
    );
    false
}

fn count<K>(batch: &[(K, Told)]) {
    let (mut accepted, mut rejected, mut retry, mut ambiguous) = (0, 0, 0, 0);
    for (_, told) in batch {
        match told {
            Ok(_) => accepted += 1,
            Err(SendError::Rejected(_)) => rejected += 1,
            Err(SendError::RetryAfter { .. } | SendError::Held { .. } | SendError::LinkLost(_)) => retry += 1,
            Err(SendError::Ambiguous) => ambiguous += 1,
        }
    }
    for (outcome, count) in
        [("accepted", accepted), ("rejected", rejected), ("retry", retry), ("ambiguous", ambiguous)]
    {
        if count > 0 {
            metrics::transmitted(outcome, count);
        }
    }
}

/// The key under which the pair limit counts a recipient.
#[must_use]
pub fn pair_key(outgoing: &Outgoing) -> u64 {
    xxhash_rust::xxh3::xxh3_64(outgoing.to.value().as_bytes())
}
