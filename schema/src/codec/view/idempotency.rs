//! A used idempotency key as one column. Not the key itself.

use super::{FORM, opened};
use crate::codec::DecodeError;
use crate::codec::row::{put_time, put_varint};
use kabar_engine::entry::Position;
use kabar_engine::id::{MessageId, SessionId};
use kabar_engine::overlay::IdempotencyRow;

/// Everything but session and key.
pub(crate) fn pack(row: &IdempotencyRow) -> Vec<u8> {
    let mut out = vec![FORM];
    out.extend_from_slice(&row.body.to_be_bytes());
    put_varint(&mut out, row.message.0);
    put_time(&mut out, row.at);
    put_varint(&mut out, row.upto.0);
    out
}

/// The row.
pub(crate) fn unpack(session: SessionId, key: u128, bytes: &[u8]) -> Result<IdempotencyRow, DecodeError> {
    let mut reader = opened(bytes)?;
    let body = u128::from_be_bytes(reader.array("body")?);
    let (message, at) = (MessageId(reader.varint("message")?), reader.time("at")?);
    let upto = Position(reader.varint("upto")?);
    reader.finish()?;
    Ok(IdempotencyRow { session, key, body, message, at, upto })
}
