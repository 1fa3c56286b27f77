//! A small workspace that keeps every rule, written to a temporary folder and broken once per test. It is read by
//! the same code as the house, cargo's metadata included. Not a rule.

use std::collections::BTreeMap;
use std::fs;

use crate::RULES;
use crate::tree::{Tree, Violation};

/// Package, folder, dependencies (`dev:` in front of a dev-dependency).
const PACKAGES: &[(&str, &str, &[&str])] = &[
    ("kabar-engine", "engine", &["serde", "dev:proptest"]),
    ("kabar-connectors", "engine/connectors", &["kabar-engine", "rustls", "dev:kabar-sandbox"]),
    ("kabar-sandbox", "engine/sandbox", &["axum"]),
    ("kabar-schema", "schema", &["kabar-engine", "rusqlite"]),
    ("kabar-runtime", "actors/runtime", &["actix", "ractor"]),
    ("kabar-actors", "actors", &["kabar-connectors", "kabar-engine", "kabar-runtime", "kabar-schema"]),
    (
        "kabar-api",
        "api",
        &["anyhow", "clap", "kabar-actors", "kabar-engine", "kabar-sandbox", "kabar-schema"],
    ),
    ("kabar-benches", "benches", &["kabar-actors", "kabar-schema"]),
    ("kabar-tests", "tests", &["anyhow", "kabar-api", "kabar-runtime"]),
];

const EXTERNAL: &[&str] =
    &["actix", "anyhow", "axum", "clap", "proptest", "ractor", "rusqlite", "rustls", "serde", "tokio"];

/// The settings every package repeats.
pub const CLIPPY: &str =
    "too-many-lines-threshold = 70\ntoo-many-arguments-threshold = 5\nallow-unwrap-in-tests = true\n";

const ARROWS: &str = "\
# Architecture

| package | may depend on |
|---|---|
| `kabar-engine` | nothing |
| `kabar-connectors` | `kabar-engine` |
| `kabar-sandbox` | nothing |
| `kabar-schema` | `kabar-engine` |
| `kabar-runtime` | nothing |
| `kabar-actors` | `kabar-engine`, `kabar-runtime`, `kabar-connectors`, `kabar-schema` |
| `kabar-api` | `kabar-actors`, `kabar-schema`, `kabar-engine`, `kabar-sandbox` |
| `kabar-benches` | any |
| `kabar-tests` | any |
";

/// Files of a workspace that is not on disk yet.
pub struct Fixture {
    files: BTreeMap<String, String>,
}

impl Fixture {
    /// The workspace that keeps every rule.
    pub fn clean() -> Self {
        let mut fixture = Self { files: BTreeMap::new() };
        fixture.set("Cargo.toml", &root_manifest());
        fixture.set("clippy.toml", CLIPPY);
        fixture.set("ARCHITECTURE.md", ARROWS);
        fixture.set("README.md", "# Kabar\n\n    cargo run --release -- demo\n    deploy/test\n");
        fixture.set("CHANGELOG.md", "# Changes\n");
        fixture.set("CONTRIBUTING.md", "# Contributing\n");
        fixture.set(
            "LICENSE",
            "GNU AFFERO GENERAL PUBLIC LICENSE\nVersion 3, 19 November 2007\nEND OF TERMS AND CONDITIONS\n",
        );
        fixture.set("deploy/test", "#!/usr/bin/env bash\ncargo test --workspace\n");
        fixture.set(".ci/run", "#!/usr/bin/env bash\nexec deploy/test\n");
        for (name, folder, dependencies) in PACKAGES {
            fixture.set(&format!("{folder}/Cargo.toml"), &manifest(name, dependencies));
            fixture.set(&format!("{folder}/clippy.toml"), CLIPPY);
            fixture.set(&format!("{folder}/src/lib.rs"), "//! A room. Not another one.\n");
        }
        fixture.set("engine/clippy.toml", &pure_clippy());
        fixture.set(
            "engine/src/session.rs",
            concat!(
                "//! A session. Not a message.\n\n/// Allowed: borrowed for ever is not static state.\n",
                "pub fn name() -> &'static str {\n    \"session\"\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n",
                "    fn has_a_name() {\n        assert_eq!(super::name().get(..1).unwrap(), \"s\");\n    }\n}\n",
            ),
        );
        fixture
    }

    /// Writes or replaces a file.
    pub fn set(&mut self, path: &str, text: &str) -> &mut Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// Removes a file.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        assert!(self.files.remove(path).is_some(), "{path} is not in the fixture");
        self
    }

    /// Adds text at the end of a file.
    pub fn append(&mut self, path: &str, text: &str) -> &mut Self {
        self.files.get_mut(path).unwrap_or_else(|| panic!("{path} is not in the fixture")).push_str(text);
        self
    }

    /// Replaces a passage that the file contains.
    pub fn replace(&mut self, path: &str, old: &str, new: &str) -> &mut Self {
        let text = self.files.get_mut(path).unwrap_or_else(|| panic!("{path} is not in the fixture"));
        assert!(text.contains(old), "{path} does not contain {old:?}");
        *text = text.replacen(old, new, 1);
        self
    }

    /// What all rules together find.
    pub fn violations(&self) -> Vec<(&'static str, Violation)> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in &self.files {
            let file = folder.path().join(path);
            fs::create_dir_all(file.parent().expect("a file has a folder")).expect("a folder of the fixture");
            fs::write(file, text).expect("a file of the fixture");
        }
        let tree = Tree::read(folder.path());
        RULES
            .iter()
            .flat_map(|(name, rule)| rule(&tree).into_iter().map(move |found| (*name, found)))
            .collect()
    }
}

/// Breaks the clean workspace and asserts that exactly one thing is found: by this rule, in this file and line,
/// said with these words.
pub fn caught(edit: impl FnOnce(&mut Fixture), rule: &str, place: &str, words: &str) {
    let mut fixture = Fixture::clean();
    edit(&mut fixture);
    let found = fixture.violations();
    let printed: Vec<_> = found.iter().map(|(name, violation)| format!("[{name}] {violation}")).collect();
    let [(name, violation)] = &found[..] else { panic!("expected one finding, got {printed:#?}") };
    assert_eq!(*name, rule, "{printed:#?}");
    assert_eq!(format!("{}:{}", violation.file, violation.line), place, "{printed:#?}");
    assert!(violation.what.contains(words), "{words:?} is missing in {printed:#?}");
    assert!(!violation.remedy.is_empty(), "it says what to do");
}

/// Changes the clean workspace and asserts that nothing is found.
pub fn allowed(edit: impl FnOnce(&mut Fixture)) {
    let mut fixture = Fixture::clean();
    edit(&mut fixture);
    let found: Vec<_> = fixture.violations().iter().map(|(name, v)| format!("[{name}] {v}")).collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn root_manifest() -> String {
    let mut text = String::from("[workspace]\nresolver = \"2\"\ndefault-members = [\"api\"]\nmembers = [\n");
    for (_, folder, _) in PACKAGES {
        text.push_str(&format!("  \"{folder}\",\n"));
    }
    text.push_str("]\n\n[workspace.package]\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    text.push_str("license = \"AGPL-3.0-or-later\"\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n\n");
    text.push_str("[workspace.dependencies]\n");
    for (name, folder, _) in PACKAGES {
        text.push_str(&format!("{name} = {{ path = \"{folder}\" }}\n"));
    }
    for name in EXTERNAL {
        text.push_str(&format!("{name} = \"1\"\n"));
    }
    text
}

fn manifest(name: &str, dependencies: &[&str]) -> String {
    let mut text = format!(
        "[package]\nname = \"{name}\"\nversion.workspace = true\nedition.workspace = true\n\
         license.workspace = true\n\n[lints]\nworkspace = true\n\n[dependencies]\n"
    );
    let (dev, normal): (Vec<&str>, Vec<&str>) =
        dependencies.iter().copied().partition(|dependency| dependency.starts_with("dev:"));
    for dependency in normal {
        text.push_str(&format!("{dependency}.workspace = true\n"));
    }
    text.push_str("\n[dev-dependencies]\n");
    for dependency in dev {
        text.push_str(&format!("{}.workspace = true\n", &dependency["dev:".len()..]));
    }
    text
}

fn pure_clippy() -> String {
    let mut text = format!("{CLIPPY}disallowed-methods = [\n");
    for path in crate::workspace::BANNED_METHODS {
        text.push_str(&format!("  {{ path = \"{path}\", reason = \"the engine is pure\" }},\n"));
    }
    text.push_str("]\ndisallowed-types = [\n");
    for path in crate::workspace::BANNED_TYPES {
        text.push_str(&format!("  {{ path = \"{path}\", reason = \"the engine is pure\" }},\n"));
    }
    text.push_str("]\n");
    text
}
