//! The business profile of a number, with Meta's bounds. Not its verified name: that is the number's.

use serde_json::{Map, Value, json};

use super::Graph;
use super::argument::Arguments;
use super::refusal::Refusal;

/// Field and most characters.
const TEXTS: &[(&str, usize)] = &[("about", 139), ("address", 256), ("description", 512), ("email", 128)];
const VERTICALS: &[&str] = &[
    "UNDEFINED",
    "OTHER",
    "AUTO",
    "BEAUTY",
    "APPAREL",
    "EDU",
    "ENTERTAIN",
    "EVENT_PLAN",
    "FINANCE",
    "GROCERY",
    "GOVT",
    "HOTEL",
    "HEALTH",
    "NONPROFIT",
    "PROF_SERVICES",
    "RETAIL",
    "TRAVEL",
    "RESTAURANT",
    "NOT_A_BIZ",
    "ALCOHOL",
    "ONLINE_GAMBLING",
    "PHYSICAL_GAMBLING",
    "OTC_DRUGS",
    "MATRIMONY_SERVICE",
];

impl Graph {
    /// `GET /{number}/whatsapp_business_profile`.
    pub(super) fn profile(&self, number: usize, arguments: &Arguments) -> Value {
        let mut own = self.numbers.read(number, |state| state.profile.clone()).unwrap_or_default();
        own.insert("messaging_product".into(), "whatsapp".into());
        let shown = match arguments.text("fields") {
            Some(fields) => {
                let mut shown = super::argument::select(Value::Object(own), &fields);
                shown["messaging_product"] = "whatsapp".into();
                shown
            }
            // without `fields` Meta shows next to nothing
            None => json!({"messaging_product": "whatsapp"}),
        };
        json!({"data": [shown]})
    }

    /// `POST /{number}/whatsapp_business_profile`.
    pub(super) fn set_profile(&self, number: usize, arguments: &Arguments) -> Result<Value, Refusal> {
        arguments.of_whatsapp()?;
        let mut change = Map::new();
        for (key, most) in TEXTS {
            let Some(text) = arguments.text(key) else { continue };
            if text.chars().count() > *most || (*key == "about" && text.is_empty()) {
                return Err(Refusal::parameter(&format!(
                    "Param {key} must be at most {most} characters long and, for about, not empty."
                )));
            }
            if *key == "email" && !text.is_empty() && !text.contains('@') {
                return Err(Refusal::parameter("Param email is not a valid email address."));
            }
            change.insert((*key).into(), text.into());
        }
        if let Some(websites) = arguments.get("websites") {
            let fits = |site: &Value| {
                site.as_str().is_some_and(|s| s.starts_with("http") && s.chars().count() <= 256)
            };
            if !websites.as_array().is_some_and(|list| list.len() <= 2 && list.iter().all(fits)) {
                return Err(Refusal::parameter(
                    "Param websites must be at most 2 URLs of at most 256 characters.",
                ));
            }
            change.insert("websites".into(), websites.clone());
        }
        if let Some(vertical) = arguments.text("vertical") {
            if !VERTICALS.contains(&vertical.as_str()) {
                return Err(Refusal::parameter(&format!(
                    "Param vertical must be one of {{{}}}",
                    VERTICALS.join(", ")
                )));
            }
            change.insert("vertical".into(), vertical.into());
        }
        if let Some(handle) = arguments.text("profile_picture_handle") {
            if !self.uploads.knows(&handle) {
                return Err(Refusal::parameter(
                    "Param profile_picture_handle is not the handle of an upload.",
                ));
            }
            let url = format!(
                "{}/whatsapp_business/profile/{}",
                self.public_url(),
                self.network.numbers[number].phone_number_id
            );
            change.insert("profile_picture_url".into(), url.into());
        }
        self.numbers.change(number, |state| state.profile.extend(change));
        Ok(json!({"success": true}))
    }
}
