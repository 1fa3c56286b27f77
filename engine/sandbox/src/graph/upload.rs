//! The resumable upload (samples of templates, profile pictures): a session, bytes from an offset, a handle at the end.
//! Not media that are sent: those have ids of their own.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::Method;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::argument::Arguments;
use super::media::UPLOAD_LIMIT;
use super::refusal::Refusal;
use super::{Graph, collect};
use crate::network::dice::{Dice, Stream, key};

/// Sessions kept; the oldest give way.
const SESSIONS_KEPT: usize = 1_000;

/// One upload under way, or finished. Its bytes are counted, not kept: nobody can read them back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    made: u64,
    length: u64,
    kind: String,
    received: u64,
    handle: Option<String>,
}

/// Every upload of one sandbox, by the part of its id behind `upload:`.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    sessions: Mutex<HashMap<String, Session>>,
}

impl Uploads {
    pub(crate) fn clear(&self) {
        self.sessions.lock().clear();
    }

    pub(crate) fn save(&self) -> HashMap<String, Session> {
        self.sessions.lock().clone()
    }

    pub(crate) fn load(&self, sessions: HashMap<String, Session>) {
        *self.sessions.lock() = sessions;
    }

    /// Whether an upload of this type ended with this handle.
    pub(crate) fn knows(&self, handle: &str) -> bool {
        self.sessions.lock().values().any(|session| session.handle.as_deref() == Some(handle))
    }
}

impl Graph {
    /// `POST /{app}/uploads`.
    pub(super) fn begin_upload(&self, arguments: &Arguments) -> Result<Value, Refusal> {
        let length = arguments.number("file_length")?.ok_or_else(|| Refusal::required("file_length"))?;
        let kind = arguments.required("file_type")?;
        let length = u64::try_from(length).ok().filter(|length| (1..=UPLOAD_LIMIT as u64).contains(length));
        let length = length.ok_or_else(|| Refusal::parameter("Param file_length must be 1 to 100 MB."))?;
        if !["image/jpeg", "image/jpg", "image/png", "video/mp4", "application/pdf", "image/gif"]
            .contains(&kind.as_str())
        {
            return Err(Refusal::parameter(
                "Param file_type must be one of {application/pdf, image/jpeg, image/jpg, image/png, video/mp4}",
            ));
        }
        let mut sessions = self.uploads.sessions.lock();
        let made = sessions.values().map(|session| session.made + 1).max().unwrap_or(0);
        let mut dice = Dice::new(self.seed, key(&["upload"]), made, Stream::Trace);
        let name = URL_SAFE_NO_PAD.encode(format!("1:attachment:{made}?file_length={length}"));
        let signature = URL_SAFE_NO_PAD.encode([dice.id(), dice.id()].concat());
        if sessions.len() >= SESSIONS_KEPT
            && let Some(oldest) = sessions.iter().min_by_key(|(_, s)| s.made).map(|(id, _)| id.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(name.clone(), Session { made, length, kind, received: 0, handle: None });
        Ok(json!({"id": format!("upload:{name}?sig={signature}")}))
    }

    /// `GET` and `POST /upload:…`.
    pub(super) async fn upload(&self, id: &str, head: &Parts, body: Incoming) -> Result<Value, Refusal> {
        let unknown = || Refusal::unknown_object(if head.method == Method::GET { "get" } else { "post" }, id);
        let name = id.strip_prefix("upload:").ok_or_else(unknown)?;
        let signature = head.uri.query().unwrap_or_default();
        if head.method == Method::GET {
            let sessions = self.uploads.sessions.lock();
            let session = sessions.get(name).ok_or_else(unknown)?;
            return Ok(json!({"id": format!("{id}?{signature}"), "file_offset": session.received}));
        }
        let offset = head.headers.get("file_offset").and_then(|offset| offset.to_str().ok());
        let offset: u64 = offset
            .unwrap_or("0")
            .parse()
            .map_err(|_| Refusal::parameter("Header file_offset must be a number."))?;
        let bytes = collect(body, UPLOAD_LIMIT)
            .await
            .ok_or_else(|| Refusal::parameter("The bytes could not be read."))?;
        let mut sessions = self.uploads.sessions.lock();
        let session = sessions.get_mut(name).ok_or_else(unknown)?;
        if offset != session.received {
            return Err(Refusal::parameter(&format!("Header file_offset must be {}.", session.received)));
        }
        let received = session.received + bytes.len() as u64;
        if received > session.length {
            return Err(Refusal::parameter("More bytes came than file_length said."));
        }
        session.received = received;
        if received < session.length {
            return Ok(json!({"id": format!("{id}?{signature}"), "file_offset": received}));
        }
        let made = session.made;
        let mut dice = Dice::new(self.seed, key(&["handle"]), made, Stream::Trace);
        let tail = URL_SAFE_NO_PAD.encode([dice.id(), dice.id()].concat());
        let handle = format!("4::{}:AR{tail}:e:{}", STANDARD.encode(&session.kind), self.now_ms() / 1_000);
        session.handle = Some(handle.clone());
        Ok(json!({"h": handle}))
    }
}
