//! Who a message goes to or comes from: a phone number, a business-scoped user id or a LID, each with the key
//! it is stored and sorted under. Text that people wrote becomes an address here ([`Address::parse`]).
//!
//! Not a contact (that is a person in a tenant's address book) and not a promise that the number is on WhatsApp.

mod region;
mod text;

pub use region::Region;

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Fewest digits of a provider's number.
const DIGITS_MIN: usize = 5;
/// Most digits of a provider's number; E.164 ends at 15, some providers' test numbers are longer.
const DIGITS_MAX: usize = 20;
/// Most characters of a business-scoped user id after its country: 128, and `ENT.` of a parent id.
const USER_ID_MAX: usize = 128 + 4;

/// What the value of an address is. The byte is stored; it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AddressKind {
    /// A phone number: its international digits without `+`. Meta's `wa_id` is one.
    Phone = 1,
    /// Meta's business-scoped user id, e.g. `US.13491208655302741918`; opaque.
    UserId = 2,
    /// WhatsApp Web's hidden identity: digits that are no phone number.
    Lid = 3,
}

impl AddressKind {
    /// Decodes the stored byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Phone, Self::UserId, Self::Lid].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// An address. `Debug` and `Display` mask it, so that a log never holds a number; [`Address::value`],
/// [`Address::key`] and [`Address::to_text`] give the real one. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    kind: AddressKind,
    value: Arc<str>,
}

/// An address read from text, with what was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The result.
    pub address: Address,
    /// The text as it was given: Meta's `input` beside `wa_id`.
    pub input: String,
    /// The region the number belongs to; `None` when its calling code has several and none fits.
    pub region: Option<Region>,
}

impl std::fmt::Debug for Parsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parsed")
            .field("address", &self.address)
            .field("input", &format_args!("({} characters)", self.input.chars().count()))
            .field("region", &self.region)
            .finish()
    }
}

/// Why a text is no address, and what to do. No message holds the text itself: it may be a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing is left after trimming.
    #[error("the address is empty: give a phone number such as +62 812 3456 7890")]
    Empty,
    /// A letter stands in a phone number.
    #[error("a phone number holds no letters: write digits, e.g. +62 812 3456 7890")]
    Letters,
    /// A spreadsheet rounded the number; its digits are lost.
    #[error(
        "a spreadsheet turned the number into scientific notation and lost digits: format the column as text and export again"
    )]
    Spreadsheet,
    /// A character that is neither digit nor punctuation of numbers.
    #[error("a phone number cannot hold `{0}`: write digits, spaces, dashes, dots or brackets")]
    Character(char),
    /// Too few digits.
    #[error("the number has too few digits: write it complete, with country code or area code")]
    TooShort,
    /// Too many digits.
    #[error("the number has too many digits: give one number only, without extension")]
    TooLong,
    /// The text has no `+` and there is no default region.
    #[error(
        "the number has no country code: write it with + and the country code, or name a default region such as ID"
    )]
    NoCountryCode,
    /// No country has this calling code.
    #[error("no country has this calling code: check the digits after the +")]
    UnknownCountryCode,
    /// The national form is not a number of the default region.
    #[error(
        "this is not a valid number of {0}: check the digits, or write a foreign number with + and its country code"
    )]
    InvalidForRegion(Region),
    /// Not a region with phone numbers.
    #[error("`{0}` is not a region: use two letters of ISO 3166, e.g. ID")]
    UnknownRegion(String),
    /// Not a business-scoped user id.
    #[error("a user id has the form US.1349…: two capital letters, a dot, letters and digits")]
    UserId,
    /// Not a LID.
    #[error("a LID is 1 to 20 digits")]
    Lid,
    /// Not what [`Address::key`] wrote.
    #[error("this is not an address key: it has the form 1:6281…")]
    Key,
}

impl Address {
    /// A provider's digits, with or without `+`: 5 to 20 ASCII digits. The syntax is checked and nothing else,
    /// so that an inbound message is never refused for a number range we do not know.
    ///
    /// # Errors
    /// [`AddressError`] naming what is wrong with the digits.
    pub fn phone_digits(digits: &str) -> Result<Self, AddressError> {
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        if digits.is_empty() {
            return Err(AddressError::Empty);
        }
        if let Some(c) = digits.chars().find(|c| !c.is_ascii_digit()) {
            return Err(if c.is_alphabetic() { AddressError::Letters } else { AddressError::Character(c) });
        }
        match digits.len() {
            ..DIGITS_MIN => Err(AddressError::TooShort),
            DIGITS_MIN..=DIGITS_MAX => Ok(Self { kind: AddressKind::Phone, value: digits.into() }),
            _ => Err(AddressError::TooLong),
        }
    }

    /// A business-scoped user id or a parent one (`US.ENT.…`), kept to the letter.
    ///
    /// # Errors
    /// [`AddressError::UserId`] when the text has another form.
    pub fn user_id(id: &str) -> Result<Self, AddressError> {
        let (country, rest) = id.split_once('.').ok_or(AddressError::UserId)?;
        let country_ok = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        let rest_ok = (1..=USER_ID_MAX).contains(&rest.len())
            && rest.strip_prefix("ENT.").unwrap_or(rest).bytes().all(|b| b.is_ascii_alphanumeric())
            && rest != "ENT.";
        if country_ok && rest_ok {
            Ok(Self { kind: AddressKind::UserId, value: id.into() })
        } else {
            Err(AddressError::UserId)
        }
    }

    /// A LID: 1 to 20 digits, with or without `@lid`.
    ///
    /// # Errors
    /// [`AddressError::Lid`] when the text has another form.
    pub fn lid(id: &str) -> Result<Self, AddressError> {
        let digits = id.strip_suffix("@lid").unwrap_or(id);
        if (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self { kind: AddressKind::Lid, value: digits.into() })
        } else {
            Err(AddressError::Lid)
        }
    }

    /// Text that a person wrote → E.164. Accepts `+` and `00`, spaces, dots, dashes, slashes and brackets, and
    /// with a default region the national form (`0812-3456-7890` with `ID`). About 10 µs.
    ///
    /// A number written with its country code is taken when its length is possible there: tables of ranges lag
    /// behind new ones. A national form is our reading, so it must be a valid number of the region. A number
    /// without `+` is never taken as international on a guess: a stranger would get the message.
    ///
    /// # Errors
    /// [`AddressError`] with what to do about it.
    pub fn parse(input: &str, default_region: Option<Region>) -> Result<Parsed, AddressError> {
        text::parse(input, default_region)
    }

    /// The address of `kind` with this value, checked: what a store or a wire kept as two fields.
    ///
    /// # Errors
    /// [`AddressError`] of the kind.
    pub fn from_parts(kind: AddressKind, value: &str) -> Result<Self, AddressError> {
        match kind {
            AddressKind::Phone => Self::phone_digits(value),
            AddressKind::UserId => Self::user_id(value),
            AddressKind::Lid => Self::lid(value),
        }
    }

    /// What the value is.
    #[must_use]
    pub fn kind(&self) -> AddressKind {
        self.kind
    }

    /// The real value: digits without `+`, the user id, or the LID's digits.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it is a phone number.
    #[must_use]
    pub fn is_phone(&self) -> bool {
        self.kind == AddressKind::Phone
    }

    /// The key it is stored and sorted under: kind digit, colon, value, e.g. `1:6281…`.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::with_capacity(self.value.len() + 2);
        key.push(char::from(b'0' + self.kind as u8));
        key.push(':');
        key.push_str(&self.value);
        key
    }

    /// Reads what [`Address::key`] wrote.
    ///
    /// # Errors
    /// [`AddressError::Key`] for another form, or the error of the kind.
    pub fn from_key(key: &str) -> Result<Self, AddressError> {
        let (kind, value) = key.split_once(':').ok_or(AddressError::Key)?;
        let kind = match kind.as_bytes() {
            [digit @ b'0'..=b'9'] => AddressKind::from_byte(digit - b'0'),
            _ => None,
        };
        let address = Self::from_parts(kind.ok_or(AddressError::Key)?, value)?;
        // `+` and `@lid` are forms of input; as keys they would make one address two rows.
        if address.value.len() == value.len() { Ok(address) } else { Err(AddressError::Key) }
    }

    /// XXH3-64 of the key: for hash tables and pacing.
    #[must_use]
    pub fn hash64(&self) -> u64 {
        xxh3_64(self.key().as_bytes())
    }

    /// The form of JSON and of the API: `+6281…`, `user_id:US.123` or `lid:123`. `parse::<Address>()` reads it.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self.kind {
            AddressKind::Phone => format!("+{}", self.value),
            AddressKind::UserId => format!("user_id:{}", self.value),
            AddressKind::Lid => format!("lid:{}", self.value),
        }
    }

    /// The calling code of a phone number, e.g. 62. Cheap: a table of prefixes, no check that it is assigned.
    #[must_use]
    pub fn country_calling_code(&self) -> Option<u16> {
        self.is_phone().then(|| region::calling_code(&self.value).parse().ok()).flatten()
    }

    /// The region of a phone number (about 10 µs) or of a user id; `None` where the calling code has several
    /// and none fits.
    #[must_use]
    pub fn region(&self) -> Option<Region> {
        match self.kind {
            AddressKind::Phone => text::region_of(&self.value),
            AddressKind::UserId => self.value.get(..2).and_then(|code| code.parse().ok()),
            AddressKind::Lid => None,
        }
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    /// Reads [`Address::to_text`]; a phone number may stand without `+`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(id) = text.strip_prefix("user_id:") {
            Self::user_id(id)
        } else if let Some(id) = text.strip_prefix("lid:") {
            Self::lid(id)
        } else {
            Self::phone_digits(text)
        }
    }
}

impl std::fmt::Display for Address {
    /// Masked: the calling code and the last two digits, e.g. `+62…89`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, head) = match self.kind {
            AddressKind::Phone => ("+", region::calling_code(&self.value)),
            AddressKind::UserId => ("user_id:", self.value.get(..3).unwrap_or_default()),
            AddressKind::Lid => ("lid:", ""),
        };
        // A short value would be half shown by its end.
        let tail = if self.value.len() >= head.len() + 6 { self.value.len() - 2 } else { self.value.len() };
        write!(f, "{name}{head}…{}", self.value.get(tail..).unwrap_or_default())
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_address() -> impl Strategy<Value = Address> {
        prop_oneof![
            "[0-9]{5,20}".prop_map(|d| Address::phone_digits(&d).unwrap()),
            "[A-Z]{2}\\.(ENT\\.)?[0-9A-Za-z]{1,128}".prop_map(|d| Address::user_id(&d).unwrap()),
            "[0-9]{1,20}".prop_map(|d| Address::lid(&d).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn keys_texts_and_json_go_there_and_back(address in any_address()) {
            prop_assert_eq!(Address::from_key(&address.key()), Ok(address.clone()));
            prop_assert_eq!(address.to_text().parse(), Ok(address.clone()));
            let json = serde_json::to_string(&address).unwrap();
            prop_assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        }

        #[test]
        fn the_order_of_addresses_is_the_order_of_their_keys(a in any_address(), b in any_address()) {
            prop_assert_eq!(a.cmp(&b), a.key().cmp(&b.key()));
        }

        #[test]
        fn shown_addresses_hide_all_but_their_ends(digits in "[0-9]{9,20}") {
            let address = Address::phone_digits(&digits).unwrap();
            for shown in [address.to_string(), format!("{address:?}")] {
                prop_assert!(shown.chars().filter(char::is_ascii_digit).count() <= 5, "{}", shown);
            }
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,40}") {
            let _ = Address::from_key(&text);
            let _ = text.parse::<Address>();
            let _ = Address::user_id(&text);
            let _ = Address::lid(&text);
        }
    }

    #[test]
    fn a_shown_number_has_its_country_and_two_digits() {
        assert_eq!(Address::phone_digits("6281234567889").unwrap().to_string(), "+62…89");
        assert_eq!(Address::phone_digits("+15550100001").unwrap().to_string(), "+1…01");
        assert_eq!(Address::phone_digits("62812").unwrap().to_string(), "+62…");
        assert_eq!(Address::user_id("US.13491208655302741918").unwrap().to_string(), "user_id:US.…18");
        assert_eq!(Address::lid("123456789@lid").unwrap().to_string(), "lid:…89");
    }

    #[test]
    fn parsed_shows_neither_number_nor_input() {
        let shown = format!("{:?}", Address::parse("+62 812-3456-7889", None).unwrap());
        assert!(!shown.contains("3456") && !shown.contains("7889"), "{shown}");
    }

    #[test]
    fn stored_bytes_never_change() {
        let bytes = [AddressKind::Phone, AddressKind::UserId, AddressKind::Lid].map(|kind| kind as u8);
        assert_eq!(bytes, [1, 2, 3]);
        assert_eq!(AddressKind::from_byte(0), None);
        assert_eq!(AddressKind::from_byte(4), None);
        assert_eq!(Address::phone_digits("6281234567889").unwrap().key(), "1:6281234567889");
    }

    #[test]
    fn provider_digits_are_checked_for_syntax_only() {
        assert!(Address::phone_digits("99999").is_ok());
        assert_eq!(Address::phone_digits(""), Err(AddressError::Empty));
        assert_eq!(Address::phone_digits("+"), Err(AddressError::Empty));
        assert_eq!(Address::phone_digits("1234"), Err(AddressError::TooShort));
        assert_eq!(Address::phone_digits("123456789012345678901"), Err(AddressError::TooLong));
        assert_eq!(Address::phone_digits("62 812"), Err(AddressError::Character(' ')));
        assert_eq!(Address::phone_digits("62a812"), Err(AddressError::Letters));
    }

    #[test]
    fn other_forms_are_refused() {
        for bad in ["", "US", "US.", "us.12", "USA.12", "US.ENT.", "US.1 2", "US.1.2", "U1.2"] {
            assert_eq!(Address::user_id(bad), Err(AddressError::UserId), "{bad}");
        }
        for bad in ["", "@lid", "12@s.whatsapp.net", "12a", "123456789012345678901"] {
            assert_eq!(Address::lid(bad), Err(AddressError::Lid), "{bad}");
        }
        for bad in ["", "1", "0:62812", "4:62812", "11:62812", ":62812", "1:+62812", "3:1@lid"] {
            assert_eq!(Address::from_key(bad), Err(AddressError::Key), "{bad}");
        }
    }

    #[test]
    fn regions_and_calling_codes_are_read_from_the_address() {
        let region = |a: &Address| a.region().map(|r| r.to_string());
        let phone = Address::phone_digits("6281234567889").unwrap();
        assert_eq!((phone.country_calling_code(), region(&phone).as_deref()), (Some(62), Some("ID")));
        let user = Address::user_id("SG.1").unwrap();
        assert_eq!((user.country_calling_code(), region(&user).as_deref()), (None, Some("SG")));
        assert_eq!(Address::lid("6281234567889").unwrap().region(), None);
    }
}
