//! A line of the outbox as one column. One that is gone has no bytes at all. Not its key.

use super::{FORM, choice, opened};
use crate::codec::DecodeError;
use crate::codec::row::{put_time, put_varint};
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::message::Stage;
use kabar_engine::overlay::{OutboxKey, OutboxLine};

/// Everything but the key.
pub(crate) fn pack(line: &OutboxLine) -> Vec<u8> {
    let OutboxLine::Open { tenant, session, stage, valid_until, .. } = line else { return Vec::new() };
    let mut out = vec![FORM];
    put_varint(&mut out, tenant.0);
    put_varint(&mut out, session.0);
    out.push(*stage as u8);
    put_time(&mut out, *valid_until);
    out
}

/// The line.
pub(crate) fn unpack(key: OutboxKey, bytes: &[u8]) -> Result<OutboxLine, DecodeError> {
    if bytes.is_empty() {
        return Ok(OutboxLine::Gone(key));
    }
    let mut reader = opened(bytes)?;
    let (tenant, session) = (TenantId(reader.varint("tenant")?), SessionId(reader.varint("session")?));
    let stage = choice(&mut reader, "stage", Stage::from_byte)?;
    let valid_until = reader.time("valid until")?;
    reader.finish()?;
    Ok(OutboxLine::Open { tenant, key, session, stage, valid_until })
}
