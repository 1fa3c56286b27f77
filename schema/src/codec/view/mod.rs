//! Packed columns of views: rows, or parts of rows, as bytes that begin with the number of their form. A new field
//! is a new form, and every older one stays readable. Not entries, and not what is sealed: that is handed in.

pub(crate) mod campaign;
pub(crate) mod conversation;
pub(crate) mod discovered;
pub(crate) mod idempotency;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod part;

#[cfg(test)]
mod golden;

use super::DecodeError;
use super::row::Reader;

/// The form all of them have so far.
const FORM: u8 = 1;

/// A reader behind the form's number.
fn opened(bytes: &[u8]) -> Result<Reader<'_>, DecodeError> {
    let mut reader = Reader::new(bytes);
    if reader.byte("form")? == FORM { Ok(reader) } else { Err(DecodeError::Invalid("form")) }
}

/// A byte that stands for one of a closed set.
fn choice<T>(
    reader: &mut Reader<'_>,
    what: &'static str,
    of: impl FnOnce(u8) -> Option<T>,
) -> Result<T, DecodeError> {
    of(reader.byte(what)?).ok_or(DecodeError::Invalid(what))
}

/// A yes or no.
fn flag(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    choice(reader, what, |byte| (byte < 2).then_some(byte == 1))
}
