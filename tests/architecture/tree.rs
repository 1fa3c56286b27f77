//! The tree the rules look at: files, top-level folders and packages of one workspace on disk, the house itself
//! or a fixture. Not a rule.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::code::Code;

/// Folders at the root that are not part of the house: what git keeps, what a node writes.
const SKIPPED: &[&str] = &[".git", "data"];
/// What cargo builds, wherever it does.
const BUILT: &str = "target";

/// One finding: where, what is wrong, what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub file: String,
    pub line: usize,
    pub what: String,
    pub remedy: &'static str,
}

impl Violation {
    pub fn new(file: &str, line: usize, what: impl Into<String>, remedy: &'static str) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), remedy }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}; {}", self.file, self.line, self.what, self.remedy)
    }
}

/// A text file; `path` is relative to the root, with `/`.
pub struct Source {
    pub path: String,
    pub text: String,
    /// Tokens of a `.rs` file, or why it has none.
    pub code: Option<Result<Code, (usize, String)>>,
}

impl Source {
    /// The tokens, where the file is Rust and readable.
    pub fn code(&self) -> Option<&Code> {
        self.code.as_ref()?.as_ref().ok()
    }

    /// First line (from 1) that contains `needle`, or 1.
    pub fn line_of(&self, needle: &str) -> usize {
        self.text.lines().position(|line| line.contains(needle)).map_or(1, |at| at + 1)
    }
}

/// A dependency as cargo reports it, under its real name.
pub struct Dependency {
    pub name: String,
    pub dev: bool,
}

/// A package of the workspace.
pub struct Package {
    pub name: String,
    /// Folder relative to the root.
    pub folder: String,
    pub license: String,
    pub dependencies: Vec<Dependency>,
}

impl Package {
    pub fn manifest(&self) -> String {
        format!("{}/Cargo.toml", self.folder)
    }
}

/// A workspace as it lies on disk.
pub struct Tree {
    pub files: BTreeMap<String, Source>,
    /// Folders at the root, hidden and skipped ones left out.
    pub folders: BTreeSet<String>,
    pub packages: Vec<Package>,
    test_files: BTreeSet<String>,
}

impl Tree {
    /// Reads the workspace at `root`: every text file, and the packages from `cargo metadata`.
    ///
    /// # Panics
    /// When the folder cannot be read or cargo refuses the manifests: no rule could then be judged.
    pub fn read(root: &Path) -> Self {
        let mut tree = Self {
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            packages: packages(root),
            test_files: BTreeSet::new(),
        };
        tree.walk(root, "");
        tree.find_test_files();
        tree
    }

    /// All Rust files that could be read.
    pub fn rust(&self) -> impl Iterator<Item = (&Source, &Code)> {
        self.files.values().filter_map(|source| Some((source, source.code()?)))
    }

    /// Whether the whole file is test code: below a `tests` folder, or a `#[cfg(test)] mod …;` of its parent.
    pub fn is_test_file(&self, path: &str) -> bool {
        is_below_tests(path)
            || self.test_files.iter().any(|file| {
                path == file
                    || file.strip_suffix(".rs").is_some_and(|stem| path.starts_with(&format!("{stem}/")))
            })
    }

    /// Whether `line` of the file is test code.
    pub fn is_test(&self, source: &Source, line: usize) -> bool {
        self.is_test_file(&source.path) || source.code().is_some_and(|code| code.is_test(line))
    }

    fn walk(&mut self, folder: &Path, prefix: &str) {
        let entries = fs::read_dir(folder).expect("a folder of the tree can be listed");
        for entry in entries {
            let entry = entry.expect("a folder of the tree can be listed");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().expect("a file of the tree has a type");
            if kind.is_dir() {
                if name == BUILT || prefix.is_empty() && SKIPPED.contains(&name.as_str()) {
                    continue;
                }
                if prefix.is_empty() && !name.starts_with('.') {
                    self.folders.insert(name);
                }
                self.walk(&entry.path(), &path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                let code = path.ends_with(".rs").then(|| Code::read(&text));
                self.files.insert(path.clone(), Source { path, text, code });
            }
        }
    }

    fn find_test_files(&mut self) {
        let mut found = BTreeSet::new();
        for (source, code) in self.rust() {
            let (folder, stem) = split(&source.path);
            let inside = match stem {
                "lib" | "main" | "mod" => folder.to_owned(),
                _ => format!("{folder}/{stem}"),
            };
            found.extend(code.test_modules.iter().map(|module| format!("{inside}/{module}.rs")));
        }
        self.test_files = found;
    }
}

/// Whether the path lies below a folder named `tests`: the tests room or a package's own test target.
pub fn is_below_tests(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|part| part == "tests")
}

/// Folder and stem of a path: `a/b/c.rs` is `("a/b", "c")`.
pub fn split(path: &str) -> (&str, &str) {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    (folder, file.split('.').next().unwrap_or(file))
}

/// The house itself, read once for all tests.
pub fn house() -> &'static Tree {
    static HOUSE: OnceLock<Tree> = OnceLock::new();
    HOUSE.get_or_init(|| {
        let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        Tree::read(package.parent().expect("the tests room lies in the workspace"))
    })
}

fn packages(root: &Path) -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo reads the manifests of the workspace");
    let base = metadata.workspace_root.clone();
    let read = |package: cargo_metadata::Package| Package {
        name: package.name.to_string(),
        folder: package
            .manifest_path
            .parent()
            .and_then(|folder| folder.strip_prefix(&base).ok())
            .expect("a package lies below the root")
            .to_string(),
        license: package.license.unwrap_or_default(),
        dependencies: package
            .dependencies
            .into_iter()
            .map(|dependency| Dependency {
                dev: dependency.kind == DependencyKind::Development,
                name: dependency.name,
            })
            .collect(),
    };
    metadata.packages.into_iter().map(read).collect()
}
