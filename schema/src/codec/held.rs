//! Bytes of what held a claim up. Claims with it are kinds of their own, in front of whose fields it stands; the kinds
//! without are older than it and stay as they are.

use super::DecodeError;
use super::row::{Reader, put_time_near};
use kabar_engine::pacing::{Held, Hold};
use kabar_engine::time::Timestamp;

/// Writes it, if there is something, and tells which kind that makes the claim.
pub(super) fn put(out: &mut Vec<u8>, at: Timestamp, held: Option<Held>, (without, with): (u8, u8)) -> u8 {
    let Some(held) = held else { return without };
    out.push(held.by as u8);
    put_time_near(out, at, held.since);
    with
}

/// Reads it; `None` unless `kind` is the one `with` it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    at: Timestamp,
    kind: u8,
    with: u8,
) -> Result<Option<Held>, DecodeError> {
    if kind != with {
        return Ok(None);
    }
    let by = Hold::from_byte(reader.byte("hold")?).ok_or(DecodeError::Invalid("hold"))?;
    Ok(Some(Held { by, since: reader.time_near(at, "since")? }))
}
