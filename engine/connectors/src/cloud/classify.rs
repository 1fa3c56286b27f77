//! What Meta's error codes mean for a send: what becomes of the message, and which bucket slows down. One table. Not
//! whose fault it is and not the words for people: those are the engine's catalogue of causes.
//!
//! Source: Meta's Cloud API error codes. The HTTP status of throttling is inconsistent in the field (400 and
//! 429), so the code decides, and the shape of the answer only where the code is in neither table.

use http::StatusCode;
use kabar_engine::cause::Cause;
use kabar_engine::pacing::Throttle;

/// What is to be done with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Again later; this bucket slows down.
    Retry(Throttle),
    /// Again when it is mended or its time has passed; until then this is held.
    Held(Throttle),
    /// Nothing from this number can be sent until somebody mends its credentials.
    LinkLost,
    /// This message will never be taken.
    Rejected,
}

impl Class {
    /// What is done with the message, in a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::Held(_) => "held",
            Self::LinkLost => "link_lost",
            Self::Rejected => "rejected",
        }
    }

    /// Which bucket slows down or is held.
    #[must_use]
    pub fn bucket(self) -> Option<Throttle> {
        match self {
            Self::Retry(throttle) | Self::Held(throttle) => Some(throttle),
            Self::LinkLost | Self::Rejected => None,
        }
    }
}

/// What an answer looks like beside its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The HTTP status.
    pub status: StatusCode,
    /// `error_subcode`.
    pub subcode: Option<u32>,
    /// `is_transient`: Meta says itself that it passes.
    pub transient: bool,
}

impl Shape {
    /// A status alone.
    #[must_use]
    pub fn of(status: StatusCode) -> Self {
        Self { status, subcode: None, transient: false }
    }
}

/// An object that does not exist, or that the token may not see: here always the number itself.
pub(super) const UNKNOWN_OBJECT: u32 = 33;

/// The class of an answer with a Graph error body.
#[must_use]
pub fn classify(code: u32, shape: Shape) -> Class {
    match code {
        100 if shape.subcode == Some(UNKNOWN_OBJECT) => Class::LinkLost,
        131_056 => Class::Retry(Throttle::Pair),
        130_429 | 131_208 => Class::Retry(Throttle::Throughput),
        4 | 613 | 80_007 => Class::Retry(Throttle::RequestLimit),
        131_057 | 2_494_100 => Class::Retry(Throttle::Maintenance),
        1 | 2 | 131_000 | 131_016 | 133_000 | 133_004 => Class::Retry(Throttle::Transient),
        368 | 131_031 | 131_037 | 131_042 | 131_044 | 131_048 | 131_064 => Class::Held(Throttle::Account),
        131_063 | 132_015 | 132_069 | 134_101 | 134_102 => Class::Held(Throttle::Template),
        131_049 => Class::Held(Throttle::Person),
        0 | 3 | 10 | UNKNOWN_OBJECT | 104 | 190 | 200..=299 => Class::LinkLost,
        131_005 | 131_045 | 133_005..=133_016 => Class::LinkLost,
        _ if Cause::of_provider(code).is_known() => Class::Rejected,
        _ => by_shape(shape),
    }
}

/// The class of a code that no table has.
fn by_shape(shape: Shape) -> Class {
    match shape.status {
        _ if shape.transient => Class::Retry(Throttle::Transient),
        StatusCode::TOO_MANY_REQUESTS => Class::Retry(Throttle::Throughput),
        StatusCode::UNAUTHORIZED => Class::LinkLost,
        status if status.is_server_error() => Class::Retry(Throttle::Transient),
        _ => Class::Rejected,
    }
}

/// What a code in a `failed` status holds or slows down beside the message, which has failed for good.
#[must_use]
pub fn aftermath(cause: Cause) -> Option<Throttle> {
    if !cause.is_provider() {
        return None;
    }
    // Disabled for ever: the message is refused, and every other of this template would be.
    if cause.number() == 132_016 {
        return Some(Throttle::Template);
    }
    let shape = Shape::of(StatusCode::OK);
    match classify(cause.number(), shape) {
        Class::Held(throttle @ (Throttle::Account | Throttle::Template)) => Some(throttle),
        Class::Retry(throttle @ (Throttle::Throughput | Throttle::Maintenance)) => Some(throttle),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u32, status: u16) -> Class {
        classify(code, Shape::of(StatusCode::from_u16(status).unwrap()))
    }

    #[test]
    fn the_code_decides_whatever_the_status() {
        for status in [200, 400, 401, 403, 404, 429, 500, 503] {
            for (codes, class) in [
                (&[131_056][..], Class::Retry(Throttle::Pair)),
                (&[130_429], Class::Retry(Throttle::Throughput)),
                (&[4, 80_007], Class::Retry(Throttle::RequestLimit)),
                (&[131_057, 2_494_100], Class::Retry(Throttle::Maintenance)),
                (&[1, 2, 131_000, 131_016, 133_004], Class::Retry(Throttle::Transient)),
                (&[368, 131_031, 131_042, 131_048], Class::Held(Throttle::Account)),
                (&[132_015, 134_101], Class::Held(Throttle::Template)),
                (&[131_049], Class::Held(Throttle::Person)),
                (&[0, 3, 10, 33, 104, 190, 200, 250, 299, 131_005, 131_045, 133_010], Class::LinkLost),
                (
                    &[100, 130_472, 131_008, 131_026, 131_047, 131_050, 132_001, 132_016, 135_000],
                    Class::Rejected,
                ),
            ] {
                for code in codes {
                    assert_eq!(of(*code, status), class, "{code} with {status}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_code_follows_the_shape_of_its_answer() {
        for code in [300, 131_999, 987_654] {
            assert_eq!(of(code, 400), Class::Rejected);
            assert_eq!(of(code, 403), Class::Rejected);
            assert_eq!(of(code, 401), Class::LinkLost);
            assert_eq!(of(code, 429), Class::Retry(Throttle::Throughput));
            assert_eq!(of(code, 500), Class::Retry(Throttle::Transient));
            let passing = Shape { transient: true, ..Shape::of(StatusCode::BAD_REQUEST) };
            assert_eq!(classify(code, passing), Class::Retry(Throttle::Transient));
        }
        let passing = Shape { transient: true, ..Shape::of(StatusCode::BAD_REQUEST) };
        assert_eq!(classify(131_026, passing), Class::Rejected, "a known code knows better");
    }

    #[test]
    fn a_number_that_is_not_there_is_a_lost_link_and_a_bad_parameter_is_not() {
        let with = |subcode| Shape { subcode, ..Shape::of(StatusCode::BAD_REQUEST) };
        assert_eq!(classify(100, with(Some(33))), Class::LinkLost);
        assert_eq!(classify(100, with(Some(2_494_010))), Class::Rejected);
    }

    #[test]
    fn a_failed_status_holds_what_its_code_is_about_and_nothing_else() {
        for (code, held) in [
            (131_042, Some(Throttle::Account)),
            (132_015, Some(Throttle::Template)),
            (132_016, Some(Throttle::Template)),
            (130_429, Some(Throttle::Throughput)),
            (131_026, None),
            (131_049, None),
            (131_000, None),
            (190, None),
        ] {
            assert_eq!(aftermath(Cause(code)), held, "{code}");
        }
        assert_eq!(aftermath(Cause::CANCELLED), None);
    }
}
