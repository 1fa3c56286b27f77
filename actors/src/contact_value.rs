//! What a contact gives for a variable: the one rule by which an audience is frozen and a template is previewed. Not
//! the filling in: that is the engine's.

use crate::import::variable_name;
use kabar_schema::contacts::Contact;

/// A contact's value for a variable: its own columns first (as written, then as an import names columns), then
/// name and phone. A blank value is none.
#[must_use]
pub fn contact_value<'a>(contact: &'a Contact, name: &str) -> Option<&'a str> {
    let column = || contact.fields.get(&variable_name(name));
    let own = contact.fields.get(name).or_else(column).map(String::as_str);
    let value = own.or_else(|| match name {
        "name" => contact.name.as_deref(),
        "phone" => Some(contact.address.value()),
        _ => None,
    });
    value.filter(|value| !value.trim().is_empty())
}
