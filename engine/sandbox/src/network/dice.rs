//! The seeded dice: every decision is drawn from (seed, what it is about, which time), so that the
//! same inputs have the same fate however requests interleave. Not a source of entropy.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use xxhash_rust::xxh3::xxh3_128;

use super::wamid::Id;
use crate::behaviour::Delay;

/// What a draw is about; each has its own stream, so that more draws of one do not shift another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Answer = 1,
    Journey = 2,
    Phone = 3,
    Inbound = 4,
    Trace = 5,
    Policy = 6,
}

/// One stream of draws.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// `key` says what it is about, `ordinal` the how-manieth time.
    pub(crate) fn new(seed: u64, key: u128, ordinal: u64, stream: Stream) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..24].copy_from_slice(&key.to_le_bytes());
        bytes[24..].copy_from_slice(&ordinal.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(bytes);
        rng.set_stream(stream as u64);
        Self(rng)
    }

    /// From 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0.random()
    }

    /// Always one draw, whatever the rate.
    pub(crate) fn chance(&mut self, rate: f64) -> bool {
        self.share() < rate
    }

    /// One of the choices; `None` of nothing.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let at = (self.share() * choices.len() as f64) as usize;
        choices.get(at).copied()
    }

    /// Milliseconds of a log-normal delay; always two draws.
    pub(crate) fn delay(&mut self, delay: &Delay) -> u64 {
        let (u, v) = (1.0 - self.share(), self.share());
        if delay.p50_ms == 0 {
            return delay.min_ms;
        }
        let p50 = delay.p50_ms as f64;
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        // 2.326 standard deviations lie below the 99th percentile
        let deviation = (delay.p99_ms as f64 / p50).ln().max(0.0) / 2.326;
        let drawn = (p50 * (deviation * normal).exp()).round() as u64;
        let bounded = if delay.max_ms == 0 { drawn } else { drawn.min(delay.max_ms) };
        bounded.max(delay.min_ms)
    }

    /// Nine random bytes.
    pub(crate) fn id(&mut self) -> Id {
        self.0.random()
    }
}

/// The key of something named by several texts.
pub(crate) fn key(parts: &[&str]) -> u128 {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0xff); // never part of UTF-8
    }
    xxh3_128(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(ordinal: u64, stream: Stream) -> Vec<u64> {
        let mut dice = Dice::new(7, key(&["a", "b"]), ordinal, stream);
        (0..5).map(|_| (dice.share() * 1e9) as u64).collect()
    }

    #[test]
    fn the_same_question_has_the_same_answer_and_another_another() {
        assert_eq!(drawn(0, Stream::Answer), drawn(0, Stream::Answer));
        assert_ne!(drawn(0, Stream::Answer), drawn(1, Stream::Answer));
        assert_ne!(drawn(0, Stream::Answer), drawn(0, Stream::Journey));
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }

    #[test]
    fn delays_keep_their_median_and_their_bounds() {
        let delay = Delay { min_ms: 20, p50_ms: 300, p99_ms: 1_600, max_ms: 2_000 };
        let mut dice = Dice::new(7, 1, 0, Stream::Journey);
        let mut all: Vec<u64> = (0..10_000).map(|_| dice.delay(&delay)).collect();
        all.sort_unstable();
        assert!((280..320).contains(&all[5_000]), "{}", all[5_000]);
        assert!((1_300..1_900).contains(&all[9_900]), "{}", all[9_900]);
        assert!(all[0] >= 20 && all[9_999] <= 2_000);
        assert_eq!(dice.delay(&Delay::NONE), 0);
        assert_eq!(dice.delay(&Delay::fixed(50)), 50);
    }
}
