//! The scalars of Meta's JSON as they really come: ids as strings or numbers, times as strings or numbers of
//! seconds. Not the objects around them.

use kabar_engine::time::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A string, or a number taken as its digits; borrowed from the body unless it was escaped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(super) fn to_arc(&self) -> Arc<str> {
        Arc::from(&*self.0)
    }
}

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

/// The same as a text of its own.
pub(super) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::deserialize(deserializer).map(|text| text.0.into_owned())
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(number.to_string())))
    }
}

/// A whole number, or a string of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number(i64);

impl Number {
    /// `None` when it is negative or too large.
    pub(super) fn to_u32(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or a string of one")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        text.parse().map(Number).map_err(|_| E::custom("not a whole number"))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        i64::try_from(number).map(Number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
        Ok(Number(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
        // `as` saturates; what is checked next is the range anyway.
        Ok(Number(number as i64))
    }
}

/// Seconds since 1970 as Meta writes them, read into milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seconds(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Number(seconds) = Number::deserialize(deserializer)?;
        if (0..=LAST_SECOND).contains(&seconds) {
            Ok(Self(Timestamp(seconds * 1_000)))
        } else {
            Err(D::Error::custom("a time outside the years 1970 to 9999"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_come_as_strings_or_numbers() {
        let text = |json| serde_json::from_str::<Text<'_>>(json).map(|t| t.to_string());
        assert_eq!(text(r#""1689556908129832""#).unwrap(), "1689556908129832");
        assert_eq!(text("1689556908129832").unwrap(), "1689556908129832");
        assert_eq!(text(r#""a\u00e9""#).unwrap(), "aé");
        assert!(text("{}").is_err() && text("null").is_err() && text("1.5").is_err());
        let time = |json| serde_json::from_str::<Seconds>(json).map(|s| s.0.0);
        assert_eq!(time(r#""1790000003""#).unwrap(), 1_790_000_003_000);
        assert_eq!(time("1790000003").unwrap(), 1_790_000_003_000);
        assert!(time("-1").is_err() && time("99999999999999").is_err() && time(r#""soon""#).is_err());
    }
}
