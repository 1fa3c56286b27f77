//! Mutations of saved inputs, drawn from a seed: flipped bits, odd bytes, words of the target's own language, pieces cut out,
//! repeated, moved and taken from another input. Not guided by coverage: that is cargo-fuzz's.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bytes that are an edge of something.
const ODD: &[u8] = &[0, 1, 9, 10, 13, 32, 34, 44, 47, 92, 0x7f, 0x80, 0xbf, 0xc3, 0xed, 0xf4, 0xfe, 0xff];
/// Texts that are an edge of something in more than one language.
const EDGES: &[&str] = &[
    "0",
    "-1",
    "18446744073709551615",
    "9223372036854775807",
    "4294967296",
    "1e999",
    "-0.0",
    "null",
    "true",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "\u{1f469}\u{200d}\u{1f692}",
    "\u{fb03}",
    "\\u0000",
    "\\ud800",
    "é",
    "\r\n",
];
/// Mutations of one input at most.
const STEPS_MAX: u32 = 6;
/// Longest piece that is repeated, and how often.
const PIECE_MAX: usize = 64;
const TIMES_MAX: usize = 40;

/// Draws inputs.
pub(super) struct Mutator {
    random: ChaCha8Rng,
    words: &'static [&'static str],
    size_max: usize,
}

impl Mutator {
    /// A mutator of inputs up to a size.
    pub(super) fn new(seed: u64, words: &'static [&'static str], size_max: usize) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), words, size_max }
    }

    /// One of the pool, changed.
    pub(super) fn next(&mut self, pool: &[Vec<u8>]) -> Vec<u8> {
        let mut input = self.one_of(pool).cloned().unwrap_or_default();
        for _ in 0..self.random.random_range(1..=STEPS_MAX) {
            self.step(&mut input, pool);
        }
        input.truncate(self.size_max);
        input
    }

    fn step(&mut self, input: &mut Vec<u8>, pool: &[Vec<u8>]) {
        let at = self.random.random_range(0..=input.len());
        match self.random.random_range(0..11) {
            0 | 1 if at < input.len() => input[at] ^= 1 << self.random.random_range(0..8),
            2 if at < input.len() => input[at] = self.one_of(ODD).copied().unwrap_or(0),
            3 => input.insert(at, self.random.random()),
            4 | 5 => {
                let word = self.one_of(self.words).copied().unwrap_or("");
                input.splice(at..at, word.bytes());
            }
            6 => {
                let edge = self.one_of(EDGES).copied().unwrap_or("");
                let end = (at + self.random.random_range(0..8)).min(input.len());
                input.splice(at..end, edge.bytes());
            }
            7 => {
                let end = (at + self.random.random_range(0..PIECE_MAX)).min(input.len());
                input.drain(at..end);
            }
            8 => {
                let end = (at + self.random.random_range(0..PIECE_MAX)).min(input.len());
                let piece = input[at..end].repeat(self.random.random_range(1..TIMES_MAX));
                input.splice(at..at, piece);
            }
            9 => self.graft(input, at, pool),
            _ => input.truncate(at),
        }
    }

    /// A piece of another input takes the place of what follows.
    fn graft(&mut self, input: &mut Vec<u8>, at: usize, pool: &[Vec<u8>]) {
        let Some(other) = self.one_of(pool) else { return };
        let from = self.random.random_range(0..=other.len());
        let to = self.random.random_range(from..=other.len());
        let end = if self.random.random() { input.len() } else { at };
        input.splice(at..end, other[from..to].iter().copied());
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        if list.is_empty() { None } else { Some(&list[self.random.random_range(0..list.len())]) }
    }
}
