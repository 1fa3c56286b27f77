//! The views on a cluster: one file a kind of row. Every row is a plain upsert under its own `upto` as timestamp, so
//! that what comes twice, late or from an owner who lost the shard changes nothing; nothing is read before it is
//! written, nothing is deleted, nothing is conditional. A flush may tear anywhere: its rows are written in phases
//! (messages, then the conversations that count them, then all else, then the shards' marks), and it comes again.
//!
//! Not the meaning of a row, and not the journal's tail that is not flushed yet.

mod address;
mod campaign;
mod consent;
mod conversation;
mod discovered;
mod flush;
mod idempotency;
mod mark;
mod message;
mod outbox;
mod part;
mod run;
mod seen;

use super::cell::cells;
use super::cluster::Cluster;
use super::fault::damaged;
use super::statement::{ViewReads, ViewWrites};
use crate::Answer;
use crate::codec::DecodeError;
use crate::error::{OpenError, StoreError};
use crate::seal::Keyring;
use crate::sealing::ensure;
use crate::views::{ShardFlush, ShardMark, Views, tenants};
use flush::Phase;
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::address::Address;
use kabar_engine::campaign::CampaignRow;
use kabar_engine::consent::SuppressedRow;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use kabar_engine::message::MessageRow;
use kabar_engine::overlay::{DiscoveredRow, Key, OutboxKey, OutboxLine, Row};
use kabar_engine::part::PartRow;
use kabar_engine::time::{DAY_MS, Timestamp};
use outbox::Minute;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Reads of one call on the wire.
const AT_ONCE: usize = 32;

/// The views on a cluster.
#[derive(Debug)]
pub struct CqlViews {
    cluster: Arc<Cluster>,
    keyring: Arc<Keyring>,
    reads: ViewReads,
    writes: ViewWrites,
    /// Minutes of the outbox that are known to be listed.
    minutes: Mutex<HashSet<Minute>>,
    /// The latest sweep.
    swept: AtomicI64,
}

impl CqlViews {
    /// Views in the cluster's keyspace, whose tables must be there; the keyring must have loaded the keys of all
    /// tenants.
    ///
    /// # Errors
    /// [`OpenError::Cluster`]: a statement cannot be prepared.
    pub async fn open(cluster: Arc<Cluster>, keyring: Arc<Keyring>) -> Result<Self, OpenError> {
        Ok(Self {
            reads: ViewReads::prepare(&cluster).await?,
            writes: ViewWrites::prepare(&cluster).await?,
            cluster,
            keyring,
            minutes: Mutex::default(),
            swept: AtomicI64::new(0),
        })
    }

    /// Applies the flushes, but stops after `writes` rows.
    ///
    /// # Errors
    /// `Unknown` when it stopped early: what was written stays. Otherwise as the cluster answers.
    pub async fn apply_at_most(&self, flushes: &[ShardFlush], writes: usize) -> Result<(), StoreError> {
        ensure(&self.keyring, tenants(flushes)).await?;
        let known = self.known(flushes).await?;
        let known_to = |flush: &ShardFlush| known.get(&flush.mark.shard).copied().unwrap_or(0);
        let mut left = writes;

        let mut messages = Phase::new(&self.writes);
        for flush in flushes {
            for row in &flush.changes.messages {
                // An id above what the shard had given at its last flush cannot be stored yet.
                message::put(&mut messages, &self.keyring, row, row.id.0 > known_to(flush))?;
            }
        }
        self.run(messages, &mut left).await?;

        let mut conversations = Phase::new(&self.writes);
        for flush in flushes {
            for row in &flush.changes.conversations {
                conversation::put(&mut conversations, &self.keyring, row, row.id.0 > known_to(flush))?;
            }
        }
        self.run(conversations, &mut left).await?;

        let (rest, minutes) = self.rest(flushes)?;
        self.run(rest, &mut left).await?;
        outbox::remember(&mut self.minutes.lock(), minutes);

        let mut marks = Phase::new(&self.writes);
        flushes.iter().for_each(|flush| put_mark(&mut marks, flush));
        self.run(marks, &mut left).await
    }

    async fn run(&self, mut phase: Phase<'_>, left: &mut usize) -> Result<(), StoreError> {
        if phase.len() > *left {
            phase.truncate(*left);
            phase.run(&self.cluster).await?;
            return Err(StoreError::Unknown);
        }
        *left -= phase.len();
        phase.run(&self.cluster).await
    }

    /// The highest id each shard had given at its last flush.
    async fn known(&self, flushes: &[ShardFlush]) -> Result<HashMap<ShardId, u64>, StoreError> {
        let mut shards: Vec<i16> = flushes.iter().map(|flush| i16::from(flush.mark.shard.0)).collect();
        shards.sort_unstable();
        shards.dedup();
        let rows: Vec<(i16, i64)> = self.cluster.rows(&self.reads.known, (shards,)).await?;
        rows.into_iter().map(|(shard, last)| Ok((shard_of(shard)?, last.cast_unsigned()))).collect()
    }

    /// Everything that does not depend on each other, and the minutes of the outbox that are new.
    fn rest(&self, flushes: &[ShardFlush]) -> Result<(Phase<'_>, Vec<Minute>), StoreError> {
        let mut to = Phase::new(&self.writes);
        let mut minutes = Vec::new();
        let written = self.minutes.lock();
        for flush in flushes {
            let (shard, changes) = (flush.mark.shard, &flush.changes);
            changes.addresses.iter().for_each(|row| address::put(&mut to, row));
            minutes.extend(outbox::put(&mut to, flush, &written));
            changes.seen.iter().for_each(|row| seen::put(&mut to, row));
            changes.idempotency.iter().for_each(|row| idempotency::put(&mut to, row));
            changes.campaigns.iter().for_each(|row| campaign::put(&mut to, shard, row));
            changes.parts.iter().for_each(|row| part::put(&mut to, shard, row));
            changes.marks.iter().for_each(|row| mark::put(&mut to, row));
            changes.runs.iter().for_each(|row| run::put(&mut to, row));
            changes.suppressed.iter().for_each(|row| consent::put(&mut to, row));
            for row in &changes.discovered {
                discovered::put(&mut to, &self.keyring, row)?;
            }
        }
        Ok((to, minutes))
    }

    async fn stored_marks(&self) -> Result<Vec<ShardMark>, StoreError> {
        let rows: Vec<(i16, i64, i64)> = self.cluster.rows(&self.reads.marks, ()).await?;
        let mark = |(shard, position, last_id): (i16, i64, i64)| {
            let (position, last_id) = (Position(position.cast_unsigned()), last_id.cast_unsigned());
            Ok(ShardMark { shard: shard_of(shard)?, position, last_id })
        };
        rows.into_iter().map(mark).collect()
    }

    async fn one(&self, key: Key) -> Result<(Key, Row), StoreError> {
        let row = match &key {
            Key::Message(id) => message::one(self, *id).await?.map(|r| Row::Message(Arc::new(r))),
            Key::Conversation(id) => {
                conversation::one(self, *id).await?.map(|r| Row::Conversation(Arc::new(r)))
            }
            Key::Address(session, address) => {
                address::one(self, *session, address).await?.map(|r| Row::Address(Arc::new(r)))
            }
            Key::Seen(session, hash) => {
                seen::one(self, *session, *hash).await?.map(|r| Row::Seen(Arc::new(r)))
            }
            Key::Idempotency(session, key) => {
                idempotency::one(self, *session, *key).await?.map(|r| Row::Idempotency(Arc::new(r)))
            }
            Key::Campaign(id) => campaign::one(self, *id).await?.map(|r| Row::Campaign(Arc::new(r))),
            Key::Part(campaign, part) => match part::one(self, *campaign, *part).await? {
                Some(row) => {
                    let marks = mark::of_part(self, &row).await?;
                    Some(Row::Part(Arc::new(row), marks))
                }
                None => None,
            },
            Key::Marks(campaign, chunk) => {
                mark::one(self, *campaign, *chunk).await?.map(|r| Row::Marks(Arc::new(r)))
            }
            Key::SessionParts(session) => Some(Row::SessionParts(part::of_session(self, *session).await?)),
            Key::Run(id) => run::one(self, *id).await?.map(|r| Row::Run(Arc::new(r))),
            Key::Consent(tenant, address) => {
                Some(Row::Consent(consent::of_address(self, *tenant, address).await?))
            }
            Key::Chunk(_) => None,
        };
        Ok((key, row.unwrap_or(Row::Absent)))
    }

    /// Until when rows that end by themselves are counted as ended, whatever the servers' clocks say.
    fn swept(&self) -> Timestamp {
        Timestamp(self.swept.load(Ordering::Relaxed))
    }
}

/// How long a server keeps what is kept at least `kept` ms, in seconds: a day longer, because a flush may be late and
/// the clocks are not ours.
fn kept_s(kept: i64) -> i32 {
    i32::try_from((kept + DAY_MS) / 1_000).expect("invariant: what is kept is kept for days")
}

/// The shard's mark, under its position: it speaks for all the rows before it.
fn put_mark(to: &mut Phase<'_>, flush: &ShardFlush) {
    let (sql, mark) = (to.sql, flush.mark);
    let floor = flush.changes.outbox_floor.map_or(i64::MAX, i64::from);
    to.put(&sql.mark, cells![0_i16, mark.shard.0, mark.position.0, mark.last_id, floor, mark.position.0]);
}

fn shard_of(stored: i16) -> Result<ShardId, StoreError> {
    u8::try_from(stored).map(ShardId).map_err(|_| damaged("a mark is of no shard"))
}

/// CQL's LIMIT.
fn at_most(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// A packed column that was read.
fn read<T>(unpacked: Result<T, DecodeError>) -> Result<T, StoreError> {
    unpacked.map_err(|error| damaged(&error.to_string()))
}

impl Views for CqlViews {
    fn marks(&self) -> Answer<'_, Vec<ShardMark>> {
        Box::pin(self.stored_marks())
    }

    fn load(&self, _shard: ShardId, keys: Vec<Key>) -> Answer<'_, Vec<(Key, Row)>> {
        let loads: Vec<_> = keys.into_iter().map(|key| self.one(key)).collect();
        Box::pin(stream::iter(loads).buffered(AT_ONCE).try_collect())
    }

    fn apply(&self, flushes: Vec<ShardFlush>) -> Answer<'_, ()> {
        // Once a second is often enough to pass on what the driver counts.
        self.cluster.publish();
        Box::pin(async move { self.apply_at_most(&flushes, usize::MAX).await })
    }

    fn outbox(&self, shard: ShardId, after: Option<OutboxKey>, limit: usize) -> Answer<'_, Vec<OutboxLine>> {
        Box::pin(outbox::page(self, shard, after, limit))
    }

    fn live_campaigns(&self, shard: ShardId) -> Answer<'_, Vec<Arc<CampaignRow>>> {
        Box::pin(campaign::live(self, shard))
    }

    fn open_parts(&self, shard: ShardId) -> Answer<'_, Vec<Arc<PartRow>>> {
        Box::pin(part::open(self, shard))
    }

    fn consents(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<SuppressedRow>> {
        Box::pin(async move { consent::page(self, tenant, after.as_ref(), limit).await })
    }

    fn consents_since(&self, tenant: TenantId, since: Timestamp) -> Answer<'_, Vec<SuppressedRow>> {
        Box::pin(consent::since(self, tenant, since))
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: Option<MessageId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<MessageRow>>> {
        Box::pin(message::history(self, conversation, before, limit))
    }

    fn conversations(
        &self,
        tenant: TenantId,
        session: Option<SessionId>,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Answer<'_, Vec<Arc<ConversationRow>>> {
        Box::pin(conversation::page(self, (tenant, session), after, limit))
    }

    fn discovered(
        &self,
        tenant: TenantId,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<DiscoveredRow>> {
        Box::pin(async move { discovered::page(self, tenant, after.as_ref(), limit).await })
    }

    fn sweep(&self, now: Timestamp) -> Answer<'_, ()> {
        self.swept.fetch_max(now.0, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(())))
    }
}
