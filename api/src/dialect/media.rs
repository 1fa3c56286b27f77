//! Files in Meta's words: uploaded to a number, described with a URL to read them at, read, deleted. A file is the tenant's own
//! as under `/v1/media`, and its id here is the same number in decimal digits; it is uploaded to Meta when a message needs it. What
//! a person sent has an id of another kind.

pub(super) mod received;

use super::{Node, no_such_object, session};
use crate::auth::For;
use crate::body::Id;
use crate::problem::{Code, Problem};
use crate::routes::media::{self, content, form};
use crate::state::ApiState;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use kabar_actors::media::{Kept, Wanted};
use kabar_engine::id::MediaId;
use kabar_schema::records::{Media, MediaOrigin};
use serde_json::{Map, Value, json};

/// Types of messages whose object names a file.
const HOLDERS: [&str; 5] = ["image", "video", "audio", "document", "sticker"];
/// How deep a message's parts lie within each other at most.
const DEPTH: usize = 16;

/// The file of the tenant's own that an id of this dialect names.
fn id(text: &str) -> Option<MediaId> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok().map(MediaId)).flatten()
}

/// The file that an id of this dialect names, also one that came with a message.
async fn found(state: &ApiState, whom: &For, text: &str) -> Result<Option<MediaId>, Problem> {
    match received::message(text) {
        Some(message) => received::file(state, whom, message).await,
        None => Ok(id(text)),
    }
}

/// `POST /{version}/{phone_number_id}/media`
pub(super) async fn post(
    State(state): State<ApiState>,
    whom: For,
    Node(number): Node,
    request: Request,
) -> Result<Json<Value>, Problem> {
    session(&state, &whom, &number).await?;
    let _place = media::place(&state, whom.tenant)?;
    let mut form = form::open(request)?;
    let (mut kept, mut product, mut kind): (Option<Kept>, bool, Option<String>) = (None, false, None);
    // Clients write the fields in any order.
    while let Some(field) = form.next_field().await.map_err(|error| form::broken(&error))? {
        match field.name() {
            Some("file") => {
                let mut wanted = Wanted::from(MediaOrigin::Upload);
                let said =
                    field.content_type().is_some_and(|kind| kind.essence_str() != "application/octet-stream");
                if !said {
                    wanted.mime.clone_from(&kind);
                }
                kept = Some(form::last(&state, whom.tenant, field, wanted).await?);
            }
            Some("messaging_product") => {
                product = form::said(field).await?.trim() == "whatsapp";
            }
            Some("type") => kind = Some(form::said(field).await?),
            // Meta's own, of numbers that keep nothing.
            Some("ttl_minutes") => _ = form::said(field).await?,
            name => {
                let name: String = name.unwrap_or_default().chars().take(64).collect();
                return Err(Problem::new(Code::UnknownField, format!("Unexpected key `{name}`.")).at(&name));
            }
        }
    }
    let kept = kept.ok_or_else(|| super::message::missing("file"))?;
    if !product {
        return Err(super::message::missing("messaging_product"));
    }
    Ok(Json(json!({"id": kept.media.media_id().0.to_string()})))
}

/// A file as Meta shows it; `None` when the id names none of the tenant's.
pub(super) async fn described(
    state: &ApiState,
    whom: &For,
    (text, uri, headers): (&str, &Uri, &HeaderMap),
) -> Result<Option<Value>, Problem> {
    let Some(id) = found(state, whom, text).await? else { return Ok(None) };
    let Some((media, _)) = state.dispatcher.media(whom.tenant, id).await? else { return Ok(None) };
    Ok(Some(shown(&media, text, &place(state, text, uri, headers))))
}

fn shown(media: &Media, id: &str, url: &str) -> Value {
    let sha256: String = media.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "messaging_product": "whatsapp",
        "url": url,
        "mime_type": media.mime,
        "sha256": sha256,
        "file_size": media.bytes.to_string(),
        "id": id,
    })
}

/// Where the file is read, with the same token: at the address the caller reached us by.
fn place(state: &ApiState, id: &str, uri: &Uri, headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    let own = state.config.server.listen.to_string();
    let host = text(HOST.as_str()).or_else(|| uri.authority().map(|host| host.as_str())).unwrap_or(&own);
    let version = uri.path().split('/').nth(1).unwrap_or_default();
    format!("{scheme}://{host}/{version}/{id}/content")
}

/// `GET /{version}/{media_id}/content`
pub(super) async fn read(
    State(state): State<ApiState>,
    whom: For,
    Path((_, text)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = found(&state, &whom, &text).await?.ok_or_else(no_such_object)?;
    content::get(State(state), whom, Id(id), headers).await
}

/// `DELETE /{version}/{media_id}`
pub(super) async fn delete(state: &ApiState, whom: &For, text: &str) -> Result<bool, Problem> {
    let Some(id) = found(state, whom, text).await? else { return Ok(false) };
    Ok(state.dispatcher.delete_media(whom.tenant, id).await?)
}

/// Files that a message names by ids of this dialect are named as `/v1` names them. What is no file of the tenant's stays as
/// it is: it may be one that was uploaded to Meta.
pub(super) async fn name(
    state: &ApiState,
    whom: &For,
    message: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let mut ids = Vec::new();
    for value in message.values() {
        named(value, 0, &mut ids);
    }
    for holder in HOLDERS {
        ids.extend(message.get(holder).and_then(id_of).map(str::to_owned));
    }
    let mut own = Vec::new();
    for text in ids {
        if let Some(id) = found(state, whom, &text).await?
            && state.dispatcher.media(whom.tenant, id).await?.is_some()
        {
            own.push((text, id));
        }
    }
    if own.is_empty() {
        return Ok(());
    }
    for holder in HOLDERS {
        if let Some(object) = message.get_mut(holder) {
            rename(object, &own);
        }
    }
    message.values_mut().for_each(|value| renamed(value, 0, &own));
    Ok(())
}

fn id_of(object: &Value) -> Option<&str> {
    object.get("id").and_then(Value::as_str)
}

/// The files named below a value.
fn named(value: &Value, depth: usize, found: &mut Vec<String>) {
    match value {
        _ if depth > DEPTH => {}
        Value::Array(items) => items.iter().for_each(|item| named(item, depth + 1, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                if HOLDERS.contains(&key.as_str()) {
                    found.extend(id_of(value).map(str::to_owned));
                }
                named(value, depth + 1, found);
            }
        }
        _ => {}
    }
}

fn rename(object: &mut Value, own: &[(String, MediaId)]) {
    let found = id_of(object).and_then(|text| own.iter().find(|(own, _)| own == text));
    if let Some((_, id)) = found {
        object["id"] = id.to_string().into();
    }
}

fn renamed(value: &mut Value, depth: usize, own: &[(String, MediaId)]) {
    match value {
        _ if depth > DEPTH => {}
        Value::Array(items) => items.iter_mut().for_each(|item| renamed(item, depth + 1, own)),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                if HOLDERS.contains(&key.as_str()) {
                    rename(value, own);
                }
                renamed(value, depth + 1, own);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_and_renamed_wherever_a_message_names_one() {
        let mut value = json!({"components": [
            {"type": "header", "parameters": [{"type": "image", "image": {"id": "7"}}]},
            {"type": "button", "parameters": [{"id": "7", "type": "payload"}]}]});
        let mut found = Vec::new();
        named(&value, 0, &mut found);
        assert_eq!(found, ["7"]);
        renamed(&mut value, 0, &[("7".to_owned(), MediaId(7))]);
        assert_eq!(value["components"][0]["parameters"][0]["image"]["id"], MediaId(7).to_string().as_str());
        assert_eq!(value["components"][1]["parameters"][0]["id"], "7");
        assert_eq!((id("12a"), id(""), id("99999999999999999999999")), (None, None, None));
    }
}
