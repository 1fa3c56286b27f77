//! Texts with alternatives: `kabar_engine::spintax`.

use super::template::{bounded, literal, refused};
use super::{about, kind, words_of};
use kabar_engine::spintax::{Draw, parse};
use std::collections::HashMap;

pub(super) const WORDS: &[&str] = &[
    "{",
    "|",
    "}",
    "{{",
    "}}",
    "{a|b}",
    "{a|{b|c}}",
    "{{a|b}|c}",
    "{{{name}}|you}",
    "{{name}}",
    "\\{",
    "\\|",
    "\\}",
    "\\\\",
    "|default:\"",
    "\"}}",
    "{|}",
    "{||}",
    "{a|b}{c|d}{e|f}{g|h}",
    "|truncate:3}}",
    "ß",
    "\n",
];

/// Seeds a text is rendered with.
const SEEDS: u64 = 6;

/// Any text parses, or is refused with a place inside it; every seed gives one of as many variants as it says there are, the
/// same variant is the same text, and what is escaped is only text.
///
/// # Panics
/// When one of these is not so.
pub fn spintax(data: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(data);
    literal(&text, true);
    let pattern = match parse(&text) {
        Ok(pattern) => pattern,
        Err(error) => {
            refused(&text, &error);
            return kind(("refused", words_of(&error.message)));
        }
    };
    let variants = pattern.variants();
    assert!(variants >= 1);
    if let Some(same) = pattern.as_literal() {
        assert_eq!(variants, 1);
        assert!(same.len() <= text.len() && pattern.variables().is_empty());
    }
    let mut said: HashMap<u64, String> = HashMap::new();
    let lookup = |name: &str| name.starts_with(char::is_alphabetic).then_some("Ana {x|y}");
    let mut missed = false;
    for seed in 0..SEEDS {
        let rendered = pattern.render(seed, &lookup);
        assert_eq!(rendered, pattern.render(seed, &lookup), "a seed says the same again");
        let Ok(rendered) = rendered else {
            missed = true;
            continue;
        };
        bounded(&text, &rendered.text, 9);
        if variants < u64::MAX {
            assert!(rendered.variant < variants, "variant {} of {variants}", rendered.variant);
            let before = said.entry(rendered.variant).or_insert_with(|| rendered.text.clone());
            assert_eq!(*before, rendered.text, "one variant, one text");
        }
    }
    let all = pattern.render(1, &|_| Some("v"));
    assert!(all.is_ok(), "with every value nothing is missing: {all:?}");
    let drawn = Draw::new(variants).below(text.len());
    assert!(drawn < text.len().max(1));
    kind(("read", variants.checked_ilog2(), pattern.variables().len().min(8), missed, about(said.len())))
}
