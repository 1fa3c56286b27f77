//! A campaign's phase and frozen audience as columns: the lists alone, or all of it as one. Not its spec.

use super::{FORM, choice, flag, opened};
use crate::codec::DecodeError;
use crate::codec::row::{Reader, put_bytes, put_option, put_time, put_varint};
use kabar_engine::campaign::{CampaignRow, Phase, Verb};
use kabar_engine::entry::{Frozen, PartLine, Position};
use kabar_engine::id::{CampaignId, CommandId, SessionId, TenantId};

/// Everything but the id.
pub(crate) fn pack(row: &CampaignRow) -> Vec<u8> {
    let mut out = vec![FORM];
    put_varint(&mut out, row.tenant.0);
    out.extend([row.phase as u8, u8::from(row.paused), row.verb as u8]);
    put_time(&mut out, row.launched);
    put_option(&mut out, row.ended.as_ref(), |out, ended| put_time(out, *ended));
    put_varint(&mut out, row.command.0);
    put_bytes(&mut out, &pack_parts(row.obeyed.iter().copied()));
    put_option(&mut out, row.frozen.as_deref(), |out, frozen| put_bytes(out, &pack_frozen(frozen)));
    put_varint(&mut out, row.upto.0);
    out
}

/// The row.
pub(crate) fn unpack(id: CampaignId, bytes: &[u8]) -> Result<CampaignRow, DecodeError> {
    let mut reader = opened(bytes)?;
    let tenant = TenantId(reader.varint("tenant")?);
    let phase = choice(&mut reader, "phase", Phase::from_byte)?;
    let paused = flag(&mut reader, "paused")?;
    let verb = choice(&mut reader, "verb", Verb::from_byte)?;
    let row = CampaignRow {
        id,
        tenant,
        phase,
        paused,
        launched: reader.time("launched")?,
        ended: reader.option("ended", |r| r.time("ended"))?,
        command: CommandId(reader.varint("command")?),
        verb,
        obeyed: unpack_parts(reader.bytes("obeyed")?)?.into_iter().collect(),
        frozen: reader.option("frozen", |r| unpack_frozen(id, r.bytes("frozen")?))?.map(Box::new),
        upto: Position(reader.varint("upto")?),
    };
    reader.finish()?;
    Ok(row)
}

/// Numbers of parts.
pub(crate) fn pack_parts(parts: impl Iterator<Item = u32>) -> Vec<u8> {
    let mut out = Vec::new();
    parts.for_each(|part| put_varint(&mut out, u64::from(part)));
    out
}

/// The numbers of parts.
pub(crate) fn unpack_parts(bytes: &[u8]) -> Result<Vec<u32>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut parts = Vec::new();
    while !reader.rest().is_empty() {
        parts.push(reader.small("part")?);
    }
    Ok(parts)
}

/// Everything but the campaign.
pub(crate) fn pack_frozen(frozen: &Frozen) -> Vec<u8> {
    let mut out = vec![FORM];
    put_varint(&mut out, u64::from(frozen.attempt));
    put_varint(&mut out, frozen.audience);
    put_varint(&mut out, frozen.opted_out);
    put_varint(&mut out, frozen.missing_variable);
    out.extend_from_slice(&frozen.digest);
    put_varint(&mut out, frozen.parts.len() as u64);
    for line in &frozen.parts {
        put_varint(&mut out, line.session.0);
        put_varint(&mut out, u64::from(line.recipients));
    }
    // Counted since later; where nobody is there is nothing, as before.
    if frozen.frequency_capped > 0 {
        put_varint(&mut out, frozen.frequency_capped);
    }
    out
}

/// The audience.
pub(crate) fn unpack_frozen(campaign: CampaignId, bytes: &[u8]) -> Result<Frozen, DecodeError> {
    let mut reader = opened(bytes)?;
    let (attempt, audience) = (reader.small("attempt")?, reader.varint("audience")?);
    let (opted_out, missing_variable) = (reader.varint("opted out")?, reader.varint("missing")?);
    let digest = reader.array("digest")?;
    let parts = reader.list("parts", |r| {
        Ok(PartLine { session: SessionId(r.varint("session")?), recipients: r.small("recipients")? })
    })?;
    let frequency_capped = if reader.rest().is_empty() { 0 } else { reader.varint("frequency capped")? };
    reader.finish()?;
    Ok(Frozen { campaign, attempt, audience, opted_out, missing_variable, frequency_capped, parts, digest })
}
