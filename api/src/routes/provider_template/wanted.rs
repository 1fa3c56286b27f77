//! Bodies that make or change a template at Meta, checked by its rules before it is asked.

use crate::problem::Problem;
use kabar_actors::account::{NewProviderTemplate, ProviderTemplateEdit};
use kabar_engine::provider_template::{check_components, check_new};
use kabar_schema::records::ProviderTemplate;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A template to be made.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewProviderTemplate, example = json!({"name": "order_update", "language": "en_US", "category": "UTILITY",
    "components": [{"type": "BODY", "text": "Hello {{1}}, your parcel left our shop.", "example": {"body_text": [["Ana"]]}}]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Small letters, digits and `_`; at most 512.
    name: String,
    /// E.g. id or en_US.
    language: String,
    /// AUTHENTICATION, UTILITY or MARKETING.
    category: String,
    /// NAMED or POSITIONAL.
    parameter_format: Option<String>,
    /// How long a message made of it may wait at Meta.
    message_send_ttl_seconds: Option<i64>,
    /// Header, body, footer, buttons, carousel, in Meta's shape.
    #[schema(value_type = Vec<Object>)]
    components: Vec<Value>,
}

impl Wanted {
    pub(super) fn checked(self) -> Result<NewProviderTemplate, Problem> {
        let template = NewProviderTemplate {
            name: self.name,
            language: self.language,
            category: self.category,
            parameter_format: self.parameter_format,
            message_send_ttl_seconds: self.message_send_ttl_seconds,
            components: self.components,
        };
        let whole = json!({"name": template.name, "language": template.language, "category": template.category,
            "parameter_format": template.parameter_format, "components": template.components,
            "message_send_ttl_seconds": template.message_send_ttl_seconds});
        let wrong = check_new(&whole);
        if wrong.is_empty() { Ok(template) } else { Err(Problem::template(&wrong)) }
    }
}

/// What is replaced; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = ProviderTemplatePatch, example = json!({"components": [{"type": "BODY", "text": "Hello {{1}}, it is here.", "example": {"body_text": [["Ana"]]}}]}))]
#[serde(deny_unknown_fields)]
pub(crate) struct Patch {
    /// All of them, in Meta's shape.
    #[schema(value_type = Option<Vec<Object>>)]
    components: Option<Vec<Value>>,
    /// Of one that is not approved.
    category: Option<String>,
    message_send_ttl_seconds: Option<i64>,
}

impl Patch {
    pub(super) fn checked(self, known: &ProviderTemplate) -> Result<ProviderTemplateEdit, Problem> {
        if self.components.is_none() && self.category.is_none() && self.message_send_ttl_seconds.is_none() {
            return Err(Problem::invalid("components", "given, or another field that is changed"));
        }
        let category = self.category.as_deref().or(known.category.as_deref()).unwrap_or_default();
        let components = self.components.as_deref().or(known.components.as_deref());
        // The rules that are about all of a template, held against what it would be then.
        let whole = json!({"name": known.name, "language": known.language, "category": category,
            "parameter_format": known.parameter_format, "components": components.unwrap_or_default(),
            "message_send_ttl_seconds": self.message_send_ttl_seconds});
        let format = known.parameter_format.as_deref().map(str::to_ascii_uppercase);
        let of_components = |components| check_components(components, category, format.as_deref());
        let mut wrong = check_new(&whole);
        wrong.retain(|wrong| !wrong.path().starts_with("components"));
        wrong.retain(|wrong| {
            (wrong.path() == "category" && self.category.is_some())
                || (wrong.path() == "message_send_ttl_seconds" && self.message_send_ttl_seconds.is_some())
        });
        wrong.extend(self.components.as_deref().map(of_components).unwrap_or_default());
        if !wrong.is_empty() {
            return Err(Problem::template(&wrong));
        }
        Ok(ProviderTemplateEdit {
            components: self.components,
            category: self.category,
            message_send_ttl_seconds: self.message_send_ttl_seconds,
        })
    }
}
