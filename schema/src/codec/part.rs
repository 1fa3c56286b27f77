//! Bytes of the entries about a campaign's parts and recipients. Not those of the campaign's phase.

use super::campaign::{campaign, command, verb};
use super::message::{flag, put_cause, put_reports, put_results, read_cause, read_reports, read_results};
use super::priced::Prices;
use super::row::{Reader, put_address, put_near, put_signed, put_time_near, put_varint};
use super::{DecodeError, held, kind};
use kabar_engine::entry::{Range, What};
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId};
use kabar_engine::part::{ChunkLine, PartStart};
use kabar_engine::time::Timestamp;

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(out: &mut Vec<u8>, at: Timestamp, what: &What) -> Option<u8> {
    Some(match what {
        What::PartStarted(start) => {
            put_start(out, at, start);
            kind::PART_STARTED
        }
        What::PartMoved { campaign, part, verb, command } => {
            put_varint(out, campaign.0);
            put_varint(out, u64::from(*part));
            out.push(*verb as u8);
            put_varint(out, command.0);
            kind::PART_MOVED
        }
        What::PartClaim { campaign, ranges, held } => {
            let kind = held::put(out, at, *held, (kind::PART_CLAIM, kind::PART_CLAIM_HELD));
            put_ranges(out, *campaign, ranges, kind)
        }
        What::PartReleased { campaign, ranges } => put_ranges(out, *campaign, ranges, kind::PART_RELEASED),
        What::PartParked { campaign, ranges } => put_ranges(out, *campaign, ranges, kind::PART_PARKED),
        What::PartResults { campaign, results } => {
            put_varint(out, campaign.0);
            put_results(out, at, results.iter().map(|(index, outcome)| (u64::from(*index), outcome)));
            kind::PART_RESULTS
        }
        What::PartStatuses { campaign, statuses } => {
            put_varint(out, campaign.0);
            put_reports(out, at, statuses, (kind::PART_STATUSES, kind::PART_STATUSES_PRICED), u64::from)
        }
        What::PartResolved { campaign, again, ranges } => {
            out.push(u8::from(*again));
            put_ranges(out, *campaign, ranges, kind::PART_RESOLVED)
        }
        What::PartEnded { campaign, cause, ranges } => {
            put_cause(out, *cause);
            put_ranges(out, *campaign, ranges, kind::PART_ENDED)
        }
        What::PartDeferred { campaign, due, ranges } => {
            put_time_near(out, at, *due);
            put_ranges(out, *campaign, ranges, kind::PART_DEFERRED)
        }
        What::PartFinished { campaign, part } => {
            put_varint(out, campaign.0);
            put_varint(out, u64::from(*part));
            kind::PART_FINISHED
        }
        What::Touched { campaign, index, session, conversation, message } => {
            put_varint(out, campaign.0);
            put_varint(out, u64::from(*index));
            put_varint(out, session.0);
            put_varint(out, conversation.0);
            put_varint(out, message.0);
            kind::TOUCHED
        }
        _ => return None,
    })
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(kind: u8, reader: &mut Reader<'_>, at: Timestamp) -> Result<Option<What>, DecodeError> {
    Ok(Some(match kind {
        kind::PART_STARTED => What::PartStarted(Box::new(read_start(reader, at)?)),
        kind::PART_MOVED => What::PartMoved {
            campaign: campaign(reader)?,
            part: reader.small("part")?,
            verb: verb(reader)?,
            command: command(reader)?,
        },
        kind::PART_CLAIM | kind::PART_CLAIM_HELD => {
            let held = held::read(reader, at, kind, kind::PART_CLAIM_HELD)?;
            What::PartClaim { campaign: campaign(reader)?, ranges: ranges(reader)?, held }
        }
        kind::PART_RELEASED => What::PartReleased { campaign: campaign(reader)?, ranges: ranges(reader)? },
        kind::PART_PARKED => What::PartParked { campaign: campaign(reader)?, ranges: ranges(reader)? },
        kind::PART_RESULTS => {
            What::PartResults { campaign: campaign(reader)?, results: read_results(reader, at, index)? }
        }
        kind::PART_STATUSES | kind::PART_STATUSES_PRICED => {
            let campaign = campaign(reader)?;
            let prices = Prices::read(reader, kind, kind::PART_STATUSES_PRICED)?;
            What::PartStatuses { campaign, statuses: read_reports(reader, at, prices.as_ref(), index)? }
        }
        kind::PART_RESOLVED => {
            let again = flag(reader)?;
            What::PartResolved { campaign: campaign(reader)?, again, ranges: ranges(reader)? }
        }
        kind::PART_ENDED => {
            let cause = read_cause(reader)?;
            What::PartEnded { campaign: campaign(reader)?, cause, ranges: ranges(reader)? }
        }
        kind::PART_DEFERRED => {
            let due = reader.time_near(at, "due")?;
            What::PartDeferred { campaign: campaign(reader)?, due, ranges: ranges(reader)? }
        }
        kind::PART_FINISHED => {
            What::PartFinished { campaign: campaign(reader)?, part: reader.small("part")? }
        }
        kind::TOUCHED => What::Touched {
            campaign: campaign(reader)?,
            index: reader.small("index")?,
            session: SessionId(reader.varint("session")?),
            conversation: ConversationId(reader.varint("conversation")?),
            message: MessageId(reader.varint("message")?),
        },
        _ => return Ok(None),
    }))
}

fn index(value: u64) -> Result<u32, DecodeError> {
    u32::try_from(value).map_err(|_| DecodeError::Invalid("index"))
}

fn put_ranges(out: &mut Vec<u8>, campaign: CampaignId, ranges: &[Range], kind: u8) -> u8 {
    put_varint(out, campaign.0);
    put_varint(out, ranges.len() as u64);
    let mut last = 0_i64;
    for range in ranges {
        put_signed(out, i64::from(range.first) - last);
        put_varint(out, u64::from(range.count));
        last = i64::from(range.first) + i64::from(range.count);
    }
    kind
}

fn ranges(reader: &mut Reader<'_>) -> Result<Vec<Range>, DecodeError> {
    let mut last = 0_i64;
    reader.list("ranges", |reader| {
        let first = last.checked_add(reader.signed("range")?).and_then(|first| u32::try_from(first).ok());
        let first = first.ok_or(DecodeError::Invalid("range"))?;
        let count = reader.small("range's count")?;
        last = i64::from(first) + i64::from(count);
        Ok(Range { first, count })
    })
}

fn put_start(out: &mut Vec<u8>, at: Timestamp, start: &PartStart) {
    put_varint(out, start.campaign.0);
    put_varint(out, u64::from(start.part));
    put_varint(out, u64::from(start.attempt));
    put_varint(out, start.session.0);
    put_time_near(out, at, start.launched);
    put_time_near(out, at, start.valid_until);
    put_varint(out, start.command.0);
    put_varint(out, start.chunks.len() as u64);
    let mut base = 0;
    for chunk in &start.chunks {
        put_address(out, &chunk.first);
        put_varint(out, u64::from(chunk.count));
        put_near(out, &mut base, chunk.base.0);
    }
}

fn read_start(reader: &mut Reader<'_>, at: Timestamp) -> Result<PartStart, DecodeError> {
    let mut base = 0;
    Ok(PartStart {
        campaign: campaign(reader)?,
        part: reader.small("part")?,
        attempt: reader.small("attempt")?,
        session: SessionId(reader.varint("session")?),
        launched: reader.time_near(at, "launched")?,
        valid_until: reader.time_near(at, "valid until")?,
        command: command(reader)?,
        chunks: reader.list("chunks", |reader| {
            Ok(ChunkLine {
                first: reader.address("first address")?,
                count: reader.small("recipients")?,
                base: MessageId(reader.near(&mut base, "base")?),
            })
        })?,
    })
}
