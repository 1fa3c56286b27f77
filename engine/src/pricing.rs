//! What the provider says a message costs: model, kind and category of its price, never an amount. Not a price book.

use std::borrow::Cow;

/// Words the provider is known to use: they cost no memory each.
const WORDS: [&str; 19] = [
    "PMP",
    "CBP",
    "regular",
    "free_customer_service",
    "free_entry_point",
    "marketing",
    "marketing_lite",
    "utility",
    "authentication",
    "authentication_international",
    "authentication-international",
    "service",
    "referral_conversion",
    "general_purpose_ai",
    "business_initiated",
    "user_initiated",
    "group_marketing",
    "group_utility",
    "group_service",
];
/// Most characters of another word.
const WORD_CHARS: usize = 40;

/// A word of the provider's; empty when it said none.
type Word = Cow<'static, str>;

/// The price of a message in the provider's words. Words that are not known are kept as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pricing {
    /// Whether it is charged; the provider means to stop saying so.
    pub billable: Option<bool>,
    /// `PMP`: per message.
    pub model: Word,
    /// `regular`, `free_customer_service`, `free_entry_point`.
    pub kind: Word,
    /// `marketing`, `utility`, `authentication`, `service`, …
    pub category: Word,
    /// What began the conversation, where it is told: `referral_conversion` after a click on an advertisement.
    pub origin: Word,
}

impl Pricing {
    /// One of the provider's words; what no word can hold is left out.
    #[must_use]
    pub fn word(text: &str) -> Word {
        if let Some(known) = WORDS.iter().find(|word| **word == text) {
            return Cow::Borrowed(known);
        }
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
        Cow::Owned(text.chars().filter(plain).take(WORD_CHARS).collect())
    }

    /// The line it is stored as.
    #[must_use]
    pub fn to_line(&self) -> String {
        let billable = match self.billable {
            Some(true) => "1",
            Some(false) => "0",
            None => "",
        };
        [billable, &self.model, &self.kind, &self.category, &self.origin].join("|")
    }

    /// Reads a stored line.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let parts: Vec<&str> = line.split('|').collect();
        let [billable, model, kind, category, origin] = parts.as_slice() else { return None };
        let billable = match *billable {
            "1" => Some(true),
            "0" => Some(false),
            "" => None,
            _ => return None,
        };
        let [model, kind, category, origin] = [model, kind, category, origin].map(|word| Self::word(word));
        Some(Self { billable, model, kind, category, origin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_pricing_reads_back_from_its_line(
            billable: Option<bool>, model in "\\PC{0,60}", kind in "[a-z_]{0,20}", category in "\\PC{0,9}",
        ) {
            let [model, kind, category] = [model, kind, category].map(|word| Pricing::word(&word));
            let pricing = Pricing { billable, model, kind, category, origin: Pricing::word("service") };
            prop_assert_eq!(Pricing::from_line(&pricing.to_line()), Some(pricing));
        }

        #[test]
        fn other_lines_are_none_and_never_panic(line in "\\PC*") {
            let _ = Pricing::from_line(&line);
        }
    }

    #[test]
    fn known_words_are_not_copied() {
        assert!(WORDS.iter().all(|word| matches!(Pricing::word(word), Cow::Borrowed(_))));
        assert_eq!(Pricing::word("a|b c"), "abc");
    }
}
