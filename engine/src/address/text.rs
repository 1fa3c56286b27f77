//! Text → E.164: what people, spreadsheets and address books make of a number. Not for providers' digits,
//! which are only checked for syntax.

use super::{Address, AddressError, DIGITS_MAX, DIGITS_MIN, Parsed, Region};
use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, ValidationError};

/// See [`Address::parse`].
pub(super) fn parse(input: &str, default_region: Option<Region>) -> Result<Parsed, AddressError> {
    let cleaned = clean(input)?;
    let number = match Shape::of(&cleaned) {
        Shape::Plus(digits) => international(digits)?,
        Shape::DoubleZero(digits) => match (international(digits), default_region) {
            // `008 62 …` is a carrier's exit code in Indonesia, not a number of China: where a region is
            // known, `00` is our reading and must give a valid number.
            (Ok(number), Some(_)) if PHONE_NUMBER_UTIL.is_valid_number(&number) => number,
            (_, Some(region)) => national(&cleaned, region)?,
            (result, None) => result?,
        },
        Shape::National => national(&cleaned, default_region.ok_or(AddressError::NoCountryCode)?)?,
    };
    let region = PHONE_NUMBER_UTIL.get_region_for_number(&number).and_then(Region::of_library);
    let text = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::E164);
    if text != cleaned && !is_settled(&text) {
        return Err(region.map_or(AddressError::UnknownCountryCode, AddressError::InvalidForRegion));
    }
    Ok(Parsed { address: Address::phone_digits(&text)?, input: input.to_owned(), region })
}

/// Whether E.164 text reads as itself. Where trunk zeros or carrier codes stand after the country code they may
/// come off one by one, and one text would give several addresses.
fn is_settled(text: &str) -> bool {
    PHONE_NUMBER_UTIL
        .parse(text, None)
        .is_ok_and(|again| PHONE_NUMBER_UTIL.format(&again, PhoneNumberFormat::E164) == text)
}

/// The region of international digits.
pub(super) fn region_of(digits: &str) -> Option<Region> {
    let number = PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).ok()?;
    PHONE_NUMBER_UTIL.get_region_for_number(&number).and_then(Region::of_library)
}

/// How the country code is written.
enum Shape<'a> {
    Plus(&'a str),
    DoubleZero(&'a str),
    National,
}

impl<'a> Shape<'a> {
    fn of(cleaned: &'a str) -> Self {
        if let Some(digits) = cleaned.strip_prefix('+') {
            Self::Plus(digits)
        } else if let Some(digits) = cleaned.strip_prefix("00") {
            Self::DoubleZero(digits)
        } else {
            Self::National
        }
    }
}

/// Only `+` at the begin and ASCII digits are left.
fn clean(input: &str) -> Result<String, AddressError> {
    let text = input.trim();
    let text = text.strip_prefix("tel:").unwrap_or(text);
    // Spreadsheets: `'0812…` keeps the zero, `6281….0` is a number cell written as text.
    let text = text.strip_prefix('\'').unwrap_or(text);
    let text = match text.strip_suffix(".0") {
        Some(whole) if whole.len() >= DIGITS_MIN && whole.bytes().all(|b| b.is_ascii_digit()) => whole,
        _ => text,
    };
    if is_scientific(text) {
        return Err(AddressError::Spreadsheet);
    }
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '+' | '\u{ff0b}' if cleaned.is_empty() => cleaned.push('+'),
            '(' | ')' | '[' | ']' | '/' | '.' | '-' | '~' | '\u{2010}'..='\u{2015}' | '\u{2212}' => {}
            _ if c.is_whitespace() || is_invisible(c) => {}
            _ => match decimal(c) {
                Some(digit) => cleaned.push(digit),
                None if c.is_alphabetic() => return Err(AddressError::Letters),
                None => return Err(AddressError::Character(c)),
            },
        }
    }
    match cleaned.len() - usize::from(cleaned.starts_with('+')) {
        0 => Err(AddressError::Empty),
        1..DIGITS_MIN => Err(AddressError::TooShort),
        // An exit code and a carrier code may stand before the number.
        length if length > DIGITS_MAX + 4 => Err(AddressError::TooLong),
        _ => Ok(cleaned),
    }
}

/// Marks that phones and web pages put around a copied number: direction, zero width, byte order.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

/// ASCII, full-width, Arabic and Persian digits.
fn decimal(c: char) -> Option<char> {
    let zero = match c {
        '0'..='9' => '0',
        '\u{ff10}'..='\u{ff19}' => '\u{ff10}',
        '\u{660}'..='\u{669}' => '\u{660}',
        '\u{6f0}'..='\u{6f9}' => '\u{6f0}',
        _ => return None,
    };
    char::from_digit(u32::from(c) - u32::from(zero), 10)
}

/// `6.28123E+12`, with a comma too.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b',');
    digits(mantissa) && digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

/// Digits behind a `+`: taken when their length is possible.
fn international(digits: &str) -> Result<PhoneNumber, AddressError> {
    let number = PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).map_err(|error| refusal(&error))?;
    match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
        Ok(rlibphonenumber::NumberLengthType::IsPossible) => Ok(number),
        Ok(rlibphonenumber::NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => {
            Err(AddressError::TooShort)
        }
        Err(ValidationError::InvalidCountryCode) => Err(AddressError::UnknownCountryCode),
        Err(ValidationError::TooLong) => Err(AddressError::TooLong),
        Err(ValidationError::InvalidLength) => Err(PHONE_NUMBER_UTIL
            .get_region_for_country_code(number.country_code)
            .and_then(Region::of_library)
            .map_or(AddressError::UnknownCountryCode, AddressError::InvalidForRegion)),
    }
}

/// Digits without `+` read in a region: must be a valid number there.
fn national(digits: &str, region: Region) -> Result<PhoneNumber, AddressError> {
    let number = match PHONE_NUMBER_UTIL.parse(digits, Some(region.to_library())) {
        Ok(number) => number,
        Err(ParseError::InvalidCountryCode) => return Err(AddressError::InvalidForRegion(region)),
        Err(error) => return Err(refusal(&error)),
    };
    if PHONE_NUMBER_UTIL.is_valid_number(&number) {
        Ok(number)
    } else {
        Err(AddressError::InvalidForRegion(region))
    }
}

fn refusal(error: &ParseError) -> AddressError {
    match error {
        ParseError::InvalidCountryCode | ParseError::NotANumber(_) => AddressError::UnknownCountryCode,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => AddressError::TooShort,
        ParseError::TooLongNsn => AddressError::TooLong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(input: &str, region: &str) -> Result<String, AddressError> {
        let region = (!region.is_empty()).then(|| region.parse().unwrap());
        parse(input, region).map(|parsed| parsed.address.value().to_owned())
    }

    #[test]
    fn what_people_write_becomes_one_number() {
        for input in [
            "0812-3456-7890",
            "+62 812 3456 7890",
            "+62 (812) 3456.7890",
            "0062 812 34567890",
            "6281234567890",
            "81234567890",
            "(0812) 3456 / 7890",
            "  +62\u{a0}812\u{2013}3456\u{2011}7890 ",
            "\u{202a}+62 812 3456 7890\u{202c}",
            "+62 0812 3456 7890",
            "008 62 812 3456 7890",
            "tel:+62-812-3456-7890",
            "'081234567890",
            "6281234567890.0",
            "\u{ff0b}\u{ff16}\u{ff12} 812 3456 7890",
            "\u{660}\u{668}\u{661}\u{662}34567890",
        ] {
            assert_eq!(read(input, "ID").as_deref(), Ok("6281234567890"), "{input}");
        }
    }

    #[test]
    fn foreign_numbers_keep_their_country() {
        for (input, region, expected) in [
            ("+1 (415) 555-2671", "ID", "14155552671"),
            ("0044 7911 123456", "", "447911123456"),
            ("07911 123456", "GB", "447911123456"),
            ("+1 555 010 0001", "", "15550100001"),
            ("+39 06 6982", "", "39066982"),
            ("(11) 91234-5678", "BR", "5511912345678"),
            ("9876543210", "IN", "919876543210"),
        ] {
            assert_eq!(read(input, region).as_deref(), Ok(expected), "{input}");
        }
    }

    #[test]
    fn the_input_and_the_region_stand_beside_the_result() {
        let parsed = parse(" 0812-3456-7890", Some("ID".parse().unwrap())).unwrap();
        assert_eq!(parsed.input, " 0812-3456-7890");
        assert_eq!(parsed.region.unwrap().as_str(), "ID");
        assert_eq!(parse("+15550100001", None).unwrap().region, None);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let id: Region = "ID".parse().unwrap();
        for (input, region, expected) in [
            ("", "ID", AddressError::Empty),
            (" - ", "ID", AddressError::Empty),
            ("+", "ID", AddressError::Empty),
            ("budi", "ID", AddressError::Letters),
            ("0812x3456", "ID", AddressError::Letters),
            ("6.28123E+12", "ID", AddressError::Spreadsheet),
            ("6,28123E12", "ID", AddressError::Spreadsheet),
            ("0812#3456", "ID", AddressError::Character('#')),
            ("0812+34567890", "ID", AddressError::Character('+')),
            ("081", "ID", AddressError::TooShort),
            ("+62 81", "", AddressError::TooShort),
            ("+62 812 3456 7890 1234 5678", "", AddressError::TooLong),
            ("081234567890/081298765432", "ID", AddressError::TooLong),
            ("081234567890", "", AddressError::NoCountryCode),
            ("6281234567890", "", AddressError::NoCountryCode),
            ("+999 1234 5678", "", AddressError::UnknownCountryCode),
            ("0112345", "ID", AddressError::InvalidForRegion(id)),
            ("14155552671", "ID", AddressError::InvalidForRegion(id)),
        ] {
            assert_eq!(read(input, region), Err(expected), "{input}");
        }
        assert!(AddressError::InvalidForRegion(id).to_string().contains("ID"));
    }

    proptest! {
        #[test]
        fn a_parsed_number_parses_to_itself(
            prefix in prop_oneof![Just("+62"), Just("+1"), Just("+55"), Just("+52"), Just("+54"), Just("+39"),
                Just("+7"), Just("+49"), Just("+"), Just("0"), Just("08"), Just("00")],
            digits in "[0-9]{4,12}",
            region in prop_oneof![Just("ID"), Just("US"), Just("BR"), Just("MX"), Just("AR"), Just("IT")],
        ) {
            let region = region.parse().ok();
            if let Ok(first) = parse(&format!("{prefix}{digits}"), region) {
                let again = parse(&first.address.to_text(), region).map(|parsed| parsed.address);
                prop_assert_eq!(again, Ok(first.address));
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,60}", digits in "[+0-9 ()eE.-]{0,40}") {
            let region = "ID".parse().ok();
            for input in [text, digits] {
                let _ = parse(&input, region);
                let _ = parse(&input, None);
            }
        }
    }
}
