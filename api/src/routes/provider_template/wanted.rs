//! Bodies that make or change a template at Meta, checked by its rules before it is asked.

use crate::problem::Problem;
use crate::state::ApiState;
use kabar_actors::account::{Account, NewProviderTemplate, ProviderTemplateEdit};
use kabar_engine::id::MediaId;
use kabar_engine::provider_template::{check_components, check_new};
use kabar_schema::records::ProviderTemplate;
use serde::Deserialize;
use serde_json::{Map, Value, json};
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
    /// Header, body, footer, buttons, carousel, in Meta's shape. A header's file is a handle as `example.header_handle`, or
    /// media of yours as `media`: it is uploaded to Meta then.
    #[schema(value_type = Vec<Object>)]
    components: Vec<Value>,
}

/// Puts what Meta calls the files by where the body names media of ours: `"media": "med_…"` in a header, or in a card's.
pub(super) async fn with_samples(
    state: &ApiState,
    account: &Account,
    components: &mut [Value],
) -> Result<(), Problem> {
    for (path, header) in headers(components) {
        let Some(named) = header.as_object_mut().and_then(|header| header.remove("media")) else { continue };
        let at = format!("{path}.media");
        let media: Option<MediaId> = named.as_str().and_then(|named| named.parse().ok());
        let media = media.ok_or_else(|| Problem::invalid(&at, "media of yours such as med_…"))?;
        let handle = state.dispatcher.upload_sample(account, media).await;
        let handle = handle.map_err(|error| Problem::from(error).at(&at))?;
        header["example"] = json!({"header_handle": [handle]});
    }
    Ok(())
}

/// Every header, with its path.
fn headers(components: &mut [Value]) -> Vec<(String, &mut Value)> {
    let is = |component: &Value, kind: &str| {
        component["type"].as_str().is_some_and(|word| word.eq_ignore_ascii_case(kind))
    };
    let mut found = Vec::new();
    for (at, component) in components.iter_mut().enumerate() {
        let path = format!("components[{at}]");
        if is(component, "HEADER") {
            found.push((path, component));
        } else if is(component, "CAROUSEL") {
            let cards = component["cards"].as_array_mut().map_or(&mut [][..], Vec::as_mut_slice);
            for (nth, card) in cards.iter_mut().enumerate() {
                let inner = card["components"].as_array_mut().map_or(&mut [][..], Vec::as_mut_slice);
                for (place, component) in inner.iter_mut().enumerate().filter(|(_, c)| is(c, "HEADER")) {
                    found.push((format!("{path}.cards[{nth}].components[{place}]"), component));
                }
            }
        }
    }
    found
}

/// A header that names media of ours, as if Meta had it already.
fn as_if_uploaded(components: &[Value]) -> Vec<Value> {
    let mut copy = components.to_vec();
    for (_, header) in headers(&mut copy) {
        if header.get("media").is_some() {
            header["example"] = json!({"header_handle": ["med"]});
        }
    }
    copy
}

impl Wanted {
    pub(super) fn template(self) -> NewProviderTemplate {
        NewProviderTemplate {
            name: self.name,
            language: self.language,
            category: self.category,
            parameter_format: self.parameter_format,
            message_send_ttl_seconds: self.message_send_ttl_seconds,
            components: self.components,
            rest: Map::new(),
        }
    }
}

/// The template, if Meta's rules say nothing against it.
pub(super) fn checked(template: NewProviderTemplate) -> Result<NewProviderTemplate, Problem> {
    let whole = json!({"name": template.name, "language": template.language, "category": template.category,
        "parameter_format": template.parameter_format, "components": as_if_uploaded(&template.components),
        "message_send_ttl_seconds": template.message_send_ttl_seconds});
    let wrong = check_new(&whole);
    if wrong.is_empty() { Ok(template) } else { Err(Problem::template(&wrong)) }
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
        let of_components = |components: &[Value]| check_components(components, category, format.as_deref());
        let mut wrong = check_new(&whole);
        wrong.retain(|wrong| !wrong.path().starts_with("components"));
        wrong.retain(|wrong| {
            (wrong.path() == "category" && self.category.is_some())
                || (wrong.path() == "message_send_ttl_seconds" && self.message_send_ttl_seconds.is_some())
        });
        let replaced = self.components.as_deref().map(as_if_uploaded);
        wrong.extend(replaced.as_deref().map(of_components).unwrap_or_default());
        if !wrong.is_empty() {
            return Err(Problem::template(&wrong));
        }
        Ok(ProviderTemplateEdit {
            components: self.components,
            category: self.category,
            message_send_ttl_seconds: self.message_send_ttl_seconds,
            rest: Map::new(),
        })
    }
}
