//! Texts with variables: `kabar_engine::template`, alone and over a whole content.

use super::{about, kind, words_of};
use kabar_engine::content::Content;
use kabar_engine::template::{ContentPattern, ParseError, Template, escape};
use std::collections::HashSet;

pub(super) const WORDS: &[&str] = &[
    "{{",
    "}}",
    "{{{",
    "\\{{",
    "\\\\",
    "{{name}}",
    "{{ name | title }}",
    "|default:\"",
    "\"}}",
    "|upper",
    "|lower",
    "|capitalize",
    "|trim",
    "|first_word",
    "|truncate:",
    "|truncate:1}}",
    "|truncate:4096}}",
    "\\\"",
    "ß",
    "ŉ",
    "İ",
    "ﬃ",
    "{\"type\":\"text\",\"text\":{\"body\":\"",
    "{\"type\":\"template\",\"template\":{",
    "\"components\":[",
    "\"parameters\":[",
];

/// Longest text that is read.
const TEXT_MAX: usize = 64 * 1024;

/// Any text parses, or is refused with a place inside it; what parses renders the same twice, misses exactly the variables
/// that it says it needs, never reads a value as a pattern, and stays as large as its text and values allow.
///
/// # Panics
/// When one of these is not so.
pub fn template(data: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(data);
    literal(&text, false);
    whole(&text);
    let template = match Template::parse(&text) {
        Ok(template) => template,
        Err(error) => {
            refused(&text, &error);
            return kind(("refused", words_of(&error.message)));
        }
    };
    let variables = template.variables();
    let mut names = HashSet::new();
    for variable in &variables {
        assert!(variable.name.chars().count() <= 64 && variable.name.trim() == variable.name);
        assert!(names.insert(variable.name.as_str()), "a variable stands once");
    }
    let none = template.render(&|_| None);
    assert_eq!(none, template.render(&|_| None), "repeatable");
    let needed = variables.iter().find(|variable| !variable.has_default);
    match (&none, needed) {
        (Err(missing), Some(needed)) => assert_eq!(missing.name, needed.name, "the first one is named"),
        (Ok(rendered), None) => bounded(&text, rendered, 0),
        other => panic!("what is needed and what is missed differ: {other:?}"),
    }
    // Braces and escapes in a value are only text.
    let value = "{{name}} \\{ßŉ|x}";
    let filled = template.render(&|_| Some(value)).expect("every variable has a value");
    bounded(&text, &filled, value.len());
    kind((
        "read",
        about(variables.len()),
        none.is_ok(),
        about(filled.len()),
        filled == none.unwrap_or_default(),
    ))
}

/// A refusal names a place inside the text and says something.
pub(super) fn refused(text: &str, error: &ParseError) {
    let line = text.split('\n').nth(error.line as usize - 1).expect("the line is in the text");
    let columns = line.chars().count() + 1;
    assert!((1..=columns).contains(&(error.column as usize)), "column {} of {columns}", error.column);
    assert!(!error.message.is_empty() && error.message.len() <= 4 * TEXT_MAX);
    assert!(error.message.chars().count() <= 512, "a message of {} bytes", error.message.len());
}

/// Nothing grows beyond what a change of case can triple, and its uses of values.
pub(super) fn bounded(text: &str, rendered: &str, value: usize) {
    // The shortest use of a variable has five bytes.
    let most = 9 * text.len() + (text.len() / 5 + 1) * 9 * value;
    assert!(rendered.len() <= most, "{} bytes of {} and {value}", rendered.len(), text.len());
}

/// A text that is escaped is only text.
pub(super) fn literal(text: &str, spintax: bool) {
    let escaped = escape(text, spintax);
    if escaped.len() > TEXT_MAX {
        return;
    }
    let again = if spintax {
        let pattern = kabar_engine::spintax::parse(&escaped).expect("an escaped text parses");
        pattern.render(7, &|_| None).expect("it has no variables").text
    } else {
        let template = Template::parse(&escaped).expect("an escaped text parses");
        template.render(&|_| None).expect("it has no variables")
    };
    assert_eq!(again, text, "an escaped text is itself");
}

/// A content's JSON as the API takes it; what is none is nothing.
fn whole(text: &str) {
    let Ok(value) = serde_json::from_str(text) else { return };
    let Ok(content) = Content::from_json(&value) else { return };
    let again = Content::from_json(&content.to_json()).expect("a content that was read reads back");
    assert_eq!(again, content);
    let _told = content.validate();
    for spintax in [false, true] {
        let pattern = match ContentPattern::compile(&content, spintax) {
            Ok(pattern) => pattern,
            Err(error) => {
                assert!(!error.path.is_empty() && error.line >= 1 && error.column >= 1);
                continue;
            }
        };
        assert_eq!(pattern.missing(&|_| Some("x")).count(), 0);
        let rendered = pattern.render_counted(11, &|_| Some("x")).expect("every variable has a value");
        assert_eq!(rendered, pattern.render_counted(11, &|_| Some("x")).expect("as before"));
        assert!(rendered.1 < pattern.variants() || pattern.variants() == u64::MAX);
        assert_eq!(rendered.0.kind(), content.kind(), "the kind stays");
    }
}
