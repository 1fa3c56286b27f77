//! Numbers at Meta: what is known of one, those of an account, confirming and registering one, its two-step PIN, and
//! where an account's webhooks go. Not the messages of a number.

use super::graph::{Graph, GraphFailure, node, typed};
use super::wire::words;
use crate::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What is asked of a number, the most first: a version that lacks a field is asked for less.
const FIELDS: [&str; 3] = [
    "id,display_phone_number,verified_name,name_status,code_verification_status,quality_rating,status,platform_type,\
     throughput,account_mode,whatsapp_business_manager_messaging_limit,is_official_business_account,is_on_biz_app,\
     health_status",
    "id,display_phone_number,verified_name,name_status,code_verification_status,quality_rating,status,platform_type,\
     throughput,account_mode",
    "id,display_phone_number,verified_name,code_verification_status,quality_rating",
];
/// Meta's code for a parameter it does not take, a field of another version among them.
const INVALID: u32 = 100;
/// Meta's subcode for an object that is not there, or not for this token.
const NO_OBJECT: u32 = 33;
/// Numbers a page.
const PAGE: &str = "100";
/// Pages of one list.
const PAGES_MAX: usize = 50;

/// A number as Meta knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberFacts {
    /// Meta's id of it.
    #[serde(default, deserialize_with = "words")]
    pub id: String,
    /// As people read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_phone_number: Option<String>,
    /// The name people see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_name: Option<String>,
    /// `GREEN`, `YELLOW`, `RED` or `NA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality_rating: Option<String>,
    /// `CONNECTED`, `FLAGGED`, `RESTRICTED`, `BANNED` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `VERIFIED`, `NOT_VERIFIED`, `EXPIRED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_verification_status: Option<String>,
    /// `{"level": "STANDARD" | "HIGH" | …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Value>,
    /// `TIER_250` … `TIER_UNLIMITED`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whatsapp_business_manager_messaging_limit: Option<String>,
    /// The older word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messaging_limit_tier: Option<String>,
    /// `CLOUD_API`, `ON_PREMISE`, `NOT_APPLICABLE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_type: Option<String>,
    /// Whether its messages can go, by entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_status: Option<Value>,
    /// Whatever else was said.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl NumberFacts {
    /// `STANDARD`, `HIGH` …
    #[must_use]
    pub fn throughput_level(&self) -> Option<&str> {
        let throughput = self.throughput.as_ref()?;
        throughput.as_str().or_else(|| throughput["level"].as_str())
    }

    /// How many people may be written to first within 24 hours.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        self.whatsapp_business_manager_messaging_limit.as_deref().or(self.messaging_limit_tier.as_deref())
    }

    /// Whether a phone with the business app uses the number as well.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.rest.get("is_on_biz_app").and_then(Value::as_bool).unwrap_or_default()
    }

    /// The account the number is of, when its health names it.
    #[must_use]
    pub fn waba(&self) -> Option<&str> {
        let entities = self.health_status.as_ref()?["entities"].as_array()?;
        entities.iter().find(|entity| entity["entity_type"] == "WABA")?["id"].as_str()
    }
}

/// How the code that proves a number reaches its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeMethod {
    /// As a text message.
    Sms,
    /// By a call.
    Voice,
}

impl CodeMethod {
    fn word(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Voice => "VOICE",
        }
    }
}

/// Where an account's or a number's webhooks go instead of to the app's address.
#[derive(Debug, Clone)]
pub struct Override {
    /// There.
    pub url: String,
    /// What Meta says when it checks it.
    pub verify_token: Secret,
}

impl Override {
    fn to_json(&self) -> Value {
        json!({"override_callback_uri": self.url, "verify_token": self.verify_token.expose()})
    }
}

impl Graph {
    /// What Meta knows of a number. A version that lacks a field is asked for what every one knows.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn number(&self, number: &str) -> Result<NumberFacts, GraphFailure> {
        let path = node(number)?;
        let [most, some, least] = FIELDS;
        for fields in [most, some] {
            match self.get(path, &[("fields", fields)]).await {
                Err(GraphFailure::Refused(no)) if no.code == INVALID && no.subcode != Some(NO_OBJECT) => {}
                answer => return typed(answer?),
            }
        }
        typed(self.get(path, &[("fields", least)]).await?)
    }

    /// Chosen fields of a number, as Meta gives them.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn number_fields(&self, number: &str, fields: Option<&str>) -> Result<Value, GraphFailure> {
        let query: Vec<_> = fields.map(|fields| ("fields", fields)).into_iter().collect();
        self.get(node(number)?, &query).await
    }

    /// The numbers of an account.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn numbers(&self, waba: &str) -> Result<Vec<NumberFacts>, GraphFailure> {
        let path = format!("{}/phone_numbers", node(waba)?);
        self.every(&path, &[("limit", PAGE)], PAGES_MAX).await
    }

    /// Has Meta send the code that proves the number.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn request_code(
        &self,
        number: &str,
        method: CodeMethod,
        language: &str,
    ) -> Result<Value, GraphFailure> {
        let body = json!({"code_method": method.word(), "language": language});
        self.post(&format!("{}/request_code", node(number)?), &[], &body).await
    }

    /// Proves the number with that code.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn verify_code(&self, number: &str, code: &Secret) -> Result<Value, GraphFailure> {
        let body = json!({"code": code.expose()});
        self.post(&format!("{}/verify_code", node(number)?), &[], &body).await
    }

    /// Registers the number with the Cloud API under its two-step PIN; its data may stay in one country.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn register(
        &self,
        number: &str,
        pin: &Secret,
        region: Option<&str>,
    ) -> Result<Value, GraphFailure> {
        let mut body = json!({"messaging_product": "whatsapp", "pin": pin.expose()});
        if let Some(region) = region {
            body["data_localization_region"] = region.into();
        }
        self.post(&format!("{}/register", node(number)?), &[], &body).await
    }

    /// Takes the number from the Cloud API.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn deregister(&self, number: &str) -> Result<Value, GraphFailure> {
        let body = json!({"messaging_product": "whatsapp"});
        self.post(&format!("{}/deregister", node(number)?), &[], &body).await
    }

    /// Sets the two-step PIN. It can be changed, never switched off.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn set_pin(&self, number: &str, pin: &Secret) -> Result<Value, GraphFailure> {
        self.post(node(number)?, &[], &json!({"pin": pin.expose()})).await
    }

    /// Sends a number's webhooks elsewhere than its account's.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn override_number(&self, number: &str, to: &Override) -> Result<Value, GraphFailure> {
        self.post(node(number)?, &[], &json!({"webhook_configuration": to.to_json()})).await
    }

    /// The apps that get an account's webhooks.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn subscribed_apps(&self, waba: &str) -> Result<Value, GraphFailure> {
        self.get(&format!("{}/subscribed_apps", node(waba)?), &[]).await
    }

    /// Has the token's app get them, at its own address or at another. Without another one an earlier is taken back.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn subscribe_app(&self, waba: &str, to: Option<&Override>) -> Result<Value, GraphFailure> {
        let body = to.map_or_else(|| json!({}), Override::to_json);
        self.post(&format!("{}/subscribed_apps", node(waba)?), &[], &body).await
    }

    /// Has the token's app get them no more.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn unsubscribe_app(&self, waba: &str) -> Result<Value, GraphFailure> {
        self.delete(&format!("{}/subscribed_apps", node(waba)?), &[], None).await
    }
}
