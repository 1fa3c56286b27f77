//! Bytes of reports of which one at least says more than is read. What it says may name people, so it is sealed; the different
//! ones stand behind the reports, and each report names its own by a number. The kinds without are older and stay as they are.

use super::message::{put_lines, read_reports};
use super::priced::Prices;
use super::row::{Reader, put_text, put_varint};
use super::{DecodeError, Fields, Found, Stored, kind};
use crate::seal::SealError;
use kabar_engine::entry::{StatusReport, StatusRest, What};
use kabar_engine::id::{CampaignId, MessageId};
use std::collections::HashMap;
use std::sync::Arc;

/// What they are sealed for.
const PLACE: &[u8] = b"reported";

/// Whether these reports are of these kinds.
pub(super) fn any<K>(reports: &[StatusReport<K>]) -> bool {
    reports.iter().any(|report| report.rest.is_some())
}

/// Writes the fields and tells the kind; `None` when the entry is of another family.
pub(super) fn put(to: &mut Fields<'_>, what: &What) -> Result<Option<u8>, SealError> {
    match what {
        What::Statuses(reports) if any(reports) => {
            put_told(to, reports, |id| id.0)?;
            Ok(Some(kind::STATUSES_TOLD))
        }
        What::PartStatuses { campaign, statuses } if any(statuses) => {
            put_varint(to.out, campaign.0);
            put_told(to, statuses, u64::from)?;
            Ok(Some(kind::PART_STATUSES_TOLD))
        }
        _ => Ok(None),
    }
}

fn put_told<K: Copy>(
    to: &mut Fields<'_>,
    reports: &[StatusReport<K>],
    key: impl Fn(K) -> u64,
) -> Result<(), SealError> {
    let prices = Prices::among(reports);
    prices.put_all(to.out);
    put_lines(to.out, to.at, reports, Some(&prices), key);
    to.sealer.seal(to.out, to.tenant, PLACE, |out| put_rests(out, reports))
}

fn put_rests<K>(out: &mut Vec<u8>, reports: &[StatusReport<K>]) {
    let (mut numbers, mut each) = (HashMap::new(), Vec::with_capacity(reports.len()));
    let mut different = Vec::new();
    for report in reports {
        each.push(report.rest.as_deref().map_or(0, |rest| {
            *numbers.entry((rest.as_str(), rest.is_alone())).or_insert_with(|| {
                different.push(rest);
                different.len() as u64
            })
        }));
    }
    put_varint(out, different.len() as u64);
    different.iter().for_each(|rest| put_text(out, rest.as_str()));
    each.into_iter().for_each(|number| put_varint(out, number));
    // Known since later; where none is alone there is nothing, as before.
    if different.iter().any(|rest| rest.is_alone()) {
        out.extend(different.iter().map(|rest| u8::from(rest.is_alone())));
    }
}

/// Reads the fields; `None` when the kind is of another family.
pub(super) fn read(from: &mut Stored<'_>) -> Result<Option<Found>, DecodeError> {
    let what = match from.kind {
        kind::STATUSES_TOLD => read_told(from, |id| Ok(MessageId(id)))?.map(What::Statuses),
        kind::PART_STATUSES_TOLD => {
            let campaign = CampaignId(from.reader.varint("campaign")?);
            let index = |number| u32::try_from(number).map_err(|_| DecodeError::Invalid("index"));
            read_told(from, index)?.map(|statuses| What::PartStatuses { campaign, statuses })
        }
        _ => return Ok(None),
    };
    Ok(Some(what.map_or(Found::Erased, Found::What)))
}

fn read_told<K>(
    from: &mut Stored<'_>,
    key: impl Fn(u64) -> Result<K, DecodeError>,
) -> Result<Option<Vec<StatusReport<K>>>, DecodeError> {
    let prices = Prices::read(&mut from.reader, from.kind, from.kind)?;
    let mut reports = read_reports(&mut from.reader, from.at, prices.as_ref(), key)?;
    let Some(plain) = from.open(PLACE, "rests")? else { return Ok(None) };
    let mut sealed = Reader::new(&plain);
    let different = sealed.list("rests", |r| r.text("rest"))?;
    let mut numbers = Vec::with_capacity(reports.len());
    for _ in &reports {
        let number = usize::try_from(sealed.varint("rest's number")?);
        numbers.push(number.map_err(|_| DecodeError::Invalid("rest's number"))?);
    }
    let any = !sealed.rest().is_empty();
    let mut rests = Vec::with_capacity(different.len());
    for json in different {
        let alone = any && sealed.byte("whether it is alone")? != 0;
        rests.push(Arc::new(StatusRest::stored(json, alone)));
    }
    sealed.finish()?;
    for (report, number) in reports.iter_mut().zip(numbers) {
        let found = number.checked_sub(1).map(|place| rests.get(place).cloned());
        report.rest = found.map(|rest| rest.ok_or(DecodeError::Invalid("rest's number"))).transpose()?;
    }
    Ok(Some(reports))
}
