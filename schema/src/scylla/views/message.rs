//! Messages, in slots of 65 seconds of their shard, and the order within a conversation. The content is written once,
//! when the message is new; a late status rewrites a hundred bytes beside it.

use super::flush::Phase;
use super::{CqlViews, conversation, read};
use crate::codec::body;
use crate::codec::view::message::{pack, unpack};
use crate::error::StoreError;
use crate::scylla::cell::cells;
use crate::scylla::fault::damaged;
use crate::seal::Keyring;
use crate::sealing::{Place, open, seal};
use futures::{StreamExt, TryStreamExt, stream};
use kabar_engine::id::{ConversationId, MessageId};
use kabar_engine::message::MessageRow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Bits of an id within its slot.
const SLOT_BITS: u32 = 38;
/// Bits of a message's number within its bucket of the history.
const BUCKET_BITS: u32 = 12;
/// Ids asked for at once.
const IDS: usize = 100;

fn bucket(number: u64) -> u64 {
    number.saturating_sub(1) >> BUCKET_BITS
}

/// Puts a message. `fresh`: it was not in the views before this apply, so its content is not either.
pub(super) fn put(
    to: &mut Phase<'_>,
    keyring: &Keyring,
    row: &MessageRow,
    fresh: bool,
) -> Result<(), StoreError> {
    let sql = to.sql;
    let mut sealed = Vec::new();
    let kept = match row.content.as_ref().filter(|_| fresh) {
        Some(content) => seal(keyring, row.tenant, Place::Content(row.id.0), &mut sealed, |out| {
            body::write(out, content, row.beside.as_deref(), row.tag.as_deref());
        })?,
        None => false,
    };
    let (shard, slot, state) = (row.id.shard().0, row.id.0 >> SLOT_BITS, pack(row));
    if kept {
        to.put(&sql.message_whole, cells![shard, slot, row.id.0, state, sealed, row.upto.0]);
    } else {
        to.put(&sql.message, cells![shard, slot, row.id.0, state, row.upto.0]);
    }
    // A campaign's message has no content, and may be older than what the shard had given at its last flush.
    if row.number > 0 && (fresh || row.content.is_none()) {
        let place = cells![row.conversation.0, bucket(row.number), row.number, row.id.0, row.upto.0];
        to.put(&sql.history, place);
    }
    Ok(())
}

fn message(
    views: &CqlViews,
    id: MessageId,
    state: &[u8],
    sealed: Option<&[u8]>,
) -> Result<MessageRow, StoreError> {
    let mut row = read(unpack(id, state))?;
    let plain = match sealed {
        Some(sealed) => open(&views.keyring, row.tenant, Place::Content(id.0), sealed)?,
        None => None,
    };
    if let Some(plain) = plain {
        let (content, beside, tag) = body::read(&plain).map_err(|_| damaged("a content has another form"))?;
        (row.content, row.beside, row.tag) = (Some(Arc::new(content)), beside.map(Arc::new), tag);
    }
    Ok(row)
}

/// The message, if there is one.
pub(super) async fn one(views: &CqlViews, id: MessageId) -> Result<Option<MessageRow>, StoreError> {
    let key = cells![id.shard().0, id.0 >> SLOT_BITS, id.0];
    let found: Option<(Vec<u8>, Option<Vec<u8>>)> = views.cluster.row(&views.reads.message, key).await?;
    found.map(|(state, sealed)| message(views, id, &state, sealed.as_deref())).transpose()
}

type Stored = (i64, Vec<u8>, Option<Vec<u8>>);

/// The messages that are there, by id.
async fn some(
    views: &CqlViews,
    ids: impl Iterator<Item = MessageId>,
) -> Result<HashMap<MessageId, Arc<MessageRow>>, StoreError> {
    let mut slots: BTreeMap<(i16, i64), Vec<i64>> = BTreeMap::new();
    for id in ids {
        let slot = (i16::from(id.shard().0), (id.0 >> SLOT_BITS).cast_signed());
        slots.entry(slot).or_default().push(id.0.cast_signed());
    }
    let mut asked = Vec::new();
    for ((shard, slot), ids) in slots {
        asked.extend(
            ids.chunks(IDS).map(|ids| views.cluster.rows(&views.reads.messages, (shard, slot, ids.to_vec()))),
        );
    }
    let pages: Vec<Vec<Stored>> = stream::iter(asked).buffer_unordered(super::AT_ONCE).try_collect().await?;
    let rows = pages.into_iter().flatten().map(|(id, state, sealed)| {
        let id = MessageId(id.cast_unsigned());
        message(views, id, &state, sealed.as_deref()).map(|row| (id, Arc::new(row)))
    });
    rows.collect()
}

/// A conversation's messages by their numbers, newest first. Numbers above the conversation's count are of a flush
/// that is not finished.
pub(super) async fn history(
    views: &CqlViews,
    of: ConversationId,
    before: Option<MessageId>,
    limit: usize,
) -> Result<Vec<Arc<MessageRow>>, StoreError> {
    let mut next = match before {
        Some(before) => {
            let row = one(views, before).await?.filter(|row| row.conversation == of);
            row.map_or(0, |row| row.number.saturating_sub(1))
        }
        None => conversation::one(views, of).await?.map_or(0, |row| row.count),
    };
    let mut list = Vec::new();
    while next > 0 && list.len() < limit {
        let asked = super::at_most(limit - list.len());
        let key = (of.0.cast_signed(), bucket(next).cast_signed(), next.cast_signed(), asked);
        let lines: Vec<(i64, i64)> = views.cluster.rows(&views.reads.history, key).await?;
        next = match lines.last() {
            Some((number, _)) if lines.len() == limit - list.len() => number.cast_unsigned() - 1,
            _ => bucket(next) << BUCKET_BITS,
        };
        let ids = lines.iter().map(|(_, id)| MessageId(id.cast_unsigned()));
        let rows = some(views, ids.clone()).await?;
        list.extend(ids.filter_map(|id| rows.get(&id).filter(|row| row.conversation == of).cloned()));
    }
    Ok(list)
}
