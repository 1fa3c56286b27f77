//! Bytes of the entries about media that people sent. Not the media: that is a blob with a record.

use super::row::{Reader, put_varint};
use super::{DecodeError, kind};
use kabar_engine::cause::Cause;
use kabar_engine::entry::What;
use kabar_engine::id::{MediaId, MessageId};

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(out: &mut Vec<u8>, what: &What) -> Option<u8> {
    match what {
        What::MediaStored { message, media } => {
            put_varint(out, message.0);
            put_varint(out, media.0);
            Some(kind::MEDIA_STORED)
        }
        What::MediaFailed { message, cause } => {
            put_varint(out, message.0);
            put_varint(out, u64::from(cause.0));
            Some(kind::MEDIA_FAILED)
        }
        _ => None,
    }
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Option<What>, DecodeError> {
    if !matches!(kind, kind::MEDIA_STORED | kind::MEDIA_FAILED) {
        return Ok(None);
    }
    let message = MessageId(reader.varint("message")?);
    if kind == kind::MEDIA_STORED {
        return Ok(Some(What::MediaStored { message, media: MediaId(reader.varint("media")?) }));
    }
    let cause = u32::try_from(reader.varint("cause")?).map_err(|_| DecodeError::Invalid("cause"))?;
    Ok(Some(What::MediaFailed { message, cause: Cause(cause) }))
}
