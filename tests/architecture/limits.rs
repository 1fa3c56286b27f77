//! How large a file and a function may be, and that every module says what it is. Clippy holds the same limits
//! where it looks; this also reaches into macros. Not about style.

use crate::tree::{Tree, Violation};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;
const ARGUMENTS: usize = 5;

/// Files and functions stay small, every file opens with `//!`.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for source in tree.files.values().filter(|source| source.path.ends_with(".rs")) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            let remedy = "at most 500: split it along its nouns";
            found.push(Violation::new(
                &source.path,
                FILE_LINES + 1,
                format!("the file has {lines} lines"),
                remedy,
            ));
        }
        if !source.text.starts_with("//!") {
            let remedy = "open with `//!`: what the module is, and what it is not";
            found.push(Violation::new(&source.path, 1, "the module does not say what it is", remedy));
        }
        match &source.code {
            Some(Err((line, error))) => {
                found.push(Violation::new(
                    &source.path,
                    *line,
                    format!("cannot be read: {error}"),
                    "mend the syntax",
                ));
            }
            Some(Ok(code)) => found.extend(
                code.functions
                    .iter()
                    .flat_map(|function| {
                        let too_long = (function.lines > FUNCTION_LINES).then(|| {
                            let what = format!("`{}` has {} lines of code", function.name, function.lines);
                            Violation::new(
                                &source.path,
                                function.line,
                                what,
                                "at most 70: give a part of it a name",
                            )
                        });
                        let too_wide = (function.arguments > ARGUMENTS).then(|| {
                            let what = format!("`{}` takes {} arguments", function.name, function.arguments);
                            Violation::new(
                                &source.path,
                                function.line,
                                what,
                                "at most 5: give what belongs together a struct",
                            )
                        });
                        [too_long, too_wide]
                    })
                    .flatten(),
            ),
            None => {}
        }
    }
    found
}

mod tests {
    use crate::fixture::{allowed, caught};

    fn function(lines: usize) -> String {
        format!(
            "//! A room. Not another one.\n\nfn long() {{\n    // a comment is no code\n\n{}}}\n",
            "    step();\n".repeat(lines)
        )
    }

    #[test]
    fn a_file_over_five_hundred_lines_is_caught() {
        let text =
            |lines: usize| format!("//! A room. Not another one.\n{}", "// a line\n".repeat(lines - 1));
        allowed(|f| _ = f.set("schema/src/lib.rs", &text(500)));
        caught(
            |f| _ = f.set("schema/src/lib.rs", &text(501)),
            "limits",
            "schema/src/lib.rs:501",
            "the file has 501 lines",
        );
    }

    #[test]
    fn a_function_over_seventy_lines_is_caught_also_inside_a_macro() {
        allowed(|f| _ = f.set("schema/src/lib.rs", &function(70)));
        caught(
            |f| _ = f.set("schema/src/lib.rs", &function(71)),
            "limits",
            "schema/src/lib.rs:3",
            "`long` has 71 lines",
        );
        caught(
            |f| {
                _ = f.set(
                    "schema/src/lib.rs",
                    &function(71)
                        .replace("fn long() {", "proptest! { fn long(a in 0..1) {")
                        .replace("\n}\n", "\n}}\n"),
                )
            },
            "limits",
            "schema/src/lib.rs:3",
            "`long` has 71 lines",
        );
    }

    #[test]
    fn a_sixth_argument_is_caught_and_the_receiver_is_not_counted() {
        let method = "impl X {\n    fn five(&self, a: u8, b: Map<u8, u8>, c: u8, d: u8, e: (u8, u8)) {}\n}\n";
        allowed(|f| _ = f.append("schema/src/lib.rs", method));
        caught(
            |f| _ = f.append("schema/src/lib.rs", "fn six(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}\n"),
            "limits",
            "schema/src/lib.rs:2",
            "`six` takes 6 arguments",
        );
    }

    #[test]
    fn a_module_that_does_not_say_what_it_is_is_caught() {
        caught(
            |f| _ = f.set("schema/src/lib.rs", "// a room\n//! too late\n"),
            "limits",
            "schema/src/lib.rs:1",
            "does not say what it is",
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_caught() {
        caught(
            |f| _ = f.append("schema/src/lib.rs", "fn open( {\n"),
            "limits",
            "schema/src/lib.rs:2",
            "cannot be read",
        );
    }
}
