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
    more: Option<Box<More>>,
}

/// What few refusals carry.
#[derive(Clone, Debug, PartialEq, Eq)]
enum More {
    /// Title and text meant for people.
    User(&'static str, String),
    /// A key beside `error`: what was done all the same.
    Beside(&'static str, Value),
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
            more: None,
        }
    }

    /// Any code with its own message and no details.
    pub(crate) fn plain(http: u16, code: u32, message: impl Into<String>) -> Self {
        Self { http, code, subcode: None, message: message.into(), details: None, more: None }
    }

    /// Code 100 with its own message.
    pub(crate) fn parameter(message: &str) -> Self {
        Self::plain(400, 100, format!("(#100) {message}"))
    }

    /// Code 100: a parameter of a management call is not there.
    pub(crate) fn required(name: &str) -> Self {
        Self::parameter(&format!("The parameter {name} is required."))
    }

    /// Code 100 with a subcode and words for people, as templates are refused.
    pub(crate) fn told(subcode: u32, title: &'static str, text: impl Into<String>) -> Self {
        Self {
            more: Some(Box::new(More::User(title, text.into()))),
            ..Self::plain(400, 100, "Invalid parameter").subcode(subcode)
        }
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
        Self::plain(401, 190, "Invalid OAuth access token - Cannot parse access token")
    }

    /// An id this sandbox has no object for.
    pub(crate) fn unknown_object(verb: &str, id: &str) -> Self {
        let message = format!(
            "Unsupported {verb} request. Object with ID '{id}' does not exist, cannot be loaded due to missing \
             permissions, or does not support this operation. Please read the Graph API documentation at \
             https://developers.facebook.com/docs/graph-api"
        );
        Self::plain(400, 100, message).subcode(33)
    }

    /// A path this face does not have.
    pub(crate) fn unknown_path(path: &str) -> Self {
        let message = format!("Unknown path components: {path}");
        Self::plain(400, 2500, message)
    }

    /// Whether the object that was asked for is not there.
    pub(crate) fn is_unknown_object(&self) -> bool {
        self.code == 100 && self.subcode == Some(33)
    }

    /// The same at another HTTP status.
    pub(crate) fn at(self, http: u16) -> Self {
        Self { http, ..self }
    }

    /// The same with other details.
    pub(crate) fn detail(self, details: impl Into<String>) -> Self {
        Self { details: Some(details.into()), ..self }
    }

    /// The same with a subcode.
    pub(crate) fn subcode(self, subcode: u32) -> Self {
        Self { subcode: Some(subcode), ..self }
    }

    /// The same with a key beside `error`: what was done all the same.
    pub(crate) fn beside(self, key: &'static str, value: Value) -> Self {
        Self { more: Some(Box::new(More::Beside(key, value))), ..self }
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
        if let Some(More::User(title, text)) = self.more.as_deref() {
            error["error_user_title"] = Value::from(*title);
            error["error_user_msg"] = Value::from(text.as_str());
        }
        let mut body = json!({ "error": error });
        if let Some(More::Beside(key, value)) = self.more.as_deref() {
            body[*key] = value.clone();
        }
        body.to_string()
    }
}
