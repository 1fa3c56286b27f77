//! Bytes of the provider's words about calls. They may name people, so they are sealed; the few different ones stand in front,
//! and each call names its own by a number.

use super::row::{Reader, put_option, put_text, put_varint};
use super::{DecodeError, Fields, Found, Stored, kind};
use crate::seal::SealError;
use kabar_engine::entry::{Quoted, What};
use kabar_engine::id::CampaignId;
use kabar_engine::outgoing::Words;

/// What the words are sealed for.
const PLACE: &[u8] = b"quoted";

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(to: &mut Fields<'_>, what: &What) -> Result<Option<u8>, SealError> {
    let What::Quoted(quoted) = what else { return Ok(None) };
    put_option(to.out, quoted.campaign.as_ref(), |out, campaign| put_varint(out, campaign.0));
    to.sealer.seal(to.out, to.tenant, PLACE, |out| put_calls(out, &quoted.calls))?;
    Ok(Some(kind::QUOTED))
}

fn put_calls(out: &mut Vec<u8>, calls: &[(u64, Words)]) {
    let mut details: Vec<&str> = Vec::new();
    for (_, words) in calls {
        if !details.contains(&words.detail.as_str()) {
            details.push(&words.detail);
        }
    }
    put_varint(out, details.len() as u64);
    details.iter().for_each(|detail| put_text(out, detail));
    put_varint(out, calls.len() as u64);
    for (call, words) in calls {
        put_varint(out, *call);
        put_varint(out, details.iter().position(|known| *known == words.detail).unwrap_or(0) as u64);
        put_option(out, words.trace.as_deref(), put_text);
    }
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(from: &mut Stored<'_>) -> Result<Option<Found>, DecodeError> {
    if from.kind != kind::QUOTED {
        return Ok(None);
    }
    let campaign = from.reader.option("campaign", |r| r.varint("campaign").map(CampaignId))?;
    let Some(plain) = from.open(PLACE, "words")? else { return Ok(Some(Found::Erased)) };
    let mut sealed = Reader::new(&plain);
    let details = sealed.list("details", |r| r.text("detail").map(str::to_owned))?;
    let calls = sealed.list("calls", |r| {
        let call = r.varint("call")?;
        let detail = usize::try_from(r.varint("detail's number")?).ok().and_then(|at| details.get(at));
        let detail = detail.ok_or(DecodeError::Invalid("detail's number"))?.clone();
        Ok((call, Words { detail, trace: r.option("trace", |r| r.text("trace").map(str::to_owned))? }))
    })?;
    sealed.finish()?;
    Ok(Some(Found::What(What::Quoted(Box::new(Quoted { campaign, calls })))))
}
