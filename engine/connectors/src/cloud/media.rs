//! Meta's media: uploading a file for a number, and asking for, downloading and deleting one. Not the resumable
//! upload, whose handles are no media ids; and not what is kept of them here.

use super::{Graph, GraphFailure};
use crate::client::{Flow, Reading};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;
use futures::StreamExt;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

/// A file that is to be uploaded.
pub struct File {
    /// Its MIME type.
    pub mime: String,
    /// What it is called; Meta shows it nowhere.
    pub name: String,
    /// How many bytes.
    pub length: u64,
    /// The bytes.
    pub flow: Flow,
}

/// Where a media object of Meta's is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaPlace {
    /// Where its bytes are, for five minutes.
    pub url: String,
    /// Its type, when it was said.
    pub mime: Option<String>,
    /// SHA-256 of the bytes, when it was said and can be read.
    pub sha256: Option<[u8; 32]>,
    /// How many bytes, when it was said.
    pub bytes: Option<u64>,
}

/// Uploads a file for a number; gives its id, which lives thirty days and serves that number alone.
///
/// # Errors
/// [`GraphFailure`]. What was uploaded without an answer is an object nobody knows of: it may be done again.
pub async fn upload_media(graph: &Graph, number: &str, file: File) -> Result<String, GraphFailure> {
    // No part of the form may hold it; a file cannot know it in advance.
    let boundary = format!("kabar{:032x}", rand::random::<u128>());
    let head = form_head(&boundary, &file);
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + file.length + tail.len() as u64;
    let ends = |text: String| futures::stream::iter([Ok(Bytes::from(text))]);
    let flow = ends(head).chain(file.flow).chain(ends(tail)).boxed();
    let mut headers = HeaderMap::new();
    let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
    headers.insert(CONTENT_TYPE, kind.expect("invariant: letters and digits are a header's value"));
    let answer = graph.pour(&format!("{number}/media"), headers, (flow, length)).await?;
    text(&answer, "id").ok_or(GraphFailure::Unclear)
}

fn form_head(boundary: &str, file: &File) -> String {
    let field = |name: &str, value: &str| {
        format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let (name, mime) = (quoted(&file.name), plain(&file.mime));
    format!(
        "{}{}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {mime}\r\n\r\n",
        field("messaging_product", "whatsapp"),
        field("type", &mime)
    )
}

/// What may stand between the quotes of a header: no quote, no line break (RFC 7578 names no other way).
fn quoted(name: &str) -> String {
    let safe = |c: char| if c.is_control() || matches!(c, '"' | '\\') { '_' } else { c };
    let name: String = name.chars().map(safe).take(200).collect();
    if name.is_empty() { "file".to_owned() } else { name }
}

fn plain(mime: &str) -> String {
    mime.chars().filter(|c| c.is_ascii_graphic()).collect()
}

/// Where a media object is now. `number` is the one it belongs to.
///
/// # Errors
/// [`GraphFailure`]; an id that is unknown or has expired is refused with code 100, subcode 33.
pub async fn find_media(graph: &Graph, id: &str, number: &str) -> Result<MediaPlace, GraphFailure> {
    let answer = graph.get(id, &[("phone_number_id", number)]).await?;
    let bytes = answer.get("file_size").and_then(|n| n.as_u64().or_else(|| n.as_str()?.parse().ok()));
    Ok(MediaPlace {
        url: text(&answer, "url").ok_or(GraphFailure::Unclear)?,
        mime: text(&answer, "mime_type"),
        sha256: text(&answer, "sha256").and_then(|hash| read_sha256(&hash)),
        bytes,
    })
}

/// Opens the bytes behind a place; an answer of another status than 200 is none.
///
/// # Errors
/// [`GraphFailure`]; a place that has expired is `Refused` with its status and no code.
pub async fn open_media(graph: &Graph, url: &str, bytes_max: u64) -> Result<Reading, GraphFailure> {
    graph.open(url, bytes_max).await
}

/// Deletes a media object.
///
/// # Errors
/// [`GraphFailure`].
pub async fn delete_media(graph: &Graph, id: &str, number: &str) -> Result<(), GraphFailure> {
    graph.delete(id, &[("phone_number_id", number)], None).await.map(|_| ())
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A SHA-256 as Meta writes it: base64 in webhooks, hex where an object is asked for.
#[must_use]
pub fn read_sha256(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    if text.len() == 64 {
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(|nth| byte(2 * nth)).collect();
        return bytes?.try_into().ok();
    }
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_in_both_of_its_forms() {
        let hash = [0xab; 32];
        assert_eq!(read_sha256(&"ab".repeat(32)), Some(hash));
        assert_eq!(read_sha256(&STANDARD.encode(hash)), Some(hash));
        assert_eq!(read_sha256(STANDARD.encode(hash).trim_end_matches('=')), Some(hash));
        for wrong in ["", "zz", &"xy".repeat(32), &STANDARD.encode([1; 31])] {
            assert_eq!(read_sha256(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_breaks_out_of_no_header() {
        assert_eq!(quoted("a\"; x=\"\r\nb\\.jpg"), "a_; x=___b_.jpg");
        assert_eq!(quoted(""), "file");
        assert_eq!(plain("image/jpeg\r\nX: y"), "image/jpegX:y");
    }
}
