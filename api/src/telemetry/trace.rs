//! Names of traces: a request's own or its caller's (W3C Trace Context), and a message's, which is found from its id.

use axum::http::{HeaderMap, HeaderName};
use kabar_engine::id::{MessageId, hash64};

/// Where a caller names its trace.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A request's place in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The trace, never zero.
    pub(crate) trace: u128,
    /// The request's own span, never zero.
    pub(crate) span: u64,
    /// The caller's span.
    pub(crate) parent: Option<u64>,
    /// What the caller said of sampling.
    pub(crate) sampled: Option<bool>,
}

impl Trace {
    /// The caller's trace, when its `traceparent` is one; else one of its own.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let span = rand::random::<u64>().max(1);
        let given = headers.get(&TRACEPARENT).and_then(|value| parse(value.to_str().ok()?));
        match given {
            Some((trace, parent, sampled)) => {
                Self { trace, span, parent: Some(parent), sampled: Some(sampled) }
            }
            None => Self { trace: rand::random::<u128>().max(1), span, parent: None, sampled: None },
        }
    }

    /// 32 hex digits.
    pub(crate) fn id(&self) -> String {
        // Every request has one: `format!` takes three times as long.
        (0..32).rev().map(|digit| char::from(HEX[(self.trace >> (4 * digit)) as usize & 15])).collect()
    }
}

/// Version, trace, parent, flags. A later version may have more behind.
fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.split('-');
    let mut hex = |digits: usize| {
        let part = parts.next()?;
        let lower = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (part.len() == digits && lower).then_some(part)
    };
    let (version, trace, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|trace| *trace != 0)?;
    let parent = u64::from_str_radix(parent, 16).ok().filter(|parent| *parent != 0)?;
    Some((trace, parent, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

/// A message's trace: its last 16 hex digits are the id's number. The first are mixed, since samplers look at them.
pub(crate) fn of_message(id: MessageId) -> u128 {
    (u128::from(mixed(id)) << 64) | u128::from(id.0)
}

/// The first span of a message's trace, of which the others are parts.
pub(crate) fn root(id: MessageId) -> u64 {
    hash64(&[b"root".as_slice(), &id.0.to_be_bytes()].concat()).max(1)
}

/// Whether a trace is among the share that is sent; the same trace always is or is not.
pub(crate) fn is_sampled(trace: u128, ratio: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than it has")]
    let place = hash64(&trace.to_be_bytes()) as f64 / u64::MAX as f64;
    ratio >= 1.0 || place < ratio
}

fn mixed(id: MessageId) -> u64 {
    hash64(&[b"trace".as_slice(), &id.0.to_be_bytes()].concat()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Trace {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", text.parse().unwrap());
        Trace::of(&headers)
    }

    #[test]
    fn a_callers_trace_is_taken_over_and_what_is_none_is_not() {
        let given = of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(given.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((given.parent, given.sampled), (Some(0x00f0_67aa_0ba9_02b7), Some(true)));
        assert_eq!(of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").sampled, Some(false));
        assert_eq!(of("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more").sampled, Some(false));
        for wrong in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            let own = of(wrong);
            assert_eq!((own.parent, own.sampled, own.id().len()), (None, None, 32), "{wrong}");
        }
    }

    #[test]
    fn a_messages_trace_is_found_from_its_id_and_a_share_is_always_the_same() {
        let id = MessageId(0x0123_4567_89ab_cdef);
        let trace = of_message(id);
        assert!(format!("{trace:032x}").ends_with("0123456789abcdef"));
        assert_eq!((of_message(id), root(id)), (trace, root(id)));
        let traces: Vec<u128> = (0..4_000).map(|n| of_message(MessageId(n))).collect();
        let share = |ratio| traces.iter().filter(|trace| is_sampled(**trace, ratio)).count();
        assert_eq!((share(0.0), share(1.0)), (0, 4_000));
        assert!((800..1_200).contains(&share(0.25)), "{}", share(0.25));
        assert!(traces.iter().all(|trace| !is_sampled(*trace, 0.25) || is_sampled(*trace, 0.5)));
    }
}
