//! The routes, one file per noun: bodies in, records or the dispatcher asked, JSON out. Which address leads where
//! stands in `router.rs` alone.

pub(crate) mod app;
pub(crate) mod batch;
pub(crate) mod campaign;
pub(crate) mod contact;
pub(crate) mod conversation;
pub(crate) mod docs;
pub(crate) mod event;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod media;
pub(crate) mod message;
pub(crate) mod optout;
mod pricing;
pub(crate) mod provider_template;
pub(crate) mod reseller;
pub(crate) mod session;
pub(crate) mod subscription;
pub(crate) mod template;
pub(crate) mod tenant;
pub(crate) mod webhook;

use crate::problem::{Code, Problem};
use kabar_engine::address::Address;
use kabar_engine::cause::{Cause, Fault};
use kabar_engine::schedule::{ZoneSource, zone_of};
use kabar_engine::template::{ContentPattern, Variable};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest name of anything, characters.
const NAME_MAX: usize = 200;
/// Tries to change a thing that others change at the same time.
const TRIES: u32 = 5;

/// A name people gave: not empty, not endless.
pub(crate) fn name(given: &str) -> Result<String, Problem> {
    let name = given.trim();
    if (1..=NAME_MAX).contains(&name.chars().count()) && !name.contains(char::is_control) {
        Ok(name.to_owned())
    } else {
        Err(Problem::invalid(
            "name",
            format_args!("a text of 1 to {NAME_MAX} characters, none of them a control character"),
        ))
    }
}

/// What a caller wrote as an address. Bare digits are Meta's `wa_id`: the country code first, checked for syntax
/// alone. Anything else that is no id is read as a phone number with `+`.
pub(crate) fn address(given: &str) -> Result<Address, Problem> {
    let text = given.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits && text.starts_with('0') {
        let detail = "A number without + begins with its country code: 62812…, not 0812….";
        return Err(Problem::new(Code::InvalidAddress, detail));
    }
    if digits || text.starts_with("user_id:") || text.starts_with("lid:") {
        return Ok(text.parse::<Address>()?);
    }
    Ok(Address::parse(text, None)?.address)
}

/// The zone as the IANA database writes it.
fn zone(address: &Address, given: &str) -> Result<String, Problem> {
    let zone = zone_of(address, Some(given));
    let known = zone.source == ZoneSource::Contact;
    known
        .then(|| zone.name.into_owned())
        .ok_or_else(|| Problem::invalid("zone", "an IANA time zone such as Asia/Jakarta"))
}

/// A variable of a message and what it is filled with.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = FilledVariable)]
pub(crate) struct Filled {
    name: String,
    /// Null when there is none; the default stands in its place then.
    value: Option<String>,
    /// Whether every use of it has a default, so that it cannot be missing.
    has_default: bool,
}

impl Filled {
    /// Every variable with the value somebody has for it.
    fn all<'v>(pattern: &ContentPattern, value: &dyn Fn(&str) -> Option<&'v str>) -> Vec<Self> {
        let filled = |variable: &Variable| Self {
            name: variable.name.clone(),
            value: value(&variable.name).map(str::to_owned),
            has_default: variable.has_default,
        };
        pattern.variables().iter().map(filled).collect()
    }
}

/// Tells null from absent in a merge patch.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A cause in words.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Cause)]
pub(crate) struct Explained {
    code: &'static str,
    number: u32,
    meaning: &'static str,
    #[schema(value_type = crate::openapi::shapes::Fault)]
    fault: Fault,
    retryable: bool,
    remedy: &'static str,
}

impl From<Cause> for Explained {
    fn from(cause: Cause) -> Self {
        let e = cause.explain();
        Self {
            code: e.code,
            number: cause.number(),
            meaning: e.meaning,
            fault: e.fault,
            retryable: e.retryable,
            remedy: e.remedy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_meta_and_as_people_write_it() {
        for (given, expected) in [
            ("6281234567890", "+6281234567890"),
            ("+62 812-3456-7890", "+6281234567890"),
            ("9995550004", "+9995550004"),
            ("user_id:US.13491208655302741918", "user_id:US.13491208655302741918"),
            ("lid:123456", "lid:123456"),
        ] {
            assert_eq!(address(given).unwrap().to_text(), expected);
        }
        for wrong in ["", "081234567890", "0812-3456-7890", "tomorrow", "12"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
