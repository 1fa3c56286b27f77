//! The limits of interactive messages, one function per kind. Source: Meta's Cloud API, interactive objects.
//! Kinds Meta adds later pass with the limits all have.

use super::ContentError;
use super::limits::is_web_address;
use super::node::Node;
use serde_json::Value;
use std::collections::HashSet;

const LIST_BODY: usize = 4_096;
const BODY: usize = 1_024;
const SHORT: usize = 60;
const BUTTON_TITLE: usize = 20;
const BUTTON_ID: usize = 256;
const ROW_ID: usize = 200;
const ROW_TITLE: usize = 24;
const ROW_DESCRIPTION: usize = 72;
const FLOW_BUTTON: usize = 30;
const CARD_BODY: usize = 160;
const LINK: usize = 2_048;

/// Which headers a kind takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    No,
    TextOnly,
    Any,
}

/// Checks one outbound interactive object.
pub(super) fn check(value: &Value) -> Result<(), ContentError> {
    let root = Node::root("interactive", value);
    let kind_node = root.key("type");
    let kind = kind_node.text(64)?;
    if kind.ends_with("_reply") {
        return Err(kind_node.invalid("a kind to send such as button or list; replies are only received"));
    }
    let (header, footer, body_limit) = match kind {
        "list" => (Header::TextOnly, true, LIST_BODY),
        "product_list" => (Header::TextOnly, true, BODY),
        "button" | "cta_url" | "flow" => (Header::Any, true, BODY),
        "carousel" | "location_request_message" => (Header::No, false, BODY),
        "product" | "catalog_message" => (Header::No, true, BODY),
        _ => (Header::Any, true, BODY),
    };
    check_frame(&root, header, footer)?;
    let body = root.key("body");
    body.key("text").text(body_limit)?;
    let action = root.key("action");
    match kind {
        "button" => check_buttons(&action.key("buttons"), "reply", 3),
        "list" => check_list(&action),
        "cta_url" => check_link(&action),
        "flow" => check_flow(&action),
        "carousel" => check_carousel(&action),
        "product" => check_fields(&action, &["catalog_id", "product_retailer_id"]),
        "product_list" => check_products(&root, &action),
        "location_request_message" => check_name(&action, "send_location"),
        "call_permission_request" | "catalog_message" | "request_contact_info" => check_name(&action, kind),
        "voice_call" => {
            check_name(&action, kind)?;
            let parameters = action.key("parameters");
            parameters.key("display_text").text_if_any(BUTTON_TITLE)
        }
        _ => Ok(()),
    }
}

fn check_frame(root: &Node<'_>, allowed: Header, footer_allowed: bool) -> Result<(), ContentError> {
    let header = root.key("header");
    if allowed == Header::No {
        header.refuse_if_any("this kind has no header")?;
    } else if header.exists() {
        let kind_node = header.key("type");
        match kind_node.text(64)? {
            "text" => {
                header.key("text").text(SHORT)?;
            }
            _ if allowed == Header::TextOnly => {
                return Err(kind_node.invalid("`text`: this kind takes no other header"));
            }
            kind @ ("image" | "video" | "document") => check_media(&header.key(kind))?,
            _ => return Err(kind_node.invalid("text, image, video or document")),
        }
    }
    let footer = root.key("footer");
    if !footer_allowed {
        return footer.refuse_if_any("this kind has no footer");
    }
    if footer.exists() {
        footer.key("text").text(SHORT)?;
    }
    Ok(())
}

fn check_media(media: &Node<'_>) -> Result<(), ContentError> {
    let (id, link) = (media.key("id"), media.key("link"));
    match (id.exists(), link.exists()) {
        (true, false) => id.text(LINK).map(|_| ()),
        (false, true) => check_address(&link),
        (false, false) => Err(id.missing()),
        (true, true) => {
            Err(ContentError::NotAllowed { path: link.path(), reason: "give either `id` or `link`" })
        }
    }
}

fn check_address(link: &Node<'_>) -> Result<(), ContentError> {
    let text = link.text(LINK)?;
    if is_web_address(text) { Ok(()) } else { Err(link.invalid("an http or https address")) }
}

fn unique<'a>(seen: &mut HashSet<&'a str>, node: &Node<'a>, text: &'a str) -> Result<(), ContentError> {
    if seen.insert(text) { Ok(()) } else { Err(ContentError::Repeated { path: node.path() }) }
}

/// Reply buttons, or quick replies on a card: titles and ids unique.
fn check_buttons(buttons: &Node<'_>, kind: &str, most: usize) -> Result<(), ContentError> {
    buttons.count(1, most)?;
    let items: Vec<Node<'_>> = buttons.items().collect();
    let replies: Vec<Node<'_>> = items.iter().map(|item| item.key(kind)).collect();
    let (mut ids, mut titles) = (HashSet::new(), HashSet::new());
    for (item, reply) in items.iter().zip(&replies) {
        if item.key("type").str() != Some(kind) {
            return Err(item.key("type").invalid(&format!("`{kind}`")));
        }
        let id = reply.key("id");
        if let Some(text) = reply_text(reply, "id") {
            unique(&mut ids, &id, text)?;
        }
        id.text(BUTTON_ID)?;
        let title = reply.key("title");
        if let Some(text) = reply_text(reply, "title") {
            unique(&mut titles, &title, text)?;
        }
        title.text(BUTTON_TITLE)?;
    }
    Ok(())
}

/// The string under `key`, living as long as the message.
fn reply_text<'a>(reply: &Node<'a>, key: &'a str) -> Option<&'a str> {
    reply.value().and_then(|value| value.get(key)).and_then(Value::as_str)
}

fn check_list(action: &Node<'_>) -> Result<(), ContentError> {
    action.key("button").text(BUTTON_TITLE)?;
    let sections = action.key("sections");
    let many = sections.count(1, 10)? > 1;
    let (mut ids, mut rows_total) = (HashSet::new(), 0);
    for section in sections.items() {
        let title = section.key("title");
        if many {
            title.text(ROW_TITLE)?;
        } else {
            title.text_if_any(ROW_TITLE)?;
        }
        let rows = section.key("rows");
        rows_total += rows.count(1, 10)?;
        for row in rows.items() {
            let id = row.key("id");
            if !ids.insert(id.text(ROW_ID)?.to_owned()) {
                return Err(ContentError::Repeated { path: id.path() });
            }
            row.key("title").text(ROW_TITLE)?;
            row.key("description").text_if_any(ROW_DESCRIPTION)?;
        }
    }
    if rows_total > 10 {
        return Err(ContentError::Count {
            path: format!("{}[*].rows", sections.path()),
            min: 1,
            max: 10,
            value: rows_total,
        });
    }
    Ok(())
}

fn check_link(action: &Node<'_>) -> Result<(), ContentError> {
    check_name(action, "cta_url")?;
    let parameters = action.key("parameters");
    parameters.key("display_text").text(BUTTON_TITLE)?;
    check_address(&parameters.key("url"))
}

fn check_flow(action: &Node<'_>) -> Result<(), ContentError> {
    check_name(action, "flow")?;
    let parameters = action.key("parameters");
    parameters.key("flow_cta").text(FLOW_BUTTON)?;
    let (id, name) = (parameters.key("flow_id"), parameters.key("flow_name"));
    match (id.exists(), name.exists()) {
        (false, false) => return Err(id.missing()),
        (true, true) => {
            let reason = "give either `flow_id` or `flow_name`";
            return Err(ContentError::NotAllowed { path: name.path(), reason });
        }
        _ => {}
    }
    let flow_action = parameters.key("flow_action");
    match flow_action.str() {
        None if !flow_action.exists() => Ok(()),
        Some("navigate") => Ok(()),
        Some("data_exchange") => {
            parameters.key("flow_action_payload").refuse_if_any("`data_exchange` has no payload")
        }
        _ => Err(flow_action.invalid("navigate or data_exchange")),
    }
}

/// Cards with a link, with quick replies, or of products: 2 to 10, all of one kind.
fn check_carousel(action: &Node<'_>) -> Result<(), ContentError> {
    let cards = action.key("cards");
    cards.count(2, 10)?;
    let mut first: Option<(bool, bool, usize)> = None;
    for card in cards.items() {
        let card_action = card.key("action");
        let buttons = card_action.key("buttons");
        let product = card.key("type").str() == Some("product");
        let shape = (product, buttons.exists(), buttons.items().count());
        if *first.get_or_insert(shape) != shape {
            return Err(card.invalid("of the kind of the first card, with as many buttons"));
        }
        if product {
            check_fields(&card_action, &["catalog_id", "product_retailer_id"])?;
            continue;
        }
        let header = card.key("header");
        let kind_node = header.key("type");
        match kind_node.text(64)? {
            kind @ ("image" | "video") => check_media(&header.key(kind))?,
            _ => return Err(kind_node.invalid("image or video")),
        }
        let body = card.key("body");
        body.key("text").text_if_any(CARD_BODY)?;
        if body.key("text").str().is_some_and(|text| text.matches('\n').count() > 2) {
            return Err(body.key("text").invalid("a text with at most 2 line breaks"));
        }
        if buttons.exists() {
            check_buttons(&buttons, "quick_reply", 3)?;
        } else {
            check_link(&card_action)?;
        }
    }
    Ok(())
}

fn check_products(root: &Node<'_>, action: &Node<'_>) -> Result<(), ContentError> {
    let header = root.key("header");
    if !header.exists() {
        return Err(header.missing());
    }
    check_fields(action, &["catalog_id"])?;
    let sections = action.key("sections");
    sections.count(1, 10)?;
    let mut total = 0;
    for section in sections.items() {
        let items = section.key("product_items");
        total += items.count(1, 30)?;
        for item in items.items() {
            check_fields(&item, &["product_retailer_id"])?;
        }
    }
    if total > 30 {
        let path = format!("{}[*].product_items", sections.path());
        return Err(ContentError::Count { path, min: 1, max: 30, value: total });
    }
    Ok(())
}

fn check_fields(node: &Node<'_>, fields: &[&str]) -> Result<(), ContentError> {
    fields.iter().try_for_each(|field| node.key(field).text(LINK).map(|_| ()))
}

fn check_name(action: &Node<'_>, expected: &str) -> Result<(), ContentError> {
    let name = action.key("name");
    if name.text(64)? == expected { Ok(()) } else { Err(name.invalid(&format!("`{expected}`"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn button(id: &str, title: &str) -> Value {
        json!({"type": "reply", "reply": {"id": id, "title": title}})
    }

    fn buttons(list: Value) -> Value {
        json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": list}})
    }

    fn list(sections: Value) -> Value {
        json!({"type": "list", "body": {"text": "?"}, "action": {"button": "Slots", "sections": sections}})
    }

    fn rows(from: usize, count: usize) -> Value {
        (from..from + count).map(|i| json!({"id": format!("r{i}"), "title": "t"})).collect()
    }

    fn card(action: Value) -> Value {
        json!({"card_index": 0, "type": "cta_url", "action": action,
            "header": {"type": "image", "image": {"link": "https://cdn.example/1.jpg"}}, "body": {"text": "Lamp"}})
    }

    fn link_action(text: &str) -> Value {
        json!({"name": "cta_url", "parameters": {"display_text": text, "url": "https://shop.example/1"}})
    }

    fn carousel(cards: Value) -> Value {
        json!({"type": "carousel", "body": {"text": "New in"}, "action": {"cards": cards}})
    }

    fn quick(id: &str) -> Value {
        json!({"buttons": [{"type": "quick_reply", "quick_reply": {"id": id, "title": "Learn more"}}]})
    }

    #[test]
    fn good_messages_pass() {
        for value in [
            buttons(json!([button("a", "A"), button("b", "B"), button("c", &"x".repeat(20))])),
            list(json!([{"rows": rows(0, 10)}])),
            list(json!([{"title": "a", "rows": rows(0, 5)}, {"title": "b", "rows": rows(5, 5)}])),
            json!({"type": "cta_url", "header": {"type": "text", "text": "Track"}, "body": {"text": "Open"},
                "footer": {"text": "7 days"}, "action": link_action("Track")}),
            json!({"type": "location_request_message", "body": {"text": "?"}, "action": {"name": "send_location"}}),
            carousel(json!([card(link_action("Buy")), card(link_action("Buy"))])),
            carousel(json!([card(quick("1")), card(quick("2"))])),
            carousel(json!([{"type": "product", "action": {"product_retailer_id": "1", "catalog_id": "7"}},
                {"type": "product", "action": {"product_retailer_id": "2", "catalog_id": "7"}}])),
            json!({"type": "product", "body": {"text": "?"}, "action": {"catalog_id": "7", "product_retailer_id": "1"}}),
            json!({"type": "product_list", "header": {"type": "text", "text": "S"}, "body": {"text": "?"},
                "action": {"catalog_id": "7", "sections": [{"title": "H", "product_items": [{"product_retailer_id": "1"}]}]}}),
            json!({"type": "flow", "body": {"text": "?"}, "action": {"name": "flow", "parameters": {
                "flow_message_version": "3", "flow_id": "6", "flow_cta": "Book", "flow_action": "navigate",
                "flow_action_payload": {"screen": "START"}}}}),
            json!({"type": "voice_call", "body": {"text": "?"}, "action": {"name": "voice_call",
                "parameters": {"display_text": "Call now"}}}),
            json!({"type": "request_contact_info", "body": {"text": "?"}, "action": {"name": "request_contact_info"}}),
            json!({"type": "address_message", "body": {"text": "?"}, "action": {"name": "address_message"}}),
        ] {
            assert_eq!(check(&value), Ok(()), "{value}");
        }
    }

    #[test]
    fn refused_buttons_and_rows_name_path_limit_and_value() {
        for (value, error) in [
            (json!({}), "`interactive.type` is missing or empty"),
            (
                json!({"type": "button_reply"}),
                "`interactive.type` must be a kind to send such as button or list; replies are only received",
            ),
            (json!({"type": "button"}), "`interactive.body.text` is missing or empty"),
            (buttons(json!([])), "`interactive.action.buttons` has 0 items, allowed are 1 to 3"),
            (
                buttons(json!([button("a", "A"), button("b", "B"), button("c", &"x".repeat(21))])),
                "`interactive.action.buttons[2].reply.title` has 21 characters, the limit is 20: shorten it",
            ),
            (
                buttons(json!([button("a", "A"), button("a", "B")])),
                "`interactive.action.buttons[1].reply.id` repeats an earlier value: each must be unique",
            ),
            (
                buttons(json!([button("a", "A"), button("b", "A")])),
                "`interactive.action.buttons[1].reply.title` repeats an earlier value: each must be unique",
            ),
            (buttons(json!([{"type": "url"}])), "`interactive.action.buttons[0].type` must be `reply`"),
            (
                list(json!([{"rows": rows(0, 6)}, {"rows": rows(6, 6)}])),
                "`interactive.action.sections[0].title` is missing or empty",
            ),
            (
                list(json!([{"title": "a", "rows": rows(0, 6)}, {"title": "b", "rows": rows(6, 6)}])),
                "`interactive.action.sections[*].rows` has 12 items, allowed are 1 to 10",
            ),
            (
                list(json!([{"title": "a", "rows": rows(0, 2)}, {"title": "b", "rows": rows(1, 1)}])),
                "`interactive.action.sections[1].rows[0].id` repeats an earlier value: each must be unique",
            ),
        ] {
            assert_eq!(check(&value).map_err(|e| e.to_string()), Err(error.to_owned()));
        }
    }

    #[test]
    fn refused_frames_links_and_cards_name_their_path() {
        for (value, error) in [
            (
                json!({"type": "list", "header": {"type": "image"}, "body": {"text": "?"}}),
                "`interactive.header.type` must be `text`: this kind takes no other header",
            ),
            (
                json!({"type": "cta_url", "header": {"type": "image", "image": {}}, "body": {"text": "?"}}),
                "`interactive.header.image.id` is missing or empty",
            ),
            (
                json!({"type": "cta_url", "footer": {"text": "x".repeat(61)}, "body": {"text": "?"}}),
                "`interactive.footer.text` has 61 characters, the limit is 60: shorten it",
            ),
            (
                json!({"type": "cta_url", "body": {"text": "?"}, "action": {"name": "cta_url", "parameters": {"display_text": "a", "url": "shop"}}}),
                "`interactive.action.parameters.url` must be an http or https address",
            ),
            (
                json!({"type": "location_request_message", "body": {"text": "?"}, "action": {"name": "x"}}),
                "`interactive.action.name` must be `send_location`",
            ),
            (
                carousel(json!([card(link_action("Buy"))])),
                "`interactive.action.cards` has 1 items, allowed are 2 to 10",
            ),
            (
                carousel(json!([card(link_action("Buy")), card(quick("1"))])),
                "`interactive.action.cards[1]` must be of the kind of the first card, with as many buttons",
            ),
            (
                json!({"type": "carousel", "header": {"type": "text", "text": "a"}, "body": {"text": "?"}}),
                "`interactive.header` is not allowed here: this kind has no header",
            ),
            (
                json!({"type": "product_list", "body": {"text": "?"}}),
                "`interactive.header` is missing or empty",
            ),
            (
                json!({"type": "flow", "body": {"text": "?"}, "action": {"name": "flow", "parameters": {"flow_cta": "a"}}}),
                "`interactive.action.parameters.flow_id` is missing or empty",
            ),
        ] {
            assert_eq!(check(&value).map_err(|e| e.to_string()), Err(error.to_owned()));
        }
    }
}
