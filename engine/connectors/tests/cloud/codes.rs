//! Every code of the provider's reference (`codes.csv`: first and last number, where it comes: S in the answer, A in a failed
//! status, I inbound; what the reference asks for) has a line in the catalogue and the class that was asked for. Not the
//! answers themselves: those are read in `cause.rs`.

use kabar_connectors::cloud::{Class, Shape, aftermath, classify};
use kabar_engine::cause::{Cause, Fault};
use kabar_engine::pacing::Throttle;

const CODES: &str = include_str!("codes.csv");

/// A line of the reference.
struct Asked {
    first: u32,
    last: u32,
    place: &'static str,
    action: &'static str,
}

fn reference() -> Vec<Asked> {
    let line = |line: &'static str| {
        let [first, last, place, action] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Asked { first: first.parse().unwrap(), last: last.parse().unwrap(), place, action }
    };
    CODES.lines().skip(1).map(line).collect()
}

fn class(code: u32) -> Class {
    // No status says anything of a code that is known.
    classify(code, Shape::of(http::StatusCode::IM_A_TEAPOT))
}

/// R: try again. W: wait first. F, T: this message never. P: hold the account or template. C: somebody must set it right,
/// and where that is the number's link, messages wait for it.
fn fits(action: &str, class: Class) -> bool {
    match action {
        "R" => matches!(class, Class::Retry(_)),
        "W" => matches!(class, Class::Retry(_) | Class::Held(_)),
        "F" | "T" => class == Class::Rejected,
        "P" => matches!(class, Class::Held(Throttle::Account | Throttle::Template)),
        "C" => !matches!(class, Class::Retry(_)),
        _ => false,
    }
}

/// What stands above the table.
const HEAD: &str = "# What becomes of Meta's codes

Every code of Meta's reference (Cloud API, error codes), and what Kabar makes of it. The page is made by the test that holds the
table against the reference (`cargo test -p kabar-connectors --test cloud -- codes`). The words in the column *code word* are what
messages, campaigns and events say (`error.code`); refusals of requests are another list, [errors](errors.md).

- *comes*: S in the answer to a send, A in a `failed` status after it, I with a message that was received.
- *class*: `rejected` ends the message; `retry` and `held` let it wait, within its validity; with `link_lost` the messages of the number
  wait until somebody has set the number or its token right.
- *bucket*: what slows or stops meanwhile, and nothing else.
- A code that stands in no line is classed by the status it came with, and told as `provider_error` with its number.

| code | comes | whose fault | class | bucket | repeat helps | code word | told to the user |
|---|---|---|---|---|---|---|---|
";

/// A line of the table.
fn row(Asked { first, last, place, .. }: &Asked) -> String {
    let (cause, class) = (Cause::of_provider(*first), class(*first));
    let e = cause.explain();
    let number = if first == last { first.to_string() } else { format!("{first}–{last}") };
    let fault = match e.fault {
        Fault::Recipient => "recipient",
        Fault::Sender => "sender",
        Fault::Provider => "provider",
        Fault::Kabar => "kabar",
    };
    let bucket = class.bucket().or_else(|| aftermath(cause)).map_or("–", Throttle::word);
    let (word, repeat) = (class.word(), if e.retryable { "yes" } else { "no" });
    let (code, meaning, remedy) = (e.code, e.meaning, e.remedy);
    format!(
        "| {number} | {place} | {fault} | {word} | {bucket} | {repeat} | `{code}` | {meaning} {remedy} |\n"
    )
}

#[test]
fn every_code_of_the_reference_has_a_line_and_the_class_it_asks_for() {
    let reference = reference();
    assert!(reference.len() > 90 && reference.is_sorted_by(|a, b| a.last < b.first));
    for Asked { first, last, action, .. } in &reference {
        for code in *first..=*last {
            let (cause, class) = (Cause::of_provider(code), class(code));
            assert!(cause.is_known(), "{code} has no line");
            assert!(fits(action, class), "{code} is asked for {action} and got {class:?}");
            let e = cause.explain();
            let waits = !matches!(class, Class::Rejected);
            assert!(!waits || e.retryable, "{code} waits for a repeat that cannot help");
            assert!(Cause::named(e.code).unwrap().contains(&cause), "{code}");
        }
    }
}

#[test]
fn the_committed_page_of_codes_is_the_table_of_the_catalogue() {
    let rows: String = reference().iter().map(row).collect();
    super::page::hold("codes.md", &format!("{HEAD}{rows}"));
}

#[test]
fn the_catalogue_has_no_code_that_the_reference_does_not() {
    let reference = reference();
    for (codes, e) in Cause::lines().filter(|(codes, _)| codes.start().is_provider()) {
        let (first, last) = (codes.start().number(), codes.end().number());
        let met = reference.iter().any(|asked| first <= asked.last && asked.first <= last);
        assert!(met || e.code == "unavailable", "{first} {}", e.code);
    }
}
