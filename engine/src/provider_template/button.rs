//! The buttons of a template: how many of which kind, in which order, with which texts. Not what is behind a button when a
//! message is sent.

use super::kind;
use super::rule::{Found, invalid, length, missing, not_allowed};
use super::text::places;
use crate::content::ContentError;
use serde_json::Value;

const BUTTONS_MAX: usize = 10;
const TEXT_MAX: usize = 25;
const URL_MAX: usize = 2_000;
const PHONE_MAX: usize = 20;
/// 20 since December 2025; what was shorter before is Meta's to say.
const CODE_MAX: usize = 20;

/// How many of a kind there may be; of the others as many as there may be buttons.
fn most(kind: &str) -> usize {
    match kind {
        "URL" => 2,
        "PHONE_NUMBER"
        | "COPY_CODE"
        | "FLOW"
        | "CATALOG"
        | "MPM"
        | "SPM"
        | "OTP"
        | "VOICE_CALL"
        | "REQUEST_CONTACT_INFO" => 1,
        _ => usize::MAX,
    }
}

pub(super) fn check_buttons(found: &mut Found, path: &str, buttons: &Value, category: &str) {
    let root = format!("{path}.buttons");
    let buttons = buttons.as_array().map_or(&[][..], Vec::as_slice);
    if !(1..=BUTTONS_MAX).contains(&buttons.len()) {
        found.push(ContentError::Count {
            path: root.clone(),
            min: 1,
            max: BUTTONS_MAX,
            value: buttons.len(),
        });
    }
    let kinds: Vec<String> = buttons.iter().map(kind).collect();
    for (at, (button, kind)) in buttons.iter().zip(&kinds).enumerate() {
        let path = format!("{root}[{at}]");
        if kinds[..at].iter().filter(|k| *k == kind).count() == most(kind) {
            found.push(not_allowed(
                format!("{path}.type"),
                "more buttons of this kind than a template may have",
            ));
        }
        check_button(found, &path, button, kind);
    }
    // Runs of quick replies: more than one is a mixture.
    let is_reply = |kind: &String| kind == "QUICK_REPLY";
    let mut starts =
        (0..kinds.len()).filter(|at| is_reply(&kinds[*at]) && (*at == 0 || !is_reply(&kinds[*at - 1])));
    if let Some(second) = starts.nth(1) {
        found.push(not_allowed(
            format!("{root}[{second}]"),
            "quick replies stand together, before or behind all other buttons",
        ));
    }
    if category == "AUTHENTICATION" && !kinds.iter().any(|kind| matches!(kind.as_str(), "OTP" | "URL")) {
        found.push(invalid(root, "with one `OTP` button: the template is for codes"));
    }
}

fn check_button(found: &mut Found, path: &str, button: &Value, kind: &str) {
    let text = button["text"].as_str().unwrap_or_default();
    length(found, &format!("{path}.text"), text, TEXT_MAX);
    // The words on these are Meta's own.
    let wordless = matches!(kind, "COPY_CODE" | "OTP" | "CATALOG" | "MPM" | "SPM" | "REQUEST_CONTACT_INFO");
    if matches!(kind, "QUICK_REPLY" | "URL" | "PHONE_NUMBER" | "FLOW" | "VOICE_CALL")
        && !wordless
        && text.is_empty()
    {
        found.push(missing(format!("{path}.text")));
    }
    match kind {
        "" => found.push(missing(format!("{path}.type"))),
        "URL" => check_url(found, path, button),
        "PHONE_NUMBER" => {
            let (at, phone) =
                (format!("{path}.phone_number"), button["phone_number"].as_str().unwrap_or_default());
            if phone.is_empty() {
                found.push(missing(at.clone()));
            }
            length(found, &at, phone, PHONE_MAX);
        }
        "COPY_CODE" => {
            let example = &button["example"];
            let sample = example.as_str().or_else(|| example[0].as_str()).unwrap_or_default();
            if sample.is_empty() {
                found.push(missing(format!("{path}.example")));
            }
            length(found, &format!("{path}.example"), sample, CODE_MAX);
        }
        _ => {}
    }
}

fn check_url(found: &mut Found, path: &str, button: &Value) {
    let (at, url) = (format!("{path}.url"), button["url"].as_str().unwrap_or_default());
    if url.is_empty() {
        found.push(missing(at));
        return;
    }
    length(found, &at, url, URL_MAX);
    let places = places(url);
    match places.as_slice() {
        [] => {}
        [one] if one.at.end == url.len() => {
            let example = &button["example"];
            if example.as_str().or_else(|| example[0].as_str()).is_none_or(str::is_empty) {
                found.push(missing(format!("{path}.example")));
            }
        }
        _ => found.push(invalid(at, "an address with at most one variable, at its end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(buttons: &Value) -> Vec<String> {
        let mut found = Vec::new();
        check_buttons(&mut found, "c", buttons, "MARKETING");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn buttons_are_counted_by_kind_and_quick_replies_stand_together() {
        let reply = json!({"type": "QUICK_REPLY", "text": "Yes"});
        let url = json!({"type": "URL", "text": "Look", "url": "https://a.example"});
        let call = json!({"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+6281234567890"});
        assert!(found(&json!([reply, reply, url, url, call])).is_empty());
        assert!(found(&json!([url, reply, reply])).is_empty());
        for (buttons, path) in [
            (json!([]), "`c.buttons`"),
            (json!([reply, url, reply]), "`c.buttons[2]`"),
            (json!([url, url, url]), "`c.buttons[2].type`"),
            (json!([call, call]), "`c.buttons[1].type`"),
            (json!(vec![reply.clone(); 11]), "`c.buttons`"),
            (json!([{"type": "QUICK_REPLY", "text": "x".repeat(26)}]), "`c.buttons[0].text`"),
            (json!([{"type": "QUICK_REPLY"}]), "`c.buttons[0].text`"),
            (json!([{"text": "a"}]), "`c.buttons[0].type`"),
            (
                json!([{"type": "URL", "text": "a", "url": "https://a/{{1}}/b", "example": ["x"]}]),
                "`c.buttons[0].url`",
            ),
            (json!([{"type": "URL", "text": "a", "url": "https://a/{{1}}"}]), "`c.buttons[0].example`"),
            (
                json!([{"type": "URL", "text": "a", "url": format!("https://{}", "a".repeat(2_000))}]),
                "`c.buttons[0].url`",
            ),
            (json!([{"type": "PHONE_NUMBER", "text": "a"}]), "`c.buttons[0].phone_number`"),
            (json!([{"type": "COPY_CODE"}]), "`c.buttons[0].example`"),
            (json!([{"type": "COPY_CODE", "example": "x".repeat(21)}]), "`c.buttons[0].example`"),
        ] {
            let seen = found(&buttons);
            assert!(seen.len() == 1 && seen[0].contains(path), "{path}: {seen:?}");
        }
    }
}
