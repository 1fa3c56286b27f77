//! A message's body as it is sealed in a row: its content as Meta's message object, with the caller's tag in it as Meta writes
//! it, and, where there is something, what stands beside it. Also a conversation's profile: the names and the origin of its
//! person. Not the sealing.

use super::DecodeError;
use kabar_engine::beside::{Beside, Referrals};
use kabar_engine::content::Content;
use kabar_engine::conversation::ConversationRow;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// In front of a form with more than the old one had, which was the content's JSON or the bare name. Neither begins so.
const MORE: u8 = 0;

/// Meta's word for a caller's tag.
const TAG: &str = "biz_opaque_callback_data";

/// The tag beside a content.
#[derive(Deserialize)]
struct Tagged {
    #[serde(rename = "biz_opaque_callback_data")]
    tag: Arc<str>,
}

/// What stands beside, as JSON.
pub(super) fn beside(beside: &Beside) -> Vec<u8> {
    serde_json::to_vec(beside).expect("invariant: it is JSON, and memory takes every byte")
}

/// Reads it.
pub(super) fn read_beside(json: &[u8]) -> Result<Beside, DecodeError> {
    serde_json::from_slice(json).map_err(|_| DecodeError::Invalid("beside"))
}

/// Appends a body.
pub(crate) fn write(out: &mut Vec<u8>, content: &Content, with: Option<&Beside>, tag: Option<&str>) {
    if let Some(with) = with {
        let json = beside(with);
        out.push(MORE);
        out.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&json);
    }
    said(out, content, tag);
}

/// The content's object, with the tag in it.
fn said(out: &mut Vec<u8>, content: &Content, tag: Option<&str>) {
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
fn read_said(plain: &[u8]) -> Result<(Content, Option<Arc<str>>), serde_json::Error> {
    let content = serde_json::from_slice(plain)?;
    let may = plain.ends_with(b"\"}");
    let tag = if may { serde_json::from_slice::<Tagged>(plain).ok().map(|said| said.tag) } else { None };
    Ok((content, tag))
}

/// A content, what stands beside it, and the caller's tag.
pub(crate) type Body = (Content, Option<Beside>, Option<Arc<str>>);

/// The body.
pub(crate) fn read(plain: &[u8]) -> Result<Body, DecodeError> {
    let wrong = DecodeError::Invalid("content");
    let (content, beside) = match plain.split_first() {
        Some((&MORE, rest)) => {
            let (length, rest) = rest.split_at_checked(4).ok_or(wrong.clone())?;
            let length = u32::from_le_bytes(length.try_into().map_err(|_| wrong.clone())?);
            let length = usize::try_from(length).map_err(|_| wrong.clone())?;
            let (json, content) = rest.split_at_checked(length).ok_or(wrong.clone())?;
            (content, Some(read_beside(json)?))
        }
        _ => (plain, None),
    };
    let (content, tag) = read_said(content).map_err(|_| wrong)?;
    Ok((content, beside, tag))
}

/// What a conversation knows of its person beside addresses.
#[derive(Default, Serialize, Deserialize)]
struct Profile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    referrals: Option<Box<Referrals>>,
}

/// The profile's bytes; `None` when there is nothing to keep.
pub(crate) fn profile(row: &ConversationRow) -> Option<Vec<u8>> {
    if row.username.is_none() && row.referrals.is_none() {
        return row.name.as_ref().map(|name| name.as_bytes().to_vec());
    }
    let (name, username, referrals) = (row.name.clone(), row.username.clone(), row.referrals.clone());
    let mut out = vec![MORE];
    serde_json::to_writer(&mut out, &Profile { name, username, referrals })
        .expect("invariant: it is JSON, and memory takes every byte");
    Some(out)
}

/// Puts the profile into its row.
pub(crate) fn read_profile(row: &mut ConversationRow, plain: &[u8]) -> Result<(), DecodeError> {
    let wrong = DecodeError::Invalid("profile");
    let profile = match plain.split_first() {
        Some((&MORE, json)) => serde_json::from_slice(json).map_err(|_| wrong)?,
        _ => {
            let name = std::str::from_utf8(plain).map_err(|_| wrong)?.to_owned();
            Profile { name: Some(name), ..Profile::default() }
        }
    };
    (row.name, row.username, row.referrals) = (profile.name, profile.username, profile.referrals);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_engine::beside::{Referral, Rest};
    use kabar_engine::id::{ConversationId, SessionId, TenantId};
    use kabar_engine::time::Timestamp;
    use serde_json::json;

    #[test]
    fn a_body_reads_back_with_and_without_what_stands_beside() {
        let content = Content::plain("halo");
        let beside = Beside { forwarded: true, ..Beside::default() };
        let rest = Rest {
            message: json!({"identity": {"hash": "h"}}).as_object().cloned().unwrap(),
            ..Rest::default()
        };
        let more = Beside::default().with_rest(rest);
        for with in [None, Some(beside), Some(more)] {
            let mut bytes = Vec::new();
            write(&mut bytes, &content, with.as_ref(), Some("81"));
            assert_eq!(read(&bytes), Ok((content.clone(), with.clone(), Some("81".into()))));
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_err(), "cut at {end}");
            }
        }
        // Bytes that were stored before this form.
        let old = br#"{"type":"text","text":{"body":"halo"}}"#;
        assert_eq!(read(old), Ok((content, None, None)));
        // What stood beside was kept without a rest before.
        assert_eq!(read_beside(br#"{"forwarded":true}"#).map(|beside| beside.rest), Ok(None));
    }

    #[test]
    fn a_tag_comes_back_beside_its_content_and_none_where_there_was_none() {
        for tag in [None, Some(""), Some("order \"81\" {}"), Some(TAG)] {
            let content = Content::plain("biz_opaque_callback_data: {}");
            let mut out = Vec::new();
            said(&mut out, &content, tag);
            let (back, found) = read_said(&out).unwrap();
            assert_eq!((back, found.as_deref()), (content, tag));
        }
    }

    #[test]
    fn a_profile_reads_back_and_a_bare_name_stays_one() {
        let opened = kabar_engine::entry::ConversationOpened {
            id: ConversationId(1),
            session: SessionId(1),
            address: kabar_engine::address::Address::phone_digits("6281234567890").unwrap(),
        };
        let mut row = ConversationRow::begin(TenantId(1), &opened);
        assert_eq!(profile(&row), None);
        row.name = Some("Ana".into());
        assert_eq!(profile(&row), Some(b"Ana".to_vec()));
        let one = Referral { referral: serde_json::json!({"source_id": "1"}), at: Timestamp(5) };
        let full = ConversationRow {
            username: Some("ana.d".into()),
            referrals: Some(Box::new(Referrals { first: one.clone(), last: one })),
            ..row.clone()
        };
        for row in [row, full] {
            let bytes = profile(&row).unwrap();
            let mut read = ConversationRow { name: None, username: None, referrals: None, ..row.clone() };
            read_profile(&mut read, &bytes).unwrap();
            assert_eq!(read, row);
        }
    }
}
