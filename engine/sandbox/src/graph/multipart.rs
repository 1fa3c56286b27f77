//! A `multipart/form-data` body (RFC 7578) cut into its parts. Not what the parts mean.

use bytes::Bytes;

/// One part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    pub(super) mime: Option<String>,
    pub(super) bytes: Bytes,
}

/// The boundary a content type names.
pub(super) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let named = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    let boundary = named.trim().trim_matches('"');
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

/// The parts of a whole body; `None` if it is not one.
pub(super) fn parts(body: &Bytes, boundary: &str) -> Option<Vec<Part>> {
    let line = format!("--{boundary}");
    let mut at = find(body, line.as_bytes(), 0)? + line.len();
    let delimiter = format!("\r\n--{boundary}");
    let mut found = Vec::new();
    loop {
        if body.get(at..at + 2) == Some(b"--") {
            return Some(found);
        }
        let start = find(body, b"\r\n", at)? + 2;
        let end = find(body, delimiter.as_bytes(), start.saturating_sub(2))?;
        let blank = find(body, b"\r\n\r\n", start.saturating_sub(2)).filter(|blank| *blank < end)?;
        let headers = std::str::from_utf8(body.get(start..blank).unwrap_or_default()).ok()?;
        found.push(part(headers, body.slice(blank + 4..end.max(blank + 4)))?);
        at = end + delimiter.len();
    }
}

fn part(headers: &str, bytes: Bytes) -> Option<Part> {
    let header = |wanted: &str| {
        headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let parameter = |key: &str| {
        let named = disposition.split(';').find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('='));
        named.map(|value| value.trim_matches('"').to_owned())
    };
    Some(Part {
        name: parameter("name")?,
        filename: parameter("filename"),
        mime: header("content-type").map(str::to_owned),
        bytes,
    })
}

/// Where `needle` begins at or after `from`.
fn find(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += hay.get(at..)?.iter().position(|byte| *byte == first)?;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_bytes_whatever_they_hold() {
        let body = Bytes::from_static(
            b"--xyz\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
              --xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\
              \x89PNG\r\n--xy\r\n\r\n\r\n--xyz\r\nContent-Disposition: form-data; name=\"none\"\r\n\r\n\r\n--xyz--\r\n",
        );
        let found = parts(&body, "xyz").unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].name.as_str(), &found[0].bytes[..]), ("messaging_product", &b"whatsapp"[..]));
        assert_eq!(found[1].filename.as_deref(), Some("a.png"));
        assert_eq!(found[1].mime.as_deref(), Some("image/png"));
        assert_eq!(&found[1].bytes[..], b"\x89PNG\r\n--xy\r\n\r\n");
        assert!(found[2].bytes.is_empty());
        assert_eq!(parts(&Bytes::from_static(b"--xyz\r\nbroken"), "xyz"), None);
        assert_eq!(boundary("multipart/form-data; boundary=\"xyz\""), Some("xyz"));
        assert_eq!(boundary("application/json"), None);
    }
}
