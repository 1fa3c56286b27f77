//! Kabar's own variables in texts: `{{name}}`, `{{name|default:"friend"|title}}`, and `\{{` for two braces.
//! [`Pattern`] adds spintax, [`ContentPattern`] works over a whole content.
//!
//! Not Meta's templates: those are approved texts with parameters, and a parameter's value may be a pattern.

mod content_pattern;
mod filter;
mod pattern;
mod syntax;

pub use content_pattern::{ContentPattern, PatternError};
pub use pattern::{Pattern, Rendered};

/// Where a text cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong and what to write.
    pub message: String,
}

/// A variable without value and without default.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the variable `{name}` has no value and no default")]
pub struct MissingVariable {
    /// Its name as written.
    pub name: String,
}

/// A variable that a text uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name: letters, digits, `_ . -` and single spaces.
    pub name: String,
    /// Whether every use of it has a default, so that it cannot be missing.
    pub has_default: bool,
}

/// A text with variables and without spintax: single braces are plain characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Pattern);

impl Template {
    /// Reads a text of at most 64 KiB.
    ///
    /// # Errors
    /// [`ParseError`] with line and column.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Pattern::parse(text, false).map(Self)
    }

    /// The variables in order of first use, each once.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        self.0.variables()
    }

    /// Fills the variables in. `lookup` gives a value by its name; a blank value counts as none.
    ///
    /// # Errors
    /// [`MissingVariable`] for the first one without value and default.
    pub fn render<'v>(&self, lookup: &dyn Fn(&str) -> Option<&'v str>) -> Result<String, MissingVariable> {
        self.0.render(0, lookup).map(|rendered| rendered.text)
    }
}

/// Writes `text` so that it parses to exactly itself, with or without spintax.
#[must_use]
pub fn escape(text: &str, spintax: bool) -> String {
    syntax::escape(text, spintax)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<&'static str> {
        match name {
            "name" => Some("ana MARIA"),
            "first name" => Some("Budi"),
            "1" => Some("one"),
            "blank" => Some("  "),
            _ => None,
        }
    }

    fn render(text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|error| error.to_string())?;
        template.render(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_and_filters_are_filled_in() {
        for (text, expected) in [
            ("", ""),
            ("Hi", "Hi"),
            ("Hi {{name}}!", "Hi ana MARIA!"),
            ("{{ name }}{{1}}", "ana MARIAone"),
            ("{{first name}}", "Budi"),
            ("{{name|title}}", "Ana Maria"),
            ("{{name|upper}} {{ name | lower }}", "ANA MARIA ana maria"),
            ("{{name|capitalize}}", "Ana MARIA"),
            ("{{name|first_word|upper}}", "ANA"),
            ("{{name|truncate:5}}", "ana…"),
            ("{{name|truncate:50}}", "ana MARIA"),
            ("{{blank|trim|default:\"x\"}}", "x"),
            ("{{gone|default:\"friend\"}}", "friend"),
            ("{{gone|default:\"friend\"|upper}}", "FRIEND"),
            ("{{gone|default:\"a \\\"b\\\" }} | c\"}}", "a \"b\" }} | c"),
            ("{{gone|default:\"\"}}.", "."),
            ("{{name|default:\"friend\"}}", "ana MARIA"),
            ("\\{{name}}", "{{name}}"),
            ("\\\\{{1}}", "\\one"),
            ("a { b | c } \\ \\n", "a { b | c } \\ \\n"),
            ("{{{1}}}", "{one}"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert_eq!(render("{{gone}}"), Err("the variable `gone` has no value and no default".to_owned()));
        assert!(render("{{blank}}").is_err());
    }

    #[test]
    fn mistakes_are_named_with_line_and_column() {
        for (text, error) in [
            (
                "Hi {{name",
                "line 1, column 4: the variable is not closed: write {{name}}, or \\{{ for two braces",
            ),
            (
                "a\nbé {{}}",
                "line 2, column 6: a variable needs a name: write {{name}}, or \\{{ for two braces",
            ),
            (
                "{{na$me}}",
                "line 1, column 5: `$` cannot stand in a variable's name: use letters, digits, _ . - and spaces",
            ),
            (
                "{{name|titel}}",
                "line 1, column 8: unknown filter `titel`: use default:\"…\", title, capitalize, upper, lower, trim, first_word or truncate:N",
            ),
            ("{{name|default}}", "line 1, column 8: default needs a text: default:\"friend\""),
            ("{{name|default:friend}}", "line 1, column 8: default needs a text: default:\"friend\""),
            ("{{name|default:\"friend}}", "line 1, column 16: the text in quotes is not closed"),
            ("{{name|truncate:0}}", "line 1, column 8: truncate needs a length from 1 to 4096: truncate:20"),
            ("{{name|upper:3}}", "line 1, column 8: `upper` takes no argument"),
        ] {
            assert_eq!(render(text), Err(error.to_owned()), "{text}");
        }
        let long = Template::parse(&"x".repeat(65_537)).unwrap_err();
        assert!(long.message.contains("64 KiB"));
    }

    #[test]
    fn variables_stand_once_and_have_a_default_only_when_every_use_has() {
        let template =
            Template::parse("{{b}} {{a|default:\"x\"}} {{b|default:\"y\"}} {{a|default:\"\"}}").unwrap();
        let variable = |name: &str, has_default| Variable { name: name.to_owned(), has_default };
        assert_eq!(template.variables(), [variable("b", false), variable("a", true)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[\\PC\n]{0,60}", braces in "[{}|\\\\\"a: \n]{0,60}") {
            for text in [text, braces] {
                if let Ok(template) = Template::parse(&text) {
                    prop_assert_eq!(template.render(&lookup), template.render(&lookup));
                }
            }
        }

        #[test]
        fn an_escaped_literal_renders_to_itself(text in "[\\PC\n]{0,40}", braces in "[{}|\\\\\"a]{0,40}") {
            for text in [text, braces] {
                prop_assert_eq!(render(&escape(&text, false)), Ok(text));
            }
        }

        #[test]
        fn a_value_is_never_read_as_a_pattern(value in "[{}|\\\\a]{1,20}") {
            let template = Template::parse("<{{x|default:\"-\"}}>").unwrap();
            let rendered = template.render(&|_| Some(value.as_str())).unwrap();
            prop_assert_eq!(rendered, format!("<{value}>"));
        }
    }
}
