//! Media: uploads with their limits, ids that expire, signed URLs that live five minutes, downloads. Not the samples of
//! templates: those come by `upload`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_RANGE, CONTENT_TYPE, HOST, HeaderValue, RANGE};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::argument::Arguments;
use super::multipart;
use super::refusal::Refusal;
use super::{Answer, Graph, answer_json, collect, query};
use crate::network::dice::{Dice, Stream, key};
use crate::network::message::Kind;
use crate::network::stats::MediaStats;

const DAY_MS: i64 = 24 * 3_600 * 1_000;
const UPLOADED_MS: i64 = 30 * DAY_MS;
const RECEIVED_MS: i64 = 7 * DAY_MS;
const URL_S: i64 = 300;
/// The largest document, and what is written around it.
pub(super) const UPLOAD_LIMIT: usize = (100 << 20) + (64 << 10);
/// All media of one sandbox together.
const KEPT_BYTES: u64 = 2 << 30;
const PATH: &str = "/whatsapp_business/attachments/";

/// MIME type, the kind of message it is for, and the most bytes it may have.
const KINDS: &[(&str, Kind, usize)] = &[
    ("image/jpeg", Kind::Image, 5 << 20),
    ("image/png", Kind::Image, 5 << 20),
    ("image/webp", Kind::Sticker, 500 << 10),
    ("video/mp4", Kind::Video, 16 << 20),
    ("video/3gpp", Kind::Video, 16 << 20),
    ("audio/aac", Kind::Audio, 16 << 20),
    ("audio/amr", Kind::Audio, 16 << 20),
    ("audio/mpeg", Kind::Audio, 16 << 20),
    ("audio/mp4", Kind::Audio, 16 << 20),
    ("audio/ogg", Kind::Audio, 16 << 20),
    ("text/plain", Kind::Document, 100 << 20),
    ("application/pdf", Kind::Document, 100 << 20),
    ("application/msword", Kind::Document, 100 << 20),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Kind::Document, 100 << 20),
    ("application/vnd.ms-excel", Kind::Document, 100 << 20),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Kind::Document, 100 << 20),
    ("application/vnd.ms-powerpoint", Kind::Document, 100 << 20),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", Kind::Document, 100 << 20),
];

/// One medium.
#[derive(Clone, Debug)]
pub(crate) struct Medium {
    /// Index of the number it belongs to.
    pub(crate) number: usize,
    pub(crate) mime: String,
    pub(crate) bytes: Bytes,
    pub(crate) sha256: [u8; 32],
    pub(crate) expires_ms: i64,
}

/// A medium as a saved state holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedMedium {
    id: u64,
    number: usize,
    mime: String,
    base64: String,
    expires_ms: i64,
}

/// Every medium of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Media {
    shelf: RwLock<Shelf>,
    downloads: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelf {
    by_id: HashMap<u64, Medium>,
    made: u64,
    bytes: u64,
    stats: MediaStats,
}

impl Media {
    /// Keeps bytes and gives them an id; `None` when there is no room for them.
    fn keep(&self, medium: Medium, seed: u64, now_ms: i64) -> Option<u64> {
        let mut shelf = self.shelf.write();
        shelf.forget_expired(now_ms);
        let size = medium.bytes.len() as u64;
        if shelf.bytes + size > KEPT_BYTES {
            return None;
        }
        let id = loop {
            let drawn = Dice::new(seed, key(&["medium"]), shelf.made, Stream::Trace).share();
            shelf.made += 1;
            let id = 900_000_000_000_000 + (drawn * 99_999_999_999_999.0) as u64;
            if !shelf.by_id.contains_key(&id) {
                break id;
            }
        };
        shelf.bytes += size;
        shelf.by_id.insert(id, medium);
        Some(id)
    }

    /// The medium behind an id, as long as it has not expired.
    pub(crate) fn find(&self, id: &str, now_ms: i64) -> Option<Medium> {
        let id = id.parse().ok()?;
        self.shelf.read().by_id.get(&id).filter(|medium| medium.expires_ms > now_ms).cloned()
    }

    fn remove(&self, id: &str) {
        let mut shelf = self.shelf.write();
        if let Some(gone) = id.parse().ok().and_then(|id: u64| shelf.by_id.remove(&id)) {
            shelf.bytes -= gone.bytes.len() as u64;
            shelf.stats.deleted += 1;
        }
    }

    pub(crate) fn stats(&self) -> MediaStats {
        let shelf = self.shelf.read();
        MediaStats {
            downloads: self.downloads.load(Ordering::Relaxed),
            kept: shelf.by_id.len() as u64,
            ..shelf.stats
        }
    }

    pub(crate) fn clear(&self) {
        *self.shelf.write() = Shelf::default();
        self.downloads.store(0, Ordering::Relaxed);
    }

    pub(crate) fn save(&self) -> (u64, Vec<SavedMedium>) {
        let shelf = self.shelf.read();
        let mut all: Vec<SavedMedium> = shelf
            .by_id
            .iter()
            .map(|(id, medium)| SavedMedium {
                id: *id,
                number: medium.number,
                mime: medium.mime.clone(),
                base64: STANDARD.encode(&medium.bytes),
                expires_ms: medium.expires_ms,
            })
            .collect();
        all.sort_unstable_by_key(|medium| medium.id);
        (shelf.made, all)
    }

    pub(crate) fn load(&self, made: u64, saved: Vec<SavedMedium>) -> Result<(), String> {
        let mut shelf = Shelf { made, ..Shelf::default() };
        for one in saved {
            let bytes = STANDARD.decode(&one.base64).map_err(|_| format!("medium {}: no base64", one.id))?;
            shelf.bytes += bytes.len() as u64;
            let (number, mime, expires_ms) = (one.number, one.mime, one.expires_ms);
            let sha256 = Sha256::digest(&bytes).into();
            shelf.by_id.insert(one.id, Medium { number, mime, bytes: bytes.into(), sha256, expires_ms });
        }
        *self.shelf.write() = shelf;
        Ok(())
    }
}

impl Shelf {
    fn forget_expired(&mut self, now_ms: i64) {
        if self.bytes * 2 < KEPT_BYTES && self.by_id.len() < 100_000 {
            return;
        }
        self.by_id.retain(|_, medium| medium.expires_ms > now_ms);
        self.bytes = self.by_id.values().map(|medium| medium.bytes.len() as u64).sum();
    }
}

/// The kind of message a MIME type is for.
pub(crate) fn kind_of(mime: &str) -> Option<Kind> {
    KINDS.iter().find(|(known, ..)| *known == base_type(mime)).map(|(_, kind, _)| *kind)
}

fn base_type(mime: &str) -> &str {
    mime.split(';').next().unwrap_or_default().trim()
}

/// Whether a medium may be uploaded: what is wrong with it otherwise.
fn check(mime: &str, bytes: &[u8]) -> Result<(), Refusal> {
    let wrong = |details: String| Refusal::of(131_053).detail(details);
    let known = KINDS.iter().find(|(known, ..)| *known == base_type(mime));
    let Some((known, kind, most)) = known else {
        let types: Vec<&str> = KINDS.iter().map(|(known, ..)| *known).collect();
        return Err(wrong(format!(
            "Param file must be a file with one of the following types: {}. Received file of type '{mime}'.",
            types.join(", ")
        )));
    };
    // an animated WebP says so in its extended header (bit 1 of the flags); any other sticker is a still one
    let still = *kind == Kind::Sticker
        && !(bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0));
    let most = if still { 100 << 10 } else { *most };
    if bytes.is_empty() || bytes.len() > most {
        return Err(wrong(format!(
            "A file of type {known} must have 1 to {most} bytes, this one has {}.",
            bytes.len()
        )));
    }
    Ok(())
}

impl Graph {
    /// `POST /{number}/media`.
    pub(super) async fn upload_media(
        &self,
        number: usize,
        head: &Parts,
        body: Incoming,
    ) -> Result<Value, Refusal> {
        let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = multipart::boundary(kind)
            .ok_or_else(|| Refusal::parameter("The request must be multipart/form-data with a file."))?;
        let raw = collect(body, UPLOAD_LIMIT).await.ok_or_else(|| {
            Refusal::of(131_053).detail("The file is larger than 100 MB or was broken off.")
        })?;
        let parts = multipart::parts(&raw, boundary)
            .ok_or_else(|| Refusal::parameter("The request body is not valid multipart/form-data."))?;
        let part = |name: &str| parts.iter().find(|part| part.name == name);
        let text = |name: &str| part(name).and_then(|part| std::str::from_utf8(&part.bytes).ok());
        match text("messaging_product") {
            Some("whatsapp") => {}
            Some(_) => return Err(Refusal::parameter("Param messaging_product must be one of {WHATSAPP}")),
            None => return Err(Refusal::required("messaging_product")),
        }
        let file = part("file").ok_or_else(|| Refusal::required("file"))?;
        let told = file
            .mime
            .as_deref()
            .filter(|mime| !mime.is_empty() && base_type(mime) != "application/octet-stream");
        let mime = told.or(text("type")).ok_or_else(|| Refusal::required("type"))?.trim().to_owned();
        check(&mime, &file.bytes)?;
        let id = self.keep_medium(number, mime, file.bytes.clone(), UPLOADED_MS)?;
        self.media.shelf.write().stats.uploads += 1;
        Ok(json!({"id": id.to_string()}))
    }

    fn keep_medium(&self, number: usize, mime: String, bytes: Bytes, lives_ms: i64) -> Result<u64, Refusal> {
        let now_ms = self.now_ms();
        let sha256 = Sha256::digest(&bytes).into();
        let medium = Medium { number, mime, bytes, sha256, expires_ms: now_ms + lives_ms };
        self.media.keep(medium, self.seed, now_ms).ok_or_else(|| Refusal::of(131_016))
    }

    /// Keeps what a user sent, and gives the object its webhook tells of it.
    pub(super) fn receive_medium(&self, number: usize, mime: &str, bytes: Bytes) -> Result<Value, String> {
        let id = self.keep_medium(number, mime.to_owned(), bytes, RECEIVED_MS);
        let id = id.map_err(|_| "there is no room for more media")?.to_string();
        let medium = self.media.find(&id, self.now_ms()).ok_or("the medium is gone")?;
        let url = self.media_url(&self.public_url(), &id);
        Ok(json!({"mime_type": medium.mime, "sha256": STANDARD.encode(medium.sha256), "id": id, "url": url}))
    }

    /// `GET /{medium}`.
    pub(super) fn medium(&self, id: &str, arguments: &Arguments, head: &Parts) -> Result<Value, Refusal> {
        let medium = self.own_medium("get", id, arguments)?;
        let hex: String = medium.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok());
        let base = host.filter(|_| !self.has_public_url()).map(|host| format!("http://{host}"));
        let url = self.media_url(&base.unwrap_or_else(|| self.public_url()), id);
        let whole = json!({"messaging_product": "whatsapp", "url": url, "mime_type": medium.mime, "sha256": hex,
            "file_size": medium.bytes.len().to_string(), "id": id});
        Ok(arguments.select(whole))
    }

    /// `DELETE /{medium}`.
    pub(super) fn delete_medium(&self, id: &str, arguments: &Arguments) -> Result<Value, Refusal> {
        self.own_medium("delete", id, arguments)?;
        self.media.remove(id);
        Ok(json!({"success": true}))
    }

    fn own_medium(&self, verb: &str, id: &str, arguments: &Arguments) -> Result<Medium, Refusal> {
        let medium = self.media.find(id, self.now_ms()).ok_or_else(|| Refusal::unknown_object(verb, id))?;
        match arguments.text("phone_number_id") {
            Some(number) if self.network.number(&number) != Some(medium.number) => {
                Err(Refusal::unknown_object(verb, id))
            }
            _ => Ok(medium),
        }
    }

    fn media_url(&self, base: &str, id: &str) -> String {
        let until = self.now_ms() / 1_000 + URL_S;
        format!("{base}{PATH}?mid={id}&ext={until}&hash={}", self.url_hash(id, until))
    }

    fn url_hash(&self, id: &str, until: i64) -> String {
        let digest = Sha256::digest(format!("{}|{id}|{until}", self.seed));
        URL_SAFE_NO_PAD.encode(&digest[..16])
    }

    /// The bytes behind a signed URL; 404 when it has expired.
    pub(super) fn download(&self, head: &Parts) -> Answer {
        let found = || {
            let (id, until) = (query(head, "mid")?, query(head, "ext")?.parse::<i64>().ok()?);
            let fresh = until > self.now_ms() / 1_000 && query(head, "hash")? == self.url_hash(id, until);
            fresh.then(|| self.media.find(id, self.now_ms())).flatten()
        };
        let Some(medium) = found() else {
            return answer_json(StatusCode::NOT_FOUND, r#"{"error":"URL expired or unknown"}"#.to_owned());
        };
        self.media.downloads.fetch_add(1, Ordering::Relaxed);
        let whole = medium.bytes.len();
        let range =
            head.headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(|r| span(r, whole));
        let bytes = range.map_or(medium.bytes.clone(), |(from, upto)| medium.bytes.slice(from..=upto));
        let mut answer: Answer = Response::new(Full::new(bytes));
        if let Ok(mime) = HeaderValue::from_str(&medium.mime) {
            answer.headers_mut().insert(CONTENT_TYPE, mime);
        }
        if let Some((from, upto)) = range {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            if let Ok(told) = HeaderValue::from_str(&format!("bytes {from}-{upto}/{whole}")) {
                answer.headers_mut().insert(CONTENT_RANGE, told);
            }
        }
        answer
    }

    /// Checks the media a send names: refused if this number has no such medium, a code for later if it has one of
    /// another kind.
    pub(super) fn inspect_media(
        &self,
        number: usize,
        kind: Kind,
        object: &Value,
    ) -> Result<Option<u32>, Refusal> {
        let mut later = None;
        for (owner, id) in named(kind, object) {
            let medium = self.media.find(id, self.now_ms()).filter(|medium| medium.number == number);
            let Some(medium) = medium else {
                return Err(Refusal::invalid(format!(
                    "Param {owner}['id'] is not a valid whatsapp business account media attachment ID"
                )));
            };
            if kind_of(&medium.mime).is_none_or(|kind| kind.name() != owner) {
                later = Some(131_053);
            }
        }
        Ok(later)
    }
}

/// First and last byte of `bytes=a-b`, `bytes=a-` or `bytes=-n` of a body that long.
fn span(range: &str, whole: usize) -> Option<(usize, usize)> {
    let (from, upto) = range.strip_prefix("bytes=")?.split_once('-')?;
    let last = whole.checked_sub(1)?;
    let (from, upto) = match (from.parse::<usize>().ok(), upto.parse::<usize>().ok()) {
        (Some(from), Some(upto)) => (from, upto.min(last)),
        (Some(from), None) if upto.is_empty() => (from, last),
        (None, Some(count)) => (whole.saturating_sub(count), last),
        _ => return None,
    };
    (from <= upto).then_some((from, upto))
}

/// Every medium named by id, with the kind it is used as.
fn named(kind: Kind, object: &Value) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    match kind {
        Kind::Image | Kind::Video | Kind::Audio | Kind::Document | Kind::Sticker => {
            found.extend(object.get("id").and_then(Value::as_str).map(|id| (kind.name(), id)));
        }
        Kind::Interactive => {
            headers(object.get("header"), &mut found);
            let cards = object.pointer("/action/cards").and_then(Value::as_array);
            cards.into_iter().flatten().for_each(|card| headers(card.get("header"), &mut found));
        }
        Kind::Template => components(object.get("components"), &mut found),
        _ => {}
    }
    found
}

fn headers<'a>(header: Option<&'a Value>, found: &mut Vec<(&'static str, &'a str)>) {
    let Some(header) = header else { return };
    for kind in ["image", "video", "document"] {
        found.extend(header.pointer(&format!("/{kind}/id")).and_then(Value::as_str).map(|id| (kind, id)));
    }
}

fn components<'a>(list: Option<&'a Value>, found: &mut Vec<(&'static str, &'a str)>) {
    for component in list.and_then(Value::as_array).into_iter().flatten() {
        let parameters = component.get("parameters").and_then(Value::as_array);
        parameters.into_iter().flatten().for_each(|parameter| headers(Some(parameter), found));
        let cards = component.get("cards").and_then(Value::as_array);
        cards.into_iter().flatten().for_each(|card| components(card.get("components"), found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_types_are_metas() {
        assert_eq!(check("image/jpeg", &vec![0; 5 << 20]), Ok(()));
        assert_eq!(check("image/jpeg", &vec![0; (5 << 20) + 1]).unwrap_err().code, 131_053);
        assert_eq!(check("image/gif", b"GIF89a").unwrap_err().code, 131_053);
        assert_eq!(check("audio/ogg; codecs=opus", b"OggS"), Ok(()));
        assert_eq!(check("image/png", b"").unwrap_err().code, 131_053);
        let mut moving = vec![0; 200 << 10];
        moving[12..16].copy_from_slice(b"VP8X");
        assert_eq!(check("image/webp", &moving).unwrap_err().code, 131_053, "a still sticker above 100 KB");
        moving[20] = 2;
        assert_eq!(check("image/webp", &moving), Ok(()));
    }

    #[test]
    fn media_are_found_wherever_a_message_names_them() {
        let card = json!({"components": [{"type": "header", "parameters": [{"type": "image", "image": {"id": "3"}}]}]});
        let template = json!({"components": [
            {"type": "header", "parameters": [{"type": "document", "document": {"id": "1"}}]},
            {"type": "body", "parameters": [{"type": "text", "text": "x"}]},
            {"type": "carousel", "cards": [card]}]});
        assert_eq!(named(Kind::Template, &template), [("document", "1"), ("image", "3")]);
        let buttons = json!({"type": "button", "header": {"type": "video", "video": {"id": "7"}}});
        assert_eq!(named(Kind::Interactive, &buttons), [("video", "7")]);
        assert_eq!(named(Kind::Image, &json!({"link": "https://x"})), []);
    }

    #[test]
    fn a_range_is_cut_to_what_is_there() {
        assert_eq!(span("bytes=0-3", 10), Some((0, 3)));
        assert_eq!(span("bytes=8-99", 10), Some((8, 9)));
        assert_eq!(span("bytes=-2", 10), Some((8, 9)));
        assert_eq!(span("bytes=10-", 10), None);
    }
}
