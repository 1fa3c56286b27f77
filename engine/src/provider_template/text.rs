//! The variables in a template's text: `{{1}}` or `{{first_name}}`. Not the filters and defaults of Kabar's patterns,
//! which Meta does not know.

use std::ops::Range;

/// A variable's place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place<'t> {
    pub(super) name: &'t str,
    pub(super) at: Range<usize>,
}

/// Every variable in the order of the text, a repeated one again.
pub(super) fn places(text: &str) -> Vec<Place<'_>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(open) = text[from..].find("{{") {
        let begin = from + open;
        let Some(close) = text[begin..].find("}}") else { break };
        let end = begin + close + 2;
        found.push(Place { name: text[begin + 2..end - 2].trim(), at: begin..end });
        from = end;
    }
    found
}

/// The variables, each once, in the order they are met.
pub(super) fn names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for place in places(text) {
        if !names.contains(&place.name) {
            names.push(place.name);
        }
    }
    names
}

/// Whether a variable has a number for a name.
pub(super) fn is_number(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a name is one that Meta takes.
pub(super) fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && name.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_order_and_once() {
        assert_eq!(names("Hi {{ 1 }}, {{2}} and {{1}}."), ["1", "2"]);
        assert_eq!(places("a{{x}}")[0].at, 1..6);
        assert!(names("{{open").is_empty() && names("{1}").is_empty());
        assert!(is_name("first_name") && !is_name("First") && !is_name("1st") && !is_name(""));
        assert!(is_number("12") && !is_number("") && !is_number("1a"));
    }
}
