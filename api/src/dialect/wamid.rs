//! Our message ids in the shape of Meta's: `wamid.` and base64 of a frame with the recipient and 18 hex digits (the frame
//! is known from samples, not documented). Programs that look at the prefix or keep the id in a column of its size go on
//! working; what Meta calls the message is another id, which `/v1` shows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kabar_engine::address::Address;
use kabar_engine::id::MessageId;

const PREFIX: &str = "wamid.";
const HEAD: [u8; 2] = [0x1c, 0x18];
/// What stands between recipient and id: outbound.
const MIDDLE: [u8; 5] = [0x15, 0x02, 0x00, 0x11, 0x18];
/// The same of what a person wrote.
const INBOUND: [u8; 5] = [0x15, 0x02, 0x00, 0x12, 0x18];
/// Hex digits of the inner id: ours and a check.
const DIGITS: usize = 18;

/// Folded over an id it says that the id is ours.
fn check(id: u64) -> u8 {
    id.to_be_bytes().into_iter().fold(0x4b, |sum, byte| sum.rotate_left(3) ^ byte)
}

/// A message's id as Meta would write it.
pub(crate) fn of(to: &Address, id: MessageId) -> String {
    let (to, inner) = (to.value().as_bytes(), format!("{:016X}{:02X}", id.0, check(id.0)));
    let length = u8::try_from(to.len()).unwrap_or(u8::MAX);
    let to = &to[..usize::from(length)];
    let mut frame = Vec::with_capacity(HEAD.len() + to.len() + MIDDLE.len() + DIGITS + 3);
    frame.extend_from_slice(&HEAD);
    frame.push(length);
    frame.extend_from_slice(to);
    frame.extend_from_slice(&MIDDLE);
    frame.push(DIGITS as u8);
    frame.extend_from_slice(inner.as_bytes());
    frame.push(0);
    format!("{PREFIX}{}", STANDARD.encode(frame))
}

/// The message an id of this shape names, when it is one of ours; Meta's own are none but for one in 256, which then
/// name no message.
pub(crate) fn ours(text: &str) -> Option<MessageId> {
    let frame = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
    let rest = frame.strip_prefix(&HEAD)?;
    let (length, rest) = rest.split_first()?;
    let rest = rest.get(usize::from(*length)..)?.strip_prefix(&MIDDLE)?;
    let (digits, inner) = rest.split_first()?;
    if usize::from(*digits) != DIGITS || inner.len() != DIGITS + 1 {
        return None;
    }
    let inner = std::str::from_utf8(&inner[..DIGITS]).ok()?;
    let id = u64::from_str_radix(inner.get(..16)?, 16).ok()?;
    let said = u8::from_str_radix(inner.get(16..)?, 16).ok()?;
    (said == check(id)).then_some(MessageId(id))
}

/// Whether an id of Meta's says by its frame that a person wrote the message. `false` is no proof of anything.
pub(crate) fn is_a_persons(text: &str) -> bool {
    let frame = text.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
    let rest = frame.as_deref().and_then(|frame| frame.strip_prefix(&HEAD)).and_then(|rest| {
        let (length, rest) = rest.split_first()?;
        rest.get(usize::from(*length)..)
    });
    rest.is_some_and(|rest| rest.starts_with(&INBOUND))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn an_id_goes_there_and_back() {
        for id in [0, 1, 81, u64::MAX >> 1, 0x0123_4567_89ab_cdef] {
            for to in [Address::phone_digits("15550100001"), Address::user_id("US.13491208655302741918")] {
                let text = of(&to.clone().unwrap(), MessageId(id));
                assert_eq!(ours(&text), Some(MessageId(id)));
                assert!(text.len() < 110, "{text}");
                for cut in 0..text.len() {
                    assert_eq!(ours(&text[..cut]), None);
                }
            }
        }
    }

    #[test]
    fn metas_ids_are_not_ours() {
        for text in [
            "wamid.HBgLMTU1NTAxMDAwMDEVAgARGBI1RjQyNUE3NEYxMzAzMzQ5MkEA",
            "wamid.HBgLMTU1NTAxMDAwMDEVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=",
            "wamid.",
            "",
        ] {
            assert_eq!(ours(text), None, "{text}");
            assert_eq!(is_a_persons(text), text.contains("VAgASG"), "{text}");
        }
        let own = of(&Address::phone_digits("15550100001").unwrap(), MessageId(81));
        assert!(!is_a_persons(&own));
    }
}
