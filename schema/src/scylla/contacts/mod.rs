//! Contacts on a cluster: a row by address in one of sixteen slices, written by LWT alone; beside it the way from an id
//! to the address, and the members of lists. Here is what is read; [`write`] has what is written, [`row`] the form of a
//! row. Not discovered senders, which are a view.

mod row;
mod write;

use super::cluster::Cluster;
use super::slices::{SLICES, merge, of_key};
use super::statement::ContactsSql;
use crate::Answer;
use crate::contacts::{Contact, ContactDraft, Contacts, Upserted};
use crate::error::{OpenError, StoreError};
use crate::seal::Keyring;
use futures::future::try_join_all;
use kabar_engine::address::Address;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use row::{Row, Stored};
use scylla::policies::timestamp_generator::MonotonicTimestampGenerator;
use scylla::statement::prepared::PreparedStatement;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cluster's contacts.
#[derive(Debug)]
pub struct CqlContacts {
    cluster: Arc<Cluster>,
    keyring: Arc<Keyring>,
    sql: ContactsSql,
    /// Stamps of the plain rows: what this process does later also counts as later.
    stamps: MonotonicTimestampGenerator,
}

impl CqlContacts {
    /// Contacts in the cluster's keyspace, which has all tables; the keyring must have loaded all keys.
    ///
    /// # Errors
    /// [`OpenError::Cluster`] when a statement is refused.
    pub async fn open(cluster: Arc<Cluster>, keyring: Arc<Keyring>) -> Result<Self, OpenError> {
        let sql = ContactsSql::prepare(&cluster).await?;
        Ok(Self { cluster, keyring, sql, stamps: MonotonicTimestampGenerator::new() })
    }

    /// The rows of these addresses, which are in one slice.
    async fn stored(
        &self,
        sql: &PreparedStatement,
        (tenant, slice): (TenantId, i16),
        keys: &[String],
    ) -> Result<BTreeMap<String, Stored>, StoreError> {
        let rows: Vec<Row> = self.cluster.rows(sql, (tenant.0.cast_signed(), slice, keys)).await?;
        let mut stored = BTreeMap::new();
        for row in rows {
            let key = row.0.clone();
            stored.extend(Stored::of(&self.keyring, tenant, row)?.map(|row| (key, row)));
        }
        Ok(stored)
    }

    async fn by_key(&self, tenant: TenantId, key: String) -> Result<Option<Contact>, StoreError> {
        let slice = of_key(&key);
        let stored = self.stored(&self.sql.get, (tenant, slice), &[key]).await?;
        Ok(stored.into_values().next().and_then(|row| row.contact))
    }

    /// Where the contact with this id would be.
    async fn address_of(&self, tenant: TenantId, id: ContactId) -> Result<Option<String>, StoreError> {
        let values = (tenant.0.cast_signed(), id.0.cast_signed());
        let row: Option<(String,)> = self.cluster.row(&self.sql.by_id, values).await?;
        Ok(row.map(|(key,)| key))
    }

    /// The next rows of all contacts, erased ones too: (key, contact).
    async fn next_rows(
        &self,
        tenant: TenantId,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Option<Contact>)>, StoreError> {
        merge(Some(after.to_owned()), limit, |slice, after: Option<String>, many| async move {
            let many = i32::try_from(many).unwrap_or(i32::MAX);
            let after = after.unwrap_or_default();
            let values = (tenant.0.cast_signed(), slice, after, many);
            let rows: Vec<Row> = self.cluster.rows(&self.sql.page, values).await?;
            // A row without a contact stands in the page as well, so that a short one means the end.
            let read = |row: Row| {
                let key = row.0.clone();
                Stored::of(&self.keyring, tenant, row).map(|row| (key, row.and_then(|row| row.contact)))
            };
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// The next members of a list. What is no member any more comes without its contact.
    async fn next_members(
        &self,
        (tenant, list): (TenantId, ImportId),
        after: &str,
        limit: usize,
    ) -> Result<Vec<(String, Option<Contact>)>, StoreError> {
        let members = merge(Some(after.to_owned()), limit, |slice, after: Option<String>, many| async move {
            let many = i32::try_from(many).unwrap_or(i32::MAX);
            let after = after.unwrap_or_default();
            let values = (tenant.0.cast_signed(), list.0.cast_signed(), slice, after, many);
            let rows: Vec<(String,)> = self.cluster.rows(&self.sql.members, values).await?;
            Ok(rows.into_iter().map(|(key,)| (key, ())).collect())
        })
        .await?;
        let mut slices: BTreeMap<i16, Vec<String>> = BTreeMap::new();
        for (key, ()) in &members {
            slices.entry(of_key(key)).or_default().push(key.clone());
        }
        let mut reads: Vec<Answer<'_, BTreeMap<String, Stored>>> = Vec::new();
        for (slice, keys) in &slices {
            for keys in keys.chunks(write::BATCH) {
                reads.push(Box::pin(self.stored(&self.sql.get, (tenant, *slice), keys)));
            }
        }
        let mut stored: BTreeMap<String, Stored> = try_join_all(reads).await?.into_iter().flatten().collect();
        let join = |(key, ()): (String, ())| {
            let row = stored.remove(&key).filter(|row| row.lists.contains(&list.0.cast_signed()));
            (key, row.and_then(|row| row.contact))
        };
        Ok(members.into_iter().map(join).collect())
    }

    async fn page_of(
        &self,
        (tenant, list): (TenantId, Option<ImportId>),
        after: Option<Address>,
        limit: usize,
    ) -> Result<Vec<Contact>, StoreError> {
        let mut after = after.map_or_else(String::new, |a| a.key());
        let mut page = Vec::new();
        // What is erased or no member is left out; the page is filled up from behind it.
        while page.len() < limit {
            let wanted = limit - page.len();
            let rows = match list {
                None => self.next_rows(tenant, &after, wanted).await?,
                Some(list) => self.next_members((tenant, list), &after, wanted).await?,
            };
            let ended = rows.len() < wanted;
            if let Some((last, _)) = rows.last() {
                after.clone_from(last);
            }
            page.extend(rows.into_iter().filter_map(|(_, contact)| contact));
            if ended {
                break;
            }
        }
        Ok(page)
    }

    async fn count_of(&self, tenant: TenantId, list: Option<ImportId>) -> Result<u64, StoreError> {
        let tenant = tenant.0.cast_signed();
        let counts = (0..SLICES).map(|slice| async move {
            let row: Option<(i64,)> = match list {
                None => self.cluster.row(&self.sql.count, (tenant, slice)).await?,
                Some(list) => {
                    let values = (tenant, list.0.cast_signed(), slice);
                    self.cluster.row(&self.sql.count_members, values).await?
                }
            };
            Ok::<_, StoreError>(row.map_or(0, |(count,)| count.cast_unsigned()))
        });
        Ok(try_join_all(counts).await?.into_iter().sum())
    }
}

impl Contacts for CqlContacts {
    fn upsert(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        rows: Vec<ContactDraft>,
        now: Timestamp,
    ) -> Answer<'_, Upserted> {
        Box::pin(self.upsert_all(tenant, list, rows, now))
    }

    fn get(&self, tenant: TenantId, id: ContactId) -> Answer<'_, Option<Contact>> {
        Box::pin(async move {
            let Some(key) = self.address_of(tenant, id).await? else { return Ok(None) };
            Ok(self.by_key(tenant, key).await?.filter(|contact| contact.id == id))
        })
    }

    fn by_address<'a>(&'a self, tenant: TenantId, address: &'a Address) -> Answer<'a, Option<Contact>> {
        Box::pin(self.by_key(tenant, address.key()))
    }

    fn page(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<Contact>> {
        Box::pin(self.page_of((tenant, list), after, limit))
    }

    fn count(&self, tenant: TenantId, list: Option<ImportId>) -> Answer<'_, u64> {
        Box::pin(self.count_of(tenant, list))
    }

    fn replace(&self, contact: Contact, expect: u64) -> Answer<'_, u64> {
        Box::pin(self.replace_one(contact, expect))
    }

    fn restore(&self, contact: Contact, lists: Vec<ImportId>) -> Answer<'_, ()> {
        Box::pin(self.restore_one(contact, lists))
    }

    fn delete(&self, tenant: TenantId, id: ContactId) -> Answer<'_, bool> {
        Box::pin(self.delete_one(tenant, id))
    }
}
