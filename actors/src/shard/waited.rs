//! Messages and recipients that wait for a moment of their own, counted by what they wait for as their entries go to the
//! journal. What waits its turn in the queue is not here: that is a hold of its number.

use crate::metrics;
use kabar_engine::entry::{Entry, Outcome, What};
use std::sync::Arc;

/// Accepted for later.
const START: &str = "start";
/// Until the hours of its campaign open again.
const HOURS: &str = "hours";

/// Counts what begins to wait with these entries.
pub(super) fn count(entries: &[Arc<Entry>]) {
    entries.iter().for_each(|entry| each(entry, metrics::waits));
}

/// Tells of an entry what begins to wait with it: for what, and how many.
fn each(entry: &Entry, mut tell: impl FnMut(&'static str, u64)) {
    let mut put_back = |outcome: &Outcome| {
        if let Outcome::Retry { cause, .. } = outcome {
            tell(cause.explain().code, 1);
        }
    };
    match &entry.what {
        What::Intent(intent) if intent.due > entry.at => tell(START, 1),
        What::Results(results) => results.iter().for_each(|(_, outcome)| put_back(outcome)),
        What::PartResults { results, .. } => results.iter().for_each(|(_, outcome)| put_back(outcome)),
        What::PartDeferred { ranges, .. } => {
            tell(HOURS, ranges.iter().map(|range| u64::from(range.count)).sum())
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::address::Address;
    use kabar_engine::cause::Cause;
    use kabar_engine::content::Content;
    use kabar_engine::entry::{Intent, Range};
    use kabar_engine::id::{CampaignId, ConversationId, MessageId, SessionId, TenantId};
    use kabar_engine::pacing::Lane;
    use kabar_engine::time::Timestamp;
    use std::collections::BTreeMap;

    fn intent(due: i64) -> What {
        let text = serde_json::json!({"type": "text", "text": {"body": "a"}});
        What::Intent(Box::new(Intent {
            id: MessageId(1),
            session: SessionId(2),
            conversation: ConversationId(3),
            to: Address::phone_digits("6281234567890").unwrap(),
            content: Arc::new(Content::from_json(&text).unwrap()),
            lane: Lane::Transactional,
            due: Timestamp(due),
            valid_until: Timestamp(1_000_000),
            context: None,
            idempotency: None,
            by: None,
            tag: None,
            identity: None,
        }))
    }

    #[test]
    fn every_wait_for_a_moment_is_counted_by_what_it_is_for() {
        let retry = |cause| Outcome::Retry { due: Timestamp(9_000), cause };
        let (one, campaign) = (MessageId(1), CampaignId(5));
        let all = [
            intent(1_000),
            intent(1_001),
            What::Results(vec![(one, retry(Cause::PAIR_RATE)), (one, Outcome::Ambiguous)]),
            What::Results(vec![(one, Outcome::Failed(Cause::PAIR_RATE))]),
            What::PartResults {
                campaign,
                results: vec![
                    (1, retry(Cause(130_429))),
                    (2, retry(Cause::PAIR_RATE)),
                    (3, Outcome::Ambiguous),
                ],
            },
            What::PartDeferred {
                campaign,
                due: Timestamp(9_000),
                ranges: vec![Range { first: 4, count: 3 }, Range { first: 9, count: 1 }],
            },
        ];
        let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
        for what in all {
            let entry = Entry { tenant: TenantId(1), at: Timestamp(1_000), what };
            each(&entry, |cause, count| *counted.entry(cause).or_default() += count);
        }
        assert_eq!(counted, BTreeMap::from([(HOURS, 4), (START, 1), ("pair_rate", 2), ("throughput", 1)]));
    }
}
