//! A part of a campaign as columns: its start alone, or all of it as one. Not the marks of its recipients.

use super::{FORM, choice, flag, opened};
use crate::codec::DecodeError;
use crate::codec::row::{Reader, put_address, put_bytes, put_near, put_text, put_time, put_varint};
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, CommandId, MessageId, SessionId, TenantId};
use kabar_engine::part::{ChunkLine, PartPhase, PartRow, PartStart};
use kabar_engine::pricing::Pricing;
use kabar_engine::time::Timestamp;
use std::collections::BTreeMap;

/// Everything but campaign and part.
pub(crate) fn pack(row: &PartRow) -> Vec<u8> {
    let mut out = vec![FORM];
    put_varint(&mut out, row.tenant.0);
    put_varint(&mut out, row.start.session.0);
    put_time(&mut out, row.start.launched);
    out.extend([row.phase as u8, u8::from(row.finished)]);
    put_varint(&mut out, row.command.0);
    put_bytes(&mut out, &pack_start(&row.start));
    put_varint(&mut out, row.upto.0);
    // Counted since later; where nothing was charged there is nothing, as before.
    if !row.charged.is_empty() {
        put_bytes(&mut out, &pack_charged(&row.charged));
    }
    out
}

/// Counts by price.
pub(crate) fn pack_charged(charged: &BTreeMap<Pricing, u64>) -> Vec<u8> {
    let mut out = Vec::new();
    for (pricing, count) in charged {
        put_text(&mut out, &pricing.to_line());
        put_varint(&mut out, *count);
    }
    out
}

/// The counts.
pub(crate) fn unpack_charged(bytes: &[u8]) -> Result<BTreeMap<Pricing, u64>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut charged = BTreeMap::new();
    while !reader.rest().is_empty() {
        let pricing = Pricing::from_line(reader.text("price")?).ok_or(DecodeError::Invalid("price"))?;
        charged.insert(pricing, reader.varint("count")?);
    }
    Ok(charged)
}

/// The row.
pub(crate) fn unpack(campaign: CampaignId, part: u32, bytes: &[u8]) -> Result<PartRow, DecodeError> {
    let mut reader = opened(bytes)?;
    let tenant = TenantId(reader.varint("tenant")?);
    let session = SessionId(reader.varint("session")?);
    let fixed = Fixed { campaign, part, session, launched: reader.time("launched")? };
    let phase = choice(&mut reader, "phase", PartPhase::from_byte)?;
    let finished = flag(&mut reader, "finished")?;
    let command = CommandId(reader.varint("command")?);
    let start = unpack_start(&fixed, reader.bytes("start")?)?;
    let upto = Position(reader.varint("upto")?);
    let charged =
        if reader.rest().is_empty() { BTreeMap::new() } else { unpack_charged(reader.bytes("charged")?)? };
    reader.finish()?;
    Ok(PartRow { tenant, start, phase, command, finished, charged, upto })
}

/// What of a start stands in columns of its own.
pub(crate) struct Fixed {
    /// The campaign.
    pub(crate) campaign: CampaignId,
    /// Its number.
    pub(crate) part: u32,
    /// The sending session.
    pub(crate) session: SessionId,
    /// The launch.
    pub(crate) launched: Timestamp,
}

/// Everything of a start that is not fixed.
pub(crate) fn pack_start(start: &PartStart) -> Vec<u8> {
    let mut out = vec![FORM];
    put_varint(&mut out, u64::from(start.attempt));
    put_varint(&mut out, start.valid_until.0.cast_unsigned());
    put_varint(&mut out, start.command.0);
    put_varint(&mut out, start.chunks.len() as u64);
    let mut last = 0;
    for line in &start.chunks {
        put_address(&mut out, &line.first);
        put_varint(&mut out, u64::from(line.count));
        put_near(&mut out, &mut last, line.base.0);
    }
    out
}

/// The start.
pub(crate) fn unpack_start(fixed: &Fixed, bytes: &[u8]) -> Result<PartStart, DecodeError> {
    let mut reader = opened(bytes)?;
    let attempt = reader.small("attempt")?;
    let valid_until = Timestamp(reader.varint("valid until")?.cast_signed());
    let command = CommandId(reader.varint("command")?);
    let mut last = 0;
    let chunks = reader.list("chunks", |r| {
        let (first, count) = (r.address("first")?, r.small("count")?);
        Ok(ChunkLine { first, count, base: MessageId(r.near(&mut last, "base")?) })
    })?;
    reader.finish()?;
    let Fixed { campaign, part, session, launched } = *fixed;
    Ok(PartStart { campaign, part, attempt, session, launched, valid_until, chunks, command })
}
