//! A compiled text: literals, variables and alternatives, which may stand in one another. The choice among
//! alternatives is drawn from a seed, so that a repeat of the same message says the same.

use super::syntax::{self, Piece, Use};
use super::{MissingVariable, ParseError, Variable};
use crate::spintax::Draw;
use std::borrow::Cow;

/// A compiled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
    /// Length of the literals: what a rendered text has at least, roughly.
    size: usize,
}

/// A rendered text and which variant of the alternatives it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What is sent.
    pub text: String,
    /// 0 to [`Pattern::variants`] − 1; wraps where that count saturates.
    pub variant: u64,
}

impl Pattern {
    /// Reads a text of at most 64 KiB; with `spintax` `{a|b}` are alternatives, nested at most 16 deep.
    ///
    /// # Errors
    /// [`ParseError`] with line and column.
    pub fn parse(text: &str, spintax: bool) -> Result<Self, ParseError> {
        syntax::parse(text, spintax).map(|pieces| Self { pieces, size: text.len() })
    }

    /// The variables in order of first use, each once.
    #[must_use]
    pub fn variables(&self) -> Vec<Variable> {
        let mut list = Vec::new();
        self.collect(&mut list);
        list
    }

    /// Adds the variables to a list that is shared by several patterns.
    pub(super) fn collect(&self, list: &mut Vec<Variable>) {
        for_each_use(&self.pieces, &mut |used| match list.iter_mut().find(|v| *v.name == *used.name) {
            Some(known) => known.has_default &= used.has_default(),
            None => {
                list.push(Variable { name: used.name.clone().into(), has_default: used.has_default() });
            }
        });
    }

    /// How many different texts the alternatives give; at least 1, saturating.
    #[must_use]
    pub fn variants(&self) -> u64 {
        variants(&self.pieces)
    }

    /// The text itself when it has neither variables nor alternatives.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Chooses by `seed` and fills the variables in. `lookup` gives a value by its name; a blank value counts
    /// as none. Only variables of chosen alternatives are asked for.
    ///
    /// # Errors
    /// [`MissingVariable`] for the first one without value and default.
    pub fn render<'v>(
        &self,
        seed: u64,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Result<Rendered, MissingVariable> {
        self.draw(&mut Draw::new(seed), lookup)
    }

    /// Renders with a draw that is shared by several patterns.
    pub(super) fn draw<'v>(
        &self,
        draw: &mut Draw,
        lookup: &dyn Fn(&str) -> Option<&'v str>,
    ) -> Result<Rendered, MissingVariable> {
        let mut text = String::with_capacity(self.size + 16);
        let variant = write(&self.pieces, &mut text, draw, lookup)?;
        Ok(Rendered { text, variant })
    }
}

fn for_each_use(pieces: &[Piece], visit: &mut dyn FnMut(&Use)) {
    for piece in pieces {
        match piece {
            Piece::Literal(_) => {}
            Piece::Variable(used) => visit(used),
            Piece::Alternatives(list) => list.iter().for_each(|pieces| for_each_use(pieces, visit)),
        }
    }
}

fn variants(pieces: &[Piece]) -> u64 {
    pieces.iter().fold(1, |count, piece| match piece {
        Piece::Alternatives(list) => count.saturating_mul(variants_of(list)),
        _ => count,
    })
}

fn variants_of(list: &[Vec<Piece>]) -> u64 {
    list.iter().fold(0, |sum: u64, pieces| sum.saturating_add(variants(pieces)))
}

/// Appends the chosen text; returns the variant as a number of mixed radix.
fn write<'v>(
    pieces: &[Piece],
    text: &mut String,
    draw: &mut Draw,
    lookup: &dyn Fn(&str) -> Option<&'v str>,
) -> Result<u64, MissingVariable> {
    let mut variant: u64 = 0;
    for piece in pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Variable(used) => text.push_str(&value(used, lookup)?),
            Piece::Alternatives(list) => {
                let chosen = draw.below(list.len());
                let before = variants_of(&list[..chosen]);
                let inner = write(&list[chosen], text, draw, lookup)?;
                variant = variant.wrapping_mul(variants_of(list)).wrapping_add(before).wrapping_add(inner);
            }
        }
    }
    Ok(variant)
}

fn value<'a, 'v: 'a>(
    used: &'a Use,
    lookup: &dyn Fn(&str) -> Option<&'v str>,
) -> Result<Cow<'a, str>, MissingVariable> {
    // A blank cell is as good as none: "Hi ," helps nobody. Who wants it writes default:"".
    let found = lookup(&used.name).filter(|value| !value.trim().is_empty()).map(Cow::Borrowed);
    let value = used.filters.iter().fold(found, |value, filter| filter.apply(value));
    value.ok_or_else(|| MissingVariable { name: used.name.clone().into() })
}
