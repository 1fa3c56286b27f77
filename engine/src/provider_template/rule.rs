//! The rules of Meta's reference for a new or changed template, each with the path of what breaks it. All that is broken is
//! told at once. Not Meta's review, and not what only Meta counts: names that are taken, how many there are, the
//! proportion of words to variables.

use super::button::check_buttons;
use super::text::{Place, is_name, is_number, names, places};
use super::{component, kind};
use crate::content::ContentError;
use serde_json::Value;

const NAME_MAX: usize = 512;
const HEADER_MAX: usize = 60;
const BODY_MAX: usize = 1_024;
const CARD_BODY_MAX: usize = 160;
const FOOTER_MAX: usize = 60;
/// Blanks or line ends in a row.
const BLANKS_MAX: usize = 10;
const CARDS: (usize, usize) = (2, 10);
const CATEGORIES: [&str; 3] = ["AUTHENTICATION", "UTILITY", "MARKETING"];
/// Kinds of components that are looked into; another is Meta's business.
const ONCE: [&str; 7] =
    ["HEADER", "BODY", "FOOTER", "BUTTONS", "CAROUSEL", "LIMITED_TIME_OFFER", "CALL_PERMISSION_REQUEST"];
/// Headers with a file, whose sample Meta wants to see.
pub(super) const FILES: [&str; 4] = ["IMAGE", "VIDEO", "DOCUMENT", "GIF"];

/// What was found.
pub(super) type Found = Vec<ContentError>;

pub(super) fn invalid(path: impl Into<String>, expected: impl Into<String>) -> ContentError {
    ContentError::Invalid { path: path.into(), expected: expected.into() }
}

pub(super) fn missing(path: impl Into<String>) -> ContentError {
    ContentError::Missing { path: path.into() }
}

pub(super) fn not_allowed(path: impl Into<String>, reason: &'static str) -> ContentError {
    ContentError::NotAllowed { path: path.into(), reason }
}

pub(super) fn length(found: &mut Found, path: &str, text: &str, limit: usize) {
    let value = text.chars().count();
    if value > limit {
        found.push(ContentError::TooLong { path: path.to_owned(), limit, value });
    }
}

/// A template to be made, in Meta's shape. Nothing in the list: Meta may be asked.
#[must_use]
pub fn check_new(template: &Value) -> Vec<ContentError> {
    let mut found = Vec::new();
    let name = template["name"].as_str().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if name.is_empty() {
        found.push(missing("name"));
    } else if !name.bytes().all(plain) {
        found.push(invalid("name", "of small letters a-z, digits and `_`"));
    }
    length(&mut found, "name", name, NAME_MAX);
    if !is_language(template["language"].as_str().unwrap_or_default()) {
        found.push(invalid("language", "a language such as `id` or `en_US`"));
    }
    let category = template["category"].as_str().unwrap_or_default();
    if !CATEGORIES.contains(&category) {
        found.push(invalid("category", "`AUTHENTICATION`, `UTILITY` or `MARKETING`"));
    }
    let format = template.get("parameter_format").filter(|format| !format.is_null());
    let format = format.map(|format| format.as_str().unwrap_or_default().to_ascii_uppercase());
    if format.as_deref().is_some_and(|format| !matches!(format, "NAMED" | "POSITIONAL")) {
        found.push(invalid("parameter_format", "`NAMED` or `POSITIONAL`"));
    }
    if let Some(seconds) = template.get("message_send_ttl_seconds").filter(|seconds| !seconds.is_null()) {
        check_ttl(&mut found, seconds, category);
    }
    match template["components"].as_array() {
        Some(components) => found.extend(check_components(components, category, format.as_deref())),
        None => found.push(missing("components")),
    }
    found
}

fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('_').map_or((text, None), |(l, r)| (l, Some(r)));
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && region.is_none_or(|r| (2..=4).contains(&r.len()) && r.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// How long a message may wait at Meta: by category, and -1 for as long as it can.
fn check_ttl(found: &mut Found, seconds: &Value, category: &str) {
    let (range, words) = match category {
        "AUTHENTICATION" => (30..=900, "from 30 to 900, or -1"),
        "MARKETING" => (43_200..=2_592_000, "from 43200 to 2592000"),
        _ => (30..=43_200, "from 30 to 43200, or -1"),
    };
    let forever = category != "MARKETING" && seconds.as_i64() == Some(-1);
    if !forever && !seconds.as_i64().is_some_and(|seconds| range.contains(&seconds)) {
        found.push(invalid("message_send_ttl_seconds", words));
    }
}

/// The components of a template, as they are made or as they replace what was.
#[must_use]
pub fn check_components(components: &[Value], category: &str, format: Option<&str>) -> Vec<ContentError> {
    let mut found = Vec::new();
    for (at, component) in components.iter().enumerate() {
        let (path, word) = (format!("components[{at}]"), kind(component));
        if word.is_empty() {
            found.push(missing(format!("{path}.type")));
        } else if ONCE.contains(&word.as_str()) && components[..at].iter().any(|c| kind(c) == word) {
            found.push(ContentError::Repeated { path: format!("{path}.type") });
        }
        match word.as_str() {
            "HEADER" => check_header(&mut found, &path, component),
            "BODY" => check_body(&mut found, &path, component, (category, format)),
            "FOOTER" => check_footer(&mut found, &path, component),
            "BUTTONS" => check_buttons(&mut found, &path, &component["buttons"], category),
            "CAROUSEL" => check_carousel(&mut found, &path, component, (category, format)),
            _ => {}
        }
    }
    if component(components, "BODY").is_none() {
        found.push(missing("components[].type = BODY"));
    }
    if category == "AUTHENTICATION" && component(components, "BUTTONS").is_none() {
        found.push(missing("components[].type = BUTTONS"));
    }
    found
}

fn check_header(found: &mut Found, path: &str, header: &Value) {
    let format = header["format"].as_str().unwrap_or_default().to_ascii_uppercase();
    match format.as_str() {
        "TEXT" => {
            let (at, text) = (format!("{path}.text"), header["text"].as_str().unwrap_or_default());
            if text.is_empty() {
                found.push(missing(at.clone()));
            }
            length(found, &at, text, HEADER_MAX);
            let names = names(text);
            if names.len() > 1 {
                found.push(ContentError::Count { path: at, min: 0, max: 1, value: names.len() });
            } else if !names.is_empty() && !has_examples(&header["example"], "header_text", &names) {
                found.push(missing(format!("{path}.example")));
            }
        }
        "LOCATION" | "PRODUCT" => {}
        file if FILES.contains(&file) => {
            let handle = header["example"]["header_handle"].get(0).and_then(Value::as_str);
            if handle.is_none_or(str::is_empty) {
                found.push(missing(format!("{path}.example.header_handle")));
            }
        }
        _ => found.push(invalid(
            format!("{path}.format"),
            "`TEXT`, `IMAGE`, `VIDEO`, `DOCUMENT`, `GIF` or `LOCATION`",
        )),
    }
}

fn check_body(found: &mut Found, path: &str, body: &Value, (category, format): (&str, Option<&str>)) {
    let at = format!("{path}.text");
    let Some(text) = body["text"].as_str().filter(|text| !text.trim().is_empty()) else {
        // The words of a code are Meta's own.
        if category != "AUTHENTICATION" {
            found.push(missing(at));
        }
        return;
    };
    length(found, &at, text, BODY_MAX);
    if has_run(text) {
        found.push(not_allowed(at.clone(), "more than ten blanks or line ends in a row"));
    }
    let (all, names) = (places(text), names(text));
    let trimmed = text.trim();
    let edge = |place: &Place<'_>| {
        let begin = text.len() - text.trim_start().len();
        place.at.start == begin || place.at.end == begin + trimmed.len()
    };
    if all.iter().any(edge) {
        found.push(not_allowed(at.clone(), "a variable may not stand at the beginning or end of the text"));
    }
    check_names(found, &at, &names, format);
    if !names.is_empty() && !has_examples(&body["example"], "body_text", &names) {
        found.push(missing(format!("{path}.example")));
    }
}

/// Numbers from 1 without a gap, or names; not both.
fn check_names(found: &mut Found, at: &str, names: &[&str], format: Option<&str>) {
    let numbers = names.iter().filter(|name| is_number(name)).count();
    let named = format == Some("NAMED") || (format.is_none() && numbers == 0);
    if named {
        if !names.iter().all(|name| is_name(name)) {
            found.push(invalid(
                at,
                "text whose variables are small letters, digits and `_`, e.g. {{first_name}}",
            ));
        }
        return;
    }
    let mut order: Vec<usize> = names.iter().filter_map(|name| name.parse().ok()).collect();
    order.sort_unstable();
    if order.len() != names.len() || !order.iter().copied().eq(1..=order.len()) {
        found.push(invalid(at, "text whose variables are {{1}}, {{2}}, … without a gap"));
    }
}

/// Whether there is a sample for each variable: `body_text` is a list of lists, `header_text` a list.
fn has_examples(example: &Value, field: &str, names: &[&str]) -> bool {
    let given = example[format!("{field}_named_params")].as_array();
    if let Some(given) = given {
        return names.iter().all(|name| {
            given
                .iter()
                .any(|p| p["param_name"] == *name && p["example"].as_str().is_some_and(|e| !e.is_empty()))
        });
    }
    let list = &example[field];
    let list = if list[0].is_array() { &list[0] } else { list };
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    list.len() == names.len() && list.iter().all(|sample| sample.as_str().is_some_and(|s| !s.is_empty()))
}

fn has_run(text: &str) -> bool {
    let mut run = 0;
    text.chars().any(|c| {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        run > BLANKS_MAX
    })
}

fn check_footer(found: &mut Found, path: &str, footer: &Value) {
    if let Some(minutes) = footer.get("code_expiration_minutes") {
        if !minutes.as_i64().is_some_and(|minutes| (1..=90).contains(&minutes)) {
            found.push(invalid(format!("{path}.code_expiration_minutes"), "from 1 to 90"));
        }
        return;
    }
    let (at, text) = (format!("{path}.text"), footer["text"].as_str().unwrap_or_default());
    if text.is_empty() {
        found.push(missing(at.clone()));
    }
    length(found, &at, text, FOOTER_MAX);
    if !names(text).is_empty() {
        found.push(not_allowed(at, "a footer has no variables"));
    }
}

fn check_carousel(found: &mut Found, path: &str, carousel: &Value, of: (&str, Option<&str>)) {
    let cards = carousel["cards"].as_array().map_or(&[][..], Vec::as_slice);
    if !(CARDS.0..=CARDS.1).contains(&cards.len()) {
        let (min, max) = CARDS;
        found.push(ContentError::Count { path: format!("{path}.cards"), min, max, value: cards.len() });
    }
    let shape = |card: &Value| -> Vec<String> {
        let components = card["components"].as_array().map_or(&[][..], Vec::as_slice);
        let buttons = |c: &Value| {
            c["buttons"].as_array().map_or(&[][..], Vec::as_slice).iter().map(kind).collect::<Vec<_>>()
        };
        components.iter().map(|c| format!("{}{:?}{}", kind(c), buttons(c), c["format"])).collect()
    };
    for (nth, card) in cards.iter().enumerate() {
        let root = format!("{path}.cards[{nth}]");
        if shape(card) != shape(&cards[0]) {
            found.push(invalid(root.clone(), "made of the same components as the first card"));
        }
        let components = card["components"].as_array().map_or(&[][..], Vec::as_slice);
        for (at, component) in components.iter().enumerate() {
            let root = format!("{root}.components[{at}]");
            match kind(component).as_str() {
                "HEADER" => check_header(found, &root, component),
                "BODY" => {
                    let text = component["text"].as_str().unwrap_or_default();
                    length(found, &format!("{root}.text"), text, CARD_BODY_MAX);
                    check_body(found, &root, component, of);
                }
                "BUTTONS" => check_buttons(found, &root, &component["buttons"], of.0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"name": "order_update", "language": "en_US", "category": "UTILITY", "parameter_format": "NAMED",
            "message_send_ttl_seconds": 3_600, "components": [
            {"type": "HEADER", "format": "TEXT", "text": "Order {{order}}",
                "example": {"header_text_named_params": [{"param_name": "order", "example": "A-81"}]}},
            {"type": "BODY", "text": "Hello {{first_name}}, your parcel left our shop.",
                "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ana"}]}},
            {"type": "FOOTER", "text": "Example shop"},
            {"type": "BUTTONS", "buttons": [
                {"type": "URL", "text": "Track", "url": "https://shop.example/t/{{1}}", "example": ["https://shop.example/t/81"]},
                {"type": "QUICK_REPLY", "text": "Stop updates"}]}]})
    }

    fn code() -> Value {
        json!({"name": "otp", "language": "en_US", "category": "AUTHENTICATION", "message_send_ttl_seconds": 300,
            "components": [{"type": "BODY", "add_security_recommendation": true},
            {"type": "FOOTER", "code_expiration_minutes": 5},
            {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}]}]})
    }

    #[test]
    fn what_metas_reference_shows_is_taken() {
        assert_eq!(check_new(&good()), []);
        assert_eq!(check_new(&code()), []);
        let positional = json!({"name": "a", "language": "id", "category": "MARKETING", "components": [
            {"type": "header", "format": "image", "example": {"header_handle": ["4::aW"]}},
            {"type": "body", "text": "Halo {{1}}, {{2}} untuk {{1}}.", "example": {"body_text": [["Ana", "promo"]]}}]});
        assert_eq!(check_new(&positional), []);
        let card = |image: &str| {
            json!({"components": [
            {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [image]}},
            {"type": "BODY", "text": "Blue"}, {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Buy"}]}]})
        };
        let carousel = json!({"name": "a", "language": "id", "category": "MARKETING", "components": [
            {"type": "BODY", "text": "Look"}, {"type": "CAROUSEL", "cards": [card("4::a"), card("4::b")]}]});
        assert_eq!(check_new(&carousel), []);
        let newer = json!({"name": "a", "language": "id", "category": "MARKETING", "components": [
            {"type": "BODY", "text": "Look"}, {"type": "SOMETHING_NEW", "colour": 1}]});
        assert_eq!(check_new(&newer), [], "what is not known here is Meta's business");
    }

    /// What breaks one rule, and the path that names it.
    #[test]
    fn each_rule_names_the_path_of_what_breaks_it() {
        let edit = |pointer: &str, value: Value| {
            let mut template = good();
            *template.pointer_mut(pointer).unwrap() = value;
            template
        };
        let long = |n: usize| json!("x".repeat(n));
        let cases = [
            (edit("/name", json!("Order")), "name"),
            (edit("/name", long(513)), "name"),
            (edit("/language", json!("english")), "language"),
            (edit("/category", json!("SALES")), "category"),
            (edit("/parameter_format", json!("LOOSE")), "parameter_format"),
            (edit("/message_send_ttl_seconds", json!(20)), "message_send_ttl_seconds"),
            (edit("/components", Value::Null), "components"),
            (edit("/components/0/text", long(61)), "components[0].text"),
            (edit("/components/0/text", json!("{{a}} {{b}}")), "components[0].text"),
            (edit("/components/0/example", Value::Null), "components[0].example"),
            (edit("/components/0/format", json!("PDF")), "components[0].format"),
            (edit("/components/0/format", json!("IMAGE")), "components[0].example.header_handle"),
            (edit("/components/1/text", json!("")), "components[1].text"),
            (edit("/components/1/text", long(1_025)), "components[1].text"),
            (edit("/components/1/text", json!("Hi {{first_name}}")), "components[1].text"),
            (edit("/components/1/text", json!("{{first_name}}, hi.")), "components[1].text"),
            (edit("/components/1/text", json!("Hi {{1}}, you.")), "components[1].text"),
            (edit("/components/1/text", json!("Hi           you")), "components[1].text"),
            (edit("/components/1/example", json!({})), "components[1].example"),
            (edit("/components/1/type", json!("FOOTER")), "components[2].type"),
            (edit("/components/2/text", long(61)), "components[2].text"),
            (edit("/components/2/text", json!("a {{b}} c")), "components[2].text"),
            (edit("/components/2/type", Value::Null), "components[2].type"),
        ];
        for (template, path) in cases {
            let found = check_new(&template);
            assert!(found.iter().any(|e| e.to_string().contains(&format!("`{path}`"))), "{path}: {found:?}");
        }
        let mut positional = good();
        positional["parameter_format"] = json!("POSITIONAL");
        positional["components"][1]["text"] = json!("Hi {{1}} and {{3}}.");
        assert!(!check_new(&positional).is_empty(), "a gap");
        let mut without = code();
        without["components"].as_array_mut().unwrap().pop();
        assert_eq!(check_new(&without).len(), 1);
        let mut cards = good();
        cards["components"] = json!([{"type": "BODY", "text": "a"}, {"type": "CAROUSEL", "cards": [
            {"components": [{"type": "BODY", "text": "b"}]}, {"components": []}]}]);
        assert_eq!(check_new(&cards).len(), 1, "{:?}", check_new(&cards));
    }
}
