//! What the provider says of a message: its answer to the call, and its reports afterwards. Not the states these lead to.

use crate::beside::REST_BYTES;
use crate::cause::Cause;
use crate::outgoing::Words;
use crate::pricing::Pricing;
use crate::status::Status;
use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;

/// By estimate, what a report takes without what else it says, and what those of one entry may take together.
pub(super) const REPORT_BYTES: usize = 112;
const BATCH_BYTES: usize = 256 * REPORT_BYTES;

/// Characters of the provider's words that are told.
const WORDS_MAX: usize = 512;

/// What a call to the provider came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken, under this provider id.
    Accepted(Arc<str>),
    /// Refused for good.
    Failed(Cause),
    /// Refused for now; due again then.
    Retry {
        /// Not before.
        due: Timestamp,
        /// Why it was refused.
        cause: Cause,
    },
    /// Not known.
    Ambiguous,
}

/// One status of the provider, for a message or a recipient's index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport<K> {
    /// Which message.
    pub of: K,
    /// Its new status.
    pub status: Status,
    /// When, by the provider's clock.
    pub at: Timestamp,
    /// Why, when failed.
    pub cause: Option<Cause>,
    /// The provider's id, when it says so.
    pub provider_id: Option<Arc<str>>,
    /// What it costs, when it says so.
    pub pricing: Option<Arc<Pricing>>,
    /// What else it says.
    pub rest: Option<Arc<StatusRest>>,
}

impl<K> StatusReport<K> {
    /// Whether it says what a delivered message costs: the provider says that once, beside `sent` and again here.
    #[must_use]
    pub fn counts_price(&self) -> bool {
        self.pricing.is_some() && matches!(self.status, Status::Delivered | Status::Read | Status::Played)
    }

    /// Whether it says more of a sent message than that it is sent. The provider says that once, and not again later.
    #[must_use]
    pub fn details_sent(&self) -> bool {
        self.status == Status::Sent && self.rest.is_some()
    }

    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> usize {
        REPORT_BYTES + self.rest.as_ref().map_or(0, |rest| rest.as_str().len())
    }

    /// Cut into what fits into an entry each.
    pub(crate) fn batches(list: &[Self]) -> impl Iterator<Item = &[Self]> {
        let mut bytes = list.first().map_or(0, Self::weight);
        list.chunk_by(move |_, next| {
            bytes += next.weight();
            let fits = bytes <= BATCH_BYTES;
            if !fits {
                bytes = next.weight();
            }
            fits
        })
    }
}

/// What the provider said of a message's status beyond what is read: an object in its shape, laid over what is told again in the
/// provider's words. Of it only its words for a failure mean anything here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRest {
    json: Box<str>,
    alone: bool,
}

impl StatusRest {
    /// Under this key stands what the recipient's contact said; no key of a status begins with a space.
    pub const CONTACT: &str = " contact";

    /// The pieces of an object, each with its JSON as it came, as far as they fit into [`REST_BYTES`]; `None` when nothing is left.
    pub fn of<'a>(pieces: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut json = String::new();
        for (key, value) in pieces {
            let key = Value::from(key).to_string();
            if json.len() + key.len() + value.len() + 3 <= REST_BYTES {
                json.push(if json.is_empty() { '{' } else { ',' });
                json.extend([&key, ":", value]);
            }
        }
        (!json.is_empty()).then(|| Self::stored(&(json + "}"), false))
    }

    /// What was stored.
    #[must_use]
    pub fn stored(json: &str, alone: bool) -> Self {
        Self { json: json.into(), alone }
    }

    /// The same, of a status that was told without it before.
    #[must_use]
    pub fn alone(&self) -> Self {
        Self { alone: true, ..self.clone() }
    }

    /// Whether only this is news: the status itself was told before, as the answer to the call tells that a message is sent.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Its JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.json
    }

    /// Read.
    #[must_use]
    pub fn read(&self) -> Map<String, Value> {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// The most telling of the provider's words for a failure.
    #[must_use]
    pub fn words(&self) -> Option<Words> {
        let read = self.read();
        let error = read.get("errors")?.get(0)?;
        let said = [&error["error_data"]["details"], &error["message"], &error["title"]];
        let detail = said.into_iter().find_map(|said| said.as_str().filter(|said| !said.is_empty()))?;
        Some(Words { detail: detail.chars().take(WORDS_MAX).collect(), trace: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;

    #[test]
    fn what_else_is_said_is_kept_as_far_as_there_is_room_and_an_entry_takes_what_fits() {
        let long = Value::from("w".repeat(1_500)).to_string();
        let pieces = [("a", "1"), ("long", &*long), ("longer", &*long), ("b\"", "[2]")];
        let rest = StatusRest::of(pieces).unwrap();
        assert_eq!(rest.as_str(), format!(r#"{{"a":1,"long":{long},"b\"":[2]}}"#));
        assert_eq!(rest.read().len(), 3);
        assert_eq!(StatusRest::of([("huge", &*"9".repeat(REST_BYTES))]), None);
        let report = |rest: Option<&StatusRest>| StatusReport {
            of: MessageId(1),
            status: Status::Sent,
            at: Timestamp(0),
            cause: None,
            provider_id: None,
            pricing: None,
            rest: rest.cloned().map(Arc::new),
        };
        let list: Vec<_> = (0..600).map(|nth| report((nth >= 300).then_some(&rest))).collect();
        let cut: Vec<usize> = StatusReport::batches(&list).map(<[_]>::len).collect();
        assert_eq!(cut[0], 256);
        assert!(cut.iter().sum::<usize>() == 600 && cut[2..].iter().all(|count| *count <= 17), "{cut:?}");
        assert!(StatusReport::<MessageId>::batches(&[]).next().is_none());
    }

    #[test]
    fn the_words_for_a_failure_are_the_most_telling_ones() {
        let words = |errors: &str| StatusRest::of([("errors", errors)])?.words().map(|words| words.detail);
        let all = r#"[{"code":1,"title":"t","message":"m","error_data":{"details":"d"}}]"#;
        assert_eq!(words(all).as_deref(), Some("d"));
        assert_eq!(words(r#"[{"title":"t","message":""}]"#).as_deref(), Some("t"));
        assert_eq!(words(r#"["t"]"#), None);
        assert_eq!(words("[]"), None);
        let long = format!(r#"[{{"title":"{}"}}]"#, "w".repeat(600));
        assert_eq!(words(&long).map(|words| words.len()), Some(WORDS_MAX));
    }
}
