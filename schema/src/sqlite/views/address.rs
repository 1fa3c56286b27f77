//! Which conversation an address leads to. Not the conversation.

use super::super::database::Fault;
use super::super::number::{Columns, int};
use super::one;
use kabar_engine::address::Address;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, SessionId, ShardId, TenantId};
use kabar_engine::overlay::AddressRow;
use rusqlite::{Connection, Transaction, params};

const UPSERT: &str = "INSERT INTO address (session, address, tenant, conversation, upto) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (session, address) DO UPDATE SET tenant = excluded.tenant, \
     conversation = excluded.conversation, upto = excluded.upto WHERE excluded.upto > upto";

/// Writes addresses.
pub(super) fn write(tx: &Transaction<'_>, rows: &[(ShardId, &AddressRow)]) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    for (_, row) in rows {
        put.execute(params![
            int(row.session.0),
            row.address.key(),
            int(row.tenant.0),
            int(row.conversation.0),
            int(row.upto.0),
        ])?;
    }
    Ok(())
}

/// Where the address leads, if anywhere.
pub(super) fn read(
    tx: &Connection,
    session: SessionId,
    address: &Address,
) -> Result<Option<AddressRow>, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT tenant, conversation, upto FROM address WHERE session = ?1 AND address = ?2",
    )?;
    one(&mut statement, params![int(session.0), address.key()], |row| {
        Ok(AddressRow {
            tenant: TenantId(row.id(0)?),
            session,
            address: address.clone(),
            conversation: ConversationId(row.id(1)?),
            upto: Position(row.id(2)?),
        })
    })
}
