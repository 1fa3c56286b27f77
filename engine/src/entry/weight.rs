//! How heavy an entry is, by estimate, so that batches are cut in time. Not its bytes: those are the codec's.

use super::{Entry, StatusReport, What};
use crate::content::Content;

impl Entry {
    /// About how many bytes it takes in the journal, never far too low: batches are cut by it.
    #[must_use]
    pub fn weight(&self) -> usize {
        let content = |c: &Content| match c {
            Content::Text(text) => text.body.len() + 96,
            _ => 16 * 1024,
        };
        40 + match &self.what {
            What::Intent(intent) => 128 + content(&intent.content),
            What::Inbound(inbound) => {
                192 + content(&inbound.content) + inbound.beside.as_ref().map_or(0, |_| 9 * 1024)
            }
            What::Notice(notice) => 160 + notice.value.as_ref().map_or(0, |value| value.len()),
            What::Quoted(quoted) => quoted.weight(),
            What::Claim { messages, .. }
            | What::Released { messages, .. }
            | What::Parked { messages, .. }
            | What::Resolved { messages, .. } => messages.len() * 8,
            What::Ended { messages, .. } => 64 + messages.len() * 8,
            What::Results(results) => results.len() * 96,
            What::Statuses(reports) => reports.iter().map(StatusReport::weight).sum(),
            What::PartResults { results, .. } => results.len() * 96,
            What::PartStatuses { statuses, .. } => statuses.iter().map(StatusReport::weight).sum(),
            What::PartClaim { ranges, .. }
            | What::PartReleased { ranges, .. }
            | What::PartParked { ranges, .. }
            | What::PartDeferred { ranges, .. }
            | What::PartResolved { ranges, .. }
            | What::PartEnded { ranges, .. } => ranges.len() * 8,
            What::Frozen(frozen) => 128 + frozen.parts.len() * 16,
            What::PartStarted(start) => 128 + start.chunks.len() * 48,
            What::Obeyed { parts, .. } => parts.len() * 5,
            _ => 160,
        }
    }
}
