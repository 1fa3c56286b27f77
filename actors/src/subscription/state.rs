//! What a subscription's actor holds: its record, where it reads, what waits, the end of its log; and how it is read
//! from and written to the records. Not when: that is the actor's.

use super::log::{Log, put};
use super::texts::Texts;
use crate::dispatcher::{Event, EventAsk, EventError, EventPlace, Follow, Follower};
use crate::metrics;
use crate::node::Node;
use futures::future::BoxFuture;
use kabar_connectors::Secret;
use kabar_connectors::webhook::{Delivered, Delivery};
use kabar_engine::entry::Position;
use kabar_engine::event::Kind;
use kabar_engine::id::{EventId, SessionId, ShardId, TenantId, WebhookId};
use kabar_engine::subscription::{Envelope, Failing, Filed, Pending, Queue};
use kabar_engine::time::Timestamp;
use kabar_schema::error::StoreError;
use kabar_schema::records::{
    AttemptLine, AttemptLog, AttemptOutcome, Standing, Subscription as Record, Waiting,
};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::watch;

/// Events read at once.
const PAGE: usize = 200;

pub(super) struct State {
    pub(super) record: Record,
    pub(super) queue: Queue,
    pub(super) log: Log,
    /// Whether something but the place has changed since it was written.
    pub(super) dirty: bool,
    pub(super) saved_at: Timestamp,
    sessions: Option<BTreeSet<SessionId>>,
    follower: Follower,
    standing: Standing,
    version: u64,
    texts: Texts,
    /// The word of each event that is being tried.
    trying: HashMap<EventId, &'static str>,
}

fn ask(record: &Record, since: Option<Timestamp>) -> EventAsk {
    let kinds = record.types.as_ref();
    let kinds = kinds.map(|words| words.iter().filter_map(|word| Kind::from_word(word)));
    let kinds = kinds.map(|kinds| {
        // In Meta's words both are `sent`.
        let more = |kind| [Some(kind), details(kind).filter(|_| record.envelope == Envelope::Meta)];
        kinds.flat_map(more).flatten().collect()
    });
    let told = || Kind::ALL.into_iter().filter(|kind| kind.is_metas()).collect();
    let kinds = kinds.or_else(|| (record.envelope == Envelope::Meta).then(told));
    // One number's events lie in one shard; several are told apart here.
    let session = record.sessions.as_ref().filter(|list| list.len() == 1).map(|list| list[0]);
    EventAsk { tenant: record.tenant, after: None, since, kinds, session, limit: PAGE }
}

/// What tells more of this kind.
fn details(kind: Kind) -> Option<Kind> {
    (kind == Kind::MessageSent).then_some(Kind::MessageSentDetails)
}

fn place(standing: &Standing) -> EventPlace {
    let cursor = standing.cursor.iter().map(|(shard, at)| (ShardId(*shard), Position(*at))).collect();
    let inside = standing.inside.iter().map(|(shard, passed)| (ShardId(*shard), *passed)).collect();
    EventPlace { cursor, inside }
}

fn failed(error: EventError) -> StoreError {
    tracing::debug!(%error, "a subscription's events cannot be read now");
    StoreError::Unavailable
}

impl State {
    /// Reads where a subscription stands; one that never stood anywhere begins now.
    pub(super) async fn load(node: &Arc<Node>, record: Record) -> Result<Self, StoreError> {
        let (nouns, now) = (&node.store().nouns, Timestamp(node.clock().now_ms()));
        let (tenant, id) = (record.tenant, record.id);
        let (standing, version) = match nouns.get::<Standing>(tenant, id.0).await? {
            Some(found) => (found.noun, found.version),
            None => (Standing::begin(tenant, id, super::tips(node), now), 0),
        };
        let log = Log::load(nouns, (tenant, id), (standing.log_begin, standing.log_end), now).await?;
        let left = standing.waiting.iter().map(|w| Pending {
            event: w.event,
            lane: w.lane,
            attempts: w.attempts,
            due: w.due,
        });
        let failing = standing.failing.map(|(since, last)| Failing { since, last });
        let texts = Texts::new(failing.is_some());
        let queue = Queue::new(left.collect(), failing, record.envelope);
        let from = Follow::After(place(&standing));
        let asked = ask(&record, standing.since);
        let follower = node.dispatcher().follow_unbounded(asked, from).await.map_err(failed)?;
        let sessions = record.sessions.clone().map(|list| list.into_iter().collect());
        let (dirty, saved_at, trying) = (version == 0, now, HashMap::new());
        Ok(Self { record, queue, log, dirty, saved_at, sessions, follower, standing, version, texts, trying })
    }

    /// Takes a changed record over; what waits is carried to the new address.
    pub(super) async fn change(&mut self, node: &Arc<Node>, record: Record) -> Result<(), StoreError> {
        let from = Follow::After(self.follower.place().clone());
        let asked = ask(&record, self.standing.since);
        self.follower = node.dispatcher().follow_unbounded(asked, from).await.map_err(failed)?;
        self.sessions = record.sessions.clone().map(|list| list.into_iter().collect());
        self.record = record;
        Ok(())
    }

    pub(super) fn bell(&self) -> watch::Receiver<()> {
        self.follower.bell()
    }

    /// Reads on where there is room; tells whether there may be more.
    pub(super) async fn read(&mut self, node: &Arc<Node>) -> Result<bool, EventError> {
        let room = self.queue.room().min(PAGE);
        if room == 0 {
            return Ok(false);
        }
        self.follower.set_limit(room);
        let page = match self.follower.look().await {
            Err(EventError::Expired) => {
                // Its place is older than what is kept: that is said, and it goes on with the oldest.
                tracing::warn!(webhook = %self.record.id, "events were dropped before they could be delivered");
                self.standing.missed = Some(Timestamp(node.clock().now_ms()));
                self.dirty = true;
                self.follower.rewind(self.standing.since).await?;
                return Ok(true);
            }
            page => page?,
        };
        let Some(courier) = node.served().courier() else { return Ok(false) };
        let now = Timestamp(node.clock().now_ms());
        for event in page.events {
            if !self.wants(&event) {
                continue;
            }
            let (id, kind, lane) = (event.id, event.kind, event.about.lane());
            let (tenant, envelope) = (self.record.tenant, self.record.envelope);
            if self.queue.push(Pending { event: id, lane, attempts: 0, due: now })
                && self.texts.has_room()
                && let Ok(Some(text)) = (courier.render)(tenant, event, envelope).await
            {
                self.texts.keep(id, kind, text);
            }
            self.dirty = true;
        }
        Ok(page.more)
    }

    fn wants(&self, event: &Event) -> bool {
        let of = |sessions: &BTreeSet<SessionId>| event.session().is_some_and(|s| sessions.contains(&s));
        let told = self.record.envelope == Envelope::Kabar || event.about.is_metas();
        told && self.sessions.as_ref().is_none_or(of)
    }

    /// The call of an attempt; `None` when there is no such event any more, which is then noted.
    pub(super) async fn attempt(
        &mut self,
        node: &Arc<Node>,
        pending: Pending,
        now: Timestamp,
    ) -> Result<Option<BoxFuture<'static, Delivered>>, StoreError> {
        let Some(courier) = node.served().courier().cloned() else { return Err(StoreError::Unavailable) };
        let (tenant, event) = (self.record.tenant, pending.event);
        let text = match self.texts.get(event) {
            Some(text) => Some(text),
            None => match node.dispatcher().event(tenant, event).await {
                Ok(Some(found)) => {
                    let kind = found.kind;
                    (courier.render)(tenant, found, self.record.envelope).await?.map(|text| (kind, text))
                }
                Ok(None) => None,
                Err(EventError::Expired) => None,
                Err(_) => return Err(StoreError::Unavailable),
            },
        };
        let Some((kind, body)) = text else {
            self.queue.forget(event);
            self.note((event, now), pending.attempts + 1, &GONE, Filed::Failed);
            return Ok(None);
        };
        self.trying.insert(event, kind.word());
        let secrets = self.record.secrets(now).into_iter().map(Secret::from).collect();
        let (url, id, envelope) = (self.record.url.clone(), event.to_string(), self.record.envelope);
        Ok(Some((courier.call)(Delivery { url, id, at: now, body, secrets, envelope })))
    }

    /// An attempt has ended.
    pub(super) fn file(&mut self, (event, at): (EventId, Timestamp), delivered: &Delivered, now: Timestamp) {
        let attempts = self.queue.pending().find(|p| p.event == event).map_or(0, |p| p.attempts);
        let filed = self.queue.answered(event, delivered.is_good(), now, rand::random());
        // Nobody waits for it: it was told to an earlier life of this actor.
        let Some(filed) = filed else { return };
        self.texts.ended(event, delivered.is_good());
        self.note((event, at), attempts + 1, delivered, filed);
    }

    fn note(&mut self, (event, at): (EventId, Timestamp), attempt: u32, delivered: &Delivered, filed: Filed) {
        let (outcome, next) = match filed {
            Filed::Delivered => (AttemptOutcome::Delivered, None),
            Filed::Again(due) => (AttemptOutcome::Again, Some(due)),
            Filed::Failed => (AttemptOutcome::Failed, None),
        };
        metrics::attempted(outcome, delivered.took_ms);
        let kind = self.trying.remove(&event).unwrap_or_default().to_owned();
        let (took_ms, status) = (delivered.took_ms, delivered.status);
        let error = delivered.error.map(str::to_owned);
        tracing::debug!(webhook = %self.record.id, %event, attempt, status, error, ?outcome, took_ms, "a delivery was tried");
        self.log.note(AttemptLine { event, kind, attempt, at, took_ms, status, error, outcome, next });
        self.dirty = true;
    }

    /// Goes back to what happened at this moment.
    pub(super) async fn rewind(&mut self, _node: &Arc<Node>, since: Timestamp) -> Result<(), StoreError> {
        self.standing.since = Some(since);
        self.follower.rewind(Some(since)).await.map_err(failed)?;
        self.dirty = true;
        Ok(())
    }

    /// Writes down the log, then where it stands: a kill between the two tells more attempts than it remembers.
    pub(super) async fn save(&mut self, node: &Arc<Node>) -> Result<(), StoreError> {
        let (nouns, now) = (&node.store().nouns, Timestamp(node.clock().now_ms()));
        self.log.write(nouns, now).await?;
        let place = self.follower.place();
        self.standing.cursor = place.cursor.0.iter().map(|(shard, at)| (shard.0, at.0)).collect();
        self.standing.inside = place.inside.iter().map(|(shard, passed)| (shard.0, *passed)).collect();
        let waiting = self.queue.pending().map(|p| Waiting {
            event: p.event,
            lane: p.lane,
            attempts: p.attempts,
            due: p.due,
        });
        self.standing.waiting = waiting.collect();
        self.standing.failing = self.queue.failing().map(|f| (f.since, f.last));
        (self.standing.log_begin, self.standing.log_end) = self.log.pages();
        self.version = put(nouns, &self.standing, self.version).await?;
        (self.dirty, self.saved_at) = (false, now);
        Ok(())
    }
}

/// The event is no longer kept.
const GONE: Delivered = Delivered { status: None, error: Some("gone"), took_ms: 0 };

/// Deletes what a subscription that is no more has left.
pub(crate) async fn clean(node: &Arc<Node>, (tenant, id): (TenantId, WebhookId)) -> Result<(), StoreError> {
    let nouns = &node.store().nouns;
    let Some(standing) = nouns.get::<Standing>(tenant, id.0).await? else { return Ok(()) };
    let mut page = standing.noun.log_begin;
    loop {
        let place = AttemptLog::id_of(id, page);
        match nouns.get::<AttemptLog>(tenant, place).await? {
            Some(found) => nouns.delete::<AttemptLog>(tenant, place, found.version).await?,
            None if page >= standing.noun.log_end => break,
            None => {}
        }
        page += 1;
    }
    nouns.delete::<Standing>(tenant, id.0, standing.version).await
}
