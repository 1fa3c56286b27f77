//! Bytes of the idempotency key an action was asked under. Entries with one are kinds of their own, behind whose fields it
//! stands; the kinds without are older than it and stay as they are.

use super::DecodeError;
use super::row::{Reader, put_varint};
use kabar_engine::once::Once;

/// Writes the key, if there is one, behind the fields of the kind, and tells which kind that makes it.
pub(super) fn put(out: &mut Vec<u8>, once: Option<&Once>, (without, with): (u8, u8)) -> u8 {
    let Some(once) = once else { return without };
    put_varint(out, once.scope);
    out.extend_from_slice(&once.key.to_le_bytes());
    out.extend_from_slice(&once.body.to_le_bytes());
    with
}

/// Reads the key behind the fields of `kind`; `None` unless it is the kind `with` one.
pub(super) fn read(reader: &mut Reader<'_>, kind: u8, with: u8) -> Result<Option<Box<Once>>, DecodeError> {
    if kind != with {
        return Ok(None);
    }
    let scope = reader.varint("scope")?;
    let key = u128::from_le_bytes(reader.array("idempotency key")?);
    let body = u128::from_le_bytes(reader.array("idempotency body")?);
    Ok(Some(Box::new(Once { scope, key, body })))
}
