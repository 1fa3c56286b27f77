//! Message ids in the layout real ones decode to: recipient, direction, random part, in base64.
//! Plausible, and derived from the seed; not a promise of any other meaning.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The random part: 9 bytes, shown as 18 hexadecimal digits.
pub(crate) type Id = [u8; 9];

const OUTBOUND: u8 = 0x11;
const INBOUND: u8 = 0x12;

/// The id of a message from a business to `recipient`.
pub(crate) fn outbound(recipient: &str, id: Id) -> String {
    wrap(recipient, OUTBOUND, &hex(&id))
}

/// The id of a message from `sender` to a business.
pub(crate) fn inbound(sender: &str, id: Id) -> String {
    wrap(sender, INBOUND, &format!("3A{}", hex(&id)))
}

/// The random part of an outbound id, if it is one.
pub(crate) fn random_part(wamid: &str) -> Option<Id> {
    let bytes = STANDARD.decode(wamid.strip_prefix("wamid.")?).ok()?;
    let recipient = usize::from(*bytes.get(2)?);
    let rest = bytes.get(3 + recipient..)?;
    let [0x15, 0x02, 0x00, OUTBOUND, 0x18, 18, digits @ .., 0x00] = rest else { return None };
    let digits = std::str::from_utf8(digits).ok().filter(|text| text.len() == 18)?;
    let mut id = Id::default();
    for (at, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(id)
}

fn wrap(address: &str, direction: u8, id: &str) -> String {
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut bytes = Vec::with_capacity(16 + address.len() + id.len());
    bytes.extend([0x1c, 0x18, length(address)]);
    bytes.extend(address.as_bytes());
    bytes.extend([0x15, 0x02, 0x00, direction, 0x18, length(id)]);
    bytes.extend(id.as_bytes());
    bytes.push(0);
    let mut text = String::with_capacity(8 + bytes.len() * 4 / 3);
    text.push_str("wamid.");
    STANDARD.encode_string(bytes, &mut text);
    text
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_looks_like_metas_and_gives_its_random_part_back() {
        let id = [0x5f, 0x42, 0x5a, 0x74, 0xf1, 0x30, 0x33, 0x49, 0x2e];
        let wamid = outbound("15550100001", id);
        assert_eq!(wamid, "wamid.HBgLMTU1NTAxMDAwMDEVAgARGBI1RjQyNUE3NEYxMzAzMzQ5MkUA");
        assert_eq!(random_part(&wamid), Some(id));
        assert_eq!(random_part(&inbound("15550100001", id)), None);
        assert_eq!(random_part("wamid.x"), None);
    }
}
