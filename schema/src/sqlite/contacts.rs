//! Contacts in `records.db`: rows lie in the order they came, so that a million of them can be written without
//! touching a million pages; what is private of them is sealed. Not discovered senders, which are a view.

use super::database::{Database, Fault};
use super::number::{Columns, damaged, int};
use crate::Answer;
use crate::contacts::{Contact, ContactDraft, Contacts, Private, Upserted};
use crate::error::StoreError;
use crate::seal::Keyring;
use crate::sealing::{Place, ensure, open, seal};
use kabar_engine::address::Address;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use rusqlite::{CachedStatement, OptionalExtension, Params, Row, Transaction, params};
use std::sync::Arc;

const COLUMNS: &str = "c.n, c.tenant, c.id, c.address, c.zone, c.created, c.updated, c.version, c.private";

/// The embedded contacts.
#[derive(Debug)]
pub struct SqliteContacts {
    database: Arc<Database>,
    keyring: Arc<Keyring>,
}

impl SqliteContacts {
    /// Contacts in `database`, which is of the kind records; the keyring must have loaded all keys.
    #[must_use]
    pub fn new(database: Arc<Database>, keyring: Arc<Keyring>) -> Self {
        Self { database, keyring }
    }

    fn read<'a, R: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Transaction<'_>, &Keyring) -> Result<R, Fault> + Send + 'static,
    ) -> Answer<'a, R> {
        let keyring = Arc::clone(&self.keyring);
        Box::pin(self.database.read(move |tx| work(tx, &keyring)))
    }
}

/// `None` when the tenant's key is gone: what is left is an address without a person.
fn contact(row: &Row<'_>, keyring: &Keyring) -> Result<Option<(i64, Contact)>, Fault> {
    let (n, tenant, id) = (row.get(0)?, TenantId(row.id(1)?), ContactId(row.id(2)?));
    let sealed = row.get_ref(8)?.as_blob().map_err(|_| damaged("a contact is no blob"))?;
    let Some(plain) = open(keyring, tenant, Place::Contact(id.0), sealed)? else { return Ok(None) };
    let private: Private =
        serde_json::from_slice(&plain).map_err(|_| damaged("a contact has another form"))?;
    let contact = Contact {
        id,
        tenant,
        address: row.address(3)?,
        input: private.input,
        name: private.name,
        zone: row.get(4)?,
        fields: private.fields,
        created: row.time(5)?,
        updated: row.time(6)?,
        version: row.id(7)?,
    };
    Ok(Some((n, contact)))
}

fn select(
    statement: &mut CachedStatement<'_>,
    keyring: &Keyring,
    parameters: impl Params,
) -> Result<Vec<(i64, Contact)>, Fault> {
    let mut rows = statement.query(parameters)?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.extend(contact(row, keyring)?);
    }
    Ok(list)
}

struct Writer<'t> {
    keyring: &'t Keyring,
    tenant: TenantId,
    find: CachedStatement<'t>,
    insert: CachedStatement<'t>,
    update: CachedStatement<'t>,
    list: CachedStatement<'t>,
    sealed: Vec<u8>,
}

impl<'t> Writer<'t> {
    fn new(tx: &'t Transaction<'_>, keyring: &'t Keyring, tenant: TenantId) -> Result<Self, Fault> {
        Ok(Self {
            keyring,
            tenant,
            find: tx.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM contact c WHERE c.tenant = ?1 AND c.address = ?2"
            ))?,
            insert: tx.prepare_cached(
                "INSERT INTO contact (tenant, id, address, zone, created, updated, version, private) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            update: tx.prepare_cached(
                "UPDATE contact SET zone = ?2, updated = ?3, version = ?4, private = ?5 WHERE n = ?1",
            )?,
            list: tx.prepare_cached(
                "INSERT OR IGNORE INTO contact_list (tenant, list, address, n) VALUES (?1, ?2, ?3, ?4)",
            )?,
            sealed: Vec::with_capacity(512),
        })
    }

    /// The row's number, and whether it is new.
    fn put(&mut self, draft: ContactDraft, key: &str, now: Timestamp) -> Result<(i64, bool), Fault> {
        let found = select(&mut self.find, self.keyring, params![int(self.tenant.0), key])?.pop();
        if let Some((n, mut contact)) = found {
            if contact.merge(draft, now) {
                self.rewrite(n, &contact)?;
            }
            return Ok((n, false));
        }
        let contact = Contact::begin(self.tenant, draft, now);
        Ok((self.add(&contact, key)?, true))
    }

    fn replace(&mut self, mut contact: Contact, expect: u64) -> Result<u64, Fault> {
        let key = contact.address.key();
        let stored = select(&mut self.find, self.keyring, params![int(self.tenant.0), key])?.pop();
        if stored.as_ref().map_or(0, |(_, known)| known.version) != expect {
            return Err(StoreError::Conflict.into());
        }
        contact.id = Contact::id_of(self.tenant, &contact.address);
        contact.version = expect + 1;
        match stored {
            Some((n, _)) => self.rewrite(n, &contact)?,
            None => _ = self.add(&contact, &key)?,
        }
        Ok(contact.version)
    }

    fn restore(&mut self, contact: &Contact, lists: &[ImportId]) -> Result<(), Fault> {
        let key = contact.address.key();
        let stored = select(&mut self.find, self.keyring, params![int(self.tenant.0), key])?.pop();
        let n = match stored {
            Some((n, stored)) if stored == *contact => n,
            None if contact.version > 0 => self.add(contact, &key)?,
            _ => return Err(StoreError::Conflict.into()),
        };
        for list in lists {
            self.list.execute(params![int(self.tenant.0), int(list.0), key, n])?;
        }
        Ok(())
    }

    fn rewrite(&mut self, n: i64, contact: &Contact) -> Result<(), Fault> {
        self.seal(contact)?;
        let version = int(contact.version);
        self.update.execute(params![n, contact.zone, contact.updated.0, version, self.sealed])?;
        Ok(())
    }

    fn add(&mut self, contact: &Contact, key: &str) -> Result<i64, Fault> {
        self.seal(contact)?;
        let n = self.insert.insert(params![
            int(self.tenant.0),
            int(contact.id.0),
            key,
            contact.zone,
            contact.created.0,
            contact.updated.0,
            int(contact.version),
            self.sealed,
        ])?;
        Ok(n)
    }

    fn seal(&mut self, contact: &Contact) -> Result<(), Fault> {
        let private = PrivateOf { i: &contact.input, n: contact.name.as_deref(), f: &contact.fields };
        let place = Place::Contact(contact.id.0);
        let kept = seal(self.keyring, self.tenant, place, &mut self.sealed, |out| {
            serde_json::to_writer(out, &private)
                .expect("invariant: texts have a JSON form, and memory takes every byte");
        })?;
        // A tenant that was erased has no contacts any more, and gets none.
        if kept { Ok(()) } else { Err(StoreError::Conflict.into()) }
    }
}

/// [`Private`] without owning it.
#[derive(serde::Serialize)]
struct PrivateOf<'a> {
    i: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    f: &'a std::collections::BTreeMap<String, String>,
}

fn upsert(
    writer: &mut Writer<'_>,
    list: Option<ImportId>,
    rows: Vec<ContactDraft>,
    now: Timestamp,
) -> Result<Upserted, Fault> {
    // In the order of the addresses neighbours share a page; drafts of one address keep their order.
    let mut rows: Vec<(String, ContactDraft)> = rows.into_iter().map(|r| (r.address.key(), r)).collect();
    rows.sort_by(|a, b| a.0.cmp(&b.0));
    let mut done = Upserted::default();
    for (key, draft) in rows {
        let (n, new) = writer.put(draft, &key, now)?;
        *(if new { &mut done.created } else { &mut done.updated }) += 1;
        if let Some(list) = list {
            writer.list.execute(params![int(writer.tenant.0), int(list.0), key, n])?;
        }
    }
    Ok(done)
}

fn page(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    (tenant, list): (TenantId, Option<ImportId>),
    (after, limit): (String, usize),
) -> Result<Vec<Contact>, Fault> {
    let sql = match list {
        None => format!(
            "SELECT {COLUMNS} FROM contact c WHERE c.tenant = ?1 AND c.address > ?2 \
             ORDER BY c.address LIMIT ?3"
        ),
        Some(_) => format!(
            "SELECT {COLUMNS} FROM contact_list l CROSS JOIN contact c ON c.n = l.n \
             WHERE l.tenant = ?1 AND l.list = ?4 AND l.address > ?2 ORDER BY l.address LIMIT ?3"
        ),
    };
    let mut statement = tx.prepare_cached(&sql)?;
    let tenant = int(tenant.0);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = match list {
        None => select(&mut statement, keyring, params![tenant, after, limit])?,
        Some(list) => select(&mut statement, keyring, params![tenant, after, limit, int(list.0)])?,
    };
    Ok(found.into_iter().map(|(_, contact)| contact).collect())
}

/// A contact with its lists, and the number of its row.
pub(super) type Numbered = (i64, Option<(Contact, Vec<ImportId>)>);

/// All tenants' contacts in the order of their rows, behind the row `after`. Without the contact where the tenant
/// was erased.
pub(super) fn numbered(
    tx: &Transaction<'_>,
    keyring: &Keyring,
    after: i64,
    limit: i64,
) -> Result<Vec<Numbered>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM contact c WHERE c.n > ?1 ORDER BY c.n LIMIT ?2");
    let mut statement = tx.prepare_cached(&sql)?;
    let mut rows = statement.query([after, limit])?;
    // From list to list by the key, because lists are not kept by member.
    let mut next = tx.prepare_cached("SELECT min(list) FROM contact_list WHERE tenant = ?1 AND list > ?2")?;
    let mut member = tx.prepare_cached(
        "SELECT 1 FROM contact_list WHERE tenant = ?1 AND list = ?2 AND address = ?3 AND n = ?4",
    )?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let n = row.get(0)?;
        let Some((_, contact)) = contact(row, keyring)? else {
            list.push((n, None));
            continue;
        };
        let (tenant, key) = (int(contact.tenant.0), contact.address.key());
        let (mut lists, mut at) = (Vec::new(), -1_i64);
        while let Some(found) = next.query_row([tenant, at], |row| row.get::<_, Option<i64>>(0))? {
            at = found;
            if member.exists(params![tenant, at, key, n])? {
                lists.push(ImportId(at.cast_unsigned()));
            }
        }
        list.push((n, Some((contact, lists))));
    }
    Ok(list)
}

fn delete(tx: &Transaction<'_>, tenant: TenantId, id: ContactId) -> Result<bool, Fault> {
    let tenant = int(tenant.0);
    let found: Option<(i64, String)> = tx
        .prepare_cached("SELECT n, address FROM contact WHERE id = ?1 AND tenant = ?2")?
        .query_row([int(id.0), tenant], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((n, address)) = found else { return Ok(false) };
    // From list to list by the key, instead of through every member.
    let mut next = tx.prepare_cached("SELECT min(list) FROM contact_list WHERE tenant = ?1 AND list > ?2")?;
    let mut leave =
        tx.prepare_cached("DELETE FROM contact_list WHERE tenant = ?1 AND list = ?2 AND address = ?3")?;
    let mut list = -1_i64;
    while let Some(found) = next.query_row([tenant, list], |row| row.get::<_, Option<i64>>(0))? {
        list = found;
        leave.execute(params![tenant, list, address])?;
    }
    tx.prepare_cached("DELETE FROM contact WHERE n = ?1")?.execute([n])?;
    Ok(true)
}

impl Contacts for SqliteContacts {
    fn upsert(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        rows: Vec<ContactDraft>,
        now: Timestamp,
    ) -> Answer<'_, Upserted> {
        Box::pin(async move {
            ensure(&self.keyring, [tenant]).await?;
            let keyring = Arc::clone(&self.keyring);
            self.database
                .write(move |tx| upsert(&mut Writer::new(tx, &keyring, tenant)?, list, rows, now))
                .await
        })
    }

    fn get(&self, tenant: TenantId, id: ContactId) -> Answer<'_, Option<Contact>> {
        self.read(move |tx, keyring| {
            let sql = format!("SELECT {COLUMNS} FROM contact c WHERE c.id = ?1 AND c.tenant = ?2");
            let mut statement = tx.prepare_cached(&sql)?;
            let found = select(&mut statement, keyring, [int(id.0), int(tenant.0)])?;
            Ok(found.into_iter().next().map(|(_, contact)| contact))
        })
    }

    fn by_address<'a>(&'a self, tenant: TenantId, address: &'a Address) -> Answer<'a, Option<Contact>> {
        let key = address.key();
        self.read(move |tx, keyring| {
            let sql = format!("SELECT {COLUMNS} FROM contact c WHERE c.tenant = ?1 AND c.address = ?2");
            let mut statement = tx.prepare_cached(&sql)?;
            let found = select(&mut statement, keyring, params![int(tenant.0), key])?;
            Ok(found.into_iter().next().map(|(_, contact)| contact))
        })
    }

    fn page(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<Contact>> {
        let after = after.map_or_else(String::new, |a| a.key());
        self.read(move |tx, keyring| page(tx, keyring, (tenant, list), (after, limit)))
    }

    fn count(&self, tenant: TenantId, list: Option<ImportId>) -> Answer<'_, u64> {
        self.read(move |tx, _| {
            let tenant = int(tenant.0);
            let Some(list) = list else {
                let mut count = tx.prepare_cached("SELECT count(*) FROM contact WHERE tenant = ?1")?;
                return count.query_row([tenant], |row| Ok(row.id(0)))?;
            };
            let sql = "SELECT count(*) FROM contact_list WHERE tenant = ?1 AND list = ?2";
            tx.prepare_cached(sql)?.query_row([tenant, int(list.0)], |row| Ok(row.id(0)))?
        })
    }

    fn replace(&self, contact: Contact, expect: u64) -> Answer<'_, u64> {
        Box::pin(async move {
            let tenant = contact.tenant;
            ensure(&self.keyring, [tenant]).await?;
            let keyring = Arc::clone(&self.keyring);
            self.database.write(move |tx| Writer::new(tx, &keyring, tenant)?.replace(contact, expect)).await
        })
    }

    fn restore(&self, contact: Contact, lists: Vec<ImportId>) -> Answer<'_, ()> {
        Box::pin(async move {
            let tenant = contact.tenant;
            ensure(&self.keyring, [tenant]).await?;
            let keyring = Arc::clone(&self.keyring);
            self.database.write(move |tx| Writer::new(tx, &keyring, tenant)?.restore(&contact, &lists)).await
        })
    }

    fn delete(&self, tenant: TenantId, id: ContactId) -> Answer<'_, bool> {
        Box::pin(self.database.write(move |tx| delete(tx, tenant, id)))
    }
}
