//! What may follow a variable's name: filters, applied from left to right.

use super::ParseError;
use super::syntax::Cursor;
use std::borrow::Cow;

const TRUNCATE_MAX: usize = 4_096;
/// Most characters of a wrong name that are said again.
const NAMED_MAX: usize = 64;

/// One step from a value to what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// Takes the place of a value that is absent or blank.
    Default(Box<str>),
    /// Each word begins with a capital, the rest is small.
    Title,
    /// The first letter becomes a capital, the rest stays.
    Capitalize,
    Upper,
    Lower,
    Trim,
    /// Up to the first space: the first name of a full name.
    FirstWord,
    /// At most so many characters, the last one `…` when something was cut.
    Truncate(usize),
}

impl Filter {
    /// Reads one filter behind its `|`.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        cursor.skip_spaces();
        let begin = cursor.place();
        let name = cursor.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        cursor.skip_spaces();
        let argument = if cursor.take(':') {
            cursor.skip_spaces();
            Some(if cursor.peek() == Some('"') {
                Argument::Quoted(cursor.quoted()?)
            } else {
                Argument::Bare(cursor.take_while(|c| !matches!(c, '|' | '}' | '"' | '\n')).trim())
            })
        } else {
            None
        };
        Self::of(name, argument).map_err(|message| cursor.error_at(begin, message))
    }

    fn of(name: &str, argument: Option<Argument<'_>>) -> Result<Self, String> {
        let plain = match name {
            "default" => {
                return match argument {
                    Some(Argument::Quoted(text)) => Ok(Self::Default(text.into())),
                    _ => Err("default needs a text: default:\"friend\"".to_owned()),
                };
            }
            "truncate" => {
                return match argument.as_ref().and_then(Argument::number) {
                    Some(length @ 1..=TRUNCATE_MAX) => Ok(Self::Truncate(length)),
                    _ => Err(format!("truncate needs a length from 1 to {TRUNCATE_MAX}: truncate:20")),
                };
            }
            "title" => Self::Title,
            "capitalize" => Self::Capitalize,
            "upper" => Self::Upper,
            "lower" => Self::Lower,
            "trim" => Self::Trim,
            "first_word" => Self::FirstWord,
            _ => {
                let name: String = name.chars().take(NAMED_MAX).collect();
                return Err(format!(
                    "unknown filter `{name}`: use default:\"…\", title, capitalize, upper, lower, trim, \
                     first_word or truncate:N"
                ));
            }
        };
        if argument.is_some() { Err(format!("`{name}` takes no argument")) } else { Ok(plain) }
    }

    /// The value after this filter.
    pub(super) fn apply<'v>(&'v self, value: Option<Cow<'v, str>>) -> Option<Cow<'v, str>> {
        if let Self::Default(text) = self {
            return match value {
                Some(value) if !value.trim().is_empty() => Some(value),
                _ => Some(Cow::Borrowed(text)),
            };
        }
        let value = value?;
        Some(match self {
            Self::Default(_) => value,
            Self::Title => Cow::Owned(title(&value)),
            Self::Capitalize => {
                let mut letters = value.chars();
                let first = letters.next();
                Cow::Owned(first.into_iter().flat_map(char::to_uppercase).chain(letters).collect())
            }
            Self::Upper => Cow::Owned(value.to_uppercase()),
            Self::Lower => Cow::Owned(value.to_lowercase()),
            Self::Trim => Cow::Owned(value.trim().to_owned()),
            Self::FirstWord => Cow::Owned(value.split_whitespace().next().unwrap_or_default().to_owned()),
            Self::Truncate(length) => match value.char_indices().nth(*length) {
                None => value,
                Some(_) => {
                    let kept: String = value.chars().take(length - 1).collect();
                    Cow::Owned(format!("{}…", kept.trim_end()))
                }
            },
        })
    }
}

enum Argument<'a> {
    Quoted(String),
    Bare(&'a str),
}

impl Argument<'_> {
    fn number(&self) -> Option<usize> {
        match self {
            Self::Bare(text) => text.parse().ok(),
            Self::Quoted(_) => None,
        }
    }
}

fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && c.is_alphanumeric() {
            titled.extend(c.to_uppercase());
        } else {
            titled.extend(c.to_lowercase());
        }
        // `o'neil-smith` has three beginnings, `it's` would have two: an apostrophe begins nothing.
        begins = !(c.is_alphanumeric() || matches!(c, '\'' | '\u{2019}'));
    }
    titled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_a_capital() {
        for (text, expected) in
            [("SITI nur-aini", "Siti Nur-Aini"), ("it's", "It's"), ("éva", "Éva"), ("", "")]
        {
            assert_eq!(title(text), expected);
        }
    }

    #[test]
    fn a_wrong_name_is_said_again_up_to_its_beginning() {
        let said = Filter::of(&"n".repeat(60_000), None).unwrap_err();
        assert!(said.contains(&format!("`{}`", "n".repeat(NAMED_MAX))) && said.len() < 300, "{said}");
    }

    #[test]
    fn a_cut_text_is_never_longer_than_asked() {
        for length in 1..12 {
            let filter = Filter::Truncate(length);
            let cut = filter.apply(Some(Cow::Borrowed("häß öä x"))).unwrap();
            assert!(cut.chars().count() <= length);
        }
    }
}
