//! The business profile of a number: what people read who open it. Not its name, which Meta approves.

use super::graph::{Graph, GraphFailure, data_of, node};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Everything a profile has.
const FIELDS: &str = "about,address,description,email,profile_picture_url,websites,vertical";

/// What of a profile is replaced; what is not said stays, an empty text takes back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileEdit {
    /// The line below the name, at most 139 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// At most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// At most 512 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// At most 128 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// At most two, each at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websites: Option<Vec<String>>,
    /// The trade, one of Meta's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertical: Option<String>,
    /// The handle of an uploaded picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_picture_handle: Option<String>,
}

impl Graph {
    /// The profile as Meta gives it.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn profile(&self, number: &str) -> Result<Value, GraphFailure> {
        let path = format!("{}/whatsapp_business_profile", node(number)?);
        let mut answer = self.get(&path, &[("fields", FIELDS)]).await?;
        // `{"data": [profile]}`; a version wrapped it once more.
        let first = data_of(&mut answer).get_mut(0).map_or(Value::Null, Value::take);
        match first {
            Value::Object(mut fields) => {
                Ok(fields.remove("business_profile").unwrap_or(Value::Object(fields)))
            }
            _ => Err(GraphFailure::Unclear),
        }
    }

    /// Replaces what is said of it.
    ///
    /// # Errors
    /// [`GraphFailure`].
    pub async fn set_profile(&self, number: &str, edit: &ProfileEdit) -> Result<Value, GraphFailure> {
        let mut body = serde_json::to_value(edit).map_err(|_| GraphFailure::NotReached)?;
        body["messaging_product"] = json!("whatsapp");
        self.post(&format!("{}/whatsapp_business_profile", node(number)?), &[], &body).await
    }
}
