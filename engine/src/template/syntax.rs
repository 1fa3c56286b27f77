//! The grammar of patterns: literals, variables and, with spintax, alternatives.
//!
//! ```text
//! text         = ( literal | variable | alternatives )*
//! variable     = "{{" name ( "|" filter )* "}}"
//! alternatives = "{" text ( "|" text )+ "}"            with spintax only
//! ```
//! A run of backslashes before a special character is read in pairs, and an odd one makes the character plain;
//! elsewhere a backslash is plain. Special are `{{`, and with spintax `{`, `|` and `}`.

use super::ParseError;
use super::filter::Filter;

/// Longest text in bytes.
pub(super) const SIZE_MAX: usize = 64 * 1024;
/// Deepest nesting of alternatives.
pub(super) const DEPTH_MAX: usize = 16;
const NAME_MAX: usize = 64;

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(Box<str>),
    Variable(Use),
    Alternatives(Vec<Vec<Piece>>),
}

/// One use of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) name: Box<str>,
    pub(super) filters: Vec<Filter>,
}

impl Use {
    pub(super) fn has_default(&self) -> bool {
        self.filters.iter().any(|filter| matches!(filter, Filter::Default(_)))
    }
}

/// A byte offset in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(usize);

/// Reads a text from left to right.
pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn place(&self) -> Place {
        Place(self.at)
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn take(&mut self, c: char) -> bool {
        let taken = self.peek() == Some(c);
        if taken {
            self.at += c.len_utf8();
        }
        taken
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    pub(super) fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    pub(super) fn skip_spaces(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// A text in quotes; `\"` and `\\` stand for themselves.
    pub(super) fn quoted(&mut self) -> Result<String, ParseError> {
        let begin = self.place();
        self.take('"');
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '"' => return Ok(text),
                '\\' if matches!(self.peek(), Some('"' | '\\')) => text.extend(self.next()),
                _ => text.push(c),
            }
        }
        Err(self.error_at(begin, "the text in quotes is not closed".to_owned()))
    }

    pub(super) fn error_at(&self, place: Place, message: String) -> ParseError {
        let before = self.text.get(..place.0).unwrap_or(self.text);
        let line_begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        ParseError {
            line: count(before.matches('\n').count()),
            column: count(before[line_begin..].chars().count()),
            message,
        }
    }
}

/// Reads a whole text.
pub(super) fn parse(text: &str, spintax: bool) -> Result<Vec<Piece>, ParseError> {
    let mut parser = Parser { cursor: Cursor { text, at: 0 }, spintax };
    if text.len() > SIZE_MAX {
        let message = "the text is longer than 64 KiB: shorten it".to_owned();
        return Err(parser.cursor.error_at(Place(0), message));
    }
    parser.sequence(0)
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    spintax: bool,
}

impl Parser<'_> {
    /// Up to the end of the text, or within alternatives up to a `|` or `}` that is left to the caller.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Piece>, ParseError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        while let Some(c) = self.cursor.peek() {
            let place = self.cursor.place();
            match c {
                '\\' => self.backslashes(&mut literal),
                '{' if self.at_variable() => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(Piece::Variable(self.variable()?));
                }
                '{' if self.spintax => {
                    flush(&mut literal, &mut pieces);
                    pieces.push(self.alternatives(depth)?);
                }
                '|' | '}' if self.spintax && depth > 0 => break,
                '}' if self.spintax => {
                    let message = "this } closes nothing: write \\} for a plain one".to_owned();
                    return Err(self.cursor.error_at(place, message));
                }
                _ => {
                    literal.push(c);
                    self.cursor.next();
                }
            }
        }
        flush(&mut literal, &mut pieces);
        Ok(pieces)
    }

    fn backslashes(&mut self, literal: &mut String) {
        let count = self.cursor.take_while(|c| c == '\\').len();
        let special = if self.spintax {
            matches!(self.cursor.peek(), Some('{' | '|' | '}'))
        } else {
            self.cursor.rest().starts_with("{{")
        };
        if !special {
            literal.extend(std::iter::repeat_n('\\', count));
            return;
        }
        literal.extend(std::iter::repeat_n('\\', count / 2));
        if count % 2 == 1 {
            literal.extend(self.cursor.next());
            // Without spintax the escape is `\{{`: both braces become plain.
            if !self.spintax {
                literal.extend(self.cursor.next());
            }
        }
    }

    /// Whether a variable begins here. `{{{name}}}` is a brace (or alternatives) around a variable, and with
    /// spintax `{{a|b}|c}` are alternatives that begin with alternatives: their first `}` stands alone.
    fn at_variable(&self) -> bool {
        let rest = self.cursor.rest();
        match rest.strip_prefix("{{") {
            None => false,
            Some(inside) if inside.starts_with('{') => false,
            Some(inside) => !self.spintax || closes_as_variable(inside),
        }
    }

    fn variable(&mut self) -> Result<Use, ParseError> {
        let begin = self.cursor.place();
        self.cursor.at += 2;
        self.cursor.skip_spaces();
        let name_begin = self.cursor.place();
        let name = self.cursor.take_while(is_name).trim_end();
        if name.is_empty() && matches!(self.cursor.peek(), Some('|' | '}')) {
            let message = "a variable needs a name: write {{name}}, or \\{{ for two braces".to_owned();
            return Err(self.cursor.error_at(name_begin, message));
        }
        if name.chars().count() > NAME_MAX {
            let message = format!("a variable's name has at most {NAME_MAX} characters");
            return Err(self.cursor.error_at(name_begin, message));
        }
        let mut filters = Vec::new();
        loop {
            self.cursor.skip_spaces();
            let place = self.cursor.place();
            if self.cursor.rest().starts_with("}}") {
                self.cursor.at += 2;
                return Ok(Use { name: name.into(), filters });
            }
            match self.cursor.peek() {
                Some('|') => {
                    self.cursor.next();
                    filters.push(Filter::parse(&mut self.cursor)?);
                }
                None | Some('}' | '{') => {
                    let message =
                        "the variable is not closed: write {{name}}, or \\{{ for two braces".to_owned();
                    return Err(self.cursor.error_at(begin, message));
                }
                Some(c) if filters.is_empty() => {
                    let message = format!(
                        "`{c}` cannot stand in a variable's name: use letters, digits, _ . - and spaces"
                    );
                    return Err(self.cursor.error_at(place, message));
                }
                Some(c) => {
                    let message = format!("`{c}` is not expected here: write | before a filter or }}}}");
                    return Err(self.cursor.error_at(place, message));
                }
            }
        }
    }

    fn alternatives(&mut self, depth: usize) -> Result<Piece, ParseError> {
        let begin = self.cursor.place();
        if depth >= DEPTH_MAX {
            let message = format!("alternatives are nested deeper than {DEPTH_MAX}");
            return Err(self.cursor.error_at(begin, message));
        }
        self.cursor.next();
        let mut list = Vec::new();
        loop {
            list.push(self.sequence(depth + 1)?);
            match self.cursor.next() {
                Some('|') => {}
                Some(_) if list.len() > 1 => return Ok(Piece::Alternatives(list)),
                Some(_) => {
                    let message = "one alternative is no choice: write {a|b}, {{name}} for a variable, or \
                                   \\{ for a plain brace"
                        .to_owned();
                    return Err(self.cursor.error_at(begin, message));
                }
                None => {
                    let message = "this { is not closed: write {a|b}, or \\{ for a plain brace".to_owned();
                    return Err(self.cursor.error_at(begin, message));
                }
            }
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | ' ')
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into_boxed_str()));
    }
}

/// Whether the first `}` after `{{` is doubled, not counting those in quotes. Without any it is a variable
/// that was not closed, and is told so.
fn closes_as_variable(inside: &str) -> bool {
    let bytes = inside.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'}' => return bytes.get(at + 1) == Some(&b'}'),
            b'{' => return false,
            b'"' => at = end_of_quotes(bytes, at).unwrap_or(at),
            _ => {}
        }
        at += 1;
    }
    true
}

/// The place of the quote that closes the one at `begin`; `None` when none does.
fn end_of_quotes(bytes: &[u8], begin: usize) -> Option<usize> {
    let mut at = begin + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at),
            _ => at += 1,
        }
    }
}

/// See [`super::escape`].
pub(super) fn escape(text: &str, spintax: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut chars = text.char_indices();
    let mut backslashes = 0;
    while let Some((at, c)) = chars.next() {
        let special = if spintax { matches!(c, '{' | '|' | '}') } else { text[at..].starts_with("{{") };
        if special {
            escaped.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        escaped.push(c);
        if special && !spintax {
            escaped.extend(chars.next().map(|(_, second)| second));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    escaped
}
