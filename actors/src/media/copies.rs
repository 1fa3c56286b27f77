//! What providers have of tenants' files: one copy for each number, uploaded once however many messages want it at the
//! same time, and again when it is old or the provider does not know it any more. The record outlives the process; what
//! is in memory is only faster.

use super::find;
use crate::metrics;
use crate::node::{Link, Node};
use dashmap::DashMap;
use futures::{StreamExt, TryStreamExt};
use kabar_connectors::client::Broken;
use kabar_connectors::cloud::{File, GraphFailure, Refusal, upload_media};
use kabar_engine::cause::Cause;
use kabar_engine::id::{MediaId, SessionId, TenantId};
use kabar_engine::outgoing::{Reason, SendError, Words};
use kabar_engine::pacing::Throttle;
use kabar_engine::time::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp};
use kabar_schema::StoreError;
use kabar_schema::records::{Media, MediaCopy};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// A provider forgets an upload after thirty days; a day earlier it is uploaded anew.
const TRUST_MS: i64 = 29 * DAY_MS;
/// A copy is not doubted so soon after its upload: what is refused then is refused for another reason.
const SURE_MS: i64 = MINUTE_MS;
/// The first wait after an upload that failed; it doubles.
const AGAIN_MS: i64 = 1_000;
/// The longest.
const AGAIN_MAX_MS: i64 = 60_000;
/// A message waits at most this long for an upload that is on its way.
const WAIT: Duration = Duration::from_secs(120);
/// Files that are uploaded at the same time.
const UPLOADS: usize = 8;
/// Copies remembered; the record tells of the others.
const KNOWN_MAX: usize = 10_000;
/// Meta's code for an unavailable service: what it is for us when an upload comes to nothing.
const UNAVAILABLE: Cause = Cause(131_016);

/// What is known of one file at one number.
#[derive(Debug, Clone, Default)]
enum Known {
    #[default]
    Nothing,
    Here(Here),
    Failed {
        error: SendError,
        until: Timestamp,
        times: u32,
    },
}

/// A copy the provider has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Here {
    /// The provider's id.
    pub(crate) id: Arc<str>,
    uploaded: Timestamp,
}

impl Here {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.since_ms(self.uploaded) < TRUST_MS
    }
}

#[derive(Default)]
struct Slot {
    known: Mutex<Known>,
    /// Held by who loads or uploads; the others wait for it.
    turn: tokio::sync::Mutex<()>,
    /// When a copy was last forgotten because of a status.
    suspected: Mutex<Option<Timestamp>>,
}

/// All copies of this node.
pub(crate) struct Copies {
    slots: DashMap<(SessionId, MediaId), Arc<Slot>>,
    uploads: Semaphore,
}

impl Default for Copies {
    fn default() -> Self {
        Self { slots: DashMap::new(), uploads: Semaphore::new(UPLOADS) }
    }
}

impl Copies {
    fn slot(&self, key: (SessionId, MediaId)) -> Arc<Slot> {
        if let Some(slot) = self.slots.get(&key) {
            return Arc::clone(&slot);
        }
        if self.slots.len() >= KNOWN_MAX {
            // Whoever waits holds its slot; what nobody holds is found in its record again.
            self.slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(&self.slots.entry(key).or_default())
    }

    /// Whether the file's copy is known here and now, so that no message has to wait for it.
    pub(crate) fn is_known(&self, session: SessionId, media: MediaId, now: Timestamp) -> bool {
        let slot = self.slots.get(&(session, media));
        slot.is_some_and(|slot| matches!(&*slot.known.lock(), Known::Here(here) if here.is_fresh(now)))
    }

    /// The provider's id of a file for a number: known, found in its record, or uploaded now.
    ///
    /// # Errors
    /// [`SendError`], never ambiguous: an upload is not a send.
    pub(crate) async fn of(&self, node: &Node, link: &Link, media: MediaId) -> Result<Here, SendError> {
        let slot = self.slot((link.session.id, media));
        let now = || Timestamp(node.clock().now_ms());
        if let Some(known) = settled(&slot, now()) {
            return known;
        }
        let Ok(_turn) = tokio::time::timeout(WAIT, slot.turn.lock()).await else {
            return Err(later(0));
        };
        // Who had the turn before has done the work.
        if let Some(known) = settled(&slot, now()) {
            return known;
        }
        let outcome = self.bring(node, link, media).await;
        let mut known = slot.known.lock();
        *known = match &outcome {
            Ok(here) => Known::Here(here.clone()),
            Err(error) => {
                let times = if let Known::Failed { times, .. } = &*known { times + 1 } else { 0 };
                let wait = (AGAIN_MS << times.min(6)).min(AGAIN_MAX_MS).max(said_ms(error));
                Known::Failed { error: error.clone(), until: now().plus_ms(wait), times }
            }
        };
        outcome
    }

    async fn bring(&self, node: &Node, link: &Link, media: MediaId) -> Result<Here, SendError> {
        let (tenant, session) = (link.session.tenant, link.session.id);
        let (nouns, now) = (&node.store().nouns, Timestamp(node.clock().now_ms()));
        let number = &link.session.phone_number_id;
        let record = MediaCopy::id_of(tenant, session, media);
        let stored = nouns.get::<MediaCopy>(tenant, record).await.map_err(away)?;
        if let Some(copy) = stored.as_ref().map(|stored| &stored.noun).filter(|copy| copy.number == *number) {
            let here = Here { id: copy.provider_id.as_str().into(), uploaded: copy.uploaded };
            if here.is_fresh(now) {
                return Ok(here);
            }
        }
        let found = find(node, tenant, media).await.map_err(away)?.ok_or_else(gone)?;
        let id = self.upload(node, link, found).await?;
        let copy = MediaCopy {
            tenant,
            session,
            media,
            number: number.clone(),
            provider_id: id.clone(),
            uploaded: now,
        };
        let written = match &stored {
            Some(stored) => nouns.update(&copy, stored.version).await.map(|_| ()),
            None => nouns.create(&copy).await,
        };
        if let Err(error) = written {
            // It is known here all the same; after a restart it is uploaded once more.
            tracing::warn!(%error, "a provider's copy of media could not be recorded");
        }
        Ok(Here { id: id.into(), uploaded: now })
    }

    async fn upload(&self, node: &Node, link: &Link, media: Media) -> Result<String, SendError> {
        let _place = self.uploads.acquire().await.map_err(|_| later(0))?;
        let graph = node.graph(&link.session).await.map_err(|_| SendError::link_lost())?;
        node.store().keyring.ensure(media.tenant).await.map_err(away)?;
        let bytes =
            node.store().blobs.get(media.tenant, media.sha256).await.map_err(away)?.ok_or_else(gone)?;
        let file = File {
            mime: media.mime,
            name: media.filename.unwrap_or_else(|| media.kind.word().to_owned()),
            length: media.bytes,
            flow: bytes.map_err(|_| Broken).boxed(),
        };
        let outcome = upload_media(&graph, &link.session.phone_number_id, file).await;
        metrics::media_uploaded(outcome.is_ok());
        outcome.map_err(refused)
    }

    /// What a provider says about a copy it does not know: the copy is forgotten, unless it is as good as new or was
    /// replaced already. Whether another one is worth a try.
    pub(crate) async fn doubt(&self, node: &Node, link: &Link, media: MediaId, here: &Here) -> bool {
        let slot = self.slot((link.session.id, media));
        let now = Timestamp(node.clock().now_ms());
        {
            let mut known = slot.known.lock();
            match &*known {
                Known::Here(current) if current.id != here.id => return true,
                Known::Here(_) if now.since_ms(here.uploaded) < SURE_MS => return false,
                Known::Here(_) => *known = Known::Nothing,
                Known::Nothing | Known::Failed { .. } => return true,
            }
        }
        let Ok(_turn) = tokio::time::timeout(WAIT, slot.turn.lock()).await else { return false };
        self.forget(node, link.session.tenant, (link.session.id, media), Some(&here.id)).await;
        true
    }

    /// The provider reported at `at` that a message could not be delivered because of this file: what it has is forgotten, so
    /// that the next message brings it anew. Not when that copy came after the report, and once a minute at most: a file
    /// that is no good is not mended by uploading it for every message.
    pub(crate) async fn suspect(&self, node: &Node, link: &Link, media: MediaId, at: Timestamp) {
        let (tenant, session) = (link.session.tenant, link.session.id);
        let slot = self.slot((session, media));
        let now = Timestamp(node.clock().now_ms());
        let Ok(_turn) = tokio::time::timeout(WAIT, slot.turn.lock()).await else { return };
        let record = MediaCopy::id_of(tenant, session, media);
        let Ok(Some(stored)) = node.store().nouns.get::<MediaCopy>(tenant, record).await else { return };
        // The provider tells whole seconds.
        if stored.noun.uploaded.since_ms(at) >= SECOND_MS {
            return;
        }
        let lately = slot.suspected.lock().replace(now);
        if lately.is_some_and(|lately| now.since_ms(lately) < SURE_MS) {
            *slot.suspected.lock() = lately;
            return;
        }
        *slot.known.lock() = Known::Nothing;
        tracing::info!(%session, %media, "a provider's copy of media is forgotten: it could not be used");
        self.forget(node, tenant, (session, media), Some(&stored.noun.provider_id)).await;
    }

    /// Deletes the record of a copy, of this provider's id alone when one is named.
    async fn forget(&self, node: &Node, tenant: TenantId, key: (SessionId, MediaId), only: Option<&str>) {
        let (nouns, id) = (&node.store().nouns, MediaCopy::id_of(tenant, key.0, key.1));
        let stored = nouns.get::<MediaCopy>(tenant, id).await.ok().flatten();
        let stored = stored.filter(|copy| only.is_none_or(|only| copy.noun.provider_id == only));
        if let Some(copy) = stored
            && let Err(error) = nouns.delete::<MediaCopy>(tenant, id, copy.version).await
        {
            tracing::debug!(%error, "a provider's copy of media could not be forgotten");
        }
    }

    /// Forgets every number's copy of a file.
    pub(super) async fn forget_all(&self, node: &Node, tenant: TenantId, media: MediaId) {
        self.slots.retain(|key, _| key.1 != media);
        let word = media.to_string();
        let index = Some((MediaCopy::MEDIA, word.as_str()));
        let copies = node.store().nouns.page::<MediaCopy>(tenant, index, None, KNOWN_MAX).await;
        for copy in copies.unwrap_or_default() {
            self.forget(node, tenant, (copy.noun.session, media), None).await;
        }
    }
}

/// What is known without asking anybody.
fn settled(slot: &Slot, now: Timestamp) -> Option<Result<Here, SendError>> {
    match &*slot.known.lock() {
        Known::Here(here) if here.is_fresh(now) => Some(Ok(here.clone())),
        Known::Failed { error, until, .. } if *until > now => {
            let left = u64::try_from(until.since_ms(now)).unwrap_or(0);
            Some(Err(match error {
                SendError::RetryAfter { throttle, cause, words, .. } => {
                    let (throttle, cause, words) = (*throttle, *cause, words.clone());
                    SendError::RetryAfter { throttle, after_ms: left, cause, words }
                }
                error => error.clone(),
            }))
        }
        _ => None,
    }
}

fn said_ms(error: &SendError) -> i64 {
    match error {
        SendError::RetryAfter { after_ms, .. } => i64::try_from(*after_ms).unwrap_or(AGAIN_MAX_MS),
        _ => 0,
    }
}

fn later(after_ms: u64) -> SendError {
    SendError::RetryAfter { throttle: Throttle::Transient, after_ms, cause: UNAVAILABLE, words: None }
}

/// The store does not answer now.
fn away(_: StoreError) -> SendError {
    SendError::RetryAfter { throttle: Throttle::Transient, after_ms: 0, cause: Cause::INTERNAL, words: None }
}

fn gone() -> SendError {
    SendError::Rejected(Reason { cause: Cause::MEDIA_GONE, detail: String::new(), trace: None })
}

/// What an upload's failure is for the messages that need it.
fn refused(failure: GraphFailure) -> SendError {
    match failure {
        // What it may have stored nobody knows of: it goes up again.
        GraphFailure::NotReached | GraphFailure::Unclear => later(0),
        GraphFailure::Refused(refusal) => match *refusal {
            Refusal { link_lost: true, code, detail, trace, .. } => {
                SendError::LinkLost(Reason { cause: Cause::of_provider(code), detail, trace })
            }
            Refusal { retryable: true, after_ms, code, detail, trace, .. } => {
                let (cause, words) = (Cause::of_provider(code), Some(Box::new(Words { detail, trace })));
                SendError::RetryAfter { throttle: Throttle::Transient, after_ms, cause, words }
            }
            Refusal { code, detail, trace, .. } => {
                // Without a code of Meta's it was somebody on the way who refused it.
                let cause = if code == 0 { Cause::MEDIA_UPLOAD } else { Cause::of_provider(code) };
                SendError::Rejected(Reason { cause, detail, trace })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_failed_upload_is_ambiguous() {
        let refusal = |code, retryable, link_lost| {
            refused(GraphFailure::Refused(Box::new(Refusal {
                status: 400,
                code,
                subcode: None,
                detail: "d".into(),
                user: None,
                trace: None,
                after_ms: 7,
                link_lost,
                retryable,
            })))
        };
        for failure in [GraphFailure::NotReached, GraphFailure::Unclear] {
            assert!(matches!(refused(failure), SendError::RetryAfter { cause: UNAVAILABLE, .. }));
        }
        let dead = Reason { cause: Cause(190), detail: "d".into(), trace: None };
        assert_eq!(refusal(190, false, true), SendError::LinkLost(dead));
        assert!(matches!(refusal(4, true, false), SendError::RetryAfter { after_ms: 7, .. }));
        for (code, cause) in [(131_053, 131_053), (0, 131_053), (100, 100)] {
            let reason = Reason { cause: Cause(cause), detail: "d".into(), trace: None };
            assert_eq!(refusal(code, false, false), SendError::Rejected(reason));
        }
    }

    #[test]
    fn those_who_come_after_a_failure_hear_of_it_until_its_time_is_over() {
        let slot = Slot::default();
        assert!(settled(&slot, Timestamp(0)).is_none());
        *slot.known.lock() = Known::Failed { error: later(0), until: Timestamp(1_000), times: 0 };
        assert_eq!(settled(&slot, Timestamp(400)), Some(Err(later(600))));
        assert!(settled(&slot, Timestamp(1_000)).is_none());
        *slot.known.lock() = Known::Here(Here { id: "9".into(), uploaded: Timestamp(0) });
        assert!(settled(&slot, Timestamp(TRUST_MS - 1)).is_some());
        assert!(settled(&slot, Timestamp(TRUST_MS)).is_none(), "an old copy is uploaded anew");
    }
}
