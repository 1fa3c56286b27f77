//! What every backend must keep of a contact that is changed by hand: nobody's change is lost, nobody else's contact
//! is touched. Not imports and lists: those stand in the suite of records.

use crate::backend::{Backend, on_every_backend};
use crate::world::{BEGIN, phone};
use kabar_engine::id::{ImportId, TenantId};
use kabar_schema::StoreError;
use kabar_schema::contacts::{Contact, ContactDraft};
use std::collections::BTreeMap;

on_every_backend!(
    a_contact_is_replaced_only_over_the_version_it_was_read_at,
    a_contact_is_made_once,
    a_replaced_contact_stays_on_its_lists_and_is_nobody_elses,
);

const A: TenantId = TenantId(1);
const B: TenantId = TenantId(2);

fn draft(n: u32) -> ContactDraft {
    ContactDraft {
        address: phone(n),
        input: format!("0812-{n}"),
        name: Some("Budi".into()),
        zone: Some("Asia/Jakarta".into()),
        fields: BTreeMap::from([("city".into(), "Bandung".into())]),
    }
}

/// The contact without name, zone and city, a second later.
fn bare(contact: &Contact) -> Contact {
    Contact {
        name: None,
        zone: None,
        fields: BTreeMap::from([("plan".into(), "gold".into())]),
        input: "+62812".into(),
        updated: BEGIN.plus_ms(1_000),
        ..contact.clone()
    }
}

async fn a_contact_is_replaced_only_over_the_version_it_was_read_at(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    contacts.upsert(A, None, vec![draft(1)], BEGIN).await.unwrap();
    let read = contacts.by_address(A, &phone(1)).await.unwrap().unwrap();
    let changed = bare(&read);
    for wrong in [0, 2] {
        assert_eq!(contacts.replace(changed.clone(), wrong).await, Err(StoreError::Conflict), "{wrong}");
    }
    assert_eq!(contacts.get(A, read.id).await, Ok(Some(read.clone())), "nothing was written");
    assert_eq!(contacts.replace(changed.clone(), 1).await, Ok(2));
    assert_eq!(contacts.replace(changed.clone(), 1).await, Err(StoreError::Conflict));
    let expected = Contact { version: 2, ..changed.clone() };
    assert_eq!(contacts.get(A, read.id).await, Ok(Some(expected)));
    assert_eq!(contacts.delete(A, read.id).await, Ok(true));
    assert_eq!(contacts.replace(changed, 2).await, Err(StoreError::Conflict), "it is gone");
    assert_eq!(contacts.get(A, read.id).await, Ok(None));
}

async fn a_contact_is_made_once(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    let new = Contact::begin(A, draft(1), BEGIN);
    assert_eq!(contacts.replace(new.clone(), 1).await, Err(StoreError::Conflict), "none is there");
    assert_eq!(contacts.replace(new.clone(), 0).await, Ok(1));
    assert_eq!(contacts.replace(bare(&new), 0).await, Err(StoreError::Conflict));
    assert_eq!(contacts.by_address(A, &phone(1)).await, Ok(Some(new)));
    assert_eq!(contacts.count(A, None).await, Ok(1));
}

async fn a_replaced_contact_stays_on_its_lists_and_is_nobody_elses(backend: Backend) {
    let opened = backend.open().await;
    let contacts = &opened.store.contacts;
    for tenant in [A, B] {
        contacts.upsert(tenant, Some(ImportId(1)), vec![draft(1)], BEGIN).await.unwrap();
    }
    let read = contacts.by_address(A, &phone(1)).await.unwrap().unwrap();
    contacts.replace(bare(&read), 1).await.unwrap();
    let page = contacts.page(A, Some(ImportId(1)), None, 9).await.unwrap();
    assert_eq!(page.iter().map(|c| (c.version, c.name.clone())).collect::<Vec<_>>(), [(2, None)]);
    let other = contacts.by_address(B, &phone(1)).await.unwrap().unwrap();
    assert_eq!((other.version, other.name.as_deref()), (1, Some("Budi")));
}
