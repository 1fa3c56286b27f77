//! Meta's message templates of a WhatsApp Business Account: created, edited, listed, deleted, unpaused. What an answer
//! holds and this version does not know is kept. Not Kabar's own stored messages, and not the sending of a template.

use super::graph::{Graph, GraphFailure, node, typed};
use super::wire::words;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Fields asked of every template.
const FIELDS: &str = "id,name,status,category,language,components,quality_score,rejected_reason,parameter_format,\
                      message_send_ttl_seconds,previous_category,correct_category";
/// Templates a page. An answer is at most a megabyte, and a template's components a few kilobytes.
const PAGE: &str = "50";
/// Pages of one list: an account has at most 6,000 templates.
const PAGES_MAX: usize = 200;

/// A template to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewProviderTemplate {
    /// Its name: small letters, digits, `_`.
    pub name: String,
    /// Its language, e.g. `en_US`.
    pub language: String,
    /// `AUTHENTICATION`, `UTILITY` or `MARKETING`.
    pub category: String,
    /// `NAMED` or `POSITIONAL`; Meta's own choice when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_format: Option<String>,
    /// How long a message made of it may wait at Meta (s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_send_ttl_seconds: Option<i64>,
    /// Header, body, footer, buttons, in Meta's shape.
    pub components: Vec<Value>,
    /// Whatever else is asked for in Meta's words: Meta says what it thinks of it.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What of a template is replaced; what is not said stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderTemplateEdit {
    /// All components.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<Value>>,
    /// The category; not of an approved one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// How long a message made of it may wait at Meta (s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_send_ttl_seconds: Option<i64>,
    /// Whatever else is asked for in Meta's words.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// What Meta says to a new template.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TemplateCreated {
    /// Its id.
    #[serde(deserialize_with = "words")]
    pub id: String,
    /// Where its review stands.
    #[serde(default)]
    pub status: Option<String>,
    /// The category Meta gave it.
    #[serde(default)]
    pub category: Option<String>,
    /// Whatever else was said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A template as Meta has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProviderTemplate {
    /// Its id.
    #[serde(deserialize_with = "words")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its language.
    #[serde(default)]
    pub language: String,
    /// `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`, `DISABLED` …
    #[serde(default)]
    pub status: String,
    /// `AUTHENTICATION`, `UTILITY` or `MARKETING`.
    #[serde(default)]
    pub category: String,
    /// Header, body, footer, buttons, in Meta's shape.
    #[serde(default)]
    pub components: Vec<Value>,
    /// Its quality, with the moment it was reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_score: Option<Value>,
    /// Why it was rejected; `NONE` when it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected_reason: Option<String>,
    /// `NAMED` or `POSITIONAL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameter_format: Option<String>,
    /// How long a message made of it may wait at Meta (s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_send_ttl_seconds: Option<i64>,
    /// Whatever else was said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl ProviderTemplate {
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`, when it was said.
    #[must_use]
    pub fn quality(&self) -> Option<&str> {
        let score = self.quality_score.as_ref()?;
        score.as_str().or_else(|| score["score"].as_str())
    }
}

impl Graph {
    /// Makes a template of an account.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn create_template(
        &self,
        waba: &str,
        wanted: &NewProviderTemplate,
    ) -> Result<TemplateCreated, GraphFailure> {
        let body = serde_json::to_value(wanted).map_err(|_| GraphFailure::NotReached)?;
        typed(self.post(&format!("{}/message_templates", node(waba)?), &[], &body).await?)
    }

    /// Replaces what is said of a template.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn edit_template(&self, id: &str, edit: &ProviderTemplateEdit) -> Result<Value, GraphFailure> {
        let body = serde_json::to_value(edit).map_err(|_| GraphFailure::NotReached)?;
        self.post(node(id)?, &[], &body).await
    }

    /// One template.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn template(&self, id: &str) -> Result<ProviderTemplate, GraphFailure> {
        typed(self.get(node(id)?, &[("fields", FIELDS)]).await?)
    }

    /// Every template of an account, or those of one name.
    ///
    /// # Errors
    /// [`GraphFailure`]; nothing is given of a list that broke off.
    pub async fn templates(
        &self,
        waba: &str,
        name: Option<&str>,
    ) -> Result<Vec<ProviderTemplate>, GraphFailure> {
        let path = format!("{}/message_templates", node(waba)?);
        let mut query = vec![("fields", FIELDS), ("limit", PAGE)];
        query.extend(name.map(|name| ("name", name)));
        self.every(&path, &query, PAGES_MAX).await
    }

    /// Deletes every language of a name, or the one with this id.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn delete_template(
        &self,
        waba: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<Value, GraphFailure> {
        let mut query = vec![("name", name)];
        query.extend(id.map(|id| ("hsm_id", id)));
        self.delete(&format!("{}/message_templates", node(waba)?), &query, None).await
    }

    /// Asks that a paused template goes again.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn unpause_template(&self, id: &str) -> Result<Value, GraphFailure> {
        self.post(&format!("{}/unpause", node(id)?), &[], &json!({})).await
    }
}
