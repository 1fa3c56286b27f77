//! Whom a campaign goes to: a list, a filter over the address book, people named one by one, or those whom another
//! campaign did not reach. Here is what was asked for and whether a contact fits; who that is today is read when the
//! audience is frozen.

use crate::address::Address;
use crate::cause::Cause;
use crate::id::{CampaignId, ImportId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// People who may be named one by one.
pub const NAMED_MAX: usize = 1_000;
/// Conditions of one filter, and how deep they may lie.
const CONDITIONS_MAX: usize = 100;
const DEPTH_MAX: usize = 8;
/// Bytes of one text in a filter.
const TEXT_MAX: usize = 200;
/// Values of one `one_of`.
const VALUES_MAX: usize = 1_000;

/// Whom a campaign goes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Contacts: of a list, that fit a filter, or both. Neither means everybody.
    Contacts {
        /// The list an import brought.
        list: Option<ImportId>,
        /// What they fit.
        filter: Option<Filter>,
    },
    /// People named one by one, in the order of their addresses; they need be no contacts.
    Named(Vec<Person>),
    /// Those whom another campaign did not reach.
    Unreached {
        /// Which.
        campaign: CampaignId,
        /// Those who failed.
        failed: bool,
        /// Those whose time was over.
        expired: bool,
        /// Of the failed those with one of these causes; all when it names none.
        causes: Vec<Cause>,
    },
}

/// Somebody named with the campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who, as [`Address::key`] writes it.
    pub key: String,
    /// The name.
    pub name: Option<String>,
    /// The IANA zone.
    pub zone: Option<String>,
    /// Values of variables.
    pub fields: BTreeMap<String, String>,
}

impl Person {
    /// Who; `None` when the key cannot be read.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        Address::from_key(&self.key).ok()
    }
}

/// A condition on a contact. Texts are compared without regard to case and outer spaces; a contact without a value
/// fits `not` and no other condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// Every one of them.
    All(Vec<Filter>),
    /// At least one of them.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// The field is this text.
    Equals(Text),
    /// The field is one of these texts.
    OneOf(Texts),
    /// The field holds this text.
    Contains(Text),
    /// The field begins with this text.
    StartsWith(Text),
    /// The field has a value that is not blank.
    Exists(Field),
    /// The field is a number and not below this one.
    AtLeast(Number),
    /// The field is a number and not above this one.
    AtMost(Number),
}

/// A field and a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// `name`, `phone`, `zone` or a field of the contact.
    pub field: String,
    /// The text.
    pub value: String,
}

/// A field and several texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// `name`, `phone`, `zone` or a field of the contact.
    pub field: String,
    /// The texts.
    pub values: Vec<String>,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// `name`, `phone`, `zone` or a field of the contact.
    pub field: String,
}

/// A field and a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// A field of the contact.
    pub field: String,
    /// The number.
    pub value: f64,
}

/// Why a filter is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Too much of it.
    #[error("at most {CONDITIONS_MAX} conditions, {DEPTH_MAX} deep")]
    TooLarge,
    /// `all`, `any` or `one_of` of nothing.
    #[error("`all`, `any` and `one_of` need 1 to {VALUES_MAX} entries")]
    Empty,
    /// A text or a field's name that is blank or too long.
    #[error("fields and texts have 1 to {TEXT_MAX} bytes")]
    Text,
}

impl Filter {
    /// Checks what was read from elsewhere.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn validate(&self) -> Result<(), FilterError> {
        let mut left = CONDITIONS_MAX;
        self.check(DEPTH_MAX, &mut left)
    }

    fn check(&self, depth: usize, left: &mut usize) -> Result<(), FilterError> {
        if depth == 0 || *left == 0 {
            return Err(FilterError::TooLarge);
        }
        *left -= 1;
        let fits = |text: &str| (1..=TEXT_MAX).contains(&text.trim().len());
        let texts =
            |texts: &[&str]| if texts.iter().all(|t| fits(t)) { Ok(()) } else { Err(FilterError::Text) };
        match self {
            Self::All(inner) | Self::Any(inner) if inner.is_empty() => Err(FilterError::Empty),
            Self::All(inner) | Self::Any(inner) => inner.iter().try_for_each(|f| f.check(depth - 1, left)),
            Self::Not(inner) => inner.check(depth - 1, left),
            Self::Equals(t) | Self::Contains(t) | Self::StartsWith(t) => texts(&[&t.field, &t.value]),
            Self::OneOf(t) if !(1..=VALUES_MAX).contains(&t.values.len()) => Err(FilterError::Empty),
            Self::OneOf(t) => {
                texts(&[&t.field])?;
                t.values.iter().try_for_each(|value| texts(&[value]))
            }
            Self::Exists(f) => texts(&[&f.field]),
            Self::AtLeast(n) | Self::AtMost(n) => texts(&[&n.field]),
        }
    }

    /// Whether somebody fits; `lookup` gives the value of a field.
    #[must_use]
    pub fn fits<'v>(&self, lookup: &dyn Fn(&str) -> Option<&'v str>) -> bool {
        let value = |field: &str| lookup(field).map(str::trim).filter(|v| !v.is_empty());
        let folded = |field: &str| value(field).map(str::to_lowercase);
        let number = |field: &str| value(field).and_then(|v| v.parse::<f64>().ok()).filter(|n| n.is_finite());
        let text = |t: &Text, is: fn(&str, &str) -> bool| {
            folded(&t.field).is_some_and(|v| is(&v, &t.value.trim().to_lowercase()))
        };
        match self {
            Self::All(inner) => inner.iter().all(|f| f.fits(lookup)),
            Self::Any(inner) => inner.iter().any(|f| f.fits(lookup)),
            Self::Not(inner) => !inner.fits(lookup),
            Self::Equals(t) => text(t, |value, wanted| value == wanted),
            Self::Contains(t) => text(t, |value, wanted| value.contains(wanted)),
            Self::StartsWith(t) => text(t, |value, wanted| value.starts_with(wanted)),
            Self::OneOf(t) => {
                let found = folded(&t.field);
                found.is_some_and(|v| t.values.iter().any(|wanted| wanted.trim().to_lowercase() == v))
            }
            Self::Exists(f) => value(&f.field).is_some(),
            Self::AtLeast(n) => number(&n.field).is_some_and(|v| v >= n.value),
            Self::AtMost(n) => number(&n.field).is_some_and(|v| v <= n.value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fits(filter: serde_json::Value) -> bool {
        let filter: Filter = serde_json::from_value(filter).unwrap();
        filter.validate().unwrap();
        filter.fits(&|field| match field {
            "city" => Some(" Jakarta "),
            "age" => Some("34"),
            "blank" => Some("  "),
            _ => None,
        })
    }

    #[test]
    fn a_contact_fits_as_its_fields_say_and_a_missing_value_fits_nothing_but_not() {
        for (filter, expected) in [
            (json!({"equals": {"field": "city", "value": "JAKARTA"}}), true),
            (json!({"equals": {"field": "city", "value": "jakart"}}), false),
            (json!({"contains": {"field": "city", "value": "kar"}}), true),
            (json!({"starts_with": {"field": "city", "value": "ja"}}), true),
            (json!({"starts_with": {"field": "city", "value": "kar"}}), false),
            (json!({"one_of": {"field": "city", "values": ["Bogor", "jakarta"]}}), true),
            (json!({"exists": {"field": "blank"}}), false),
            (json!({"exists": {"field": "age"}}), true),
            (json!({"at_least": {"field": "age", "value": 34}}), true),
            (json!({"at_least": {"field": "age", "value": 34.5}}), false),
            (json!({"at_most": {"field": "city", "value": 9}}), false),
            (json!({"at_most": {"field": "gone", "value": 9}}), false),
            (json!({"not": {"equals": {"field": "gone", "value": "x"}}}), true),
            (json!({"all": [{"exists": {"field": "city"}}, {"exists": {"field": "gone"}}]}), false),
            (json!({"any": [{"exists": {"field": "gone"}}, {"exists": {"field": "city"}}]}), true),
        ] {
            assert_eq!(fits(filter.clone()), expected, "{filter}");
        }
    }

    #[test]
    fn a_filter_that_is_too_much_or_nothing_is_refused() {
        let mut deep = json!({"exists": {"field": "a"}});
        for _ in 0..DEPTH_MAX {
            deep = json!({ "not": deep });
        }
        let wide: Vec<_> = (0..CONDITIONS_MAX).map(|_| json!({"exists": {"field": "a"}})).collect();
        for (filter, error) in [
            (deep, FilterError::TooLarge),
            (json!({ "all": wide }), FilterError::TooLarge),
            (json!({"any": []}), FilterError::Empty),
            (json!({"one_of": {"field": "a", "values": []}}), FilterError::Empty),
            (json!({"equals": {"field": "a", "value": " "}}), FilterError::Text),
            (json!({"exists": {"field": "x".repeat(201)}}), FilterError::Text),
        ] {
            let filter: Filter = serde_json::from_value(filter).unwrap();
            assert_eq!(filter.validate(), Err(error));
        }
        assert!(serde_json::from_value::<Filter>(json!({"like": {"field": "a", "value": "b"}})).is_err());
        assert!(serde_json::from_value::<Filter>(json!({"exists": {"field": "a", "x": 1}})).is_err());
    }
}
