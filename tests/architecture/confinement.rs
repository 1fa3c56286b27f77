//! Which room may use which external crate, and what the pure room may not name at all. Not about arrows between
//! our own packages.

use crate::tree::{Package, Tree, Violation};

/// Everything the pure room may use, and what its tests may use besides.
const PURE: &[&str] = &[
    "foldhash",
    "jiff",
    "rand",
    "rand_chacha",
    "rlibphonenumber",
    "rrule",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "xxhash-rust",
];
const PURE_DEV: &[&str] = &["proptest"];

/// Crates that belong to some rooms only.
const CONFINED: &[(&str, &[&str])] = &[
    ("rusqlite", &["kabar-schema"]),
    // The bench measures the bare driver beside the store.
    ("scylla", &["kabar-schema", "kabar-benches"]),
    // And both bare actor libraries beside the layer.
    ("ractor", &["kabar-runtime", "kabar-benches"]),
    ("actix", &["kabar-runtime", "kabar-benches"]),
    ("rustls", &["kabar-connectors", "kabar-schema"]),
    ("hyper-rustls", &["kabar-connectors"]),
    ("whatsapp-rust", &["kabar-connectors"]),
    ("async-openai", &["kabar-connectors"]),
    ("hyper", &["kabar-connectors", "kabar-sandbox", "kabar-api", "kabar-benches", "kabar-tests"]),
    ("axum", &["kabar-api", "kabar-sandbox", "kabar-benches", "kabar-tests"]),
    ("multer", &["kabar-api"]),
    ("clap", &["kabar-api"]),
    ("opentelemetry", &["kabar-api"]),
    ("opentelemetry_sdk", &["kabar-api"]),
    ("opentelemetry-otlp", &["kabar-api"]),
    ("opentelemetry-http", &["kabar-api"]),
    ("opentelemetry-proto", &["kabar-api"]),
    ("indicatif", &["kabar-api"]),
    ("anyhow", &["kabar-api", "kabar-tests", "kabar-benches"]),
];

/// Modules of `std` that reach outside, and names that wait or ask for the time.
const IMPURE_STD: &[&str] = &["fs", "net", "env", "process", "thread"];
const IMPURE: &[&str] = &["async", "await", "tokio", "SystemTime", "Instant"];

const CONFINED_REMEDY: &str = "one room owns it: call that room, or move the code there";
const PURE_REMEDY: &str = "the engine is told the time, handed its randomness, and reads nothing by itself";

/// External crates stay in their rooms; the engine stays pure.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found: Vec<_> = tree.packages.iter().flat_map(|package| check_package(tree, package)).collect();
    found.extend(check_pure_sources(tree));
    found
}

fn check_package(tree: &Tree, package: &Package) -> Vec<Violation> {
    let manifest = package.manifest();
    let line = |name: &str| tree.files.get(&manifest).map_or(1, |source| source.line_of(name));
    let mut found = Vec::new();
    for dependency in package.dependencies.iter().filter(|dependency| !dependency.name.starts_with("kabar-"))
    {
        let name = dependency.name.as_str();
        let pure = PURE.contains(&name) || dependency.dev && PURE_DEV.contains(&name);
        let confined = CONFINED.iter().find(|(confined, _)| *confined == name);
        if package.name == "kabar-engine" && !pure {
            let what = format!("the pure room depends on {name}");
            found.push(Violation::new(&manifest, line(name), what, PURE_REMEDY));
        } else if confined.is_some_and(|(_, rooms)| !rooms.contains(&package.name.as_str())) {
            let what = format!("{} depends on {name}", package.name);
            found.push(Violation::new(&manifest, line(name), what, CONFINED_REMEDY));
        }
    }
    found
}

fn check_pure_sources(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (source, code) in tree.rust().filter(|(source, _)| source.path.starts_with("engine/src/")) {
        for (at, token) in code.tokens.iter().enumerate() {
            let reaches_out = IMPURE_STD.contains(&token.text.as_str())
                && code.before(at) == "::"
                && at.checked_sub(2).is_some_and(|first| code.text(first) == "std");
            if (reaches_out || IMPURE.contains(&token.text.as_str())) && !tree.is_test(source, token.line) {
                let what = format!("the pure room names `{}`", token.text);
                found.push(Violation::new(&source.path, token.line, what, PURE_REMEDY));
            }
        }
    }
    found
}

mod tests {
    use crate::fixture::caught;

    #[test]
    fn a_crate_of_the_world_in_the_pure_room_is_caught() {
        caught(
            |f| _ = f.replace("engine/Cargo.toml", "serde.workspace", "tokio.workspace"),
            "confinement",
            "engine/Cargo.toml:11",
            "the pure room depends on tokio",
        );
        caught(
            |f| {
                _ = f.replace(
                    "engine/Cargo.toml",
                    "[dependencies]\n",
                    "[dependencies]\nproptest.workspace = true\n",
                )
            },
            "confinement",
            "engine/Cargo.toml:11",
            "the pure room depends on proptest",
        );
    }

    #[test]
    fn a_confined_crate_outside_its_room_is_caught() {
        let rooms = [
            ("actors", "rusqlite"),
            ("actors", "ractor"),
            ("schema", "actix"),
            ("api", "rustls"),
            ("benches", "rustls"),
            ("tests", "clap"),
            ("schema", "anyhow"),
            ("actors", "axum"),
        ];
        for (folder, name) in rooms {
            let manifest = format!("{folder}/Cargo.toml");
            caught(
                |f| {
                    _ = f.replace(
                        &manifest,
                        "[dependencies]\n",
                        &format!("[dependencies]\n{name}.workspace = true\n"),
                    )
                },
                "confinement",
                &format!("{manifest}:11"),
                &format!("depends on {name}"),
            );
        }
    }

    #[test]
    fn a_dev_dependency_is_confined_too() {
        caught(
            |f| _ = f.append("actors/Cargo.toml", "rusqlite.workspace = true\n"),
            "confinement",
            "actors/Cargo.toml:17",
            "kabar-actors depends on rusqlite",
        );
    }

    #[test]
    fn a_clock_a_file_or_a_future_in_the_pure_room_is_caught() {
        for (line, name) in [
            ("pub async fn wait() {}", "async"),
            ("use std::fs::File;", "fs"),
            ("use std::env;", "env"),
            ("use std::time::Instant;", "Instant"),
        ] {
            caught(
                |f| _ = f.append("engine/src/lib.rs", &format!("{line}\n")),
                "confinement",
                "engine/src/lib.rs:2",
                &format!("names `{name}`"),
            );
        }
    }
}
