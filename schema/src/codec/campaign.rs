//! Bytes of the entries about a campaign's phase. Not those of its parts.

use super::row::{Reader, put_varint};
use super::{DecodeError, kind, once};
use kabar_engine::campaign::Verb;
use kabar_engine::entry::{Frozen, PartLine, What};
use kabar_engine::id::{CampaignId, CommandId, SessionId};

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(out: &mut Vec<u8>, what: &What) -> Option<u8> {
    Some(match what {
        What::Frozen(frozen) => put_frozen(out, frozen),
        What::Moved { campaign, verb, command, once } => {
            put_varint(out, campaign.0);
            out.push(*verb as u8);
            put_varint(out, command.0);
            once::put(out, once.as_deref(), (kind::MOVED, kind::MOVED_ONCE))
        }
        What::Obeyed { campaign, command, parts } => {
            put_varint(out, campaign.0);
            put_varint(out, command.0);
            put_varint(out, parts.len() as u64);
            parts.iter().for_each(|part| put_varint(out, u64::from(*part)));
            kind::OBEYED
        }
        What::Finished { campaign } => {
            put_varint(out, campaign.0);
            kind::FINISHED
        }
        _ => return None,
    })
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(kind: u8, reader: &mut Reader<'_>) -> Result<Option<What>, DecodeError> {
    Ok(Some(match kind {
        kind::FROZEN | kind::FROZEN_CAPPED => What::Frozen(Box::new(read_frozen(reader, kind)?)),
        kind::MOVED | kind::MOVED_ONCE => What::Moved {
            campaign: campaign(reader)?,
            verb: verb(reader)?,
            command: command(reader)?,
            once: once::read(reader, kind, kind::MOVED_ONCE)?,
        },
        kind::OBEYED => What::Obeyed {
            campaign: campaign(reader)?,
            command: command(reader)?,
            parts: reader.list("parts", |reader| reader.small("part"))?,
        },
        kind::FINISHED => What::Finished { campaign: campaign(reader)? },
        _ => return Ok(None),
    }))
}

pub(super) fn campaign(reader: &mut Reader<'_>) -> Result<CampaignId, DecodeError> {
    reader.varint("campaign").map(CampaignId)
}

pub(super) fn command(reader: &mut Reader<'_>) -> Result<CommandId, DecodeError> {
    reader.varint("command").map(CommandId)
}

pub(super) fn verb(reader: &mut Reader<'_>) -> Result<Verb, DecodeError> {
    Verb::from_byte(reader.byte("verb")?).ok_or(DecodeError::Invalid("verb"))
}

/// Writes it and tells the kind: those who had enough marketing are counted in a kind of their own.
fn put_frozen(out: &mut Vec<u8>, frozen: &Frozen) -> u8 {
    put_varint(out, frozen.campaign.0);
    put_varint(out, u64::from(frozen.attempt));
    put_varint(out, frozen.audience);
    put_varint(out, frozen.opted_out);
    put_varint(out, frozen.missing_variable);
    out.extend_from_slice(&frozen.digest);
    put_varint(out, frozen.parts.len() as u64);
    for part in &frozen.parts {
        put_varint(out, part.session.0);
        put_varint(out, u64::from(part.recipients));
    }
    if frozen.frequency_capped == 0 {
        return kind::FROZEN;
    }
    put_varint(out, frozen.frequency_capped);
    kind::FROZEN_CAPPED
}

fn read_frozen(reader: &mut Reader<'_>, kind: u8) -> Result<Frozen, DecodeError> {
    let mut frozen = Frozen {
        campaign: campaign(reader)?,
        attempt: reader.small("attempt")?,
        audience: reader.varint("audience")?,
        opted_out: reader.varint("opted out")?,
        missing_variable: reader.varint("missing variable")?,
        digest: reader.array("digest")?,
        parts: reader.list("parts", |reader| {
            Ok(PartLine {
                session: SessionId(reader.varint("session")?),
                recipients: reader.small("recipients")?,
            })
        })?,
        frequency_capped: 0,
    };
    if kind == kind::FROZEN_CAPPED {
        frozen.frequency_capped = reader.varint("frequency capped")?;
    }
    Ok(frozen)
}
