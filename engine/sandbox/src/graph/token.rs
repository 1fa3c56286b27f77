//! Access tokens: which there are, what they may do, when they end; and the proof that goes with one. Tokens of the
//! configuration may do everything for ever until the control API says otherwise.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::http::request::Parts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Graph, bearer, envelope, query};
use crate::behaviour::Behaviour;

/// The app every token of the sandbox belongs to.
pub const APP_ID: &str = "100000000000001";

pub(crate) const MESSAGING: &str = "whatsapp_business_messaging";
pub(crate) const MANAGEMENT: &str = "whatsapp_business_management";

/// One token as the control API sets it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct TokenOrder {
    /// The token itself.
    pub token: String,
    /// Whether it works at all.
    pub valid: bool,
    /// Unix seconds of the sandbox's clock; 0: never.
    pub expires_at: i64,
    /// Permissions it has.
    pub scopes: Vec<String>,
}

impl Default for TokenOrder {
    fn default() -> Self {
        let scopes = vec![MESSAGING.to_owned(), MANAGEMENT.to_owned()];
        Self { token: String::new(), valid: true, expires_at: 0, scopes }
    }
}

/// The tokens of one sandbox.
#[derive(Debug)]
pub(crate) struct Tokens {
    base: HashSet<String>,
    /// Whether `ordered` holds any: until then a send asks no lock.
    changed: AtomicBool,
    ordered: Mutex<BTreeMap<String, TokenOrder>>,
}

impl Tokens {
    pub(crate) fn new(tokens: &[String]) -> Self {
        Self {
            base: tokens.iter().cloned().collect(),
            changed: AtomicBool::new(false),
            ordered: Mutex::default(),
        }
    }

    /// Whether a token may do this now.
    fn check(&self, token: &str, scope: &str, now_s: impl Fn() -> i64) -> Result<(), Refusal> {
        let known = self.base.contains(token);
        if !self.changed.load(Ordering::Relaxed) {
            return if known { Ok(()) } else { Err(Refusal::token()) };
        }
        match self.ordered.lock().get(token) {
            None if known => Ok(()),
            None => Err(Refusal::token()),
            Some(order) if !order.valid => Err(Refusal::token().subcode(467)),
            Some(order) if order.expires_at != 0 && order.expires_at <= now_s() => {
                Err(expired(order.expires_at))
            }
            Some(order) if !order.scopes.iter().any(|own| own == scope) => {
                let message = format!(
                    "(#200) You do not have the necessary permissions ({scope}) to send messages on behalf of this WhatsApp Business Account"
                );
                Err(Refusal::plain(403, 200, message))
            }
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn set(&self, order: TokenOrder) {
        self.ordered.lock().insert(order.token.clone(), order);
        self.changed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn save(&self) -> Vec<TokenOrder> {
        self.ordered.lock().values().cloned().collect()
    }

    pub(crate) fn load(&self, saved: Vec<TokenOrder>) {
        self.changed.store(!saved.is_empty(), Ordering::Relaxed);
        *self.ordered.lock() = saved.into_iter().map(|order| (order.token.clone(), order)).collect();
    }
}

fn expired(at: i64) -> Refusal {
    Refusal::plain(401, 190, format!("Error validating access token: Session has expired on Unix time {at}."))
        .subcode(463)
}

impl Graph {
    /// Whether the caller may do what needs this permission; the proof of the secret is looked at when it is there.
    pub(super) fn authorise(&self, head: &Parts, scope: &str, behaviour: &Behaviour) -> Result<(), Refusal> {
        let token = token_of(head).ok_or_else(Refusal::token)?;
        self.tokens.check(token, scope, || self.now_ms() / 1_000)?;
        match query(head, "appsecret_proof") {
            Some(proof) if proof != self.proof(token) => {
                Err(Refusal::plain(400, 100, "Invalid appsecret_proof provided in the API argument"))
            }
            None if behaviour.require_appsecret_proof => {
                Err(Refusal::plain(400, 100, "API calls from the server require an appsecret_proof argument"))
            }
            _ => Ok(()),
        }
    }

    fn proof(&self, token: &str) -> String {
        envelope::signature(&self.app_secret, token.as_bytes()).trim_start_matches("sha256=").to_owned()
    }

    /// `GET /debug_token`.
    pub(super) fn debug_token(&self, token: &str) -> Value {
        let now_s = self.now_ms() / 1_000;
        let ordered = self.tokens.ordered.lock().get(token).cloned();
        let order = ordered.or_else(|| self.tokens.base.contains(token).then(TokenOrder::default));
        let Some(order) = order else {
            return json!({"data": {"is_valid": false, "scopes": [],
                "error": {"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"}}});
        };
        let over = order.expires_at != 0 && order.expires_at <= now_s;
        let wabas: HashSet<&str> =
            self.network.numbers.iter().map(|number| number.waba_id.as_str()).collect();
        let mut wabas: Vec<&str> = wabas.into_iter().collect();
        wabas.sort_unstable();
        let granular: Vec<Value> =
            order.scopes.iter().map(|scope| json!({"scope": scope, "target_ids": wabas})).collect();
        let mut data = json!({"app_id": APP_ID, "type": "SYSTEM_USER", "application": "Kabar Sandbox",
            "is_valid": order.valid && !over, "expires_at": order.expires_at, "data_access_expires_at": 0,
            "issued_at": 0, "user_id": "10000000000001", "scopes": order.scopes, "granular_scopes": granular});
        if over {
            data["error"] = json!({"code": 190, "subcode": 463, "message": format!("Error validating access token: Session has expired on Unix time {}.", order.expires_at)});
        }
        json!({ "data": data })
    }
}

/// The bearer token, or the one in the query; the steps of a resumable upload say `OAuth`.
fn token_of(head: &Parts) -> Option<&str> {
    bearer(&head.headers).or_else(|| query(head, "access_token"))
}
