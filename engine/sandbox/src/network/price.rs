//! What a message costs, in the words of its status: category and type by the rules of the day it is sent. No amounts:
//! those are nobody's knowledge here.

use serde::{Deserialize, Serialize};

use super::message::Category;

/// 1 July 2025: per message instead of per conversation.
const PER_MESSAGE_MS: i64 = 1_751_328_000_000;
/// 1 October 2026: messages inside the window are charged.
const WINDOW_CHARGED_MS: i64 = 1_790_812_800_000;

/// How a message is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rate {
    #[default]
    Regular,
    FreeCustomerService,
    FreeEntryPoint,
}

impl Rate {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::FreeCustomerService => "free_customer_service",
            Self::FreeEntryPoint => "free_entry_point",
        }
    }
}

/// The name of the model in force.
pub(crate) fn model(at_ms: i64) -> &'static str {
    if at_ms < PER_MESSAGE_MS { "CBP" } else { "PMP" }
}

/// Whether messages inside the window are charged, and service messages counted.
pub(crate) fn window_is_charged(at_ms: i64) -> bool {
    at_ms >= WINDOW_CHARGED_MS
}

/// How a message is charged that is sent inside or outside an open window, `free` while the number's free service
/// messages last.
pub(crate) fn rate(category: Category, in_window: bool, at_ms: i64, free: bool) -> Rate {
    match category {
        Category::Service if free || !window_is_charged(at_ms) => Rate::FreeCustomerService,
        Category::Utility if in_window && !window_is_charged(at_ms) => Rate::FreeCustomerService,
        _ => Rate::Regular,
    }
}

/// The month of an instant, counted from year 0: whole months, in UTC.
pub(crate) fn month(at_ms: i64) -> i64 {
    // days to the civil calendar, in eras of 400 years
    let days = at_ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    (year + era * 400) * 12 + from_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn october_2026_ends_free_answers() {
        let (before, after) = (WINDOW_CHARGED_MS - 1, WINDOW_CHARGED_MS);
        assert_eq!(rate(Category::Service, true, before, false), Rate::FreeCustomerService);
        assert_eq!(rate(Category::Service, true, after, true), Rate::FreeCustomerService);
        assert_eq!(rate(Category::Service, true, after, false), Rate::Regular);
        assert_eq!(rate(Category::Utility, true, before, false), Rate::FreeCustomerService);
        assert_eq!(rate(Category::Utility, false, before, false), Rate::Regular);
        assert_eq!(rate(Category::Utility, true, after, true), Rate::Regular);
        assert_eq!(rate(Category::Marketing, true, before, true), Rate::Regular);
        assert_eq!((model(PER_MESSAGE_MS - 1), model(PER_MESSAGE_MS)), ("CBP", "PMP"));
    }

    #[test]
    fn months_change_at_their_first_day() {
        // 30 September and 1 October 2026, 31 December 2026 and 1 January 2027
        assert_eq!(month(WINDOW_CHARGED_MS) - month(WINDOW_CHARGED_MS - 1), 1);
        let new_year = WINDOW_CHARGED_MS + 92 * 86_400_000;
        assert_eq!(month(new_year) - month(new_year - 1), 1);
        assert_eq!(month(new_year - 1), month(new_year - 31 * 86_400_000));
    }
}
