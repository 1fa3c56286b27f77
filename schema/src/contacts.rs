//! Contacts: a tenant's address book, and the lists that imports brought. A trait of its own because of volume.
//!
//! Not conversations (a contact may never have been written to) and not the frozen audience of a campaign.

use crate::Answer;
use kabar_engine::address::Address;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A person in a tenant's address book. Name, fields and the input are sealed at rest; the address is a key and
/// stays readable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// Its id, derived from tenant and address.
    pub id: ContactId,
    /// Whose.
    pub tenant: TenantId,
    /// Who.
    pub address: Address,
    /// The address as it was written last.
    pub input: String,
    /// The name.
    pub name: Option<String>,
    /// The IANA zone.
    pub zone: Option<String>,
    /// Further columns.
    pub fields: BTreeMap<String, String>,
    /// When it became known.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// How often it changed, from 1.
    pub version: u64,
}

/// What is told of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactDraft {
    /// Who.
    pub address: Address,
    /// The address as it was written.
    pub input: String,
    /// The name; `None` leaves the known one.
    pub name: Option<String>,
    /// The IANA zone; `None` leaves the known one.
    pub zone: Option<String>,
    /// Columns; those that are not named stay as they are.
    pub fields: BTreeMap<String, String>,
}

/// What an upsert came to: one count per draft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upserted {
    /// Not known before.
    pub created: u64,
    /// Known before, changed or not.
    pub updated: u64,
}

impl Contact {
    /// The id of the tenant's contact with this address.
    #[must_use]
    pub fn id_of(tenant: TenantId, address: &Address) -> ContactId {
        ContactId::derived(tenant, address.key().as_bytes())
    }

    /// A contact that becomes known.
    #[must_use]
    pub fn begin(tenant: TenantId, draft: ContactDraft, now: Timestamp) -> Self {
        Self {
            id: Self::id_of(tenant, &draft.address),
            tenant,
            address: draft.address,
            input: draft.input,
            name: draft.name,
            zone: draft.zone,
            fields: draft.fields,
            created: now,
            updated: now,
            version: 1,
        }
    }

    /// Takes over what a draft tells; whether anything changed. The same draft again changes nothing.
    pub fn merge(&mut self, draft: ContactDraft, now: Timestamp) -> bool {
        let was = self.clone();
        self.input = draft.input;
        self.name = draft.name.or(self.name.take());
        self.zone = draft.zone.or(self.zone.take());
        self.fields.extend(draft.fields);
        let changed = *self != was;
        if changed {
            self.updated = now;
            self.version += 1;
        }
        changed
    }
}

/// What of a contact is sealed, as JSON with names of one letter.
#[derive(Debug, Deserialize)]
pub(crate) struct Private {
    #[serde(rename = "i")]
    pub(crate) input: String,
    #[serde(rename = "n", default)]
    pub(crate) name: Option<String>,
    #[serde(rename = "f", default)]
    pub(crate) fields: BTreeMap<String, String>,
}

/// The store of contacts. Every method names a tenant and sees no other.
pub trait Contacts: Send + Sync {
    /// Writes the rows, and puts them on the list. Idempotent: what is already so is not written again. On one node all
    /// rows are written or none. On a cluster that holds for each batch of neighbours only: after an error some may be
    /// written, and the same call again comes to the same.
    fn upsert(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        rows: Vec<ContactDraft>,
        now: Timestamp,
    ) -> Answer<'_, Upserted>;

    /// The contact, if there is one.
    fn get(&self, tenant: TenantId, id: ContactId) -> Answer<'_, Option<Contact>>;

    /// The contact with this address, if there is one.
    fn by_address<'a>(&'a self, tenant: TenantId, address: &'a Address) -> Answer<'a, Option<Contact>>;

    /// Contacts in the order of their addresses, all or those of a list, at most `limit`.
    fn page(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<Contact>>;

    /// How many, all or of a list.
    fn count(&self, tenant: TenantId, list: Option<ImportId>) -> Answer<'_, u64>;

    /// Writes name, zone, fields, input and the time of change of a contact whose stored version is `expect`, and
    /// gives its new version. 0 stands for a contact that is not there yet: it is made, on no list.
    ///
    /// Conflict when another version is stored, or none.
    fn replace(&self, contact: Contact, expect: u64) -> Answer<'_, u64>;

    /// Writes a contact as it was elsewhere, with its times and its version (at least 1), and puts it on these lists.
    /// The same again is Ok; when another contact stands under the address, `Conflict`.
    fn restore(&self, contact: Contact, lists: Vec<ImportId>) -> Answer<'_, ()>;

    /// Deletes the contact and takes it off every list; whether there was one.
    fn delete(&self, tenant: TenantId, id: ContactId) -> Answer<'_, bool>;
}
