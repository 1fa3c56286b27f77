//! A place in the events as text: per shard, how many entries were read and how far into the next one. Opaque outside;
//! written in exactly one way, so that nothing else is taken for a cursor. Not the check against the journal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kabar_actors::dispatcher::EventPlace;
use kabar_engine::entry::Position;
use kabar_engine::id::{SHARDS, ShardId};

/// The first byte; another form of cursor has another one.
const FORM: u8 = 0xe1;
/// Positions have so many bits in an event's id.
const POSITION_BITS: u32 = 41;

/// The place as text.
pub(super) fn written(place: &EventPlace) -> String {
    let mut bytes = vec![FORM];
    let mut whole = 1;
    for shard in ShardId::all() {
        let (position, inside) = (place.cursor.at(shard).0, place.inside.get(&shard).copied().unwrap_or(0));
        put(&mut bytes, (position << 1) | u64::from(inside > 0));
        if inside > 0 {
            put(&mut bytes, inside.into());
        }
        // What ends with untouched shards is as good without them.
        whole = if position > 0 || inside > 0 { bytes.len() } else { whole };
    }
    bytes.truncate(whole);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place again; `None` when the text is no cursor.
pub(super) fn read(text: &str) -> Option<EventPlace> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let mut rest = bytes.strip_prefix(&[FORM])?;
    let mut place = EventPlace::default();
    for shard in ShardId::all().take(SHARDS) {
        if rest.is_empty() {
            break;
        }
        let value = take(&mut rest)?;
        let position = value >> 1;
        if position >> POSITION_BITS != 0 {
            return None;
        }
        if position > 0 {
            place.cursor.advance(shard, Position(position));
        }
        if value & 1 == 1 {
            place.inside.insert(shard, u32::try_from(take(&mut rest)?).ok()?);
        }
    }
    // Every place has one text: also nothing may be left over.
    (written(&place) == text).then_some(place)
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).expect("invariant: seven bits fit");
        value >>= 7;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return;
        }
    }
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (first, more) = rest.split_first()?;
        *rest = more;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(lines: &[(u8, u64, u32)]) -> EventPlace {
        let mut place = EventPlace::default();
        for (shard, position, inside) in lines {
            if *position > 0 {
                place.cursor.advance(ShardId(*shard), Position(*position));
            }
            if *inside > 0 {
                place.inside.insert(ShardId(*shard), *inside);
            }
        }
        place
    }

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let most = (1 << POSITION_BITS) - 1;
        let all: Vec<_> = (0..=255).map(|shard| (shard, most, 16_384)).collect();
        for lines in [&[][..], &[(0, 0, 1)], &[(0, 1, 0), (7, 300, 2), (255, most, 0)], &all[..]] {
            let place = place(lines);
            assert_eq!(read(&written(&place)), Some(place));
        }
        assert!(written(&place(&all)).len() < 4_096, "it must fit into an address");
    }

    #[test]
    fn what_no_page_gave_is_no_cursor() {
        let good = written(&place(&[(3, 70, 1)]));
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let more = {
            let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
            bytes.push(0);
            encode(&bytes)
        };
        let endless = [&[FORM][..], &[0x80; 12]].concat();
        let long: Vec<u8> = std::iter::once(FORM).chain([2; 257]).collect();
        for wrong in
            ["x", "?", "AAAA", &good[1..], &more, &encode(&[FORM, 0x80]), &encode(&endless), &encode(&long)]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
