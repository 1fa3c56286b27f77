//! Bytes of the entries about a webhook subscription. Not those of its deliveries, which are no entries.

use super::row::{Reader, put_time, put_varint};
use super::{DecodeError, kind};
use kabar_engine::entry::What;
use kabar_engine::id::WebhookId;

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(out: &mut Vec<u8>, what: &What) -> Option<u8> {
    let What::WebhookDisabled { webhook, since } = what else { return None };
    put_varint(out, webhook.0);
    put_time(out, *since);
    Some(kind::WEBHOOK_DISABLED)
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Option<What>, DecodeError> {
    if kind != kind::WEBHOOK_DISABLED {
        return Ok(None);
    }
    let webhook = WebhookId(reader.varint("webhook")?);
    Ok(Some(What::WebhookDisabled { webhook, since: reader.time("since")? }))
}
