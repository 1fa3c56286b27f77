//! What stands beside a received message's content: forwarded, the product it asks about, the advertisement it came from,
//! the names its sender goes by, and whatever else the provider said that has no place of its own; beside one that is sent, who
//! its recipient must still be. Not the content, and not the quoted message, which every message may have.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Bytes of a referral or a product's reference that are kept as they came.
pub const PIECE_BYTES: usize = 4 * 1024;
/// Bytes that are kept of what has no place of its own.
pub const REST_BYTES: usize = 2 * 1024;
/// What is kept of a referral that is longer.
const REFERRAL_KEYS: [&str; 4] = ["source_id", "source_type", "source_url", "ctwa_clid"];

/// What stands beside a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// It was forwarded.
    #[serde(default, skip_serializing_if = "is_not")]
    pub forwarded: bool,
    /// It was forwarded more than five times.
    #[serde(default, skip_serializing_if = "is_not")]
    pub frequently_forwarded: bool,
    /// The catalogue's product it asks about, in Meta's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referred_product: Option<Value>,
    /// The advertisement or post the person came from, in Meta's shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Value>,
    /// The name the person chose at WhatsApp; it may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of a message that is sent: the provider's hash of who the recipient must still be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_identity_key_hash: Option<Arc<str>>,
    /// What has no place of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Box<Rest>>,
}

/// What the provider said of a message and its sender beyond what is read, in the provider's shape and places: it is laid over
/// what is told again in the provider's words, and means nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Of the message's object.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub message: Map<String, Value>,
    /// Of the sender's contact.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub contact: Map<String, Value>,
}

impl Rest {
    /// As far as it fits into so many bytes, key by key; `None` when nothing is left.
    fn within(self, mut room: usize) -> Option<Box<Self>> {
        let mut fit = |map: Map<String, Value>| -> Map<String, Value> {
            map.into_iter()
                .filter(|(key, value)| {
                    let bytes = key.len() + value.to_string().len() + 4;
                    let fits = bytes <= room;
                    room -= if fits { bytes } else { 0 };
                    fits
                })
                .collect()
        };
        let (contact, message) = (fit(self.contact), fit(self.message));
        (!contact.is_empty() || !message.is_empty()).then(|| Box::new(Self { message, contact }))
    }

    /// Lays what was kept over an object that is told again: objects are joined, and what was said stands.
    pub fn lay(over: &mut Map<String, Value>, kept: &Map<String, Value>) {
        for (key, value) in kept {
            match (over.get_mut(key), value) {
                (Some(Value::Object(inner)), Value::Object(kept)) => Self::lay(inner, kept),
                _ => _ = over.insert(key.clone(), value.clone()),
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

impl Beside {
    /// `None` when it says nothing.
    #[must_use]
    pub fn told(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }

    /// With what has no place of its own, as far as there is room: all that stands beside a message is never more than two
    /// pieces, since an entry is bounded.
    #[must_use]
    pub fn with_rest(mut self, rest: Rest) -> Self {
        if rest != Rest::default() {
            let taken = |piece: &Option<Value>| piece.as_ref().map_or(0, |piece| piece.to_string().len());
            let left =
                (2 * PIECE_BYTES).saturating_sub(taken(&self.referral) + taken(&self.referred_product));
            self.rest = rest.within(left.min(REST_BYTES));
        }
        self
    }

    /// Whether it says anything that has a place of its own.
    #[must_use]
    pub fn is_read(&self) -> bool {
        let Self { forwarded, frequently_forwarded, referred_product, referral, username, .. } = self;
        *forwarded
            || *frequently_forwarded
            || referred_product.is_some()
            || referral.is_some()
            || username.is_some()
    }

    /// A piece in Meta's shape as far as it is kept.
    #[must_use]
    pub fn piece(value: Value) -> Option<Value> {
        let Value::Object(map) = value else { return None };
        let whole = Value::Object(map);
        if whole.to_string().len() <= PIECE_BYTES {
            return Some(whole);
        }
        let short = |key: &str| whole.get(key).filter(|v| v.to_string().len() <= PIECE_BYTES / 8).cloned();
        let kept = REFERRAL_KEYS.iter().filter_map(|key| Some(((*key).to_owned(), short(key)?)));
        Some(Value::Object(kept.collect()))
    }
}

/// A referral with when it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referral {
    /// In Meta's shape.
    pub referral: Value,
    /// When the person wrote, by the provider's clock.
    pub at: Timestamp,
}

/// What a conversation knows of where its person came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Referrals {
    /// The first.
    pub first: Referral,
    /// The last; the same while there was one.
    pub last: Referral,
}

impl Referrals {
    /// Takes one more over; one that came late changes the first or nothing.
    pub fn join(slot: &mut Option<Box<Self>>, referral: &Value, at: Timestamp) {
        let one = Referral { referral: referral.clone(), at };
        match slot {
            None => *slot = Some(Box::new(Self { first: one.clone(), last: one })),
            Some(known) if at < known.first.at => known.first = one,
            Some(known) if at >= known.last.at => known.last = one,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_and_the_last_referral_stay_whatever_the_order() {
        let one = |n: i64| (json!({"source_id": n.to_string()}), Timestamp(n));
        for order in [[1, 2, 3], [3, 1, 2], [2, 3, 1], [3, 2, 1]] {
            let mut slot = None;
            for n in order {
                let (referral, at) = one(n);
                Referrals::join(&mut slot, &referral, at);
                Referrals::join(&mut slot, &referral, at);
            }
            let known = slot.unwrap();
            assert_eq!((known.first.at, known.last.at), (Timestamp(1), Timestamp(3)), "{order:?}");
        }
    }

    #[test]
    fn a_long_piece_keeps_what_names_it() {
        let short = json!({"source_id": "1", "headline": "Sepatu"});
        assert_eq!(Beside::piece(short.clone()), Some(short));
        let long = json!({"source_id": "1", "ctwa_clid": "c".repeat(9_000), "body": "x".repeat(9_000)});
        assert_eq!(Beside::piece(long), Some(json!({"source_id": "1"})));
        assert_eq!(Beside::piece(json!("text")), None);
        assert_eq!(Beside::default().told(), None);
        assert_eq!(serde_json::to_string(&Beside::default()).unwrap(), "{}");
    }

    #[test]
    fn what_has_no_place_is_kept_as_far_as_there_is_room_and_laid_over_what_is_told() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let long = "x".repeat(REST_BYTES);
        let rest = Rest {
            message: object(json!({"identity": {"hash": "h"}, "image": {"of_2030": 1}, "long": long})),
            contact: object(json!({"identity_key_hash": "k"})),
        };
        let kept = Beside::default().with_rest(rest.clone()).rest.unwrap();
        assert_eq!(kept.contact, rest.contact);
        assert_eq!(kept.message, object(json!({"identity": {"hash": "h"}, "image": {"of_2030": 1}})));
        let mut told = object(json!({"id": "1", "image": {"id": "2"}}));
        Rest::lay(&mut told, &kept.message);
        let whole = json!({"id": "1", "identity": {"hash": "h"}, "image": {"id": "2", "of_2030": 1}});
        assert_eq!(Value::Object(told), whole);
        // Two pieces that are as long as may be leave no room.
        let piece = Some(json!({"source_id": "x".repeat(PIECE_BYTES - 16)}));
        let full = Beside { referral: piece.clone(), referred_product: piece, ..Beside::default() };
        let small = Rest { contact: object(json!({"a": "x".repeat(64)})), ..Rest::default() };
        assert_eq!(full.clone().with_rest(small), full);
        assert!(full.is_read() && !Beside { rest: Some(kept), ..Beside::default() }.is_read());
    }
}
