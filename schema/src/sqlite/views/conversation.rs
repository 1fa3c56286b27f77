//! Conversations: head of the chain, counts, window; the name sealed. Not their messages.

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{at_most, collect, one};
use crate::codec::body;
use crate::seal::Keyring;
use crate::sealing::{Place, open, seal};
use kabar_engine::address::Address;
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, SessionId, ShardId, TenantId};
use rusqlite::{Connection, Row, Transaction, params};
use std::sync::Arc;

const UPSERT: &str = "INSERT INTO conversation (id, tenant, session, address, aliases, name, last, count, unread, \
     window_until, upto) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
     ON CONFLICT (id) DO UPDATE SET aliases = excluded.aliases, name = excluded.name, last = excluded.last, \
     count = excluded.count, unread = excluded.unread, window_until = excluded.window_until, \
     upto = excluded.upto WHERE excluded.upto > upto";

/// Writes conversations.
pub(super) fn write(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    rows: &[(ShardId, &ConversationRow)],
) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    let mut sealed = Vec::new();
    for (_, row) in rows {
        let kept = match body::profile(row) {
            Some(profile) => {
                let place = Place::ConversationName(row.id.0);
                seal(keyring, row.tenant, place, &mut sealed, |out| out.extend_from_slice(&profile))?
            }
            None => false,
        };
        put.execute(params![
            int(row.id.0),
            int(row.tenant.0),
            int(row.session.0),
            row.address.key(),
            lines(&row.aliases),
            kept.then_some(sealed.as_slice()),
            row.last.map(|m| int(m.0)),
            int(row.count),
            row.unread,
            row.window_until.map(|t| t.0),
            int(row.upto.0),
        ])?;
    }
    Ok(())
}

fn lines(addresses: &[Address]) -> Option<String> {
    (!addresses.is_empty()).then(|| addresses.iter().map(Address::key).collect::<Vec<_>>().join("\n"))
}

const COLUMNS: &str =
    "id, tenant, session, address, aliases, name, last, count, unread, window_until, upto FROM conversation";

/// The conversation, if there is one.
pub(super) fn read(
    tx: &Connection,
    keyring: &Keyring,
    id: ConversationId,
) -> Result<Option<ConversationRow>, Fault> {
    let mut statement = tx.prepare_cached(&format!("SELECT {COLUMNS} WHERE id = ?1"))?;
    one(&mut statement, [int(id.0)], |row| conversation(row, keyring))
}

/// A tenant's conversations by id.
pub(super) fn page(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    (tenant, session): (TenantId, Option<SessionId>),
    (after, limit): (Option<ConversationId>, usize),
) -> Result<Vec<Arc<ConversationRow>>, Fault> {
    let after = after.map_or(-1, |c| int(c.0));
    let read = |row: &Row<'_>| conversation(row, keyring).map(Arc::new);
    let tenant = int(tenant.0);
    let Some(session) = session else {
        let sql = format!("SELECT {COLUMNS} WHERE tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
        return collect(&mut *tx.prepare_cached(&sql)?, params![tenant, after, at_most(limit)], read);
    };
    // `+tenant` keeps the planner on the session's index: ids of one session are one range there.
    let sql =
        format!("SELECT {COLUMNS} WHERE session = ?4 AND +tenant = ?1 AND id > ?2 ORDER BY id LIMIT ?3");
    let parameters = params![tenant, after, at_most(limit), int(session.0)];
    collect(&mut *tx.prepare_cached(&sql)?, parameters, read)
}

fn conversation(row: &Row<'_>, keyring: &Keyring) -> Result<ConversationRow, Fault> {
    let (id, tenant) = (ConversationId(row.id(0)?), TenantId(row.id(1)?));
    let aliases = row.get_ref(4)?.as_str_or_null().map_err(|_| damaged("aliases are no text"))?;
    let aliases = aliases.map_or(Ok(Vec::new()), |text| text.lines().map(Address::from_key).collect());
    let sealed = row.get_ref(5)?.as_blob_or_null().map_err(|_| damaged("a name is no blob"))?;
    let mut row = ConversationRow {
        id,
        tenant,
        session: SessionId(row.id(2)?),
        address: row.address(3)?,
        aliases: aliases.map_err(|_| damaged("an alias has another form"))?,
        name: None,
        username: None,
        referrals: None,
        last: row.id_option(6)?.map(MessageId),
        count: row.id(7)?,
        unread: row.get(8)?,
        window_until: row.time_option(9)?,
        upto: Position(row.id(10)?),
    };
    if let Some(sealed) = sealed
        && let Some(plain) = open(keyring, tenant, Place::ConversationName(id.0), sealed)?
    {
        body::read_profile(&mut row, &plain).map_err(|_| damaged("a profile has another form"))?;
    }
    Ok(row)
}
