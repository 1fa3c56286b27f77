//! Media in the body of a message: bytes that stand in it as base64 are kept first and named by their id, and every id of
//! ours is looked at before anything is promised. Ids of Meta's and links pass as they are.

use super::place;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use kabar_actors::media::{MisuseError, Wanted};
use kabar_engine::content::Content;
use kabar_engine::content::places::{DEPTH, walk};
use kabar_engine::id::TenantId;
use kabar_engine::media::MediaKind;
use kabar_schema::records::MediaOrigin;
use serde_json::Value;

/// With or without padding, as people write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Bytes written as base64; a data URL's head before them is left out.
pub(super) fn decode(text: &str, field: &str) -> Result<Bytes, Problem> {
    let text = text.trim();
    let text = match text.strip_prefix("data:") {
        Some(url) => url.split_once(";base64,").map_or("", |(_, bytes)| bytes),
        None => text,
    };
    let bytes = BASE64.decode(text).map(Bytes::from).ok().filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| Problem::invalid(field, "bytes as base64"))
}

/// Bytes in a message: where, for what, and what is said of them.
struct Found {
    path: String,
    kind: MediaKind,
    base64: Value,
    mime: Option<String>,
    filename: Option<String>,
    given: bool,
}

/// Keeps every file that stands in a message as base64, and puts its id in its place.
pub(crate) async fn keep_inline(
    state: &ApiState,
    tenant: TenantId,
    message: &mut Value,
) -> Result<(), Problem> {
    let mut found = Vec::new();
    walk(message, "", DEPTH, &mut |path, kind, media| {
        if let Some(base64) = media.get("base64") {
            let text = |field: &str| media.get(field).and_then(Value::as_str).map(str::to_owned);
            let given = media.contains_key("id") || media.contains_key("link");
            let (base64, path) = (base64.clone(), path.to_owned());
            let (mime, filename) = (text("mime_type"), text("filename"));
            found.push(Found { path, kind, base64, mime, filename, given });
        }
    });
    if found.is_empty() {
        return Ok(());
    }
    let _place = place(state, tenant)?;
    for Found { path, kind, base64, mime, filename, given } in found {
        let field = format!("{path}.base64");
        if given {
            return Err(Problem::invalid(&field, "given, or `id`, or `link`; one of them"));
        }
        let text = base64.as_str().ok_or_else(|| Problem::invalid(&field, "bytes as base64"))?;
        let bytes = decode(text, &field)?;
        let wanted = Wanted { mime, filename, kind: Some(kind), ..Wanted::from(MediaOrigin::Inline) };
        let kept = state.dispatcher.keep_media_bytes(tenant, bytes, wanted).await;
        let id = kept.map_err(|error| Problem::from(error).at(&field))?.media.media_id();
        if let Some(media) = at(message, &path).and_then(Value::as_object_mut) {
            media.remove("base64");
            media.remove("mime_type");
            media.insert("id".to_owned(), id.to_string().into());
        }
    }
    Ok(())
}

/// The place of a path as the walk writes it.
fn at<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let mut at = value;
    for part in path.split('.') {
        let (field, indexes) = part.split_once('[').map_or((part, ""), |(field, rest)| (field, rest));
        at = at.get_mut(field)?;
        for index in indexes.split(['[', ']']).filter(|index| !index.is_empty()) {
            at = at.get_mut(index.parse::<usize>().ok()?)?;
        }
    }
    Some(at)
}

/// A message whose media is kept and is what the message makes of it.
pub(crate) async fn read(
    state: &ApiState,
    tenant: TenantId,
    message: &mut Value,
) -> Result<Content, Problem> {
    keep_inline(state, tenant, message).await?;
    let content = Content::from_json(message)?;
    content.validate()?;
    check(state, tenant, &content).await?;
    Ok(content)
}

/// Whether the media that a message names is there and fits.
pub(crate) async fn check(state: &ApiState, tenant: TenantId, content: &Content) -> Result<(), Problem> {
    state.dispatcher.media_fits(tenant, content).await.map_err(|error| match error {
        MisuseError::Unknown(path) => Problem::unknown_reference(&path, "media").at(&path),
        MisuseError::Unfit { path, why } => {
            Problem::new(Code::InvalidContent, format!("`{path}`: {why}.")).at(&path)
        }
        MisuseError::Store(error) => error.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn base64_is_read_with_and_without_padding_and_out_of_a_data_url() {
        for text in ["aGk=", "aGk", " aGk=\n", "data:text/plain;base64,aGk="] {
            assert_eq!(decode(text, "x").unwrap(), "hi", "{text}");
        }
        for wrong in ["", "a", "data:text/plain,hi", "%%%%"] {
            assert!(decode(wrong, "x").is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_leads_to_its_place() {
        let mut value = json!({"a": {"b": [{"c": 1}, {"c": [[7, 8]]}]}});
        assert_eq!(at(&mut value, "a.b[1].c[0][1]"), Some(&mut json!(8)));
        assert_eq!(at(&mut value, "a.x"), None);
    }
}
