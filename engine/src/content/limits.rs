//! The limits of outbound content but for interactive ones. Source: Meta's Cloud API, messages reference.
//! Not the rules of sending (window, opt-out, pacing): those are the conversation's.

use super::node::{Node, within};
use super::{Content, ContentError, Coordinate, Location, Media, Reaction, TemplateMessage, interactive};
use serde_json::Value;

const BODY: usize = 4_096;
const CAPTION: usize = 1_024;
const FILENAME: usize = 240;
const LINK: usize = 2_048;
const CONTACTS: usize = 257;
const TEMPLATE_NAME: usize = 512;
const PAYLOAD: usize = 256;
const CARDS: usize = 10;
/// Most parameters of one component; far above any template, so that a loop in the caller is noticed.
const PARAMETERS: usize = 100;

/// See [`Content::validate`].
pub(super) fn check(content: &Content) -> Result<(), ContentError> {
    match content {
        Content::Text(text) => required("text.body", &text.body, BODY),
        Content::Image(media) | Content::Video(media) => check_media(content.kind(), media, true, false),
        Content::Document(media) => check_media("document", media, true, true),
        Content::Audio(media) | Content::Sticker(media) => check_media(content.kind(), media, false, false),
        Content::Location(location) => check_location(location),
        Content::Contacts(cards) => check_contacts(cards),
        Content::Reaction(reaction) => check_reaction(reaction),
        Content::Interactive(value) => interactive::check(value),
        Content::Template(template) => check_template(template),
        Content::Button(_) => Err(not_allowed("type", "`button` is only received; send `interactive`")),
        Content::Other { .. } => Err(not_allowed(
            "type",
            "send text, image, video, audio, document, sticker, location, contacts, reaction, interactive or template",
        )),
    }
}

fn not_allowed(path: &str, reason: &'static str) -> ContentError {
    ContentError::NotAllowed { path: path.to_owned(), reason }
}

fn required(path: &str, text: &str, limit: usize) -> Result<(), ContentError> {
    if text.trim().is_empty() {
        return Err(ContentError::Missing { path: path.to_owned() });
    }
    within(text, limit, || path.to_owned())
}

fn check_media(kind: &str, media: &Media, caption: bool, filename: bool) -> Result<(), ContentError> {
    let path = |field: &str| format!("{kind}.{field}");
    match (media.id.as_deref(), media.link.as_deref()) {
        (None | Some(""), None | Some("")) => return Err(ContentError::Missing { path: path("id") }),
        (Some(id), None) => within(id, LINK, || path("id"))?,
        (None, Some(link)) => {
            within(link, LINK, || path("link"))?;
            if !is_web_address(link) {
                return Err(ContentError::Invalid {
                    path: path("link"),
                    expected: "a public http or https address".to_owned(),
                });
            }
        }
        (Some(_), Some(_)) => return Err(not_allowed(&path("link"), "give either `id` or `link`")),
    }
    match &media.caption {
        Some(_) if !caption => return Err(not_allowed(&path("caption"), "this type has no caption")),
        Some(text) => within(text, CAPTION, || path("caption"))?,
        None => {}
    }
    match &media.filename {
        Some(_) if !filename => Err(not_allowed(&path("filename"), "only a document has a filename")),
        Some(name) => within(name, FILENAME, || path("filename")),
        None => Ok(()),
    }
}

pub(super) fn is_web_address(link: &str) -> bool {
    let rest = link.strip_prefix("https://").or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

fn check_location(location: &Location) -> Result<(), ContentError> {
    let within_degrees = |field: &str, value: &Coordinate, most: f64| {
        if value.degrees().is_some_and(|degrees| degrees.abs() <= most) {
            Ok(())
        } else {
            Err(ContentError::Invalid {
                path: format!("location.{field}"),
                expected: format!("degrees between -{most} and {most}"),
            })
        }
    };
    within_degrees("latitude", &location.latitude, 90.0)?;
    within_degrees("longitude", &location.longitude, 180.0)
}

fn check_contacts(cards: &[Value]) -> Result<(), ContentError> {
    if !(1..=CONTACTS).contains(&cards.len()) {
        return Err(ContentError::Count {
            path: "contacts".to_owned(),
            min: 1,
            max: CONTACTS,
            value: cards.len(),
        });
    }
    for (index, card) in cards.iter().enumerate() {
        let root = format!("contacts[{index}]");
        let card = Node::root(&root, card);
        let name = card.key("name");
        name.key("formatted_name").text(CAPTION)?;
        let parts = ["first_name", "last_name", "middle_name", "prefix", "suffix"];
        if !parts.iter().any(|part| name.key(part).str().is_some_and(|text| !text.is_empty())) {
            return Err(name.invalid("a formatted_name and one more part such as first_name"));
        }
    }
    Ok(())
}

fn check_reaction(reaction: &Reaction) -> Result<(), ContentError> {
    required("reaction.message_id", &reaction.message_id, CAPTION)?;
    // The longest emoji (families, flags of regions) have fewer than 16 code points.
    within(&reaction.emoji, 16, || "reaction.emoji".to_owned())?;
    if reaction.emoji.chars().any(|c| c.is_alphabetic()) {
        return Err(ContentError::Invalid {
            path: "reaction.emoji".to_owned(),
            expected: "one emoji, or empty to take the reaction back".to_owned(),
        });
    }
    Ok(())
}

fn check_template(template: &TemplateMessage) -> Result<(), ContentError> {
    required("template.name", &template.name, TEMPLATE_NAME)?;
    required("template.language.code", &template.language.code, 16)?;
    if template.language.policy.as_deref().is_some_and(|policy| policy != "deterministic") {
        return Err(ContentError::Invalid {
            path: "template.language.policy".to_owned(),
            expected: "`deterministic` or left out".to_owned(),
        });
    }
    for (index, component) in template.components.iter().enumerate() {
        let root = format!("template.components[{index}]");
        check_component(&Node::root(&root, component), 0)?;
    }
    Ok(())
}

/// One component, or one of a card's; cards do not stand in cards.
fn check_component(component: &Node<'_>, depth: usize) -> Result<(), ContentError> {
    let kind_node = component.key("type");
    let kind = kind_node.text(64)?.to_ascii_lowercase();
    let parameters = component.key("parameters");
    if parameters.exists() {
        parameters.count(0, PARAMETERS)?;
    }
    match kind.as_str() {
        "header" if parameters.exists() => {
            parameters.count(0, 1)?;
        }
        "button" => {
            component.key("sub_type").text(64)?;
            let index = component.key("index");
            if !index.exists() {
                return Err(index.missing());
            }
        }
        "carousel" if depth > 0 => return Err(kind_node.invalid("header, body or button within a card")),
        "carousel" => {
            let cards = component.key("cards");
            cards.count(1, CARDS)?;
            for card in cards.items() {
                let components = card.key("components");
                components.count(1, PARAMETERS)?;
                for component in components.items() {
                    check_component(&component, depth + 1)?;
                }
            }
        }
        _ => {}
    }
    for parameter in parameters.items() {
        check_parameter(&parameter)?;
    }
    Ok(())
}

fn check_parameter(parameter: &Node<'_>) -> Result<(), ContentError> {
    match parameter.key("type").text(64)? {
        "text" => parameter.key("text").text(BODY).map(|_| ()),
        "payload" => parameter.key("payload").text_if_any(PAYLOAD),
        kind @ ("image" | "video" | "document") => {
            let media = parameter.key(kind);
            let given = ["id", "link"].iter().filter(|field| media.key(field).exists()).count();
            match given {
                1 => Ok(()),
                0 => Err(media.key("id").missing()),
                _ => {
                    Err(ContentError::NotAllowed { path: media.path(), reason: "give either `id` or `link`" })
                }
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_json(message: &Value) -> Result<(), String> {
        Content::from_json(message).unwrap().validate().map_err(|error| error.to_string())
    }

    #[test]
    fn good_content_passes() {
        for message in [
            json!({"type": "text", "text": {"body": "ä".repeat(4_096)}}),
            json!({"type": "image", "image": {"id": "1", "caption": "x".repeat(1_024)}}),
            json!({"type": "document", "document": {"link": "https://a.example/b", "filename": "a.pdf"}}),
            json!({"type": "audio", "audio": {"id": "1", "voice": true}}),
            json!({"type": "location", "location": {"latitude": "48.2", "longitude": -180}}),
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "A B", "first_name": "A"}}]}),
            json!({"type": "reaction", "reaction": {"message_id": "w", "emoji": "👨‍👩‍👧‍👦"}}),
            json!({"type": "reaction", "reaction": {"message_id": "w", "emoji": ""}}),
            json!({"type": "template", "template": {"name": "a", "language": {"code": "id"}, "components": [
                {"type": "header", "parameters": [{"type": "document", "document": {"id": "1", "filename": "i"}}]},
                {"type": "body", "parameters": [{"type": "text", "text": "A"}, {"type": "currency"}]},
                {"type": "button", "sub_type": "quick_reply", "index": 1,
                    "parameters": [{"type": "payload", "payload": "p".repeat(256)}]},
                {"type": "carousel", "cards": [{"card_index": 0, "components": [{"type": "body"}]}]}]}}),
        ] {
            assert_eq!(check_json(&message), Ok(()), "{message}");
        }
    }

    #[test]
    fn refused_content_names_path_limit_and_value() {
        for (message, error) in [
            (
                json!({"text": {"body": "x".repeat(4_097)}}),
                "`text.body` has 4097 characters, the limit is 4096: shorten it",
            ),
            (json!({"text": {"body": " \n"}}), "`text.body` is missing or empty"),
            (json!({"type": "image", "image": {}}), "`image.id` is missing or empty"),
            (
                json!({"type": "image", "image": {"id": "1", "link": "https://a"}}),
                "`image.link` is not allowed here: give either `id` or `link`",
            ),
            (
                json!({"type": "video", "video": {"link": "ftp://a"}}),
                "`video.link` must be a public http or https address",
            ),
            (
                json!({"type": "video", "video": {"id": "1", "filename": "a"}}),
                "`video.filename` is not allowed here: only a document has a filename",
            ),
            (
                json!({"type": "sticker", "sticker": {"id": "1", "caption": "a"}}),
                "`sticker.caption` is not allowed here: this type has no caption",
            ),
            (
                json!({"type": "document", "document": {"id": "1", "caption": "x".repeat(1_025)}}),
                "`document.caption` has 1025 characters, the limit is 1024: shorten it",
            ),
            (
                json!({"type": "location", "location": {"latitude": 91, "longitude": 0}}),
                "`location.latitude` must be degrees between -90 and 90",
            ),
            (
                json!({"type": "location", "location": {"latitude": 1, "longitude": "NaN"}}),
                "`location.longitude` must be degrees between -180 and 180",
            ),
            (json!({"type": "contacts", "contacts": []}), "`contacts` has 0 items, allowed are 1 to 257"),
            (
                json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "A"}}]}),
                "`contacts[0].name` must be a formatted_name and one more part such as first_name",
            ),
            (
                json!({"type": "reaction", "reaction": {"message_id": "", "emoji": "👍"}}),
                "`reaction.message_id` is missing or empty",
            ),
            (
                json!({"type": "reaction", "reaction": {"message_id": "w", "emoji": "ok"}}),
                "`reaction.emoji` must be one emoji, or empty to take the reaction back",
            ),
            (
                json!({"type": "template", "template": {"name": "a", "language": {"code": "id", "policy": "fallback"}}}),
                "`template.language.policy` must be `deterministic` or left out",
            ),
        ] {
            assert_eq!(check_json(&message), Err(error.to_owned()));
        }
    }

    #[test]
    fn refused_templates_and_received_types_name_their_path() {
        let template = |component: Value| {
            json!({"type": "template", "template": {"name": "a", "language": {"code": "id"},
                "components": [{"type": "body"}, component]}})
        };
        for (message, error) in [
            (template(json!({})), "`template.components[1].type` is missing or empty"),
            (
                template(json!({"type": "button", "index": 0})),
                "`template.components[1].sub_type` is missing or empty",
            ),
            (
                template(json!({"type": "button", "sub_type": "url"})),
                "`template.components[1].index` is missing or empty",
            ),
            (
                template(
                    json!({"type": "header", "parameters": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
                ),
                "`template.components[1].parameters` has 2 items, allowed are 0 to 1",
            ),
            (
                template(json!({"type": "body", "parameters": [{"type": "text", "text": ""}]})),
                "`template.components[1].parameters[0].text` is missing or empty",
            ),
            (
                template(
                    json!({"type": "carousel", "cards": [{"components": [{"type": "header", "parameters": [{"type": "image", "image": {}}]}]}]}),
                ),
                "`template.components[1].cards[0].components[0].parameters[0].image.id` is missing or empty",
            ),
            (
                template(json!({"type": "carousel", "cards": [{"components": [{"type": "carousel"}]}]})),
                "`template.components[1].cards[0].components[0].type` must be header, body or button within a card",
            ),
            (
                json!({"type": "button", "button": {"text": "a"}}),
                "`type` is not allowed here: `button` is only received; send `interactive`",
            ),
        ] {
            assert_eq!(check_json(&message), Err(error.to_owned()));
        }
        assert!(check_json(&json!({"type": "order", "order": {}})).is_err());
    }
}
