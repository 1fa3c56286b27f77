//! What an access token is good for, as Meta tells it. Not its use.

use super::graph::{Graph, GraphFailure, data_of, typed};
use super::wire::words;
use crate::Secret;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A permission, and the assets it was given for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GranularScope {
    /// Which.
    pub scope: String,
    /// Ids of accounts; none: all of the token's owner.
    #[serde(default)]
    pub target_ids: Vec<String>,
}

/// A token as Meta knows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TokenFacts {
    /// The app it was made for.
    #[serde(default, deserialize_with = "words")]
    pub app_id: String,
    /// `USER`, `SYSTEM_USER` …
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// Whether it works.
    #[serde(default)]
    pub is_valid: bool,
    /// Seconds since 1970; 0: never.
    #[serde(default)]
    pub expires_at: i64,
    /// When its data may no longer be read, likewise.
    #[serde(default)]
    pub data_access_expires_at: i64,
    /// Its permissions.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The same by asset.
    #[serde(default)]
    pub granular_scopes: Vec<GranularScope>,
    /// Whatever else was said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl TokenFacts {
    /// Whether it has a permission, for all or for some assets.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
            || self.granular_scopes.iter().any(|own| own.scope == scope)
    }

    /// The accounts its WhatsApp permissions were given for.
    #[must_use]
    pub fn wabas(&self) -> Vec<&str> {
        let ours = self.granular_scopes.iter().filter(|own| own.scope.starts_with("whatsapp_business_"));
        let mut ids: Vec<_> = ours.flat_map(|own| &own.target_ids).map(String::as_str).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl Graph {
    /// What a token is good for; the token that asks may be the same.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn debug_token(&self, token: &Secret) -> Result<TokenFacts, GraphFailure> {
        // Meta takes the token from the query alone. The path of a call is written to no log.
        let mut answer = self.get("debug_token", &[("input_token", token.expose())]).await?;
        typed(data_of(&mut answer))
    }
}
