//! A message without its content, as one column. Not the content, which is sealed and has a column of its own.

use super::{FORM, choice, opened};
use crate::codec::DecodeError;
use crate::codec::row::{Reader, put_address, put_near, put_option, put_text, put_time_near, put_varint};
use kabar_engine::cause::Cause;
use kabar_engine::entry::Position;
use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
use kabar_engine::message::{MessageRow, Stage, Times};
use kabar_engine::pacing::Lane;
use kabar_engine::pricing::Pricing;
use kabar_engine::status::Status;
use kabar_engine::time::Timestamp;
use std::sync::Arc;

/// An id of the same shard as the difference to the message's own.
fn put_by(out: &mut Vec<u8>, id: MessageId, value: u64) {
    let MessageId(mut last) = id;
    put_near(out, &mut last, value);
}

fn by(reader: &mut Reader<'_>, id: MessageId, what: &'static str) -> Result<u64, DecodeError> {
    let MessageId(mut last) = id;
    reader.near(&mut last, what)
}

/// Stands above the stage in its byte: the provider said more with `sent`.
const DETAILED: u8 = 0x80;

/// What a message is doing, and whether the provider said more with `sent`, in one byte.
pub(crate) fn stage_byte(row: &MessageRow) -> u8 {
    row.stage as u8 | if row.detailed { DETAILED } else { 0 }
}

pub(crate) fn read_stage(byte: u8) -> Option<(Stage, bool)> {
    Some((Stage::from_byte(byte & !DETAILED)?, byte & DETAILED != 0))
}

/// Everything but the id and the content.
pub(crate) fn pack(row: &MessageRow) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    // Its id tells when it began: the times are near it, and so short.
    let begun = row.id.at();
    out.push(FORM);
    put_varint(&mut out, row.tenant.0);
    put_varint(&mut out, row.session.0);
    put_by(&mut out, row.id, row.conversation.0);
    put_address(&mut out, &row.address);
    out.extend([row.lane as u8, row.status as u8, stage_byte(row)]);
    put_varint(&mut out, u64::from(row.attempts));
    put_time_near(&mut out, begun, row.due);
    put_time_near(&mut out, begun, row.valid_until);
    let Times { accepted, claimed, parked, sent, delivered, read, ended } = row.times;
    put_time_near(&mut out, begun, accepted);
    for time in [claimed, parked, sent, delivered, read, ended] {
        put_option(&mut out, time.as_ref(), |out, time| put_time_near(out, begun, *time));
    }
    put_option(&mut out, row.provider_id.as_deref(), put_text);
    put_option(&mut out, row.cause.as_ref(), |out, cause| put_varint(out, u64::from(cause.0)));
    put_option(&mut out, row.context.as_deref(), put_text);
    put_option(&mut out, row.campaign.as_ref(), |out, (campaign, index)| {
        put_varint(out, campaign.0);
        put_varint(out, u64::from(*index));
    });
    put_option(&mut out, row.prev.as_ref(), |out, prev| put_by(out, row.id, prev.0));
    put_varint(&mut out, row.number);
    put_varint(&mut out, row.upto.0);
    // Known since later; where nobody said it there is nothing, as before.
    if let Some(pricing) = &row.pricing {
        put_text(&mut out, &pricing.to_line());
    }
    out
}

fn read_times(reader: &mut Reader<'_>, begun: Timestamp) -> Result<Times, DecodeError> {
    let accepted = reader.time_near(begun, "accepted")?;
    let mut next = |what| reader.option(what, |r| r.time_near(begun, what));
    Ok(Times {
        accepted,
        claimed: next("claimed")?,
        parked: next("parked")?,
        sent: next("sent")?,
        delivered: next("delivered")?,
        read: next("read")?,
        ended: next("ended")?,
    })
}

/// The row without its content.
pub(crate) fn unpack(id: MessageId, bytes: &[u8]) -> Result<MessageRow, DecodeError> {
    let mut reader = opened(bytes)?;
    let begun = id.at();
    let (tenant, session) = (TenantId(reader.varint("tenant")?), SessionId(reader.varint("session")?));
    let conversation = ConversationId(by(&mut reader, id, "conversation")?);
    let address = reader.address("address")?;
    let lane = choice(&mut reader, "lane", Lane::from_byte)?;
    let status = choice(&mut reader, "status", Status::from_byte)?;
    let (stage, detailed) = choice(&mut reader, "stage", read_stage)?;
    let mut row = MessageRow {
        id,
        tenant,
        session,
        conversation,
        address,
        content: None,
        lane,
        status,
        stage,
        attempts: u16::try_from(reader.small("attempts")?).map_err(|_| DecodeError::Invalid("attempts"))?,
        due: reader.time_near(begun, "due")?,
        valid_until: reader.time_near(begun, "valid until")?,
        times: read_times(&mut reader, begun)?,
        provider_id: reader.option("provider's id", |r| r.text("provider's id").map(Arc::from))?,
        cause: reader.option("cause", |r| r.small("cause").map(Cause))?,
        context: reader.option("context", |r| r.text("context").map(Arc::from))?,
        tag: None,
        beside: None,
        pricing: None,
        detailed,
        campaign: reader
            .option("campaign", |r| Ok((CampaignId(r.varint("campaign")?), r.small("campaign's index")?)))?,
        prev: reader.option("prev", |r| by(r, id, "prev").map(MessageId))?,
        number: reader.varint("number")?,
        upto: Position(reader.varint("upto")?),
    };
    if !reader.rest().is_empty() {
        let line = reader.text("pricing")?;
        row.pricing = Some(Arc::new(Pricing::from_line(line).ok_or(DecodeError::Invalid("pricing"))?));
    }
    reader.finish()?;
    Ok(row)
}
