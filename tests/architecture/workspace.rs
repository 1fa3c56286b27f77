//! How packages are declared: every dependency once, every lint once, a complete clippy.toml each, one licence.
//! Not about which dependency: those are `arrows` and `confinement`.

use toml::{Table, Value};

use crate::tree::{Package, Source, Tree, Violation};

/// What clippy forbids in the pure room; each ban carries a reason.
pub const BANNED_METHODS: &[&str] = &[
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "jiff::Timestamp::now",
    "jiff::ZonedDateTime::now",
    "std::env::var",
    "std::env::vars",
    "std::fs::read",
    "std::fs::write",
    "std::fs::read_to_string",
    "std::thread::spawn",
    "std::thread::sleep",
    "rand::rng",
];
/// The types among them.
pub const BANNED_TYPES: &[&str] =
    &["std::fs::File", "std::net::TcpStream", "std::net::TcpListener", "std::net::UdpSocket"];

const LICENSE: &str = "AGPL-3.0-or-later";
const THRESHOLDS: &[(&str, i64)] = &[("too-many-lines-threshold", 70), ("too-many-arguments-threshold", 5)];
const ONCE: &str =
    "declare it once, with exact features, in [workspace.dependencies] and write `workspace = true`";
const CLIPPY_REMEDY: &str = "clippy.toml files do not merge: repeat the whole of it in every package";

/// The manifests and clippy.toml files follow the house.
pub fn check(tree: &Tree) -> Vec<Violation> {
    let mut found = check_root(tree);
    for package in &tree.packages {
        found.extend(check_manifest(tree, package));
        found.extend(check_clippy(tree, &format!("{}/clippy.toml", package.folder)));
    }
    found.extend(check_clippy(tree, "clippy.toml"));
    found.extend(check_bans(tree));
    found
}

fn check_root(tree: &Tree) -> Vec<Violation> {
    let Some(source) = tree.files.get("Cargo.toml") else { return Vec::new() };
    let root = table(source);
    let members = root.get("workspace").and_then(|workspace| workspace.get("default-members"));
    if members.is_some_and(|members| *members == Value::Array(vec![Value::String("api".to_owned())])) {
        return Vec::new();
    }
    let remedy = "write default-members = [\"api\"], so that `cargo run` starts Kabar";
    vec![Violation::new(
        &source.path,
        source.line_of("default-members"),
        "default-members is not api",
        remedy,
    )]
}

/// The room of tests may have features of tests: its programs run simulations on a paused clock.
const TESTS: &str = "tests/Cargo.toml";

fn check_manifest(tree: &Tree, package: &Package) -> Vec<Violation> {
    let path = package.manifest();
    let Some(source) = tree.files.get(&path) else { return Vec::new() };
    let manifest = table(source);
    let mut found = Vec::new();
    if package.license != LICENSE {
        let what = format!("the licence is {:?}, not {LICENSE}", package.license);
        found.push(Violation::new(&path, source.line_of("license"), what, "write license.workspace = true"));
    }
    if !is_inherited(manifest.get("lints")) {
        let remedy = "write [lints] workspace = true";
        found.push(Violation::new(
            &path,
            source.line_of("[lints"),
            "the lints are not the workspace's",
            remedy,
        ));
    }
    for (section, dependencies) in dependency_tables(&manifest) {
        for (name, value) in dependencies {
            let line = source.line_of(name);
            if !is_inherited(Some(value)) {
                found.push(Violation::new(&path, line, format!("{name} is declared here"), ONCE));
            } else if section != "dev-dependencies" && path != TESTS && value.get("features").is_some() {
                found.push(Violation::new(&path, line, format!("{name} gets further features here"), ONCE));
            }
        }
    }
    found
}

fn check_clippy(tree: &Tree, path: &str) -> Vec<Violation> {
    let Some(source) = tree.files.get(path) else {
        return vec![Violation::new(path, 1, "is missing", CLIPPY_REMEDY)];
    };
    let settings = table(source);
    let mut found = Vec::new();
    for (name, threshold) in THRESHOLDS {
        if settings.get(*name) != Some(&Value::Integer(*threshold)) {
            let what = format!("{name} is not {threshold}");
            found.push(Violation::new(path, source.line_of(name), what, CLIPPY_REMEDY));
        }
    }
    if settings.get("allow-unwrap-in-tests") != Some(&Value::Boolean(true)) {
        found.push(Violation::new(path, 1, "allow-unwrap-in-tests is not true", CLIPPY_REMEDY));
    }
    found
}

fn check_bans(tree: &Tree) -> Vec<Violation> {
    let path = "engine/clippy.toml";
    let Some(source) = tree.files.get(path) else { return Vec::new() };
    let settings = table(source);
    let mut found = Vec::new();
    for (key, banned) in [("disallowed-methods", BANNED_METHODS), ("disallowed-types", BANNED_TYPES)] {
        let bans = settings.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let text =
            |ban: &Value, field: &str| ban.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        for name in banned {
            if !bans.iter().any(|ban| text(ban, "path") == *name && !text(ban, "reason").is_empty()) {
                let remedy = "the pure room bans clocks, files, sockets, threads and the environment, each with a reason";
                found.push(Violation::new(
                    path,
                    source.line_of(name),
                    format!("{key} does not ban {name}"),
                    remedy,
                ));
            }
        }
    }
    found
}

fn table(source: &Source) -> Table {
    source.text.parse().unwrap_or_else(|error| panic!("{} is not TOML: {error}", source.path))
}

fn is_inherited(value: Option<&Value>) -> bool {
    value.and_then(|value| value.get("workspace")) == Some(&Value::Boolean(true))
}

/// All dependency tables of a manifest, those of targets included, under the name of their section.
fn dependency_tables(manifest: &Table) -> Vec<(&'static str, &Table)> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let owners = targets.into_iter().flat_map(|targets| targets.values().filter_map(Value::as_table));
    owners
        .chain([manifest])
        .flat_map(|owner| {
            ["dependencies", "dev-dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(move |section| Some((section, owner.get(section)?.as_table()?)))
        })
        .collect()
}

mod tests {
    use crate::fixture::{allowed, caught};

    #[test]
    fn a_dependency_declared_in_a_package_is_caught() {
        caught(
            |f| _ = f.replace("engine/Cargo.toml", "serde.workspace = true", "serde = \"1\""),
            "workspace",
            "engine/Cargo.toml:11",
            "serde is declared here",
        );
        caught(
            |f| _ = f.append("schema/Cargo.toml", "\n[target.'cfg(unix)'.dependencies]\ntokio = \"1\"\n"),
            "workspace",
            "schema/Cargo.toml:17",
            "tokio is declared here",
        );
    }

    #[test]
    fn features_stand_at_the_root_except_those_of_tests() {
        caught(
            |f| {
                _ = f.replace(
                    "engine/Cargo.toml",
                    "serde.workspace = true",
                    "serde = { workspace = true, features = [\"rc\"] }",
                )
            },
            "workspace",
            "engine/Cargo.toml:11",
            "serde gets further features",
        );
        allowed(|f| {
            _ = f.append("actors/Cargo.toml", "tokio = { workspace = true, features = [\"test-util\"] }\n")
        });
    }

    #[test]
    fn another_licence_or_lints_of_ones_own_are_caught() {
        caught(
            |f| _ = f.replace("api/Cargo.toml", "license.workspace = true", "license = \"MIT\""),
            "workspace",
            "api/Cargo.toml:5",
            "\"MIT\"",
        );
        caught(
            |f| {
                _ = f.replace(
                    "api/Cargo.toml",
                    "[lints]\nworkspace = true",
                    "[lints.rust]\nunsafe_code = \"warn\"",
                )
            },
            "workspace",
            "api/Cargo.toml:7",
            "the lints are not the workspace's",
        );
    }

    #[test]
    fn cargo_run_starts_something_else_is_caught() {
        caught(
            |f| _ = f.replace("Cargo.toml", "[\"api\"]", "[\"tests\"]"),
            "workspace",
            "Cargo.toml:3",
            "default-members is not api",
        );
    }

    #[test]
    fn an_incomplete_clippy_toml_is_caught() {
        caught(|f| _ = f.remove("actors/clippy.toml"), "workspace", "actors/clippy.toml:1", "is missing");
        caught(
            |f| _ = f.replace("schema/clippy.toml", "70", "700"),
            "workspace",
            "schema/clippy.toml:1",
            "too-many-lines-threshold is not 70",
        );
        caught(
            |f| _ = f.replace("schema/clippy.toml", "allow-unwrap-in-tests = true\n", ""),
            "workspace",
            "schema/clippy.toml:1",
            "allow-unwrap-in-tests",
        );
    }

    #[test]
    fn a_ban_without_a_reason_is_no_ban() {
        caught(
            |f| {
                _ = f.replace(
                    "engine/clippy.toml",
                    "std::time::Instant::now\", reason = \"the engine is pure\"",
                    "std::time::Instant::now\", reason = \"\"",
                )
            },
            "workspace",
            "engine/clippy.toml:6",
            "does not ban std::time::Instant::now",
        );
        caught(
            |f| _ = f.replace("engine/clippy.toml", "std::net::UdpSocket", "std::net::Other"),
            "workspace",
            "engine/clippy.toml:1",
            "does not ban std::net::UdpSocket",
        );
    }
}
