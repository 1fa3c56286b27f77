//! Sealing of single columns, and what a sealed column is bound to; the same on every backend. Not the keys.

use crate::error::StoreError;
use crate::seal::{Keyring, SealError};
use kabar_engine::id::TenantId;

/// Why a column could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsealed {
    /// A key is not at hand.
    Unavailable,
    /// The bytes are not what was sealed for this place.
    Damaged(&'static str),
}

/// The column a value is sealed for: moved to another row or column it does not open.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A message's content.
    Content(u64),
    /// The names and the origin of a conversation's person.
    ConversationName(u64),
    /// The name of an unknown sender, by address key.
    DiscoveredName(&'a str),
    /// What is private of a contact.
    Contact(u64),
    /// The variables of a chunk: campaign, attempt, chunk.
    Variables(u64, u32, u32),
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        match self {
            Self::Content(id) => numbered(&mut bytes, b'm', id),
            Self::ConversationName(id) => numbered(&mut bytes, b'c', id),
            Self::DiscoveredName(key) => {
                bytes.push(b'd');
                bytes.extend_from_slice(key.as_bytes());
            }
            Self::Contact(id) => numbered(&mut bytes, b'p', id),
            Self::Variables(campaign, attempt, chunk) => {
                numbered(&mut bytes, b'v', campaign);
                bytes.extend_from_slice(&attempt.to_be_bytes());
                bytes.extend_from_slice(&chunk.to_be_bytes());
            }
        }
        bytes
    }
}

fn numbered(bytes: &mut Vec<u8>, tag: u8, id: u64) {
    bytes.push(tag);
    bytes.extend_from_slice(&id.to_be_bytes());
}

/// Seals what `write` writes into `out`, which is emptied first. False: the tenant was erased, and nothing is
/// to be kept. The tenant's key must have been ensured.
pub(crate) fn seal(
    keyring: &Keyring,
    tenant: TenantId,
    place: Place<'_>,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<bool, Unsealed> {
    out.clear();
    match keyring.seal_into(tenant, out, &place.bytes(), write) {
        Ok(()) => Ok(true),
        Err(SealError::NoKey) if keyring.erased(tenant) == Ok(true) => Ok(false),
        Err(error) => {
            tracing::error!(%error, "a column could not be sealed");
            Err(Unsealed::Unavailable)
        }
    }
}

/// Opens a sealed column; `None` when the tenant's key is gone.
pub(crate) fn open(
    keyring: &Keyring,
    tenant: TenantId,
    place: Place<'_>,
    sealed: &[u8],
) -> Result<Option<Vec<u8>>, Unsealed> {
    keyring.open_bytes(tenant, sealed, &place.bytes()).map_err(|error| match error {
        SealError::NoKey => {
            tracing::error!(%error, "a sealed column was read before the keys");
            Unsealed::Unavailable
        }
        SealError::Broken => Unsealed::Damaged("a sealed column does not open"),
    })
}

/// Opens a sealed text.
pub(crate) fn open_text(
    keyring: &Keyring,
    tenant: TenantId,
    place: Place<'_>,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, Unsealed> {
    let Some(sealed) = sealed else { return Ok(None) };
    let Some(plain) = open(keyring, tenant, place, sealed)? else { return Ok(None) };
    String::from_utf8(plain).map(Some).map_err(|_| Unsealed::Damaged("a sealed name is no text"))
}

/// Makes sure that what these tenants write can be sealed. A tenant that was erased stays so.
pub(crate) async fn ensure(
    keyring: &Keyring,
    tenants: impl IntoIterator<Item = TenantId>,
) -> Result<(), StoreError> {
    for tenant in tenants {
        if keyring.known(tenant) {
            continue;
        }
        match keyring.ensure(tenant).await {
            Ok(()) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryRecords;
    use std::sync::Arc;

    #[test]
    fn a_sealed_column_opens_in_its_own_place_only() {
        let tenant = TenantId(1);
        let keyring = Keyring::fixed(tenant, &[3; 32], Arc::new(MemoryRecords::default()));
        let places = [
            Place::Content(1),
            Place::Content(2),
            Place::ConversationName(1),
            Place::DiscoveredName("1:62812"),
            Place::DiscoveredName("1:62813"),
            Place::Contact(1),
            Place::Variables(1, 1, 1),
            Place::Variables(2, 1, 1),
            Place::Variables(1, 2, 1),
            Place::Variables(1, 1, 2),
        ];
        for (n, place) in places.into_iter().enumerate() {
            let mut sealed = Vec::new();
            assert!(seal(&keyring, tenant, place, &mut sealed, |out| out.push(7)).unwrap());
            for (m, other) in places.into_iter().enumerate() {
                let opened = open(&keyring, tenant, other, &sealed);
                assert_eq!(matches!(opened, Ok(Some(plain)) if plain == [7]), n == m, "{place:?} {other:?}");
            }
        }
    }
}
