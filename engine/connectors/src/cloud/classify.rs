//! What Meta's error codes mean for a send. One table. Not the words for people: those are the engine's
//! catalogue of causes.
//!
//! Source: Meta's Cloud API error codes. The HTTP status of throttling is inconsistent in the field (400 and
//! 429), so the code decides and the status only where the code is not known.

use http::StatusCode;
use kabar_engine::pacing::Throttle;

/// What is to be done with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Again later; this bucket slows down.
    Retry(Throttle),
    /// Nothing from this number can be sent until somebody mends its credentials.
    LinkLost,
    /// This message will never be taken.
    Rejected,
}

/// An object that does not exist, or that the token may not see: here always the number itself.
pub(super) const UNKNOWN_OBJECT: u32 = 33;

/// The class of an answer with a Graph error body.
pub(super) fn classify(code: u32, subcode: Option<u32>, status: StatusCode) -> Class {
    match code {
        100 if subcode == Some(UNKNOWN_OBJECT) => Class::LinkLost,
        131_056 => Class::Retry(Throttle::Pair),
        130_429 | 131_208 => Class::Retry(Throttle::Throughput),
        4 | 613 | 80_007 => Class::Retry(Throttle::RequestLimit),
        131_057 | 2_494_100 => Class::Retry(Throttle::Maintenance),
        1 | 2 | 131_000 | 131_016 | 133_000 | 133_004 => Class::Retry(Throttle::Transient),
        0 | 3 | 10 | UNKNOWN_OBJECT | 104 | 190 | 200..=299 | 131_005 => Class::LinkLost,
        _ if is_known(code) || !status.is_server_error() => Class::Rejected,
        _ => Class::Retry(Throttle::Transient),
    }
}

/// Codes of the reference that refuse a message whatever status they come with.
fn is_known(code: u32) -> bool {
    matches!(
        code,
        100 | 368
            | 130_403..=130_501
            | 131_008..=131_064
            | 131_201..=131_215
            | 132_000..=132_069
            | 133_005..=133_016
            | 134_011
            | 134_100..=134_102
            | 135_000
            | 137_000
            | 138_000..=138_023
            | 139_000..=139_200
            | 147_001..=147_005
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u32, status: u16) -> Class {
        classify(code, None, StatusCode::from_u16(status).unwrap())
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
                (&[0, 3, 10, 33, 104, 190, 200, 250, 299, 131_005], Class::LinkLost),
                (
                    &[
                        100, 368, 130_472, 131_008, 131_026, 131_047, 131_049, 131_045, 132_001, 133_010,
                        135_000,
                    ],
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
    fn an_unknown_code_follows_its_status() {
        assert_eq!(of(987_654, 400), Class::Rejected);
        assert_eq!(of(987_654, 500), Class::Retry(Throttle::Transient));
        assert_eq!(of(300, 503), Class::Retry(Throttle::Transient));
    }

    #[test]
    fn a_number_that_is_not_there_is_a_lost_link_and_a_bad_parameter_is_not() {
        let bad = StatusCode::BAD_REQUEST;
        assert_eq!(classify(100, Some(33), bad), Class::LinkLost);
        assert_eq!(classify(100, Some(2_494_010), bad), Class::Rejected);
    }
}
