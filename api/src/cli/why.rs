//! The verb `why`: a message's steps as a timeline for people.

use super::remote::Access;
use super::table;
use crate::exit::Failure;
use serde_json::Value;
use std::fmt::Write as _;

/// What every step has, told at the line's begin or not at all.
const COMMON: [&str; 4] = ["at", "step", "source", "event"];

impl Access {
    pub(super) async fn why(&self, message: &str) -> Result<(), Failure> {
        let answer = self.client()?.get(&format!("/v1/messages/{message}/why")).await?;
        if self.is_json() {
            println!("{answer:#}");
        } else {
            print!("{}", timeline(&answer));
        }
        Ok(())
    }
}

/// A line a step: when, what, and what there is to say of it.
fn timeline(answer: &Value) -> String {
    let mut out = format!("{}  {}\n", table::text(&answer["id"]), table::text(&answer["status"]));
    for step in answer["steps"].as_array().into_iter().flatten() {
        // Writing into a string cannot fail.
        let _ = write!(out, "{}  {:10}", table::text(&step["at"]), table::text(&step["step"]));
        for (name, value) in step.as_object().into_iter().flatten() {
            if COMMON.contains(&name.as_str()) || value.is_null() {
                continue;
            }
            let said = match value["meaning"].as_str() {
                Some(meaning) => {
                    format!("{} ({meaning} {})", table::text(&value["code"]), table::text(&value["remedy"]))
                }
                None => table::text(value),
            };
            let _ = write!(out, "  {name}={said}");
        }
        if step["source"] == "message" {
            out.push_str("  (as the message remembers it)");
        }
        out.push('\n');
    }
    if answer["complete"] == false {
        let _ = writeln!(out, "not complete: {}", table::text(&answer["reason"]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_timeline_has_a_line_a_step_and_says_what_is_missing() {
        let cause = json!({"code": "pair_rate", "meaning": "Too many.", "remedy": "Wait."});
        let answer = json!({"id": "msg_1", "status": "queued", "complete": false, "reason": "retention", "steps": [
            {"at": "T1", "step": "accepted", "source": "message", "event": null, "by": null, "session": "ses_1"},
            {"at": "T2", "step": "put_back", "source": "journal", "event": "evt_1", "cause": cause},
        ]});
        let expected = "msg_1  queued\nT1  accepted    session=ses_1  (as the message remembers it)\n\
                        T2  put_back    cause=pair_rate (Too many. Wait.)\nnot complete: retention\n";
        assert_eq!(timeline(&answer), expected);
    }
}
