//! Spintax, `{a|b|{c|d}}`: which alternative a recipient gets. The same campaign and recipient always get the
//! same, on every node and after every restart. Offered as variation of content, not against filters.
//!
//! Not the grammar: alternatives and variables share one, in `template` ([`Pattern`]).

use crate::address::Address;
use crate::id::CampaignId;
use crate::template::{ParseError, Pattern};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Reads a text with alternatives and variables.
///
/// # Errors
/// [`ParseError`] with line and column.
pub fn parse(text: &str) -> Result<Pattern, ParseError> {
    Pattern::parse(text, true)
}

/// The seed of a campaign's message to a recipient: XXH3-64 of the address key, seeded by the campaign. It
/// never changes, for a repeat must say the same.
#[must_use]
pub fn seed(campaign: CampaignId, address: &Address) -> u64 {
    xxh3_64_with_seed(address.key().as_bytes(), campaign.0)
}

/// Draws choices from a seed: SplitMix64, written out here because a library's generator may change.
#[derive(Debug, Clone)]
pub struct Draw {
    state: u64,
}

impl Draw {
    /// Begins at a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `count`, each equally likely; 0 when `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let product = u128::from(mixed) * (count as u128);
        usize::try_from(product >> 64).expect("invariant: the high half is below count")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Variable, escape};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn lookup(name: &str) -> Option<&'static str> {
        (name == "name").then_some("Ana")
    }

    /// Every text that 4,000 seeds give, with its variant.
    fn all(text: &str) -> BTreeMap<String, u64> {
        let pattern = parse(text).unwrap();
        let rendered = (0..4_000).map(|seed| pattern.render(seed, &lookup).unwrap());
        rendered.map(|rendered| (rendered.text, rendered.variant)).collect()
    }

    #[test]
    fn every_alternative_is_reached_and_counted_apart() {
        for (text, expected) in [
            ("plain | text", vec!["plain | text"]),
            ("{a|b|{c|d}}", vec!["a", "b", "c", "d"]),
            ("{{a|b}|c}", vec!["a", "b", "c"]),
            ("{x|}y", vec!["xy", "y"]),
            ("{Hi {{name}}|Hello}", vec!["Hello", "Hi Ana"]),
            ("{{{name}}|you}", vec!["Ana", "you"]),
            ("{{gone|default:\"a}b|c\"}}", vec!["a}b|c"]),
            ("{1|2}{3|4}", vec!["13", "14", "23", "24"]),
            ("\\{a\\|b\\} {c\\||d\\\\}", vec!["{a|b} c|", "{a|b} d\\"]),
            ("\\\\{a|b}", vec!["\\a", "\\b"]),
            ("C:\\dir", vec!["C:\\dir"]),
        ] {
            let found = all(text);
            assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), expected, "{text}");
            let variants: BTreeSet<u64> = found.values().copied().collect();
            assert_eq!(variants, (0..expected.len() as u64).collect(), "{text}");
            assert_eq!(parse(text).unwrap().variants(), expected.len() as u64, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        for (text, error) in [
            ("a {b|c", "line 1, column 3: this { is not closed: write {a|b}, or \\{ for a plain brace"),
            ("a\n b} c", "line 2, column 3: this } closes nothing: write \\} for a plain one"),
            (
                "{name}",
                "line 1, column 1: one alternative is no choice: write {a|b}, {{name}} for a variable, or \\{ for a plain brace",
            ),
            (
                "{a|{{name|titel}}}",
                "line 1, column 11: unknown filter `titel`: use default:\"…\", title, capitalize, upper, lower, trim, first_word or truncate:N",
            ),
            (
                "{{name",
                "line 1, column 1: the variable is not closed: write {{name}}, or \\{{ for two braces",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), error, "{text}");
        }
        let nested = |depth| format!("{}x{}", "{a|".repeat(depth), "}".repeat(depth));
        assert_eq!(parse(&nested(16)).unwrap().variants(), 17);
        assert!(parse(&nested(17)).unwrap_err().message.contains("deeper than 16"));
    }

    #[test]
    fn the_count_of_variants_saturates() {
        assert_eq!(parse(&"{a|b}".repeat(63)).unwrap().variants(), 1 << 63);
        assert_eq!(parse(&"{a|b}".repeat(200)).unwrap().variants(), u64::MAX);
    }

    #[test]
    fn variables_in_alternatives_are_found() {
        let pattern = parse("{Hi {{name}}|Dear {{title|default:\"customer\"}}} {{name}}").unwrap();
        let variable = |name: &str, has_default| Variable { name: name.to_owned(), has_default };
        assert_eq!(pattern.variables(), [variable("name", false), variable("title", true)]);
    }

    #[test]
    fn choices_are_golden() {
        // A running campaign of an older version must go on with the same choices.
        let address = Address::phone_digits("6281234567890").unwrap();
        assert_eq!(seed(CampaignId(7), &address), GOLDEN_SEED);
        // The reference's first number for this seed, less one by the reduction.
        assert_eq!(Draw::new(1_234_567).below(usize::MAX), 6_457_827_717_110_365_316);
        let pattern = parse("{0|1|2|3|4|5|6|7|8|9}").unwrap();
        let chosen: String = (0..10).map(|seed| pattern.render(seed, &lookup).unwrap().text).collect();
        assert_eq!(chosen, GOLDEN_CHOICES);
    }
    const GOLDEN_SEED: u64 = 9_383_749_081_389_943_430;
    const GOLDEN_CHOICES: &str = "8551437366";

    #[test]
    fn recipients_are_spread_evenly() {
        let mut counts = [0_u32; 4];
        for number in 0..8_000_u64 {
            let address = Address::phone_digits(&(628_120_000_000 + number).to_string()).unwrap();
            counts[Draw::new(seed(CampaignId(1), &address)).below(4)] += 1;
        }
        assert!(counts.iter().all(|count| (1_850..2_150).contains(count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_renders_are_repeatable(
            text in "[\\PC\n]{0,60}", braces in "[{}|\\\\\"ab]{0,60}", seed: u64,
        ) {
            for text in [text, braces] {
                if let Ok(pattern) = parse(&text) {
                    let first = pattern.render(seed, &lookup);
                    prop_assert_eq!(&first, &pattern.render(seed, &lookup));
                    if let Ok(rendered) = first {
                        prop_assert!(rendered.variant < pattern.variants());
                    }
                }
            }
        }

        #[test]
        fn an_escaped_literal_renders_to_itself(text in "[\\PC\n]{0,40}", braces in "[{}|\\\\a]{0,40}", seed: u64) {
            for text in [text, braces] {
                let rendered = parse(&escape(&text, true)).unwrap().render(seed, &lookup).unwrap();
                prop_assert_eq!(rendered.text, text);
            }
        }
    }
}
