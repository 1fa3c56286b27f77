//! Bytes of a provider's notice. Its value may hold what people wrote, so it is sealed.

use super::row::{put_option, put_text, put_time, put_varint};
use super::{DecodeError, Fields, Found, Stored, kind};
use crate::seal::SealError;
use kabar_engine::entry::What;
use kabar_engine::id::SessionId;
use kabar_engine::notice::Notice;
use std::sync::Arc;

/// What a value is sealed for: no message's content opens in its place.
const PLACE: &[u8] = b"notice";

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(to: &mut Fields<'_>, what: &What) -> Result<Option<u8>, SealError> {
    let What::Notice(notice) = what else { return Ok(None) };
    let out = &mut *to.out;
    put_option(out, notice.session.as_ref(), |out, session| put_varint(out, session.0));
    put_option(out, notice.account.as_deref(), put_text);
    put_text(out, &notice.field);
    put_option(out, notice.stray.as_ref(), |out, stray| put_varint(out, *stray));
    put_option(out, notice.at.as_ref(), |out, at| put_time(out, *at));
    to.sealer.seal(out, to.tenant, PLACE, |out| put_option(out, notice.value.as_deref(), put_text))?;
    Ok(Some(kind::NOTICE))
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(from: &mut Stored<'_>) -> Result<Option<Found>, DecodeError> {
    if from.kind != kind::NOTICE {
        return Ok(None);
    }
    let reader = &mut from.reader;
    let session = reader.option("session", |r| r.varint("session").map(SessionId))?;
    let account = reader.option("account", |r| r.text("account").map(Arc::from))?;
    let field = reader.text("field")?.into();
    let stray = reader.option("stray", |r| r.varint("stray"))?;
    let at = reader.option("at", |r| r.time("at"))?;
    let Some(plain) = from.open(PLACE, "value")? else { return Ok(Some(Found::Erased)) };
    let mut sealed = super::row::Reader::new(&plain);
    let value = sealed.option("value", |r| r.text("value").map(Arc::from))?;
    sealed.finish()?;
    Ok(Some(Found::What(What::Notice(Box::new(Notice { session, account, field, value, stray, at })))))
}
