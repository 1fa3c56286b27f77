//! The resumable upload: bytes of a file become a handle that a template's sample or a profile picture is named by. A
//! broken connection goes on where Meta says that it stands. Not the media of messages: those have ids of their own.

use super::{Graph, GraphFailure};
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

/// Times a broken upload is taken up again before the failure is told.
const RESUMES: u32 = 4;
const OFFSET: HeaderName = HeaderName::from_static("file_offset");

/// What Meta calls an uploaded file by: `example.header_handle`, `profile_picture_handle`. Not a media id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handle(pub String);

/// Uploads a file and gives its handle. `app_id` is the app of the token; `mime` and `name` are what Meta is told.
/// Whoever asks bounds how large `bytes` may be.
///
/// # Errors
/// [`GraphFailure`]; nothing is left behind that anybody would see, so that it may be tried again.
pub async fn upload(
    graph: &Graph,
    app_id: &str,
    mime: &str,
    name: &str,
    bytes: Bytes,
) -> Result<Handle, GraphFailure> {
    let length = bytes.len().to_string();
    let query = [("file_length", length.as_str()), ("file_type", mime), ("file_name", name)];
    let opened = graph.post(&format!("{app_id}/uploads"), &query, &json!({})).await?;
    let place = opened.get("id").and_then(Value::as_str).filter(|id| id.starts_with("upload:"));
    let place = place.ok_or(GraphFailure::Unclear)?;
    let (mut at, mut resumes) = (0, 0);
    loop {
        let broken = match push(graph, place, at, &bytes).await {
            Ok(handle) => return Ok(handle),
            Err(failure) if goes_on(&failure) && resumes < RESUMES => failure,
            Err(failure) => return Err(failure),
        };
        resumes += 1;
        // Who does not say where it stands, or names a place outside the file, cannot be gone on with.
        at = stands_at(graph, place).await.filter(|at| *at <= bytes.len()).ok_or(broken)?;
        tracing::debug!(at, resumes, "an upload goes on");
    }
}

/// Whether the bytes may go on after this: a refusal for good stays one.
fn goes_on(failure: &GraphFailure) -> bool {
    match failure {
        GraphFailure::NotReached | GraphFailure::Unclear => true,
        GraphFailure::Refused(refusal) => refusal.retryable && refusal.after_ms == 0,
    }
}

async fn push(graph: &Graph, place: &str, at: usize, bytes: &Bytes) -> Result<Handle, GraphFailure> {
    let mut headers = HeaderMap::new();
    headers.insert(OFFSET, HeaderValue::from(at));
    let answer = graph.post_bytes(place, "OAuth", headers, bytes.slice(at..)).await?;
    let handle = answer.get("h").and_then(Value::as_str).filter(|handle| !handle.is_empty());
    handle.map(|handle| Handle(handle.to_owned())).ok_or(GraphFailure::Unclear)
}

/// How many bytes Meta has; it writes numbers and strings of them.
async fn stands_at(graph: &Graph, place: &str) -> Option<usize> {
    let answer = graph.get_as("OAuth", place).await.ok()?;
    let at = answer.get("file_offset")?;
    at.as_u64().or_else(|| at.as_str()?.parse().ok()).and_then(|at| usize::try_from(at).ok())
}
