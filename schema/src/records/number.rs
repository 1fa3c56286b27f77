//! What is known at Meta of a session's number: its name, quality, limits, the account it is of, and whether its token was
//! seen to work. Written by whoever asked Meta; the [`Session`](super::Session) itself is the tenant's.

use super::Noun;
use kabar_engine::id::{SessionId, TenantId};
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The last look that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLook {
    /// When.
    pub at: Timestamp,
    /// A word for why, e.g. `token_refused`.
    pub why: String,
    /// Meta's own words.
    pub detail: String,
    /// Names the call to Meta's support.
    #[serde(default)]
    pub trace: Option<String>,
}

/// What is known of a number. Sealed: it holds the number.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// The session whose number it is; also this record's id.
    pub session: SessionId,
    /// Whose.
    pub tenant: TenantId,
    /// Meta's id of the `WhatsApp` Business Account it is of.
    #[serde(default)]
    pub waba_id: Option<String>,
    /// Whether the tenant said so: what Meta tells does not replace it then.
    #[serde(default)]
    pub waba_given: bool,
    /// Meta's id of the app the token was made for.
    #[serde(default)]
    pub app_id: Option<String>,
    /// When the token ends; `None`: never, or it was not told.
    #[serde(default)]
    pub token_expires: Option<Timestamp>,
    /// When the token was last seen to work for this number.
    #[serde(default)]
    pub validated: Option<Timestamp>,
    /// The last look after that, when it failed.
    #[serde(default)]
    pub failed: Option<FailedLook>,
    /// The name people see.
    #[serde(default)]
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `NA`.
    #[serde(default)]
    pub quality: Option<String>,
    /// `STANDARD`, `HIGH` …
    #[serde(default)]
    pub throughput: Option<String>,
    /// `TIER_250` … `TIER_UNLIMITED`.
    #[serde(default)]
    pub tier: Option<String>,
    /// `CONNECTED`, `FLAGGED`, `RESTRICTED` …
    #[serde(default)]
    pub status: Option<String>,
    /// Everything Meta said, in its words.
    #[serde(default)]
    pub said: Map<String, Value>,
    /// The body the session was created with, as a hash.
    #[serde(default)]
    pub body_hash: String,
    /// When the session was created.
    pub created: Timestamp,
}

impl Number {
    /// The index by the account.
    pub const WABA_ID: &'static str = "waba_id";

    /// Of which nothing is known yet.
    #[must_use]
    pub fn unknown(tenant: TenantId, session: SessionId, created: Timestamp) -> Self {
        Self {
            session,
            tenant,
            waba_id: None,
            waba_given: false,
            app_id: None,
            token_expires: None,
            validated: None,
            failed: None,
            verified_name: None,
            quality: None,
            throughput: None,
            tier: None,
            status: None,
            said: Map::new(),
            body_hash: String::new(),
            created,
        }
    }
}

impl std::fmt::Debug for Number {
    /// Without what Meta said, which holds the number.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Number")
            .field("session", &self.session)
            .field("tenant", &self.tenant)
            .field("waba_id", &self.waba_id)
            .field("validated", &self.validated)
            .finish_non_exhaustive()
    }
}

impl Noun for Number {
    const KIND: &'static str = "number";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.session.0
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        self.waba_id.iter().map(|waba| (Self::WABA_ID, waba.clone())).collect()
    }
}
