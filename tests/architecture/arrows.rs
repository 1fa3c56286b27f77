//! Who may depend on whom. The table here, the table in ARCHITECTURE.md and what cargo reports must say the same.
//! Not about external crates: those are `confinement`.

use crate::tree::{Package, Source, Tree, Violation};

/// What a package may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum May {
    Only(&'static [&'static str]),
    Any,
}

const TABLE: &[(&str, May)] = &[
    ("kabar-engine", May::Only(&[])),
    ("kabar-connectors", May::Only(&["kabar-engine"])),
    ("kabar-sandbox", May::Only(&[])),
    ("kabar-schema", May::Only(&["kabar-engine"])),
    ("kabar-runtime", May::Only(&[])),
    ("kabar-actors", May::Only(&["kabar-connectors", "kabar-engine", "kabar-runtime", "kabar-schema"])),
    ("kabar-api", May::Only(&["kabar-actors", "kabar-engine", "kabar-sandbox", "kabar-schema"])),
    ("kabar-benches", May::Any),
    ("kabar-tests", May::Any),
];

/// The one dev-dependency beyond the table: the connectors are tested against the sandbox.
const EXTRA_DEV: (&str, &str) = ("kabar-connectors", "kabar-sandbox");

const PAGE: &str = "ARCHITECTURE.md";
const REMEDY: &str = "no other arrow exists: move the code to the room that may know both sides";
const SAME: &str = "change the table in tests/architecture/arrows.rs and the one in ARCHITECTURE.md together";

/// The dependencies are within the table, and both tables are one.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found: Vec<_> = tree.packages.iter().flat_map(|package| check_package(tree, package)).collect();
    for (name, _) in TABLE {
        if !tree.packages.iter().any(|package| package.name == *name) {
            found.push(Violation::new("Cargo.toml", 1, format!("{name} is not a member"), SAME));
        }
    }
    found.extend(tree.files.get(PAGE).map(check_page).unwrap_or_default());
    found
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Violation> {
    let manifest = package.manifest();
    let Some((_, may)) = TABLE.iter().find(|(name, _)| *name == package.name) else {
        return vec![Violation::new(&manifest, 1, format!("{} is not in the table", package.name), SAME)];
    };
    let May::Only(rooms) = may else { return Vec::new() };
    let line = |name: &str| tree.files.get(&manifest).map_or(1, |source| source.line_of(name));
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.name.starts_with("kabar-"))
        .filter(|dependency| !rooms.contains(&dependency.name.as_str()))
        .filter(|dependency| {
            !(dependency.dev && (package.name.as_str(), dependency.name.as_str()) == EXTRA_DEV)
        })
        .map(|dependency| {
            let what = format!("{} depends on {}", package.name, dependency.name);
            Violation::new(&manifest, line(&dependency.name), what, REMEDY)
        })
        .collect()
}

fn check_page(page: &Source) -> Vec<Violation> {
    let rows = rows(&page.text);
    if rows.is_empty() {
        return vec![Violation::new(PAGE, 1, "has no table `package | may depend on`", SAME)];
    }
    let mut found = Vec::new();
    for (line, package, cell) in &rows {
        match TABLE.iter().find(|(name, _)| name == package) {
            Some((_, may)) if says(cell, *may) => {}
            _ => found.push(Violation::new(
                PAGE,
                *line,
                format!("{package}: {cell}, the test says otherwise"),
                SAME,
            )),
        }
    }
    for (name, _) in TABLE {
        if !rows.iter().any(|(_, package, _)| package == name) {
            found.push(Violation::new(PAGE, rows[0].0, format!("{name} has no row in the table"), SAME));
        }
    }
    found
}

fn says(cell: &str, may: May) -> bool {
    match may {
        May::Any => cell == "any",
        May::Only([]) => cell == "nothing",
        May::Only(rooms) => {
            let mut named: Vec<_> = cell.split(',').map(|name| name.trim().trim_matches('`')).collect();
            named.sort_unstable();
            named == rooms
        }
    }
}

/// Rows of the arrows table: line, package, the cell `may depend on`.
fn rows(page: &str) -> Vec<(usize, String, String)> {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = page.lines().enumerate().skip_while(|(_, line)| !line.contains("| may depend on |"));
    let Some((_, header)) = lines.next() else { return Vec::new() };
    let column = |name: &str| cells(header).iter().position(|cell| cell == name);
    let (Some(package), Some(may)) = (column("package"), column("may depend on")) else { return Vec::new() };
    lines
        .skip(1)
        .take_while(|(_, line)| line.trim_start().starts_with('|'))
        .filter_map(|(at, line)| {
            let cells = cells(line);
            let name = cells.get(package)?.trim_matches('`').to_owned();
            Some((at + 1, name, cells.get(may)?.clone()))
        })
        .filter(|(_, name, _)| name.starts_with("kabar-"))
        .collect()
}

mod tests {
    use crate::fixture::{CLIPPY, allowed, caught};

    #[test]
    fn an_arrow_out_of_the_engine_is_caught() {
        caught(
            |f| {
                _ = f.replace(
                    "engine/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\nkabar-schema.workspace = true\n",
                )
            },
            "arrows",
            "engine/Cargo.toml:11",
            "kabar-engine depends on kabar-schema",
        );
    }

    #[test]
    fn a_build_dependency_is_an_arrow_too() {
        caught(
            |f| _ = f.append("schema/Cargo.toml", "\n[build-dependencies]\nkabar-runtime.workspace = true\n"),
            "arrows",
            "schema/Cargo.toml:17",
            "kabar-schema depends on kabar-runtime",
        );
    }

    #[test]
    fn only_the_connectors_may_test_against_the_sandbox() {
        caught(
            |f| _ = f.append("actors/Cargo.toml", "kabar-sandbox.workspace = true\n"),
            "arrows",
            "actors/Cargo.toml:17",
            "kabar-actors depends on kabar-sandbox",
        );
        caught(
            |f| {
                _ = f.replace(
                    "engine/connectors/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\nkabar-sandbox.workspace = true\n",
                )
            },
            "arrows",
            "engine/connectors/Cargo.toml:11",
            "kabar-connectors depends on kabar-sandbox",
        );
    }

    #[test]
    fn an_arrow_that_nobody_uses_is_no_violation() {
        allowed(|f| _ = f.replace("actors/Cargo.toml", "kabar-schema.workspace = true\n", ""));
    }

    #[test]
    fn a_page_that_says_otherwise_is_caught() {
        caught(
            |f| {
                _ = f.replace(
                    "ARCHITECTURE.md",
                    "| `kabar-schema` | `kabar-engine` |",
                    "| `kabar-schema` | nothing |",
                )
            },
            "arrows",
            "ARCHITECTURE.md:8",
            "kabar-schema: nothing",
        );
        caught(
            |f| _ = f.replace("ARCHITECTURE.md", "| `kabar-runtime` | nothing |\n", ""),
            "arrows",
            "ARCHITECTURE.md:5",
            "kabar-runtime has no row",
        );
        caught(
            |f| _ = f.set("ARCHITECTURE.md", "# Architecture\n"),
            "arrows",
            "ARCHITECTURE.md:1",
            "has no table",
        );
    }

    #[test]
    fn a_package_outside_the_table_is_caught() {
        caught(
            |f| {
                f.replace("Cargo.toml", "  \"tests\",\n", "  \"tests\",\n  \"tests/more\",\n");
                let package =
                    "[package]\nname = \"kabar-more\"\nversion = \"0.1.0\"\nlicense.workspace = true\n";
                f.set("tests/more/Cargo.toml", &format!("{package}[lints]\nworkspace = true\n"));
                f.set("tests/more/clippy.toml", CLIPPY);
                f.set("tests/more/src/lib.rs", "//! More. Not less.\n");
            },
            "arrows",
            "tests/more/Cargo.toml:1",
            "kabar-more is not in the table",
        );
    }
}
