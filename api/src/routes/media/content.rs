//! `GET /v1/media/{id}/content`: a file's bytes, whole or a range of them, as they are read from the store.

use crate::auth::For;
use crate::body::Id;
use crate::openapi::shapes;
use crate::problem::{Code, Problem};
use crate::state::ApiState;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use kabar_engine::id::MediaId;
use kabar_schema::StoreError;
use kabar_schema::records::Media;

/// `GET /v1/media/{id}/content`
#[utoipa::path(get, path = "/v1/media/{id}/content", tag = "media", operation_id = "getMediaContent", summary = "Read a file's bytes",
    params(("id" = shapes::MediaId, Path, description = "The file."),
        ("Range" = Option<String>, Header, description = "One range of bytes, as in `bytes=0-1023`.")),
    responses((status = 200, body = Vec<u8>, content_type = "*/*", description = "The bytes, with their own Content-Type."),
        (status = 206, body = Vec<u8>, content_type = "*/*", description = "The range that was asked for."),
        (status = 304, description = "The ETag of `If-None-Match` is the file's.")),
    extensions(("x-problems" = json!(["range_not_satisfiable"]))))]
pub(crate) async fn get(
    State(state): State<ApiState>,
    whom: For,
    Id(id): Id<MediaId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let none = || Problem::no_such("media");
    let (media, _) = state.dispatcher.media(whom.tenant, id).await?.ok_or_else(none)?;
    let etag = format!("\"{}\"", media.sha256.iter().map(|b| format!("{b:02x}")).collect::<String>());
    if headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == etag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response());
    }
    let asked = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let range = asked.map_or(Ok(None), |text| range(text, media.bytes))?;
    let opened = state.dispatcher.media_content(whom.tenant, id).await?.ok_or_else(none)?;
    let (from, to) = range.unwrap_or((0, media.bytes));
    let bytes = cut(opened.bytes, from, to).map_err(std::io::Error::other);
    let mut response = Body::from_stream(bytes).into_response();
    if range.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        put(&mut response, CONTENT_RANGE, &format!("bytes {from}-{}/{}", to - 1, media.bytes));
    }
    put(&mut response, CONTENT_TYPE, &media.mime);
    put(&mut response, CONTENT_LENGTH, &(to - from).to_string());
    put(&mut response, ETAG, &etag);
    put(&mut response, ACCEPT_RANGES, "bytes");
    // A person's file is not to be run by the browser that shows it, nor kept by whoever stands between.
    put(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    put(&mut response, CACHE_CONTROL, "private");
    put(&mut response, CONTENT_DISPOSITION, &disposition(&media));
    Ok(response)
}

fn put(response: &mut Response, name: axum::http::HeaderName, value: &str) {
    // A received file's type is what its sender's provider said.
    let value = HeaderValue::from_str(value).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(name, value);
}

/// To be saved, under its name; a name beyond ASCII is written as RFC 8187 has it.
fn disposition(media: &Media) -> String {
    let Some(name) = &media.filename else { return "attachment".to_owned() };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let escaped: String = name
        .bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    format!("attachment; filename*=UTF-8''{escaped}")
}

/// From where to before where. `None`: the whole, also where the text is no range of bytes (RFC 9110, 14.2).
fn range(text: &str, bytes: u64) -> Result<Option<(u64, u64)>, Problem> {
    let Some(text) = text.strip_prefix("bytes=").filter(|text| !text.contains(',')) else { return Ok(None) };
    let Some((first, last)) = text.split_once('-') else { return Ok(None) };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (from, to) = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(bytes)),
        (Some(first), None) if last.trim().is_empty() => (first, bytes),
        (None, Some(last)) if first.trim().is_empty() => (bytes.saturating_sub(last), bytes),
        _ => return Ok(None),
    };
    if from < to && from < bytes {
        return Ok(Some((from, to)));
    }
    Err(Problem::new(Code::RangeNotSatisfiable, format!("The file has {bytes} bytes.")))
}

/// The bytes from one place to before another.
fn cut(
    content: impl Stream<Item = Result<Bytes, StoreError>> + Send,
    from: u64,
    to: u64,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    let mut at = 0_u64;
    let within = content.map_ok(move |piece| {
        let (begin, end) = (at, at + piece.len() as u64);
        at = end;
        let inside = |place: u64| usize::try_from(place.clamp(begin, end) - begin).unwrap_or(usize::MAX);
        piece.slice(inside(from)..inside(to).max(inside(from)))
    });
    let mut left = to - from;
    let wanted = within.filter(|piece| std::future::ready(!matches!(piece, Ok(piece) if piece.is_empty())));
    // Nothing is read behind the last byte that is wanted.
    wanted.take_while(move |piece| {
        let more = left > 0;
        left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        std::future::ready(more)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_browsers_write_it() {
        let of = |text: &str| range(text, 100).map_err(|problem| problem.status().as_u16());
        assert_eq!(of("bytes=0-9"), Ok(Some((0, 10))));
        assert_eq!(of("bytes=90-"), Ok(Some((90, 100))));
        assert_eq!(of("bytes=-5"), Ok(Some((95, 100))));
        assert_eq!(of("bytes=50-1000"), Ok(Some((50, 100))));
        assert_eq!((of("bytes=100-"), of("bytes=-0")), (Err(416), Err(416)));
        for ignored in ["bytes=9-0", "lines=1-2", "bytes=0-1,5-6", "bytes=a-b", ""] {
            assert_eq!(of(ignored), Ok(None), "{ignored}");
        }
    }

    #[tokio::test]
    async fn a_cut_is_exactly_what_lies_between() {
        let whole: Vec<u8> = (0..30).collect();
        for (from, to) in [(0, 30), (0, 1), (9, 11), (10, 20), (25, 30), (3, 29)] {
            let pieces = whole.chunks(10).map(|piece| Ok(Bytes::copy_from_slice(piece)));
            let pieces: Vec<Bytes> =
                cut(futures::stream::iter(pieces.collect::<Vec<_>>()), from, to).try_collect().await.unwrap();
            let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
            assert_eq!(pieces.concat(), &whole[from..to]);
        }
    }
}
