//! The papers at the root and what they must say; no path of one machine in any file. Not about prose.

use crate::tree::{Tree, Violation};

/// Page, passage it must contain.
const PASSAGES: &[(&str, &str)] = &[
    ("README.md", "cargo run --release -- demo"),
    ("README.md", "deploy/test"),
    ("LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE"),
    ("LICENSE", "END OF TERMS AND CONDITIONS"),
    (".ci/run", "deploy/test"),
    ("deploy/test", "cargo test"),
    ("ARCHITECTURE.md", ""),
    ("CHANGELOG.md", ""),
    ("CONTRIBUTING.md", ""),
];
const ARCHITECTURE_LINES: usize = 400;
/// Written in two halves, so that this file does not carry them itself.
const MACHINE: &[&str] = &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// The papers are there and short; no file names a path of one machine.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut missing = "";
    for (page, passage) in PASSAGES {
        match tree.files.get(*page) {
            None if missing != *page => {
                missing = page;
                found.push(Violation::new(
                    page,
                    1,
                    "is missing",
                    "write it: CONTRIBUTING.md lists the papers",
                ));
            }
            Some(source) if !source.text.contains(passage) => {
                found.push(Violation::new(
                    page,
                    1,
                    format!("does not say `{passage}`"),
                    "a reader looks for it here",
                ));
            }
            _ => {}
        }
    }
    let lines = tree.files.get("ARCHITECTURE.md").map_or(0, |source| source.text.lines().count());
    if lines > ARCHITECTURE_LINES {
        let remedy = "at most 400: move detail beside the code, or to api/docs";
        found.push(Violation::new(
            "ARCHITECTURE.md",
            ARCHITECTURE_LINES + 1,
            format!("has {lines} lines"),
            remedy,
        ));
    }
    found.extend(tree.files.values().flat_map(|source| {
        source.text.lines().enumerate().filter_map(|(at, line)| {
            let path = MACHINE.iter().find(|path| names_path(line, path))?;
            let remedy = "take the path from configuration, the environment or the manifest's folder";
            Some(Violation::new(&source.path, at + 1, format!("names a path below {path}"), remedy))
        })
    }));
    found
}

/// Whether `line` has an absolute path below `folder`; a longer path or address that merely ends so is none.
fn names_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before
            .is_none_or(|before| !before.is_alphanumeric() && !matches!(before, '_' | '.' | '-' | '}' | '~'))
    })
}

mod tests {
    use super::MACHINE;
    use crate::fixture::{allowed, caught};

    #[test]
    fn a_missing_page_is_caught() {
        for page in ["README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md"] {
            caught(|f| _ = f.remove(page), "papers", &format!("{page}:1"), "is missing");
        }
    }

    #[test]
    fn a_readme_without_one_of_the_two_commands_is_caught() {
        caught(
            |f| _ = f.replace("README.md", "deploy/test", "make"),
            "papers",
            "README.md:1",
            "`deploy/test`",
        );
        caught(
            |f| _ = f.replace("README.md", "-- demo", ""),
            "papers",
            "README.md:1",
            "cargo run --release -- demo",
        );
    }

    #[test]
    fn a_ci_that_runs_something_else_is_caught() {
        caught(|f| _ = f.replace(".ci/run", "deploy/test", "true"), "papers", ".ci/run:1", "`deploy/test`");
    }

    #[test]
    fn an_architecture_nobody_reads_to_the_end_is_caught() {
        caught(
            |f| _ = f.append("ARCHITECTURE.md", &"line\n".repeat(388)),
            "papers",
            "ARCHITECTURE.md:401",
            "has 401 lines",
        );
    }

    #[test]
    fn a_path_of_one_machine_is_caught() {
        for folder in MACHINE {
            caught(
                |f| _ = f.append("deploy/test", &format!("cd {folder}someone\n")),
                "papers",
                "deploy/test:3",
                &format!("names a path below {folder}"),
            );
        }
        allowed(|f| _ = f.append("deploy/test", &format!("open https://kabar.example{}page\n", MACHINE[0])));
    }
}
