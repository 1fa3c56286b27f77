//! What a template must look like when it is made or changed: Meta's bounds and formats, with the subcode of each. Not
//! what a send must fit.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::Template;
use crate::graph::argument::Arguments;
use crate::graph::refusal::Refusal;

type Check = Result<(), Refusal>;

/// What a caller wants a template to be.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) language: String,
    pub(super) category: String,
    pub(super) components: Vec<Value>,
    pub(super) named: bool,
    pub(super) ttl_s: Option<i64>,
}

/// Reads the body of a creation.
pub(super) fn read(arguments: &Arguments) -> Result<Wanted, Refusal> {
    let name = arguments.required("name")?;
    if name.len() > 512 {
        return Err(too_long("name", 512));
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(Refusal::parameter(
            "Param name may hold lower-case letters, digits and underscores only.",
        ));
    }
    let language = arguments.required("language")?;
    let (short, region) = language.split_once('_').map_or((language.as_str(), None), |(a, b)| (a, Some(b)));
    let known = (2..=3).contains(&short.len())
        && short.bytes().all(|b| b.is_ascii_lowercase())
        && region.is_none_or(|region| {
            (2..=4).contains(&region.len()) && region.bytes().all(|b| b.is_ascii_alphabetic())
        });
    if !known {
        return Err(Refusal::parameter("Param language is not a language code WhatsApp knows."));
    }
    let category = arguments.required("category")?;
    let named = format(arguments, false)?;
    whole(Wanted {
        name,
        language,
        category,
        components: components(arguments)?,
        named,
        ttl_s: arguments.number("message_send_ttl_seconds")?,
    })
}

/// Reads the body of a change: what is not given stays.
pub(super) fn read_change(old: &Template, arguments: &Arguments) -> Result<Wanted, Refusal> {
    let given = arguments.get("components").is_some();
    whole(Wanted {
        name: old.name.clone(),
        language: old.language.clone(),
        category: arguments.text("category").unwrap_or_else(|| old.category.clone()),
        components: if given { components(arguments)? } else { old.components.clone() },
        named: format(arguments, old.named)?,
        ttl_s: arguments.number("message_send_ttl_seconds")?.or(old.ttl_s),
    })
}

fn format(arguments: &Arguments, before: bool) -> Result<bool, Refusal> {
    match arguments.text("parameter_format").map(|text| text.to_ascii_uppercase()).as_deref() {
        None => Ok(before),
        Some("NAMED") => Ok(true),
        Some("POSITIONAL") => Ok(false),
        Some(_) => Err(Refusal::parameter("Param parameter_format must be one of {NAMED, POSITIONAL}")),
    }
}

fn components(arguments: &Arguments) -> Result<Vec<Value>, Refusal> {
    let list = arguments.get("components").ok_or_else(|| Refusal::required("components"))?;
    list.as_array().cloned().ok_or_else(|| Refusal::parameter("Param components must be an array."))
}

fn whole(mut wanted: Wanted) -> Result<Wanted, Refusal> {
    wanted.category.make_ascii_uppercase();
    let lives: RangeInclusive<i64> = match wanted.category.as_str() {
        "AUTHENTICATION" => 30..=900,
        "UTILITY" => 30..=43_200,
        "MARKETING" => 43_200..=2_592_000,
        _ => {
            return Err(Refusal::parameter(
                "Param category must be one of {AUTHENTICATION, MARKETING, UTILITY}",
            ));
        }
    };
    if wanted.ttl_s.is_some_and(|ttl| ttl != -1 && !lives.contains(&ttl)) {
        let (least, most) = (lives.start(), lives.end());
        return Err(Refusal::parameter(&format!(
            "Param message_send_ttl_seconds must be {least} to {most}, or -1."
        )));
    }
    let mut seen: Vec<String> = Vec::new();
    let authenticates = wanted.category == "AUTHENTICATION";
    for component in &wanted.components {
        let kind = text(component, "type").unwrap_or_default().to_ascii_uppercase();
        match kind.as_str() {
            "HEADER" if !authenticates => header(component, wanted.named)?,
            "BODY" if authenticates => authentication(component)?,
            "BODY" => body(component, wanted.named)?,
            "FOOTER" => footer(component, authenticates)?,
            "BUTTONS" => buttons(component, authenticates)?,
            "CAROUSEL" if !authenticates => carousel(component, wanted.named)?,
            "LIMITED_TIME_OFFER" if !authenticates => {}
            _ => {
                return Err(Refusal::parameter(&format!(
                    "Param components['type'] '{kind}' is not allowed here."
                )));
            }
        }
        if seen.contains(&kind) {
            return Err(Refusal::parameter(&format!("Param components has more than one {kind}.")));
        }
        seen.push(kind);
    }
    if !seen.iter().any(|kind| kind == "BODY") {
        return Err(Refusal::parameter("Param components needs a BODY."));
    }
    if authenticates && !seen.iter().any(|kind| kind == "BUTTONS") {
        return Err(Refusal::parameter("An authentication template needs an OTP button."));
    }
    Ok(wanted)
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn too_long(what: &str, most: usize) -> Refusal {
    Refusal::told(
        2_388_040,
        "Character Limit Exceeded",
        format!("The {what} field has more than {most} characters."),
    )
}

fn bounded<'a>(object: &'a Value, key: &str, what: &str, most: usize) -> Result<&'a str, Refusal> {
    let text = text(object, key).unwrap_or_default();
    if text.is_empty() {
        return Err(Refusal::parameter(&format!("The {what} has no {key}.")));
    }
    if text.chars().count() > most { Err(too_long(what, most)) } else { Ok(text) }
}

/// The names in `{{…}}`, in order; `None` if a brace is not closed.
pub(super) fn variables(text: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once("{{") {
        let (name, after) = behind.split_once("}}")?;
        found.push(name.trim());
        rest = after;
    }
    Some(found)
}

/// The variables of a text, if they are written as they must be.
fn well_formed(text: &str, named: bool) -> Option<Vec<&str>> {
    let found = variables(text)?;
    let mut distinct: Vec<&str> = Vec::new();
    for name in found {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    let right = distinct.iter().enumerate().all(|(at, name)| {
        if named {
            let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
            !name.is_empty() && name.bytes().all(letters) && !name.bytes().all(|b| b.is_ascii_digit())
        } else {
            *name == (at + 1).to_string()
        }
    });
    right.then_some(distinct)
}

/// Whether as many examples are given as there are variables: in a list, or by name.
fn has_examples(component: &Value, key: &str, variables: &[&str], named: bool) -> bool {
    let Some(example) = component.get("example") else { return variables.is_empty() };
    if named {
        let list = example.get(format!("{key}_named_params")).and_then(Value::as_array);
        let of = |name: &&str| {
            list.is_some_and(|list| list.iter().any(|one| text(one, "param_name") == Some(name)))
        };
        return variables.iter().all(of);
    }
    let list = example.get(key);
    // the body's stands in a list of lists
    let list = list.and_then(|list| list.get(0).filter(|first| first.is_array()).or(Some(list)));
    list.and_then(Value::as_array).map_or(variables.is_empty(), |list| list.len() == variables.len())
}

fn header(component: &Value, named: bool) -> Check {
    let wrong = |text: &str| Refusal::told(2_388_047, "Header Format Incorrect", text);
    match text(component, "format").map(str::to_ascii_uppercase).as_deref() {
        Some("TEXT") => {
            let text = bounded(component, "text", "header", 60)?;
            let variables = well_formed(text, named)
                .ok_or_else(|| wrong("Variables of the header are not written as they must be."))?;
            if variables.len() > 1 || text.contains('\n') {
                return Err(wrong("The header may have one variable and no line break."));
            }
            if has_examples(component, "header_text", &variables, named) {
                Ok(())
            } else {
                Err(wrong("The header's variable has no example."))
            }
        }
        Some("IMAGE" | "VIDEO" | "DOCUMENT" | "GIF") => {
            let handles = component.pointer("/example/header_handle").and_then(Value::as_array);
            if handles.is_some_and(|handles| handles.iter().all(Value::is_string) && handles.len() == 1) {
                Ok(())
            } else {
                Err(wrong("A header with a medium needs example.header_handle with one handle."))
            }
        }
        Some("LOCATION" | "PRODUCT") => Ok(()),
        _ => {
            Err(wrong("The header's format must be TEXT, IMAGE, VIDEO, DOCUMENT, GIF, LOCATION or PRODUCT."))
        }
    }
}

fn body(component: &Value, named: bool) -> Check {
    let wrong = |text: &str| Refusal::told(2_388_072, "Message Body Format Incorrect", text);
    let text = bounded(component, "text", "body", 1024)?;
    let variables = well_formed(text, named)
        .ok_or_else(|| wrong("Variables of the body are not written as they must be."))?;
    let trimmed = text.trim().trim_end_matches(['.', '!', '?', ',']);
    if trimmed.starts_with("{{") || trimmed.ends_with("}}") {
        return Err(Refusal::told(
            2_388_299,
            "Leading or Trailing Params Not Allowed",
            "Variables cannot stand at the start or the end of the body.",
        ));
    }
    let mut longest = (0, 0);
    for sign in text.chars() {
        longest.1 = if sign.is_whitespace() { longest.1 + 1 } else { 0 };
        longest.0 = longest.0.max(longest.1);
    }
    if longest.0 > 10 {
        return Err(wrong("The body has more than 10 blanks in a row."));
    }
    let mut plain = text.to_owned();
    while let Some((before, behind)) = plain.split_once("{{") {
        plain = format!("{before} {}", behind.split_once("}}").map_or("", |(_, after)| after));
    }
    let words = plain.split_whitespace().filter(|word| word.chars().any(char::is_alphanumeric)).count();
    if words < 2 * variables.len() {
        let text = "This template has too many variables for its length. Reduce them or write more.";
        return Err(Refusal::told(2_388_293, "Parameters Words Ratio Exceeds Limit", text));
    }
    if has_examples(component, "body_text", &variables, named) {
        Ok(())
    } else {
        Err(wrong("The body's variables need an example each."))
    }
}

fn authentication(component: &Value) -> Check {
    if component.get("text").is_some() {
        return Err(Refusal::told(
            2_388_072,
            "Message Body Format Incorrect",
            "The body of an authentication template is WhatsApp's own.",
        ));
    }
    Ok(())
}

fn footer(component: &Value, authenticates: bool) -> Check {
    if authenticates {
        let minutes = component.get("code_expiration_minutes").and_then(Value::as_i64);
        return if minutes.is_some_and(|minutes| (1..=90).contains(&minutes)) {
            Ok(())
        } else {
            Err(Refusal::told(
                2_388_073,
                "Footer Format Incorrect",
                "code_expiration_minutes must be 1 to 90.",
            ))
        };
    }
    let text = bounded(component, "text", "footer", 60)?;
    if text.contains("{{") || text.contains('\n') {
        return Err(Refusal::told(
            2_388_073,
            "Footer Format Incorrect",
            "The footer has no variables and no line breaks.",
        ));
    }
    Ok(())
}

/// Kind of button, how many, and the most characters of its text (0: it has none of its own).
const BUTTONS: &[(&str, usize, usize)] = &[
    ("QUICK_REPLY", 10, 25),
    ("URL", 2, 25),
    ("PHONE_NUMBER", 1, 25),
    ("COPY_CODE", 1, 0),
    ("FLOW", 1, 25),
    ("CATALOG", 1, 25),
    ("MPM", 1, 25),
    ("SPM", 1, 25),
    ("OTP", 1, 0),
    ("VOICE_CALL", 1, 25),
    ("REQUEST_CONTACT_INFO", 1, 0),
];

fn buttons(component: &Value, authenticates: bool) -> Check {
    let wrong = |text: String| Refusal::parameter(&text);
    let list = component.get("buttons").and_then(Value::as_array);
    let list = list.filter(|list| (1..=10).contains(&list.len()));
    let list = list.ok_or_else(|| wrong("BUTTONS needs 1 to 10 buttons.".into()))?;
    let mut kinds = Vec::new();
    for button in list {
        let kind = text(button, "type").unwrap_or_default().to_ascii_uppercase();
        let known = BUTTONS.iter().find(|(known, ..)| *known == kind);
        let (name, most, longest) =
            known.ok_or_else(|| wrong(format!("Button type '{kind}' is unknown.")))?;
        if (*name == "OTP") != authenticates {
            return Err(wrong("OTP buttons belong to authentication templates, and only they do.".into()));
        }
        if *longest > 0 {
            bounded(button, "text", "button", *longest)?;
        }
        match *name {
            "URL" => url(button)?,
            "PHONE_NUMBER" => bounded(button, "phone_number", "phone_number", 20).map(|_| ())?,
            "COPY_CODE" => {
                let example = button.get("example");
                let example = example.and_then(|e| e.as_str().or_else(|| e.get(0).and_then(Value::as_str)));
                if !example.is_some_and(|code| (1..=20).contains(&code.chars().count())) {
                    return Err(wrong(
                        "A COPY_CODE button needs an example of at most 20 characters.".into(),
                    ));
                }
            }
            "OTP"
                if !text(button, "otp_type")
                    .is_some_and(|kind| ["COPY_CODE", "ONE_TAP", "ZERO_TAP"].contains(&kind)) =>
            {
                return Err(wrong("otp_type must be one of {COPY_CODE, ONE_TAP, ZERO_TAP}".into()));
            }
            _ => {}
        }
        kinds.push(*name);
        if kinds.iter().filter(|kind| *kind == name).count() > *most {
            return Err(wrong(format!("At most {most} buttons of type {name}.")));
        }
    }
    let mut runs = kinds
        .chunk_by(|a, b| (*a == "QUICK_REPLY") == (*b == "QUICK_REPLY"))
        .filter(|run| run[0] == "QUICK_REPLY");
    if runs.by_ref().count() > 1 {
        return Err(wrong("Quick replies must stand together.".into()));
    }
    Ok(())
}

fn url(button: &Value) -> Check {
    let url = bounded(button, "url", "url", 2000)?;
    let variables = variables(url).unwrap_or_default();
    let at_end = variables.is_empty() || url.ends_with("}}");
    if variables.len() > 1 || !at_end || !url.starts_with("http") {
        return Err(Refusal::parameter(
            "A URL button needs an http(s) URL with at most one variable, at its end.",
        ));
    }
    let example =
        button.get("example").is_some_and(|example| example.is_string() || example.get(0).is_some());
    if variables.is_empty() || example {
        Ok(())
    } else {
        Err(Refusal::parameter("A URL with a variable needs an example."))
    }
}

fn carousel(component: &Value, named: bool) -> Check {
    let cards =
        component.get("cards").and_then(Value::as_array).filter(|cards| (2..=10).contains(&cards.len()));
    let cards = cards.ok_or_else(|| Refusal::parameter("CAROUSEL needs 2 to 10 cards."))?;
    let mut shapes = Vec::new();
    for card in cards {
        let parts = card.get("components").and_then(Value::as_array);
        let parts = parts.ok_or_else(|| Refusal::parameter("A card needs components."))?;
        let mut shape = Vec::new();
        for part in parts {
            let kind = text(part, "type").unwrap_or_default().to_ascii_uppercase();
            match kind.as_str() {
                "HEADER" => header(part, named)?,
                "BODY" => {
                    bounded(part, "text", "card", 160)?;
                }
                "BUTTONS" => buttons(part, false)?,
                _ => return Err(Refusal::parameter("A card has a header, a body and buttons.")),
            }
            shape.push(kind);
        }
        shapes.push(shape);
    }
    if shapes.windows(2).all(|two| two[0] == two[1]) {
        Ok(())
    } else {
        Err(Refusal::parameter("All cards must have the same components."))
    }
}
