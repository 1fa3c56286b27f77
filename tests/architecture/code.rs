//! A Rust file as the rules see it: its tokens with their lines, its functions, its attributes and which lines
//! are test code. Not a parser: tokens reach into macros (`proptest!`, `assert!`) where a syntax tree stops, and
//! strings and comments are never mistaken for code.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};

use proc_macro2::{Delimiter, LineColumn, Spacing, TokenStream, TokenTree};

/// One token; `::`, `->`, `=>` and lifetimes are one token each. Lines count from 1.
pub struct Token {
    pub text: String,
    pub line: usize,
    /// Last line of the token: later than `line` for a string over several lines.
    pub last_line: usize,
    /// For an opening delimiter, the index of its closing one.
    pub close: Option<usize>,
}

/// A function with a body, wherever it stands.
pub struct Function {
    pub name: String,
    pub line: usize,
    /// Lines between the braces that hold code; comments and blank lines are not counted.
    pub lines: usize,
    /// Arguments without the receiver; 0 for the bindings of a `proptest!` function, which are none.
    pub arguments: usize,
}

/// The tokens of one file and what was read from them.
pub struct Code {
    pub tokens: Vec<Token>,
    pub functions: Vec<Function>,
    /// Modules declared `#[cfg(test)] mod name;`: their files are test code.
    pub test_modules: Vec<String>,
    test_lines: Vec<RangeInclusive<usize>>,
    whole_file_is_test: bool,
}

impl Code {
    /// Reads `text`; an error is the lexer's message with its line.
    pub fn read(text: &str) -> Result<Self, (usize, String)> {
        let stream: TokenStream = text
            .parse()
            .map_err(|error: proc_macro2::LexError| (error.span().start().line, error.to_string()))?;
        let mut tokens = Vec::new();
        flatten(stream, &mut tokens);
        let mut code = Self {
            tokens,
            functions: Vec::new(),
            test_modules: Vec::new(),
            test_lines: Vec::new(),
            whole_file_is_test: false,
        };
        code.functions = (0..code.tokens.len()).filter_map(|at| code.function_at(at)).collect();
        code.find_test_code();
        Ok(code)
    }

    /// Text of token `at`, empty beyond the end.
    pub fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    /// Text of the token before `at`, empty at the start.
    pub fn before(&self, at: usize) -> &str {
        at.checked_sub(1).map_or("", |previous| self.text(previous))
    }

    /// Index of the delimiter that closes the one at `at`; `at` itself if it opens nothing.
    pub fn closing(&self, at: usize) -> usize {
        self.tokens.get(at).and_then(|token| token.close).unwrap_or(at)
    }

    /// Indices at which the tokens read exactly `pattern`.
    pub fn find<'a>(&'a self, pattern: &'a [&'a str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.tokens.len()).filter(move |at| self.reads(*at, pattern))
    }

    /// Whether the tokens from `at` on read `pattern`.
    pub fn reads(&self, at: usize, pattern: &[&str]) -> bool {
        pattern.iter().enumerate().all(|(offset, text)| self.text(at + offset) == *text)
    }

    /// Whether `line` belongs to a `#[cfg(test)]` item or a `#[test]` function.
    pub fn is_test(&self, line: usize) -> bool {
        self.whole_file_is_test || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// Token ranges of the insides of all attributes, `#[…]` and `#![…]`.
    pub fn attributes(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        (0..self.tokens.len()).filter_map(|at| {
            let open = self.attribute_bracket(at)?;
            Some(open + 1..self.closing(open))
        })
    }

    fn attribute_bracket(&self, at: usize) -> Option<usize> {
        if self.text(at) != "#" {
            return None;
        }
        let open = if self.text(at + 1) == "!" { at + 2 } else { at + 1 };
        (self.text(open) == "[").then_some(open)
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        if self.text(at) != "fn" || !is_ident(self.text(at + 1)) {
            return None;
        }
        let name = self.text(at + 1).to_owned();
        let open = self.after_generics(at + 2);
        if self.text(open) != "(" {
            return None;
        }
        let mut body = self.closing(open) + 1;
        while body < self.tokens.len() && self.text(body) != "{" {
            if self.text(body) == ";" {
                return None; // a signature without a body
            }
            body = self.closing(body) + 1;
        }
        (body < self.tokens.len()).then(|| Function {
            name,
            line: self.tokens[at].line,
            lines: self.code_lines(body),
            arguments: self.arguments(open),
        })
    }

    fn after_generics(&self, mut at: usize) -> usize {
        if self.text(at) != "<" {
            return at;
        }
        let mut depth = 0_usize;
        while at < self.tokens.len() {
            match self.text(at) {
                "<" => depth += 1,
                ">" => depth -= 1,
                _ => {}
            }
            at = self.closing(at) + 1;
            if depth == 0 {
                break;
            }
        }
        at
    }

    fn code_lines(&self, open: usize) -> usize {
        let inside = &self.tokens[open + 1..self.closing(open)];
        inside.iter().flat_map(|token| token.line..=token.last_line).collect::<BTreeSet<_>>().len()
    }

    fn arguments(&self, open: usize) -> usize {
        let close = self.closing(open);
        let (mut count, mut depth, mut started, mut receiver) = (0_usize, 0_i32, false, false);
        let mut at = open + 1;
        while at < close {
            match self.text(at) {
                "<" => depth += 1,
                ">" => depth -= 1,
                "," if depth == 0 => {
                    count += usize::from(started);
                    started = false;
                    at += 1;
                    continue;
                }
                "self" if count == 0 && depth == 0 => receiver = true,
                "in" => return 0,
                _ => {}
            }
            started = true;
            at = self.closing(at) + 1;
        }
        count + usize::from(started) - usize::from(receiver)
    }

    fn find_test_code(&mut self) {
        for at in 0..self.tokens.len() {
            let Some(open) = self.attribute_bracket(at) else { continue };
            let inside = &self.tokens[open + 1..self.closing(open)];
            let names = |name: &str| inside.iter().any(|token| token.text == name);
            let cfg_test = self.text(open + 1) == "cfg" && names("test") && !names("not") && !names("any");
            let test = inside.last().is_some_and(|token| token.text == "test")
                || self.reads(open + 2, &["::", "test"]);
            if !(cfg_test || test) {
                continue;
            }
            if self.text(at + 1) == "!" {
                self.whole_file_is_test = true;
                continue;
            }
            let end = self.item_end(self.closing(open) + 1);
            if self.reads(end.saturating_sub(2), &["mod"]) {
                self.test_modules.push(self.before(end).to_owned());
            }
            let last = self.tokens.get(end).map_or(usize::MAX, |token| token.line);
            self.test_lines.push(self.tokens[at].line..=last);
        }
    }

    /// Index of the token that ends the item beginning at `at`: its closing brace or semicolon.
    fn item_end(&self, mut at: usize) -> usize {
        while at < self.tokens.len() {
            match self.text(at) {
                ";" => return at,
                "{" => return self.closing(at),
                "}" | ")" | "]" => return at, // a field or a variant: the item around it ends
                _ => at = self.closing(at) + 1,
            }
        }
        at
    }
}

/// Whether a token is a name or keyword.
pub fn is_ident(text: &str) -> bool {
    text.chars().next().is_some_and(|first| first == '_' || first.is_alphabetic())
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>) {
    let mut glued = false; // the last token waits for its second half
    for tree in stream {
        let (start, end) = (tree.span().start(), tree.span().end());
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                let at = out.len();
                push(out, open, start, start);
                flatten(group.stream(), out);
                push(out, close, end, end);
                out[at].close = Some(out.len() - 1);
                glued = false;
            }
            TokenTree::Punct(punct) => {
                let joined = glued && join(out, punct.as_char());
                if !joined {
                    push(out, &punct.as_char().to_string(), start, end);
                }
                glued = !joined && punct.spacing() == Spacing::Joint;
            }
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                match out.last_mut() {
                    Some(last) if glued && last.text == "'" => last.text.push_str(&name),
                    _ => push(out, &name, start, end),
                }
                glued = false;
            }
            TokenTree::Literal(literal) => {
                push(out, &literal.to_string(), start, end);
                glued = false;
            }
        }
    }
}

/// Appends `second` to the last token where the two make one.
fn join(out: &mut [Token], second: char) -> bool {
    let Some(last) = out.last_mut() else { return false };
    let one = matches!((last.text.as_str(), second), (":", ':') | ("-" | "=", '>'));
    if one {
        last.text.push(second);
    }
    one
}

fn push(out: &mut Vec<Token>, text: &str, start: LineColumn, end: LineColumn) {
    out.push(Token { text: text.to_owned(), line: start.line, last_line: end.line, close: None });
}

#[test]
fn functions_are_found_in_macros_and_measured_without_comments() {
    let code = Code::read(concat!(
        "proptest! {\n  #[test]\n  fn holds(a in 0..9, b in 1..2) {\n    // why\n\n    check(a);\n  }\n}\n",
        "impl X {\n  fn many<F: Fn(u8) -> u8>(&self, a: Map<K, V>, b: (u8, u8), f: F) -> u8\n  where F: Copy {\n",
        "    let s = \"one\n two\";\n    s\n  }\n  fn declared(&self);\n}\n",
    ))
    .expect("it is Rust");
    let seen: Vec<_> = code.functions.iter().map(|f| (f.name.as_str(), f.lines, f.arguments)).collect();
    assert_eq!(seen, [("holds", 1, 0), ("many", 3, 3)]);
}

#[test]
fn test_code_is_what_an_attribute_says() {
    let code = Code::read(concat!(
        "fn a() {}\n#[cfg(test)]\nmod model;\n#[tokio::test]\nasync fn b() {\n}\n",
        "#[cfg(not(test))]\nfn c() {}\n#[cfg(test)]\nmod tests {\n  fn d() {}\n}\nfn e() {}\n",
    ))
    .expect("it is Rust");
    let lines: Vec<_> = (1..=13).filter(|line| code.is_test(*line)).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 9, 10, 11, 12]);
    assert_eq!(code.test_modules, ["model"]);
}
