//! Whether a message fits the template it names: as many parameters as the template has variables, of the kinds it takes,
//! under the names it gives. Refused is only what Meta would refuse for certain; what a component of another kind wants
//! is Meta's business.

use super::rule::{invalid, missing, not_allowed};
use super::text::{is_number, names};
use super::{component, kind};
use crate::content::{ContentError, TemplateMessage};
use serde_json::Value;

/// A template as it was approved.
#[derive(Debug, Clone, Copy)]
pub struct Approved<'t> {
    /// Its components, in Meta's shape.
    pub components: &'t [Value],
    /// `NAMED` or `POSITIONAL`, when it was told.
    pub format: Option<&'t str>,
    /// `AUTHENTICATION`, `UTILITY` or `MARKETING`, when it was told.
    pub category: Option<&'t str>,
}

impl Approved<'_> {
    fn is_code(&self) -> bool {
        self.category.is_some_and(|category| category.eq_ignore_ascii_case("AUTHENTICATION"))
    }
}

/// Whether the message can be made of the template.
///
/// # Errors
/// The first thing Meta would refuse, with its path in the message.
pub fn fit(template: Approved<'_>, message: &TemplateMessage) -> Result<(), ContentError> {
    let given = Given { root: "template.components".to_owned(), components: &message.components };
    fit_components(template, template.components, &given)?;
    if let Some(carousel) = component(template.components, "CAROUSEL") {
        fit_cards(template, carousel, &given)?;
    }
    Ok(())
}

/// The components of a message, or of one of its cards.
struct Given<'m> {
    root: String,
    components: &'m [Value],
}

impl Given<'_> {
    /// A component's place and parameters.
    fn of(&self, wanted: &str) -> Option<(String, &[Value])> {
        let at = self.components.iter().position(|component| kind(component) == wanted)?;
        let parameters = self.components[at]["parameters"].as_array();
        Some((format!("{}[{at}].parameters", self.root), parameters.map_or(&[][..], Vec::as_slice)))
    }

    /// What is given to a button.
    fn button(&self, index: usize) -> Option<(String, &Value)> {
        let is = |c: &Value| {
            let told = &c["index"];
            let told = told.as_u64().or_else(|| told.as_str()?.parse().ok());
            kind(c) == "BUTTON" && told == Some(index as u64)
        };
        let at = self.components.iter().position(is)?;
        Some((format!("{}[{at}]", self.root), &self.components[at]))
    }

    fn missing(&self, wanted: &str) -> ContentError {
        missing(format!("{}[].type = {wanted}", self.root))
    }
}

fn fit_components(
    template: Approved<'_>,
    components: &[Value],
    given: &Given<'_>,
) -> Result<(), ContentError> {
    fit_header(component(components, "HEADER"), template.format, given)?;
    let body = component(components, "BODY").and_then(|body| body["text"].as_str());
    let variables = body.map(names);
    match variables {
        Some(names) => fit_text(&names, template.format, given, "BODY")?,
        // The words of a code are Meta's own and have one variable.
        None if template.is_code() => fit_text(&["1"], None, given, "BODY")?,
        None => {}
    }
    let buttons = component(components, "BUTTONS").map(|b| &b["buttons"]);
    fit_buttons(template, buttons.and_then(Value::as_array).map_or(&[][..], Vec::as_slice), given)
}

fn fit_header(header: Option<&Value>, format: Option<&str>, given: &Given<'_>) -> Result<(), ContentError> {
    let told = given.of("HEADER").filter(|(_, parameters)| !parameters.is_empty());
    let Some(header) = header else {
        return told.map_or(Ok(()), |(at, _)| Err(not_allowed(at, "the template has no header")));
    };
    let kind = header["format"].as_str().unwrap_or_default().to_ascii_lowercase();
    match kind.as_str() {
        "text" => fit_text(&names(header["text"].as_str().unwrap_or_default()), format, given, "HEADER"),
        "image" | "video" | "document" | "location" => {
            let (at, parameters) = told.ok_or_else(|| given.missing("header"))?;
            match parameters[0]["type"].as_str() {
                Some(word) if word.eq_ignore_ascii_case(&kind) => Ok(()),
                _ => Err(invalid(format!("{at}[0].type"), format!("`{kind}`, as the template's header is"))),
            }
        }
        _ => Ok(()),
    }
}

/// A parameter for each variable, and no more.
fn fit_text(
    names: &[&str],
    format: Option<&str>,
    given: &Given<'_>,
    component: &str,
) -> Result<(), ContentError> {
    let small = component.to_ascii_lowercase();
    let (at, parameters) = match given.of(component) {
        Some(told) => told,
        None if names.is_empty() => return Ok(()),
        None => return Err(given.missing(&small)),
    };
    if parameters.len() != names.len() {
        let (min, max, value) = (names.len(), names.len(), parameters.len());
        return Err(ContentError::Count { path: at, min, max, value });
    }
    let named = format.is_some_and(|format| format.eq_ignore_ascii_case("NAMED"))
        || (format.is_none() && !names.is_empty() && !names.iter().any(|name| is_number(name)));
    for (nth, parameter) in parameters.iter().enumerate() {
        let at = format!("{at}[{nth}]");
        let word = parameter["type"].as_str().unwrap_or_default().to_ascii_lowercase();
        if matches!(word.as_str(), "image" | "video" | "document" | "location" | "payload" | "coupon_code") {
            return Err(invalid(format!("{at}.type"), "`text`: the template has a variable there"));
        }
        let name = parameter["parameter_name"].as_str();
        match name {
            Some(name) if named && !names.contains(&name) => {
                let expected = format!("one of the template's variables: {}", names.join(", "));
                return Err(invalid(format!("{at}.parameter_name"), expected));
            }
            Some(_) if !named => {
                return Err(not_allowed(
                    format!("{at}.parameter_name"),
                    "the template's variables are numbers",
                ));
            }
            None if named => return Err(missing(format!("{at}.parameter_name"))),
            _ => {}
        }
        let repeated = |earlier: &Value| name.is_some() && earlier["parameter_name"].as_str() == name;
        if parameters[..nth].iter().any(repeated) {
            return Err(ContentError::Repeated { path: format!("{at}.parameter_name") });
        }
    }
    Ok(())
}

fn fit_buttons(template: Approved<'_>, buttons: &[Value], given: &Given<'_>) -> Result<(), ContentError> {
    for (index, button) in buttons.iter().enumerate() {
        let told = given.button(index);
        let wants = match kind(button).as_str() {
            "URL" if !names(button["url"].as_str().unwrap_or_default()).is_empty() => Some("text"),
            "OTP" if template.is_code() => Some("text"),
            "COPY_CODE" => Some("coupon_code"),
            _ => None,
        };
        let Some(wanted) = wants else { continue };
        let (at, told) = told.ok_or_else(|| given.missing(&format!("button, index = {index}")))?;
        let parameters = told["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        if parameters.len() != 1 {
            let path = format!("{at}.parameters");
            return Err(ContentError::Count { path, min: 1, max: 1, value: parameters.len() });
        }
        if parameters[0]["type"].as_str().is_none_or(|word| !word.eq_ignore_ascii_case(wanted)) {
            return Err(invalid(format!("{at}.parameters[0].type"), format!("`{wanted}`")));
        }
    }
    // A button the template has not.
    for (at, told) in given.components.iter().enumerate().filter(|(_, c)| kind(c) == "BUTTON") {
        let index = told["index"].as_u64().or_else(|| told["index"].as_str()?.parse().ok());
        if index.is_some_and(|index| index >= buttons.len() as u64) {
            let path = format!("{}[{at}].index", given.root);
            return Err(not_allowed(path, "the template has no such button"));
        }
    }
    Ok(())
}

fn fit_cards(template: Approved<'_>, carousel: &Value, given: &Given<'_>) -> Result<(), ContentError> {
    let cards = carousel["cards"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(at) = given.components.iter().position(|c| kind(c) == "CAROUSEL") else {
        return Err(given.missing("carousel"));
    };
    let told = given.components[at]["cards"].as_array().map_or(&[][..], Vec::as_slice);
    let root = format!("{}[{at}].cards", given.root);
    if told.len() != cards.len() {
        let (min, max, value) = (cards.len(), cards.len(), told.len());
        return Err(ContentError::Count { path: root, min, max, value });
    }
    for (nth, (card, told)) in cards.iter().zip(told).enumerate() {
        let list = |value: &Value| value["components"].as_array().cloned().unwrap_or_default();
        let (components, parts) = (list(card), list(told));
        let given = Given { root: format!("{root}[{nth}].components"), components: &parts };
        fit_components(template, &components, &given)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Language;
    use serde_json::json;

    fn message(components: &Value) -> TemplateMessage {
        let language = Language { code: "en_US".into(), ..Language::default() };
        TemplateMessage { name: "a".into(), language, components: components.as_array().unwrap().clone() }
    }

    /// The path of what does not fit, or nothing.
    fn seen(template: &Value, category: &str, given: &Value) -> Option<String> {
        let components = template.as_array().unwrap();
        let approved = Approved { components, format: None, category: Some(category) };
        let told = fit(approved, &message(given)).err()?.to_string();
        Some(told.split('`').nth(1).unwrap().to_owned())
    }

    #[test]
    fn a_message_has_a_parameter_for_each_variable_of_the_right_kind() {
        let template = json!([{"type": "HEADER", "format": "DOCUMENT"},
            {"type": "BODY", "text": "Hi {{1}}, {{2}} and {{1}}."},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "a"},
                {"type": "URL", "text": "b", "url": "https://a/{{1}}"}]}]);
        let text = |text: &str| json!({"type": "text", "text": text});
        let header = json!({"type": "header", "parameters": [{"type": "document", "document": {"id": "1"}}]});
        let body = json!({"type": "body", "parameters": [text("Ana"), text("x")]});
        let button = json!({"type": "button", "sub_type": "url", "index": "1", "parameters": [text("A-81")]});
        let good = json!([header, body, button]);
        assert_eq!(seen(&template, "UTILITY", &good), None);
        let with = |at: usize, pointer: &str, value: Value| {
            let mut given = good.clone();
            *given[at].pointer_mut(pointer).unwrap() = value;
            given
        };
        let at = |rest: &str| Some(format!("template.components{rest}"));
        for (given, path) in [
            (json!([body, button]), "[].type = header"),
            (with(0, "/parameters/0/type", json!("image")), "[0].parameters[0].type"),
            (json!([header, button]), "[].type = body"),
            (with(1, "/parameters", json!([text("Ana")])), "[1].parameters"),
            (with(1, "/parameters/0", json!({"type": "image"})), "[1].parameters[0].type"),
            (
                with(1, "/parameters/0", json!({"type": "text", "text": "a", "parameter_name": "x"})),
                "[1].parameters[0].parameter_name",
            ),
            (json!([header, body]), "[].type = button, index = 1"),
            (with(2, "/parameters", json!([])), "[2].parameters"),
            (with(2, "/parameters/0/type", json!("payload")), "[2].parameters[0].type"),
            (json!([header, body, button, {"type": "button", "sub_type": "url", "index": 2}]), "[3].index"),
        ] {
            assert_eq!(seen(&template, "UTILITY", &given), at(path), "{given}");
        }
        let bare = json!([{"type": "BODY", "text": "Hi."}]);
        assert_eq!(seen(&bare, "UTILITY", &json!([])), None);
        assert_eq!(seen(&bare, "UTILITY", &json!([header])), at("[0].parameters"));
        assert_eq!(seen(&bare, "UTILITY", &json!([body])), at("[0].parameters"));
    }

    #[test]
    fn variables_with_names_are_filled_by_name() {
        let template = json!([{"type": "BODY", "text": "Hi {{first}} and {{second}}."}]);
        let named = |names: [&str; 2]| {
            let each = names.map(|name| json!({"type": "text", "text": "x", "parameter_name": name}));
            json!([{"type": "body", "parameters": each}])
        };
        assert_eq!(seen(&template, "UTILITY", &named(["second", "first"])), None);
        let at = |nth| Some(format!("template.components[0].parameters[{nth}].parameter_name"));
        assert_eq!(seen(&template, "UTILITY", &named(["first", "third"])), at(1));
        assert_eq!(seen(&template, "UTILITY", &named(["first", "first"])), at(1));
        let positional = json!([{"type": "body", "parameters": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]);
        assert_eq!(seen(&template, "UTILITY", &positional), at(0));
    }

    #[test]
    fn a_code_stands_in_the_body_and_behind_the_button() {
        let template = json!([{"type": "BODY", "add_security_recommendation": true},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE"}]}]);
        let code = json!({"type": "text", "text": "123456"});
        let body = json!({"type": "body", "parameters": [code]});
        let button = json!({"type": "button", "sub_type": "url", "index": 0, "parameters": [code]});
        assert_eq!(seen(&template, "AUTHENTICATION", &json!([body, button])), None);
        assert!(seen(&template, "AUTHENTICATION", &json!([body])).is_some());
        assert!(seen(&template, "AUTHENTICATION", &json!([button])).is_some());
    }

    #[test]
    fn cards_are_as_many_and_each_fits() {
        let card = json!({"components": [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Hi {{1}}."}]});
        let template = json!([{"type": "BODY", "text": "Look"}, {"type": "CAROUSEL", "cards": [card, card]}]);
        let full = json!({"card_index": 0, "components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"id": "1"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "a"}]}]});
        let given = |cards: Value| json!([{"type": "carousel", "cards": cards}]);
        assert_eq!(seen(&template, "MARKETING", &given(json!([full, full]))), None);
        assert_eq!(
            seen(&template, "MARKETING", &given(json!([full]))).unwrap(),
            "template.components[0].cards"
        );
        let empty = seen(&template, "MARKETING", &given(json!([full, {"components": []}]))).unwrap();
        assert_eq!(empty, "template.components[0].cards[1].components[].type = header");
    }
}
