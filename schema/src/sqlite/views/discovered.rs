//! Unknown senders, by tenant and address; the name sealed. Not contacts: saving one makes it a contact.

use super::super::database::Fault;
use super::super::number::{Columns, damaged, int};
use super::{at_most, collect};
use crate::seal::Keyring;
use crate::sealing::{Place, open_text, seal};
use kabar_engine::address::Address;
use kabar_engine::entry::Position;
use kabar_engine::id::{SessionId, ShardId, TenantId};
use kabar_engine::overlay::DiscoveredRow;
use rusqlite::{Transaction, params};

const UPSERT: &str = "INSERT INTO discovered (tenant, address, name, session, at, upto) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (tenant, address) DO UPDATE SET name = excluded.name, \
     session = excluded.session, at = excluded.at, upto = excluded.upto \
     WHERE (excluded.at, excluded.session) < (at, session)";

/// Writes unknown senders. Several shards may meet the same one and their positions cannot be compared, so the
/// earliest meeting stands, in whatever order they are written.
pub(super) fn write(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    rows: &[(ShardId, &DiscoveredRow)],
) -> Result<(), Fault> {
    let mut put = tx.prepare_cached(UPSERT)?;
    let mut sealed = Vec::new();
    for (_, row) in rows {
        let key = row.address.key();
        let kept = match &row.name {
            Some(name) => seal(keyring, row.tenant, Place::DiscoveredName(&key), &mut sealed, |out| {
                out.extend_from_slice(name.as_bytes());
            })?,
            None => false,
        };
        let name = kept.then_some(sealed.as_slice());
        put.execute(params![int(row.tenant.0), key, name, int(row.session.0), row.at.0, int(row.upto.0)])?;
    }
    Ok(())
}

/// A tenant's unknown senders by address.
pub(super) fn page(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    tenant: TenantId,
    (after, limit): (Option<&Address>, usize),
) -> Result<Vec<DiscoveredRow>, Fault> {
    let mut statement = tx.prepare_cached(
        "SELECT address, name, session, at, upto FROM discovered \
         WHERE tenant = ?1 AND address > ?2 ORDER BY address LIMIT ?3",
    )?;
    let after = after.map_or_else(String::new, Address::key);
    collect(&mut statement, params![int(tenant.0), after, at_most(limit)], |row| {
        let address = row.address(0)?;
        let sealed = row.get_ref(1)?.as_blob_or_null().map_err(|_| damaged("a name is no blob"))?;
        let name = open_text(keyring, tenant, Place::DiscoveredName(&address.key()), sealed)?;
        let (session, at, upto) = (SessionId(row.id(2)?), row.time(3)?, Position(row.id(4)?));
        Ok(DiscoveredRow { tenant, address, name, session, at, upto })
    })
}
