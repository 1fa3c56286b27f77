//! The proof that a call comes from who knows the app's secret: `appsecret_proof`, a parameter of the query. An app may demand
//! it, and a wrong one is refused whether it is demanded or not. Not the signature of webhooks, which the same secret makes.

use super::answer::GraphError;
use crate::Secret;
use crate::client::{Answer, CallError};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Meta's name of the parameter, which also stands in what it says of a wrong one.
const NAME: &str = "appsecret_proof";
/// Meta's code for a parameter it does not take.
const INVALID: u32 = 100;

/// Proofs of one token. While a secret is being changed nobody knows which of two Meta goes by, and a token may be of another
/// app than the webhooks are: so the next is tried when one is refused, the last time without any.
#[derive(Default)]
pub struct Proofs {
    proofs: Vec<String>,
    /// The one that is taken now; as many as there are: none.
    at: AtomicUsize,
}

impl std::fmt::Debug for Proofs {
    /// Without the proofs, which are as good as the secret for this token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proofs").field("count", &self.proofs.len()).field("at", &self.at).finish()
    }
}

impl Proofs {
    /// Of a token under each of its app's secrets, the newest first.
    #[must_use]
    pub fn of(secrets: &[impl AsRef<str>], token: &Secret) -> Self {
        let secrets = secrets.iter().map(AsRef::as_ref).filter(|secret| !secret.is_empty());
        Self { proofs: secrets.map(|secret| proof(secret, token)).collect(), at: AtomicUsize::new(0) }
    }

    /// How many ways there are to call: with each proof, and without.
    pub(super) fn ways(&self) -> usize {
        self.proofs.len() + 1
    }

    /// The URL of a call with the proof of this number; of one too high: without.
    pub(super) fn url(&self, url: &str, nth: usize) -> String {
        let joint = if url.contains('?') { '&' } else { '?' };
        let with = self.proofs.get(nth).map(|proof| format!("{url}{joint}{NAME}={proof}"));
        with.unwrap_or_else(|| url.to_owned())
    }

    /// The number of the proof that is taken now.
    pub(super) fn at(&self) -> usize {
        self.at.load(Ordering::Relaxed).min(self.proofs.len())
    }

    /// Whether the call with proof `used` was refused because of it, and another may do: nothing was done at Meta. From then
    /// on the next is taken.
    pub(super) fn is_refused(&self, used: usize, outcome: &Result<Answer, CallError>) -> bool {
        let Ok(answer) = outcome else { return false };
        if used >= self.proofs.len() || answer.status.is_success() {
            return false;
        }
        let about = |error: GraphError| error.code == INVALID && error.detail.contains(NAME);
        let refused = GraphError::read(&answer.body).is_some_and(about);
        if refused {
            tracing::info!(proof = used, "Meta does not take the proof of an app's secret");
            self.at.fetch_max(used + 1, Ordering::Relaxed);
        }
        refused
    }
}

fn proof(secret: &str, token: &Secret) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("invariant: HMAC takes keys of any length");
    mac.update(token.expose().as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        write!(hex, "{byte:02x}").expect("invariant: writing to memory does not fail");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    fn answer(message: &str) -> Result<Answer, CallError> {
        let body = serde_json::json!({"error": {"code": 100, "message": message}}).to_string();
        Ok(Answer { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body: Bytes::from(body) })
    }

    /// Computed with another program.
    const PROOF: &str = "d402b447efc46005b36c8e1f71fb619235c471fc7a8348fa3529923d2f42f4d4";

    #[test]
    fn the_proof_is_the_hmac_of_the_token_under_the_secret_in_lower_case_hex() {
        assert_eq!(proof("app-secret", &Secret::new("EAAG-token")), PROOF);
        let proofs = Proofs::of(&["app-secret", ""], &Secret::new("EAAG-token"));
        assert_eq!(proofs.ways(), 2, "an empty secret is none");
        assert_eq!(proofs.url("/1/messages", 0), format!("/1/messages?appsecret_proof={PROOF}"));
        assert_eq!(proofs.url("/u?sig=1", 0), format!("/u?sig=1&appsecret_proof={PROOF}"));
        assert_eq!(proofs.url("/1/messages", 1), "/1/messages");
        assert!(!format!("{proofs:?}").contains(PROOF));
    }

    #[test]
    fn only_a_refused_proof_makes_way_for_the_next_and_none_comes_last() {
        let proofs = Proofs::of(&["new", "old"], &Secret::new("EAAG"));
        assert!(!proofs.is_refused(0, &answer("Invalid parameter")));
        assert_eq!(proofs.at(), 0);
        let wrong = answer("Invalid appsecret_proof provided in the API argument");
        assert!(proofs.is_refused(0, &wrong));
        assert!(proofs.is_refused(0, &wrong), "another call that was on its way");
        assert_eq!(proofs.at(), 1);
        assert!(proofs.is_refused(1, &wrong));
        assert_eq!(proofs.at(), 2);
        assert!(!proofs.is_refused(2, &wrong), "there is no other");
        assert!(!Proofs::default().is_refused(0, &wrong));
    }
}
