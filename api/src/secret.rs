//! Secrets of the edge: how they are made, hashed and compared. Not the keys that seal data: those are the schema's.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Crockford's alphabet in lower case: no i, l, o, u, so that a key can be read aloud.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 32 bytes from the operating system.
pub(crate) fn random() -> [u8; 32] {
    rand::random()
}

/// Base32 without padding.
pub(crate) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u16, 0);
    for byte in bytes {
        held = (held << 8) | u16::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[usize::from((held >> bits) & 31)]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[usize::from((held << (5 - bits)) & 31)]));
    }
    text
}

/// SHA-256.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 in hex.
pub(crate) fn digest_hex(bytes: &[u8]) -> String {
    hex(&digest(bytes))
}

/// A digest in hex.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 128 bits of SHA-256: what the journal keeps of an idempotency key and its body.
pub(crate) fn digest_short(bytes: &[u8]) -> u128 {
    let half: [u8; 16] = digest(bytes)[..16].try_into().expect("invariant: a digest has 32 bytes");
    u128::from_be_bytes(half)
}

/// Whether two secrets are the same, in a time that tells nothing about where they differ.
pub(crate) fn same(given: &str, right: &str) -> bool {
    digest(given.as_bytes()).ct_eq(&digest(right.as_bytes())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_holds_every_bit() {
        assert_eq!(base32(&[0xff; 5]), "zzzzzzzz");
        assert_eq!(base32(&[0x80]), "g0");
        assert_eq!(base32(&[]), "");
        assert_eq!(base32(&random()).len(), 52);
        assert_ne!(base32(&random()), base32(&random()));
    }

    #[test]
    fn a_digest_is_the_standard_one() {
        assert!(digest_hex(b"abc").starts_with("ba7816bf8f01cfea414140de5dae2223"));
        assert_eq!(digest_short(b"abc"), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
        assert!(same("a", "a") && !same("a", "b") && !same("a", "aa"));
    }
}
