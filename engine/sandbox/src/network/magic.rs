//! Magic recipients: numbers of the reserved country code 999 whose ending says what happens to
//! them, so that a test needs no control call. Not a rate, not a draw.

use super::code;

/// What is documented and shown: ending of a number `999…`, and what it does.
pub const MAGIC: &[(&str, &str)] = &[
    ("…<error code>", "accepted, then fails later with that code (…131026, …131049, …131047, …)"),
    ("…130429", "throttled in the answer, as if the number were over its rate"),
    ("…131056", "throttled in the answer, as if the pair were over its pace"),
    ("…0000", "sent, never delivered"),
    ("…0001", "delivered, never read"),
    ("…0002", "always answers STOP"),
    ("…0003", "always answers BERHENTI"),
    ("…0004", "always answers Halo"),
];

/// What a magic number does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Magic {
    Throttle(u32),
    FailLater(u32),
    NeverDelivered,
    NeverRead,
    Answers(&'static str),
}

/// The magic of a recipient, `None` for everybody else.
pub(crate) fn of(wa_id: &str) -> Option<Magic> {
    let rest = wa_id.strip_prefix("999")?;
    if let Some(number) = rest.len().checked_sub(6).and_then(|at| rest[at..].parse::<u32>().ok()) {
        match number {
            130_429 | 131_056 => return Some(Magic::Throttle(number)),
            130_000.. if code::find(number).is_some() => return Some(Magic::FailLater(number)),
            _ => {}
        }
    }
    match &rest[rest.len().checked_sub(4)?..] {
        "0000" => Some(Magic::NeverDelivered),
        "0001" => Some(Magic::NeverRead),
        "0002" => Some(Magic::Answers("STOP")),
        "0003" => Some(Magic::Answers("BERHENTI")),
        "0004" => Some(Magic::Answers("Halo")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_of_the_reserved_country_mean_something() {
        assert_eq!(of("9991131026"), Some(Magic::FailLater(131_026)));
        assert_eq!(of("999131049"), Some(Magic::FailLater(131_049)));
        assert_eq!(of("9995130429"), Some(Magic::Throttle(130_429)));
        assert_eq!(of("99955550000"), Some(Magic::NeverDelivered));
        assert_eq!(of("99955550001"), Some(Magic::NeverRead));
        assert_eq!(of("99955550002"), Some(Magic::Answers("STOP")));
        assert_eq!(of("99955550003"), Some(Magic::Answers("BERHENTI")));
        assert_eq!(of("99955550004"), Some(Magic::Answers("Halo")));
        assert_eq!(of("99955557777"), None);
        assert_eq!(of("999131001"), None, "not a code of the reference");
        assert_eq!(of("62811131026"), None, "a real country");
        assert_eq!(of("999"), None);
    }
}
