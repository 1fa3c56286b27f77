//! Why a message did not arrive: one catalogue of stable codes, each with whose fault it is, whether a repeat
//! can help, and what to do. Meta's numeric codes are kept; Kabar's own are below 100.
//!
//! Not an HTTP matter: the connectors translate answers into a [`Cause`], the api translates a cause into text.

mod catalogue;

use catalogue::{FAMILIES, FOREIGN, LINES};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Meta's codes below this would be Kabar's own, so they are kept behind [`LOW_BEGIN`].
const LOW: u32 = 100;
/// Where Meta's codes below [`LOW`] are kept: none of Meta's has so many digits.
const LOW_BEGIN: u32 = 10_000_000;
/// "API unknown": a bad request or a fault of its own.
const GRAPH_UNKNOWN: u32 = LOW_BEGIN + 1;

/// A stable numeric code. Below 100 Kabar's own, otherwise Meta's (cloud API error codes); Meta's own below 100 are
/// kept behind ten millions ([`Cause::of_provider`]) and shown as Meta writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(pub u32);

/// Who can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// The person on the other side: not on WhatsApp, opted out, blocked.
    Recipient,
    /// The tenant: content, template, token, payment.
    Sender,
    /// WhatsApp: limits, maintenance, its own errors.
    Provider,
    /// This installation.
    Kabar,
}

/// What the catalogue knows of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// Stable word, e.g. `opted_out`.
    pub code: &'static str,
    /// One sentence.
    pub meaning: &'static str,
    /// Whose fault.
    pub fault: Fault,
    /// Whether the same message can succeed later without a change.
    pub retryable: bool,
    /// What to do.
    pub remedy: &'static str,
}

impl Cause {
    /// Cancelled by the tenant before it was sent.
    pub const CANCELLED: Self = Self(1);
    /// The recipient had opted out when its turn came.
    pub const OPTED_OUT: Self = Self(2);
    /// Free-form content outside the 24-hour window.
    pub const WINDOW_CLOSED: Self = Self(3);
    /// Its content could not be rendered for this recipient.
    pub const RENDER: Self = Self(4);
    /// Tried as often as allowed.
    pub const GAVE_UP: Self = Self(5);
    /// The session has no working credentials.
    pub const LINK_LOST: Self = Self(6);
    /// The provider's answer could not be understood.
    pub const UNREADABLE: Self = Self(7);
    /// Kabar could not build the request.
    pub const INTERNAL: Self = Self(8);
    /// Its session was removed before it was sent.
    pub const SESSION_REMOVED: Self = Self(9);
    /// The media it names is not stored any more.
    pub const MEDIA_GONE: Self = Self(20);
    /// WhatsApp no longer has the media that somebody sent.
    pub const MEDIA_EXPIRED: Self = Self(21);
    /// The media that came is not the one that was announced.
    pub const MEDIA_DAMAGED: Self = Self(22);
    /// WhatsApp does not give the media out.
    pub const MEDIA_WITHHELD: Self = Self(23);
    /// The media is larger than any WhatsApp takes.
    pub const MEDIA_TOO_LARGE: Self = Self(24);
    /// WhatsApp did not take the media it names.
    pub const MEDIA_UPLOAD: Self = Self(131_053);
    /// The template is paused.
    pub const TEMPLATE_PAUSED: Self = Self(132_015);
    /// Too many messages to one person in a short time.
    pub const PAIR_RATE: Self = Self(131_056);
    /// Meta's: the person has had enough marketing of everybody.
    pub const ENOUGH_MARKETING: Self = Self(131_049);

    /// A code of the provider's. Those below 100 mean something else than Kabar's own of the same number.
    #[must_use]
    pub fn of_provider(code: u32) -> Self {
        Self(if code < LOW { LOW_BEGIN + code } else { code })
    }

    /// The number as its owner writes it.
    #[must_use]
    pub fn number(self) -> u32 {
        if (LOW_BEGIN..LOW_BEGIN + LOW).contains(&self.0) { self.0 - LOW_BEGIN } else { self.0 }
    }

    /// Whether it is the provider's, not Kabar's own.
    #[must_use]
    pub fn is_provider(self) -> bool {
        self.0 >= LOW
    }

    /// Whether the catalogue has a line for it.
    #[must_use]
    pub fn is_known(self) -> bool {
        line(LINES, self).is_some()
    }

    /// The catalogue's line; a code that has none is explained by its family.
    #[must_use]
    pub fn explain(self) -> Explanation {
        line(LINES, self).or_else(|| line(FAMILIES, self)).unwrap_or(FOREIGN)
    }

    /// How often a message may be tried that was refused with it, where that is less than its throttle allows.
    #[must_use]
    pub fn most_tries(self) -> Option<u32> {
        match self.0 {
            GRAPH_UNKNOWN => Some(3),
            131_000 => Some(5),
            _ => None,
        }
    }

    /// Every line of the catalogue in order, each under its first code.
    pub fn all() -> impl Iterator<Item = (Self, Explanation)> {
        Self::lines().map(|(codes, e)| (*codes.start(), e))
    }

    /// Every line of the catalogue in order with the codes it is for.
    pub fn lines() -> impl Iterator<Item = (RangeInclusive<Self>, Explanation)> {
        LINES.iter().map(|(first, last, e)| (Self(*first)..=Self(*last), *e))
    }

    /// The codes of the line with this word.
    #[must_use]
    pub fn named(word: &str) -> Option<RangeInclusive<Self>> {
        Self::lines().find(|(_, e)| e.code == word).map(|(codes, _)| codes)
    }
}

/// The line a code is of, in a sorted list.
fn line(list: &[(u32, u32, Explanation)], cause: Cause) -> Option<Explanation> {
    let behind = list.partition_point(|(first, ..)| *first <= cause.0);
    let (_, last, e) = list[..behind].last()?;
    (cause.0 <= *last).then_some(*e)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sorted_and_each_word_stands_once() {
        for list in [LINES, FAMILIES] {
            assert!(list.is_sorted_by(|a, b| a.0 <= a.1 && a.1 < b.0));
        }
        let mut words: Vec<_> = LINES.iter().chain(FAMILIES).map(|(.., e)| e.code).collect();
        words.push(FOREIGN.code);
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), LINES.len() + FAMILIES.len() + 1);
    }

    #[test]
    fn an_unknown_code_is_still_explained() {
        assert_eq!(Cause(424_242).explain().code, "provider_error");
        assert_eq!(Cause(132_999).explain().code, "template_error");
        assert_eq!(Cause(131_999).explain().code, "message_error");
        assert_eq!(Cause::OPTED_OUT.explain().fault, Fault::Recipient);
    }

    #[test]
    fn metas_small_codes_are_not_taken_for_kabars_own() {
        assert_eq!(Cause::of_provider(1).explain().code, "graph_unknown");
        assert_eq!(Cause(1).explain().code, "cancelled");
        for code in [0, 1, 2, 3, 4, 10, 33, 99, 100, 190, 131_049, u32::MAX] {
            let cause = Cause::of_provider(code);
            assert_eq!((cause.number(), cause.is_provider()), (code, true));
        }
        assert!(!Cause::INTERNAL.is_provider());
    }
}
