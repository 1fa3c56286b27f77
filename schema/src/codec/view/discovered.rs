//! An unknown sender as one column, the name sealed by the caller. Not the contact it may become.

use super::{FORM, opened};
use crate::codec::DecodeError;
use crate::codec::row::{put_bytes, put_option, put_time, put_varint};
use kabar_engine::address::Address;
use kabar_engine::entry::Position;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::overlay::DiscoveredRow;

/// Everything but tenant and address; `name` is the sealed name. Of two that were met at the same instant the
/// greater bytes stand, and the smaller session has them: it is written first and turned over.
pub(crate) fn pack(row: &DiscoveredRow, name: Option<&[u8]>) -> Vec<u8> {
    let mut out = vec![FORM];
    out.extend_from_slice(&(!row.session.0).to_be_bytes());
    put_time(&mut out, row.at);
    put_varint(&mut out, row.upto.0);
    put_option(&mut out, name, put_bytes);
    out
}

/// The row without its name, and the sealed name.
pub(crate) fn unpack(
    tenant: TenantId,
    address: Address,
    bytes: &[u8],
) -> Result<(DiscoveredRow, Option<&[u8]>), DecodeError> {
    let mut reader = opened(bytes)?;
    let session = SessionId(!u64::from_be_bytes(reader.array("session")?));
    let (at, upto) = (reader.time("at")?, Position(reader.varint("upto")?));
    let name = reader.option("name", |r| {
        let length = r.count("name")?;
        r.take(length, "name")
    })?;
    reader.finish()?;
    Ok((DiscoveredRow { tenant, address, name: None, session, at, upto }, name))
}
