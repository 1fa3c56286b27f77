//! Templates that Meta keeps: the rules a new one must keep before Meta is asked, and whether a message fits one that
//! is known. What is not known here is no reason to refuse: Meta has the last word.
//!
//! Not Kabar's own stored messages with variables ([`crate::template`]).

mod button;
mod fit;
mod rule;
mod text;

pub use fit::{Approved, fit};
pub use rule::{check_components, check_new};

use serde_json::Value;

/// A component's `type` or a button's, in capitals as Meta's API writes it.
fn kind(component: &Value) -> String {
    component["type"].as_str().unwrap_or_default().to_ascii_uppercase()
}

/// The first component of a kind.
fn component<'v>(components: &'v [Value], wanted: &str) -> Option<&'v Value> {
    components.iter().find(|component| kind(component) == wanted)
}
