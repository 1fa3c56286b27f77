//! The copy of a template that Meta keeps, as Meta last told it, and when an account's templates were last read as a whole.
//! Not a stored message of the tenant: that is a [`Template`](super::Template).

use super::Noun;
use kabar_engine::id::TenantId;
use kabar_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where what is known of a template comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The account's templates were read.
    Sync,
    /// Meta's webhook.
    Webhook,
    /// Meta's answer to a change made here.
    Answer,
}

impl Evidence {
    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Webhook => "webhook",
            Self::Answer => "answer",
        }
    }
}

/// A template at Meta. Sealed: it holds what will be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderTemplate {
    /// Its id here: one per account, name and language.
    pub id: u64,
    /// Whose.
    pub tenant: TenantId,
    /// Meta's id of the account.
    pub waba_id: String,
    /// Its name.
    pub name: String,
    /// Its language as the API writes it, e.g. `en_US`.
    pub language: String,
    /// Meta's id of it, when it was told.
    #[serde(default)]
    pub provider_id: Option<String>,
    /// `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`, `DISABLED`, `DELETED` …
    pub status: String,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    #[serde(default)]
    pub quality: Option<String>,
    /// `AUTHENTICATION`, `UTILITY` or `MARKETING`.
    #[serde(default)]
    pub category: Option<String>,
    /// Why it was rejected, paused or disabled.
    #[serde(default)]
    pub reason: Option<String>,
    /// `NAMED` or `POSITIONAL`.
    #[serde(default)]
    pub parameter_format: Option<String>,
    /// How long a message made of it may wait at Meta (s).
    #[serde(default)]
    pub ttl_seconds: Option<i64>,
    /// Header, body, footer, buttons; `None` while only its name was told.
    #[serde(default)]
    pub components: Option<Vec<Value>>,
    /// Whatever else Meta said, in its words.
    #[serde(default)]
    pub said: Map<String, Value>,
    /// The request that made it here, as a hash: of its idempotency key and its body.
    #[serde(default)]
    pub made: Option<String>,
    /// When Meta last said something of it.
    pub seen: Timestamp,
    /// How.
    pub evidence: Evidence,
    /// When it was first met here.
    pub created: Timestamp,
}

impl ProviderTemplate {
    /// The index by the account.
    pub const WABA_ID: &'static str = "waba_id";
    /// The index by account and name.
    pub const NAME: &'static str = "name";
    /// The index by Meta's id.
    pub const PROVIDER_ID: &'static str = "provider_id";

    /// The id of an account's template. Webhooks write `en-US` where the API writes `en_US`.
    #[must_use]
    pub fn id_of(tenant: TenantId, waba: &str, name: &str, language: &str) -> u64 {
        let language = Self::language(language).to_ascii_lowercase();
        let key = ["provider_template", waba, name, &language].join("\0");
        TenantId::derived(tenant, key.as_bytes()).0
    }

    /// A language as the API writes it.
    #[must_use]
    pub fn language(given: &str) -> String {
        given.replace('-', "_")
    }

    /// What an account's templates of a name are found by.
    #[must_use]
    pub fn name_key(waba: &str, name: &str) -> String {
        format!("{waba}/{name}")
    }

    /// In Meta's shape.
    #[must_use]
    pub fn to_meta(&self) -> Value {
        let mut shape = self.said.clone();
        let quality = self.quality.as_ref().map(|score| json!({"score": score}));
        let own = [
            ("id", self.provider_id.clone().map(Value::from)),
            ("name", Some(self.name.clone().into())),
            ("language", Some(self.language.clone().into())),
            ("status", Some(self.status.clone().into())),
            ("category", self.category.clone().map(Value::from)),
            ("quality_score", quality),
            ("rejected_reason", self.reason.clone().map(Value::from)),
            ("parameter_format", self.parameter_format.clone().map(Value::from)),
            ("message_send_ttl_seconds", self.ttl_seconds.map(Value::from)),
            ("components", self.components.clone().map(Value::from)),
        ];
        for (field, value) in own {
            if let Some(value) = value {
                shape.insert(field.to_owned(), value);
            }
        }
        Value::Object(shape)
    }
}

impl Noun for ProviderTemplate {
    const KIND: &'static str = "provider_template";
    const VERSION: u32 = 1;
    const SEALED: bool = true;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id
    }
    fn created(&self) -> Timestamp {
        self.created
    }
    fn indexes(&self) -> Vec<(&'static str, String)> {
        let mut indexes = vec![
            (Self::WABA_ID, self.waba_id.clone()),
            (Self::NAME, Self::name_key(&self.waba_id, &self.name)),
        ];
        indexes.extend(self.provider_id.iter().map(|id| (Self::PROVIDER_ID, id.clone())));
        indexes
    }
}

/// When an account's templates were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSync {
    /// Its id here: one per account.
    pub id: u64,
    /// Whose.
    pub tenant: TenantId,
    /// Meta's id of the account.
    pub waba_id: String,
    /// The last time all of them were read.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// How many there were.
    #[serde(default)]
    pub templates: u64,
    /// The last try, also one that failed.
    pub tried: Timestamp,
    /// Why the last try failed; a word.
    #[serde(default)]
    pub failed: Option<String>,
    /// The first try.
    pub created: Timestamp,
}

impl TemplateSync {
    /// The id of an account's.
    #[must_use]
    pub fn id_of(tenant: TenantId, waba: &str) -> u64 {
        TenantId::derived(tenant, ["template_sync", waba].join("\0").as_bytes()).0
    }
}

impl Noun for TemplateSync {
    const KIND: &'static str = "template_sync";
    const VERSION: u32 = 1;
    const SEALED: bool = false;

    fn tenant(&self) -> TenantId {
        self.tenant
    }
    fn id(&self) -> u64 {
        self.id
    }
    fn created(&self) -> Timestamp {
        self.created
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_spelling_of_a_language_leads_to_the_same_template() {
        let id = |language| ProviderTemplate::id_of(TenantId(7), "102", "order", language);
        assert_eq!(id("en_US"), id("en-US"));
        assert_ne!(id("en_US"), id("en"));
        assert_ne!(id("en"), ProviderTemplate::id_of(TenantId(8), "102", "order", "en"));
        assert_ne!(id("en"), ProviderTemplate::id_of(TenantId(7), "10", "2order", "en"));
    }
}
