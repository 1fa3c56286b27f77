//! What a message says, as its row keeps it: Meta's message object, with the caller's tag beside it as Meta writes it. Not
//! its sealing.

use kabar_engine::content::Content;
use serde::Deserialize;
use std::sync::Arc;

/// Meta's word for a caller's tag.
const TAG: &str = "biz_opaque_callback_data";

/// The tag beside a content.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "biz_opaque_callback_data")]
    tag: Arc<str>,
}

/// Writes both.
pub(crate) fn write(out: &mut Vec<u8>, content: &Content, tag: Option<&str>) {
    const TOLD: &str = "invariant: a content has string keys, and memory takes every byte";
    serde_json::to_writer(&mut *out, content).expect(TOLD);
    if let Some(tag) = tag {
        // The object's closing brace makes room.
        out.pop();
        out.extend_from_slice(b",\"");
        out.extend_from_slice(TAG.as_bytes());
        out.extend_from_slice(b"\":");
        serde_json::to_writer(&mut *out, tag).expect(TOLD);
        out.push(b'}');
    }
}

/// Reads both. Few messages have a tag, which then stands last: the others are not read twice.
pub(crate) fn read(plain: &[u8]) -> Result<(Content, Option<Arc<str>>), serde_json::Error> {
    let content = serde_json::from_slice(plain)?;
    let may = plain.ends_with(b"\"}");
    let tag = if may { serde_json::from_slice::<Tagged>(plain).ok().map(|said| said.tag) } else { None };
    Ok((content, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_comes_back_beside_its_content_and_none_where_there_was_none() {
        for tag in [None, Some(""), Some("order \"81\" {}"), Some(TAG)] {
            let content = Content::plain("biz_opaque_callback_data: {}");
            let mut out = Vec::new();
            write(&mut out, &content, tag);
            let (back, said) = read(&out).unwrap();
            assert_eq!((back, said.as_deref()), (content, tag));
        }
    }
}
