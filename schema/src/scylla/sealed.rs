//! Sealing of single columns on a cluster. Not the keys, and not what a column is bound to.

use super::fault::damaged;
use crate::error::StoreError;
use crate::seal::{Keyring, SealError};
use kabar_engine::id::TenantId;

/// Makes sure that what the tenant writes can be sealed. A tenant that was erased stays so: sealing says it.
pub(super) async fn ensure(keyring: &Keyring, tenant: TenantId) -> Result<(), StoreError> {
    if keyring.known(tenant) {
        return Ok(());
    }
    match keyring.ensure(tenant).await {
        Ok(()) | Err(StoreError::Conflict) => Ok(()),
        Err(error) => Err(super::fault::before(error)),
    }
}

/// The sealed form of what `write` writes. Conflict: the tenant was erased, and nothing is to be kept.
pub(super) fn seal(
    keyring: &Keyring,
    tenant: TenantId,
    aad: &[u8],
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<Vec<u8>, StoreError> {
    let mut out = Vec::with_capacity(512);
    match keyring.seal_into(tenant, &mut out, aad, write) {
        Ok(()) => Ok(out),
        Err(SealError::NoKey) if keyring.erased(tenant) == Ok(true) => Err(StoreError::Conflict),
        Err(error) => {
            tracing::error!(%error, "a column could not be sealed");
            Err(StoreError::Unavailable)
        }
    }
}

/// Opens a sealed column; `None` when the tenant's key is gone.
pub(super) fn open(
    keyring: &Keyring,
    tenant: TenantId,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    keyring.open_bytes(tenant, sealed, aad).map_err(|error| {
        tracing::error!(%error, "a sealed column");
        damaged("a sealed column does not open")
    })
}
