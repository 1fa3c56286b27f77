//! What people send: noted before the webhook is answered, fetched from the provider at once and beside everything else,
//! tried until the provider forgets it, and told of when it is here. What is still to be fetched is a record, so that a
//! restart loses nothing; what waits in memory is bounded, the rest is read again when there is room.

use super::{MediaError, SourceError, Wanted, intake, link};
use crate::metrics;
use crate::node::{Link, Node};
use crate::shard::DoorError;
use kabar_connectors::cloud::{GraphFailure, Refusal, find_media, open_media, read_sha256};
use kabar_engine::cause::Cause;
use kabar_engine::content::Content;
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_engine::media::MediaKind;
use kabar_engine::overlay::{Input, Refusal as Refused};
use kabar_engine::time::{DAY_MS, HOUR_MS, SECOND_MS, Timestamp};
use kabar_schema::StoreError;
use kabar_schema::records::{MediaFetch, MediaOrigin, Noun, ReceivedMedia};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The provider forgets what it received after seven days.
const LIVES_MS: i64 = 7 * DAY_MS;
/// Files fetched at the same time, of one number and in all.
const PER_SESSION: usize = 4;
const AT_ONCE: usize = 16;
/// Files that wait in memory; further ones wait in their records.
const WAITING_MAX: usize = 10_000;
/// Records read at once.
const PAGE: usize = 200;
/// Wait after the first failure; it doubles up to an hour.
const AGAIN_MS: i64 = 2 * SECOND_MS;
/// Bytes that are not those announced are fetched again so often.
const DAMAGED_MAX: u32 = 1;
/// Longest sleep between two looks at the clock.
const LONGEST_WAIT_MS: i64 = 60_000;

type Task = (Arc<MediaFetch>, u32);

/// What is to be fetched, as far as it is in memory.
#[derive(Default)]
pub(crate) struct Received {
    queue: Mutex<Queue>,
    /// Records there are that memory had no room for, or that nobody has read yet.
    more: AtomicBool,
    news: Arc<Notify>,
}

#[derive(Default)]
struct Queue {
    /// By when they are due.
    waiting: BTreeMap<(Timestamp, u64), Task>,
    /// Waiting or being fetched, so that nothing is in here twice.
    known: HashSet<(TenantId, u64)>,
    running: HashMap<SessionId, usize>,
}

impl Queue {
    /// The next one that is due and whose number has a place.
    fn take(&mut self, now: Timestamp) -> Option<Task> {
        let busy = |fetch: &MediaFetch| self.running.get(&fetch.session).is_some_and(|n| *n >= PER_SESSION);
        let mut due = self.waiting.iter().take_while(|((at, _), _)| *at <= now);
        let key = due.find(|(_, (fetch, _))| !busy(fetch)).map(|(key, _)| *key)?;
        let task = self.waiting.remove(&key)?;
        *self.running.entry(task.0.session).or_default() += 1;
        Some(task)
    }

    fn next(&self) -> Option<Timestamp> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }

    fn free(&mut self, session: SessionId) {
        if let Some(running) = self.running.get_mut(&session) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&session);
            }
        }
    }
}

impl Received {
    /// Something is to be fetched from now on.
    pub(crate) fn hurry(&self, fetches: Vec<MediaFetch>, now: Timestamp) {
        if fetches.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        for fetch in fetches {
            if queue.known.len() >= WAITING_MAX {
                self.more.store(true, Ordering::Release);
                break;
            }
            let id = fetch.id();
            if queue.known.insert((fetch.tenant, id)) {
                queue.waiting.insert((now, id), (Arc::new(fetch), 0));
            }
        }
        drop(queue);
        self.news.notify_one();
    }
}

/// What came with a message and is to be fetched.
pub(crate) fn wanted(link: &Link, message: &str, content: &Content, now: Timestamp) -> Option<MediaFetch> {
    let (kind, media) = content.received_file()?;
    Some(MediaFetch {
        tenant: link.session.tenant,
        session: link.session.id,
        message: message.to_owned(),
        provider_id: media.id?,
        kind: MediaKind::of_word(&kind)?,
        mime: media.mime_type,
        sha256: media.sha256,
        filename: media.filename,
        created: now,
    })
}

/// Notes what is to be fetched, before the webhook that told of it is answered. A repeat notes nothing.
pub(crate) async fn note(node: &Node, fetches: &[MediaFetch]) -> Result<(), DoorError> {
    let nouns = &node.store().nouns;
    let each = fetches.iter().map(|fetch| async move {
        if nouns.get::<ReceivedMedia>(fetch.tenant, fetch.id()).await?.is_some() {
            return Ok(());
        }
        match nouns.create(fetch).await {
            Ok(()) | Err(StoreError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    });
    futures::future::try_join_all(each).await.map(|_| ()).map_err(DoorError::from)
}

/// What is known of what came with a message.
pub(crate) async fn look(
    node: &Node,
    (tenant, session): (TenantId, SessionId),
    message: &str,
) -> Result<Option<Option<Result<MediaId, Cause>>>, StoreError> {
    let (nouns, id) = (&node.store().nouns, ReceivedMedia::id_of(tenant, session, message));
    if let Some(done) = nouns.get::<ReceivedMedia>(tenant, id).await? {
        return Ok(Some(Some(done.noun.fetched)));
    }
    Ok(nouns.get::<MediaFetch>(tenant, id).await?.map(|_| None))
}

/// Fetches what is to be fetched, for the life of the node.
pub(crate) async fn run(node: Weak<Node>) {
    let mut tasks: JoinSet<()> = JoinSet::new();
    if let Some(node) = node.upgrade() {
        node.media().received.more.store(true, Ordering::Release);
    }
    loop {
        let Some(house) = node.upgrade() else { return };
        let received = &house.media().received;
        while tasks.try_join_next().is_some() {}
        if received.more.load(Ordering::Acquire) && refill(&house).await.is_err() {
            tracing::debug!("what is to be fetched could not be read now");
        }
        let now = Timestamp(house.clock().now_ms());
        while tasks.len() < AT_ONCE && !house.is_draining() {
            let Some(task) = received.queue.lock().take(now) else { break };
            tasks.spawn(settle(Arc::clone(&house), task));
        }
        let next = received.queue.lock().next().filter(|at| *at > now);
        let wait = next.map_or(LONGEST_WAIT_MS, |at| at.since_ms(now).clamp(1, LONGEST_WAIT_MS));
        let (clock, news) = (house.clock().clone(), Arc::clone(&received.news));
        drop(house);
        tokio::select! {
            biased;
            () = clock.sleep_ms(u64::try_from(wait).unwrap_or(1)) => {}
            () = news.notified() => {}
        }
    }
}

/// Reads records into memory until there is no more of either.
async fn refill(node: &Arc<Node>) -> Result<(), StoreError> {
    let received = &node.media().received;
    if received.queue.lock().known.len() > WAITING_MAX / 2 {
        return Ok(());
    }
    received.more.store(false, Ordering::Release);
    let mut after = None;
    loop {
        let page = match node.store().nouns.all::<MediaFetch>(after, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                received.more.store(true, Ordering::Release);
                return Err(error);
            }
        };
        let ended = page.len() < PAGE;
        after = page.last().map(|last| (last.noun.tenant, last.noun.id()));
        received.hurry(page.into_iter().map(|found| found.noun).collect(), Timestamp(node.clock().now_ms()));
        if ended || received.more.load(Ordering::Acquire) {
            return Ok(());
        }
    }
}

/// One try, and what it comes to.
async fn settle(node: Arc<Node>, (fetch, tries): Task) {
    let now = Timestamp(node.clock().now_ms());
    let outcome = attempt(&node, &fetch, tries).await;
    let outcome = match outcome {
        Err(Miss::Later(_)) if now.since_ms(fetch.created) >= LIVES_MS => {
            Err(Miss::Never(Cause::MEDIA_EXPIRED))
        }
        outcome => outcome,
    };
    let ended = match outcome {
        Ok(media) => conclude(&node, &fetch, Ok(media)).await,
        Err(Miss::Never(cause)) => conclude(&node, &fetch, Err(cause)).await,
        Err(Miss::Later(why)) => {
            tracing::debug!(why, tries, "what a person sent is fetched later");
            false
        }
    };
    let received = &node.media().received;
    let mut queue = received.queue.lock();
    queue.free(fetch.session);
    if ended {
        queue.known.remove(&(fetch.tenant, fetch.id()));
    } else {
        let wait = (AGAIN_MS << tries.min(11)).min(HOUR_MS);
        queue.waiting.insert((now.plus_ms(wait), fetch.id()), (fetch, tries.saturating_add(1)));
    }
    drop(queue);
    received.news.notify_one();
}

/// Why a try brought nothing.
#[derive(Debug, PartialEq, Eq)]
enum Miss {
    /// Another one may.
    Later(&'static str),
    /// None will.
    Never(Cause),
}

async fn attempt(node: &Arc<Node>, fetch: &MediaFetch, tries: u32) -> Result<MediaId, Miss> {
    let nouns = &node.store().nouns;
    let done = nouns.get::<ReceivedMedia>(fetch.tenant, fetch.id()).await;
    // Somebody died between the record of the end and the end of the record.
    if let Some(done) = done.map_err(|_| Miss::Later("store"))? {
        return done.noun.fetched.map_err(Miss::Never);
    }
    let link = node.link(fetch.tenant, fetch.session).await.ok_or(Miss::Later("session"))?;
    let graph = node.graph(&link.session).await.map_err(|_| Miss::Later("session"))?;
    let place =
        find_media(&graph, &fetch.provider_id, &link.session.phone_number_id).await.map_err(missed)?;
    let reading =
        open_media(&graph, &place.url, MediaKind::BYTES_MAX).await.map_err(|failure| match failure {
            // The address has run out, not the file: the next try asks for a new one.
            GraphFailure::Refused(refusal) if refusal.code == 0 => Miss::Later("address"),
            failure => missed(failure),
        })?;
    let said = fetch.sha256.as_deref().and_then(read_sha256);
    let wanted = Wanted {
        mime: fetch.mime.clone().or(place.mime),
        filename: fetch.filename.clone(),
        kind: Some(fetch.kind),
        origin: MediaOrigin::Received,
        sha256: said.or(place.sha256),
    };
    let kept = intake::keep(node, fetch.tenant, link::source(reading), wanted).await;
    kept.map(|kept| kept.media.media_id()).map_err(|error| spoilt(&error, tries))
}

/// What it means that a file did not come as it should.
fn spoilt(error: &MediaError, tries: u32) -> Miss {
    match error {
        MediaError::Source(SourceError::OtherHash) if tries < DAMAGED_MAX => Miss::Later("damaged"),
        MediaError::Source(SourceError::OtherHash) => Miss::Never(Cause::MEDIA_DAMAGED),
        MediaError::Source(SourceError::TooLarge(_)) | MediaError::Unfit(_) => {
            Miss::Never(Cause::MEDIA_TOO_LARGE)
        }
        MediaError::Source(SourceError::Broken(_)) => Miss::Later("broken off"),
        MediaError::Store(_) => Miss::Later("store"),
        MediaError::Link(_) => Miss::Later("link"),
    }
}

/// What a provider's refusal means for a file: one that it does not know is gone for good.
fn missed(failure: GraphFailure) -> Miss {
    match failure {
        GraphFailure::NotReached | GraphFailure::Unclear => Miss::Later("no answer"),
        GraphFailure::Refused(refusal) => match *refusal {
            Refusal { code: 100, subcode: Some(33), .. } => Miss::Never(Cause::MEDIA_EXPIRED),
            Refusal { retryable: true, .. } | Refusal { link_lost: true, .. } => {
                Miss::Later("refused for now")
            }
            _ => Miss::Never(Cause::MEDIA_WITHHELD),
        },
    }
}

/// Records the end, tells of it, and takes the task off the list: in this order, so that who hears of it finds it, and a
/// crash in between at most tells of it twice. Whether that was done.
async fn conclude(node: &Arc<Node>, fetch: &MediaFetch, fetched: Result<MediaId, Cause>) -> bool {
    let (nouns, now) = (&node.store().nouns, Timestamp(node.clock().now_ms()));
    let MediaFetch { tenant, session, .. } = *fetch;
    let done = ReceivedMedia { tenant, session, message: fetch.message.clone(), fetched, created: now };
    match nouns.create(&done).await {
        Ok(()) | Err(StoreError::Conflict) => {}
        Err(_) => return false,
    }
    let provider_id = fetch.message.as_str().into();
    let shard = node.shard_of_session(tenant, session);
    match shard.ask(Input::Media { tenant, session, provider_id, fetched }).await {
        // A message that never became one is nobody's to hear of.
        Ok(_) | Err(DoorError::Refused(Refused::NotFound)) => {}
        Err(_) => return false,
    }
    metrics::media_received(fetched.is_ok());
    match nouns.get::<MediaFetch>(tenant, fetch.id()).await {
        Ok(Some(found)) => nouns.delete::<MediaFetch>(tenant, fetch.id(), found.version).await.is_ok(),
        Ok(None) => true,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(session: u64, nth: u64) -> MediaFetch {
        MediaFetch {
            tenant: TenantId(1),
            session: SessionId(session),
            message: format!("wamid.{nth}"),
            provider_id: "9".into(),
            kind: MediaKind::Image,
            mime: None,
            sha256: None,
            filename: None,
            created: Timestamp(0),
        }
    }

    #[test]
    fn one_number_does_not_keep_the_others_waiting_and_nothing_is_fetched_twice() {
        let received = Received::default();
        let many: Vec<_> = (0..20).map(|nth| fetch(1, nth)).collect();
        received.hurry([many.clone(), many, vec![fetch(2, 99)]].concat(), Timestamp(5));
        let mut queue = received.queue.lock();
        assert_eq!((queue.waiting.len(), queue.take(Timestamp(4)).is_none()), (21, true));
        let taken: Vec<u64> =
            std::iter::from_fn(|| queue.take(Timestamp(5))).map(|t| t.0.session.0).collect();
        let of = |session| taken.iter().filter(|of| **of == session).count();
        assert_eq!((of(1), of(2)), (PER_SESSION, 1));
        queue.free(SessionId(1));
        assert!(queue.take(Timestamp(5)).is_some());
    }

    #[test]
    fn what_comes_to_nothing_is_tried_again_unless_it_never_can_be() {
        let refusal = |code, subcode, retryable| {
            missed(GraphFailure::Refused(Box::new(Refusal {
                status: 400,
                code,
                subcode,
                detail: String::new(),
                user: None,
                trace: None,
                after_ms: 0,
                link_lost: code == 190,
                retryable,
            })))
        };
        assert_eq!(refusal(100, Some(33), false), Miss::Never(Cause::MEDIA_EXPIRED));
        assert_eq!(refusal(131_009, None, false), Miss::Never(Cause::MEDIA_WITHHELD));
        for passing in [refusal(4, None, true), refusal(190, None, false), missed(GraphFailure::Unclear)] {
            assert!(matches!(passing, Miss::Later(_)), "{passing:?}");
        }
        let large = MediaError::Source(SourceError::TooLarge(1));
        assert_eq!(spoilt(&large, 0), Miss::Never(Cause::MEDIA_TOO_LARGE));
        let other = MediaError::Source(SourceError::OtherHash);
        assert!(matches!(spoilt(&other, 0), Miss::Later(_)));
        assert_eq!(spoilt(&other, DAMAGED_MAX), Miss::Never(Cause::MEDIA_DAMAGED));
    }

    #[test]
    fn what_does_not_fit_into_memory_is_left_to_its_record() {
        let received = Received::default();
        let count = WAITING_MAX as u64 + 5;
        received.hurry((0..count).map(|nth| fetch(nth, nth)).collect(), Timestamp(0));
        assert_eq!(received.queue.lock().waiting.len(), WAITING_MAX);
        assert!(received.more.load(Ordering::Acquire));
    }
}
