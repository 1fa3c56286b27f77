//! Made-up people: valid Indonesian mobile numbers, numbered without gaps, so that any two proofs of one run can
//! have people of their own. Nobody's real address book.

use std::fmt::Write;

/// First number; eight digits behind the operator's prefix.
const FIRST: u64 = 6_281_210_000_000;
/// How many there are.
const MAX: u64 = 90_000_000;

/// Digits of the `nth` person, country code first.
///
/// # Panics
/// Beyond ninety million people.
#[must_use]
pub fn digits(nth: u64) -> String {
    assert!(nth < MAX, "there are only {MAX} people");
    (FIRST + nth).to_string()
}

/// A contact file of `count` people from `first` on.
#[must_use]
pub fn csv(first: u64, count: u64) -> String {
    let mut text = String::from("phone,name\n");
    for nth in first..first + count {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "+{},Person {nth}", digits(nth));
    }
    text
}

/// The same with a picture of the tenant's in its header.
#[must_use]
pub fn pictured(text: &str, picture: &str) -> serde_json::Value {
    let mut message = template(text);
    let header =
        serde_json::json!({"type": "header", "parameters": [{"type": "image", "image": {"id": picture}}]});
    if let Some(components) = message["template"]["components"].as_array_mut() {
        components.insert(0, header);
    }
    message
}

/// A template whose only variable has a default: it may go to anybody at any time.
#[must_use]
pub fn template(text: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "template",
        "template": {
            "name": "order_update",
            "language": {"code": "id"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": text}]}],
        },
    })
}
