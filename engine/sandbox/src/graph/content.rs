//! What each message type must contain, as the public reference limits it. Syntax only: whether a
//! template, medium or flow exists is nobody's knowledge here.

use std::collections::HashSet;

use serde_json::Value;

use super::refusal::Refusal;
use crate::network::message::Kind;

type Check = Result<(), Refusal>;

/// Checks the object of a message type.
pub(crate) fn check(kind: Kind, object: &Value) -> Check {
    let name = kind.name();
    if kind == Kind::Contacts {
        return contacts(object);
    }
    if !object.is_object() {
        return Err(Refusal::parameter(&format!("Param {name} must be a JSON object.")));
    }
    match kind {
        Kind::Text => required(object, "text", "body", 4096),
        Kind::Image | Kind::Video | Kind::Document => {
            media(object, name).and_then(|()| optional(object, name, "caption", 1024))
        }
        Kind::Audio | Kind::Sticker => media(object, name),
        Kind::Location => location(object),
        Kind::Reaction => reaction(object),
        Kind::Interactive => interactive(object),
        Kind::Template => template(object),
        Kind::Pin => Err(Refusal::invalid("pin is only allowed in groups")),
        Kind::Contacts | Kind::Receipt | Kind::Unknown => Ok(()),
    }
}

fn text<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

/// A string that must be there, not empty, at most `limit` characters long.
fn required(object: &Value, owner: &str, key: &str, limit: usize) -> Check {
    match text(object, key) {
        None => Err(Refusal::missing(&format!("{owner}['{key}']"))),
        Some("") => Err(Refusal::invalid(format!("{owner}['{key}'] must not be empty"))),
        Some(_) => optional(object, owner, key, limit),
    }
}

fn optional(object: &Value, owner: &str, key: &str, limit: usize) -> Check {
    match object.get(key) {
        None | Some(Value::Null) => Ok(()),
        // as many bytes hold at most as many characters
        Some(Value::String(text)) if text.len() <= limit || text.chars().count() <= limit => Ok(()),
        Some(Value::String(_)) => Err(Refusal::parameter(&format!(
            "Param {owner}['{key}'] must be at most {limit} characters long."
        ))),
        Some(_) => Err(Refusal::parameter(&format!("Param {owner}['{key}'] must be a string."))),
    }
}

fn media(object: &Value, owner: &str) -> Check {
    match (text(object, "id"), text(object, "link")) {
        (Some(id), None) if !id.is_empty() => Ok(()),
        (None, Some(link)) if link.starts_with("https://") || link.starts_with("http://") => Ok(()),
        (None, Some(_)) => Err(Refusal::invalid(format!("{owner}['link'] is not a valid URI"))),
        (None, None) => Err(Refusal::missing(&format!("{owner}['id'] or {owner}['link']"))),
        _ => Err(Refusal::invalid(format!("{owner} needs either 'id' or 'link'"))),
    }
}

fn location(object: &Value) -> Check {
    for (key, bound) in [("latitude", 90.0), ("longitude", 180.0)] {
        let degrees = match object.get(key) {
            None => return Err(Refusal::missing(&format!("location['{key}']"))),
            Some(Value::String(text)) => text.parse::<f64>().ok(),
            Some(number) => number.as_f64(),
        };
        if !degrees.is_some_and(|degrees| degrees.abs() <= bound) {
            return Err(Refusal::invalid(format!("location['{key}'] is not valid")));
        }
    }
    Ok(())
}

fn contacts(list: &Value) -> Check {
    let Some(list) = list.as_array().filter(|list| (1..=257).contains(&list.len())) else {
        return Err(Refusal::invalid("contacts must be a list of 1 to 257 contacts"));
    };
    for contact in list {
        let name = contact.get("name").ok_or_else(|| Refusal::missing("contacts['name']"))?;
        required(name, "contacts['name']", "formatted_name", 1024)?;
        let parts = ["first_name", "last_name", "middle_name", "prefix", "suffix"];
        if !parts.iter().any(|part| text(name, part).is_some()) {
            return Err(Refusal::missing("contacts['name']['first_name']"));
        }
    }
    Ok(())
}

fn reaction(object: &Value) -> Check {
    required(object, "reaction", "message_id", 512)?;
    match text(object, "emoji") {
        Some(_) => Ok(()),
        None => Err(Refusal::missing("reaction['emoji']")),
    }
}

fn interactive(object: &Value) -> Check {
    let kind = text(object, "type").ok_or_else(|| Refusal::missing("interactive['type']"))?;
    let (body_limit, body_needed) = match kind {
        "list" => (4096, true),
        "product" | "order_status" => (1024, false),
        "button"
        | "cta_url"
        | "location_request_message"
        | "flow"
        | "carousel"
        | "product_list"
        | "catalog_message"
        | "address_message"
        | "order_details"
        | "call_permission_request"
        | "voice_call"
        | "request_contact_info" => (1024, true),
        _ => return Err(Refusal::invalid(format!("interactive['type'] '{kind}' is unknown"))),
    };
    match object.get("body") {
        Some(body) => required(body, "interactive['body']", "text", body_limit)?,
        None if body_needed => return Err(Refusal::missing("interactive['body']")),
        None => {}
    }
    if let Some(footer) = object.get("footer") {
        required(footer, "interactive['footer']", "text", 60)?;
    }
    header(object, kind)?;
    let action = object
        .get("action")
        .filter(|action| action.is_object())
        .ok_or_else(|| Refusal::missing("interactive['action']"))?;
    match kind {
        "button" => buttons(action),
        "list" => rows(action),
        "carousel" => items(action, "cards", 2..=10).map(|_| ()),
        "product_list" => items(action, "sections", 1..=10).map(|_| ()),
        "product" => required(action, "action", "catalog_id", 512).and(required(
            action,
            "action",
            "product_retailer_id",
            512,
        )),
        "cta_url" => {
            let parameters =
                action.get("parameters").ok_or_else(|| Refusal::missing("action['parameters']"))?;
            required(parameters, "action['parameters']", "display_text", 20)?;
            required(parameters, "action['parameters']", "url", 2000)
        }
        "flow" => {
            action.get("parameters").map(|_| ()).ok_or_else(|| Refusal::missing("action['parameters']"))
        }
        _ => Ok(()),
    }
}

fn header(object: &Value, kind: &str) -> Check {
    let Some(header) = object.get("header") else {
        return if kind == "product_list" { Err(Refusal::missing("interactive['header']")) } else { Ok(()) };
    };
    let owner = "interactive['header']";
    match text(header, "type") {
        Some("text") => required(header, owner, "text", 60),
        Some(medium @ ("image" | "video" | "document")) if !["list", "product_list"].contains(&kind) => {
            let object =
                header.get(medium).ok_or_else(|| Refusal::missing(&format!("{owner}['{medium}']")))?;
            media(object, owner)
        }
        Some(_) => Err(Refusal::invalid(format!("{owner}['type'] is not allowed here"))),
        None => Err(Refusal::missing(&format!("{owner}['type']"))),
    }
}

fn items<'a>(
    action: &'a Value,
    key: &str,
    count: std::ops::RangeInclusive<usize>,
) -> Result<&'a [Value], Refusal> {
    let list = action.get(key).and_then(Value::as_array);
    let list = list.ok_or_else(|| Refusal::missing(&format!("action['{key}']")))?;
    if count.contains(&list.len()) {
        Ok(list)
    } else {
        let (least, most) = (count.start(), count.end());
        Err(Refusal::invalid(format!("action['{key}'] needs {least} to {most} entries")))
    }
}

fn buttons(action: &Value) -> Check {
    let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
    for button in items(action, "buttons", 1..=3)? {
        let reply = button.get("reply").ok_or_else(|| Refusal::missing("button['reply']"))?;
        required(reply, "button['reply']", "title", 20)?;
        required(reply, "button['reply']", "id", 256)?;
        if !ids.insert(text(reply, "id")) || !titles.insert(text(reply, "title")) {
            return Err(Refusal::invalid("button ids and titles must be unique"));
        }
    }
    Ok(())
}

fn rows(action: &Value) -> Check {
    required(action, "action", "button", 20)?;
    let sections = items(action, "sections", 1..=10)?;
    let mut ids = HashSet::new();
    for section in sections {
        optional(section, "section", "title", 24)?;
        if sections.len() > 1 && text(section, "title").is_none() {
            return Err(Refusal::missing("section['title']"));
        }
        for row in items(section, "rows", 1..=10)? {
            required(row, "row", "id", 200)?;
            required(row, "row", "title", 24)?;
            optional(row, "row", "description", 72)?;
            if !ids.insert(text(row, "id")) {
                return Err(Refusal::invalid("row ids must be unique"));
            }
        }
    }
    if ids.len() > 10 {
        return Err(Refusal::invalid("Total row count exceed max allowed count: 10"));
    }
    Ok(())
}

fn template(object: &Value) -> Check {
    required(object, "template", "name", 512)?;
    let language = object.get("language").ok_or_else(|| Refusal::missing("template['language']"))?;
    required(language, "template['language']", "code", 32)?;
    for (prefix, code) in [("missing_", 132_001), ("mismatch_", 132_000), ("paused_", 132_015)] {
        if text(object, "name").is_some_and(|name| name.starts_with(prefix)) {
            return Err(Refusal::of(code));
        }
    }
    let Some(components) = object.get("components") else { return Ok(()) };
    let Some(components) = components.as_array() else {
        return Err(Refusal::parameter("Param template['components'] must be an array."));
    };
    for component in components {
        let kind = text(component, "type").ok_or_else(|| Refusal::missing("component['type']"))?;
        match kind.to_ascii_lowercase().as_str() {
            "header" | "body" | "carousel" | "limited_time_offer" | "tap_target_configuration" => {}
            "button" if text(component, "sub_type").is_some() && component.get("index").is_some() => {}
            "button" => return Err(Refusal::missing("component['sub_type'] and component['index']")),
            _ => return Err(Refusal::invalid(format!("component['type'] '{kind}' is unknown"))),
        }
        parameters(component)?;
    }
    Ok(())
}

fn parameters(component: &Value) -> Check {
    let Some(parameters) = component.get("parameters") else { return Ok(()) };
    let Some(parameters) = parameters.as_array() else {
        return Err(Refusal::parameter("Param component['parameters'] must be an array."));
    };
    for parameter in parameters {
        let kind = text(parameter, "type").ok_or_else(|| Refusal::missing("parameter['type']"))?;
        match kind {
            "text" => required(parameter, "parameter", "text", 32_768).map_err(|_| Refusal::of(132_012))?,
            "image" | "video" | "document" => {
                media(parameter.get(kind).ok_or_else(|| Refusal::of(132_012))?, "parameter")?;
            }
            "payload"
            | "coupon_code"
            | "action"
            | "currency"
            | "date_time"
            | "location"
            | "product"
            | "group_id"
            | "tap_target_configuration" => {
                parameter.get(kind).map(|_| ()).ok_or_else(|| Refusal::of(132_012))?;
            }
            _ => return Err(Refusal::invalid(format!("parameter['type'] '{kind}' is unknown"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn code(kind: &str, object: Value) -> Option<u32> {
        check(Kind::named(kind).unwrap(), &object).err().map(|refusal| refusal.code)
    }

    #[test]
    fn well_formed_objects_pass() {
        let rows =
            json!([{"id": "t1", "title": "09-12", "description": "Morning"}, {"id": "t2", "title": "12-15"}]);
        let reply = |id: &str| json!({"type": "reply", "reply": {"id": id, "title": id}});
        for (kind, object) in [
            ("text", json!({"body": "Hi", "preview_url": true})),
            ("image", json!({"link": "https://cdn.example/a.png", "caption": "Blue"})),
            ("audio", json!({"id": "900"})),
            ("location", json!({"latitude": "48.2", "longitude": 16.3})),
            ("contacts", json!([{"name": {"formatted_name": "Ana Diaz", "first_name": "Ana"}}])),
            ("reaction", json!({"message_id": "wamid.x", "emoji": ""})),
            (
                "interactive",
                json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": [reply("a"), reply("b")]}}),
            ),
            (
                "interactive",
                json!({"type": "list", "body": {"text": "?"}, "action": {"button": "Slots", "sections": [{"rows": rows}]}}),
            ),
            (
                "interactive",
                json!({"type": "cta_url", "body": {"text": "?"}, "action": {"name": "cta_url", "parameters": {"display_text": "Go", "url": "https://a.example"}}}),
            ),
            (
                "template",
                json!({"name": "order", "language": {"code": "id"}, "components": [
                {"type": "body", "parameters": [{"type": "text", "parameter_name": "n", "text": "Ana"}]},
                {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "A-81"}]}]}),
            ),
        ] {
            assert_eq!(code(kind, object.clone()), None, "{kind} {object}");
        }
    }

    #[test]
    fn what_is_missing_wrong_or_too_long_has_metas_code() {
        let twice = json!([{"reply": {"id": "a", "title": "x"}}, {"reply": {"id": "a", "title": "y"}}]);
        for (kind, object, expected) in [
            ("text", json!({}), 131_008),
            ("text", json!({"body": ""}), 131_009),
            ("text", json!({"body": "é".repeat(4097)}), 100),
            ("text", json!("Hi"), 100),
            ("image", json!({"caption": "x"}), 131_008),
            ("image", json!({"link": "ftp://x"}), 131_009),
            ("image", json!({"id": "1", "link": "https://x"}), 131_009),
            ("location", json!({"latitude": 91, "longitude": 0}), 131_009),
            ("contacts", json!([{"name": {"formatted_name": "Ana"}}]), 131_008),
            ("reaction", json!({"emoji": "x"}), 131_008),
            ("interactive", json!({"type": "poll", "action": {}}), 131_009),
            (
                "interactive",
                json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": twice}}),
                131_009,
            ),
            ("interactive", json!({"type": "button", "body": {"text": "?"}}), 131_008),
            ("template", json!({"name": "x"}), 131_008),
            ("template", json!({"name": "missing_x", "language": {"code": "id"}}), 132_001),
            (
                "template",
                json!({"name": "x", "language": {"code": "id"}, "components": [{"type": "body", "parameters": [{"type": "text"}]}]}),
                132_012,
            ),
            ("pin", json!({}), 131_009),
        ] {
            assert_eq!(code(kind, object.clone()), Some(expected), "{kind} {object}");
        }
        assert_eq!(code("text", json!({"body": "é".repeat(4096)})), None);
    }
}
