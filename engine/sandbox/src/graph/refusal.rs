//! Errors in Meta's Graph envelope. Not when they happen.

use serde_json::{Value, json};

use crate::network::code;

/// One error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) http: u16,
    pub(crate) code: u32,
    subcode: Option<u32>,
    message: String,
    details: Option<String>,
}

impl Refusal {
    /// A code of WhatsApp's reference at its HTTP status.
    pub(crate) fn of(number: u32) -> Self {
        let known = code::describe(number);
        Self {
            http: known.http,
            code: number,
            subcode: (number == 130_429).then_some(2_494_055),
            message: format!("(#{number}) {}", known.title),
            details: Some(known.details.to_owned()),
        }
    }

    /// Code 100 with its own message.
    pub(crate) fn parameter(message: &str) -> Self {
        Self { http: 400, code: 100, subcode: None, message: format!("(#100) {message}"), details: None }
    }

    /// 131008: a parameter that must be there is not.
    pub(crate) fn missing(name: &str) -> Self {
        Self::of(131_008).detail(format!("Parameter '{name}' is mandatory."))
    }

    /// 131009: a parameter says what it may not.
    pub(crate) fn invalid(details: impl Into<String>) -> Self {
        Self::of(131_009).detail(details)
    }

    /// An unknown access token.
    pub(crate) fn token() -> Self {
        Self {
            http: 401,
            code: 190,
            subcode: None,
            message: "Invalid OAuth access token - Cannot parse access token".to_owned(),
            details: None,
        }
    }

    /// An id this sandbox has no object for.
    pub(crate) fn unknown_object(verb: &str, id: &str) -> Self {
        let message = format!(
            "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
             permissions, or does not support this operation. Please read the Graph API documentation at \
             https://developers.facebook.com/docs/graph-api"
        );
        Self { http: 400, code: 100, subcode: Some(33), message, details: None }
    }

    /// A path this face does not have.
    pub(crate) fn unknown_path(path: &str) -> Self {
        let message = format!("Unknown path components: {path}");
        Self { http: 400, code: 2500, subcode: None, message, details: None }
    }

    /// The same at another HTTP status.
    pub(crate) fn at(self, http: u16) -> Self {
        Self { http, ..self }
    }

    /// The same with other details.
    pub(crate) fn detail(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }

    /// The JSON body.
    pub(crate) fn body(&self, trace: &str) -> String {
        let mut error = json!({
            "message": self.message,
            "type": "OAuthException",
            "code": self.code,
            "fbtrace_id": trace,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = Value::from(subcode);
        }
        if let Some(details) = &self.details {
            error["error_data"] = json!({"messaging_product": "whatsapp", "details": details});
        }
        json!({ "error": error }).to_string()
    }
}
