//! A contact as a row: what stands in which column, and what of it is sealed. Not how rows are written.

use crate::contacts::{Contact, Private};
use crate::error::StoreError;
use crate::scylla::fault::damaged;
use crate::scylla::sealed::{open, seal};
use crate::seal::Keyring;
use kabar_engine::address::Address;
use kabar_engine::id::{ContactId, ImportId, TenantId};
use kabar_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Address, id, round, version, zone, created, updated, private, lists.
pub(super) type Row = (
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<BTreeSet<i64>>,
);

/// The values of the statement `put`.
pub(super) type Put =
    (i64, i64, i64, Option<String>, i64, i64, Vec<u8>, Vec<i64>, i64, i16, String, Option<i64>);

/// A row as it stands.
pub(super) struct Stored {
    /// `None` when the tenant's key is gone: what is left is an address without a person.
    pub(super) contact: Option<Contact>,
    pub(super) id: ContactId,
    pub(super) version: u64,
    /// How often the row was written.
    pub(super) round: i64,
    /// Never the same bytes twice: by them a writer knows its own write.
    pub(super) private: Vec<u8>,
    pub(super) lists: BTreeSet<i64>,
}

/// [`Private`] without owning it.
#[derive(serde::Serialize)]
struct PrivateOf<'a> {
    i: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    f: &'a BTreeMap<String, String>,
}

/// What the private part of a contact is bound to.
fn aad(id: ContactId) -> Vec<u8> {
    let mut aad = vec![b'p'];
    aad.extend_from_slice(&id.0.to_be_bytes());
    aad
}

impl Stored {
    /// `None`: there is no row.
    pub(super) fn of(keyring: &Keyring, tenant: TenantId, row: Row) -> Result<Option<Self>, StoreError> {
        let (key, id, Some(round), version, zone, created, updated, private, lists) = row else {
            return Ok(None);
        };
        let (Some(id), Some(version), Some(created), Some(updated), Some(private)) =
            (id, version, created, updated, private)
        else {
            return Err(damaged("a contact lacks a column"));
        };
        let (id, version) = (ContactId(id.cast_unsigned()), version.cast_unsigned());
        let of_plain = |plain: Vec<u8>| {
            let read: Private = serde_json::from_slice(&plain).map_err(|_| damaged("a contact"))?;
            let address = Address::from_key(&key).map_err(|_| damaged("an address key"))?;
            Ok::<_, StoreError>(Contact {
                id,
                tenant,
                address,
                input: read.input,
                name: read.name,
                zone,
                fields: read.fields,
                created: Timestamp(created),
                updated: Timestamp(updated),
                version,
            })
        };
        let contact = open(keyring, tenant, &aad(id), &private)?.map(of_plain).transpose()?;
        Ok(Some(Self { contact, id, version, round, private, lists: lists.unwrap_or_default() }))
    }
}

/// The values that write a contact over the row seen in round `seen` (`None`: there was none), and put it on a list.
pub(super) fn put(
    keyring: &Keyring,
    contact: &Contact,
    (key, slice): (String, i16),
    seen: Option<i64>,
    list: Option<ImportId>,
) -> Result<Put, StoreError> {
    let private = PrivateOf { i: &contact.input, n: contact.name.as_deref(), f: &contact.fields };
    let sealed = seal(keyring, contact.tenant, &aad(contact.id), |out| {
        serde_json::to_writer(out, &private)
            .expect("invariant: texts have a JSON form, and memory takes every byte");
    })?;
    Ok((
        contact.id.0.cast_signed(),
        seen.unwrap_or(0) + 1,
        contact.version.cast_signed(),
        contact.zone.clone(),
        contact.created.0,
        contact.updated.0,
        sealed,
        list.iter().map(|list| list.0.cast_signed()).collect(),
        contact.tenant.0.cast_signed(),
        slice,
        key,
        seen,
    ))
}
