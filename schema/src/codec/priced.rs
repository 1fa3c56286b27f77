//! Bytes of what reports say of prices. Reports with prices are kinds of their own: the few different prices of an entry stand
//! in front, and each report names its own by a number. The kinds without are older and stay as they are.

use super::DecodeError;
use super::row::{Reader, put_text, put_varint};
use kabar_engine::entry::StatusReport;
use kabar_engine::pricing::Pricing;
use std::sync::Arc;

/// The different prices of an entry.
#[derive(Default)]
pub(super) struct Prices(Vec<Arc<Pricing>>);

impl Prices {
    /// Writes the prices, if there is one, and tells which kind that makes the reports.
    pub(super) fn put<K>(
        out: &mut Vec<u8>,
        reports: &[StatusReport<K>],
        (without, with): (u8, u8),
    ) -> (Option<Self>, u8) {
        let prices = Self::among(reports);
        if prices.0.is_empty() {
            return (None, without);
        }
        prices.put_all(out);
        (Some(prices), with)
    }

    /// The different prices of these reports.
    pub(super) fn among<K>(reports: &[StatusReport<K>]) -> Self {
        let mut prices = Self::default();
        for pricing in reports.iter().filter_map(|report| report.pricing.as_ref()) {
            if !prices.0.contains(pricing) {
                prices.0.push(Arc::clone(pricing));
            }
        }
        prices
    }

    /// Writes the prices, also when there is none.
    pub(super) fn put_all(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        self.0.iter().for_each(|pricing| put_text(out, &pricing.to_line()));
    }

    /// The number of a report's price; 0: it has none.
    pub(super) fn number(&self, pricing: Option<&Arc<Pricing>>) -> u64 {
        let place = pricing.and_then(|pricing| self.0.iter().position(|known| known == pricing));
        place.map_or(0, |place| place as u64 + 1)
    }

    /// Reads the prices; `None` unless `kind` is the one `with` them.
    pub(super) fn read(reader: &mut Reader<'_>, kind: u8, with: u8) -> Result<Option<Self>, DecodeError> {
        if kind != with {
            return Ok(None);
        }
        let line = |reader: &mut Reader<'_>| {
            Pricing::from_line(reader.text("price")?).map(Arc::new).ok_or(DecodeError::Invalid("price"))
        };
        Ok(Some(Self(reader.list("prices", line)?)))
    }

    /// The price of a number.
    pub(super) fn of(&self, number: u64) -> Result<Option<Arc<Pricing>>, DecodeError> {
        let Some(place) = number.checked_sub(1) else { return Ok(None) };
        let known = usize::try_from(place).ok().and_then(|place| self.0.get(place));
        known.cloned().map(Some).ok_or(DecodeError::Invalid("price's number"))
    }
}
