//! Messages: what never changes in one table, what changes in another, both in the order of their ids. A late
//! status therefore rewrites a hundred bytes and no content.

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{Breath, Current, one};
use crate::codec::body;
use crate::codec::view::message::{read_stage, stage_byte};
use crate::seal::Keyring;
use crate::sealing::{Place, open, seal};
use kabar_engine::cause::Cause;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use kabar_engine::message::{MessageRow, Times};
use kabar_engine::pacing::Lane;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Transaction, params};
use std::sync::Arc;

const INSERT: &str = "INSERT OR IGNORE INTO message (id, tenant, session, conversation, address, lane, accepted, \
     valid_until, context, campaign, campaign_index, prev, content, number) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

const UPSERT: &str = "INSERT INTO message_state (id, status, stage, attempts, due, claimed, parked, sent, \
     delivered, read, ended, provider_id, cause, upto, pricing) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
     ON CONFLICT (id) DO UPDATE SET status = excluded.status, stage = excluded.stage, \
     attempts = excluded.attempts, due = excluded.due, claimed = excluded.claimed, parked = excluded.parked, \
     sent = excluded.sent, delivered = excluded.delivered, read = excluded.read, ended = excluded.ended, \
     provider_id = excluded.provider_id, cause = excluded.cause, upto = excluded.upto, pricing = excluded.pricing \
     WHERE excluded.upto > upto";

const UPDATE: &str = "UPDATE message_state SET status = ?2, stage = ?3, attempts = ?4, due = ?5, claimed = ?6, \
     parked = ?7, sent = ?8, delivered = ?9, read = ?10, ended = ?11, provider_id = ?12, cause = ?13, upto = ?14, \
     pricing = ?15 \
     WHERE id = ?1 AND upto < ?14";

const READ: &str = "SELECT m.id, m.tenant, m.session, m.conversation, m.address, m.lane, m.accepted, \
     m.valid_until, m.context, m.campaign, m.campaign_index, m.prev, m.content, s.status, s.stage, s.attempts, \
     s.due, s.claimed, s.parked, s.sent, s.delivered, s.read, s.ended, s.provider_id, s.cause, s.upto, m.number, s.pricing \
     FROM message m JOIN message_state s ON s.id = m.id WHERE m.id = ?1";

struct Writer<'t> {
    insert: CachedStatement<'t>,
    upsert: CachedStatement<'t>,
    update: CachedStatement<'t>,
    exists: CachedStatement<'t>,
    sealed: Vec<u8>,
}

/// Writes the messages of all flushes in the order of their ids.
pub(super) fn write(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    flushes: &[Current<'_>],
    breath: &mut Breath,
) -> Result<(), Fault> {
    let mut rows: Vec<(&MessageRow, bool)> = flushes
        .iter()
        // An id above what the shard had given at its last flush cannot be stored yet.
        .flat_map(|c| c.flush.changes.messages.iter().map(|m| (&**m, m.id.0 > c.known_to)))
        .collect();
    rows.sort_by_key(|(row, _)| row.id);
    let mut writer = Writer {
        insert: tx.prepare_cached(INSERT)?,
        upsert: tx.prepare_cached(UPSERT)?,
        update: tx.prepare_cached(UPDATE)?,
        exists: tx.prepare_cached("SELECT 1 FROM message_state WHERE id = ?1")?,
        sealed: Vec::with_capacity(1_024),
    };
    for (row, fresh) in rows {
        breath.take();
        if fresh || !writer.update(row)? {
            writer.put(keyring, row)?;
        }
    }
    Ok(())
}

impl Writer<'_> {
    /// Whether the message is stored, changed now or newer already.
    fn update(&mut self, row: &MessageRow) -> Result<bool, Fault> {
        let changed = execute_state(&mut self.update, row)?;
        Ok(changed > 0 || self.exists.query_row([int(row.id.0)], |_| Ok(())).optional()?.is_some())
    }

    fn put(&mut self, keyring: &Keyring, row: &MessageRow) -> Result<(), Fault> {
        execute_state(&mut self.upsert, row)?;
        let kept = match &row.content {
            Some(content) => seal(keyring, row.tenant, Place::Content(row.id.0), &mut self.sealed, |out| {
                body::write(out, content, row.beside.as_deref(), row.tag.as_deref());
            })?,
            None => false,
        };
        self.insert.execute(params![
            int(row.id.0),
            int(row.tenant.0),
            int(row.session.0),
            int(row.conversation.0),
            row.address.key(),
            row.lane as u8,
            row.times.accepted.0,
            row.valid_until.0,
            row.context.as_deref(),
            row.campaign.map(|c| int(c.0.0)),
            row.campaign.map(|c| c.1),
            row.prev.map(|p| int(p.0)),
            kept.then_some(self.sealed.as_slice()),
            int(row.number),
        ])?;
        Ok(())
    }
}

fn execute_state(statement: &mut CachedStatement<'_>, row: &MessageRow) -> Result<usize, Fault> {
    let times = &row.times;
    Ok(statement.execute(params![
        int(row.id.0),
        row.status as u8,
        stage_byte(row),
        row.attempts,
        row.due.0,
        times.claimed.map(|t| t.0),
        times.parked.map(|t| t.0),
        times.sent.map(|t| t.0),
        times.delivered.map(|t| t.0),
        times.read.map(|t| t.0),
        times.ended.map(|t| t.0),
        row.provider_id.as_deref(),
        row.cause.map(|c| c.0),
        int(row.upto.0),
        row.pricing.as_ref().map(|pricing| pricing.to_line()),
    ])?)
}

/// The message, if there is one.
pub(super) fn read(tx: &Connection, keyring: &Keyring, id: MessageId) -> Result<Option<MessageRow>, Fault> {
    let mut statement = tx.prepare_cached(READ)?;
    one(&mut statement, [int(id.0)], |row| message(row, keyring))
}

/// Along the chain, newest first.
pub(super) fn history(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    (conversation, before): (ConversationId, Option<MessageId>),
    limit: usize,
) -> Result<Vec<Arc<MessageRow>>, Fault> {
    let first = match before {
        Some(before) => tx
            .prepare_cached("SELECT prev FROM message WHERE id = ?1 AND conversation = ?2")?
            .query_row([int(before.0), int(conversation.0)], |row| row.get::<_, Option<i64>>(0)),
        None => tx
            .prepare_cached("SELECT last FROM conversation WHERE id = ?1")?
            .query_row([int(conversation.0)], |row| row.get(0)),
    };
    let mut next = first.optional()?.flatten().map(|id| MessageId(id.cast_unsigned()));
    let mut list = Vec::new();
    while let Some(id) = next.filter(|_| list.len() < limit) {
        let Some(row) = read(tx, keyring, id)?.filter(|row| row.conversation == conversation) else { break };
        next = row.prev;
        list.push(Arc::new(row));
    }
    Ok(list)
}

fn message(row: &Row<'_>, keyring: &Keyring) -> Result<MessageRow, Fault> {
    let (id, tenant) = (MessageId(row.id(0)?), TenantId(row.id(1)?));
    let sealed = row.get_ref(12)?.as_blob_or_null().map_err(|_| damaged("a content is no blob"))?;
    let said = match sealed {
        Some(sealed) => open(keyring, tenant, Place::Content(id.0), sealed)?
            .map(|plain| body::read(&plain))
            .transpose()
            .map_err(|_| damaged("a content has another form"))?,
        None => None,
    };
    let (content, beside, tag) = match said {
        Some((content, beside, tag)) => (Some(Arc::new(content)), beside.map(Arc::new), tag),
        None => (None, None, None),
    };
    let campaign = match (row.id_option(9)?, row.get::<_, Option<u32>>(10)?) {
        (Some(campaign), Some(index)) => Some((CampaignId(campaign), index)),
        _ => None,
    };
    let times = Times {
        accepted: row.time(6)?,
        claimed: row.time_option(17)?,
        parked: row.time_option(18)?,
        sent: row.time_option(19)?,
        delivered: row.time_option(20)?,
        read: row.time_option(21)?,
        ended: row.time_option(22)?,
    };
    let (stage, detailed) = row.choice(14, read_stage)?;
    Ok(MessageRow {
        id,
        tenant,
        session: SessionId(row.id(2)?),
        conversation: ConversationId(row.id(3)?),
        address: row.address(4)?,
        content,
        tag,
        lane: row.choice(5, Lane::from_byte)?,
        status: row.choice(13, Status::from_byte)?,
        stage,
        detailed,
        attempts: row.get(15)?,
        due: row.time(16)?,
        valid_until: row.time(7)?,
        times,
        provider_id: row.get::<_, Option<Arc<str>>>(23)?,
        cause: row.get::<_, Option<u32>>(24)?.map(Cause),
        context: row.get::<_, Option<Arc<str>>>(8)?,
        beside,
        pricing: row.get::<_, Option<String>>(27)?.and_then(|line| Pricing::from_line(&line)).map(Arc::new),
        campaign,
        prev: row.id_option(11)?.map(MessageId),
        number: row.id(26)?,
        upto: Position(row.id(25)?),
    })
}
