//! What the provider said of calls it refused, in its own words: told when somebody asks why, and changes nothing.

use crate::id::CampaignId;
use crate::outgoing::{SendError, Words};
use std::collections::HashSet;

/// Bytes of words in one entry, by estimate: an entry stays below 32 KiB.
const BYTES: usize = 12 * 1024;
/// What a call takes beside its words.
const CALL_BYTES: usize = 16;

/// Words about calls, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// The campaign whose recipients they are about; `None`: messages with a row of their own.
    pub campaign: Option<CampaignId>,
    /// By the message's number or the recipient's index.
    pub calls: Vec<(u64, Words)>,
}

impl Quoted {
    /// The words among results, in as many entries as they need. The same words of many calls take room once.
    #[must_use]
    pub(crate) fn of<'a, T: 'a>(
        campaign: Option<CampaignId>,
        results: impl Iterator<Item = (u64, &'a Result<T, SendError>)>,
    ) -> Vec<Self> {
        let mut list: Vec<Self> = Vec::new();
        let (mut known, mut bytes) = (HashSet::new(), BYTES);
        for (call, result) in results {
            let Some(words) = result.as_ref().err().and_then(SendError::words) else { continue };
            let mut size = CALL_BYTES + words.trace.as_ref().map_or(0, String::len);
            if !known.contains(&words.detail) {
                size += words.detail.len();
            }
            if bytes + size > BYTES {
                known.clear();
                (bytes, size) = (0, size.max(CALL_BYTES + words.detail.len()));
                list.push(Self { campaign, calls: Vec::new() });
            }
            bytes += size;
            known.insert(words.detail.clone());
            if let Some(last) = list.last_mut() {
                last.calls.push((call, words));
            }
        }
        list
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        let (mut known, mut bytes) = (HashSet::new(), 64);
        for (_, words) in &self.calls {
            bytes += CALL_BYTES + words.trace.as_ref().map_or(0, String::len);
            if known.insert(words.detail.as_str()) {
                bytes += words.detail.len();
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;
    use crate::pacing::Throttle;

    fn throttled(detail: &str) -> Result<(), SendError> {
        let words = Some(Box::new(Words { detail: detail.into(), trace: Some("AbC".into()) }));
        Err(SendError::RetryAfter { throttle: Throttle::Pair, after_ms: 0, cause: Cause(131_056), words })
    }

    #[test]
    fn the_same_words_of_a_whole_batch_are_one_entry_and_different_ones_are_cut() {
        let same: Vec<_> = (0..128).map(|_| throttled(&"w".repeat(500))).collect();
        let calls = |results: &[Result<(), SendError>]| {
            let each = results.iter().enumerate().map(|(at, result)| (at as u64, result));
            let list = Quoted::of(None, each);
            assert!(list.iter().all(|quoted| quoted.weight() < 13 * 1024));
            list.iter().map(|quoted| quoted.calls.len()).collect::<Vec<_>>()
        };
        assert_eq!(calls(&same), [128]);
        let different: Vec<_> = (0..128).map(|nth| throttled(&format!("{nth:0500}"))).collect();
        let cut = calls(&different);
        assert!(cut.len() > 4 && cut.iter().sum::<usize>() == 128, "{cut:?}");
    }

    #[test]
    fn who_said_nothing_is_not_quoted() {
        let silent = SendError::RetryAfter {
            throttle: Throttle::Pair,
            after_ms: 5,
            cause: Cause::PAIR_RATE,
            words: None,
        };
        let results: [Result<(), SendError>; 4] =
            [Ok(()), Err(SendError::Ambiguous), Err(silent), Err(SendError::link_lost())];
        assert!(Quoted::of(None, results.iter().map(|result| (1, result))).is_empty());
    }
}
