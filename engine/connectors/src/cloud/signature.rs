//! Whether a webhook is Meta's: the signature of a delivery and the handshake of a subscription. Not the content
//! of either.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Most characters of a challenge that are echoed.
const CHALLENGE_MAX: usize = 1_024;

/// What `X-Hub-Signature-256: sha256=<hex>` claims the HMAC-SHA256 of a body to be. It can be read before the body is
/// there.
#[derive(Debug, Clone, Copy)]
pub struct Claim([u8; 32]);

impl Claim {
    /// What the header claims; `None` when it is missing, or no signature whatever the body.
    #[must_use]
    pub fn read(header: Option<&str>) -> Option<Self> {
        header.and_then(|header| header.trim().strip_prefix("sha256=")).and_then(decode).map(Self)
    }

    /// Whether it is the body's under one of the app secrets; several while a secret is being changed. `body` must be the
    /// raw bytes as received: Meta escapes characters in ways no serialiser repeats. The comparison takes the same time
    /// whatever differs.
    #[must_use]
    pub fn fits(&self, secrets: &[impl AsRef<str>], body: &[u8]) -> bool {
        secrets.iter().map(AsRef::as_ref).filter(|secret| !secret.is_empty()).fold(false, |found, secret| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())
                .expect("invariant: HMAC takes keys of any length");
            mac.update(body);
            mac.verify_slice(&self.0).is_ok() | found
        })
    }
}

/// Both at once, for a body that is there.
#[must_use]
pub fn verify(secrets: &[impl AsRef<str>], header: Option<&str>, body: &[u8]) -> bool {
    Claim::read(header).is_some_and(|claim| claim.fits(secrets, body))
}

fn decode(hex: &str) -> Option<[u8; 32]> {
    let hex = hex.as_bytes();
    let mut bytes = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

/// The answer to Meta's verification request (`hub.mode`, `hub.verify_token`, `hub.challenge`): the challenge to
/// send back as plain text with 200, or `None` for 403.
#[must_use]
pub fn challenge(
    verify_token: &str,
    mode: Option<&str>,
    token: Option<&str>,
    challenge: Option<&str>,
) -> Option<String> {
    let same = !verify_token.is_empty() && bool::from(token?.as_bytes().ct_eq(verify_token.as_bytes()));
    let echo = challenge.filter(|text| !text.is_empty() && text.len() <= CHALLENGE_MAX)?;
    (same && mode == Some("subscribe")).then(|| echo.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    /// What Meta sends: non-ASCII as lower-case escapes, slashes escaped. Computed with another program.
    const BODY: &[u8] = br#"{"text":{"body":"caf\u00e9 \ud83d\udc4d <a href=\"https:\/\/x\">"}}"#;

    fn signed(secret: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body);
        let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        format!("sha256={hex}")
    }

    #[test]
    fn the_public_test_vector_holds() {
        // RFC 4231, test case 2.
        let header = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert!(verify(&["Jefe"], Some(header), b"what do ya want for nothing?"));
        assert!(verify(
            &["Jefe"],
            Some(&header.to_uppercase().replace("SHA256", "sha256")),
            b"what do ya want for nothing?"
        ));
    }

    #[test]
    fn only_the_raw_bytes_verify() {
        let header = signed("s", BODY);
        assert!(verify(&["s"], Some(&header), BODY));
        let value: serde_json::Value = serde_json::from_slice(BODY).unwrap();
        let again = serde_json::to_vec(&value).unwrap();
        assert_ne!(again, BODY);
        assert!(
            !verify(&["s"], Some(&header), &again),
            "the same JSON in other bytes is not what was signed"
        );
        let mut flipped = BODY.to_vec();
        flipped[10] ^= 1;
        assert!(!verify(&["s"], Some(&header), &flipped));
    }

    #[test]
    fn both_secrets_are_taken_during_a_change() {
        let secrets = [Secret::new("new"), Secret::new("old")];
        for secret in ["new", "old"] {
            assert!(verify(&secrets, Some(&signed(secret, BODY)), BODY));
        }
        assert!(!verify(&secrets, Some(&signed("other", BODY)), BODY));
    }

    #[test]
    fn what_is_no_signature_never_verifies() {
        let good = signed("s", BODY);
        let hex = &good["sha256=".len()..];
        for header in [
            "",
            "sha256=",
            hex,
            &good[..good.len() - 1],
            &good.replace("sha256", "sha1"),
            &format!("{good}0"),
            "sha256=é",
        ] {
            assert!(!verify(&["s"], Some(header), BODY), "{header}");
        }
        assert!(!verify(&["s"], None, BODY));
        assert!(!verify(&[""; 0], Some(&good), BODY));
        assert!(!verify(&[""], Some(&signed("", BODY)), BODY), "an unset secret signs nothing");
    }

    #[test]
    fn the_handshake_echoes_only_to_the_token() {
        let ask = |token, mode| challenge("t0ken", mode, token, Some("1158201444"));
        assert_eq!(ask(Some("t0ken"), Some("subscribe")), Some("1158201444".into()));
        assert_eq!(ask(Some("token"), Some("subscribe")), None);
        assert_eq!(ask(None, Some("subscribe")), None);
        assert_eq!(ask(Some("t0ken"), Some("unsubscribe")), None);
        assert_eq!(challenge("", Some("subscribe"), Some(""), Some("1")), None);
        assert_eq!(challenge("t", Some("subscribe"), Some("t"), None), None);
    }
}
