//! A conversation as one column, its name sealed by the caller. Not its messages.

use super::{FORM, opened};
use crate::codec::DecodeError;
use crate::codec::row::{put_address, put_bytes, put_option, put_time, put_varint};
use kabar_engine::conversation::ConversationRow;
use kabar_engine::entry::Position;
use kabar_engine::id::{ConversationId, MessageId, SessionId, TenantId};

/// Everything but the id; `name` is the sealed name.
pub(crate) fn pack(row: &ConversationRow, name: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.push(FORM);
    put_varint(&mut out, row.tenant.0);
    put_varint(&mut out, row.session.0);
    put_address(&mut out, &row.address);
    put_varint(&mut out, row.aliases.len() as u64);
    row.aliases.iter().for_each(|alias| put_address(&mut out, alias));
    put_option(&mut out, name, put_bytes);
    put_option(&mut out, row.last.as_ref(), |out, last| put_varint(out, last.0));
    put_varint(&mut out, row.count);
    put_varint(&mut out, u64::from(row.unread));
    put_option(&mut out, row.window_until.as_ref(), |out, until| put_time(out, *until));
    put_varint(&mut out, row.upto.0);
    out
}

/// The row without its name, and the sealed name.
pub(crate) fn unpack(
    id: ConversationId,
    bytes: &[u8],
) -> Result<(ConversationRow, Option<&[u8]>), DecodeError> {
    let mut reader = opened(bytes)?;
    let (tenant, session) = (TenantId(reader.varint("tenant")?), SessionId(reader.varint("session")?));
    let address = reader.address("address")?;
    let aliases = reader.list("aliases", |r| r.address("alias"))?;
    let name = reader.option("name", |r| {
        let length = r.count("name")?;
        r.take(length, "name")
    })?;
    let row = ConversationRow {
        id,
        tenant,
        session,
        address,
        aliases,
        name: None,
        username: None,
        referrals: None,
        last: reader.option("last", |r| r.varint("last").map(MessageId))?,
        count: reader.varint("count")?,
        unread: reader.small("unread")?,
        window_until: reader.option("window", |r| r.time("window"))?,
        upto: Position(reader.varint("upto")?),
    };
    reader.finish()?;
    Ok((row, name))
}
