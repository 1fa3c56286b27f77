//! Regions (ISO 3166, two letters) and calling codes by prefix. Not the numbering plans: those are the
//! library's, asked in `text`.

use super::AddressError;
use rlibphonenumber::PHONE_NUMBER_UTIL;
use serde::{Deserialize, Serialize};

/// A region with phone numbers of its own: two capital letters, e.g. `ID`. Read with `parse`, which takes
/// either case and refuses letters that name no region.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

impl Region {
    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("invariant: a region is two ASCII letters")
    }

    /// The library's name of it.
    pub(super) fn of_library(region: rlibphonenumber::Region) -> Option<Self> {
        match region.as_region_str().as_bytes() {
            [a, b] => Some(Self([*a, *b])),
            // `001`: numbers of no country, such as satellite phones.
            _ => None,
        }
    }

    pub(super) fn to_library(self) -> rlibphonenumber::Region {
        rlibphonenumber::Region::from_code(self.as_str()).expect("invariant: a region is two ASCII letters")
    }
}

impl std::str::FromStr for Region {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError::UnknownRegion(text.chars().take(16).collect());
        let library = rlibphonenumber::Region::from_code(text.trim()).map_err(|_| refuse())?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(library).ok_or_else(refuse)?;
        Self::of_library(library).ok_or_else(refuse)
    }
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Region {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Calling codes of two digits; +1 and +7 have one, all others three. Source: ITU-T E.164 assigned codes.
const TWO_DIGITS: &[&str] = &[
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47", "48",
    "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65", "66", "81",
    "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
];

/// The calling code that `digits` begin with.
pub(super) fn calling_code(digits: &str) -> &str {
    let length = match digits.as_bytes().first() {
        Some(b'1' | b'7') => 1,
        _ if digits.get(..2).is_some_and(|two| TWO_DIGITS.contains(&two)) => 2,
        _ => 3,
    };
    digits.get(..length).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_calling_code_in_use_is_found_by_its_prefix() {
        for code in PHONE_NUMBER_UTIL.get_supported_calling_codes() {
            let digits = format!("{code}2345678");
            assert_eq!(calling_code(&digits), code.to_string());
        }
    }

    #[test]
    fn regions_are_read_in_either_case_and_only_when_they_exist() {
        assert_eq!("id".parse::<Region>().unwrap().to_string(), "ID");
        assert_eq!(serde_json::from_str::<Region>("\"SG\"").unwrap().as_str(), "SG");
        for bad in ["", "I", "IDN", "ZZ", "001", "1D", "é"] {
            let error = bad.parse::<Region>().unwrap_err();
            assert_eq!(error, AddressError::UnknownRegion(bad.to_owned()));
        }
    }
}
