//! Contacts in memory: the model the others are compared with. Nothing survives the process.

use crate::Answer;
use crate::contacts::{Contact, ContactDraft, Contacts, Upserted};
use crate::error::StoreError;
use futures::future::ready;
use kabar_engine::address::Address;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct State {
    contacts: BTreeMap<(TenantId, Address), Contact>,
    lists: BTreeMap<(TenantId, ImportId), BTreeSet<Address>>,
}

/// The memory backend's contacts.
#[derive(Debug, Default)]
pub struct MemoryContacts(Mutex<State>);

impl State {
    fn put(&mut self, tenant: TenantId, draft: ContactDraft, now: Timestamp) -> bool {
        match self.contacts.entry((tenant, draft.address.clone())) {
            std::collections::btree_map::Entry::Occupied(mut known) => {
                known.get_mut().merge(draft, now);
                false
            }
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(Contact::begin(tenant, draft, now));
                true
            }
        }
    }

    fn replace(&mut self, contact: Contact, expect: u64) -> Result<u64, StoreError> {
        let key = (contact.tenant, contact.address.clone());
        let stored = self.contacts.get(&key);
        if stored.map_or(0, |known| known.version) != expect {
            return Err(StoreError::Conflict);
        }
        let created = stored.map_or(contact.created, |known| known.created);
        let id = Contact::id_of(contact.tenant, &contact.address);
        let version = expect + 1;
        self.contacts.insert(key, Contact { id, created, version, ..contact });
        Ok(version)
    }

    fn restore(&mut self, contact: Contact, lists: Vec<ImportId>) -> Result<(), StoreError> {
        let (tenant, address) = (contact.tenant, contact.address.clone());
        match self.contacts.get(&(tenant, address.clone())) {
            Some(stored) if *stored == contact => {}
            None if contact.version > 0 => {
                self.contacts.insert((tenant, address.clone()), contact);
            }
            _ => return Err(StoreError::Conflict),
        }
        for list in lists {
            self.lists.entry((tenant, list)).or_default().insert(address.clone());
        }
        Ok(())
    }

    fn find(&self, tenant: TenantId, id: ContactId) -> Option<&Contact> {
        self.contacts.values().find(|c| c.tenant == tenant && c.id == id)
    }
}

impl Contacts for MemoryContacts {
    fn upsert(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        rows: Vec<ContactDraft>,
        now: Timestamp,
    ) -> Answer<'_, Upserted> {
        let mut state = self.0.lock();
        let mut done = Upserted::default();
        for draft in rows {
            let address = draft.address.clone();
            let new = state.put(tenant, draft, now);
            *(if new { &mut done.created } else { &mut done.updated }) += 1;
            if let Some(list) = list {
                state.lists.entry((tenant, list)).or_default().insert(address);
            }
        }
        Box::pin(ready(Ok(done)))
    }

    fn get(&self, tenant: TenantId, id: ContactId) -> Answer<'_, Option<Contact>> {
        Box::pin(ready(Ok(self.0.lock().find(tenant, id).cloned())))
    }

    fn by_address<'a>(&'a self, tenant: TenantId, address: &'a Address) -> Answer<'a, Option<Contact>> {
        Box::pin(ready(Ok(self.0.lock().contacts.get(&(tenant, address.clone())).cloned())))
    }

    fn page(
        &self,
        tenant: TenantId,
        list: Option<ImportId>,
        after: Option<Address>,
        limit: usize,
    ) -> Answer<'_, Vec<Contact>> {
        let state = self.0.lock();
        let members = list.map(|list| state.lists.get(&(tenant, list)));
        let page = state
            .contacts
            .values()
            .filter(|c| c.tenant == tenant && after.as_ref().is_none_or(|a| c.address > *a))
            .filter(|c| members.is_none_or(|m| m.is_some_and(|m| m.contains(&c.address))))
            .take(limit)
            .cloned()
            .collect();
        Box::pin(ready(Ok(page)))
    }

    fn count(&self, tenant: TenantId, list: Option<ImportId>) -> Answer<'_, u64> {
        let state = self.0.lock();
        let count = match list {
            Some(list) => state.lists.get(&(tenant, list)).map_or(0, BTreeSet::len),
            None => state.contacts.values().filter(|c| c.tenant == tenant).count(),
        };
        Box::pin(ready(Ok(count as u64)))
    }

    fn replace(&self, contact: Contact, expect: u64) -> Answer<'_, u64> {
        Box::pin(ready(self.0.lock().replace(contact, expect)))
    }

    fn restore(&self, contact: Contact, lists: Vec<ImportId>) -> Answer<'_, ()> {
        Box::pin(ready(self.0.lock().restore(contact, lists)))
    }

    fn delete(&self, tenant: TenantId, id: ContactId) -> Answer<'_, bool> {
        let mut state = self.0.lock();
        let found = state.find(tenant, id).map(|c| c.address.clone());
        if let Some(address) = &found {
            state.contacts.remove(&(tenant, address.clone()));
            for ((of, _), members) in &mut state.lists {
                if *of == tenant {
                    members.remove(address);
                }
            }
        }
        Box::pin(ready(Ok(found.is_some())))
    }
}
