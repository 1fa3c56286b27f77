//! Marks that do not belong into finished work: silenced lints, parked tests, unfinished code, `unwrap` outside
//! tests, sleeps inside them. Not about size or place.

use std::ops::Range;

use crate::code::Code;
use crate::tree::{Source, Tree, Violation, is_below_tests};

/// Written in two halves, so that this file does not carry them itself.
const UNFINISHED: &[&str] = &[concat!("FIX", "ME"), concat!("XX", "X")];
/// Files below a `tests` folder that may sleep, each with the reason. None needs to.
const MAY_SLEEP: &[(&str, &str)] = &[];

/// No mark stands anywhere it may not.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (source, code) in tree.rust() {
        found.extend(check_attributes(source, code));
        found.extend(check_unfinished(source, code));
        found.extend(check_unwraps(tree, source, code));
        found.extend(check_sleeps(tree, source, code));
    }
    found
}

fn check_attributes(source: &Source, code: &Code) -> Vec<Violation> {
    let mut found = Vec::new();
    for inside in code.attributes() {
        let line = code.tokens[inside.start].line;
        if names(code, &inside, "allow") {
            let remedy = "mend the cause, or write #[expect(lint, reason = \"…\")]";
            found.push(Violation::new(&source.path, line, "a lint is allowed", remedy));
        }
        if names(code, &inside, "ignore") {
            let remedy = "run it, or delete it";
            found.push(Violation::new(&source.path, line, "a test is ignored", remedy));
        }
    }
    found
}

/// Whether an attribute is `name`, or puts it on with `cfg_attr`.
fn names(code: &Code, inside: &Range<usize>, name: &str) -> bool {
    let conditional = code.text(inside.start) == "cfg_attr";
    code.text(inside.start) == name
        || conditional && inside.clone().any(|at| code.text(at) == name && code.before(at) == ",")
}

fn check_unfinished(source: &Source, code: &Code) -> Vec<Violation> {
    let remedy = "finish it, or open an issue and take the mark out";
    let mut found = Vec::new();
    for (at, token) in code.tokens.iter().enumerate() {
        if matches!(token.text.as_str(), "todo" | "unimplemented") && code.text(at + 1) == "!" {
            found.push(Violation::new(
                &source.path,
                token.line,
                format!("`{}!` is unfinished", token.text),
                remedy,
            ));
        }
    }
    for (at, line) in source.text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(mark) = words.find(|word| UNFINISHED.contains(word)) {
            found.push(Violation::new(&source.path, at + 1, format!("`{mark}` is unfinished"), remedy));
        }
    }
    found
}

fn check_unwraps(tree: &Tree, source: &Source, code: &Code) -> Vec<Violation> {
    let remedy = "return the error, or state the invariant with expect";
    code.find(&[".", "unwrap", "("])
        .map(|at| code.tokens[at].line)
        .filter(|line| !tree.is_test(source, *line))
        .map(|line| Violation::new(&source.path, line, "`unwrap` outside tests", remedy))
        .collect()
}

/// Below a `tests` folder nothing sleeps; in unit tests no thread does (a paused clock makes tokio's sleep virtual).
fn check_sleeps(tree: &Tree, source: &Source, code: &Code) -> Vec<Violation> {
    let remedy = "wait for the event with a deadline, or use the virtual clock";
    let integration = is_below_tests(&source.path);
    if MAY_SLEEP.iter().any(|(path, _)| *path == source.path) {
        return Vec::new();
    }
    let sleeps = |at: &usize| {
        matches!(code.text(*at), "sleep" | "sleep_until")
            && code.text(at + 1) == "("
            && !matches!(code.before(*at), "fn" | ".")
    };
    let of_a_thread = |at: usize| at >= 2 && code.reads(at - 2, &["thread", "::"]);
    (0..code.tokens.len())
        .filter(sleeps)
        .filter(|at| integration || of_a_thread(*at))
        .map(|at| code.tokens[at].line)
        .filter(|line| tree.is_test(source, *line))
        .map(|line| Violation::new(&source.path, line, "a test sleeps", remedy))
        .collect()
}

mod tests {
    use super::UNFINISHED;
    use crate::fixture::{allowed, caught};

    const LIB: &str = "schema/src/lib.rs";

    fn caught_in_lib(line: &str, words: &str) {
        caught(|f| _ = f.append(LIB, &format!("{line}\n")), "marks", "schema/src/lib.rs:2", words);
    }

    #[test]
    fn a_silenced_lint_is_caught() {
        caught_in_lib("#[allow(dead_code)] fn f() {}", "a lint is allowed");
        caught_in_lib("#![allow(dead_code)]", "a lint is allowed");
        caught_in_lib("#[cfg_attr(unix, allow(dead_code))] fn f() {}", "a lint is allowed");
        allowed(|f| {
            _ = f.append(LIB, "#[expect(dead_code, reason = \"read by the next release\")]\nfn allow() {}\n")
        });
    }

    #[test]
    fn a_parked_test_is_caught() {
        caught_in_lib("#[test] #[ignore] fn f() {}", "a test is ignored");
        caught_in_lib("#[test] #[ignore = \"slow\"] fn f() {}", "a test is ignored");
    }

    #[test]
    fn unfinished_code_is_caught() {
        caught_in_lib("fn f() { todo!() }", "`todo!`");
        caught_in_lib("fn f() { unimplemented!(\"later\") }", "`unimplemented!`");
        for mark in UNFINISHED {
            caught_in_lib(&format!("// {mark}: later"), mark);
        }
    }

    #[test]
    fn unwrap_outside_tests_is_caught_also_inside_a_macro() {
        caught_in_lib("fn f() { assert!(g().unwrap()); }", "`unwrap` outside tests");
        allowed(|f| {
            f.append(LIB, "#[cfg(test)]\nmod model;\n// .unwrap()\nconst TEXT: &str = \".unwrap()\";\n");
            f.set("schema/src/model.rs", "//! A model. Not a store.\nfn f() { g().unwrap(); }\n");
            f.set("schema/src/model/part.rs", "//! A part of it. Not all.\nfn f() { g().unwrap(); }\n");
            f.set("schema/tests/suite.rs", "//! A suite. Not a unit.\nfn f() { g().unwrap(); }\n");
        });
    }

    #[test]
    fn a_test_that_sleeps_is_caught() {
        caught(
            |f| _ = f.append("tests/src/lib.rs", "async fn f() { tokio::time::sleep(D).await }\n"),
            "marks",
            "tests/src/lib.rs:2",
            "a test sleeps",
        );
        caught_in_lib("#[test] fn f() { std::thread::sleep(D); }", "a test sleeps");
        allowed(|f| {
            _ = f.append(
                LIB,
                "#[tokio::test(start_paused = true)]\nasync fn f() { tokio::time::sleep(D).await }\n",
            )
        });
    }
}
